"""Priority: who is served first, and that nothing else depends on it."""

from __future__ import annotations

import math

import pytest

from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from tests.core.rig import Rig
from tests.core.steps import steps


def full(**policy: object) -> Rig:
    """Return a pool whose only slot is leased as `db:a`; the first ticket to wait is number 2."""
    rig = Rig(max_size=1, acquire_timeout=math.inf, **policy)
    rig.hold("db:a")
    return rig


def served(rig: Rig) -> list[int]:
    """Release until nobody waits; return the tickets in the order they were served."""
    order = []
    while rig.waiting:
        rig.release("db", epoch=next(iter(rig.pool.leases)))
        (lease,) = rig.pool.leases.values()
        order.append(lease.ticket)
    return order


def holder(rig: Rig) -> None:
    """Swap the named lease for one without an id, which `served` can give back."""
    rig.release("db:a")
    rig.acquire("db")


@pytest.mark.parametrize(
    ("came", "first"),
    [
        (0.5, 3),  # as if come at -0.5, before ticket 2, which came at 0
        (1.0, 2),  # as if come at 0, too: the older ticket goes first
        (1.1, 2),  # as if come at 0.1
    ],
)
def test_one_priority_more_counts_as_one_ageing_waited_already(came: float, first: int) -> None:
    rig = full()
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=came, priority=1)
    assert rig.release("db:a", at=2) == ["ended 1", f"lease 1 to {first}"]


def test_ageing_is_what_a_priority_is_worth() -> None:
    rig = full(ageing=10.0)
    rig.acquire("db:b", at=0)
    rig.acquire("db:c", at=29, priority=3)  # as if come at -1
    rig.acquire("db:d", at=31, priority=3)  # as if come at 1
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]
    assert rig.release("db:c") == ["ended 1", "lease 1 to 2"]
    assert rig.release("db:b") == ["ended 1", "lease 1 to 4"]


def test_a_lower_priority_stands_back_but_does_not_starve() -> None:
    rig = full()
    rig.acquire("db:low", at=0, priority=-5)  # as if come at 5
    rig.acquire("db:soon", at=4)
    rig.acquire("db:late", at=6)
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]
    assert rig.release("db:soon") == ["ended 1", "lease 1 to 2"]
    assert rig.release("db:low") == ["ended 1", "lease 1 to 4"]


def test_whoever_names_no_priority_has_that_of_the_type() -> None:
    rig = full(priority=5)
    rig.acquire("db:b", at=0, priority=4)  # as if come at 1
    rig.acquire("db:c", at=0.5)
    rig.acquire("db:d", at=0.5, priority=5)
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]
    assert rig.release("db:c") == ["ended 1", "lease 1 to 4"]
    assert rig.release("db:d") == ["ended 1", "lease 1 to 2"]


def test_among_equals_the_older_ticket_goes_first() -> None:
    rig = full()
    holder(rig)
    for priority in (1, 2, 1, 2, None, 0, -1, -1):
        rig.acquire(priority=priority)
    assert served(rig) == [3, 5, 2, 4, 6, 7, 8, 9]


def test_priority_holds_for_those_that_come_after_and_those_that_came_before() -> None:
    rig = full()
    holder(rig)
    rig.acquire()
    rig.acquire()
    rig.acquire(priority=9)  # from here on the queue is ordered
    rig.acquire()
    rig.acquire(priority=8)
    assert served(rig) == [4, 6, 2, 3, 5]


def test_a_creation_serves_whose_turn_it_is_not_its_cause() -> None:
    rig = Rig(max_size=1)
    rig.acquire("db:a")
    rig.acquire("db:b", priority=1)
    assert rig.opened(1) == ["idle 1", "lease 1 to 2"]


def test_a_priority_does_not_barge_past_an_idle_slots_next_holder() -> None:
    """Nobody waits, so it is served at once, whatever its priority."""
    rig = Rig()
    rig.idle(1)
    assert rig.acquire("db:a", priority=-100) == ["lease 1"]


# -- what does not change


def test_deadlines_are_those_of_the_tickets_whatever_their_priority() -> None:
    rig = full()
    rig.acquire("db:b", timeout=5)
    rig.acquire("db:c", timeout=3, priority=100)
    rig.acquire("db:d", timeout=4, priority=-100)
    assert rig.tick(at=3) == ["deny timeout to 3"]
    assert rig.tick(at=4) == ["deny timeout to 4"]
    assert rig.tick(at=5) == ["deny timeout to 2"]


