"""The settle rule: who can be served now, and what must be opened, checked or closed for it.

It runs after every event on the lane the event touched. Because everything that frees capacity
(a release, a failed creation, a closed slot, a timer) ends here, no event can free something and
wake nobody.
"""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import lending, queueing, states
from pepperpy_resources.core.pool import (
    DRAINING,
    FILLING,
    SHRINKING,
    SUSPECTING,
    SUSPENDED,
    Pool,
)
from pepperpy_resources.core.slots import Lane


def settle(pool: Pool, lane: Lane) -> None:
    """Serve the lane's tickets in order, and start what the rest of them need."""
    if lane.tickets and pool.max_queue_delay < math.inf:
        queueing.shed(pool, lane)
    if pool.modes and SHRINKING in pool.modes:
        shrink(pool)
    if lane.tickets:
        serve(pool, lane)
    if pool.modes:
        extras(pool, lane)
    if lane.tickets:
        provide(pool, lane)
    elif pool.keyed and pool.lanes.get(lane.key) is lane:  # else another has taken its key since
        pool.starved.pop(lane.key, None)
        if not lane.size and pool.now >= lane.forget_at:  # or its failures would be forgotten
            del pool.lanes[lane.key]


def settle_failed(pool: Pool, lane: Lane) -> None:
    """Settle a lane after a failure; a key that may try again does so after those that starve."""
    if pool.starved and lane.tickets and lane_may_open(pool, lane):
        pool.starved[lane.key] = lane  # the last of them; `relieve` follows
    else:
        settle(pool, lane)


def extras(pool: Pool, lane: Lane) -> None:
    """Do what the pool's modes ask for, whether anyone waits or not."""
    if DRAINING in pool.modes:
        for slot in tuple(pool.idle.values()):
            pool.close(slot, do.Reason.SHUTDOWN)
    if SUSPECTING in pool.modes:
        probe(pool)
    if FILLING in pool.modes:
        fill(pool, lane)


def serve(pool: Pool, lane: Lane) -> None:
    """Grant what can be granted, in the order of the tickets."""
    if pool.modes and SUSPENDED in pool.modes:
        return
    now, tickets = pool.now, lane.tickets
    while tickets and (pool.idle or pool.shared):
        ticket = queueing.first(lane)
        if ticket.deadline <= now:  # its Tick is late; it must not be served past its deadline
            queueing.time_out(pool, ticket)
            continue
        slot = pool.take(lane)
        if slot is None:
            return
        pool.effects.append(lending.lend_to(pool, ticket, slot, now))


def shrink(pool: Pool) -> None:
    """Close idle slots, longest idle first, until no more are left than max_size admits."""
    while pool.idle and pool.size - pool.counts[states.CLOSING] > pool.max_size:
        pool.close(next(iter(pool.idle.values())), do.Reason.RESIZED)
    if pool.size <= pool.max_size:
        pool.modes.discard(SHRINKING)


def provide(pool: Pool, lane: Lane) -> None:
    """Start a check or a creation for every ticket that none is promised to yet."""
    if pool.size >= pool.max_size and not pool.idle and not pool.keyed:
        return  # the usual state of a busy pool: whatever frees a slot settles this lane again
    if pool.modes and SUSPENDED in pool.modes:
        return
    need = len(lane.tickets) - lane.promised
    while need > 0:
        # While a failed check makes all idle slots suspect, they are not worth waiting for:
        # the ticket gets a creation, and the slots are checked in the background (`probe`).
        # A key has no other slot than its own, suspect or not.
        skip = SUSPECTING in pool.modes and not pool.keyed
        slot = None if skip else pool.next_idle(lane)
        if slot is not None:
            pool.check(slot, promised=True)
        elif may_open(pool, lane):
            pool.open(lane)
        else:
            break
        need -= 1
    if pool.keyed:
        if need > 0 and lane_may_open(pool, lane):
            pool.starved[lane.key] = lane  # only the type's own limits are in the way: `relieve`
        else:
            pool.starved.pop(lane.key, None)


def lane_may_open(pool: Pool, lane: Lane) -> bool:
    """Tell whether the lane's own limits admit one more creation."""
    if DRAINING in pool.modes or SUSPENDED in pool.modes:
        return False
    return pool.now >= lane.retry_at and lane.opening < lane.limit and lane.slot is None


def may_open(pool: Pool, lane: Lane) -> bool:
    """Tell whether the limits of lane and type admit one more creation."""
    return lane_may_open(pool, lane) and pool.has_room()


def lacks_permit(pool: Pool, lane: Lane) -> bool:
    """Tell whether nothing but the budget is in the way of one more creation."""
    return pool.permits <= pool.size < pool.cap and lane_may_open(pool, lane)


def probe(pool: Pool) -> None:
    """Check suspect slots in the background, a few at a time."""
    for slot in tuple(pool.idle.values()):
        if pool.counts[states.CHECKING] >= pool.policy.max_opening:
            return
        if slot.suspect:
            pool.check(slot, promised=False)
    if not pool.counts[states.CHECKING]:
        pool.modes.discard(SUSPECTING)


def fill(pool: Pool, lane: Lane) -> None:
    """Open towards min_idle; say so once it is reached."""
    floor = pool.min_idle
    coming = pool.counts[states.OPENING] + pool.counts[states.CHECKING] - len(lane.tickets)
    while len(pool.idle) + coming < floor and may_open(pool, lane):
        pool.open(lane)
        coming += 1
    if len(pool.idle) >= floor or pool.leased + len(pool.idle) >= pool.cap:
        pool.modes.discard(FILLING)
        become_ready(pool)


def become_ready(pool: Pool) -> None:
    """Answer everyone who waits for the floor."""
    pool.ready = True
    pool.effects.extend(do.Answer(ticket) for ticket in pool.unready)
    pool.unready.clear()


def relieve(pool: Pool) -> None:
    """Give capacity that became free to the lanes that wait for it, longest waiting first.

    A full keyed type makes room by closing the slot that has been idle longest, one for each
    lane that starves. What is being closed for other reasons does not count: it may hang.
    """
    if SUSPENDED in pool.modes:
        return
    for _ in range(len(pool.starved)):
        if not pool.has_room():
            break
        settle(pool, pool.starved.popitem(last=False)[1])
    if pool.keyed and pool.size >= pool.cap:  # where a budget is in the way, it makes the room
        while pool.idle and len(pool.making_room) < len(pool.starved):
            slot = next(iter(pool.idle.values()))
            pool.making_room.add(slot.number)
            pool.close(slot, do.Reason.IDLE)
