"""Suspended: nothing is leased or opened, nobody is sent away before their time; then resumed."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from pepperpy_resources.core.policy import Backoff
from tests.core.rig import Rig


def suspended(count: int = 0, **policy: object) -> Rig:
    """Return a suspended pool with so many idle slots."""
    rig = Rig(**policy)
    rig.idle(count)
    assert rig.send(on.Suspend()) == ["suspended True"]
    return rig


def test_acquires_wait_though_a_slot_is_idle_and_are_served_when_it_is_resumed() -> None:
    rig = suspended(2)
    assert rig.acquire("db:a") == ["wait"]
    assert rig.acquire("db:b") == ["wait"]
    told = rig.send(on.Resume(), at=5)
    assert told == ["suspended False", "lease 2 to 3", "lease 1 to 4"]
    assert rig.counters.wait_seconds.total == 10.0


def test_nothing_is_opened_until_it_is_resumed() -> None:
    rig = suspended()
    assert rig.acquire("db:a") == ["wait"]
    assert rig.tick(at=1) == []
    assert rig.send(on.Resume()) == ["suspended False", "open 1"]
    assert rig.opened(1) == ["idle 1", "lease 1 to 1"]


def test_nothing_is_checked_for_a_ticket_until_it_is_resumed() -> None:
    rig = suspended(1, has_check=True, check_on_acquire=True)
    assert rig.acquire("db:a", at=10) == ["wait"]
    assert rig.send(on.Resume()) == ["suspended False", "check 1"]
    assert rig.send(on.CheckPassed(1)) == ["idle 1", "lease 1 to 2"]


def test_whoever_does_not_wait_is_told_that_it_is_suspended() -> None:
    rig = suspended(1)
    assert rig.acquire("db:a", timeout=0) == ["wait", "deny suspended to 2"]
    assert rig.counters.acquires["timeout"] == 1
    assert rig.send(on.Resume()) == ["suspended False"]
    assert rig.acquire("db:a") == ["lease 1"]


def test_deadlines_hold_while_it_is_suspended() -> None:
    rig = suspended(1)
    rig.acquire("db:a", timeout=2.0)
    rig.acquire("db:b")
    assert rig.tick(at=1.9) == []
    assert rig.tick(at=2) == ["deny suspended to 2"]
    assert rig.counters.acquires["timeout"] == 1
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 3"]


def test_a_deadline_after_it_was_resumed_is_an_ordinary_one() -> None:
    rig = suspended(max_size=1)
    rig.acquire("db:a", timeout=2.0)
    rig.send(on.Resume())
    assert rig.tick(at=2) == ["deny timeout to 1"]


def test_releases_are_taken_and_serve_nobody() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.send(on.Suspend())
    assert rig.release("db:a") == ["ended 1"]
    assert rig.states == {1: "idle"}
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 2"]


def test_a_shared_slot_takes_no_further_holder() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.hold("db:a")
    rig.send(on.Suspend())
    assert rig.acquire("db:a") == ["wait"]
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 2"]


def test_hooks_that_run_end_as_usual() -> None:
    rig = Rig(max_size=3, has_reset=True)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.send(on.Discard("db:b"))
    rig.acquire("db:c")
    assert rig.states == {1: "resetting", 2: "closing", 3: "opening"}
    rig.send(on.Suspend())
    assert rig.opened(3) == ["idle 3"]
    assert rig.send(on.ResetDone(1)) == ["idle 1"]
    assert rig.send(on.Closed(2)) == ["gone 2"]
    assert rig.waiting == [3]
    assert rig.send(on.Resume())[0] == "suspended False"
    assert rig.waiting == []


def test_a_creation_that_fails_is_tried_again_when_it_is_resumed() -> None:
    rig = Rig(backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a")
    rig.send(on.Suspend())
    assert rig.send(on.OpenFailed(1)) == ["gone 1"]
    assert rig.tick(at=1) == []
    assert rig.send(on.Resume(), at=2) == ["suspended False", "open 2"]


def test_a_backoff_outlasts_the_suspension() -> None:
    rig = Rig(backoff=Backoff(min=5.0, jitter=0.0))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.send(on.OpenFailed(2))
    rig.send(on.Suspend())
    assert rig.send(on.Resume(), at=2) == ["suspended False"]
    assert rig.tick(at=5) == ["open 3"]


def test_a_first_failure_is_tried_again_when_it_is_resumed() -> None:
    rig = Rig()
    rig.acquire("db:a")
    rig.send(on.Suspend())
    assert rig.send(on.OpenFailed(1)) == ["gone 1"]
    assert rig.send(on.Resume(), at=2) == ["suspended False", "open 2"]


def test_the_floor_is_not_restored_until_it_is_resumed() -> None:
    rig = Rig(min_idle=2)
    rig.opened(1)
    rig.opened(2)
    rig.send(on.Suspend())
    rig.send(on.Evict())
    rig.send(on.Closed(1))
    rig.send(on.Closed(2))
    assert rig.send(on.Sweep(), at=1) == []
    assert rig.send(on.Resize(min_idle=3)) == ["resized 10 3 inf"]
    assert rig.send(on.Resume()) == ["suspended False", "open 3", "open 4", "open 5"]


def test_warm_up_is_interrupted_and_goes_on() -> None:
    rig = Rig(min_idle=3, max_opening=1)
    rig.send(on.Ready())
    rig.send(on.Suspend())
    assert rig.opened(1) == ["idle 1"]
    assert rig.send(on.Resume()) == ["suspended False", "open 2"]
    assert rig.opened(2) == ["idle 2", "open 3"]
    assert rig.opened(3) == ["idle 3", "answer 1"]


def test_suspending_twice_is_harmless() -> None:
    rig = suspended(1)
    rig.send(on.Suspend())
    rig.acquire("db:a")
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 2"]
    assert rig.send(on.Resume()) == []


def test_resuming_what_is_not_suspended_does_nothing() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.send_all(on.Resume()) == []


def test_a_cancelled_ticket_is_not_served_when_it_is_resumed() -> None:
    rig = suspended(1)
    rig.acquire("db:a")
    assert rig.send(on.Cancel(2)) == ["drop 2"]
    assert rig.send(on.Resume()) == ["suspended False"]


def test_a_full_queue_refuses_while_it_is_suspended() -> None:
    rig = suspended(1, max_waiting=1)
    rig.acquire("db:a")
    assert rig.acquire("db:b") == ["wait", "deny queue_full to 3"]


def test_priority_decides_who_is_served_first_when_it_is_resumed() -> None:
    rig = suspended(1, max_size=1)
    rig.acquire("db:a")
    rig.acquire("db:b", priority=1)
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 3"]


def test_what_is_idle_is_still_retired() -> None:
    rig = suspended(1, idle_timeout=60.0)
    assert rig.send(on.Sweep(), at=60) == ["close 1 idle"]


@pytest.mark.parametrize("stop", [on.Drain(), on.Shut()])
def test_draining_and_shutting_override_it(stop: on.Event) -> None:
    rig = suspended(1)
    rig.acquire("db:a")
    assert rig.send(stop) == ["deny closed to 2", "close 1 shutdown", "wait"]
    assert rig.acquire("db:b") == ["deny closed"]
    assert rig.send(on.Resume()) == []
    assert rig.send(on.Suspend()) == []
    assert rig.acquire("db:b") == ["deny closed"]
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 3"]


# -- keyed types


def test_keys_wait_and_all_are_served_when_it_is_resumed() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    rig.release("db:a")
    rig.send(on.Suspend())
    assert rig.acquire("db:a") == ["wait"]
    assert rig.acquire("db:b") == ["wait"]
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 2", "open 2"]


def test_a_key_nobody_waits_for_is_forgotten_while_it_is_suspended() -> None:
    rig = Rig(keyed=True)
    rig.send(on.Suspend())
    assert rig.acquire("db:a", timeout=0) == ["wait", "deny suspended to 1"]
    assert rig.pool.lanes == {}


def test_a_key_that_starves_gets_no_room_until_it_is_resumed() -> None:
    rig = Rig(keyed=True, max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")  # starves
    rig.send(on.Suspend())
    assert rig.release("db:a") == ["ended 1"]
    assert rig.send(on.Resume()) == ["suspended False", "close 1 idle"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


# -- the short way


def test_the_short_way_is_shut_while_it_is_suspended() -> None:
    rig = suspended(1)
    assert acquire_nowait(rig.pool, on.Acquire("db:a"), 0.0) is None
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.send(on.Suspend())
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None
    rig.send(on.Resume())
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is not None
