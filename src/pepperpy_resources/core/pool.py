"""The state of one resource type's pool, and the moves it can make.

A move changes a slot by one row of the transition table and notes the effect that carries it out.
Who makes which move is decided elsewhere: handlers say what happened, `settle.py` what follows.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from itertools import takewhile
from typing import Any, cast

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import states
from pepperpy_resources.core.counters import Counters
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Event
from pepperpy_resources.core.policy import Policy
from pepperpy_resources.core.slots import Lane, Slot
from pepperpy_resources.core.states import State
from pepperpy_resources.core.waiting import Deadlines


class Mode(StrEnum):
    """What the settle rule has to do even where nobody waits."""

    __hash__ = str.__hash__  # Enum's own is Python code, and felt: see State

    DRAINING = "draining"  # nobody is served any more
    FILLING = "filling"  # below min_idle, and a sweep has seen it
    SUSPECTING = "suspecting"  # a check failed, say: idle slots are checked in the background
    SUSPENDED = "suspended"  # nobody is served and nothing opened until it is resumed
    SHRINKING = "shrinking"  # more slots than max_size, since it was lowered
    RANKED = "ranked"  # a ticket of another priority waits
    WATCHED = "watched"  # nothing; but the short way, which leaves no effects to see, is closed


KEEPALIVE_JITTER = 0.25  # a slot's keepalive is up to so much shorter, as its lifetime is

DRAINING, FILLING, SUSPECTING = Mode.DRAINING, Mode.FILLING, Mode.SUSPECTING
SUSPENDED, SHRINKING, RANKED = Mode.SUSPENDED, Mode.SHRINKING, Mode.RANKED
WATCHED = Mode.WATCHED


class Pool:
    """One resource type: its slots, leases and queue. Changed by event handlers only."""

    def __init__(self, policy: Policy, counters: Counters) -> None:
        self.follow(policy)
        self.counters = counters
        self.use, self.use_counts = counters.use_seconds, counters.use_seconds.counts
        self.waited, self.wait_counts = counters.wait_seconds, counters.wait_seconds.counts

        self.now = 0.0
        self.effects: list[do.Effect] = []

        self.slots: dict[int, Slot] = {}
        self.size = 0  # slots that count against max_size: all but the abandoned
        # Longest idle first. A plain dict is twice as fast where slots are taken from its end; from
        # anywhere else only an OrderedDict removes without leaving holes to be skipped.
        plain = self.lifo and not self.keyed and self.keepalive == math.inf
        self.idle: dict[int, Slot] = {} if plain else OrderedDict()
        self.pop_idle = next_out(self.idle, lifo=self.lifo)
        # How many slots are in each state but IDLE and LEASED, whose counts `self.idle` and the
        # rest of `self.slots` give: the hot path changes no count.
        self.counts = {s: 0 for s in State if s not in (states.IDLE, states.LEASED)}
        self.lanes: dict[str | None, Lane] = {}
        self.starved: OrderedDict[str | None, Lane] = OrderedDict()  # want, but the type is full
        self.making_room: set[int] = set()  # slots that are being closed for those
        self.tickets: OrderedDict[int, do.Wait] = OrderedDict()  # oldest first
        self.leases: dict[int, Lease] = {}  # by epoch
        # Pooled: every id that is taken; its live lease, or None while its acquire is queued, or
        # until the late release of a lease that ended on our side is seen.
        self.named: dict[str, Lease | None] = {}
        self.ended: OrderedDict[int, tuple[str, float]] = OrderedDict()  # epoch -> id, when
        self.ended_ids: dict[str, list[int]] = {}  # the same by id
        self.pending: list[tuple[int, set[int]]] = []  # asker's ticket, slots it waits to see gone
        self.unready: list[int] = []  # askers of Ready

        self.generation = 1
        self.promised = 0  # the sum over all lanes
        self.last_slot = 0
        self.last_ticket = 0
        self.ready = False  # min_idle has been reached once
        self.modes: set[Mode] = set()
        self.ignoring: Any = None  # while draining: whose leases are not waited for

        self.patience = math.inf  # no ticket with the spec's own timeout comes due before it
        self.ticket_deadlines: Deadlines[int] = Deadlines()  # of tickets with one of their own
        self.hook_deadlines: Deadlines[int] = Deadlines()
        self.retries: Deadlines[str] = Deadlines()  # lane key, "" for the pooled lane
        self.lifetimes: Deadlines[int] = Deadlines()  # looked at by sweeps only
        self.keepalives: Deadlines[int] = Deadlines()  # slots to be checked; sweeps only
        self.holds: Deadlines[int] = Deadlines()  # leases, by epoch
        self.sheds: Deadlines[str] = Deadlines()  # lanes whose queue may have to be shed
        self.armed = math.inf  # the earliest Wake asked for
        self.demand: do.Demand | None = None  # as last told to the budget
        self.wish: Lane | None = None  # a creation it owes to the next one, once it has a permit

    def follow(self, policy: Policy) -> None:
        """Take the policy's numbers over: reading them off a Struct of a Struct would be felt."""
        self.policy = policy
        self.name = policy.name
        self.keyed = policy.keyed
        self.shared = policy.max_holders > 1
        self.lifo = policy.order == "lifo"
        self.checks = policy.check_on_acquire
        self.fresh_for = policy.fresh_for
        self.has_reset = policy.has_reset
        self.checks_returns = policy.check_on_return
        self.max_uses, self.max_hold = policy.max_uses, policy.max_hold
        self.max_queue_delay = policy.max_queue_delay
        self.keepalive = policy.keepalive
        self.budgeted = policy.budgeted
        limited = min(self.max_uses, self.max_hold, self.max_queue_delay) < math.inf
        # What the short way does not know: of an acquire, and of a slot that comes back.
        self.intricate = policy.keyed or limited or policy.budgeted
        always_checks = self.checks and policy.fresh_for <= 0
        checked_idle = self.checks_returns or self.keepalive < math.inf
        self.careful = self.intricate or policy.has_reset or always_checks or checked_idle
        # Limits that change while it runs. `cap` is the type's own, `permits` the budget's word.
        self.cap = policy.max_size
        self.permits = 0.0 if policy.budgeted else math.inf
        self.max_size = min(self.cap, self.permits)
        self.min_idle = policy.min_idle
        self.patient_for = policy.acquire_timeout
        self.max_waiting = policy.max_waiting

    # -- figures

    @property
    def leased(self) -> int:
        """Slots held by borrowers, detached ones not counted."""
        return len(self.slots) - len(self.idle) - sum(self.counts.values())

    def has_room(self) -> bool:
        """Tell whether the limits of the whole type admit one more creation."""
        policy = self.policy
        return (
            self.size < self.max_size
            and self.counts[states.OPENING] < policy.max_opening
            # With that many hooks that ignore their deadlines, more would only join the pile.
            # A budget has no say in that: they take none of its permits.
            and self.counts[states.ABANDONED] < self.cap
        )

    # -- moves

    def lane(self, key: str | None) -> Lane:
        """Return the lane of this key, made on demand."""
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(key, self.policy.max_opening)
            if not self.keyed:
                lane.tickets = self.tickets  # the only lane has all there are
        return lane

    def move(self, slot: Slot, row: states.Row) -> None:
        """Take one step of the transition table."""
        old, new = slot.state, row[slot.state]
        if old in self.counts:
            self.counts[old] -= 1
        if new in self.counts:
            self.counts[new] += 1
        slot.state = new

    def arm(self, at: float) -> None:
        """See to it that a Tick comes at `at` or before."""
        if at < self.armed:
            self.armed = at
            self.effects.append(do.Wake(at))

    def next_due(self) -> float:
        """Return when the next deadline of any kind comes due."""
        return min(
            self.patience,
            self.ticket_deadlines.next(),
            self.hook_deadlines.next(),
            self.retries.next(),
            self.holds.next(),
            self.sheds.next(),
        )

    def hook_started(self, slot: Slot, timeout: float) -> None:
        """Give the hook that an effect starts on this slot its deadline."""
        at = self.now + timeout
        self.hook_deadlines.set(slot.number, at)
        self.arm(at)

    def promise(self, slot: Slot, *, promised: bool) -> None:
        """Count the slot, or count it no more, as about to serve a ticket of its lane."""
        if slot.promised != promised:
            slot.promised = promised
            step = 1 if promised else -1
            slot.lane.promised += step
            self.promised += step

    def open(self, lane: Lane) -> None:
        """Make a slot and start its creation, which belongs to the pool and to no ticket."""
        self.last_slot += 1
        slot = Slot(self.last_slot, lane, states.OPENING, self.generation, self.now)
        self.add(slot)
        self.hook_started(slot, self.policy.create_timeout)
        self.effects.append(do.Open(slot.number, lane.key, lane.arguments))

    def add(self, slot: Slot) -> None:
        """Enter a slot that is not idle into the books."""
        lane = slot.lane
        self.slots[slot.number] = slot
        if slot.state is not states.ABANDONED:
            self.size += 1
        if slot.state in self.counts:
            self.counts[slot.state] += 1
        if slot.attached:
            lane.size += 1
            if self.keyed:
                lane.slot = slot
        if slot.state is states.OPENING:
            lane.opening += 1
            self.promise(slot, promised=True)

    def check(self, slot: Slot, *, promised: bool, background: bool = False) -> None:
        """Start the check hook of an idle slot; `background`: it is a keepalive, and no use."""
        slot.background = background
        self.idle.pop(slot.number, None)
        self.move(slot, states.CHECK)
        self.promise(slot, promised=promised)
        self.hook_started(slot, self.policy.check_timeout)
        self.effects.append(do.Check(slot.number))

    def rest(self, slot: Slot) -> None:
        """Put a slot that has just become idle where it is found again."""
        self.promise(slot, promised=False)
        used = slot.used
        self.lay_by(slot, self.now)
        if slot.lane.tickets:
            self.put_back(slot)  # to the end that is handed out: it was made ready for a ticket
        elif slot.background:
            slot.used = used  # nobody has used it: it goes on to have been idle as long as before
            self.put_first(slot)
        slot.background = False
        # Just made, checked or reset: good for this very turn, even where fresh_for is 0.
        this_turn = min(slot.expires, math.nextafter(self.now, math.inf))
        slot.good_until = max(slot.good_until, this_turn)
        self.effects.append(do.Idle(slot.number))

    def lay_by(self, slot: Slot, now: float) -> None:
        """Enter an idle slot among the idle ones."""
        slot.used = now
        slot.good_until = slot.expires
        if self.checks:
            slot.good_until = min(slot.expires, now + self.fresh_for)
        if self.keepalive < math.inf:
            spread = 1 - KEEPALIVE_JITTER * slot.chance
            self.keepalives.set(slot.number, now + self.keepalive * spread)
        self.idle[slot.number] = slot

    def close(self, slot: Slot, why: do.Reason) -> None:
        """Start the close hook; no lease may be left on the slot."""
        if slot.state is states.IDLE:
            self.idle.pop(slot.number, None)
        self.promise(slot, promised=False)
        self.move(slot, states.CLOSE)
        self.counters.closed[why] += 1
        self.hook_started(slot, self.policy.close_timeout)
        self.effects.append(do.Close(slot.number, why))

    def detach(self, slot: Slot) -> None:
        """Take a leased slot out: closed when its last holder gives it back."""
        self.move(slot, states.DETACH)
        self.leave_lane(slot)
        self.doom(slot)

    def doom(self, slot: Slot) -> None:
        """Never hand this slot out again, not even after a crash of the supervisor."""
        slot.generation = -1
        self.expire(slot)

    def expire(self, slot: Slot) -> None:
        """Have the slot closed when it comes back, whatever its lifetime."""
        slot.expires = slot.good_until = -math.inf
        self.effects.append(do.Doom(slot.number))

    def abandon(self, slot: Slot) -> None:
        """Stop waiting for a hook that ignored its deadline: its slot counts no more."""
        opening = slot.state is states.OPENING
        self.promise(slot, promised=False)
        self.move(slot, states.OVERDUE)
        self.size -= 1
        if opening:
            slot.lane.opening -= 1
        self.making_room.discard(slot.number)
        self.leave_lane(slot)
        self.effects.append(do.Abandon(slot.number))
        self.seen_gone(slot)

    def remove(self, slot: Slot, row: states.Row) -> None:
        """Strike a slot off the books."""
        opening = slot.state is states.OPENING
        if slot.state is not states.ABANDONED:
            self.size -= 1
        self.promise(slot, promised=False)
        self.move(slot, row)
        self.counts[states.GONE] -= 1
        if opening:
            slot.lane.opening -= 1
        del self.slots[slot.number]
        self.hook_deadlines.drop(slot.number)
        self.lifetimes.drop(slot.number)
        self.keepalives.drop(slot.number)
        self.making_room.discard(slot.number)
        self.leave_lane(slot)
        self.effects.append(do.Gone(slot.number))
        self.seen_gone(slot)

    def leave_lane(self, slot: Slot) -> None:
        """Free the slot's place in its lane, once."""
        if slot.attached:
            slot.attached = False
            slot.lane.size -= 1
            if slot.lane.slot is slot:
                slot.lane.slot = None

    def seen_gone(self, slot: Slot) -> None:
        """Answer those who waited for this slot to go."""
        for ticket, awaited in self.pending:
            if slot.number in awaited:
                awaited.discard(slot.number)
                if not awaited:
                    self.effects.append(do.Answer(ticket))
        self.pending = [entry for entry in self.pending if entry[1]]

    def answer_when_gone(self, event: Event, awaited: set[int]) -> None:
        """Keep the asker waiting until all these slots are gone or abandoned."""
        if awaited:
            self.pending.append((self.wait(event).ticket, awaited))

    def wait(self, event: Event) -> do.Wait:
        """Keep the asker of this event waiting; return its ticket."""
        self.last_ticket += 1
        ticket = do.Wait(self.last_ticket, event, self.now)
        self.effects.append(ticket)
        return ticket

    # -- choosing a slot

    def unfit(self, slot: Slot) -> do.Reason | None:
        """Return why this slot must not be handed out again, or None."""
        if slot.generation != self.generation:
            return do.Reason.CLEANUP if slot.generation < 0 else do.Reason.BROKEN
        if slot.uses >= self.max_uses:
            return do.Reason.USES
        return do.Reason.LIFETIME if self.now >= slot.expires else None

    def take(self, lane: Lane) -> Slot | None:
        """Return a slot that may be granted at once; close the unfit ones met on the way."""
        idle = self.idle
        while idle:
            if self.keyed:
                slot = lane.slot
                if slot is None or slot.state is not states.IDLE:
                    break
                del idle[slot.number]
            else:
                slot = self.pop_idle()[1]
            if self.now < slot.good_until:
                return slot
            if (why := self.unfit(slot)) is None:  # to be checked first
                self.put_back(slot)
                return None
            self.close(slot, why)
        return self.take_shared(lane) if self.shared else None

    def put_back(self, slot: Slot) -> None:
        """Return a slot that was taken but not granted to its place among the idle ones."""
        self.idle[slot.number] = slot
        if not self.lifo and isinstance(self.idle, OrderedDict):
            self.idle.move_to_end(slot.number, last=False)

    def put_first(self, slot: Slot) -> None:
        """Put an idle slot before all that were used later: it is not to be handed out sooner."""
        idle = cast("OrderedDict[int, Slot]", self.idle)  # as it is with a keepalive
        older = takewhile(lambda other: other.used < slot.used, idle.values())
        first = [other.number for other in older]
        for number in (slot.number, *reversed(first)):
            idle.move_to_end(number, last=False)

    def next_idle(self, lane: Lane) -> Slot | None:
        """Return the idle slot whose turn it is."""
        if self.keyed:
            slot = lane.slot
            return slot if slot is not None and slot.state is states.IDLE else None
        if not self.idle:
            return None
        return self.idle[next(reversed(self.idle) if self.lifo else iter(self.idle))]

    def take_shared(self, lane: Lane) -> Slot | None:
        """Return the lane's leased slot if it admits one more holder."""
        slot = lane.slot
        if slot is None or slot.state is not states.LEASED or self.unfit(slot):
            return None
        return slot if len(slot.leases) < self.policy.max_holders else None


def next_out(idle: dict[int, Slot], *, lifo: bool) -> Callable[[], tuple[int, Slot]]:
    """Return what takes the next slot to be handed out from the idle ones."""
    if isinstance(idle, OrderedDict) and not lifo:
        return functools.partial(idle.popitem, last=False)
    return idle.popitem
