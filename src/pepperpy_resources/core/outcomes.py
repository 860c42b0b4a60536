"""What hooks report. An outcome the transition table has no row for came too late: a no-op."""

from __future__ import annotations

import math
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import queueing, states
from pepperpy_resources.core.borrowing import check_returned, invalidate, out_of_attempts
from pepperpy_resources.core.events import (
    CheckFailed,
    CheckPassed,
    Closed,
    Opened,
    OpenFailed,
    Outcome,
    ResetDone,
)
from pepperpy_resources.core.pool import DRAINING, SUSPECTING, Pool
from pepperpy_resources.core.settle import settle, settle_failed
from pepperpy_resources.core.slots import Lane, Slot


def expected(pool: Pool, event: Outcome, row: states.Row) -> Slot | None:
    """Return the slot if it waits for this outcome; count the outcome as stale otherwise."""
    slot = pool.slots.get(event.slot)
    if slot is None or slot.state not in row:
        pool.counters.stale += 1
        return None
    return slot


def opened(pool: Pool, event: Opened) -> None:
    """A resource was made: it is idle now, unless nobody may use it any more."""
    slot = expected(pool, event, states.OPENED)
    if slot is None:
        return
    lane, policy = slot.lane, pool.policy
    pool.counters.opened += 1
    pool.counters.open_seconds.observe(pool.now - slot.born)
    if slot.state is states.ABANDONED:  # later than its deadline: closed, still not counted
        pool.counters.closed[do.Reason.BROKEN] += 1
        pool.effects.append(do.Close(slot.number, do.Reason.BROKEN))
        return
    pool.hook_deadlines.drop(slot.number)
    pool.move(slot, states.OPENED)
    lane.opening -= 1
    lane.failures, lane.error = 0, None
    lane.forget_at = lane.retry_at
    lane.limit = min(lane.limit * 2, policy.max_opening)
    slot.born, slot.chance = pool.now, event.chance
    slot.resource = event.resource
    slot.expires = pool.now + policy.max_lifetime * (1 - policy.lifetime_jitter * event.chance)
    pool.lifetimes.set(slot.number, slot.expires)
    pool.rest(slot)
    if (why := pool.unfit(slot)) is not None:
        pool.close(slot, why)
    settle(pool, lane)


def open_failed(pool: Pool, event: OpenFailed) -> None:
    """No resource was made: its place is free for the next try, unless the lane backs off."""
    slot = expected(pool, event, states.FAILED)
    if slot is None:
        return
    lane = slot.lane
    abandoned = slot.state is states.ABANDONED
    pool.remove(slot, states.FAILED)
    # An abandoned creation was counted then, and one that fails while we drain was cancelled by us.
    if not abandoned and DRAINING not in pool.modes:
        creation_failed(pool, lane, event.error, event.chance, fatal=event.fatal)
    settle_failed(pool, lane)


def creation_failed(
    pool: Pool, lane: Lane, error: Any, chance: float, *, fatal: bool = False
) -> None:
    """Back off: one creation at a time, and not before `retry_at`, which may be now."""
    pool.counters.errors["open"] += 1
    lane.failures += 1
    lane.error = error
    lane.limit = 1
    backoff = pool.policy.backoff
    lane.retry_at = pool.now + backoff.delay(lane.failures, chance)
    # A first failure, after which there is no pause, must be known when the second comes.
    lane.forget_at = max(lane.retry_at, pool.now + backoff.min)
    if backoff.attempts is not None:
        lane.forget_at += backoff.max  # else a key nobody waits for would start from none
    if fatal or out_of_attempts(pool, lane):
        for ticket in tuple(lane.tickets.values()):
            queueing.deny(pool, ticket, do.Why.BROKEN, "error", error)
    await_retry(pool, lane)


def await_retry(pool: Pool, lane: Lane) -> None:
    """Be woken when the pause is over and, for a key, when its failures may be forgotten."""
    at = lane.forget_at if pool.keyed and pool.now >= lane.retry_at else lane.retry_at
    if pool.now < at:
        pool.retries.set(lane.key or "", at)
        pool.arm(at)


def check_passed(pool: Pool, event: CheckPassed) -> None:
    """The resource is good: idle, and as fresh as if just used."""
    slot = expected(pool, event, states.PASSED)
    if slot is not None:
        slot.suspect = False
        back_to_idle(pool, slot, states.PASSED)


def check_failed(pool: Pool, event: CheckFailed) -> None:
    """The resource is bad: closed, and all idle ones are suspect; `lost`: all are invalid."""
    slot = expected(pool, event, states.PASSED)
    if slot is not None:
        found_bad(pool, slot, "check", lost=event.lost)
        settle(pool, slot.lane)


def reset_done(pool: Pool, event: ResetDone) -> None:
    """The resource is clean again, or closed if the reset failed."""
    slot = expected(pool, event, states.CLEANED)
    if slot is None:
        return
    if event.error is None:
        back_to_idle(pool, slot, states.CLEANED)
    else:
        found_bad(pool, slot, "reset", lost=event.lost)
        settle(pool, slot.lane)


def back_to_idle(pool: Pool, slot: Slot, row: states.Row) -> None:
    """A check or reset went well."""
    pool.hook_deadlines.drop(slot.number)
    pool.move(slot, row)
    pool.rest(slot)
    if (why := pool.unfit(slot)) is not None:
        pool.close(slot, why)
    elif row is states.CLEANED and pool.checks_returns:
        check_returned(pool, slot)
    settle(pool, slot.lane)


def found_bad(pool: Pool, slot: Slot, operation: str, *, lost: bool) -> None:
    """Close a slot whose check or reset failed, and draw the conclusion for the others.

    One bad resource says little about a reset's neighbours, but a lot about a check's: after an
    outage every idle one fails, and no ticket should find that out one by one.
    """
    pool.counters.errors[operation] += 1
    pool.close(slot, do.Reason.BROKEN)
    if lost:
        invalidate(pool, slot)
    elif operation == "check":
        suspect_idle(pool)


def suspect_idle(pool: Pool) -> None:
    """Let no idle slot be handed out before it has been checked."""
    for slot in pool.idle.values():
        slot.suspect = True
        slot.good_until = -math.inf
    if pool.idle and pool.policy.has_check:
        pool.modes.add(SUSPECTING)


def closed(pool: Pool, event: Closed) -> None:
    """The slot is gone, however its close hook ended."""
    slot = expected(pool, event, states.CLOSED)
    if slot is None:
        return
    if event.error is not None and slot.state is not states.ABANDONED:  # counted when it was
        pool.counters.errors["close"] += 1
    pool.remove(slot, states.CLOSED)
    settle(pool, slot.lane)
