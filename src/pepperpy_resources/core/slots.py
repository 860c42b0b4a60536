"""The pool's records: slots, and the lanes that they and the tickets belong to."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from pepperpy_resources.core.effects import Lease, Wait
from pepperpy_resources.core.states import State
from pepperpy_resources.core.waiting import Deadlines


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
    uses: int = 0  # leases so far, where max_uses limits them
    chance: float = 0.5  # drawn when it was opened: spreads what all slots would do at once
    background: bool = False  # the check that runs is a keepalive
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
    tickets: OrderedDict[int, Wait] = field(default_factory=OrderedDict[int, Wait])  # as they came
    ranks: Deadlines[int] | None = None  # the same in the order they are served, if that differs
    calm_at: float = -math.inf  # when the queue last was empty, or served without much delay
    standing: bool = False  # the queue is being shed, until it has been empty once
    slot: Slot | None = None  # keyed only: the one attached slot
    size: int = 0  # slots attached
    opening: int = 0  # slots being opened
    promised: int = 0  # slots being opened or checked that will serve a ticket of this lane
    failures: int = 0  # creations failed in a row
    retry_at: float = -math.inf
    forget_at: float = -math.inf  # keyed only: until when its failures are remembered
    error: Any = None  # the last failure, while failures > 0
