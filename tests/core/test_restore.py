"""A new machine from the performer's ledger: what survives a crash, and how."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import structs

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from tests.core.rig import Rig


def saved(
    number: int,
    hook: str | None = None,
    key: str | None = None,
    *leases: do.Lease,
    doomed: bool = False,
    arguments: dict[str, int] | None = None,
    born: float = 0.0,
) -> on.SavedSlot:
    return on.SavedSlot(number, hook, doomed, key, arguments, born, f"r{number}", leases)


def lease(epoch: int, slot: int, name: str, owner: object = None) -> do.Lease:
    return do.Lease(epoch, slot, f"r{slot}", 0.0, on.Acquire(name, owner=owner))


def ticket(number: int, name: str, deadline: float = math.inf, **rest: Any) -> do.Wait:
    return do.Wait(number, on.Acquire(name, **rest), 0.0, deadline)


def test_tickets_keep_their_place_and_their_deadline_through_a_restore() -> None:
    tickets = (ticket(3, "db:c", 20.0), ticket(4, "db:d", 9.0, timeout=9.0))
    slots = (saved(1, None, None, lease(1, 1, "db:a")),)
    rig = Rig(on.Restore(slots, tickets, last_slot=1, last_ticket=4), max_size=1)
    assert (rig.first, rig.pool.armed) == ([], 9.0)
    assert rig.waiting == [3, 4]
    assert rig.acquire("db:c") == ["deny in_use"]
    assert rig.acquire("db:e", at=1) == ["wait"]
    assert rig.tick(at=9) == ["deny timeout to 4"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]


def test_a_restored_ticket_that_is_overdue_is_denied_not_served() -> None:
    rig = Rig(on.Restore((saved(1),), (ticket(1, "db:a", -1.0),), last_slot=1, last_ticket=1))
    assert rig.first[0] == "deny timeout to 1" or rig.tick(at=0) == ["deny timeout to 1"]
    assert rig.states == {1: "idle"}


def test_numbers_go_on_where_they_were() -> None:
    rig = Rig(on.Restore(last_slot=7, last_ticket=9))
    assert rig.acquire("db:a") == ["wait", "open 8"]
    assert rig.waiting == [10]


def test_leases_stay_valid_through_a_restore() -> None:
    owner = object()
    slots = (saved(1, None, None, lease(5, 1, "db:a", owner), born=-10.0),)
    rig = Rig(on.Restore(slots, last_slot=1), has_close=True)
    rig.counters.acquired = 5
    assert rig.acquire("db:a") == ["deny in_use"]
    assert rig.send(on.Drain(ignoring=owner)) == []
    assert rig.release("db:a", epoch=5) == ["ended 1", "close 1 shutdown"]


def test_an_idle_slot_is_checked_after_a_restore_however_fresh() -> None:
    restore = on.Restore((saved(1), saved(2)), last_slot=2)
    rig = Rig(restore, has_check=True, fresh_for=1000.0)
    assert rig.acquire("db:a") == ["wait", "check 2"]
    assert rig.send(on.CheckPassed(2)) == ["idle 2", "lease 2 to 1"]
    rig.release("db:a")
    assert rig.acquire("db:a") == ["lease 2"]


def test_without_a_check_hook_an_idle_slot_is_lent_after_a_restore() -> None:
    rig = Rig(on.Restore((saved(1),), last_slot=1))
    assert rig.acquire("db:a") == ["lease 1"]


def test_a_restored_slot_keeps_its_age() -> None:
    restore = on.Restore((saved(1, born=-90.0),), last_slot=1, chance=0.0)
    rig = Rig(restore, max_lifetime=100.0)
    assert rig.send(on.Sweep(), at=9.9) == []
    assert rig.send(on.Sweep(), at=10) == ["close 1 lifetime"]


def test_chance_shortens_the_lifetime_of_a_restored_slot() -> None:
    restore = on.Restore((saved(1),), last_slot=1, chance=0.5)
    rig = Rig(restore, max_lifetime=100.0, lifetime_jitter=0.4)  # 100 × (1 − 0.4 × 0.5)
    assert rig.send(on.Sweep(), at=79.9) == []
    assert rig.send(on.Sweep(), at=80) == ["close 1 lifetime"]


@pytest.mark.parametrize(
    ("hook", "outcome"),
    [
        ("open", "abandon 1"),
        ("check", "close 1 broken"),
        ("reset", "close 1 broken"),
        ("close", "abandon 1"),
    ],
)
def test_hooks_that_ran_at_the_crash_get_their_deadline_anew(hook: str, outcome: str) -> None:
    restore = on.Restore((saved(1, hook),), last_slot=1)
    policy = {"create_timeout": 5.0, "close_timeout": 5.0}
    rig = Rig(restore, has_check=True, has_reset=True, **policy)
    assert (rig.first, rig.pool.armed) == ([], 5.0)
    assert rig.tick(at=4.9) == []
    assert outcome in rig.tick(at=5)


def test_a_creation_that_ran_at_the_crash_serves_a_ticket() -> None:
    restore = on.Restore((saved(1, "open"),), (ticket(1, "db:a"),), last_slot=1, last_ticket=1)
    rig = Rig(restore)
    assert rig.first == []  # no second one is opened
    assert rig.opened(1) == ["idle 1", "lease 1 to 1"]


def test_a_given_up_hook_is_not_waited_for_after_a_restore() -> None:
    rig = Rig(on.Restore((saved(1, "abandoned"),), last_slot=1), max_size=2)
    assert rig.first == []
    assert rig.pool.size == 0
    assert rig.acquire("db:a") == ["wait", "open 2"]
    assert rig.send(on.Closed(1)) == ["gone 1"]


def test_a_detached_lease_survives_a_restore_and_is_closed_on_return() -> None:
    slots = (saved(1, None, None, lease(1, 1, "db:a"), doomed=True),)
    for policy in ({}, {"has_reset": True}):
        rig = Rig(on.Restore(slots, last_slot=1), **policy)
        rig.counters.acquired = 1
        assert rig.states == {1: "detached"}
        assert rig.release("db:a") == ["ended 1", "close 1 cleanup"]


def test_ended_leases_are_still_known_after_a_restore() -> None:
    restore = on.Restore(ended=((3, "db:a", 0.0), (4, "db", 0.0)))
    rig = Rig(restore)
    rig.counters.acquired = 4
    assert rig.acquire("db:a") == ["deny in_use"]
    assert rig.release("db:a") == ["forget 3"]
    assert rig.release("db", epoch=4) == ["forget 4"]


def test_the_floor_is_restored_after_a_restore() -> None:
    rig = Rig(on.Restore((saved(1),), last_slot=1), min_idle=2)
    assert rig.first[-1] == "open 2"
    assert rig.send(on.Ready()) == ["wait"]
    assert rig.opened(2) == ["idle 2", "answer 1"]


def test_keys_keep_their_slot_their_tickets_and_their_keywords_through_a_restore() -> None:
    slots = (saved(1, None, "db:a", lease(1, 1, "db:a"), arguments={"x": 1}),)
    tickets = (ticket(2, "db:a", 30.0), ticket(3, "db:b", 30.0, arguments={"x": 2}))
    rig = Rig(on.Restore(slots, tickets, last_slot=1, last_ticket=3), keyed=True)
    assert rig.first == ["open 2"]
    assert rig.states == {1: "leased", 2: "opening"}
    assert rig.pool.slots[2].lane.key == "db:b"
    assert rig.acquire("db:a", arguments={"x": 2}) == ["deny keywords"]
    assert rig.acquire("db:b", arguments={"x": 1}) == ["deny keywords"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]


def test_restore_keeps_the_keywords_of_the_attached_slot() -> None:
    slots = (
        saved(1, None, "db:a", lease(1, 1, "db:a"), doomed=True, arguments={"x": 1}),
        saved(2, None, "db:a", arguments={"x": 2}),
    )
    rig = Rig(on.Restore(slots, last_slot=2), keyed=True)
    assert rig.acquire("db:a", arguments={"x": 1}) == ["deny keywords"]
    assert rig.acquire("db:a", arguments={"x": 2}) == ["lease 2"]


def test_a_closing_slot_decides_no_keywords() -> None:
    """It will serve nobody; the ticket decides what its successor is built with."""
    for arguments in (None, {"x": 1}):
        slots = (saved(1, "close", "db:a", arguments=arguments),)
        tickets = (ticket(1, "db:a", arguments={"x": 2}),)
        rig = Rig(on.Restore(slots, tickets, last_slot=1, last_ticket=1), keyed=True)
        rig.send(on.Closed(1))
        assert rig.states == {2: "opening"}
        assert rig.pool.slots[2].lane.arguments == {"x": 2}


def test_the_first_ticket_that_gave_keywords_decides() -> None:
    """One that gave none waits for whatever there will be; before it, another had decided."""
    tickets = (ticket(1, "db:a"), ticket(2, "db:a", arguments={"x": 1}), ticket(3, "db:a"))
    rig = Rig(on.Restore((), tickets, last_ticket=3), keyed=True)
    (opening,) = [effect for effect in rig.effects if isinstance(effect, do.Open)]
    assert opening.arguments == {"x": 1}


def test_a_slot_built_without_keywords_does_not_take_those_of_a_restored_ticket() -> None:
    slots = (saved(1, None, "db:a", lease(1, 1, "db:a")),)
    tickets = (ticket(1, "db:a"),)
    rig = Rig(on.Restore(slots, tickets, last_slot=1, last_ticket=1), keyed=True)
    assert rig.acquire("db:a", arguments={"x": 2}) == ["deny keywords"]


def test_a_restored_type_that_is_full_of_keys_still_makes_room() -> None:
    slots = (saved(1, None, "db:a"), saved(2, None, "db:b", lease(1, 2, "db:b")))
    tickets = (ticket(1, "db:c"),)
    rig = Rig(on.Restore(slots, tickets, last_slot=2, last_ticket=1), keyed=True, max_size=2)
    assert "close 1 idle" in rig.first


# -- what operators, clocks and budgets had said


def test_a_suspended_type_is_still_suspended_after_a_restore() -> None:
    restore = on.Restore((saved(1),), (ticket(1, "db:a"),), last_slot=1, last_ticket=1)
    rig = Rig(structs.replace(restore, suspended=True))
    assert rig.first == []
    assert rig.acquire("db:b", timeout=0) == ["wait", "deny suspended to 2"]
    assert rig.send(on.Resume()) == ["suspended False", "lease 1 to 1"]


def test_a_suspended_type_does_not_warm_up_after_a_restore() -> None:
    rig = Rig(on.Restore(suspended=True), min_idle=1)
    assert rig.first == []
    assert rig.send(on.Resume()) == ["suspended False", "open 1"]


def test_permits_hold_after_a_restore_and_are_told_at_once() -> None:
    restore = on.Restore((saved(1),), (ticket(1, "db:a"), ticket(2, "db:b")), last_slot=1)
    rig = Rig(structs.replace(restore, last_ticket=2, permits=1), budgeted=True)
    assert rig.first == ["lease 1 to 1", "demand 1 of 1, 0 idle, wants 1"]
    assert rig.send(on.Allot(2))[:2] == ["resized 10 0 2", "open 2"]


def test_a_budgeted_type_that_was_allotted_nothing_has_nothing_after_a_restore() -> None:
    rig = Rig(on.Restore((), (ticket(1, "db:a"),), last_ticket=1), budgeted=True)
    assert rig.first == ["demand 0 of 0, 0 idle, wants 1"]


def test_what_is_beyond_the_limits_after_a_restore_is_closed() -> None:
    slots = (saved(1), saved(2, None, None, lease(1, 2, "db:a")), saved(3))
    rig = Rig(on.Restore(slots, last_slot=3), max_size=1)
    assert rig.first == ["close 1 resized", "close 3 resized"]
    rig = Rig(on.Restore(slots, last_slot=3, permits=2), budgeted=True)
    assert rig.first[:1] == ["close 1 resized"]
    assert rig.states[3] == "idle"


def held_since(at: float, slot: int = 1, epoch: int = 1) -> do.Lease:
    return do.Lease(epoch, slot, f"r{slot}", at, on.Acquire(f"db:{epoch}"))


def test_a_lease_that_was_overdue_before_the_crash_is_not_reported_again() -> None:
    slots = (
        saved(1, None, None, held_since(-20.0)),
        saved(2, None, None, held_since(-10.0, 2, 2)),  # at this very moment: by the last one
        saved(3, None, None, held_since(-4.0, 3, 3)),
    )
    rig = Rig(on.Restore(slots, last_slot=3), max_hold=10.0)
    assert rig.pool.armed == 6.0
    assert rig.tick(at=5.9) == []
    assert rig.tick(at=6) == ["overdue 3"]
    assert rig.tick(at=1000) == []
    assert rig.counters.overdue == 1


def test_a_lease_to_be_revoked_is_revoked_after_a_restore_however_late() -> None:
    slots = (saved(1, None, None, held_since(-20.0)),)
    rig = Rig(on.Restore(slots, last_slot=1), max_hold=10.0, on_overdue="revoke")
    assert rig.pool.armed <= 0.0
    assert rig.tick(at=0) == ["overdue 1", "ended 1 late", "close 1 overdue"]


def test_uses_are_counted_anew_after_a_restore() -> None:
    rig = Rig(on.Restore((saved(1),), last_slot=1), max_uses=2)
    assert rig.acquire("db:a") == ["lease 1"]
    assert rig.release("db:a") == ["ended 1"]
    assert rig.acquire("db:a") == ["doom 1", "lease 1"]
    assert rig.release("db:a") == ["ended 1", "close 1 uses"]


def test_a_slot_used_up_before_the_crash_is_not_used_again() -> None:
    slots = (saved(1, doomed=True), saved(2, None, None, lease(1, 2, "db:a"), doomed=True))
    rig = Rig(on.Restore(slots, last_slot=2), max_uses=2)
    assert rig.first == ["close 1 broken"]
    rig.counters.acquired = 1
    assert rig.release("db:a") == ["ended 2", "close 2 cleanup"]


def test_quiet_slots_are_due_for_a_check_at_once_after_a_restore() -> None:
    restore = on.Restore((saved(1), saved(2)), last_slot=2, chance=0.8)
    rig = Rig(restore, has_check=True, keepalive=100.0, max_lifetime=math.inf)
    assert rig.send(on.Sweep()) == ["check 1"]
    rig.send(on.CheckPassed(1))
    assert rig.send(on.Sweep(), at=1) == ["check 2"]
    rig.send(on.CheckPassed(2))
    assert rig.send(on.Sweep(), at=79.9) == []
    assert rig.send(on.Sweep(), at=80) == ["check 1"]  # 100 * (1 - 0.25 * 0.8) after the last
    rig.send(on.CheckPassed(1))
    told = rig.send(on.Sweep(), at=600)  # idle since the restore, as far as anybody knows
    assert sorted(told) == ["close 1 idle", "close 2 idle"]


def test_tickets_keep_their_priority_through_a_restore() -> None:
    tickets = (ticket(1, "db:b"), ticket(2, "db:c", priority=1), ticket(3, "db:d"))
    slots = (saved(1, None, None, lease(1, 1, "db:a")),)
    rig = Rig(on.Restore(slots, tickets, last_slot=1, last_ticket=3), max_size=1)
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]
    assert rig.release("db:c") == ["ended 1", "lease 1 to 1"]


def test_a_restored_queue_is_calm_and_stands_later() -> None:
    slots = (saved(1, None, None, lease(1, 1, "db:a")),)
    tickets = (ticket(1, "db:b"), ticket(2, "db:c"))
    restore = on.Restore(slots, tickets, last_slot=1, last_ticket=2)
    rig = Rig(restore, max_size=1, max_queue_delay=1.0)
    assert rig.pool.armed == 20.0
    assert rig.tick(at=19.9) == []
    assert rig.tick(at=20) == ["deny overloaded to 1", "deny overloaded to 2"]
