"""When a slot is retired or looked after: max_uses, checks on return, keepalive."""

from __future__ import annotations

import math

import pytest

from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from tests.core.rig import Rig
from tests.core.steps import steps

# -- max_uses


def test_a_slot_used_up_is_closed_when_it_comes_back() -> None:
    rig = Rig(max_uses=2, max_size=1)
    rig.hold("db:a")
    assert rig.release("db:a") == ["ended 1"]
    assert rig.acquire("db:b") == ["doom 1", "lease 1"]
    assert rig.release("db:b") == ["ended 1", "close 1 uses"]
    assert rig.counters.closed["uses"] == 1


def test_who_waits_for_a_slot_used_up_gets_a_new_one() -> None:
    rig = Rig(max_uses=1, max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.release("db:a") == ["ended 1", "close 1 uses"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]
    assert rig.opened(2) == ["idle 2", "doom 2", "lease 2 to 2"]


def test_every_holder_of_a_shared_slot_is_a_use() -> None:
    rig = Rig(keyed=True, max_holders=3, max_uses=2)
    rig.hold("db:a")
    assert rig.acquire("db:a") == ["doom 1", "lease 1"]
    assert rig.acquire("db:a") == ["wait"]  # there is room for a third holder, but no use left
    assert rig.release("db:a", epoch=1) == ["ended 1"]
    assert rig.release("db:a", epoch=2) == ["ended 1", "close 1 uses"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


def test_a_slot_used_up_is_neither_reset_nor_checked() -> None:
    rig = Rig(max_uses=1, has_reset=True, has_check=True, check_on_return=True)
    rig.hold("db:a")
    assert rig.release("db:a") == ["ended 1", "close 1 uses"]


def test_checks_and_resets_are_no_uses() -> None:
    rig = Rig(max_uses=2, has_reset=True, has_check=True, check_on_return=True)
    rig.hold("db:a")
    rig.release("db:a")
    rig.send(on.ResetDone(1))
    rig.send(on.CheckPassed(1))
    assert rig.acquire("db:b") == ["doom 1", "lease 1"]


def test_a_discarded_slot_is_broken_however_much_it_was_used() -> None:
    rig = Rig(max_uses=1)
    rig.hold("db:a")
    assert rig.send(on.Discard("db:a")) == ["ended 1", "close 1 broken"]


def test_the_short_way_knows_no_uses() -> None:
    rig = Rig(max_uses=2)
    rig.hold("db:a")
    rig.idle(1)
    assert acquire_nowait(rig.pool, on.Acquire("db:b"), 0.0) is None
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None


# -- checks on return

RETURN = {"has_check": True, "check_on_return": True}


def test_a_slot_that_comes_back_is_checked_before_it_is_idle() -> None:
    rig = Rig(**RETURN)
    rig.hold("db:a")
    assert rig.release("db:a") == ["ended 1", "check 1"]
    assert rig.states == {1: "checking"}
    assert rig.send(on.CheckPassed(1)) == ["idle 1"]
    assert rig.acquire("db:b") == ["lease 1"]


def test_the_reset_comes_before_the_check() -> None:
    rig = Rig(has_reset=True, **RETURN)
    rig.hold("db:a")
    assert rig.release("db:a") == ["ended 1", "reset 1"]
    assert rig.send(on.ResetDone(1)) == ["idle 1", "check 1"]
    assert rig.send(on.CheckPassed(1)) == ["idle 1"]


def test_a_slot_whose_reset_failed_is_not_checked() -> None:
    rig = Rig(has_reset=True, **RETURN)
    rig.hold("db:a")
    rig.release("db:a")
    assert rig.send(on.ResetDone(1, ValueError())) == ["close 1 broken"]


def test_a_slot_checked_on_return_serves_who_waits() -> None:
    rig = Rig(max_size=1, **RETURN)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.release("db:a") == ["ended 1", "check 1"]
    assert rig.acquire("db:c") == ["wait"]
    assert rig.send(on.CheckPassed(1)) == ["idle 1", "lease 1 to 2"]


def test_the_check_is_promised_to_a_ticket_that_nothing_is_promised_to() -> None:
    rig = Rig(max_size=2, max_waiting=0, **RETURN)
    rig.hold("db:a")
    rig.acquire("db:b")  # slot 2 is opened for it
    rig.release("db:a")  # nobody else waits: the check of slot 1 is for nobody
    assert rig.acquire("db:c") == ["wait", "deny queue_full to 3"]
    rig = Rig(max_size=1, max_waiting=1, **RETURN)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.release("db:a")  # the check is for b: one more may wait
    assert rig.acquire("db:c") == ["wait"]
    assert rig.acquire("db:d") == ["wait", "deny queue_full to 4"]


def test_a_failed_check_on_return_is_a_failed_check_like_any_other() -> None:
    rig = Rig(max_size=3, **RETURN)
    rig.hold("db:a", "db:b")
    rig.release("db:b")
    rig.send(on.CheckPassed(2))
    rig.release("db:a")
    told = rig.send(on.CheckFailed(1, ConnectionError()))
    assert told == ["close 1 broken", "check 2"]  # the idle one is suspect
    assert rig.counters.errors["check"] == 1


def test_after_a_failed_check_on_return_who_waits_gets_a_creation() -> None:
    rig = Rig(max_size=2, **RETURN)
    rig.hold("db:a", "db:b")
    rig.acquire("db:c")
    rig.release("db:a")
    assert rig.send(on.CheckFailed(1)) == ["close 1 broken"]  # closing ones count
    assert rig.send(on.Closed(1)) == ["gone 1", "open 3"]


def test_a_check_on_return_has_its_deadline() -> None:
    rig = Rig(check_timeout=5.0, **RETURN)
    rig.hold("db:a")
    rig.release("db:a", at=10)
    assert rig.tick(at=14.9) == []
    assert rig.tick(at=15) == ["close 1 broken", "report 1"]


@pytest.mark.parametrize("has_reset", [False, True])
def test_nothing_is_checked_while_draining(has_reset: bool) -> None:  # noqa: FBT001
    rig = Rig(has_reset=has_reset, has_close=True, **RETURN)
    rig.hold("db:a")
    rig.send(on.Drain())
    told = rig.release("db:a")
    if has_reset:
        told += rig.send(on.ResetDone(1))
    assert "check 1" not in told
    assert told[-1] == "close 1 shutdown"


def test_an_expired_slot_is_closed_not_checked() -> None:
    rig = Rig(max_lifetime=10.0, **RETURN)
    rig.hold("db:a")
    assert rig.release("db:a", at=10) == ["ended 1", "close 1 lifetime"]


def test_a_shared_slot_is_checked_when_the_last_holder_returns() -> None:
    rig = Rig(keyed=True, max_holders=2, **RETURN)
    rig.hold("db:a")
    rig.acquire("db:a")
    assert rig.release("db:a", epoch=1) == ["ended 1"]
    assert rig.release("db:a", epoch=2) == ["ended 1", "check 1"]


def test_a_slot_found_good_on_return_is_fresh() -> None:
    rig = Rig(check_on_acquire=True, fresh_for=0.5, **RETURN)
    rig.hold("db:a")
    rig.release("db:a", at=10)
    rig.send(on.CheckPassed(1), at=11)
    assert rig.acquire("db:b", at=11.4) == ["lease 1"]


def test_the_short_way_knows_no_check_on_return() -> None:
    rig = Rig(**RETURN)
    rig.hold("db:a")
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None


# -- keepalive: 100 s, of slots whose chance is 0 unless said otherwise

QUIET = {"has_check": True, "keepalive": 100.0, "idle_timeout": 600.0}


def quiet(count: int = 1, chance: float = 0.0, **policy: object) -> Rig:
    """Return so many idle slots, last used at 0 s."""
    rig = Rig(**{**QUIET, **policy})
    for n in range(count):
        rig.acquire(f"db:{n}")
        rig.opened(n + 1, chance=chance)
    for n in range(count):
        rig.release(f"db:{n}")
    return rig


@pytest.mark.parametrize(
    ("chance", "due"),
    [(0.0, 100.0), (0.8, 80.0), (0.4, 90.0)],  # 100 * (1 - 0.25 * chance)
)
def test_a_quiet_slot_is_checked_in_the_background(chance: float, due: float) -> None:
    rig = quiet(chance=chance)
    assert rig.send(on.Sweep(), at=due - 0.1) == []
    assert rig.send(on.Sweep(), at=due) == ["check 1"]
    assert rig.send(on.CheckPassed(1), at=due + 1) == ["idle 1"]


def test_a_check_in_the_background_is_promised_to_nobody() -> None:
    rig = quiet()
    rig.send(on.Sweep(), at=100)
    assert rig.acquire("db:a") == ["wait", "open 2"]


def test_only_a_sweep_looks() -> None:
    rig = quiet()
    rig.tick(at=30)  # the deadline of the ticket it was opened for
    assert rig.pool.armed == math.inf
    assert rig.tick(at=500) == []


def test_a_lease_makes_a_slot_known_good_anew() -> None:
    rig = quiet()
    rig.acquire("db:a", at=50)
    assert rig.send(on.Sweep(), at=100) == []  # leased
    rig.release("db:a", at=110)
    assert rig.send(on.Sweep(), at=209.9) == []
    assert rig.send(on.Sweep(), at=210) == ["check 1"]


def test_a_new_slot_is_known_good_from_its_creation() -> None:
    rig = Rig(**QUIET)
    rig.acquire("db:a", timeout=0)
    rig.opened(1, at=10, chance=0.0)
    assert rig.send(on.Sweep(), at=109.9) == []
    assert rig.send(on.Sweep(), at=110) == ["check 1"]


def test_after_a_check_the_next_is_due_a_keepalive_later() -> None:
    rig = quiet()
    rig.send(on.Sweep(), at=100)
    rig.send(on.CheckPassed(1), at=103)
    assert rig.send(on.Sweep(), at=202.9) == []
    assert rig.send(on.Sweep(), at=203) == ["check 1"]


def test_at_most_half_rounded_up_is_checked_in_one_sweep() -> None:
    rig = quiet(5)
    assert rig.send(on.Sweep(), at=100) == ["check 1", "check 2", "check 3"]
    assert rig.send(on.Sweep(), at=101) == ["check 4"]  # of the two still idle
    assert rig.send(on.Sweep(), at=102) == ["check 5"]
    assert rig.send(on.Sweep(), at=103) == []


def test_what_a_sweep_left_is_checked_by_the_next() -> None:
    rig = quiet(2)
    assert rig.send(on.Sweep(), at=100) == ["check 1"]
    rig.send(on.CheckPassed(1), at=101)
    assert rig.send(on.Sweep(), at=102) == ["check 2"]


def test_the_check_of_a_quiet_slot_is_no_use() -> None:
    rig = quiet()
    for at in (100, 200, 300, 400, 500):
        assert rig.send(on.Sweep(), at=at) == ["check 1"]
        rig.send(on.CheckPassed(1))
    assert rig.send(on.Sweep(), at=599.9) == []
    assert rig.send(on.Sweep(), at=600) == ["close 1 idle"]


def test_what_is_idle_too_long_is_closed_not_checked_once_more() -> None:
    rig = quiet(3, min_idle=0)
    assert rig.send(on.Sweep(), at=600) == ["close 1 idle", "close 2 idle", "close 3 idle"]


def test_what_the_floor_keeps_is_still_looked_after() -> None:
    rig = quiet(2, min_idle=1)
    assert rig.send(on.Sweep(), at=600) == ["close 1 idle", "check 2"]
    rig.send(on.CheckPassed(2))
    assert rig.send(on.Sweep(), at=650) == []
    assert rig.send(on.Sweep(), at=700) == ["check 2"]


def test_a_slot_checked_later_does_not_keep_one_idle_longer_from_its_retirement() -> None:
    """The one used later comes back from its check after the other, and is idle less long."""
    rig = quiet(2)
    rig.acquire("db:x")
    rig.release("db:x", at=90)  # slot 2
    assert rig.send(on.Sweep(), at=100) == ["check 1"]
    rig.send(on.CheckPassed(1))
    assert rig.send(on.Sweep(), at=190) == ["check 2"]
    rig.send(on.CheckPassed(2))
    assert list(rig.pool.idle) == [1, 2]
    for at, number in [(200, 1), (290, 2), (300, 1), (390, 2), (400, 1), (490, 2), (500, 1)]:
        assert rig.send(on.Sweep(), at=at) == [f"check {number}"]
        rig.send(on.CheckPassed(number))
    assert rig.send(on.Sweep(), at=590) == ["check 2"]
    rig.send(on.CheckPassed(2))
    assert rig.send(on.Sweep(), at=600) == ["close 1 idle"]  # last used at 0
    assert rig.send(on.Sweep(), at=689.9) == []
    assert rig.send(on.Sweep(), at=690) == ["close 2 idle"]  # last used at 90


def test_the_floor_keeps_those_used_last_whatever_their_place() -> None:
    rig = quiet(2, min_idle=1)
    rig.acquire("db:x")
    rig.release("db:x", at=90)  # slot 2
    rig.send(on.Sweep(), at=100)
    rig.send(on.CheckPassed(1))
    rig.send(on.Sweep(), at=190)
    rig.send(on.CheckPassed(2))
    assert list(rig.pool.idle) == [1, 2]
    assert rig.send(on.Sweep(), at=690) == ["close 1 idle", "check 2"]
    rig.send(on.CheckPassed(2))
    rig.send(on.Resize(min_idle=0), at=700)  # what the floor kept is due at once
    assert rig.send(on.Sweep()) == ["close 2 idle"]


def test_a_check_brings_no_slot_nearer_to_being_handed_out() -> None:
    rig = quiet(3)
    rig.send(on.Sweep(), at=100)  # slots 1 and 2, all used at the same time
    rig.send(on.CheckPassed(2))
    rig.send(on.CheckPassed(1))
    assert [rig.acquire() for _ in range(3)] == [["lease 3"], ["lease 2"], ["lease 1"]]


def test_however_the_checks_end_the_slots_stay_in_the_order_of_their_last_use() -> None:
    rig = quiet(3)
    for name in ("db:3", "db:2", "db:1"):
        rig.acquire(name, at=5)  # the slot of that number
    for name, at in [("db:2", 10), ("db:1", 20), ("db:3", 30)]:
        rig.release(name, at=at)
    assert rig.send(on.Sweep(), at=200) == ["check 2", "check 1"]
    assert rig.send(on.Sweep()) == ["check 3"]
    for number in (3, 1, 2):
        rig.send(on.CheckPassed(number))
    assert [rig.acquire() for _ in range(3)] == [["lease 3"], ["lease 1"], ["lease 2"]]


def test_fifo_keeps_the_one_idle_longest_first_to_be_handed_out() -> None:
    rig = quiet(2, order="fifo")
    rig.send(on.Sweep(), at=100)
    rig.send(on.CheckPassed(1))
    assert [rig.acquire() for _ in range(2)] == [["lease 1"], ["lease 2"]]


def test_a_check_in_the_background_that_fails_is_a_failed_check() -> None:
    rig = quiet(3)
    assert rig.send(on.Sweep(), at=100) == ["check 1", "check 2"]
    assert rig.send(on.CheckFailed(1)) == ["close 1 broken", "check 3"]


def test_a_ticket_that_comes_during_the_check_takes_the_slot() -> None:
    rig = quiet(1, max_size=1)
    rig.send(on.Sweep(), at=100)
    assert rig.acquire("db:a") == ["wait"]
    assert rig.send(on.CheckPassed(1)) == ["idle 1", "lease 1 to 2"]


def test_what_is_closed_is_not_looked_after() -> None:
    rig = quiet()
    rig.send(on.Evict())
    rig.send(on.Closed(1))
    assert len(rig.pool.keepalives) == 0
    assert rig.send(on.Sweep(), at=100) == []


def test_a_keyed_slot_is_looked_after_too() -> None:
    rig = Rig(keyed=True, **QUIET)
    rig.acquire("db:a")
    rig.opened(1, chance=0.0)
    rig.release("db:a")
    assert rig.send(on.Sweep(), at=100) == ["check 1"]
    assert rig.acquire("db:a") == ["wait"]
    assert rig.send(on.CheckPassed(1)) == ["idle 1", "lease 1 to 2"]


def test_the_short_way_back_knows_no_keepalive() -> None:
    rig = Rig(**QUIET)
    rig.hold("db:a")
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None


def test_a_sweep_with_nothing_due_costs_the_same_whatever_is_watched() -> None:
    def cost(size: int) -> int:
        rig = quiet(size, max_size=1000, max_opening=1000, max_hold=1000.0)
        rig.hold(*(f"db:held-{n}" for n in range(size)))
        assert len(rig.pool.leases) == size
        for n in range(size // 2):
            rig.release(f"db:held-{n}")
        while rig.send(on.Sweep(), at=100):  # all in the state of having been checked
            for number in [n for n, state in rig.states.items() if state == "checking"]:
                rig.send(on.CheckPassed(number))
        return steps(lambda: rig.send(on.Sweep()))

    assert cost(10) == cost(400)
