"""Every figure equals what was told and done; and pictures of a pool change nothing."""

from __future__ import annotations

import math

import pytest

from pepperpy_resources.core import events as on
from pepperpy_resources.core.counters import BUCKETS, OUTCOMES, Histogram
from pepperpy_resources.core.effects import Reason
from pepperpy_resources.core.snapshot import figures, find_slot, listed_ids, snapshot
from tests.core.rig import Rig
from tests.core.steps import steps

# -- histograms


def test_an_observation_is_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram()
    for seconds in (0.0, 1e-5, 2e-5, 0.005, 10.0, 10.1, 1000.0):
        histogram.observe(seconds)
    counts, total = histogram.copy()
    by_bound = dict(zip([*BUCKETS, None], counts, strict=True))
    assert {bound: count for bound, count in by_bound.items() if count} == {
        1e-5: 2,
        1e-4: 1,
        0.005: 1,
        10.0: 1,
        None: 2,
    }
    assert total == pytest.approx(1020.10503)


def test_a_copy_is_a_copy() -> None:
    histogram = Histogram()
    before = histogram.copy()
    histogram.observe(1.0)
    assert before == ((0,) * 12, 0.0)


def test_immediate_observations_are_added_to_the_first_bucket() -> None:
    histogram = Histogram()
    histogram.observe(0.0)
    histogram.observe(3.0)
    counts, total = histogram.copy(5)
    assert (counts[0], sum(counts), total) == (6, 7, 3.0)


def test_buckets_rise() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))


# -- what is counted


def test_one_of_each_outcome_of_an_acquire() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")  # ok, waited 0 s
    rig.acquire("db:a")  # refused
    rig.acquire("db:b", timeout=0)  # timeout
    rig.acquire("db:c")
    rig.send(on.Cancel(rig.waiting[0]))  # cancelled
    rig.acquire("db:d")
    rig.release("db:a", at=2)  # ok, waited 2 s
    rig.release("db:d", at=5)
    rig.acquire("db:e")  # ok, at once
    rig.send(on.Discard("db:e"))
    rig.send(on.Closed(1))
    rig.acquire("db:f")
    rig.send(on.OpenFailed(2, fatal=True))  # error
    told = figures(rig.pool, rig.now)
    assert told.acquires == {"ok": 3, "timeout": 1, "cancelled": 1, "refused": 1, "error": 1}
    assert tuple(told.acquires) == OUTCOMES
    assert (sum(told.wait_seconds[0]), told.wait_seconds[1]) == (3, 2.0)
    assert (sum(told.use_seconds[0]), told.use_seconds[1]) == (3, 5.0)


def test_creations_are_timed_from_the_call_of_the_factory() -> None:
    rig = Rig()
    rig.acquire("db:a", at=1)
    rig.opened(1, at=1.25)
    counts, total = rig.counters.open_seconds.copy()
    assert (counts[BUCKETS.index(0.5)], total) == (1, 0.25)
    assert rig.counters.opened == 1


def test_failed_creations_are_not_timed() -> None:
    rig = Rig()
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    assert sum(rig.counters.open_seconds.counts) == 0
    assert (rig.counters.opened, rig.counters.errors["open"]) == (0, 1)


def test_every_reason_to_close_has_its_count() -> None:
    assert set(Rig().counters.closed) == {str(reason) for reason in Reason}
    policy = {"max_hold": 160.0, "on_overdue": "revoke", "max_uses": 3}
    rig = Rig(max_lifetime=100.0, lifetime_jitter=0.0, idle_timeout=50.0, **policy)
    rig.idle(1)
    rig.send(on.Sweep(), at=50)
    rig.hold("db:b")
    rig.release("db:b", at=200)
    for _ in range(3):
        rig.hold("db:u")
        rig.release("db:u")
    rig.hold("db:o")
    rig.tick(at=360)
    rig.hold("db:l")
    rig.send(on.Reclaim((rig.counters.acquired,)))
    rig.idle(1)
    rig.send(on.Resize(max_size=0))
    rig.send(on.Resize(max_size=20))
    rig.hold("db:c")
    rig.send(on.Discard("db:c"))
    rig.idle(1)
    rig.send(on.Evict("db:"))
    rig.idle(1)
    rig.send(on.Shut())
    assert rig.counters.closed == {
        "idle": 1,
        "lifetime": 1,
        "broken": 1,
        "cleanup": 1,
        "shutdown": 1,
        "uses": 1,
        "overdue": 1,
        "leaked": 1,
        "resized": 1,
    }


