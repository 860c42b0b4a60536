"""The pool's records: slots, and the lanes that they and the tickets belong to."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from pepperpy_resources.core.effects import Lease, Wait
from pepperpy_resources.core.states import State


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
    leases: dict[int, Lease] = field(default_factory=dict[int, Lease])  # on it, by epoch


@dataclass(slots=True, eq=False)
class Lane:
    """Tickets and the slots that can serve them: one for a pooled type, one per id for a keyed.

    The limits that are the lane's own (backoff, slow start, one slot per key) live here; the
    limits of the whole type live in the pool.
    """

    key: str | None
    limit: int  # creations at once: 1 after a failure, then doubling
    arguments: dict[str, Any] | None = None
    tickets: OrderedDict[int, Wait] = field(default_factory=OrderedDict[int, Wait])
    slot: Slot | None = None  # keyed only: the one attached slot
    size: int = 0  # slots attached
    opening: int = 0  # slots being opened
    promised: int = 0  # slots being opened or checked that will serve a ticket of this lane
    failures: int = 0  # creations failed in a row
    retry_at: float = -math.inf
    error: Any = None  # the last failure, while failures > 0
