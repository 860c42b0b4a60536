"""Deadlines: absolute, exact, never moved by anything; and one timer for all of them."""

from __future__ import annotations

import math
import random

import pytest

from pepperpy_resources.core import events as on
from pepperpy_resources.core.policy import Backoff
from pepperpy_resources.core.waiting import Deadlines
from tests.core.rig import Rig
from tests.core.steps import steps

# -- tickets


def test_a_ticket_is_denied_at_its_deadline_and_not_before() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    assert rig.send_all(on.Acquire("db:b", timeout=2.0), at=10) == ["wait", "wake 12"]
    assert rig.tick(at=11.9) == []
    assert rig.tick(at=12) == ["deny timeout to 2"]
    assert rig.counters.acquires["timeout"] == 1


def test_without_a_timeout_of_its_own_a_ticket_has_that_of_the_spec() -> None:
    rig = Rig(max_size=1, acquire_timeout=7.0)
    rig.hold("db:a")
    rig.acquire("db:b", at=10)
    assert rig.tick(at=16.9) == []
    assert rig.tick(at=17) == ["deny timeout to 2"]


@pytest.mark.parametrize("own", [True, False])
def test_who_waits_for_ever_is_never_denied_for_it(own: bool) -> None:  # noqa: FBT001
    rig = Rig(max_size=1, acquire_timeout=30.0 if own else math.inf)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=math.inf if own else None)
    assert rig.tick(at=1e9) == []
    assert rig.waiting == [2]


def test_nothing_that_happens_to_a_ticket_moves_its_deadline() -> None:
    rig = Rig(max_size=1, backoff=Backoff(min=0.5, jitter=0.0), has_check=True)
    rig.acquire("db:b", timeout=2.0)
    rig.send(on.OpenFailed(1), at=1)
    rig.tick(at=1.5)
    rig.send(on.OpenFailed(2), at=1.6)
    assert rig.tick(at=1.99) == []
    assert rig.tick(at=2) == ["deny timeout to 1"]


def test_a_late_tick_serves_nobody_past_their_deadline() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=1)
    rig.acquire("db:c", timeout=10)
    told = rig.release("db:a", at=1)
    assert told == ["ended 1", "deny timeout to 2", "lease 1 to 3"]


def test_two_tickets_due_at_the_same_tick_are_both_denied_while_another_key_idles() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b")
    rig.release("db:b")
    rig.acquire("db:a", timeout=1)
    rig.acquire("db:a", timeout=1)
    assert rig.tick(at=1) == ["deny timeout to 3", "deny timeout to 4"]


def test_two_tickets_due_at_the_same_tick_are_both_denied_on_a_shared_key() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.hold("db:a")
    for _ in range(3):
        rig.acquire("db:a", timeout=1)
    assert rig.tick(at=1) == ["deny timeout to 2", "deny timeout to 3"]


def test_tickets_with_the_specs_timeout_cost_no_timer_entries() -> None:
    rig = Rig(max_size=1, acquire_timeout=5.0)
    rig.hold("db:a")
    for n in range(100):
        rig.acquire("db", at=n / 100)
    assert len(rig.pool.ticket_deadlines) == 0
    assert len(rig.tick(at=5.495)) == 50  # those of 0.00 … 0.49
    assert rig.pool.armed == 5.5
    assert len(rig.tick(at=6)) == 50
    assert rig.pool.armed == math.inf


def test_own_and_common_timeouts_come_due_side_by_side() -> None:
    rig = Rig(max_size=1, acquire_timeout=5.0)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c", timeout=1)
    rig.acquire("db:d", timeout=9)
    assert rig.tick(at=1) == ["deny timeout to 3"]
    assert rig.tick(at=5) == ["deny timeout to 2"]
    assert rig.tick(at=9) == ["deny timeout to 4"]


def test_a_cancelled_ticket_leaves_the_queue_without_a_walk_through_it() -> None:
    """Case 9: O(1)."""

    def cost(waiting: int) -> int:
        rig = Rig(max_size=1)
        rig.hold("db:a")
        for n in range(waiting):
            rig.acquire(f"db:{n}", timeout=30 + n)
        middle = rig.waiting[len(rig.waiting) // 2]
        return steps(lambda: rig.send(on.Cancel(middle)))

    assert cost(10) == cost(1000)


# -- the timer


def test_a_wake_is_asked_for_only_when_it_is_earlier_than_the_one_before() -> None:
    rig = Rig(max_size=1, create_timeout=30.0)
    assert rig.send_all(on.Acquire("db:a", timeout=20)) == ["wait", "wake 20", "open 1"]
    assert rig.send_all(on.Acquire("db:b", timeout=25)) == ["wait"]
    assert rig.send_all(on.Acquire("db:c", timeout=10)) == ["wait", "wake 10"]


def test_after_a_tick_the_timer_is_set_for_the_next_deadline() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=1)
    rig.acquire("db:c", timeout=3)
    assert rig.send_all(on.Tick(), at=1) == ["deny timeout to 2", "wake 3"]
    assert rig.send_all(on.Tick(), at=3) == ["deny timeout to 3"]


