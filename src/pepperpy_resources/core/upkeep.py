"""What time, the janitor and the operator say: from tick and sweep to shut and restore."""

from __future__ import annotations

import fnmatch
import math
import re

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import states
from pepperpy_resources.core.borrowing import is_held, may_stay
from pepperpy_resources.core.effects import Wait
from pepperpy_resources.core.events import (
    Drain,
    Evict,
    Ready,
    Restore,
    SavedSlot,
    Shut,
    Suspect,
    Sweep,
    Tick,
)
from pepperpy_resources.core.outcomes import creation_failed, found_bad, suspect_idle
from pepperpy_resources.core.pool import DRAINING, ENDED_FOR, FILLING, Pool
from pepperpy_resources.core.settle import settle
from pepperpy_resources.core.slots import Lane, Slot


class Overdue(Exception):
    """A hook did not end before its deadline."""


def tick(pool: Pool, _: Tick) -> None:
    """Act on every deadline that has passed, then ask to be woken for the next."""
    pool.armed = math.inf
    lanes: dict[str | None, Lane] = {}
    for ticket in pool.overdue_tickets():
        lane = pool.lane_of(ticket)
        lanes[lane.key] = lane
        pool.deny(ticket, do.Why.TIMEOUT, "timeout", lane.error)
    for lane in lanes.values():
        settle(pool, lane)
    for number in pool.hook_deadlines.pop_due(pool.now):
        slot = pool.slots[number]
        hook_overdue(pool, slot)
        settle(pool, slot.lane)
    for name in pool.retries.pop_due(pool.now):
        waiting = pool.lanes.get(name or None)
        if waiting is not None:
            settle(pool, waiting)
    pool.arm(pool.next_due())


def hook_overdue(pool: Pool, slot: Slot) -> None:
    """Stop waiting for a hook that ignored its deadline."""
    state, policy = slot.state, pool.policy
    if state is states.OPENING:
        pool.abandon(slot)
        limit = f"create_timeout={policy.create_timeout:g} s"
        error = Overdue(f"the factory did not end within {limit}")
        creation_failed(pool, slot.lane, error, 0.5)
    elif state is states.CLOSING:
        pool.counters.errors["close"] += 1
        pool.abandon(slot)
    elif state is states.CHECKING:
        found_bad(pool, slot, "check", lost=False)
    else:
        found_bad(pool, slot, "reset", lost=False)
    pool.effects.append(do.Report("hook overdue", slot.number, state))


def sweep(pool: Pool, _: Sweep) -> None:
    """Retire what is due; costs nothing where nothing is."""
    pool.counters.cleanups["janitor"] += 1
    for number in pool.lifetimes.pop_due(pool.now):
        slot = pool.slots[number]
        if slot.state is states.IDLE:  # a leased one is closed when it comes back
            pool.close(slot, do.Reason.LIFETIME)
    floor = pool.policy.min_idle
    for slot in idle_too_long(pool, floor):
        pool.close(slot, do.Reason.IDLE)
    while pool.ended:
        epoch, ended = next(iter(pool.ended.items()))
        if ended[1] + ENDED_FOR > pool.now:
            break
        pool.forget_ended(epoch)
    if len(pool.idle) < floor and DRAINING not in pool.modes:
        pool.modes.add(FILLING)
        settle(pool, pool.lane(None))


def suspect(pool: Pool, _: Suspect) -> None:
    """Have every idle slot checked before it is handed out; without a check hook, nothing."""
    first = next(iter(pool.idle.values()), None)
    if first is not None and pool.policy.has_check:
        suspect_idle(pool)
        settle(pool, first.lane)  # any lane will do: it begins the checks of all


