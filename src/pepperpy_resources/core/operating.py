"""What operators and the budget say: evict, suspend, resume, resize, ready, drain, shut."""

from __future__ import annotations

import fnmatch
import re

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import lending, queueing, states
from pepperpy_resources.core.borrowing import is_held, may_stay
from pepperpy_resources.core.events import (
    Allot,
    Drain,
    Evict,
    Inquire,
    Ready,
    Resize,
    Resume,
    Shut,
    Suspend,
)
from pepperpy_resources.core.pool import DRAINING, FILLING, SHRINKING, SUSPENDED, WATCHED, Pool
from pepperpy_resources.core.settle import may_open, relieve, settle, shrink
from pepperpy_resources.core.slots import Slot


def evict(pool: Pool, event: Evict) -> None:
    """Take matching resources out: idle ones closed, leased ones detached or, by force, ended."""
    pool.counters.cleanups["call"] += 1
    matches = re.compile(fnmatch.translate("*" if event.pattern is None else event.pattern)).match
    awaited: set[int] = set()
    touched: list[Slot] = []
    for slot in tuple(pool.slots.values()):
        if any(matches(name) for name in names(pool, slot)):
            take_out(pool, slot, force=event.force)
            touched.append(slot)
            if slot.state is states.CLOSING:
                awaited.add(slot.number)
    pool.answer_when_gone(event, awaited)
    for slot in touched:
        settle(pool, slot.lane)


def names(pool: Pool, slot: Slot) -> list[str]:
    """Return what a cleanup pattern is matched against: ids of leases, the key, or `type:`."""
    if pool.keyed:
        return [slot.lane.key or ""]
    ids = [lease.resource_id for lease in slot.leases.values()]
    return [name if ":" in name else f"{name}:" for name in ids] or [f"{pool.name}:"]


def take_out(pool: Pool, slot: Slot, *, force: bool) -> None:
    """Close this slot as soon as that is allowed."""
    if is_held(slot):
        if force:
            lending.end_all(pool, slot)
            pool.leave_lane(slot)
            pool.close(slot, do.Reason.CLEANUP)
        elif slot.state is states.LEASED:
            pool.detach(slot)
    elif slot.state is states.OPENING:
        pool.doom(slot)
    elif slot.state in states.CLOSE:
        pool.close(slot, do.Reason.CLEANUP)


def suspend(pool: Pool, _: Suspend) -> None:
    """Serve nobody until it is resumed."""
    if DRAINING not in pool.modes:
        pool.modes.add(SUSPENDED)
        pool.effects.append(do.Suspended(suspended=True))


def resume(pool: Pool, _: Resume) -> None:
    """Serve again, everyone who has been waiting first."""
    if SUSPENDED in pool.modes:
        pool.modes.discard(SUSPENDED)
        pool.effects.append(do.Suspended(suspended=False))
        for lane in tuple(pool.lanes.values()):
            settle(pool, lane)


def resize(pool: Pool, event: Resize) -> None:
    """Take new limits of the type's own."""
    if event.max_size is not None:
        pool.cap = event.max_size
    if event.min_idle is not None:
        pool.min_idle = event.min_idle
    limit(pool)


def allot(pool: Pool, event: Allot) -> None:
    """Take the budget's word on how many slots there may be."""
    pool.permits = event.permits
    limit(pool)
    wish, pool.wish = pool.wish, None
    if wish is not None:
        lane = pool.lanes.get(wish.key, wish)  # a key nobody waits for may be forgotten by now
        if lane.promised <= len(lane.tickets) and may_open(pool, lane):
            pool.lanes[lane.key] = lane
            pool.open(lane)


def limit(pool: Pool) -> None:
    """Let the limits of now hold: close what is too much, open what there is room for."""
    pool.max_size = min(pool.cap, pool.permits)
    pool.effects.append(do.Resized(pool.cap, pool.min_idle, pool.permits))
    if DRAINING in pool.modes:
        return
    if pool.size > pool.max_size:
        pool.modes.add(SHRINKING)
    if len(pool.idle) < pool.min_idle:
        pool.modes.add(FILLING)
    if not pool.keyed:
        settle(pool, pool.lanes[None])
        return
    # Not by settling every key: a budget's word must not cost a step for each key there is.
    if SHRINKING in pool.modes:
        shrink(pool)
    relieve(pool)


def inquire(pool: Pool, _: Inquire) -> None:
    """Tell the budget once more, though nothing has changed."""
    pool.demand = None


def ready(pool: Pool, event: Ready) -> None:
    """Answer when min_idle has been reached once."""
    if DRAINING in pool.modes:
        pool.effects.append(do.Deny(0, do.Why.CLOSED, pool.name))
    elif not pool.ready:
        pool.unready.append(pool.wait(event).ticket)


def drain(pool: Pool, event: Drain) -> None:
    """Deny everyone who waits, close what is idle, wait for the leases."""
    pool.ignoring = event.ignoring
    stop_serving(pool)
    awaited = {
        slot.number
        for slot in pool.slots.values()
        if slot.state is not states.ABANDONED and not may_stay(pool, slot)
    }
    pool.answer_when_gone(event, awaited)


def stop_serving(pool: Pool) -> None:
    """Deny the queue, close idle slots, and cancel creations nobody will use."""
    pool.modes = {DRAINING} | (pool.modes & {WATCHED})
    for ticket in tuple(pool.tickets.values()):
        queueing.deny(pool, ticket, do.Why.CLOSED, "refused")
    for slot in tuple(pool.slots.values()):
        if slot.state in (states.IDLE, states.CHECKING):
            pool.close(slot, do.Reason.SHUTDOWN)
        elif slot.state is states.OPENING:
            pool.hook_started(slot, pool.policy.close_timeout)
            pool.effects.append(do.Abandon(slot.number))
    pool.effects.extend(do.Deny(n, do.Why.CLOSED, pool.name) for n in pool.unready)
    pool.unready.clear()


def shut(pool: Pool, event: Shut) -> None:
    """End every lease and close everything."""
    if DRAINING not in pool.modes:
        stop_serving(pool)
    for slot in tuple(pool.slots.values()):
        lending.end_all(pool, slot)
        if slot.state in states.CLOSE:
            pool.close(slot, do.Reason.SHUTDOWN)
    awaited = {n for n, slot in pool.slots.items() if slot.state is not states.ABANDONED}
    pool.answer_when_gone(event, awaited)
