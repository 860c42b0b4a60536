"""The pool's records: slots, the tickets that wait for them, and the lanes both belong to."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pepperpy_resources.core.events import Acquire
from pepperpy_resources.core.states import State


class Ticket(msgspec.Struct, frozen=True):
    """One queued acquire. Its deadline is absolute and never moves."""

    number: int
    lane: Lane
    acquire: Acquire
    since: float
    deadline: float


@dataclass(slots=True, eq=False)
class Slot:
    """The record of one resource."""

    number: int
    lane: Lane
    state: State
    generation: int  # -1: taken out, never to be handed out again
    born: float  # when its factory was called, then when it was done
    expires: float = math.inf
    used: float = -math.inf  # when it was last known to be good
    good_until: float = -math.inf  # until when it may be handed out unchecked
    suspect: bool = False  # to be checked before it is handed out, however fresh
    resource: Any = None
    promised: bool = False  # counted in lane.promised
    attached: bool = True  # counted in lane.size
    epochs: list[int] = field(default_factory=list[int])  # the leases on it


@dataclass(slots=True, eq=False)
class Lane:
    """Tickets and the slots that can serve them: one for a pooled type, one per id for a keyed.

    The limits that are the lane's own (backoff, slow start, one slot per key) live here; the
    limits of the whole type live in the pool.
    """

    key: str | None
    limit: int  # creations at once: 1 after a failure, then doubling
    arguments: dict[str, Any] | None = None
    tickets: OrderedDict[int, Ticket] = field(default_factory=OrderedDict[int, Ticket])
    slot: Slot | None = None  # keyed only: the one attached slot
    size: int = 0  # slots attached
    opening: int = 0  # slots being opened
    promised: int = 0  # slots being opened or checked that will serve a ticket of this lane
    failures: int = 0  # creations failed in a row
    retry_at: float = -math.inf
    error: Any = None  # the last failure, while failures > 0
