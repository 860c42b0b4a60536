"""What borrowers say: acquire, cancel, release, discard."""

from __future__ import annotations

import math
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import states
from pepperpy_resources.core.events import Acquire, Cancel, Discard, Release
from pepperpy_resources.core.pool import QUEUED, Pool
from pepperpy_resources.core.settle import settle
from pepperpy_resources.core.slots import Lane, Slot, Ticket


def acquire(pool: Pool, event: Acquire, ticket: int) -> None:
    """Grant at once if a slot is free and nobody waits; otherwise queue."""
    resource_id = event.resource_id
    if pool.draining:
        refuse(pool, ticket, do.Why.CLOSED, resource_id)
        return
    if resource_id in pool.named and not pool.keyed:
        refuse(pool, ticket, do.Why.IN_USE, resource_id, pool.leases.get(pool.named[resource_id]))
        return
    lane = pool.lanes.get(resource_id if pool.keyed else None)
    if lane is None:
        lane = pool.lane(resource_id)
    if not lane.size and not lane.tickets:
        lane.arguments = event.arguments  # nothing has been built with others
    elif event.arguments and not alike(event.arguments, lane.arguments):
        refuse(pool, ticket, do.Why.KEYWORDS, resource_id, lane.arguments)
        return
    if not lane.tickets:
        slot = pool.take(lane)
        if slot is not None:
            pool.wait_counts[0] += 1
            pool.grant(slot, ticket, resource_id, event.owner, event.site)
            return
    queue(pool, lane, event, ticket)


def queue(pool: Pool, lane: Lane, event: Acquire, number: int) -> None:
    """Queue the acquire, start what it needs, and keep its asker waiting if that is allowed."""
    timeout = pool.policy.acquire_timeout if event.timeout is None else event.timeout
    ticket = Ticket(
        number,
        event.resource_id,
        lane,
        pool.now,
        # Whoever does not wait is denied below, after a creation was set off for the next one.
        pool.now + timeout if timeout > 0 else math.inf,
        event.owner,
        event.arguments,
        event.site,
    )
    pool.enqueue(ticket)
    settle(pool, lane)
    if number not in pool.tickets:
        return
    if timeout <= 0:
        pool.deny(ticket, do.Why.TIMEOUT, "timeout", lane.error)
    elif len(pool.tickets) - pool.promised > pool.policy.max_waiting:
        pool.deny(ticket, do.Why.QUEUE_FULL, "refused")
    elif lane.failures and out_of_attempts(pool, lane) and not lane.promised:
        pool.deny(ticket, do.Why.BROKEN, "error", lane.error)
    else:
        pool.arm(ticket.deadline)
        pool.effects.append(do.Wait(number, ticket.deadline))


def out_of_attempts(pool: Pool, lane: Lane) -> bool:
    """Tell whether the backoff's attempts are used up: acquires fail fast with the last cause."""
    attempts = pool.policy.backoff.attempts
    return attempts is not None and lane.failures >= attempts


def refuse(pool: Pool, ticket: int, why: do.Why, resource_id: str, detail: Any = None) -> None:
    """Deny an acquire that was never queued."""
    pool.counters.acquires["refused"] += 1
    pool.effects.append(do.Deny(ticket, why, resource_id, detail))


PLAIN = (str, bytes, int, float, bool, type(None))


def alike(given: Any, known: Any) -> bool:
    """Compare factory arguments: plain data by value, everything else by identity.

    A user's `__eq__` must not run inside a turn (law 2).
    """
    if given is known:
        return True
    if type(given) is not type(known):
        return False
    if isinstance(given, dict):
        return given.keys() == known.keys() and all(alike(given[k], known[k]) for k in given)
    if type(given) in (list, tuple):
        return len(given) == len(known) and all(map(alike, given, known))
    return type(given) in PLAIN and bool(given == known)


def cancel(pool: Pool, event: Cancel, _: int) -> Lane | None:
    """Take a ticket out of the queue; a creation it set off goes on, for the next one."""
    ticket = pool.tickets.get(event.ticket)
    if ticket is None:
        pool.counters.stale += 1
        return None
    pool.dequeue(ticket)
    pool.counters.acquires["cancelled"] += 1
    return ticket.lane


def release(pool: Pool, event: Release, ticket: int) -> Lane | None:
    """End the lease and make its slot ready for the next borrower."""
    grant = find(pool, event, ticket)
    if grant is None:
        return None
    slot = pool.end(grant, late=False)
    if slot.epochs:
        return slot.lane  # a shared slot with holders left
    why = do.Reason.CLEANUP if slot.state is states.DETACHED else pool.unfit(slot)
    if why is not None:
        pool.close(slot, why)
    elif pool.policy.has_reset:
        pool.move(slot, states.RESET)
        pool.hook_started(slot, pool.policy.reset_timeout)
        pool.effects.append(do.Reset(slot.number))
    else:
        slot.state = states.RELEASE[slot.state]
        slot.used = pool.now
        pool.idle[slot.number] = slot
    return slot.lane


def discard(pool: Pool, event: Discard, ticket: int) -> Lane | None:
    """End the lease and close its slot, at once or when its last holder gives it back."""
    if event.error is not None:
        pool.counters.errors["use"] += 1
    grant = find(pool, event, ticket)
    if grant is None:
        return None
    slot = pool.end(grant, late=False)
    if event.lost:
        invalidate(pool)
    if not slot.epochs:
        pool.close(slot, do.Reason.BROKEN)
    elif slot.state is states.LEASED:
        pool.detach(slot)
    return slot.lane


def invalidate(pool: Pool) -> None:
    """Start a new generation: whatever belongs to the old one is closed, now or on return."""
    pool.generation += 1
    for slot in tuple(pool.slots.values()):
        if slot.state is states.IDLE:
            pool.close(slot, do.Reason.BROKEN)
        else:
            pool.effects.append(do.Doom(slot.number))


def find(pool: Pool, event: Release | Discard, ticket: int) -> do.Grant | None:
    """Return the live lease this message means, or settle that there is none.

    A lease that ended on our side is forgotten with its late release: a counted no-op, once.
    """
    resource_id, epoch = event.resource_id, event.epoch
    if epoch is None:
        epoch = pool.named.get(resource_id, QUEUED)
        if pool.keyed:
            lane = pool.lanes.get(resource_id)
            if lane is not None and lane.slot is not None and lane.slot.epochs:
                epoch = lane.slot.epochs[0]
            elif epoch == QUEUED:
                epoch = detached_epoch(pool, resource_id)
    grant = pool.leases.get(epoch)
    if grant is not None and grant.resource_id == resource_id:
        return grant
    if epoch in pool.ended and pool.ended[epoch][0] == resource_id:
        pool.forget_ended(epoch)
        pool.counters.stale += 1
    elif event.epoch is not None and 0 < event.epoch <= pool.last_epoch:
        pool.counters.stale += 1  # fenced: a lease of before, whoever holds the id now
    else:
        pool.effects.append(do.Deny(ticket, do.Why.NOT_LEASED, resource_id))
    return None


def detached_epoch(pool: Pool, resource_id: str) -> int:
    """Return the oldest lease of a keyed id whose slot was taken out by cleanup."""
    held = (e for e, grant in pool.leases.items() if grant.resource_id == resource_id)
    return next(held, QUEUED)


def is_held(slot: Slot) -> bool:
    """Tell whether a borrower has this slot."""
    return slot.state in (states.LEASED, states.DETACHED)
