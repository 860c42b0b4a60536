"""A budget: so many resources of several types together, given to the type that waits longest.

Two sides. `tell_budget` is the pool's: after an event it says what it has and what it could use, if
that has changed. `Book` is the budget's: from these demands it decides how many permits each type
has; a pool takes its permits as a second limit beside its own `max_size`.

Nothing is ever spent twice, whatever is still on its way: a permit that is taken back counts as
held until the pool itself has said that it has no more than that (`Share.held`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pepperpy_resources.core import states
from pepperpy_resources.core.effects import Demand
from pepperpy_resources.core.pool import DRAINING, FILLING, SUSPENDED, Pool

# A busy type gives a slot up for another only if that one has waited so much longer (seconds):
# or else two types under load would close and open resources for each other all the time.
PATIENCE = 1.0


def tell_budget(pool: Pool) -> None:
    """Say what the type has and could use, unless that was said before."""
    idle = next(iter(pool.idle.values()), None)
    oldest = next(iter(pool.tickets.values()), None)
    head_start = pool.policy.priority * pool.policy.ageing
    demand = Demand(
        permits=pool.permits,
        size=pool.size,
        idle=len(pool.idle),
        idle_since=math.inf if idle is None else idle.used,
        wanted=wanted(pool),
        since=math.inf if oldest is None else oldest.since - head_start,
    )
    if demand != pool.demand:
        pool.demand = demand
        pool.effects.append(demand)


def wanted(pool: Pool) -> int:
    """Return how many slots would be opened now if there were permits for them."""
    if DRAINING in pool.modes or SUSPENDED in pool.modes:
        return 0
    if pool.keyed:
        need = len(pool.starved)
    else:
        lane = pool.lanes[None]
        need = len(lane.tickets) - lane.promised
        if FILLING in pool.modes:
            coming = pool.counts[states.OPENING] + pool.counts[states.CHECKING]
            need = max(need, pool.min_idle - len(pool.idle) - coming + len(lane.tickets))
        need = 0 if pool.now < lane.retry_at else min(need, lane.limit - lane.opening)
    if pool.wish is not None:
        need = max(need, 1)
    room = min(pool.cap - pool.size, pool.policy.max_opening - pool.counts[states.OPENING])
    if pool.counts[states.ABANDONED] >= pool.cap:
        room = 0  # with so many hooks that hang it opens nothing, and would hoard the permit
    return max(0, int(min(need, room)))


@dataclass(slots=True)
class Share:
    """What one type has of the budget."""

    demand: Demand  # its own word
    permits: int = 0  # as last allotted

    @property
    def settled(self) -> bool:
        """Tell whether it has heard of its permits: it is told one word at a time.

        A type that were told to have fewer while an earlier word, to have more, is still on its
        way would open more than it is counted with.
        """
        return self.permits == self.demand.permits

    @property
    def held(self) -> int:
        """Permits that nobody else can have: given, or not yet given up."""
        return max(self.permits, int(self.demand.permits), self.demand.size)

    @property
    def short(self) -> int:
        """Permits it could use beyond those it has.

        While it is to shrink itself (its own idle slot makes room for another key of its own), the
        slots it has yet to close are no use to it.
        """
        return max(0, self.demand.wanted - max(0, self.permits - self.demand.size))

    @property
    def to_spare(self) -> bool:
        """Tell whether it has a permit that it neither uses nor wants."""
        return self.permits > self.demand.size + self.demand.wanted

    @property
    def idles(self) -> bool:
        """Tell whether it has an idle slot that it was not yet told to close."""
        return self.demand.idle > max(0, self.demand.size - self.permits)


@dataclass(slots=True)
class Book:
    """One budget's books; nothing is given before everyone who is `expected` has said its word."""

    limit: int
    shares: dict[str, Share] = field(default_factory=dict[str, Share])
    expected: set[str] = field(default_factory=set[str])  # after a crash: who may hold permits

    def tell(self, name: str, demand: Demand) -> dict[str, int]:
        """Take a type's word; return who has how many permits from now on, where that changed."""
        self.expected.discard(name)
        told = int(demand.permits)
        share = self.shares.setdefault(name, Share(demand, told))
        if share.settled:
            share.permits = told  # no other word is on its way to it
        share.demand = demand
        return self.divide()

    def leave(self, name: str) -> dict[str, int]:
        """Strike a type out: what it held is free."""
        self.expected.discard(name)
        self.shares.pop(name, None)
        return self.divide()

    @property
    def free(self) -> int:
        """Permits nobody has."""
        return max(0, self.limit - sum(share.held for share in self.shares.values()))

    def divide(self) -> dict[str, int]:
        """Give what is free to who has waited longest; ask for more where that is not enough."""
        if self.expected:
            return {}
        before = {name: share.permits for name, share in self.shares.items()}
        by_wait = sorted(self.shares.values(), key=lambda share: share.demand.since)
        left = self.free
        for share in by_wait:
            given = min(share.short, left)
            left -= given  # kept for it, if it cannot be told yet
            if share.settled:
                share.permits += given
        coming = self.free + sum(share.held - share.permits for share in by_wait)
        for share in by_wait:
            missing = share.short - coming
            coming = max(0, -missing)
            while missing > 0 and self.take_back(share):
                missing -= 1
        after = {name: share.permits for name, share in self.shares.items()}
        return {name: permits for name, permits in after.items() if permits != before[name]}

    def take_back(self, needy: Share) -> bool:
        """Take a permit from who misses it least; tell whether there was anybody."""
        giver = self.giver(needy)
        if giver is None:
            return False
        # Of a type that spares none, a slot has to go: permits it has not used yet would not do.
        kept = giver.permits if giver.to_spare else min(giver.permits, max(1, giver.demand.size))
        giver.permits = kept - 1
        return True

    def giver(self, needy: Share) -> Share | None:
        """Return who is to give one up: unused first, then idle longest, then waiting least."""
        others = [share for share in self.shares.values() if share.settled and share.permits > 0]
        for share in others:
            if share.to_spare:
                return share
        if needy.demand.since == math.inf:
            return None  # it only fills up towards min_idle: nobody closes anything for that
        idle = [share for share in others if share.idles]
        if idle:
            return min(idle, key=lambda share: share.demand.idle_since)
        busy = [share for share in others if share.demand.since > needy.demand.since + PATIENCE]
        return max(busy, key=lambda share: share.demand.since, default=None)
