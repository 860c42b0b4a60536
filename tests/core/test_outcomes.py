"""What hooks report: creations, checks, resets and closes, in time, late, well or badly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.policy import Backoff
from pepperpy_resources.core.pool import Mode
from tests.core.rig import Rig

STEADY = Backoff(min=1.0, factor=2.0, max=8.0, jitter=0.0)
CHECKED = {"has_check": True, "check_on_acquire": True}

# -- freed capacity wakes whoever waits (case 5)


def full(**policy: Any) -> Rig:
    return Rig(max_size=1, backoff=STEADY, **policy)


def a_creation_fails(rig: Rig) -> None:
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.tick(at=rig.now + 1)


def a_check_fails(rig: Rig) -> None:
    rig.idle(1)
    rig.acquire("db:a", at=10)
    rig.send(on.CheckFailed(1))
    rig.send(on.Closed(1))


def a_check_is_overdue(rig: Rig) -> None:
    rig.idle(1)
    rig.acquire("db:a", at=10)
    rig.tick(at=15)
    rig.send(on.Closed(1))


def a_reset_fails(rig: Rig) -> None:
    rig.hold("db:x")
    rig.acquire("db:a")
    rig.release("db:x")
    rig.send(on.ResetDone(1, ValueError()))
    rig.send(on.Closed(1))


def a_reset_is_overdue(rig: Rig) -> None:
    rig.hold("db:x")
    rig.acquire("db:a")
    rig.release("db:x")
    rig.tick(at=5)
    rig.send(on.Closed(1))


def a_close_fails(rig: Rig) -> None:
    rig.hold("db:x")
    rig.acquire("db:a")
    rig.send(on.Discard("db:x"))
    rig.send(on.Closed(1, ValueError()))


def the_generation_is_lost(rig: Rig) -> None:
    rig.hold("db:x")
    rig.acquire("db:a")
    rig.send(on.Discard("db:x", lost=True))
    rig.send(on.Closed(1))


def a_detached_slot_comes_back(rig: Rig) -> None:
    rig.hold("db:x")
    rig.acquire("db:a")
    rig.send(on.Evict("db:x"))
    rig.release("db:x")
    rig.send(on.Closed(1))


def the_id_is_evicted_by_force(rig: Rig) -> None:
    rig.hold("db:x")
    rig.acquire("db:a")
    rig.send(on.Evict("db:x", force=True))
    rig.send(on.Closed(1))


WAYS: list[tuple[Callable[[Rig], None], dict[str, Any]]] = [
    (a_creation_fails, {}),
    (a_check_fails, CHECKED),
    (a_check_is_overdue, CHECKED),
    (a_reset_fails, {"has_reset": True}),
    (a_reset_is_overdue, {"has_reset": True}),
    (a_close_fails, {}),
    (the_generation_is_lost, {}),
    (a_detached_slot_comes_back, {}),
    (the_id_is_evicted_by_force, {}),
]


@pytest.mark.parametrize(("way", "policy"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_whatever_frees_the_only_place_a_ticket_gets_a_creation_at_once(
    way: Callable[[Rig], None], policy: dict[str, Any]
) -> None:
    rig = full(**policy)
    way(rig)
    assert rig.states == {2: "opening"}
    assert rig.opened(2)[-1].startswith("lease 2 to ")
    assert rig.waiting == []


def test_an_overdue_close_frees_its_place() -> None:
    rig = Rig(max_size=2, backoff=STEADY)
    rig.hold("db:x", "db:y")
    rig.acquire("db:a")
    rig.send(on.Discard("db:x"))
    assert rig.tick(at=5) == ["abandon 1", "report 1", "open 3"]
    assert rig.states == {1: "abandoned", 2: "leased", 3: "opening"}


def test_with_max_size_hooks_given_up_nothing_is_opened_until_one_of_them_ends() -> None:
    rig = Rig(max_size=1, backoff=STEADY, create_timeout=3.0)
    rig.acquire("db:a")
    assert rig.tick(at=3) == ["abandon 1", "report 1"]
    assert rig.tick(at=4) == []  # the backoff is over, but one of one is given up
    assert rig.send(on.OpenFailed(1), at=5) == ["gone 1", "open 2"]


# -- creations


def test_after_a_failed_creation_one_prober_then_slow_start() -> None:
    rig = Rig(max_size=20, max_opening=4, backoff=STEADY)
    for n in range(12):
        rig.acquire(f"db:{n}", timeout=100)
    assert sorted(rig.states) == [1, 2, 3, 4]
    for slot in (1, 2, 3, 4):
        assert rig.send(on.OpenFailed(slot)) == [f"gone {slot}"]
    assert rig.tick(at=1) == []  # four failures in a row: 4 s
    assert rig.tick(at=3.9) == []
    assert rig.tick(at=4) == ["open 5"]  # one
    assert rig.opened(5) == ["idle 5", "lease 5 to 1", "open 6", "open 7"]  # two
    assert rig.opened(6) == ["idle 6", "lease 6 to 2", "open 8", "open 9", "open 10"]  # four
    assert rig.opened(7) == ["idle 7", "lease 7 to 3", "open 11"]  # and no more than max_opening


def test_a_thousand_tickets_start_no_storm_on_a_dead_backend() -> None:
    """Case 11."""
    rig = Rig(max_size=1000, max_opening=4, backoff=STEADY)
    opened = 0
    for n in range(1000):
        opened += rig.acquire(f"db:{n}", timeout=math.inf).count(f"open {rig.pool.last_slot}")
    assert opened == 4
    at = 0.0
    while at < 60:
        for slot in list(rig.states):
            rig.send(on.OpenFailed(slot), at=at)
        at = rig.pool.armed
        rig.tick(at=at)
        assert len(rig.states) <= 1
    # 4 at once, then one each after 8 s
    assert rig.pool.last_slot == 4 + 8


def test_a_success_while_others_fail_ends_the_row_of_failures() -> None:
    rig = Rig(max_size=10, max_opening=2, backoff=Backoff(min=1.0, attempts=2, jitter=0.0))
    rig.acquire("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c")
    rig.send(on.OpenFailed(1))
    rig.opened(2)
    rig.tick(at=1)
    assert rig.send(on.OpenFailed(3)) == ["gone 3"]  # one in a row, not two: nobody is denied


def test_the_backoff_uses_chance_for_its_jitter() -> None:
    rig = Rig(backoff=Backoff(min=1.0, jitter=0.2))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1), at=10)
    rig.send(on.OpenFailed(2, chance=0.0))  # 1 s - 20 %
    assert rig.tick(at=10.79) == []
    assert rig.tick(at=10.8) == ["open 3"]
    rig.send(on.OpenFailed(3, chance=1.0), at=20)  # 2 s + 20 %
    assert rig.tick(at=22.39) == []
    assert rig.tick(at=22.4) == ["open 4"]


def test_what_cannot_get_better_denies_everyone_at_once() -> None:
    rig = Rig()
    rig.acquire("db:a")
    rig.acquire("db:b")
    why = TypeError("the factory returned None")
    told = rig.send(on.OpenFailed(1, why, fatal=True))
    assert told == ["gone 1", "deny broken to 1", "deny broken to 2"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [why, why]
    assert rig.counters.acquires["error"] == 2


def test_a_ticket_that_times_out_is_told_the_last_failure() -> None:
    rig = Rig(backoff=STEADY)
    down = ConnectionError("down")
    rig.acquire("db:a", timeout=0.5)
    rig.send(on.OpenFailed(1, down))
    assert rig.tick(at=0.5) == ["deny timeout to 1"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [down]


def test_who_waited_for_a_creation_that_took_too_long_is_told_so() -> None:
    rig = Rig(create_timeout=2.0, backoff=Backoff(attempts=1))
    rig.acquire("db:a")
    assert rig.tick(at=2) == ["abandon 1", "deny broken to 1", "report 1"]
    (error,) = [str(e.error) for e in rig.effects if isinstance(e, do.Deny)]
    assert error == "the factory did not end within create_timeout=2 s"


def test_no_slot_is_suspected_where_none_is_left() -> None:
    rig = Rig(**CHECKED, fresh_for=0.0)
    rig.idle(2)
    rig.acquire("db:a", at=1)
    rig.acquire("db:b", at=1)
    assert rig.states == {1: "checking", 2: "checking"}
    rig.send(on.CheckFailed(1))
    assert rig.pool.modes == set()


def test_a_creation_later_than_its_deadline_is_closed_when_it_arrives() -> None:
    rig = Rig(create_timeout=2.0, max_size=2, backoff=STEADY)
    rig.acquire("db:a")
    assert rig.tick(at=2) == ["abandon 1", "report 1", "open 2"]
    (report,) = [effect for effect in rig.effects if isinstance(effect, do.Report)]
    assert report == do.Report("hook overdue", 1, "opening")
    assert rig.pool.size == 1
    assert rig.opened(1, at=3.5) == ["close 1 broken"]
    assert rig.states == {1: "abandoned", 2: "opening"}
    assert rig.send(on.Closed(1)) == ["gone 1"]
    assert rig.counters.errors["open"] == 1


def test_a_late_failure_of_a_given_up_creation_is_not_counted_again() -> None:
    rig = Rig(create_timeout=2.0, backoff=STEADY)
    rig.acquire("db:a")
    rig.tick(at=2)
    assert rig.send(on.OpenFailed(1), at=2.5) == ["gone 1"]
    assert rig.counters.errors["open"] == 1
    assert rig.send(on.OpenFailed(2)) == ["gone 2"]
    assert rig.tick(at=3.5) == ["open 3"]  # and the backoff is that of two failures


def test_lifetimes_vary_by_chance_up_to_their_jitter() -> None:
    rig = Rig(max_lifetime=100.0, lifetime_jitter=0.25)
    for name in ("db:a", "db:b"):
        rig.acquire(name)
    rig.opened(1, at=10, chance=0.0)
    rig.opened(2, at=10, chance=0.999)
    assert rig.pool.slots[1].expires == 110
    assert 85 <= rig.pool.slots[2].expires < 85.1


def test_a_slot_is_never_granted_past_its_lifetime_sweep_or_no_sweep() -> None:
    rig = Rig(max_lifetime=100.0, lifetime_jitter=0.0, max_size=2)
    rig.idle(2)
    assert rig.acquire("db:a", at=99.9) == ["lease 2"]
    rig.release("db:a")
    told = rig.acquire("db:a", at=100)
    assert told == ["close 2 lifetime", "close 1 lifetime", "wait"]
    assert rig.send(on.Closed(2)) == ["gone 2", "open 3"]


# -- checks


def test_a_slot_used_within_fresh_for_is_not_checked() -> None:
    rig = Rig(fresh_for=0.5, **CHECKED)
    rig.idle(1)
    assert rig.acquire("db:a", at=0.49) == ["lease 1"]
    rig.release("db:a", at=1)
    assert rig.acquire("db:a", at=1.5) == ["wait", "check 1"]
    assert rig.send(on.CheckPassed(1), at=1.6) == ["idle 1", "lease 1 to 2"]
    rig.release("db:a", at=2)
    assert rig.acquire("db:a", at=2.49) == ["lease 1"]


def test_without_check_on_acquire_nothing_is_checked_however_old() -> None:
    rig = Rig(has_check=True)
    rig.idle(1)
    assert rig.acquire("db:a", at=1000) == ["lease 1"]


def test_fresh_for_zero_checks_always_and_once() -> None:
    rig = Rig(fresh_for=0.0, **CHECKED)
    rig.acquire("db:a")
    assert rig.opened(1) == ["idle 1", "lease 1 to 1"]  # just made
    rig.release("db:a")
    assert rig.acquire("db:a") == ["wait", "check 1"]
    assert rig.send(on.CheckPassed(1), at=0.1) == ["idle 1", "lease 1 to 2"]
    rig.acquire("db:b")
    rig.opened(2)
    rig.acquire("db:c")
    rig.opened(3)


def test_fresh_for_zero_checks_what_is_handed_over_directly_too() -> None:
    rig = Rig(fresh_for=0.0, max_size=1, **CHECKED)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.release("db:a", at=1) == ["ended 1", "check 1"]
    assert rig.send(on.CheckPassed(1)) == ["idle 1", "lease 1 to 2"]


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_a_passed_check_serves_the_ticket_at_once(order: str) -> None:
    rig = Rig(order=order, **CHECKED)
    rig.idle(3)
    first = 3 if order == "lifo" else 1
    assert rig.acquire("db:a", at=100) == ["wait", f"check {first}"]
    told = rig.send(on.CheckPassed(first), at=104)
    assert told[:2] == [f"idle {first}", f"lease {first} to 4"]


def test_each_ticket_has_one_check_under_way_and_no_more() -> None:
    rig = Rig(**CHECKED)
    rig.idle(3)
    assert rig.acquire("db:a", at=10) == ["wait", "check 3"]
    assert rig.acquire("db:b") == ["wait", "check 2"]


def test_after_an_outage_the_first_acquire_costs_one_failed_check_and_one_creation() -> None:
    """Case 6: the others are checked in the background, never handed out unchecked."""
    rig = Rig(max_size=10, max_opening=3, **CHECKED)
    rig.idle(8)
    assert rig.acquire("db:a", at=100) == ["wait", "check 8"]
    told = rig.send(on.CheckFailed(8))
    assert told == ["close 8 broken", "check 1", "check 2", "check 3", "open 9"]
    assert rig.opened(9) == ["idle 9", "lease 9 to 9"]
    # the next acquire gets no suspect either, but a creation
    assert rig.acquire("db:b") == ["wait", "open 10"]
    assert rig.send(on.CheckFailed(1)) == ["close 1 broken", "check 4"]
    # one that proves good serves whoever waits
    told = rig.send(on.CheckPassed(2))
    assert told == ["idle 2", "lease 2 to 10", "check 5"]
    for slot in (3, 4, 5, 6, 7):
        rig.send(on.CheckPassed(slot))
    assert rig.pool.modes == set()
    assert sorted(rig.pool.idle) == [3, 4, 5, 6, 7]
    assert rig.counters.errors["check"] == 2


def test_in_a_full_pool_the_creation_starts_as_soon_as_the_bad_one_is_closed() -> None:
    rig = Rig(max_size=4, **CHECKED)
    rig.idle(4)
    rig.acquire("db:a", at=100)
    told = rig.send(on.CheckFailed(4))
    assert told == ["close 4 broken", "check 1", "check 2", "check 3"]
    assert rig.send(on.Closed(4)) == ["gone 4", "open 5"]


def test_after_a_failed_check_even_a_fresh_idle_slot_is_suspect() -> None:
    rig = Rig(order="fifo", max_opening=1, **CHECKED)
    rig.hold("db:x")
    rig.idle(2)
    assert rig.acquire("db:a", at=100) == ["wait", "check 2"]
    rig.release("db:x")  # fresh, and lent to a at once
    rig.release("db:a", at=100.1)
    assert rig.send(on.CheckFailed(2)) == ["close 2 broken", "check 3"]
    assert rig.acquire("db:b", at=100.2) == ["wait", "open 4"]  # not slot 1, used 0.1 s ago
    assert rig.send(on.CheckPassed(3)) == ["idle 3", "lease 3 to 5", "check 1"]


def test_while_suspects_are_checked_a_ticket_gets_a_creation_rather_than_another_check() -> None:
    rig = Rig(max_opening=10, **CHECKED)
    rig.hold("db:x")
    rig.idle(3)
    rig.acquire("db:a", at=100)
    told = rig.send(on.CheckFailed(4))
    assert told == ["close 4 broken", "check 2", "check 3", "open 5"]
    rig.opened(5)
    rig.release("db:x")
    assert rig.acquire("db:b", at=102) == ["wait", "open 6"]  # slot 1 is stale by now
    rig.send(on.CheckPassed(2))
    assert rig.pool.modes == {Mode.SUSPECTING}
    rig.send(on.CheckPassed(3))
    assert rig.pool.modes == set()


def test_one_stale_connection_invalidates_nothing() -> None:
    rig = Rig(max_opening=2, **CHECKED)
    rig.hold("db:x")
    rig.idle(2)
    rig.acquire("db:a", at=100)
    rig.send(on.CheckFailed(3))
    assert rig.pool.generation == 1
    assert rig.release("db:x")[0] == "ended 1"
    assert rig.states[1] == "leased"  # a borrowed one is trusted: it went to the ticket


def test_a_check_that_finds_the_connection_lost_invalidates_the_generation() -> None:
    rig = Rig(max_size=10, **CHECKED)
    rig.idle(3)
    rig.acquire("db:a", at=100)
    told = rig.send(on.CheckFailed(3, lost=True))
    assert told[:3] == ["close 3 broken", "close 1 broken", "close 2 broken"]
    assert told[-1] == "open 4"
    assert rig.pool.generation == 2


def test_a_failed_reset_makes_no_other_slot_suspect() -> None:
    rig = Rig(has_reset=True, **CHECKED)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.send(on.ResetDone(1))
    rig.release("db:b")
    assert rig.send(on.ResetDone(2, ValueError())) == ["close 2 broken"]
    assert rig.acquire("db:c") == ["lease 1"]
    assert rig.counters.errors["reset"] == 1


def test_a_reset_that_finds_the_connection_lost_invalidates_the_generation() -> None:
    rig = Rig(has_reset=True)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.send(on.ResetDone(1))
    rig.release("db:b")
    told = rig.send(on.ResetDone(2, ConnectionError(), lost=True))
    assert told[:2] == ["close 2 broken", "close 1 broken"]


def test_a_failed_check_of_the_only_idle_slot_suspects_nobody() -> None:
    rig = Rig(**CHECKED)
    rig.idle(1)
    rig.acquire("db:a", at=100)
    assert rig.send(on.CheckFailed(1)) == ["close 1 broken", "open 2"]
    assert rig.pool.modes == set()


def test_a_key_whose_own_slot_is_suspect_has_it_checked_for_its_ticket() -> None:
    rig = Rig(keyed=True, max_opening=1, **CHECKED)
    rig.hold("db:a", "db:b", "db:c")
    for name in ("db:a", "db:b", "db:c"):
        rig.release(name)
    rig.acquire("db:a", at=10)
    assert rig.send(on.CheckFailed(1)) == ["close 1 broken", "check 2"]
    assert rig.send(on.CheckPassed(2)) == ["idle 2", "check 3"]
    assert rig.acquire("db:b", at=12) == ["wait", "check 2"]  # no longer fresh
    assert rig.send(on.CheckPassed(3)) == ["idle 3"]
    assert rig.send(on.CheckPassed(2)) == ["idle 2", "lease 2 to 5"]


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_while_slots_are_checked_in_the_background_a_returned_one_may_be_lent(order: str) -> None:
    rig = Rig(max_opening=1, order=order, **CHECKED)
    rig.hold("db:x")
    rig.idle(3)
    bad = 4 if order == "lifo" else 2
    assert rig.acquire("db:a", at=100) == ["wait", f"check {bad}"]
    assert rig.send(on.CheckFailed(bad))[-1] == "open 5"
    assert rig.release("db:x") == ["ended 1", "lease 1 to 5"]


# -- late outcomes


def test_outcomes_of_slots_long_gone_are_counted_and_nothing_else() -> None:
    rig = Rig(**CHECKED)
    late: list[on.Event] = [
        on.Opened(1),
        on.OpenFailed(1),
        on.CheckPassed(1),
        on.CheckFailed(1, lost=True),
        on.ResetDone(1, ValueError(), lost=True),
        on.Closed(1, ValueError()),
    ]
    for event in late:
        assert rig.send(event) == []
    assert rig.counters.stale == 6
    assert rig.pool.generation == 1
    assert sum(rig.counters.errors.values()) == 0


def test_a_check_overtaken_by_a_close_says_nothing_any_more() -> None:
    rig = Rig(**CHECKED)
    rig.idle(2)
    rig.acquire("db:a", at=100)
    rig.send(on.Evict())
    assert rig.send(on.CheckFailed(2, lost=True)) == []
    assert rig.counters.stale == 1
    assert rig.counters.errors["check"] == 0
