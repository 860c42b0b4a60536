"""The queue: tickets come in, are ordered, are answered or denied, and leave it from any place.

Priority: a ticket of priority p is served as if it had come in p times `ageing` seconds earlier.
Because everyone ages alike, that order never changes while they wait, and nobody starves: who came
in that much earlier goes first, whatever its priority.

Shedding (after CoDel, with one knob): a queue in which nobody was served within `max_queue_delay`
for twenty times as long *stands*. From then on, until it has been empty once, whoever has waited
longer than `max_queue_delay` is refused. A short burst, however high, is served.
"""

from __future__ import annotations

import math
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core.events import Acquire
from pepperpy_resources.core.pool import RANKED, SUSPENDED, Pool
from pepperpy_resources.core.slots import Lane
from pepperpy_resources.core.waiting import Deadlines

INTERVAL = 20  # times max_queue_delay: CoDel's ratio of interval to target


def lane_of(pool: Pool, ticket: do.Wait) -> Lane:
    """Return the lane a queued ticket waits in."""
    return pool.lanes[ticket.event.resource_id if pool.keyed else None]


def enqueue(pool: Pool, ticket: do.Wait, event: Acquire) -> None:
    """Put a ticket into its lane, behind everyone of its priority."""
    number, deadline, resource_id = ticket.ticket, ticket.deadline, event.resource_id
    lane = lane_of(pool, ticket)
    if not lane.tickets:
        lane.calm_at = pool.now
    pool.tickets[number] = ticket
    if pool.keyed:
        lane.tickets[number] = ticket
    elif resource_id != pool.name:
        pool.named[resource_id] = None
    if event.timeout is not None:
        pool.ticket_deadlines.set(number, deadline)
    if deadline < pool.patience:
        # Tickets with the spec's own timeout come due in the order they came in: one bound
        # for all of them is enough, and it may be earlier than need be.
        pool.patience = deadline
        pool.arm(deadline)
    rank(pool, lane, ticket)
    if pool.max_queue_delay < math.inf:
        watch(pool, lane)


def dequeue(pool: Pool, ticket: do.Wait) -> None:
    """Take a ticket out of its lane, from any place."""
    number, event = ticket.ticket, ticket.event
    del pool.tickets[number]
    if event.timeout is not None:
        pool.ticket_deadlines.drop(number)
    lane = lane_of(pool, ticket)
    if pool.keyed:
        del lane.tickets[number]
    elif event.resource_id in pool.named:
        del pool.named[event.resource_id]
    if lane.ranks is not None:
        lane.ranks.drop(number)
    if not lane.tickets:
        lane.ranks, lane.standing = None, False
        if not pool.keyed:
            pool.modes.discard(RANKED)


def overdue_tickets(pool: Pool) -> list[do.Wait]:
    """Return the tickets whose time has come; costs by what is due, not by what waits."""
    due = [pool.tickets[number] for number in pool.ticket_deadlines.pop_due(pool.now)]
    if pool.now >= pool.patience:
        pool.patience = math.inf
        for ticket in pool.tickets.values():
            if ticket.event.timeout is None:
                if ticket.deadline > pool.now:
                    pool.patience = ticket.deadline
                    break
                due.append(ticket)
    return due


def deny(pool: Pool, ticket: do.Wait, why: do.Why, outcome: str, error: Any = None) -> None:
    """Refuse a queued ticket; `outcome` is the label it is counted under."""
    dequeue(pool, ticket)
    pool.counters.acquires[outcome] += 1
    pool.effects.append(do.Deny(ticket.ticket, why, ticket.event.resource_id, error))


def time_out(pool: Pool, ticket: do.Wait) -> None:
    """Refuse a ticket whose time is up."""
    why = do.Why.SUSPENDED if SUSPENDED in pool.modes else do.Why.TIMEOUT
    deny(pool, ticket, why, "timeout", lane_of(pool, ticket).error)


# -- priority


def rank(pool: Pool, lane: Lane, ticket: do.Wait) -> None:
    """Order the lane by priority, from the first ticket on that has one of its own."""
    if lane.ranks is not None:
        lane.ranks.set(ticket.ticket, place(pool, ticket))
    elif ticket.event.priority not in (None, pool.policy.priority):
        lane.ranks = Deadlines()
        for waiting in lane.tickets.values():
            lane.ranks.set(waiting.ticket, place(pool, waiting))
        if not pool.keyed:
            pool.modes.add(RANKED)  # the short way knows no priorities


def place(pool: Pool, ticket: do.Wait) -> float:
    """Return when the ticket would have come in, had it had the type's own priority."""
    own, priority = pool.policy.priority, ticket.event.priority
    return (
        ticket.since if priority is None else ticket.since - (priority - own) * pool.policy.ageing
    )


def first(lane: Lane) -> do.Wait:
    """Return the ticket whose turn it is."""
    number = next(iter(lane.tickets)) if lane.ranks is None else lane.ranks.first()
    return lane.tickets[number]


# -- shedding


def shed(pool: Pool, lane: Lane) -> None:
    """Refuse whoever has waited too long in a queue that stands."""
    target, now = pool.max_queue_delay, pool.now
    lane.standing = lane.standing or now >= lane.calm_at + INTERVAL * target
    while lane.standing:  # until its last ticket has left it
        oldest = lane.tickets[next(iter(lane.tickets))]
        if now < oldest.since + target:
            break
        deny(pool, oldest, do.Why.OVERLOADED, "refused", lane.error)
    if lane.tickets:
        watch(pool, lane)


def watch(pool: Pool, lane: Lane) -> None:
    """Be woken when the oldest ticket is to be refused, should nothing else have happened."""
    at = lane.tickets[next(iter(lane.tickets))].since + pool.max_queue_delay
    if not lane.standing:
        at = max(at, lane.calm_at + INTERVAL * pool.max_queue_delay)
    pool.sheds.set(lane.key or "", at)
    pool.arm(at)
