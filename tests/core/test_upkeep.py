"""What time, the janitor and the operator bring: sweeps, evictions, draining, shutting."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.policy import Backoff
from pepperpy_resources.core.pool import Mode
from tests.core.rig import Rig
from tests.core.steps import steps

STEADY = Backoff(min=1.0, jitter=0.0)


# -- sweeps


def test_what_is_idle_too_long_is_closed_longest_first() -> None:
    rig = Rig(idle_timeout=60.0)
    rig.hold("db:a", "db:b", "db:c")
    for at, name in enumerate(("db:b", "db:a", "db:c")):
        rig.release(name, at=at)
    assert rig.send(on.Sweep(), at=59.9) == []
    assert rig.send(on.Sweep(), at=61) == ["close 2 idle", "close 1 idle"]
    assert rig.counters.cleanups == {"janitor": 2, "call": 0}


def test_min_idle_of_the_idle_ones_stay_the_most_recently_used() -> None:
    rig = Rig(idle_timeout=60.0, min_idle=1, max_opening=1)
    rig.opened(1)
    rig.hold("db:a", "db:b", "db:c")
    for name in ("db:a", "db:b", "db:c"):
        rig.release(name)
    assert rig.send(on.Sweep(), at=1000) == ["close 1 idle", "close 2 idle"]
    assert rig.states[3] == "idle"


def test_an_expired_idle_slot_is_closed_by_the_sweep_a_leased_one_on_return() -> None:
    rig = Rig(max_lifetime=100.0, lifetime_jitter=0.0)
    rig.hold("db:a")
    rig.idle(1)
    assert rig.send(on.Sweep(), at=99.9) == []
    assert rig.send(on.Sweep(), at=100) == ["close 2 lifetime"]
    assert rig.release("db:a") == ["ended 1", "close 1 lifetime"]


def test_a_sweep_restores_the_floor() -> None:
    rig = Rig(min_idle=2, max_lifetime=100.0, lifetime_jitter=0.0, idle_timeout=math.inf)
    assert rig.first == ["open 1", "open 2"]
    rig.opened(1)
    rig.opened(2)
    rig.acquire("db:a", at=1)
    assert rig.send(on.Sweep()) == ["open 3"]
    rig.opened(3)
    assert rig.send(on.Sweep(), at=100) == ["close 1 lifetime", "open 4"]
    rig.opened(4)
    assert rig.states == {1: "closing", 2: "leased", 3: "idle", 4: "idle"}


def test_a_sweep_restores_the_floor_though_a_late_release_is_still_awaited() -> None:
    rig = Rig(min_idle=1)
    rig.opened(1)
    rig.acquire("db:a")
    rig.send(on.Evict("db:a", force=True))
    rig.send(on.Closed(1))
    assert list(rig.pool.ended) == [1]
    assert rig.send(on.Sweep(), at=1) == ["open 2"]


def test_the_floor_is_approached_within_max_opening_and_backoff() -> None:
    rig = Rig(min_idle=3, max_opening=2, backoff=STEADY)
    assert rig.states == {1: "opening", 2: "opening"}
    assert rig.opened(1) == ["idle 1", "open 3"]
    assert rig.send(on.OpenFailed(2)) == ["gone 2"]
    assert rig.send(on.OpenFailed(3)) == ["gone 3"]
    assert rig.tick(at=2) == ["open 4"]
    assert rig.opened(4) == ["idle 4", "open 5"]
    assert rig.opened(5) == ["idle 5"]
    assert len(rig.pool.idle) == 3


def test_tickets_are_served_before_the_floor_is_restored() -> None:
    rig = Rig(min_idle=1, max_size=3)
    rig.acquire("db:a")
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "open 2"]
    assert rig.opened(2) == ["idle 2"]


def test_creations_that_tickets_wait_for_do_not_count_towards_the_floor() -> None:
    rig = Rig(min_idle=1, max_size=3)
    rig.acquire("db:a")
    assert rig.acquire("db:b") == ["wait", "open 2"]
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "open 3"]


def test_a_sweep_does_not_fill_while_draining() -> None:
    rig = Rig(min_idle=1)
    rig.opened(1)
    rig.send(on.Drain())
    assert rig.send(on.Sweep()) == []
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 1"]
    assert rig.send(on.Sweep()) == []
    assert rig.pool.modes == {Mode.DRAINING}


def test_whoever_watches_sees_the_drain_to_its_end() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.pool.modes |= {Mode.WATCHED, Mode.SUSPECTING}
    rig.send(on.Drain())
    assert rig.pool.modes == {Mode.DRAINING, Mode.WATCHED}


def test_a_sweep_with_nothing_due_costs_the_same_however_many_slots_there_are() -> None:
    def cost(size: int) -> int:
        rig = Rig(max_size=1000, max_opening=1000, min_idle=size // 2)
        for n in range(1, size // 2 + 1):
            rig.opened(n)
        rig.hold(*(f"db:{n}" for n in range(size)))
        for n in range(size // 2):
            rig.release(f"db:{n}")
        rig.send(on.Sweep())
        return steps(lambda: rig.send(on.Sweep()))

    assert cost(10) == cost(500)


def test_what_expired_while_leased_costs_later_sweeps_nothing() -> None:
    rig = Rig(max_lifetime=10.0)
    rig.hold("db:a")
    assert rig.send(on.Sweep(), at=100) == []
    assert len(rig.pool.lifetimes) == 0
    assert rig.release("db:a") == ["ended 1", "close 1 lifetime"]


# -- a machine that slept


CHECKED: dict[str, Any] = {"has_check": True, "check_on_acquire": True, "fresh_for": 3600.0}


def test_after_the_machine_slept_every_idle_slot_is_checked_however_fresh_a_few_at_a_time() -> None:
    rig = Rig(max_size=4, max_opening=2, **CHECKED)
    rig.hold("db:x")
    rig.idle(3)
    assert rig.send(on.Suspect()) == ["check 2", "check 3"]
    assert rig.states == {1: "leased", 2: "checking", 3: "checking", 4: "idle"}
    # The pool is full, and slot 4 is not handed out as it is.
    assert rig.acquire("db:a") == ["wait"]
    assert rig.send(on.CheckPassed(2)) == ["idle 2", "lease 2 to 5", "check 4"]
    assert rig.send(on.CheckPassed(3)) == ["idle 3"]
    assert rig.send(on.CheckPassed(4)) == ["idle 4"]
    assert rig.pool.modes == set()
    assert rig.acquire("db:b") == ["lease 4"]  # fresh again
    assert rig.release("db:x") == ["ended 1"]  # in use, it was no suspect
    assert rig.counters.closed == dict.fromkeys(rig.counters.closed, 0)


def test_after_the_machine_slept_nothing_happens_where_there_is_no_check() -> None:
    rig = Rig(has_check=False)
    rig.idle(2)
    assert rig.send(on.Suspect()) == []
    assert rig.pool.modes == set()
    assert rig.acquire("db:a") == ["lease 2"]


def test_after_the_machine_slept_a_pool_with_nothing_idle_suspects_nothing() -> None:
    rig = Rig(**CHECKED)
    rig.hold("db:x")
    assert rig.send(on.Suspect()) == []
    assert rig.pool.modes == set()


def test_after_the_machine_slept_the_slots_of_all_keys_are_checked() -> None:
    rig = Rig(keyed=True, max_opening=4, **CHECKED)
    rig.idle(3)
    assert rig.send(on.Suspect()) == ["check 1", "check 2", "check 3"]
    assert rig.acquire("db:idle-1") == ["wait"]
    assert rig.send(on.CheckPassed(2)) == ["idle 2", "lease 2 to 4"]


# -- ready


def test_ready_is_answered_once_the_floor_is_reached() -> None:
    rig = Rig(min_idle=2)
    assert rig.send(on.Ready()) == ["wait"]
    assert rig.send(on.Ready()) == ["wait"]
    assert rig.opened(1) == ["idle 1"]
    assert rig.opened(2) == ["idle 2", "answer 1", "answer 2"]
    rig.send(on.Evict())
    assert rig.send(on.Ready()) == []  # for the first time, not at this time


def test_without_a_floor_a_type_is_ready_from_the_start() -> None:
    assert Rig().send(on.Ready()) == []


def test_a_type_all_of_whose_slots_are_lent_is_ready() -> None:
    rig = Rig(min_idle=1, max_size=1)
    rig.send(on.Ready())
    rig.acquire("db:a")
    assert rig.opened(1) == ["idle 1", "lease 1 to 2", "answer 1"]


def test_ready_is_refused_by_a_drain() -> None:
    rig = Rig(min_idle=1)
    rig.send(on.Ready())
    assert "deny closed to 1" in rig.send(on.Drain())


def test_ready_while_draining_is_refused() -> None:
    rig = Rig(min_idle=1)
    rig.send(on.Ready())
    rig.send(on.Drain())
    assert do.Deny(1, do.Why.CLOSED, "db") in rig.effects
    assert rig.send(on.Ready()) == ["deny closed"]
    assert do.Deny(0, do.Why.CLOSED, "db") in rig.effects


def test_ready_can_be_taken_back() -> None:
    rig = Rig(min_idle=1)
    rig.send(on.Ready())
    assert rig.send(on.Cancel(1)) == ["drop 1"]
    assert rig.pool.unready == []
    assert rig.counters.stale == 0


def test_so_can_an_evict() -> None:
    rig = Rig()
    rig.idle(2)
    assert rig.send(on.Evict("db:"))[-1] == "wait"
    assert rig.send(on.Cancel(rig.pool.last_ticket)) == [f"drop {rig.pool.last_ticket}"]
    assert rig.send(on.Closed(1)) == ["gone 1"]
    assert rig.send(on.Closed(2)) == ["gone 2"]
    assert rig.counters.stale == 0


def test_a_loss_of_an_older_generation_leaves_the_new_one_alone() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.hold("db:b")
    rig.send(on.Discard("db:a", lost=True))
    rig.hold("db:c")
    rig.release("db:c")
    assert rig.send(on.Discard("db:b", lost=True)) == ["ended 2", "close 2 broken"]
    assert len(rig.pool.idle) == 1


def test_a_loss_dooms_no_slot_twice() -> None:
    rig = Rig()
    rig.hold("db:a", "db:b", "db:c")
    assert rig.send(on.Evict("db:a")) == ["doom 1"]
    told = rig.send(on.Discard("db:b", lost=True))
    assert told == ["ended 2", "doom 2", "doom 3", "close 2 broken"]


# -- evictions


def test_an_eviction_waits_for_what_was_idle_and_for_nothing_else() -> None:
    rig = Rig()
    rig.hold("db:x")
    rig.idle(2)
    assert rig.send(on.Evict()) == ["doom 1", "close 2 cleanup", "close 3 cleanup", "wait"]
    assert rig.send(on.Closed(3)) == ["gone 3"]
    assert rig.send(on.Closed(2, ValueError())) == ["gone 2", "answer 4"]
    assert rig.states == {1: "detached"}
    assert rig.counters.cleanups == {"janitor": 0, "call": 1}


def test_an_eviction_waits_no_longer_than_close_timeout() -> None:
    rig = Rig(close_timeout=5.0)
    rig.idle(1)
    rig.send(on.Evict())
    assert rig.tick(at=5) == ["abandon 1", "answer 2", "report 1"]


def test_two_evictions_wait_for_the_same_close() -> None:
    rig = Rig()
    rig.idle(1)
    assert rig.send(on.Evict())[-1] == "wait"
    assert rig.send(on.Evict()) == ["wait"]
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 2", "answer 3"]


def test_two_evictions_that_wait_for_different_slots_are_answered_each_in_its_time() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.release("db:b")
    assert rig.send(on.Evict("db:a")) == ["close 1 cleanup", "wait"]
    assert rig.send(on.Evict("db:b")) == ["close 2 cleanup", "wait"]
    assert rig.send(on.Closed(2)) == ["gone 2", "answer 4"]
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 3"]


def test_an_eviction_with_nothing_to_close_is_done_at_once() -> None:
    rig = Rig()
    rig.hold("db:a")
    assert rig.send(on.Evict("db:nobody")) == []
    assert rig.send(on.Evict("db:a")) == ["doom 1"]


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        (None, {1, 2, 3, 4}),
        ("*", {1, 2, 3, 4}),
        ("db:", {3, 4}),  # idle, and leased without an id
        ("db:*", {1, 2, 3, 4}),
        ("db:report-[0-9]", {1}),
        ("db:REPORT-7", set()),  # case matters
        ("db:report-7", {1}),
        ("report-7", set()),
        ("db", set()),
    ],
)
def test_patterns(pattern: str | None, taken: set[int]) -> None:
    rig = Rig()
    rig.hold("db:report-7", "db:other", "db", "db:soon-idle")
    rig.release("db:soon-idle")
    rig.send(on.Evict(pattern))
    assert {n for n, state in rig.states.items() if state in ("detached", "closing")} == taken


def test_patterns_of_a_keyed_type_mean_its_keys_leased_or_not() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b", "db:c")
    rig.release("db:b")
    assert rig.send(on.Evict("db:[ab]")) == ["doom 1", "close 2 cleanup", "wait"]


def test_a_creation_that_an_eviction_met_is_closed_when_done_and_its_ticket_gets_another() -> None:
    rig = Rig()
    rig.acquire("db:a")
    assert rig.send(on.Evict()) == ["doom 1"]
    assert rig.opened(1) == ["idle 1", "close 1 cleanup", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 1"]


def test_evicting_a_slot_that_is_checked_for_a_ticket_gets_the_ticket_another() -> None:
    rig = Rig(has_check=True, check_on_acquire=True)
    rig.idle(1)
    rig.acquire("db:a", at=10)
    assert rig.send(on.Evict()) == ["close 1 cleanup", "wait", "open 2"]


def test_force_ends_every_lease_on_a_slot() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.hold("db:a")
    rig.acquire("db:a")
    rig.send(on.Evict())
    told = rig.send(on.Evict(force=True))
    assert told == ["ended 1 late", "ended 1 late", "close 1 cleanup", "wait"]
    assert rig.pool.leases == {}


# -- draining and shutting


def test_a_drain_denies_who_waits_closes_what_is_idle_and_waits_for_the_rest() -> None:
    rig = Rig(max_size=3, has_close=True, has_reset=True)
    rig.hold("db:a", "db:b", "db:c")
    rig.release("db:c")
    rig.send(on.ResetDone(3))
    rig.acquire("db:d")
    rig.acquire("db:e")
    told = rig.send(on.Drain())
    assert told == ["deny closed to 4", "wait"]
    assert rig.counters.acquires["refused"] == 1
    assert rig.release("db:a") == ["ended 1", "reset 1"]
    assert rig.send(on.ResetDone(1)) == ["idle 1", "close 1 shutdown"]
    assert rig.send(on.Closed(1)) == ["gone 1"]
    for number, name in [(2, "db:b"), (3, "db:d")]:
        rig.release(name)
        rig.send(on.ResetDone(number))
    rig.send(on.Closed(2))
    assert rig.send(on.Closed(3)) == ["gone 3", "answer 5"]


def test_a_slot_returned_while_draining_is_closed_at_once() -> None:
    rig = Rig(has_close=True)
    rig.hold("db:a")
    rig.send(on.Drain())
    assert rig.release("db:a") == ["ended 1", "close 1 shutdown"]


def test_a_drain_does_not_wait_for_the_leases_of_its_own_task() -> None:
    me, other = object(), object()
    rig = Rig(has_close=True)
    rig.acquire("db:a", owner=me)
    rig.acquire("db:b", owner=other)
    rig.opened(1)
    rig.opened(2)
    assert rig.send(on.Drain(ignoring=me)) == ["wait"]
    rig.release("db:b")
    assert rig.send(on.Closed(2)) == ["gone 2", "answer 3"]
    assert rig.states == {1: "leased"}


def test_a_drain_waits_for_a_shared_slot_unless_every_holder_is_its_own() -> None:
    me = object()
    rig = Rig(keyed=True, max_holders=2, has_close=True)
    rig.hold("db:a")
    rig.acquire("db:a", owner=me)
    assert rig.send(on.Drain(ignoring=me)) == ["wait"]
    assert rig.release("db:a", epoch=1) == ["ended 1", "answer 2"]
    assert rig.states == {1: "leased"}


def test_a_drain_that_ignores_nobody_does_not_ignore_leases_without_an_owner() -> None:
    rig = Rig(has_close=True)
    rig.hold("db:a")
    assert rig.send(on.Drain(ignoring=None)) == ["wait"]


def test_a_drain_does_not_wait_for_leases_with_nothing_to_close() -> None:
    rig = Rig(has_close=False)
    rig.hold("db:a")
    assert rig.send(on.Drain()) == []


def test_a_drain_cancels_creations_and_waits_for_their_end_a_close_timeout_long() -> None:
    rig = Rig(create_timeout=30.0, close_timeout=5.0)
    rig.acquire("db:a")
    rig.acquire("db:b")
    told = rig.send(on.Drain(), at=1)
    assert told == ["deny closed to 1", "deny closed to 2", "abandon 1", "abandon 2", "wait"]
    assert rig.send(on.OpenFailed(1), at=2) == ["gone 1"]
    assert rig.counters.errors["open"] == 0  # we cancelled it
    assert rig.tick(at=6) == ["abandon 2", "answer 3", "report 2"]


def test_a_creation_that_ends_well_in_spite_of_a_drain_is_closed() -> None:
    rig = Rig()
    rig.acquire("db:a")
    rig.send(on.Drain())
    assert rig.opened(1) == ["idle 1", "close 1 shutdown"]
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 2"]


def test_shut_ends_leases_and_is_answered_when_everything_is_gone() -> None:
    rig = Rig(has_close=True)
    rig.hold("db:a", "db:b")
    rig.idle(1)
    rig.acquire("db:c")
    rig.opened(4)
    told = rig.send(on.Shut())
    assert told.count("wait") == 1
    assert sorted(rig.states.values()) == ["closing"] * len(rig.states)
    *early, last = sorted(rig.states)
    for number in early:
        assert rig.send(on.Closed(number)) == [f"gone {number}"]
    assert rig.send(on.Closed(last))[0] == f"gone {last}"
    assert rig.effects[-1] == do.Answer(rig.pool.last_ticket)
    assert rig.release("db:a") == ["forget 1"]  # late


def test_shut_after_drain_ends_what_the_drain_waited_for_and_both_are_answered() -> None:
    rig = Rig(has_close=True)
    rig.hold("db:a")
    rig.send(on.Drain())
    told = rig.send(on.Shut())
    assert told == ["ended 1 late", "close 1 shutdown", "wait"]
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 2", "answer 3"]


def test_shutting_an_empty_pool_is_done_at_once() -> None:
    assert Rig().send(on.Shut()) == []


def test_shut_does_not_wait_for_hooks_that_were_given_up() -> None:
    rig = Rig(close_timeout=5.0)
    rig.hold("db:a")
    rig.send(on.Discard("db:a"))
    rig.tick(at=5)
    assert rig.send(on.Shut()) == []


def test_shut_closes_what_is_being_reset_or_checked() -> None:
    rig = Rig(has_reset=True, has_check=True, check_on_acquire=True)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.send(on.ResetDone(1))
    rig.acquire("db:c", at=10, timeout=0)
    rig.release("db:b")
    assert rig.states == {1: "checking", 2: "resetting"}
    told = rig.send(on.Shut())
    assert told == ["close 1 shutdown", "close 2 shutdown", "wait"]
