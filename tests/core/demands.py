"""What a budgeted pool tells its budget, checked after each event against the ground truth."""

from __future__ import annotations

import math

from pepperpy_resources.core import events as on
from tests.core.records import HOOKS
from tests.core.truth import Truth


def check(truth: Truth) -> None:
    """Raise AssertionError where the last demand is not what the pool has and wants."""
    told = truth.demand
    if not truth.policy.budgeted:
        return
    assert told is not None
    if isinstance(truth.event, on.Inquire):
        assert truth.told == 1, "asked, and told nothing"
    assert (told.permits, told.size) == (truth.permits, truth.size)
    line = truth.line()
    assert told.idle == len(line)
    if truth.policy.order == "lifo":
        assert told.idle_since == (truth.slots[line[0]].used if line else math.inf)
    oldest = min((ticket.wait.since for ticket in truth.waiting()), default=math.inf)
    assert told.since == oldest - truth.policy.priority * truth.policy.ageing
    least, most = keyed(truth) if truth.policy.keyed else pooled(truth)
    opening = len(truth.where("opening"))
    room: float = min(truth.cap - truth.size, truth.policy.max_opening - opening)
    if truth.draining or truth.suspended or len(truth.where("abandoned")) >= truth.cap:
        room = 0
    least, most = (max(0, int(min(need, room))) for need in (least, most))
    assert least <= told.wanted <= most, f"wants {told.wanted}, not {least} to {most}"


def pooled(truth: Truth) -> tuple[int, int]:
    """Return how many creations a pooled type wants, were there no limits: at least, at most.

    Of a check that runs nobody but the pool knows whether it is for a ticket.
    """
    waiting, opening = len(truth.waiting()), len(truth.where("opening"))
    coming = opening + len(truth.where("checking"))
    gap = truth.min_idle - len(truth.line()) - coming + waiting
    least = waiting - coming
    most = max(waiting - opening, gap if truth.may_fill else 0)
    if truth.filling:
        least = max(least, gap)
    backoff = truth.backoff(None)
    if truth.now < backoff.retry_at:
        least = most = 0
    slow = backoff.limit - opening
    return max(min(least, slow), truth.sure_wish), max(min(most, slow), truth.wish)


def keyed(truth: Truth) -> tuple[int, int]:
    """Return how many keys wait for a creation, were there no limits: at least, at most."""
    keys = truth.unserved()
    most = sum(truth.now >= truth.backoff(key).soonest for key in keys)
    # One that closes keeps its key's place, unless it was detached before.
    keys = [key for key in keys if not truth.where("closing", key=key)]
    least = sum(truth.now >= truth.backoff(key).retry_at for key in keys)
    if truth.armed <= truth.now:  # the Tick that ends a backoff may be on its way
        least = 0
    return max(least, truth.sure_wish), max(most, truth.wish)


def granted(truth: Truth, *, room: bool) -> None:
    """After an Allot with room for it, a wish has been granted; there is none any more."""
    if isinstance(truth.event, on.Allot):
        taken = truth.policy.keyed and truth.where(*HOOKS, "idle", "leased", key=truth.wish_key)
        waits = truth.now < truth.backoff(truth.wish_key).retry_at
        coming = truth.where("opening", "checking", key=truth.wish_key)
        waits = waits or len(coming) > len(truth.waiting(truth.wish_key))
        if truth.sure_wish and room and not (taken or waits):
            assert truth.opens, "an acquire that did not wait has left a wish, and nothing opens"
        truth.wish = truth.sure_wish = False
