"""A budget: so many resources of several types together, given to the type that waits longest.

Two sides. `tell_budget` is the pool's: after an event it says what it has and what it could use, if
that has changed. `Book` is the budget's: from these demands it decides how many permits each type
has; a pool takes its permits as a second limit beside its own `max_size`.

Nothing is ever spent twice, whatever is still on its way: a permit that is taken back counts as
held until the pool itself has said that it has no more than that (`Share.held`), and a pool's
permits change again only when it has said that it heard of the last change.
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
        lent=pool.leased + pool.counts[states.DETACHED],
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
    permits: int  # as last allotted
    heard: bool = True  # and it has said so: only then they may change again

    @property
    def held(self) -> int:
        """Permits that nobody else can have: given, or not yet given up."""
        return max(self.permits, int(self.demand.permits), self.demand.size)

    @property
    def soon(self) -> int:
        """Permits it is to give up and will have given up as soon as hooks have ended."""
        return self.held - max(self.permits, self.demand.lent)

    @property
    def lent(self) -> int:
        """Permits it is to give up, but only when borrowers have given slots back."""
        return max(0, self.demand.lent - self.permits)

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
        share.demand = demand
        if share.heard:
            share.permits = told  # no other word is on its way to it
        share.heard = told == share.permits
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
        reserved = 0  # for those that wait longer, but have yet to hear of their last permits
        for share in by_wait:
            if not share.heard:
                reserved += share.short
            while share.heard and share.short and self.free > reserved:
                share.permits += 1
        self.collect(by_wait)
        changed = {n: s.permits for n, s in self.shares.items() if s.permits != before[n]}
        for name in changed:
            self.shares[name].heard = False
        return changed

    def collect(self, by_wait: list[Share]) -> None:
        """Ask back what those who wait are still short of, beyond what was asked back before.

        What is lent out may be long in coming: it stops nobody from taking what idles meanwhile.
        What nobody waits for any more is left to whoever has it.
        """
        soon = self.free + sum(share.soon for share in by_wait)
        later = sum(share.lent for share in by_wait)
        for share in by_wait:
            missing = share.short - soon
            soon = max(0, -missing)
            while missing > 0 and take_back(self.unused(share)):
                missing -= 1
            if share.demand.since == math.inf:
                continue  # nobody gives up what is lent for its min_idle
            later -= (covered := max(0, min(missing, later)))
            missing -= covered
            while missing > 0 and take_back(self.busy(share)):
                missing -= 1
        for share in by_wait:
            if share.heard:
                later -= (left := max(0, min(share.lent, later)))
                share.permits += left

    def givers(self) -> list[Share]:
        """Return who can give one up."""
        return [share for share in self.shares.values() if share.heard and share.permits > 0]

    def unused(self, needy: Share) -> Share | None:
        """Return who has a permit unused; else who has a slot idle, the longest."""
        others = self.givers()
        for share in others:
            if share.to_spare:
                return share
        if needy.demand.since == math.inf:
            return None  # it only fills up towards min_idle: nobody closes anything for that
        idle = [share for share in others if share.idles]
        return min(idle, key=lambda share: share.demand.idle_since, default=None)

    def busy(self, needy: Share) -> Share | None:
        """Return whose acquires wait least, if that is well less than the needy one's."""
        patient = needy.demand.since + PATIENCE
        busy = [share for share in self.givers() if share.demand.since > patient]
        return max(busy, key=lambda share: share.demand.since, default=None)


def take_back(giver: Share | None) -> bool:
    """Take a permit from who misses it least; tell whether there was anybody."""
    if giver is None:
        return False
    # Of a type that spares none, a slot has to go: permits it has not used yet would not do.
    kept = giver.permits if giver.to_spare else min(giver.permits, max(1, giver.demand.size))
    giver.permits = kept - 1
    return True