def test_leases_overdue_and_leaked_are_counted() -> None:
    rig = Rig(max_hold=10.0)
    rig.hold("db:a", "db:b", "db:c")
    rig.release("db:c")
    rig.tick(at=10)
    rig.tick(at=20)
    assert (rig.counters.overdue, rig.counters.leaked, rig.counters.stale) == (2, 0, 0)
    rig.send(on.Reclaim((1, 3)))
    assert (rig.counters.overdue, rig.counters.leaked, rig.counters.stale) == (2, 1, 1)


def test_what_is_shed_or_suspended_is_counted_as_refused_or_timed_out() -> None:
    rig = Rig(max_size=1, max_queue_delay=1.0)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.tick(at=20)  # shed
    rig.send(on.Suspend())
    rig.acquire("db:c", timeout=0)
    rig.acquire("db:d", timeout=1)
    rig.tick(at=21)
    expected = {"timeout": 2, "cancelled": 0, "refused": 1, "error": 0}
    assert rig.counters.acquires == expected


def test_every_hook_that_fails_or_is_overdue_is_one_error() -> None:
    policy = {"has_check": True, "check_on_acquire": True, "has_reset": True, "max_size": 2}
    rig = Rig(**policy)
    rig.hold("db:a")
    rig.release("db:a")
    rig.send(on.ResetDone(1, ValueError()))
    rig.send(on.Closed(1, ValueError()))
    rig.hold("db:a")
    rig.release("db:a")
    rig.tick(at=5)  # the reset is overdue
    rig.send(on.Closed(2))
    rig.hold("db:a")
    rig.release("db:a")
    rig.send(on.ResetDone(3))
    rig.acquire("db:a", at=10, timeout=0)
    rig.tick(at=15)  # the check is overdue
    rig.acquire("db:b", timeout=0)
    rig.tick(at=20)  # so is the close
    rig.tick(at=45)  # and the creation
    errors = {"open": 1, "check": 1, "reset": 2, "close": 2, "use": 0}
    assert rig.counters.errors == errors


def test_an_overdue_close_is_one_error() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.send(on.Discard("db:a"))
    rig.tick(at=5)
    rig.send(on.Closed(1, TimeoutError("cancelled")), at=6)
    assert rig.counters.errors["close"] == 1
    assert rig.counters.closed["broken"] == 1


def test_the_counters_outlive_the_pool_and_epochs_go_on() -> None:
    rig = Rig()
    rig.hold("db:a")
    again = Rig()
    again.counters = rig.counters
    again.pool = type(again.pool)(again.policy, rig.counters)
    again.send(on.Restore(last_slot=1))
    again.hold("db:b")
    assert list(again.pool.leases) == [2]


# -- pictures


class Secretive:
    def __repr__(self) -> str:
        raise AssertionError("shown, though it may hold secrets")


def test_what_users_gave_us_is_never_shown() -> None:
    owner = Secretive()
    rig = Rig(max_size=1)
    told: list[object] = []
    acquire = on.Acquire("db:a", owner=owner, site=owner, arguments={"password": owner})
    for event in [acquire, on.Opened(1, owner), on.Acquire("db:b", owner=owner), on.Drain(owner)]:
        rig.send(event)
        told += [event, *rig.effects, snapshot(rig.pool, 0.0)]
    restore = on.Restore((on.SavedSlot(1, None, True, None, {"p": owner}, 0.0, owner, (owner,)),))
    told += [restore, on.OpenFailed(1, ValueError(owner))]
    text = repr(told)
    assert "Acquire(resource_id='db:a', timeout=None, owner=<Secretive>" in text
    assert "Opened(slot=1, resource=<Secretive>, chance=0.5)" in text


def busy() -> Rig:
    rig = Rig(max_size=3, has_reset=True)
    rig.hold("db:a", "db", "db:c")
    rig.acquire("db:w", at=5, timeout=10)
    rig.release("db:c", at=6)
    rig.send(on.Evict("db:a"))
    return rig