def idle_too_long(pool: Pool, floor: int) -> list[Slot]:
    """Return the slots that idled out, all but `floor` of the idle ones at most."""
    due: list[Slot] = []
    for slot in pool.idle.values():
        if len(pool.idle) - len(due) <= floor or pool.now < slot.used + pool.policy.idle_timeout:
            break
        due.append(slot)
    return due


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
            pool.end_all(slot)
            pool.leave_lane(slot)
            pool.close(slot, do.Reason.CLEANUP)
        elif slot.state is states.LEASED:
            pool.detach(slot)
    elif slot.state is states.OPENING:
        pool.doom(slot)
    elif slot.state in states.CLOSE:
        pool.close(slot, do.Reason.CLEANUP)


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
    pool.modes = {DRAINING}
    for ticket in tuple(pool.tickets.values()):
        pool.deny(ticket, do.Why.CLOSED, "refused")
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
        pool.end_all(slot)
        if slot.state in states.CLOSE:
            pool.close(slot, do.Reason.SHUTDOWN)
    awaited = {n for n, slot in pool.slots.items() if slot.state is not states.ABANDONED}
    pool.answer_when_gone(event, awaited)


def restore(pool: Pool, event: Restore) -> None:
    """Build the pool from the performer's ledger; the first event, and the only one of its kind."""
    pool.last_slot, pool.last_ticket = event.last_slot, event.last_ticket
    if not pool.keyed:
        pool.lane(None)
    for epoch, resource_id, at in event.ended:
        pool.remember_ended(epoch, resource_id, at)
    for saved in event.slots:
        restore_slot(pool, saved, event.chance)
    for ticket in event.tickets:
        restore_ticket(pool, ticket)
    pool.ready = pool.policy.min_idle == 0
    if not pool.ready:
        pool.modes.add(FILLING)
    for lane in tuple(pool.lanes.values()):
        settle(pool, lane)
    pool.arm(pool.next_due())


HOOK_STATES = {
    "open": states.OPENING,
    "check": states.CHECKING,
    "reset": states.RESETTING,
    "close": states.CLOSING,
    "abandoned": states.ABANDONED,
}


def restore_slot(pool: Pool, saved: SavedSlot, chance: float) -> None:
    """Enter one surviving slot; an idle one is checked before it is used again."""
    policy = pool.policy
    lane = pool.lane(saved.key)
    held = bool(saved.leases)
    idle = states.DETACHED if held and saved.doomed else states.LEASED if held else states.IDLE
    state = idle if saved.hook is None else HOOK_STATES[saved.hook]
    expires = saved.born + policy.max_lifetime * (1 - policy.lifetime_jitter * chance)
    if saved.doomed:
        expires = -math.inf
    generation = -1 if saved.doomed else pool.generation
    slot = Slot(saved.number, lane, state, generation, saved.born, expires, pool.now)
    slot.suspect = policy.has_check and not held
    slot.good_until = -math.inf if slot.suspect else expires
    slot.attached = state not in (states.DETACHED, states.ABANDONED)
    slot.resource = saved.resource
    if slot.attached and state is not states.CLOSING:
        lane.arguments = saved.arguments
    for lease in saved.leases:
        pool.leases[lease.epoch] = lease
        slot.leases[lease.epoch] = lease
        if not pool.keyed and lease.resource_id != pool.name:
            pool.named[lease.resource_id] = lease
    pool.add(slot)
    pool.lifetimes.set(slot.number, expires)
    if state is states.IDLE:
        pool.idle[slot.number] = slot
        if saved.doomed:
            pool.close(slot, do.Reason.BROKEN)
    elif saved.hook is not None and state is not states.ABANDONED:
        timeout = getattr(policy, HOOK_TIMEOUTS[state])
        pool.hook_deadlines.set(slot.number, pool.now + timeout)
        if saved.doomed and state in (states.CHECKING, states.RESETTING):
            pool.close(slot, do.Reason.BROKEN)


HOOK_TIMEOUTS = {
    states.OPENING: "create_timeout",
    states.CHECKING: "check_timeout",
    states.RESETTING: "reset_timeout",
    states.CLOSING: "close_timeout",
}


def restore_ticket(pool: Pool, ticket: Wait) -> None:
    """Queue a surviving ticket at its old place with its old deadline."""
    acquire = ticket.event
    lane = pool.lane(acquire.resource_id if pool.keyed else None)
    unbuilt = lane.slot is None or lane.slot.state is states.CLOSING
    if unbuilt and not lane.arguments:  # the first that gave any decided, and may be gone by now
        lane.arguments = acquire.arguments
    pool.enqueue(ticket, acquire)
