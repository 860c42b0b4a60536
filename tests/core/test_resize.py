"""The limits of a running type are changed: smaller, larger, another floor."""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from tests.core.rig import Rig

# -- smaller


def test_idle_slots_beyond_it_are_closed_at_once_longest_idle_first() -> None:
    rig = Rig()
    rig.hold("db:a", "db:b", "db:c")
    for at, name in enumerate(("db:b", "db:c", "db:a")):
        rig.release(name, at=at)
    told = rig.send(on.Resize(max_size=1))
    assert told == ["resized 1 0 inf", "close 2 resized", "close 3 resized"]
    assert rig.counters.closed["resized"] == 2


def test_only_what_is_beyond_it_is_closed() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.idle(2)
    assert rig.send(on.Resize(max_size=2)) == ["resized 2 0 inf", "close 2 resized"]
    assert rig.send(on.Resize(max_size=2)) == ["resized 2 0 inf"]  # one is closing already


def test_a_slot_that_comes_back_is_closed_before_tickets_are_served() -> None:
    rig = Rig(max_size=2)
    rig.hold("db:a", "db:b")
    rig.acquire("db:c")
    assert rig.send(on.Resize(max_size=1)) == ["resized 1 0 inf"]
    assert rig.release("db:a") == ["ended 1", "close 1 resized"]
    assert rig.waiting == [3]
    assert rig.send(on.Closed(1)) == ["gone 1"]  # b has the one there may be
    assert rig.release("db:b") == ["ended 2", "lease 2 to 3"]


def test_closing_slots_do_not_count_for_how_many_are_too_many() -> None:
    rig = Rig(max_size=3)
    rig.hold("db:a", "db:b", "db:c")
    rig.acquire("db:d")
    rig.send(on.Resize(max_size=1))
    assert rig.release("db:a") == ["ended 1", "close 1 resized"]
    assert rig.release("db:b") == ["ended 2", "close 2 resized"]
    # two are closing still: the last one stays, and serves
    assert rig.release("db:c") == ["ended 3", "lease 3 to 4"]


def test_the_size_does_not_rise_until_it_is_below() -> None:
    rig = Rig(max_size=3)
    rig.hold("db:a", "db:b", "db:c")
    rig.acquire("db:d")
    rig.send(on.Resize(max_size=2))
    rig.send(on.Discard("db:a"))
    assert rig.send(on.Closed(1)) == ["gone 1"]  # two are left, and two there may be
    rig.send(on.Discard("db:b"))
    assert rig.send(on.Closed(2)) == ["gone 2", "open 4"]


def test_a_creation_beyond_it_is_closed_when_it_is_done() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.send(on.Resize(max_size=1)) == ["resized 1 0 inf"]
    assert rig.opened(2) == ["idle 2", "close 2 resized"]
    assert rig.waiting == [2]
    assert rig.send(on.Closed(2)) == ["gone 2"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]


def test_a_slot_is_reset_before_it_turns_out_to_be_too_many() -> None:
    rig = Rig(max_size=2, has_reset=True)
    rig.hold("db:a", "db:b")
    rig.send(on.Resize(max_size=1))
    assert rig.release("db:a") == ["ended 1", "reset 1"]
    assert rig.send(on.ResetDone(1)) == ["idle 1", "close 1 resized"]


def test_a_newcomer_opens_nothing_beyond_it() -> None:
    rig = Rig(max_size=3)
    rig.hold("db:a", "db:b")
    rig.send(on.Resize(max_size=2))
    assert rig.acquire("db:c") == ["wait"]


def test_smaller_and_back_again_serves_as_before() -> None:
    rig = Rig(max_size=2)
    rig.hold("db:a", "db:b")
    rig.acquire("db:c")
    rig.send(on.Resize(max_size=1))
    assert rig.send(on.Resize(max_size=2)) == ["resized 2 0 inf"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]


# -- larger


def test_waiting_tickets_get_creations_at_once() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c")
    rig.acquire("db:d")
    assert rig.send(on.Resize(max_size=3)) == ["resized 3 0 inf", "open 2", "open 3"]


def test_larger_without_tickets_opens_nothing() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    assert rig.send(on.Resize(max_size=math.inf)) == ["resized inf 0 inf"]
    assert rig.acquire("db:b") == ["wait", "open 2"]