def test_a_tick_that_comes_early_sets_the_timer_again() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=3)
    assert rig.send_all(on.Tick(), at=1) == ["wake 3"]


@pytest.mark.parametrize(
    ("field", "begin"),
    [
        ("create_timeout", []),
        ("check_timeout", [on.Opened(1), on.Acquire("db:c", timeout=0)]),
        ("reset_timeout", [on.Opened(1), on.Acquire("db:c"), on.Release("db:c")]),
        ("close_timeout", [on.Opened(1), on.Acquire("db:c"), on.Discard("db:c")]),
    ],
)
def test_every_hook_has_its_deadline(field: str, begin: list[on.Event]) -> None:
    long = dict.fromkeys(
        ("create_timeout", "check_timeout", "reset_timeout", "close_timeout"), 100.0
    )
    has_reset = field == "reset_timeout"
    fresh = 0.0 if field == "check_timeout" else 1000.0
    policy = {**long, field: 3.0, "has_reset": has_reset, "fresh_for": fresh}
    rig = Rig(has_check=True, check_on_acquire=True, **policy)
    rig.acquire("db:a", timeout=0)
    for event in begin:
        rig.send(event, at=rig.now + 1)
    began = rig.now
    assert rig.tick(at=began + 2.9) == []
    assert rig.pool.armed == began + 3
    assert rig.tick(at=began + 3)[-1] == "report 1"


def test_a_hook_that_ended_in_time_is_not_overdue_later() -> None:
    rig = Rig(has_check=True, check_on_acquire=True, has_reset=True)
    rig.acquire("db:a")
    rig.opened(1, at=1)
    rig.release("db:a")
    rig.send(on.ResetDone(1))
    rig.acquire("db:a", at=10)
    rig.send(on.CheckPassed(1))
    assert rig.tick(at=1000) == []
    assert len(rig.pool.hook_deadlines) == 0


def test_the_end_of_a_backoff_is_a_deadline_too() -> None:
    rig = Rig(backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a", timeout=10)
    assert rig.send_all(on.OpenFailed(1), at=2) == ["gone 1", "open 2"]  # no backoff, no Wake
    assert rig.send_all(on.OpenFailed(2)) == ["gone 2", "wake 3"]
    assert rig.tick(at=3) == ["open 3"]


# -- the structure itself


def test_deadlines_come_due_in_their_order() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key, at in [(1, 5.0), (2, 3.0), (3, 9.0), (4, 3.0), (5, 4.0)]:
        deadlines.set(key, at)
    assert len(deadlines) == 5
    assert deadlines.next() == 3.0
    assert deadlines.pop_due(2.9) == []
    assert deadlines.pop_due(4.0) == [2, 4, 5]
    assert deadlines.next() == 5.0
    assert deadlines.pop_due(100) == [1, 3]
    assert deadlines.next() == math.inf
    assert len(deadlines) == 0


def test_a_key_has_one_deadline_the_last_that_was_set() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("x", 9.0)
    deadlines.set("a", 5.0)
    deadlines.set("a", 2.0)
    deadlines.set("a", 7.0)
    assert deadlines.next() == 7.0
    assert deadlines.pop_due(6) == []
    assert deadlines.pop_due(9) == ["a", "x"]
    deadlines.set("a", 1.0)
    deadlines.set("a", math.inf)
    assert len(deadlines) == 0


def test_a_dropped_key_never_comes_due() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key, at in [(1, 5.0), (2, 3.0)]:
        deadlines.set(key, at)
    deadlines.drop(1)
    deadlines.drop(2)
    deadlines.drop(99)
    assert deadlines.next() == math.inf
    assert deadlines.pop_due(10) == []


def test_a_key_set_again_to_the_same_time_comes_due_once() -> None:
    deadlines: Deadlines[int] = Deadlines()
    deadlines.set(9, 5.0)
    for _ in range(3):
        deadlines.set(1, 2.0)
    assert deadlines.pop_due(2.0) == [1]
    assert deadlines.pop_due(2.0) == []


def test_deadlines_agree_with_a_dict_whatever_is_done_to_them() -> None:
    chance = random.Random(5)
    deadlines: Deadlines[int] = Deadlines()
    simple: dict[int, float] = {}
    now = 0.0
    for _ in range(20_000):
        key, step = chance.randrange(50), chance.randrange(10)
        if step < 6:
            at = now + chance.choice([0.1, 1.0, 30.0, 30.0, math.inf])
            deadlines.set(key, at)
            simple.pop(key, None)
            if at < math.inf:
                simple[key] = at
        elif step < 8:
            deadlines.drop(key)
            simple.pop(key, None)
        else:
            now += chance.random()
            due = deadlines.pop_due(now)
            times = [simple.pop(key) for key in due]
            assert times == sorted(times)
            assert all(at <= now for at in times)
            assert all(at > now for at in simple.values())
        assert len(deadlines) == len(simple)
        assert deadlines.next() == min(simple.values(), default=math.inf)


def test_neither_queue_nor_heap_grows_without_bound() -> None:
    deadlines: Deadlines[int] = Deadlines()
    deadlines.set(-1, 1e9)  # everything after is earlier: it goes on the heap
    for n in range(10_000):
        deadlines.set(n % 5, 1e6 - n)
        deadlines.drop((n + 1) % 5)
    assert len(deadlines) <= 6
    assert len(deadlines._heap) <= 2 * 6 + 64 + 1
    assert len(deadlines._queue) == 1


def test_ten_thousand_acquires_leave_no_deadlines_behind() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=1000)
    for n in range(10_000):
        rig.acquire("db:c", timeout=10 + (n % 7))
        rig.send(on.Cancel(rig.waiting[-1]))
    pool = rig.pool
    assert len(pool.ticket_deadlines) == 1
    assert len(pool.ticket_deadlines._heap) <= 68


