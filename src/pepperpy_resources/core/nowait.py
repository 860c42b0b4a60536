"""The short way: the commonest acquire and release of a pooled type, written out in full.

Each does at once exactly what the long way (`borrowing.py`, `settle.py`) would do, without a list
of effects and without a call in between, or it returns None and has changed nothing: then the long
way decides. `lend`, `end`, `lend_to` and `lay_by` of the pool stand here a second time, because the
calls would be felt in every cycle; tests/core/test_short_way.py holds both ways against each other.
"""

from __future__ import annotations

from bisect import bisect_left

from pepperpy_resources.core.counters import BUCKETS
from pepperpy_resources.core.effects import Lease, Wait
from pepperpy_resources.core.events import Acquire, Release
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.core.slots import Slot
from pepperpy_resources.core.states import LAID_BY, LENT

Returned = tuple[Lease, Lease | None]


def acquire_nowait(pool: Pool, event: Acquire, now: float) -> Lease | Wait | None:
    """Grant an idle slot, or queue where every slot is out; the lease or ticket is the effect."""
    resource_id = event.resource_id
    if pool.modes or pool.intricate or resource_id in pool.named:
        return None
    if not pool.idle or pool.tickets:
        return queue_nowait(pool, event, now)
    slot = pool.pop_idle()[1]
    if now >= slot.good_until:
        pool.put_back(slot)
        return None
    slot.state = LENT
    counters = pool.counters
    epoch = counters.acquired = counters.acquired + 1
    lease = pool.leases[epoch] = slot.leases[epoch] = Lease(
        epoch, slot.number, slot.resource, now, event
    )
    if resource_id != pool.name:
        pool.named[resource_id] = lease
    return lease


def queue_nowait(pool: Pool, event: Acquire, now: float) -> Wait | None:
    """Queue an acquire for which nothing can be opened and no timer need be set."""
    if pool.idle or pool.size < pool.max_size or event.timeout is not None:
        return None
    if event.priority is not None or len(pool.tickets) >= pool.max_waiting:
        return None
    if pool.lanes[None].failures:  # there may be no attempts left: then it is not to wait
        return None
    deadline = now + pool.patient_for
    if deadline < pool.patience:
        return None
    number = pool.last_ticket = pool.last_ticket + 1
    ticket = pool.tickets[number] = Wait(number, event, now, deadline)
    if event.resource_id != pool.name:
        pool.named[event.resource_id] = None
    return ticket


def release_nowait(pool: Pool, event: Release, now: float) -> Returned | None:
    """End a lease; lay its slot by, or hand it to who waits longest.

    Returns the lease that ended and the one that was granted in its place, if any.
    """
    if pool.modes or pool.careful:
        return None
    resource_id, epoch = event.resource_id, event.epoch
    lease = pool.named.get(resource_id) if epoch is None else pool.leases.get(epoch)
    if lease is None or lease.acquire.resource_id != resource_id:
        return None
    slot = pool.slots[lease.slot]
    if now >= slot.expires:
        return None
    if pool.tickets:
        return hand_over(pool, lease, slot, now)
    epoch, held = lease.epoch, now - lease.since
    del pool.leases[epoch]
    del slot.leases[epoch]
    if resource_id != pool.name:
        del pool.named[resource_id]
    pool.use_counts[bisect_left(BUCKETS, held)] += 1
    pool.use.total += held
    slot.state = LAID_BY
    slot.used = now
    if pool.checks:
        stale_at = now + pool.fresh_for
        slot.good_until = stale_at if stale_at < slot.expires else slot.expires  # noqa: FURB136 - a call
    pool.idle[slot.number] = slot
    return lease, None


def hand_over(pool: Pool, ended: Lease, slot: Slot, now: float) -> Returned | None:
    """Pass the slot of a lease that ends on to the oldest ticket; it stays leased throughout."""
    if pool.idle:
        return None
    number, ticket = pool.tickets.popitem(last=False)
    if ticket.deadline <= now:
        pool.tickets[number] = ticket
        pool.tickets.move_to_end(number, last=False)
        return None
    event, leases, name = ticket.event, pool.leases, pool.name
    if event.timeout is not None:
        pool.ticket_deadlines.drop(number)
    del leases[ended.epoch]
    del slot.leases[ended.epoch]
    if ended.acquire.resource_id != name:
        del pool.named[ended.acquire.resource_id]
    held, waited = now - ended.since, now - ticket.since
    pool.use_counts[bisect_left(BUCKETS, held)] += 1
    pool.use.total += held
    pool.wait_counts[bisect_left(BUCKETS, waited)] += 1
    pool.waited.total += waited
    counters = pool.counters
    epoch = counters.acquired = counters.acquired + 1
    granted = leases[epoch] = slot.leases[epoch] = Lease(
        epoch, slot.number, slot.resource, now, event, number
    )
    if event.resource_id != name:
        pool.named[event.resource_id] = granted
    return ended, granted
