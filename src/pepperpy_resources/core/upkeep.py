"""What time and the janitor say: tick, sweep, reclaim, suspect."""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import lending, queueing, states
from pepperpy_resources.core.borrowing import leave_to_others
from pepperpy_resources.core.events import (
    Reclaim,
    Suspect,
    Sweep,
    Tick,
)
from pepperpy_resources.core.lending import ENDED_FOR
from pepperpy_resources.core.outcomes import (
    await_retry,
    creation_failed,
    found_bad,
    suspect_idle,
)
from pepperpy_resources.core.pool import DRAINING, FILLING, Pool
from pepperpy_resources.core.settle import settle, settle_failed
from pepperpy_resources.core.slots import Lane, Slot


class Overdue(Exception):
    """A hook did not end before its deadline."""


def tick(pool: Pool, _: Tick) -> None:
    """Act on every deadline that has passed, then ask to be woken for the next."""
    pool.armed = math.inf
    lanes: dict[str | None, Lane] = {}
    for ticket in queueing.overdue_tickets(pool):
        lane = queueing.lane_of(pool, ticket)
        lanes[lane.key] = lane
        queueing.time_out(pool, ticket)
    for lane in lanes.values():
        settle(pool, lane)
    for number in pool.hook_deadlines.pop_due(pool.now):
        slot = pool.slots[number]
        hook_overdue(pool, slot)
        settle_failed(pool, slot.lane)
    for name in pool.retries.pop_due(pool.now):
        retry(pool, name)
    for name in pool.sheds.pop_due(pool.now):
        crowded = pool.lanes.get(name or None)
        if crowded is not None:
            settle(pool, crowded)
    for epoch in pool.holds.pop_due(pool.now):
        hold_overdue(pool, pool.leases[epoch])
    pool.arm(pool.next_due())


def retry(pool: Pool, name: str) -> None:
    """Open again after a backoff; a key nobody waits for is forgotten, with its failures, later."""
    lane = pool.lanes.get(name or None)
    if lane is not None:
        settle(pool, lane)
        await_retry(pool, lane)


def hold_overdue(pool: Pool, lease: do.Lease) -> None:
    """Report a lease held too long, once; end it if the spec says so."""
    revoked = pool.policy.on_overdue == "revoke"
    pool.counters.overdue += 1
    pool.effects.append(do.Overdue(lease, revoked))
    if revoked:
        revoke(pool, lease, do.Reason.OVERDUE)


def reclaim(pool: Pool, event: Reclaim) -> None:
    """End the leases whose owners have ended, those that are still there."""
    for epoch in event.epochs:
        lease = pool.leases.get(epoch)
        if lease is None:
            pool.counters.stale += 1
            continue
        pool.counters.leaked += 1
        pool.effects.append(do.Leaked(lease))
        revoke(pool, lease, do.Reason.LEAKED)


def revoke(pool: Pool, lease: do.Lease, why: do.Reason) -> None:
    """End a lease on our side; its resource is closed, for its holder may still use it."""
    slot = pool.slots[lease.slot]
    lending.end_late(pool, lease, slot)
    leave_to_others(pool, slot)
    if not slot.leases:
        pool.close(slot, why)
    elif slot.state is states.LEASED:
        pool.detach(slot)
    settle(pool, slot.lane)


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
    floor = pool.min_idle
    for slot in idle_too_long(pool, floor):
        pool.close(slot, do.Reason.IDLE)
    check_quiet(pool)  # of those that stay
    while pool.ended:
        epoch, ended = next(iter(pool.ended.items()))
        if ended[1] + ENDED_FOR > pool.now:
            break
        lending.forget_ended(pool, epoch)
    if len(pool.idle) < floor and DRAINING not in pool.modes:
        pool.modes.add(FILLING)
        settle(pool, pool.lane(None))


def check_quiet(pool: Pool) -> None:
    """Check idle slots that nobody has used for `keepalive`, never more than half of the idle."""
    due = pool.keepalives.pop_due(pool.now)
    most = (len(pool.idle) + 1) // 2
    for number in due:
        slot = pool.slots[number]
        if slot.state is not states.IDLE:
            continue  # it is set again when it comes back
        if most:
            most -= 1
            pool.check(slot, promised=False, background=True)
        else:
            pool.keepalives.set(number, pool.now)  # with the next sweep


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
