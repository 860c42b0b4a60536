"""Leases: how they begin and end, and what is remembered of those that ended on our side."""

from __future__ import annotations

import math
from bisect import bisect_left

from pepperpy_resources.core import effects as do
from pepperpy_resources.core.counters import BUCKETS
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.core.queueing import dequeue, lane_of
from pepperpy_resources.core.slots import Slot
from pepperpy_resources.core.states import LENT

ENDED_KEPT = 10_000
ENDED_FOR = 600.0  # seconds


def lend_to(pool: Pool, ticket: do.Wait, slot: Slot, now: float) -> Lease:
    """Lease the slot to a queued ticket; the caller makes the effect of it."""
    waited = now - ticket.since
    if waited < pool.max_queue_delay:
        lane_of(pool, ticket).calm_at = now
    dequeue(pool, ticket)
    pool.wait_counts[bisect_left(BUCKETS, waited)] += 1
    pool.waited.total += waited
    return lend(pool, slot, ticket.event, now, ticket.ticket)


def lend(pool: Pool, slot: Slot, acquire: Acquire, now: float, ticket: int = 0) -> Lease:
    """Lease the slot to whoever sent this acquire; the caller makes the effect of it."""
    slot.state = LENT
    counters, resource_id = pool.counters, acquire.resource_id
    epoch = counters.acquired = counters.acquired + 1
    lease = Lease(epoch, slot.number, slot.resource, now, acquire, ticket)
    pool.leases[epoch] = slot.leases[epoch] = lease
    if resource_id != pool.name and not pool.keyed:
        pool.named[resource_id] = lease
    if pool.max_uses < math.inf:
        slot.uses += 1
        if slot.uses >= pool.max_uses:
            pool.expire(slot)
    if pool.max_hold < math.inf:
        limit_hold(pool, lease)
    return lease


def limit_hold(pool: Pool, lease: Lease) -> None:
    """Be woken when the lease has been held too long."""
    at = lease.since + pool.max_hold
    pool.holds.set(lease.epoch, at)
    pool.arm(at)


def end(pool: Pool, lease: Lease, slot: Slot, now: float) -> None:
    """End a lease; the caller makes the effect of it."""
    epoch, held, resource_id = lease.epoch, now - lease.since, lease.acquire.resource_id
    del pool.leases[epoch]
    del slot.leases[epoch]
    if pool.max_hold < math.inf:
        pool.holds.drop(epoch)
    if resource_id in pool.named:
        del pool.named[resource_id]
    pool.use_counts[bisect_left(BUCKETS, held)] += 1
    pool.use.total += held


def end_late(pool: Pool, lease: Lease, slot: Slot) -> None:
    """End a lease on our side, while its holder still believes in it."""
    end(pool, lease, slot, pool.now)
    pool.effects.append(do.Ended(lease, late=True))
    remember_ended(pool, lease.epoch, lease.resource_id, pool.now)


def end_all(pool: Pool, slot: Slot) -> None:
    """End every lease on this slot on our side."""
    for lease in tuple(slot.leases.values()):
        end_late(pool, lease, slot)


def remember_ended(pool: Pool, epoch: int, resource_id: str, at: float) -> None:
    """Keep a lease that ended on our side, so that its late release is recognised."""
    pool.ended[epoch] = (resource_id, at)
    if resource_id != pool.name:
        pool.ended_ids.setdefault(resource_id, []).append(epoch)
        if not pool.keyed:
            pool.named[resource_id] = None
    if len(pool.ended) > ENDED_KEPT:
        forget_ended(pool, next(iter(pool.ended)))


def forget_ended(pool: Pool, epoch: int) -> None:
    """Forget an ended lease: its id is free again."""
    resource_id, _ = pool.ended.pop(epoch)
    if resource_id in pool.ended_ids:
        pool.ended_ids[resource_id].remove(epoch)
        if not pool.ended_ids[resource_id]:
            del pool.ended_ids[resource_id]
            pool.named.pop(resource_id, None)
    pool.effects.append(do.Forget(epoch))