def test_larger_keeps_within_max_opening() -> None:
    rig = Rig(max_size=1, max_opening=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c")
    assert rig.send(on.Resize(max_size=9)) == ["resized 9 0 inf", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 2", "open 3"]


# -- the floor


def test_a_higher_floor_is_filled_at_once() -> None:
    rig = Rig()
    assert rig.send(on.Resize(min_idle=2)) == ["resized 10 2 inf", "open 1", "open 2"]
    rig.opened(1)
    rig.opened(2)
    assert rig.send(on.Sweep(), at=1000) == []  # and kept


def test_a_lower_floor_lets_the_sweep_retire_more() -> None:
    rig = Rig(min_idle=2, idle_timeout=60.0)
    rig.opened(1)
    rig.opened(2)
    assert rig.send(on.Sweep(), at=60) == []
    assert rig.send(on.Resize(min_idle=1)) == ["resized 10 1 inf"]
    assert rig.send(on.Sweep()) == ["close 1 idle"]


def test_a_floor_lowered_to_what_is_there_makes_the_type_ready() -> None:
    rig = Rig(min_idle=2)
    rig.send(on.Ready())
    rig.opened(1)
    assert rig.send(on.Resize(min_idle=1)) == ["resized 10 1 inf", "answer 1"]


def test_what_is_not_given_stays_as_it_is() -> None:
    rig = Rig(max_size=4, min_idle=1)
    rig.opened(1)
    assert rig.send(on.Resize()) == ["resized 4 1 inf"]
    assert rig.send(on.Resize(max_size=5)) == ["resized 5 1 inf"]
    assert rig.send(on.Resize(min_idle=0)) == ["resized 5 0 inf"]
    (effect,) = rig.effects
    assert effect == do.Resized(5, 0, math.inf)


# -- with other things


def test_a_drain_goes_on_whatever_the_limits() -> None:
    rig = Rig(has_close=True)
    rig.hold("db:a", "db:b")
    rig.send(on.Drain())
    assert rig.send(on.Resize(max_size=1, min_idle=5)) == ["resized 1 5 inf"]
    assert rig.release("db:a") == ["ended 1", "close 1 shutdown"]
    assert rig.send(on.Closed(1)) == ["gone 1"]


def test_keys_idle_longest_are_closed_first() -> None:
    rig = Rig(keyed=True, max_size=3)
    rig.hold("db:a", "db:b", "db:c")
    rig.release("db:b")
    rig.release("db:a")
    assert rig.send(on.Resize(max_size=2)) == ["resized 2 0 inf", "close 2 resized"]
    assert rig.send(on.Resize(max_size=1)) == ["resized 1 0 inf", "close 1 resized"]


def test_keys_that_wait_for_room_get_it() -> None:
    rig = Rig(keyed=True, max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c")
    assert rig.send(on.Resize(max_size=2)) == ["resized 2 0 inf", "open 2"]
    assert rig.pool.slots[2].lane.key == "db:b"
    assert rig.send(on.Resize(max_size=3)) == ["resized 3 0 inf", "open 3"]
    assert rig.pool.starved == {}


def test_a_returning_key_is_closed_though_it_is_waited_for() -> None:
    rig = Rig(keyed=True, max_size=2)
    rig.hold("db:a", "db:b")
    rig.acquire("db:a")
    rig.send(on.Resize(max_size=1))
    assert rig.release("db:a") == ["ended 1", "close 1 resized"]
    assert rig.send(on.Closed(1)) == ["gone 1"]
    assert rig.release("db:b") == ["ended 2", "close 2 idle"]  # to make room for a
    assert rig.send(on.Closed(2)) == ["gone 2", "open 3"]


def test_a_shared_slot_beyond_it_is_closed_when_its_last_holder_returns() -> None:
    rig = Rig(keyed=True, max_size=2, max_holders=2)
    rig.hold("db:a", "db:b")
    rig.send(on.Resize(max_size=1))
    assert rig.acquire("db:a") == ["lease 1"]  # nothing can be closed yet
    rig.release("db:a", epoch=1)
    assert rig.release("db:a", epoch=3) == ["ended 1", "close 1 resized"]


def test_the_short_way_keeps_to_the_new_limits() -> None:
    rig = Rig(max_size=2)
    rig.hold("db:a", "db:b")
    rig.acquire("db:c")
    rig.send(on.Resize(max_size=1))
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None  # it is too many
    rig.release("db:a")
    rig.send(on.Closed(1))
    assert isinstance(acquire_nowait(rig.pool, on.Acquire("db:d"), 0.0), do.Wait)
    returned = release_nowait(rig.pool, on.Release("db:b"), 0.0)
    assert returned is not None
    assert returned[1] is not None
    assert returned[1].resource_id == "db:c"
