"""What giving back does: to the slot, to those who wait, and to what comes too late."""

from __future__ import annotations

from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.lending import ENDED_FOR, ENDED_KEPT
from tests.core.rig import Rig


def evicted(*names: str, **policy: Any) -> Rig:
    """Return a pool whose leases under these ids were ended by force."""
    rig = Rig(**policy)
    rig.hold(*names)
    rig.send(on.Evict(force=True))
    return rig


# -- to whom the slot goes


def test_a_returned_slot_is_idle_and_nothing_is_to_be_done() -> None:
    rig = Rig()
    rig.hold("db:a")
    assert rig.send_all(on.Release("db:a")) == ["ended 1"]
    assert rig.states == {1: "idle"}


def test_a_returned_slot_goes_to_the_oldest_ticket_in_the_same_turn() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c")
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]
    assert rig.release("db:b") == ["ended 1", "lease 1 to 3"]


def test_a_returned_slot_serves_the_ticket_whatever_idles_before_it() -> None:
    saved = [on.SavedSlot(n, None, False, None, None, 0.0, f"r{n}", ()) for n in (1, 2)]
    rig = Rig(on.Restore(tuple(saved), last_slot=2), max_size=3, order="fifo", has_check=True)
    rig.acquire("db:a")
    rig.send(on.CheckPassed(1))  # a has slot 1; slot 2 idles, suspect since the crash
    rig.acquire("db:b")
    rig.send(on.CheckFailed(2))
    rig.send(on.Closed(2))
    assert rig.states == {1: "leased", 3: "opening"}
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]


def test_a_reset_comes_before_reuse() -> None:
    rig = Rig(max_size=1, has_reset=True)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.release("db:a") == ["ended 1", "reset 1"]
    assert rig.send(on.ResetDone(1)) == ["idle 1", "lease 1 to 2"]


def test_a_slot_past_its_lifetime_is_closed_when_it_comes_back() -> None:
    rig = Rig(max_size=1, max_lifetime=100.0, lifetime_jitter=0.0, has_reset=True)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=1000)
    assert rig.release("db:a", at=100) == ["ended 1", "close 1 lifetime"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


# -- which lease is meant


def test_what_is_not_leased_is_refused() -> None:
    rig = Rig()
    assert rig.release("db:a") == ["deny not_leased"]
    assert rig.effects == [do.Deny(0, do.Why.NOT_LEASED, "db:a")]
    rig.acquire("db:a")
    assert rig.release("db:a") == ["deny not_leased"]  # queued is not leased
    rig.opened(1)
    assert rig.release("db:a") == ["ended 1"]
    assert rig.release("db:a") == ["deny not_leased"]  # twice
    assert rig.release("db") == ["deny not_leased"]
    assert rig.release("db:a", epoch=0) == ["deny not_leased"]
    assert rig.release("db:a", epoch=2) == ["deny not_leased"]  # not yet given out
    assert rig.counters.stale == 0


def test_a_release_fenced_by_its_epoch_never_hits_a_later_lease() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.release("db:a")
    rig.acquire("db:a")
    assert rig.release("db:a", epoch=1) == []
    assert rig.send(on.Discard("db:a", epoch=1)) == []
    assert rig.counters.stale == 2
    assert rig.states == {1: "leased"}
    assert rig.release("db:a", epoch=2) == ["ended 1"]


def test_an_epoch_under_another_id_is_no_lease_of_that_id() -> None:
    rig = Rig()
    rig.hold("db:a", "db:b")
    assert rig.release("db:a", epoch=2) == []
    assert rig.counters.stale == 1
    assert set(rig.pool.leases) == {1, 2}


def test_leases_without_an_id_are_given_back_by_epoch() -> None:
    rig = Rig()
    rig.hold("db", "db")
    assert rig.release("db", epoch=2) == ["ended 2"]
    assert rig.release("db", epoch=1) == ["ended 1"]


def test_a_bare_release_of_a_shared_key_ends_its_oldest_lease() -> None:
    rig = Rig(keyed=True, max_holders=3)
    rig.hold("db:a")
    rig.acquire("db:a")
    rig.release("db:a")
    assert set(rig.pool.leases) == {2}


def test_unknown_late_and_double_releases_at_every_stage_raise_nothing() -> None:
    """Case 17."""
    rig = Rig(has_check=True, check_on_acquire=True, has_reset=True)
    rig.acquire("db:a")
    stages: list[on.Event] = [
        on.Tick(),
        on.Opened(1),
        on.Release("db:a"),
        on.ResetDone(1),
        on.Acquire("db:a"),
        on.Discard("db:a"),
        on.Closed(1),
        on.Drain(),
        on.Shut(),
    ]
    for stage in stages:
        rig.send(stage)
        for epoch in (None, -1, 0, 999):
            rig.send(on.Release("db:never", epoch))
            rig.send(on.Discard("db:never", epoch))
    assert rig.states == {}


# -- discarding


def test_a_discarded_slot_is_closed_and_its_error_counted() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.send(on.Discard("db:a", error=ValueError())) == ["ended 1", "close 1 broken"]
    assert rig.counters.errors["use"] == 1
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]  # closing counts against max_size


