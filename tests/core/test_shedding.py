"""A standing queue is shed, a burst is not. The target is 1 s, so 20 s make a queue stand."""

from __future__ import annotations

import math

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from tests.core.rig import Rig
from tests.core.steps import steps


def full(**policy: object) -> Rig:
    """Return a pool whose only slot is leased as `db:a`; the first ticket to wait is number 2."""
    rig = Rig(**{"max_size": 1, "max_queue_delay": 1.0, "acquire_timeout": math.inf, **policy})
    rig.hold("db:a")
    return rig


def standing() -> Rig:
    """Return a queue that stands, at 20 s: tickets that came at 19.5 s and 19.9 s are left."""
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=19.5)
    rig.acquire("db:d", at=19.9)
    assert rig.tick(at=20) == ["deny overloaded to 2"]
    return rig


def test_after_twenty_targets_without_calm_whoever_waited_a_target_is_refused() -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    assert rig.pool.armed == 20
    rig.acquire("db:c", at=19.5)
    assert rig.tick(at=19.9) == []
    assert rig.send_all(on.Tick(), at=20) == ["deny overloaded to 2", "wake 20.5"]
    assert rig.waiting == [3]
    assert rig.counters.acquires["refused"] == 1


def test_while_it_stands_each_is_refused_exactly_when_it_has_waited_a_target() -> None:
    rig = standing()
    assert rig.tick(at=20.4) == []
    assert rig.pool.armed == 20.5
    assert rig.tick(at=20.5) == ["deny overloaded to 3"]
    assert rig.pool.armed == pytest.approx(20.9)
    assert rig.tick(at=20.95) == ["deny overloaded to 4"]


def test_the_oldest_is_refused_first() -> None:
    rig = standing()
    assert rig.tick(at=30) == ["deny overloaded to 3", "deny overloaded to 4"]


def test_whoever_is_served_in_time_is_served_though_the_queue_stands() -> None:
    rig = standing()
    assert rig.release("db:a", at=20.2) == ["ended 1", "lease 1 to 3"]


def test_who_is_to_be_refused_is_not_served_in_the_same_event() -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=19.5)
    told = rig.release("db:a", at=20)  # its Tick is late
    assert told == ["ended 1", "deny overloaded to 2", "lease 1 to 3"]


def test_it_stands_until_it_has_been_empty_once_even_if_somebody_is_served_soon() -> None:
    rig = standing()
    rig.release("db:a", at=20.2)  # ticket 3 waited 0.7 s
    assert rig.tick(at=20.95) == ["deny overloaded to 4"]


@pytest.mark.parametrize("emptied", [on.Cancel(3), on.Release("db:a")])
def test_a_queue_that_has_been_empty_starts_anew(emptied: on.Event) -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=19.5)
    rig.tick(at=20)
    rig.send(emptied, at=20.2)
    assert rig.waiting == []
    rig.acquire("db:d", at=21)
    assert rig.tick(at=40.9) == []
    assert rig.tick(at=41) == ["deny overloaded to 4"]


def test_a_burst_served_within_twenty_targets_is_never_shed() -> None:
    rig = full()
    for n in range(50):
        rig.acquire(f"db:{n}", at=0)
    holder = "db:a"
    for n in range(50):  # one every 0.39 s: the last after 19.5 s
        told = rig.release(holder, at=0.39 * (n + 1))
        assert told == ["ended 1", f"lease 1 to {n + 2}"]
        holder = f"db:{n}"
    assert rig.counters.acquires["refused"] == 0


def test_a_grant_after_less_than_the_target_calms() -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=18.5)
    rig.acquire("db:d", at=18.6)
    rig.send(on.Cancel(2))  # the queue was never empty: calm at 0 so far
    assert rig.release("db:a", at=19) == ["ended 1", "lease 1 to 3"]  # waited 0.5 s: calm
    assert rig.tick(at=20) == []
    assert rig.tick(at=38.9) == []
    assert rig.tick(at=39) == ["deny overloaded to 4"]


def test_a_grant_after_the_target_does_not_calm() -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=18)
    rig.acquire("db:d", at=18.5)
    rig.send(on.Cancel(2))
    assert rig.release("db:a", at=19) == ["ended 1", "lease 1 to 3"]  # waited 1 s
    assert rig.tick(at=20) == ["deny overloaded to 4"]


def test_a_wake_that_calm_has_overtaken_is_harmless_and_sets_the_next() -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=10)
    rig.acquire("db:d", at=10)
    rig.send(on.Cancel(2))
    rig.release("db:a", at=10.5)  # calm
    assert rig.send_all(on.Tick(), at=20) == ["wake 30.5"]


def test_each_key_has_its_own_queue() -> None:
    rig = full(keyed=True, max_size=10)
    rig.hold("db:b")
    rig.acquire("db:a", at=0)
    rig.acquire("db:b", at=5)
    assert rig.tick(at=20) == ["deny overloaded to 3"]
    assert rig.tick(at=24.9) == []
    assert rig.tick(at=25) == ["deny overloaded to 4"]


def test_a_key_gone_before_its_wake_is_nobody_s_concern() -> None:
    rig = Rig(keyed=True, max_queue_delay=1.0, acquire_timeout=math.inf)
    rig.acquire("db:a", timeout=math.inf)
    rig.send(on.Cancel(1))
    rig.send(on.OpenFailed(1))
    rig.tick(at=10)  # the backoff is over
    assert rig.pool.lanes == {}
    assert rig.tick(at=20) == []


def test_priority_does_not_save_from_shedding() -> None:
    rig = full()
    rig.acquire("db:b", at=0, priority=9)
    rig.acquire("db:c", at=19.5)
    assert rig.tick(at=20) == ["deny overloaded to 2"]
    assert rig.release("db:a", at=20.1) == ["ended 1", "lease 1 to 3"]


def test_who_is_refused_is_told_the_last_failure() -> None:
    down = ConnectionError("down")
    rig = full(max_size=2)
    rig.acquire("db:b", at=0)
    rig.send(on.OpenFailed(2, down), at=19.95)
    rig.tick(at=20)
    (deny,) = [effect for effect in rig.effects if isinstance(effect, do.Deny)]
    assert (deny.why, deny.error) == (do.Why.OVERLOADED, down)


def test_deadlines_hold_beside_it() -> None:
    rig = full()
    rig.acquire("db:b", at=0, timeout=5)
    rig.acquire("db:c", at=1)
    assert rig.tick(at=5) == ["deny timeout to 2"]
    assert rig.tick(at=20) == ["deny overloaded to 3"]  # the queue was never empty since 0


def test_without_a_target_nothing_is_ever_shed() -> None:
    rig = full(max_queue_delay=math.inf)
    rig.acquire("db:b", at=0)
    assert rig.tick(at=1e9) == []
    assert rig.waiting == [2]


def test_the_short_way_knows_no_target() -> None:
    rig = full()
    rig.acquire("db:b")
    assert acquire_nowait(rig.pool, on.Acquire("db:c"), 0.0) is None
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None


def test_shedding_costs_by_what_is_due_not_by_what_waits() -> None:
    def cost(waiting: int) -> int:
        rig = full()
        rig.acquire("db:b", at=0)
        for _ in range(waiting):
            rig.acquire(at=19.5)
        told: list[str] = []
        cost = steps(lambda: told.extend(rig.tick(at=20)))
        assert told == ["deny overloaded to 2"]
        return cost

    assert cost(10) == cost(10_000)
