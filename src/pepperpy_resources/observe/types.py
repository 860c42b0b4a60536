"""The node of a resource type: slots, leases, queue, failures. Reads the pool; asks nobody."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pepperpy_resources.actors.blame import failure
from pepperpy_resources.actors.host import describe
from pepperpy_resources.actors.refusals import owner_name, where
from pepperpy_resources.core.pool import SUSPENDED
from pepperpy_resources.core.snapshot import slots_by_state
from pepperpy_resources.observe.node import (
    DependencyNode,
    HookError,
    LeaseNode,
    TicketNode,
    TypeNode,
)

if TYPE_CHECKING:
    from pepperpy_resources.actors.type_state import TypeState
    from pepperpy_resources.core.effects import Lease, Wait

# The oldest leases and tickets that are shown of one type, of perhaps thousands: whoever looks
# must not hold up the loop, and the oldest are those that matter.
MOST = 100

LONGEST = 1000  # characters of an error: some quote a whole request


def type_node(state: TypeState, now: float) -> TypeNode:
    """Return what is shown of one resource type; callable from any thread.

    Copies of whole dicts are made in one step of the interpreter, so the loop may go on meanwhile.
    """
    pool, counters = state.pool, state.pool.counters
    leases, tickets = tuple(pool.leases.values()), tuple(pool.tickets.values())
    return TypeNode(
        max_size=None if pool.cap == math.inf else pool.cap,
        budget="" if state.spec.budget is None else state.spec.budget.name,
        permits=None if pool.permits == math.inf else int(pool.permits),
        slots=some(slots_by_state(pool)),
        leased=len(leases),
        leases=[lease_node(lease, now) for lease in leases[:MOST]],
        waiting=len(tickets),
        queue=[ticket_node(ticket, now) for ticket in tickets[:MOST]],
        oldest_wait=now - tickets[0].since if tickets else 0.0,
        opened=counters.opened,
        closed=sum(counters.closed.values()),
        acquired=counters.acquired,
        overdue=counters.overdue,
        leaked=counters.leaked,
        suspended=SUSPENDED in pool.modes,
        abandoned_threads=state.hooks.workers.abandoned,
        refused=some(counters.acquires),
        errors=some(counters.errors),
        last_errors=[
            HookError(hook, text[:LONGEST], now - at)
            for at, hook, text in tuple(state.hooks.last_errors)[::-1]
        ],
        depends_on=[
            DependencyNode(name, "" if error is None else describe(error)[:LONGEST])
            for name, error in ((name, failure(below)) for name, below in state.depends_on.items())
        ],
    )


def some(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts that are not 0."""
    return {name: n for name, n in counts.items() if n}


def lease_node(lease: Lease, now: float) -> LeaseNode:
    """Return one lease."""
    owner = "" if lease.owner is None else owner_name(lease.owner)
    return LeaseNode(lease.resource_id, now - lease.since, owner, where(lease.site))


def ticket_node(ticket: Wait, now: float) -> TicketNode:
    """Return one acquire that waits."""
    asked = ticket.event
    owner = "" if asked.owner is None else owner_name(asked.owner)
    left = None if ticket.deadline == math.inf else ticket.deadline - now
    return TicketNode(asked.resource_id, now - ticket.since, left, owner)