def test_a_discard_without_an_error_counts_none() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.send(on.Discard("db:a"))
    assert rig.counters.errors["use"] == 0
    assert rig.counters.closed["broken"] == 1


def test_one_holder_may_discard_what_others_still_hold() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.hold("db:a")
    rig.acquire("db:a")
    assert rig.send(on.Discard("db:a", epoch=1)) == ["ended 1", "doom 1"]
    assert rig.states == {1: "detached"}
    assert rig.acquire("db:a") == ["wait", "open 2"]  # the key is free for a new one
    assert rig.send(on.Discard("db:a", epoch=2)) == ["ended 1", "close 1 broken"]


def test_a_second_discard_of_a_detached_slot_waits_for_the_last_holder() -> None:
    rig = Rig(keyed=True, max_holders=3)
    rig.hold("db:a")
    rig.acquire("db:a")
    rig.acquire("db:a")
    assert rig.send(on.Discard("db:a", epoch=1)) == ["ended 1", "doom 1"]
    assert rig.send(on.Discard("db:a", epoch=2)) == ["ended 1"]
    assert rig.release("db:a", epoch=3) == ["ended 1", "close 1 cleanup"]


def test_a_lost_connection_invalidates_the_whole_generation() -> None:
    rig = Rig(has_check=True, check_on_acquire=True, has_reset=True, max_opening=10)
    rig.hold("db:1", "db:2", "db:3", "db:4")
    for name in ("db:1", "db:2"):
        rig.release(name)
    rig.send(on.ResetDone(1))  # slot 1 idle, 2 resetting, 3 and 4 leased
    rig.acquire("db:5")
    rig.acquire("db:6")
    assert rig.states == {1: "leased", 2: "resetting", 3: "leased", 4: "leased", 5: "opening"}
    rig.release("db:5")
    rig.send(on.ResetDone(1))
    assert rig.states[1] == "leased"  # it went to db:6
    rig.release("db:6")
    rig.send(on.ResetDone(1))
    assert rig.states[1] == "idle"
    told = rig.send(on.Discard("db:3", lost=True))
    assert told == [
        "ended 3",
        "close 1 broken",  # idle: at once
        "doom 2",
        "doom 3",
        "doom 4",
        "doom 5",
        "close 3 broken",
    ]
    assert rig.send(on.ResetDone(2)) == ["idle 2", "close 2 broken"]
    assert rig.release("db:4") == ["ended 4", "close 4 broken"]  # without a reset
    assert rig.opened(5) == ["idle 5", "close 5 broken"]
    assert rig.acquire("db:7") == ["wait", "open 6"]
    assert rig.opened(6) == ["idle 6", "lease 6 to 6"]


def test_a_late_discard_that_says_lost_invalidates_nothing() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.release("db:a")
    assert rig.send(on.Discard("db:a", epoch=1, lost=True)) == []
    assert rig.acquire("db:a") == ["lease 1"]


# -- slots that were taken out


def test_a_detached_slot_is_closed_on_return() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.send(on.Evict("db:a"))
    assert rig.acquire("db:b") == ["wait", "open 2"]
    assert rig.release("db:a") == ["ended 1", "close 1 cleanup"]


def test_a_detached_slot_still_counts_against_max_size() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.send(on.Evict("db:a"))
    assert rig.acquire("db:b") == ["wait"]
    rig.release("db:a")
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


def test_the_id_of_a_detached_lease_stays_taken_until_it_is_released() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.send(on.Evict())
    assert rig.acquire("db:a") == ["deny in_use"]
    rig.release("db:a")
    assert rig.acquire("db:a") == ["wait", "open 2"]


def test_the_late_return_of_a_detached_keyed_slot_leaves_the_keys_new_slot_alone() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    rig.send(on.Evict("db:a"))
    rig.acquire("db:a")
    rig.opened(2)
    assert rig.release("db:a", epoch=1) == ["ended 1", "close 1 cleanup"]
    assert rig.send(on.Closed(1)) == ["gone 1"]
    assert rig.acquire("db:a") == ["wait"]  # slot 2 is leased: no second one for the key
    assert rig.release("db:a", epoch=2) == ["ended 2", "lease 2 to 3"]