def test_a_snapshot_shows_the_pool_as_it_stands() -> None:
    rig = busy()
    picture = snapshot(rig.pool, now=7.0)
    assert (picture.name, picture.max_size, picture.draining) == ("db", 3, False)
    assert {state: n for state, n in picture.slots.items() if n} == {
        "detached": 1,
        "leased": 1,
        "resetting": 1,
    }
    assert [(x.resource_id, x.epoch, x.slot, x.age) for x in picture.leases] == [
        ("db:a", 1, 1, 7.0),
        ("db", 2, 2, 7.0),
    ]
    assert [(t.resource_id, t.age, t.left) for t in picture.tickets] == [("db:w", 2.0, 8.0)]
    assert (picture.opened, picture.closed, picture.acquired) == (3, 0, 3)
    assert picture.generation == 1
    rig.send(on.Shut())
    assert snapshot(rig.pool, now=7.0).draining


def test_a_snapshot_tells_ages_owners_sites_and_what_went_wrong() -> None:
    rig = Rig(max_size=2, max_hold=3.0, on_overdue="report")
    rig.acquire("db:a", at=1, owner="o1", site="s1")
    rig.opened(1, at=1)
    rig.acquire("db:b", at=1, owner="o2", site="s2")
    rig.opened(2, at=1)
    rig.acquire("db:c", at=2, owner="o3", site="s3")
    rig.tick(at=4)  # both are overdue
    rig.send(on.Reclaim((2,)))
    rig.send(on.Suspend())
    picture = snapshot(rig.pool, now=9.0)
    assert [(x.age, x.owner, x.site) for x in picture.leases if x.epoch == 1] == [(8.0, "o1", "s1")]
    assert [t.owner for t in picture.tickets] == ["o3"] * len(picture.tickets)
    assert (picture.overdue, picture.leaked, picture.suspended) == (2, 1, True)
    assert picture.permits == math.inf
    told = figures(rig.pool, now=9.0)
    assert (told.overdue, told.leaked, told.oldest_lease_age) == (2, 1, 8.0)
    rig.send(on.Resume())
    assert snapshot(rig.pool, now=9.0).suspended is False


def test_figures_are_a_copy() -> None:
    rig = busy()
    told = figures(rig.pool, now=7.0)
    assert (told.resource_type, told.active, told.waiting, told.limit) == ("db", 2, 1, 3)
    assert told.oldest_lease_age == 7.0
    rig.send(on.Shut())
    assert (told.active, told.closed["shutdown"], told.slots["leased"]) == (2, 0, 1)
    assert figures(rig.pool, now=8.0).oldest_lease_age == 0.0


def test_taking_pictures_changes_nothing() -> None:
    rig = busy()
    before = (rig.states, rig.waiting, dict(rig.pool.counts), rig.pool.armed)
    snapshot(rig.pool, 7.0)
    figures(rig.pool, 7.0)
    listed_ids(rig.pool)
    assert (rig.states, rig.waiting, dict(rig.pool.counts), rig.pool.armed) == before


def test_figures_cost_the_same_however_large_the_pool_is() -> None:
    def cost(size: int) -> int:
        rig = Rig(max_size=size, max_opening=size)
        rig.hold(*(f"db:{n}" for n in range(size)))
        for n in range(size // 2):
            rig.release(f"db:{n}")
        for _ in range(size):
            rig.acquire("db")
        return steps(lambda: figures(rig.pool, 1.0))

    assert cost(10) == cost(400)


def test_a_pooled_type_lists_its_live_leases_by_id() -> None:
    rig = busy()
    rig.acquire("db:x", timeout=0)
    assert listed_ids(rig.pool) == []  # db:a is detached, db:w queued, db has no id
    rig.send(on.ResetDone(3))
    assert listed_ids(rig.pool) == ["db:w"]
    assert find_slot(rig.pool, "db:w") == 3
    assert find_slot(rig.pool, "db:a") is None
    assert find_slot(rig.pool, "db:nobody") is None


def test_a_keyed_type_lists_what_it_has_made() -> None:
    rig = Rig(keyed=True, has_reset=True)
    rig.hold("db:a", "db:b")
    rig.acquire("db:c")
    rig.release("db:b")
    assert listed_ids(rig.pool) == ["db:a", "db:b"]  # db:b is being reset, db:c opened
    assert (find_slot(rig.pool, "db:b"), find_slot(rig.pool, "db:z")) == (2, None)
    rig.send(on.Discard("db:a"))
    assert listed_ids(rig.pool) == ["db:b"]
