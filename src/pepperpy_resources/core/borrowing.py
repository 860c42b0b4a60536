"""What borrowers say: acquire, cancel, release, discard."""

from __future__ import annotations

import math
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import lending, queueing, states
from pepperpy_resources.core.events import Acquire, Cancel, Discard, Release
from pepperpy_resources.core.pool import DRAINING, SUSPENDED, Pool
from pepperpy_resources.core.settle import lacks_permit, provide, settle
from pepperpy_resources.core.slots import Lane, Slot


def acquire(pool: Pool, event: Acquire) -> None:
    """Grant at once if a slot is free and nobody waits; otherwise queue."""
    resource_id = event.resource_id
    if DRAINING in pool.modes:
        refuse(pool, do.Why.CLOSED, resource_id)
        return
    if pool.keyed:
        lane = keyed_lane(pool, event)
        if lane is None:
            return
    elif resource_id in pool.named:
        refuse(pool, do.Why.IN_USE, resource_id, pool.named[resource_id])
        return
    else:
        lane = pool.lanes[None]
    slot = None if lane.tickets or SUSPENDED in pool.modes else pool.take(lane)
    if slot is not None:
        pool.effects.append(lending.lend(pool, slot, event, pool.now))
    else:
        queue(pool, lane, event)


def keyed_lane(pool: Pool, event: Acquire) -> Lane | None:
    """Return the id's lane, or None after refusing keywords it was not built with."""
    lane = pool.lane(event.resource_id)
    if is_undecided(lane):
        lane.arguments = event.arguments
    elif event.arguments and not alike(event.arguments, lane.arguments):
        refuse(pool, do.Why.KEYWORDS, event.resource_id, lane.arguments)
        return None
    return lane


def is_undecided(lane: Lane) -> bool:
    """Tell whether nothing has been, or will be, built with the lane's factory arguments."""
    return not lane.tickets and (lane.slot is None or lane.slot.state is states.CLOSING)


def queue(pool: Pool, lane: Lane, event: Acquire) -> None:
    """Queue the acquire, start what it needs, and keep its asker waiting if that is allowed."""
    timeout = pool.policy.acquire_timeout if event.timeout is None else event.timeout
    # Whoever does not wait is denied below, after a creation was set off for the next one.
    deadline = pool.now + timeout if timeout > 0 else math.inf
    pool.last_ticket = number = pool.last_ticket + 1
    ticket = do.Wait(number, event, pool.now, deadline)
    pool.effects.append(ticket)
    queueing.enqueue(pool, ticket, event)
    provide(pool, lane)  # nothing can be granted: nothing was idle, or others wait before it
    denial = denied_at_once(pool, lane, timeout)
    if denial is not None:
        if timeout <= 0 and not lane.promised and lacks_permit(pool, lane):
            pool.wish = lane  # the creation it would have set off waits for it
        queueing.deny(pool, ticket, *denial, lane.error)
        settle(pool, lane)


def denied_at_once(pool: Pool, lane: Lane, timeout: float) -> tuple[do.Why, str] | None:
    """Return why a newly queued acquire may not wait, and what it is counted as."""
    if timeout <= 0:
        return do.Why.SUSPENDED if SUSPENDED in pool.modes else do.Why.TIMEOUT, "timeout"
    unpromised = len(lane.tickets) > lane.promised
    if unpromised and len(pool.tickets) - pool.promised > pool.max_waiting:
        return do.Why.QUEUE_FULL, "refused"
    # The circuit is open. Half-open, one creation probes and all wait for what it finds; where
    # a permit is missing for it they wait, too: it is given to nobody for whom nobody waits.
    probed = lane.promised or lacks_permit(pool, lane)
    if lane.failures and out_of_attempts(pool, lane) and not probed:
        return do.Why.BROKEN, "error"
    return None


def out_of_attempts(pool: Pool, lane: Lane) -> bool:
    """Tell whether the backoff's attempts are used up: acquires fail fast with the last cause."""
    attempts = pool.policy.backoff.attempts
    return attempts is not None and lane.failures >= attempts


def refuse(pool: Pool, why: do.Why, resource_id: str, detail: Any = None) -> None:
    """Deny an acquire that was never queued."""
    pool.counters.acquires["refused"] += 1
    pool.effects.append(do.Deny(0, why, resource_id, detail))


PLAIN = (str, bytes, int, float, bool, type(None))
DEEPEST = 32  # levels of nesting; deeper, or cyclic, arguments are compared by identity


def alike(given: Any, known: Any, depth: int = 0) -> bool:
    """Compare factory arguments: plain data by value, everything else by identity.

    A user's `__eq__` must not run inside a turn (law 2).
    """
    if given is known:
        return True
    if type(given) is not type(known) or depth > DEEPEST:
        return False
    if type(given) is dict:
        return alike_dicts(given, known, depth)  # pyright: ignore[reportUnknownArgumentType]
    if type(given) in (list, tuple):
        pairs = zip(given, known, strict=False)
        return len(given) == len(known) and all(alike(a, b, depth + 1) for a, b in pairs)
    return type(given) in PLAIN and bool(given == known)


def alike_dicts(given: dict[Any, Any], known: dict[Any, Any], depth: int) -> bool:
    """Compare dicts of plain keys."""
    if not all(type(key) is str for key in (*given, *known)) or given.keys() != known.keys():
        return False
    return all(alike(given[key], known[key], depth + 1) for key in given)