def test_the_late_end_of_an_abandoned_creation_leaves_the_keys_new_slot_alone() -> None:
    rig = Rig(keyed=True)
    rig.acquire("db:a", timeout=1)
    rig.tick(at=1)
    rig.tick(at=30)
    rig.tick(at=31)
    assert rig.states == {1: "abandoned"}
    assert rig.pool.lanes == {}
    rig.acquire("db:a")
    rig.opened(2)
    rig.send(on.OpenFailed(1))
    rig.release("db:a")
    assert rig.acquire("db:a") == ["lease 2"]


def test_a_bare_release_finds_the_detached_lease_of_a_key() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    rig.send(on.Evict("db:a"))
    assert rig.release("db:a") == ["ended 1", "close 1 cleanup"]


def test_a_bare_release_of_a_key_ends_its_oldest_lease_a_detached_one_too() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    rig.send(on.Evict("db:a"))
    rig.hold("db:a")
    # The holder of the first does not know that cleanup took it out: its release must not end
    # the second holder's lease, and so hand that one's resource to a third.
    assert rig.release("db:a") == ["ended 1", "close 1 cleanup"]
    assert rig.release("db:a") == ["ended 2"]


# -- leases that ended on our side


def test_the_late_release_of_an_ended_lease_is_a_counted_no_op_once() -> None:
    rig = evicted("db:a")
    assert rig.release("db:a") == ["forget 1"]
    assert rig.counters.stale == 1
    assert rig.release("db:a") == ["deny not_leased"]
    assert rig.counters.stale == 1


def test_a_late_discard_is_as_late_as_a_release() -> None:
    rig = evicted("db:a")
    assert rig.send(on.Discard("db:a", lost=True, error=ValueError())) == ["forget 1"]
    assert rig.pool.generation == 1


def test_the_id_stays_taken_until_the_late_release_is_seen() -> None:
    rig = evicted("db:a")
    assert rig.acquire("db:a") == ["deny in_use"]
    rig.release("db:a")
    assert rig.acquire("db:a") == ["wait", "open 2"]


def test_the_id_of_an_ended_lease_is_freed_by_a_sweep_after_ten_minutes() -> None:
    assert ENDED_FOR == 600
    rig = evicted("db:a")
    assert rig.send(on.Sweep(), at=599) == []
    assert rig.send(on.Sweep(), at=600) == ["forget 1"]
    assert rig.acquire("db:a") == ["wait", "open 2"]
    assert rig.release("db:a", epoch=1) == []  # fenced all the same


def test_no_more_than_ten_thousand_ended_leases_are_remembered() -> None:
    assert ENDED_KEPT == 10_000
    rig = Rig(on.Restore(ended=tuple((n, f"db:{n}", 0.0) for n in range(1, 10_001))))
    rig.counters.acquired = 10_000
    rig.hold("db:a")
    told = rig.send(on.Evict(force=True))
    assert told == ["ended 1 late", "forget 1", "close 1 cleanup", "wait"]
    assert len(rig.pool.ended) == 10_000
    assert "db:1" not in rig.pool.named


def test_ended_leases_without_an_id_are_known_by_epoch() -> None:
    rig = evicted("db", "db")
    assert rig.release("db", epoch=2) == ["forget 2"]
    assert rig.release("db", epoch=1) == ["forget 1"]
    assert rig.release("db", epoch=1) == []
    assert rig.counters.stale == 3


def test_each_holder_of_a_revoked_shared_key_may_release_late() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.hold("db:a")
    rig.acquire("db:a")
    told = rig.send(on.Evict(force=True))
    assert told == ["ended 1 late", "ended 1 late", "close 1 cleanup", "wait"]
    assert rig.release("db:a") == ["forget 1"]
    assert rig.release("db:a") == ["forget 2"]
    assert rig.release("db:a") == ["deny not_leased"]
    assert rig.counters.stale == 2


def test_an_ended_lease_of_a_key_takes_nothing() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    rig.send(on.Evict(force=True))
    assert rig.acquire("db:a") == ["wait", "open 2"]  # at once, beside the closing one
    rig.opened(2)
    assert rig.release("db:a", epoch=1) == ["forget 1"]
    assert rig.states[2] == "leased"


def test_a_forced_end_is_told_to_the_performer_as_late() -> None:
    rig = Rig()
    rig.hold("db:a")
    rig.send(on.Shut())
    (ended,) = [effect for effect in rig.effects if isinstance(effect, do.Ended)]
    assert ended.late
    assert ended.lease.resource_id == "db:a"


def test_what_was_taken_out_before_is_not_doomed_again_when_the_other_side_is_lost() -> None:
    rig = Rig()
    rig.hold("db:a", "db:b", "db:c")
    assert rig.send(on.Evict("db:a")) == ["doom 1"]
    told = rig.send(on.Discard("db:b", lost=True))
    assert told == ["ended 2", "doom 2", "doom 3", "close 2 broken"]
    assert rig.release("db:a") == ["ended 1", "close 1 cleanup"]
    assert rig.release("db:c") == ["ended 3", "close 3 broken"]
