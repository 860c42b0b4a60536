"""Leases held too long, and leases whose owners have ended: reported, and ended on our side."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from tests.core.rig import Rig

# -- max_hold: reported


def test_a_lease_held_too_long_is_reported_once_and_goes_on() -> None:
    rig = Rig(max_hold=10.0)
    rig.hold("db:a")
    assert rig.tick(at=9.9) == []
    assert rig.tick(at=10) == ["overdue 1"]
    (overdue,) = [effect for effect in rig.effects if isinstance(effect, do.Overdue)]
    assert (overdue.lease, overdue.revoked) == (rig.pool.leases[1], False)
    assert rig.tick(at=1000) == []
    assert rig.counters.overdue == 1
    assert rig.release("db:a") == ["ended 1"]
    assert rig.states == {1: "idle"}
    assert rig.counters.stale == 0


def test_the_timer_is_set_with_the_lease() -> None:
    rig = Rig(max_hold=10.0)
    rig.idle(1)
    rig.tick(at=100)
    told = rig.send_all(on.Acquire("db:a"))
    assert sorted(told) == ["lease 1", "wake 110"]


def test_a_tick_that_comes_before_sets_the_timer_again() -> None:
    rig = Rig(max_hold=10.0, acquire_timeout=3.0)
    rig.hold("db:a")
    assert rig.send_all(on.Tick(), at=3) == ["wake 10"]


def test_a_lease_given_back_in_time_is_not_reported() -> None:
    rig = Rig(max_hold=10.0)
    rig.hold("db:a", "db:b")
    rig.release("db:a", at=9)
    rig.acquire("db:a")
    assert rig.tick(at=10) == ["overdue 2"]
    assert rig.tick(at=19) == ["overdue 1"]


def test_a_lease_that_waited_is_held_from_its_grant() -> None:
    rig = Rig(max_size=1, max_hold=10.0)
    rig.hold("db:a")
    rig.acquire("db:b", at=1)
    rig.release("db:a", at=5)
    assert rig.tick(at=14.9) == []
    assert rig.tick(at=15) == ["overdue 1"]


def test_without_max_hold_a_lease_may_be_held_for_ever() -> None:
    rig = Rig()
    rig.hold("db:a")
    assert rig.tick(at=1e9) == []
    assert rig.counters.overdue == 0


def test_the_short_way_knows_no_max_hold() -> None:
    rig = Rig(max_hold=10.0)
    rig.hold("db:a")
    rig.idle(1)
    assert acquire_nowait(rig.pool, on.Acquire("db:b"), 0.0) is None
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None


# -- max_hold: revoked

REVOKE = {"max_hold": 10.0, "on_overdue": "revoke"}


def test_a_revoked_lease_is_ended_and_its_slot_closed() -> None:
    rig = Rig(**REVOKE)
    rig.hold("db:a")
    assert rig.tick(at=10) == ["overdue 1", "ended 1 late", "close 1 overdue"]
    assert isinstance(rig.effects[0], do.Overdue)
    assert rig.effects[0].revoked
    assert rig.pool.leases == {}
    assert (rig.counters.overdue, rig.counters.closed["overdue"]) == (1, 1)
    assert rig.counters.use_seconds.total == 10.0


def test_the_late_release_of_a_revoked_lease_is_a_counted_no_op_once() -> None:
    rig = Rig(**REVOKE)
    rig.hold("db:a")
    rig.tick(at=10)
    assert rig.acquire("db:a") == ["deny in_use"]  # taken until the late release is seen
    assert rig.release("db:a") == ["forget 1"]
    assert rig.counters.stale == 1
    assert rig.release("db:a") == ["deny not_leased"]


def test_whoever_waits_gets_the_place_of_a_revoked_lease() -> None:
    rig = Rig(max_size=1, **REVOKE)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.tick(at=10)
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 2"]


def test_two_leases_overdue_at_the_same_tick_are_both_revoked() -> None:
    rig = Rig(**REVOKE)
    rig.hold("db:a", "db:b")
    told = rig.tick(at=10)
    assert told == [
        *("overdue 1", "ended 1 late", "close 1 overdue"),
        *("overdue 2", "ended 2 late", "close 2 overdue"),
    ]


def shared(**policy: object) -> Rig:
    """Return a shared slot with leases since 0 s and since 5 s."""
    rig = Rig(**{"keyed": True, "max_holders": 2, **policy})
    rig.hold("db:a")
    rig.acquire("db:a", at=5)
    return rig


def test_a_revoked_lease_of_a_shared_slot_takes_it_out_until_the_last_holder_returns() -> None:
    rig = shared(**REVOKE)
    assert rig.tick(at=10) == ["overdue 1", "ended 1 late", "doom 1"]
    assert rig.states == {1: "detached"}
    told = rig.release("db:a", epoch=2, at=12)
    assert told[0] == "ended 1"
    assert rig.states == {1: "closing"}
    assert rig.release("db:a", epoch=1) == ["forget 1"]


def test_the_last_holder_of_a_shared_slot_is_revoked_in_its_turn() -> None:
    rig = shared(**REVOKE)
    rig.tick(at=10)
    assert rig.tick(at=15) == ["overdue 1", "ended 1 late", "close 1 overdue"]


def test_who_waits_for_a_shared_key_gets_a_new_slot_when_one_is_taken_out() -> None:
    rig = shared(**REVOKE)
    rig.acquire("db:a", at=6)
    assert rig.tick(at=10) == ["overdue 1", "ended 1 late", "doom 1", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 2"]


def test_a_detached_slot_is_closed_when_its_lease_is_revoked() -> None:
    rig = Rig(**REVOKE)
    rig.hold("db:a")
    rig.send(on.Evict("db:a"))
    assert rig.tick(at=10) == ["overdue 1", "ended 1 late", "close 1 overdue"]


def test_a_drain_need_not_wait_for_a_revoked_lease() -> None:
    rig = Rig(has_close=True, **REVOKE)
    rig.hold("db:a")
    rig.send(on.Drain())
    assert rig.tick(at=10) == ["overdue 1", "ended 1 late", "close 1 overdue"]
    assert rig.send(on.Closed(1)) == ["gone 1", "answer 2"]


def test_a_drain_waits_no_longer_for_a_shared_slot_once_only_its_own_leases_are_left() -> None:
    me = object()
    rig = Rig(keyed=True, max_holders=2, has_close=True, **REVOKE)
    rig.hold("db:a")
    rig.acquire("db:a", owner=me, at=5)
    assert rig.send(on.Drain(ignoring=me)) == ["wait"]
    assert rig.tick(at=10) == ["overdue 1", "ended 1 late", "answer 2", "doom 1"]


# -- reclaim


def test_leases_whose_owners_have_ended_are_ended_and_their_slots_closed() -> None:
    rig = Rig()
    rig.hold("db:a", "db:b", "db:c")
    told = rig.send(on.Reclaim((1, 3)), at=4)
    assert told == [
        *("leaked 1", "ended 1 late", "close 1 leaked"),
        *("leaked 3", "ended 3 late", "close 3 leaked"),
    ]
    assert rig.states == {1: "closing", 2: "leased", 3: "closing"}
    assert (rig.counters.leaked, rig.counters.closed["leaked"]) == (2, 2)
    assert rig.counters.stale == 0
    assert rig.release("db:a") == ["forget 1"]
    assert rig.counters.stale == 1


def test_an_epoch_that_is_no_live_lease_is_counted_stale() -> None:
    rig = Rig()
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    told = rig.send(on.Reclaim((1, 99, 2, 2)))  # given back, never given, live, just ended
    assert told == ["leaked 2", "ended 2 late", "close 2 leaked"]
    assert (rig.counters.leaked, rig.counters.stale) == (1, 3)


def test_whoever_waits_gets_the_place_of_a_leaked_lease() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.send(on.Reclaim((1,)))
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


@pytest.mark.parametrize("first", [1, 2])
def test_a_leaked_lease_of_a_shared_slot_takes_it_out(first: int) -> None:
    rig = shared()
    assert rig.send(on.Reclaim((first,))) == ["leaked 1", "ended 1 late", "doom 1"]
    assert rig.states == {1: "detached"}
    told = rig.send(on.Reclaim((3 - first,)))
    assert told == ["leaked 1", "ended 1 late", "close 1 leaked"]


def test_a_leaked_lease_is_not_overdue_as_well() -> None:
    rig = Rig(max_hold=10.0)
    rig.hold("db:a")
    rig.send(on.Reclaim((1,)))
    assert "overdue 1" not in rig.tick(at=10)
    assert rig.counters.overdue == 0


def test_a_slot_taken_out_stays_so_until_the_last_of_several_holders_has_left() -> None:
    rig = Rig(keyed=True, max_holders=3)
    rig.hold("db:a")
    rig.acquire("db:a")
    rig.acquire("db:a")
    assert rig.send(on.Reclaim((1,))) == ["leaked 1", "ended 1 late", "doom 1"]
    assert rig.send(on.Reclaim((2,))) == ["leaked 1", "ended 1 late"]
    assert rig.states == {1: "detached"}
    assert rig.send(on.Reclaim((3,))) == ["leaked 1", "ended 1 late", "close 1 leaked"]
