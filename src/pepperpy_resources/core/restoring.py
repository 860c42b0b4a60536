"""A new machine from the performer's ledger: what `Restore` means."""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import lending, queueing, states
from pepperpy_resources.core.effects import Wait
from pepperpy_resources.core.events import Restore, SavedSlot
from pepperpy_resources.core.pool import FILLING, SHRINKING, SUSPENDED, Pool
from pepperpy_resources.core.settle import settle
from pepperpy_resources.core.slots import Slot


def restore(pool: Pool, event: Restore) -> None:
    """Build the pool from the performer's ledger; the first event, and the only one of its kind."""
    pool.last_slot, pool.last_ticket = event.last_slot, event.last_ticket
    if not pool.keyed:
        pool.lane(None)
    for epoch, resource_id, at in event.ended:
        lending.remember_ended(pool, epoch, resource_id, at)
    for saved in event.slots:
        restore_slot(pool, saved, event.chance)
    for ticket in event.tickets:
        restore_ticket(pool, ticket)
    restore_limits(pool, event)
    pool.ready = pool.min_idle == 0
    if not pool.ready:
        pool.modes.add(FILLING)
    for lane in tuple(pool.lanes.values()):
        settle(pool, lane)
    pool.arm(pool.next_due())


def restore_limits(pool: Pool, event: Restore) -> None:
    """Let hold again what operators and the budget have said."""
    if event.suspended:
        pool.modes.add(SUSPENDED)
    if event.permits is not None:
        pool.permits = event.permits
        pool.max_size = min(pool.cap, pool.permits)
    if pool.size > pool.max_size:
        pool.modes.add(SHRINKING)


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
    slot.chance = chance
    restore_leases(pool, slot, saved)
    pool.add(slot)
    pool.lifetimes.set(slot.number, expires)
    if state is states.IDLE:
        pool.idle[slot.number] = slot
        if pool.keepalive < math.inf:
            pool.keepalives.set(slot.number, pool.now)
        if saved.doomed:
            pool.close(slot, do.Reason.BROKEN)
    elif saved.hook is not None and state is not states.ABANDONED:
        timeout = getattr(policy, HOOK_TIMEOUTS[state])
        pool.hook_deadlines.set(slot.number, pool.now + timeout)
        if saved.doomed and state in (states.CHECKING, states.RESETTING):
            pool.close(slot, do.Reason.BROKEN)


def restore_leases(pool: Pool, slot: Slot, saved: SavedSlot) -> None:
    """Enter the leases on a surviving slot: they stay valid."""
    for lease in saved.leases:
        pool.leases[lease.epoch] = lease
        slot.leases[lease.epoch] = lease
        if not pool.keyed and lease.resource_id != pool.name:
            pool.named[lease.resource_id] = lease
        if lease.since + pool.max_hold > pool.now or pool.policy.on_overdue == "revoke":
            lending.limit_hold(pool, lease)  # else it was reported before the crash


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
    queueing.enqueue(pool, ticket, acquire)
