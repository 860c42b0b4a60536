"""The circuit of a key: its failures outlive its tickets, so that it is half-open in truth.

Here a creation may fail twice; the backoff is then 1 s, then 2, then 4, at most 10.
"""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.policy import Backoff
from tests.core.rig import Rig

TWICE = Backoff(min=1.0, factor=2.0, max=10.0, jitter=0.0, attempts=2)
DOWN = ConnectionError("down")


def broken() -> Rig:
    """Return a type whose key `db:a` has failed twice, the second time at 2 s; nobody waits."""
    rig = Rig(keyed=True, backoff=TWICE)
    rig.acquire("db:a")
    assert rig.send(on.OpenFailed(1)) == ["gone 1", "open 2"]
    assert rig.send(on.OpenFailed(2, DOWN), at=2) == ["gone 2", "deny broken to 1"]
    return rig


def test_an_open_circuit_denies_at_once_with_the_last_failure() -> None:
    rig = broken()
    assert rig.acquire("db:a", at=2.9) == ["wait", "deny broken to 2"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [DOWN]
    assert rig.counters.acquires["error"] == 2


def test_after_the_backoff_the_next_acquire_probes_once_and_the_rest_wait_for_it() -> None:
    rig = broken()
    assert rig.tick(at=3) == []  # nobody waits: nothing is opened
    assert rig.acquire("db:a", at=4) == ["wait", "open 3"]
    assert rig.acquire("db:a") == ["wait"]
    assert rig.opened(3, at=5) == ["idle 3", "lease 3 to 2"]
    assert rig.release("db:a") == ["ended 3", "lease 3 to 3"]


def test_a_probe_that_fails_denies_at_once() -> None:
    rig = broken()
    rig.tick(at=3)
    rig.acquire("db:a", at=4)
    rig.acquire("db:a")
    assert rig.send(on.OpenFailed(3)) == ["gone 3", "deny broken to 2", "deny broken to 3"]
    assert rig.acquire("db:a", at=5.9) == ["wait", "deny broken to 4"]  # 2 s this time
    assert rig.tick(at=6) == []
    assert rig.acquire("db:a", at=6) == ["wait", "open 4"]


def test_failures_are_remembered_for_the_longest_backoff_after_their_own() -> None:
    rig = broken()  # its backoff ends at 3 s
    rig.tick(at=3)
    assert rig.pool.armed == 13.0
    assert rig.tick(at=12.9) == []
    assert list(rig.pool.lanes) == ["db:a"]
    rig.acquire("db:a")
    assert rig.send(on.OpenFailed(3)) == ["gone 3", "deny broken to 2"]


def test_after_that_the_key_is_forgotten_and_starts_anew() -> None:
    rig = broken()
    rig.tick(at=3)
    rig.tick(at=13)
    assert rig.pool.lanes == {}
    rig.acquire("db:a")
    assert rig.send(on.OpenFailed(3)) == ["gone 3", "open 4"]  # one more try, at once


def test_a_success_closes_the_circuit() -> None:
    rig = broken()
    rig.tick(at=3)
    rig.acquire("db:a", at=4)
    rig.opened(3)
    rig.send(on.Discard("db:a"))
    assert rig.send(on.Closed(3)) == ["gone 3"]
    assert rig.pool.lanes == {}
    rig.acquire("db:a")
    assert rig.send(on.OpenFailed(4)) == ["gone 4", "open 5"]  # the first in a row


def test_one_failure_without_waiters_is_remembered_too() -> None:
    rig = Rig(keyed=True, backoff=TWICE)
    rig.acquire("db:a", timeout=0)
    rig.send(on.OpenFailed(1))
    rig.tick(at=1)
    assert list(rig.pool.lanes) == ["db:a"]
    rig.acquire("db:a", at=5)
    assert rig.send(on.OpenFailed(2)) == ["gone 2", "deny broken to 2"]  # the second in a row


def test_the_circuit_of_one_key_is_no_other_s() -> None:
    rig = broken()
    assert rig.acquire("db:b") == ["wait", "open 3"]
    assert rig.send(on.OpenFailed(3)) == ["gone 3", "open 4"]
    assert rig.waiting == [2]


def test_without_a_limit_of_attempts_a_key_is_forgotten_with_its_backoff() -> None:
    rig = Rig(keyed=True, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a", timeout=0)
    rig.send(on.OpenFailed(1))
    rig.acquire("db:a", timeout=0)
    rig.send(on.OpenFailed(2), at=0.5)
    rig.tick(at=1.4)
    assert list(rig.pool.lanes) == ["db:a"]
    rig.tick(at=1.5)
    assert rig.pool.lanes == {}


def test_one_failure_is_remembered_for_the_first_backoff_though_nothing_waits_for_it() -> None:
    # Or a key that is asked for again and again, by who does not wait, would never be left alone.
    rig = Rig(keyed=True, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a", timeout=0)
    rig.send(on.OpenFailed(1))
    rig.tick(at=0.9)
    assert rig.acquire("db:a", timeout=0) == ["wait", "open 2", "deny timeout to 2"]
    rig.send(on.OpenFailed(2))  # the second in a row
    assert rig.acquire("db:a", timeout=0) == ["wait", "deny timeout to 3"]


def test_one_failure_is_forgotten_after_that() -> None:
    rig = Rig(keyed=True, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a", timeout=0)
    rig.send(on.OpenFailed(1))
    rig.tick(at=1)
    assert rig.pool.lanes == {}


def test_a_single_attempt_leaves_no_second_try_at_once() -> None:
    once = Backoff(min=1.0, factor=2.0, max=10.0, jitter=0.0, attempts=1)
    rig = Rig(backoff=once)
    rig.acquire("db:a")
    assert rig.send(on.OpenFailed(1, DOWN)) == ["gone 1", "deny broken to 1"]
    assert rig.acquire("db:b", at=0.9) == ["wait", "deny broken to 2"]  # the circuit is open
    assert rig.acquire("db:c", at=1) == ["wait", "open 2"]  # half-open
    assert rig.send(on.OpenFailed(2, DOWN)) == ["gone 2", "deny broken to 3"]
    assert rig.acquire("db:d", at=2.9) == ["wait", "deny broken to 4"]
    assert rig.acquire("db:e", at=3) == ["wait", "open 3"]


def test_a_key_that_is_waited_for_is_not_forgotten_by_its_timer() -> None:
    rig = broken()
    rig.tick(at=3)
    rig.acquire("db:a", at=12, timeout=100)
    assert rig.tick(at=13) == []
    assert rig.opened(3) == ["idle 3", "lease 3 to 2"]


def test_a_key_forgotten_before_its_timer_comes_is_nobody_s_concern() -> None:
    rig = Rig(keyed=True, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.send(on.OpenFailed(2))
    assert rig.send(on.Cancel(1), at=1) == ["drop 1"]  # its Tick is late
    assert rig.pool.lanes == {}
    assert rig.tick(at=1) == []


def test_a_key_that_was_forgotten_wakes_nobody_again() -> None:
    rig = Rig(keyed=True, backoff=TWICE)
    rig.acquire("db:a", timeout=math.inf)
    rig.send(on.Cancel(1))
    rig.send(on.OpenFailed(1))
    assert rig.send_all(on.Tick(), at=1) == ["wake 11"]  # 1 s, and the longest backoff
    assert rig.send_all(on.Tick(), at=11) == []
    assert rig.pool.lanes == {}
