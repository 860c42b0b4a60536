"""The state of one resource type's pool, and the moves it can make.

A move changes a slot by one row of the transition table and notes the effect that carries it out.
Who makes which move is decided elsewhere: handlers say what happened, `settle.py` what follows.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import states
from pepperpy_resources.core.counters import BUCKETS, Counters
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire, Event
from pepperpy_resources.core.policy import Policy
from pepperpy_resources.core.slots import Lane, Slot
from pepperpy_resources.core.states import LENT, State
from pepperpy_resources.core.waiting import Deadlines


class Mode(StrEnum):
    """What the settle rule has to do even where nobody waits."""

    DRAINING = "draining"  # nobody is served any more
    FILLING = "filling"  # below min_idle, and a sweep has seen it
    SUSPECTING = "suspecting"  # a check failed, say: idle slots are checked in the background


DRAINING, FILLING, SUSPECTING = Mode.DRAINING, Mode.FILLING, Mode.SUSPECTING


class Pool:
    """One resource type: its slots, leases and queue. Changed by event handlers only."""

    def __init__(self, policy: Policy, counters: Counters) -> None:
        self.policy = policy
        self.counters = counters
        self.name = policy.name
        self.keyed = policy.keyed
        self.shared = policy.max_holders > 1
        self.lifo = policy.order == "lifo"
        self.checks = policy.check_on_acquire
        self.fresh_for = policy.fresh_for
        self.has_reset = policy.has_reset
        # A returned slot needs more than being laid by.
        always_checks = self.checks and policy.fresh_for <= 0
        self.careful = policy.has_reset or policy.keyed or self.shared or always_checks
        self.max_size = policy.max_size
        self.patient_for = policy.acquire_timeout
        self.max_waiting = policy.max_waiting
        self.use, self.use_counts = counters.use_seconds, counters.use_seconds.counts
        self.waited, self.wait_counts = counters.wait_seconds, counters.wait_seconds.counts

        self.now = 0.0
        self.effects: list[do.Effect] = []

        self.slots: dict[int, Slot] = {}
        self.size = 0  # slots that count against max_size: all but the abandoned
        # Longest idle first. A plain dict is twice as fast where slots are taken from its end; from
        # anywhere else only an OrderedDict removes without leaving holes to be skipped.
        self.idle: dict[int, Slot] = {} if self.lifo and not self.keyed else OrderedDict()
        self.pop_idle = next_out(self.idle)
        # How many slots are in each state but IDLE and LEASED, whose counts `self.idle` and the
        # rest of `self.slots` give: the hot path changes no count.
        self.counts = {s: 0 for s in State if s not in (states.IDLE, states.LEASED)}
        self.lanes: dict[str | None, Lane] = {}
        self.starved: OrderedDict[str | None, Lane] = OrderedDict()  # want, but the type is full
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
        self.armed = math.inf  # the earliest Wake asked for

    # -- figures

    @property
    def leased(self) -> int:
        """Slots held by borrowers, detached ones not counted."""
        return len(self.slots) - len(self.idle) - sum(self.counts.values())

    def has_room(self) -> bool:
        """Tell whether the limits of the whole type admit one more creation."""
        policy = self.policy
        return (
            self.size < policy.max_size
            and self.counts[states.OPENING] < policy.max_opening
            # With that many hooks that ignore their deadlines, more would only join the pile.
            and self.counts[states.ABANDONED] < policy.max_size
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

    def check(self, slot: Slot, *, promised: bool) -> None:
        """Start the check hook of an idle slot."""
        self.idle.pop(slot.number, None)
        self.move(slot, states.CHECK)
        self.promise(slot, promised=promised)
        self.hook_started(slot, self.policy.check_timeout)
        self.effects.append(do.Check(slot.number))

    def rest(self, slot: Slot) -> None:
        """Put a slot that has just become idle where it is found again."""
        self.promise(slot, promised=False)
        self.lay_by(slot, self.now)
        if slot.lane.tickets:
            self.put_back(slot)  # to the end that is handed out: it was made ready for a ticket
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

    # -- tickets and leases

    def lane_of(self, ticket: do.Wait) -> Lane:
        """Return the lane a queued ticket waits in."""
        return self.lanes[ticket.event.resource_id if self.keyed else None]

    def enqueue(self, ticket: do.Wait, event: Acquire) -> None:
        """Put a ticket at the end of its lane."""
        number, deadline, resource_id = ticket.ticket, ticket.deadline, event.resource_id
        self.tickets[number] = ticket
        if self.keyed:
            self.lanes[resource_id].tickets[number] = ticket
        elif resource_id != self.name:
            self.named[resource_id] = None
        if event.timeout is not None:
            self.ticket_deadlines.set(number, deadline)
        if deadline < self.patience:
            # Tickets with the spec's own timeout come due in the order they came in: one bound
            # for all of them is enough, and it may be earlier than need be.
            self.patience = deadline
            self.arm(deadline)

    def dequeue(self, ticket: do.Wait) -> None:
        """Take a ticket out of its lane, from any place."""
        number, event = ticket.ticket, ticket.event
        del self.tickets[number]
        if event.timeout is not None:
            self.ticket_deadlines.drop(number)
        if self.keyed:
            del self.lanes[event.resource_id].tickets[number]
        elif event.resource_id in self.named:
            del self.named[event.resource_id]

    def overdue_tickets(self) -> list[do.Wait]:
        """Return the tickets whose time has come; costs by what is due, not by what waits."""
        due = [self.tickets[number] for number in self.ticket_deadlines.pop_due(self.now)]
        if self.now >= self.patience:
            self.patience = math.inf
            for ticket in self.tickets.values():
                if ticket.event.timeout is None:
                    if ticket.deadline > self.now:
                        self.patience = ticket.deadline
                        break
                    due.append(ticket)
        return due

    def lend_to(self, ticket: do.Wait, slot: Slot, now: float) -> Lease:
        """Lease the slot to a queued ticket; the caller makes the effect of it."""
        self.dequeue(ticket)
        waited = now - ticket.since
        self.wait_counts[bisect_left(BUCKETS, waited)] += 1
        self.waited.total += waited
        return self.lend(slot, ticket.event, now, ticket.ticket)

    def deny(self, ticket: do.Wait, why: do.Why, outcome: str, error: Any = None) -> None:
        """Refuse a queued ticket; `outcome` is the label it is counted under."""
        self.dequeue(ticket)
        self.counters.acquires[outcome] += 1
        self.effects.append(do.Deny(ticket.ticket, why, ticket.event.resource_id, error))

    def lend(self, slot: Slot, acquire: Acquire, now: float, ticket: int = 0) -> Lease:
        """Lease the slot to whoever sent this acquire; the caller makes the effect of it."""
        slot.state = LENT
        counters, resource_id = self.counters, acquire.resource_id
        epoch = counters.acquired = counters.acquired + 1
        lease = Lease(epoch, slot.number, slot.resource, now, acquire, ticket)
        self.leases[epoch] = slot.leases[epoch] = lease
        if resource_id != self.name and not self.keyed:
            self.named[resource_id] = lease
        return lease

    def end(self, lease: Lease, slot: Slot, now: float) -> None:
        """End a lease; the caller makes the effect of it."""
        epoch, held, resource_id = lease.epoch, now - lease.since, lease.acquire.resource_id
        del self.leases[epoch]
        del slot.leases[epoch]
        if resource_id in self.named:
            del self.named[resource_id]
        self.use_counts[bisect_left(BUCKETS, held)] += 1
        self.use.total += held

    def end_all(self, slot: Slot) -> None:
        """End every lease on this slot on our side, while its holder still believes in it."""
        for epoch, lease in tuple(slot.leases.items()):
            self.end(lease, slot, self.now)
            self.effects.append(do.Ended(lease, late=True))
            self.remember_ended(epoch, lease.resource_id, self.now)

    def remember_ended(self, epoch: int, resource_id: str, at: float) -> None:
        """Keep a lease that ended on our side, so that its late release is recognised."""
        self.ended[epoch] = (resource_id, at)
        if resource_id != self.name:
            self.ended_ids.setdefault(resource_id, []).append(epoch)
            if not self.keyed:
                self.named[resource_id] = None
        if len(self.ended) > ENDED_KEPT:
            self.forget_ended(next(iter(self.ended)))

    def forget_ended(self, epoch: int) -> None:
        """Forget an ended lease: its id is free again."""
        resource_id, _ = self.ended.pop(epoch)
        if resource_id in self.ended_ids:
            self.ended_ids[resource_id].remove(epoch)
            if not self.ended_ids[resource_id]:
                del self.ended_ids[resource_id]
                self.named.pop(resource_id, None)
        self.effects.append(do.Forget(epoch))

    # -- choosing a slot

    def unfit(self, slot: Slot) -> do.Reason | None:
        """Return why this slot must not be handed out again, or None."""
        if slot.generation != self.generation:
            return do.Reason.CLEANUP if slot.generation < 0 else do.Reason.BROKEN
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


def next_out(idle: dict[int, Slot]) -> Callable[[], tuple[int, Slot]]:
    """Return what takes the next slot to be handed out from the idle ones."""
    if isinstance(idle, OrderedDict):
        return functools.partial(idle.popitem, last=False)
    return idle.popitem


ENDED_KEPT = 10_000
ENDED_FOR = 600.0  # seconds
