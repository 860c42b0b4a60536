"""The queue: tickets come in, are answered or denied, and leave it from any place."""

from __future__ import annotations

import math
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core.events import Acquire
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.core.slots import Lane


def lane_of(pool: Pool, ticket: do.Wait) -> Lane:
    """Return the lane a queued ticket waits in."""
    return pool.lanes[ticket.event.resource_id if pool.keyed else None]


def enqueue(pool: Pool, ticket: do.Wait, event: Acquire) -> None:
    """Put a ticket at the end of its lane."""
    number, deadline, resource_id = ticket.ticket, ticket.deadline, event.resource_id
    pool.tickets[number] = ticket
    if pool.keyed:
        pool.lanes[resource_id].tickets[number] = ticket
    elif resource_id != pool.name:
        pool.named[resource_id] = None
    if event.timeout is not None:
        pool.ticket_deadlines.set(number, deadline)
    if deadline < pool.patience:
        # Tickets with the spec's own timeout come due in the order they came in: one bound
        # for all of them is enough, and it may be earlier than need be.
        pool.patience = deadline
        pool.arm(deadline)


def dequeue(pool: Pool, ticket: do.Wait) -> None:
    """Take a ticket out of its lane, from any place."""
    number, event = ticket.ticket, ticket.event
    del pool.tickets[number]
    if event.timeout is not None:
        pool.ticket_deadlines.drop(number)
    if pool.keyed:
        del pool.lanes[event.resource_id].tickets[number]
    elif event.resource_id in pool.named:
        del pool.named[event.resource_id]


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