def test_who_is_past_its_deadline_is_not_served_however_high() -> None:
    rig = full()
    rig.acquire("db:b", timeout=9)
    rig.acquire("db:c", timeout=1, priority=100)
    told = rig.release("db:a", at=1)
    assert told == ["ended 1", "deny timeout to 3", "lease 1 to 2"]


def test_a_full_queue_refuses_the_newcomer_however_high() -> None:
    rig = full(max_waiting=1)
    assert rig.acquire("db:b") == ["wait"]
    assert rig.acquire("db:c", priority=100) == ["wait", "deny queue_full to 3"]
    assert rig.waiting == [2]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]


def test_a_cancelled_ticket_is_nobody_s_turn() -> None:
    rig = full()
    rig.acquire("db:b")
    rig.acquire("db:c", priority=1)
    rig.acquire("db:d", priority=2)
    assert rig.send(on.Cancel(4)) == ["drop 4"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]
    assert rig.release("db:c") == ["ended 1", "lease 1 to 2"]


def test_the_queue_is_shown_in_the_order_it_came() -> None:
    rig = full()
    rig.acquire("db:b")
    rig.acquire("db:c", priority=1)
    assert rig.waiting == [2, 3]


def test_priority_counts_within_a_key_only() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b")
    rig.acquire("db:a", priority=0)
    rig.acquire("db:a", priority=1)
    rig.acquire("db:b", priority=100)
    assert rig.release("db:a", epoch=1) == ["ended 1", "lease 1 to 4"]
    assert rig.release("db:b") == ["ended 2", "lease 2 to 5"]
    assert rig.release("db:a", epoch=3) == ["ended 1", "lease 1 to 3"]


# -- the short way knows no priorities


def test_while_a_priority_waits_the_long_way_decides() -> None:
    rig = full()
    rig.acquire("db:b")
    assert acquire_nowait(rig.pool, on.Acquire("db:c", priority=1), 0.0) is None
    rig.acquire("db:c", priority=1)
    assert acquire_nowait(rig.pool, on.Acquire("db:d"), 0.0) is None
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]


def test_once_the_queue_was_empty_the_short_way_is_open_again() -> None:
    rig = full()
    rig.acquire("db:b", priority=1)
    rig.acquire("db:c")
    rig.release("db:a")
    rig.send(on.Cancel(3))
    rig.acquire("db:d")  # arms the timer, if there is one
    returned = release_nowait(rig.pool, on.Release("db:b"), 0.0)
    assert returned is not None
    assert returned[1] is not None
    assert returned[1].resource_id == "db:d"


def test_tickets_queued_on_the_short_way_are_ranked_with_those_that_come_after() -> None:
    rig = full()
    rig.acquire("db:b", priority=1)
    rig.release("db:a")  # the queue is empty: no order but that in which they come
    rig.acquire("db:c")
    assert acquire_nowait(rig.pool, on.Acquire("db:d"), 0.0) is not None
    rig.acquire("db:e", priority=-1)
    rig.acquire("db:f", priority=1)
    order = []
    holder = "db:b"
    while rig.waiting:
        rig.release(holder)
        (lease,) = rig.pool.leases.values()
        order.append(holder := lease.resource_id)
    assert order == ["db:f", "db:c", "db:d", "db:e"]


# -- what it costs


def ranked(waiting: int) -> Rig:
    """Return a queue of so many tickets of many priorities."""
    rig = full()
    rig.acquire("db:first", priority=1)
    for n in range(waiting):
        rig.acquire(priority=n % 7)
    return rig


def test_a_priority_costs_no_walk_through_the_queue() -> None:
    def cost(waiting: int) -> tuple[int, int, int]:
        rig = ranked(waiting)
        high = steps(lambda: rig.acquire(priority=100))
        middle = rig.waiting[len(rig.waiting) // 2]
        cancel = steps(lambda: rig.send(on.Cancel(middle)))
        serve = steps(lambda: rig.release("db:a"))
        return high, cancel, serve

    small, large = cost(10), cost(10_000)
    for few, many in zip(small, large, strict=True):
        assert many <= few + 40  # log2 of a thousand times as many is 10; a few lines for each


def test_ten_thousand_cancelled_priorities_leave_nothing_behind() -> None:
    rig = ranked(10)
    lane = rig.pool.lanes[None]
    for n in range(10_000):
        rig.acquire(priority=n % 5)
        rig.send(on.Cancel(rig.waiting[-1]))
    assert lane.ranks is not None
    assert len(lane.ranks) == 11
    assert len(lane.ranks._heap) <= 2 * 11 + 64 + 1