def test_the_first_is_the_one_that_comes_due_next_wherever_it_is_kept() -> None:
    deadlines: Deadlines[int] = Deadlines()
    deadlines.set(1, 5.0)
    assert deadlines.first() == 1  # the queue alone
    deadlines.set(2, 3.0)
    assert deadlines.first() == 2  # the heap
    deadlines.set(3, 4.0)
    deadlines.drop(2)
    assert deadlines.first() == 3  # the next on the heap, not the dropped one
    deadlines.drop(3)
    assert deadlines.first() == 1
    deadlines.set(1, 9.0)
    deadlines.set(4, 8.0)
    deadlines.set(1, 2.0)
    assert deadlines.first() == 1
    deadlines.drop(1)
    assert deadlines.first() == 4  # the heap alone


def test_looking_at_the_first_takes_nothing_away() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key, at in [(1, 5.0), (2, 3.0), (3, 4.0)]:
        deadlines.set(key, at)
    assert [deadlines.first(), deadlines.first(), len(deadlines)] == [2, 2, 3]
    assert deadlines.pop_due(9) == [2, 3, 1]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(1, 5.0), (2, 5.0)], 1),  # both in the queue
        ([(9, 7.0), (1, 5.0), (2, 5.0)], 1),  # both on the heap
        ([(9, 7.0), (2, 5.0), (1, 5.0)], 1),
        ([(1, 5.0), (9, 7.0), (2, 5.0)], 1),  # the lower in the queue, the other on the heap
        ([(2, 5.0), (9, 7.0), (1, 5.0)], 1),  # and the other way round
    ],
)
def test_of_two_at_the_same_time_the_lower_is_first(
    entries: list[tuple[int, float]], expected: int
) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key, at in entries:
        deadlines.set(key, at)
    assert deadlines.first() == expected


def test_the_first_agrees_with_a_dict_whatever_is_done() -> None:
    """Keys rise, as ticket numbers do; times do as they like."""
    deadlines: Deadlines[int] = Deadlines()
    simple: dict[int, float] = {}
    chance = random.Random(5)
    for key in range(5000):
        at = key / 10 - chance.choice([0, 0, 0, 1, 5, -3])
        deadlines.set(key, at)
        simple[key] = at
        while len(simple) > chance.randrange(1, 12):
            gone = deadlines.first() if chance.random() < 0.7 else chance.choice(list(simple))
            deadlines.drop(gone)
            del simple[gone]
        if simple:
            assert deadlines.first() == min(simple, key=lambda k: (simple[k], k))