def cancel(pool: Pool, event: Cancel) -> None:
    """Take a ticket out of the queue; a creation it set off goes on, for the next one."""
    ticket = pool.tickets.get(event.ticket)
    if ticket is None:
        cancel_other(pool, event.ticket)
        return
    lane = queueing.lane_of(pool, ticket)
    queueing.dequeue(pool, ticket)
    pool.counters.acquires["cancelled"] += 1
    pool.effects.append(do.Drop(event.ticket))
    settle(pool, lane)


def cancel_other(pool: Pool, number: int) -> None:
    """Forget somebody who waits for something else than a lease."""
    waiting = len(pool.unready) + len(pool.pending)
    pool.unready = [ticket for ticket in pool.unready if ticket != number]
    pool.pending = [entry for entry in pool.pending if entry[0] != number]
    if len(pool.unready) + len(pool.pending) == waiting:
        pool.counters.stale += 1
    else:
        pool.effects.append(do.Drop(number))


def release(pool: Pool, event: Release) -> None:
    """End the lease and make its slot ready for the next borrower."""
    slot = give_back(pool, event)
    if slot is None:
        return
    lane, now = slot.lane, pool.now
    if slot.leases:
        pass  # a shared slot with holders left
    elif now >= slot.expires:
        pool.close(slot, pool.unfit(slot) or do.Reason.CLEANUP)
    elif pool.has_reset:
        pool.move(slot, states.RESET)
        pool.hook_started(slot, pool.policy.reset_timeout)
        pool.effects.append(do.Reset(slot.number))
    else:
        slot.state = states.RELEASE[slot.state]
        pool.lay_by(slot, now)
        if pool.checks_returns:
            check_returned(pool, slot)
        elif lane.tickets:
            pool.put_back(slot)  # to the end that is handed out, whatever idles before it
    settle(pool, lane)


def check_returned(pool: Pool, slot: Slot) -> None:
    """Check a slot that has just come back, for the next ticket if one waits."""
    if DRAINING not in pool.modes:
        pool.check(slot, promised=len(slot.lane.tickets) > slot.lane.promised)


def give_back(pool: Pool, event: Release | Discard) -> Slot | None:
    """End the lease this message means; return its slot, or None where there is no such lease."""
    lease = find(pool, event)
    if lease is None:
        return None
    slot = pool.slots[lease.slot]
    lending.end(pool, lease, slot, pool.now)
    pool.effects.append(do.Ended(lease))
    leave_to_others(pool, slot)
    return slot


def leave_to_others(pool: Pool, slot: Slot) -> None:
    """Let a drain wait no longer for a shared slot whose last holders it need not wait for."""
    if slot.leases and DRAINING in pool.modes and may_stay(pool, slot):
        pool.seen_gone(slot)


def discard(pool: Pool, event: Discard) -> None:
    """End the lease and close its slot, at once or when its last holder gives it back."""
    if event.error is not None:
        pool.counters.errors["use"] += 1
    slot = give_back(pool, event)
    if slot is None:
        return
    if event.lost:
        invalidate(pool, slot)
    if not slot.leases:
        pool.close(slot, do.Reason.BROKEN)
    elif slot.state is states.LEASED:
        pool.detach(slot)
    settle(pool, slot.lane)


def invalidate(pool: Pool, lost: Slot) -> None:
    """Start a new generation: whatever belongs to that of the lost slot is closed, now or later.

    A slot of an older generation says nothing about this one: it is as late as any late message.
    """
    if lost.generation != pool.generation:
        return
    pool.generation += 1
    for slot in tuple(pool.slots.values()):
        if slot.state is states.IDLE:
            pool.close(slot, do.Reason.BROKEN)
        elif slot.generation > 0:
            pool.expire(slot)


def find(pool: Pool, event: Release | Discard) -> do.Lease | None:
    """Return the live lease this message means, or settle that there is none.

    A lease that ended on our side is forgotten with its late release: a counted no-op, once.
    """
    resource_id, epoch = event.resource_id, event.epoch
    if epoch is not None:
        lease = pool.leases.get(epoch)
        if lease is not None and lease.acquire.resource_id == resource_id:
            return lease
    else:
        lease = keyed_lease(pool, resource_id) if pool.keyed else pool.named.get(resource_id)
        if lease is not None:
            return lease
        epoch = pool.ended_ids.get(resource_id, [0])[0]
    if epoch in pool.ended and pool.ended[epoch][0] == resource_id:
        lending.forget_ended(pool, epoch)
        pool.counters.stale += 1
    elif event.epoch is not None and 0 < event.epoch <= pool.counters.acquired:
        pool.counters.stale += 1  # fenced: a lease of before, whoever holds the id now
    else:
        pool.effects.append(do.Deny(0, do.Why.NOT_LEASED, resource_id))
    return None


def keyed_lease(pool: Pool, resource_id: str) -> do.Lease | None:
    """Return the lease that a bare release of a keyed id means: the oldest live one, if any.

    One whose slot was taken out by cleanup is older than any on the slot that took its place.
    """
    if pool.counts[states.DETACHED]:
        for lease in pool.leases.values():
            if lease.resource_id == resource_id:
                return lease
    lane = pool.lanes.get(resource_id)
    if lane is not None and lane.slot is not None and lane.slot.leases:
        return next(iter(lane.slot.leases.values()))
    return None


def is_held(slot: Slot) -> bool:
    """Tell whether a borrower has this slot."""
    return slot.state in (states.LEASED, states.DETACHED)


def may_stay(pool: Pool, slot: Slot) -> bool:
    """Tell whether a drain need not wait for this slot: nothing to close, or the drainer's own."""
    if not is_held(slot):
        return False
    if not pool.policy.has_close:
        return True
    owners = [lease.owner for lease in slot.leases.values()]
    return pool.ignoring is not None and all(owner is pool.ignoring for owner in owners)
