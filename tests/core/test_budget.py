"""A budget as one pool sees it: what it tells, what it does with its permits, and its wish."""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from pepperpy_resources.core.policy import Backoff
from tests.core.rig import Rig
from tests.core.steps import steps


def demand(rig: Rig) -> do.Demand:
    """Return what the pool last told the budget."""
    assert rig.pool.demand is not None
    return rig.pool.demand


def budgeted(permits: int, **policy: object) -> Rig:
    """Return a pool with so many permits."""
    rig = Rig(**{"budgeted": True, "acquire_timeout": math.inf, **policy})
    rig.send(on.Allot(permits))
    return rig


def opened(rig: Rig, *slots: int) -> None:
    for slot in slots:
        rig.opened(slot)


# -- permits


def test_it_starts_with_none_and_says_so() -> None:
    rig = Rig(budgeted=True)
    assert rig.first == ["demand 0 of 0, 0 idle, wants 0"]
    assert demand(rig) == do.Demand(0, 0, 0, math.inf, 0, math.inf)
    assert rig.acquire("db:a") == ["wait", "demand 0 of 0, 0 idle, wants 1"]


def test_a_permit_is_a_creation_for_who_waits() -> None:
    rig = Rig(budgeted=True)
    rig.acquire("db:a")
    rig.acquire("db:b")
    told = rig.send(on.Allot(1))
    assert told == ["resized 10 0 1", "open 1", "demand 1 of 1, 0 idle, wants 1"]
    assert rig.opened(1)[:2] == ["idle 1", "lease 1 to 1"]
    assert rig.send(on.Allot(2))[:2] == ["resized 10 0 2", "open 2"]


def test_its_own_max_size_holds_whatever_the_permits() -> None:
    rig = budgeted(5, max_size=1)
    rig.acquire("db:a")
    assert rig.acquire("db:b") == ["wait"]
    assert rig.states == {1: "opening"}
    assert demand(rig).wanted == 0


def test_fewer_permits_close_what_is_idle_at_once_and_the_rest_on_return() -> None:
    rig = budgeted(3)
    rig.hold("db:a", "db:b", "db:c")
    rig.release("db:c")
    told = rig.send(on.Allot(1))
    assert told[:2] == ["resized 10 0 1", "close 3 resized"]
    assert (demand(rig).permits, demand(rig).size) == (1, 3)  # closing ones count
    rig.send(on.Closed(3))
    assert demand(rig).size == 2
    rig.acquire("db:d")
    assert rig.release("db:a")[:2] == ["ended 1", "close 1 resized"]
    rig.send(on.Closed(1))
    assert demand(rig).size == 1
    assert rig.release("db:b")[:2] == ["ended 2", "lease 2 to 4"]


def test_it_tells_what_borrowers_have_taken_out_or_not() -> None:
    rig = budgeted(3)
    rig.hold("db:a", "db:b", "db:c")
    rig.release("db:c")
    rig.send(on.Evict("db:a"))
    assert (demand(rig).size, demand(rig).idle, demand(rig).lent) == (3, 1, 2)


def test_a_resize_does_not_lift_the_limit_of_the_budget() -> None:
    rig = budgeted(1, max_size=2)
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.send(on.Resize(max_size=9))[0] == "resized 9 0 1"
    assert rig.states == {1: "leased"}
    assert demand(rig).wanted == 1


def test_hooks_that_were_given_up_take_no_permit() -> None:
    rig = budgeted(1, create_timeout=5.0, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a")
    # the permit is free again, and the first failure is tried again at once
    assert rig.tick(at=5)[:3] == ["abandon 1", "report 1", "open 2"]
    assert rig.states == {1: "abandoned", 2: "opening"}


# -- what it tells


def test_it_tells_only_what_has_changed() -> None:
    rig = budgeted(1)
    rig.acquire("db:a")
    rig.opened(1)
    assert rig.release("db:a") == ["ended 1", "demand 1 of 1, 1 idle, wants 0"]
    assert rig.send(on.Ready()) == []
    assert rig.tick(at=1) == []
    assert rig.acquire("db:b") == ["lease 1", "demand 1 of 1, 0 idle, wants 0"]


def test_inquire_makes_it_tell_again() -> None:
    rig = budgeted(1)
    assert rig.send(on.Inquire()) == ["demand 0 of 1, 0 idle, wants 0"]
    assert rig.send(on.Inquire()) == ["demand 0 of 1, 0 idle, wants 0"]


def test_a_pool_without_a_budget_tells_nothing() -> None:
    rig = Rig()
    assert rig.first == []
    assert rig.send(on.Inquire()) == []


def test_idle_since_is_the_last_use_of_the_one_idle_longest() -> None:
    rig = budgeted(2)
    rig.hold("db:a", "db:b")
    rig.release("db:b", at=3)
    assert (demand(rig).idle, demand(rig).idle_since) == (1, 3)
    rig.release("db:a", at=5)
    assert (demand(rig).idle, demand(rig).idle_since) == (2, 3)
    rig.acquire("db:c", at=6)  # the one used last
    assert (demand(rig).idle, demand(rig).idle_since) == (1, 3)
    rig.acquire("db:d", at=7)
    assert (demand(rig).idle, demand(rig).idle_since) == (0, math.inf)


def test_since_is_that_of_the_oldest_ticket_less_the_head_start_of_the_type() -> None:
    rig = budgeted(0, priority=3, ageing=2.0)
    assert demand(rig).since == math.inf
    rig.acquire("db:a", at=10)
    rig.acquire("db:b", at=11)
    assert demand(rig).since == 4
    rig.send(on.Cancel(1), at=12)
    assert demand(rig).since == 5
    rig.send(on.Cancel(2))
    assert demand(rig).since == math.inf


def test_wanted_is_what_would_be_opened_were_there_permits() -> None:
    rig = budgeted(0, max_size=3, max_opening=2)
    wanted = []
    for n in range(5):
        rig.acquire(f"db:{n}")
        wanted.append(demand(rig).wanted)
    assert wanted == [1, 2, 2, 2, 2]  # max_opening
    rig.send(on.Allot(2))
    assert (demand(rig).size, demand(rig).wanted) == (2, 0)  # two are being opened
    opened(rig, 1, 2)
    assert demand(rig).wanted == 1  # max_size
    rig.send(on.Allot(3))
    assert demand(rig).wanted == 0


def test_while_it_backs_off_it_wants_nothing_and_then_one_at_a_time() -> None:
    rig = budgeted(1, backoff=Backoff(min=1.0, jitter=0.0))
    for n in range(3):
        rig.acquire(f"db:{n}")
    assert demand(rig).wanted == 2
    assert "open 2" in rig.send(on.OpenFailed(1))
    assert demand(rig).wanted == 0  # one at a time
    rig.send(on.OpenFailed(2))
    assert demand(rig).wanted == 0
    rig.send(on.Allot(0))
    rig.tick(at=1)
    assert demand(rig).wanted == 1  # slow start
    rig.send(on.Allot(1))
    assert demand(rig).wanted == 0
    rig.opened(3)
    assert demand(rig).wanted == 2


def test_a_slot_that_is_checked_for_a_ticket_is_not_wanted_besides() -> None:
    rig = budgeted(1, has_check=True, check_on_acquire=True)
    rig.idle(1)
    rig.acquire("db:a", at=10)
    assert rig.states == {1: "checking"}
    assert demand(rig).wanted == 0


def test_the_floor_is_wanted_though_nobody_waits() -> None:
    rig = Rig(budgeted=True, min_idle=2)
    assert demand(rig) == do.Demand(0, 0, 0, math.inf, 2, math.inf)
    assert rig.send(on.Allot(1))[:2] == ["resized 10 2 1", "open 1"]
    rig.acquire("db:a")
    assert demand(rig).wanted == 2  # one for it, the other for the floor; the first is a's
    rig.send(on.Cancel(1))
    rig.opened(1)
    assert demand(rig).wanted == 1
    rig.send(on.Ready())
    rig.send(on.Allot(2))
    assert "answer 2" in rig.opened(2)


def test_suspended_or_draining_it_wants_nothing() -> None:
    rig = budgeted(0)
    rig.acquire("db:a")
    rig.send(on.Suspend())
    assert demand(rig).wanted == 0
    assert rig.send(on.Allot(1))[0] == "resized 10 0 1"
    assert rig.states == {}
    assert "open 1" in rig.send(on.Resume())
    rig.acquire("db:b")
    assert demand(rig).wanted == 1
    rig.send(on.Drain())
    assert (demand(rig).wanted, demand(rig).since) == (0, math.inf)
    assert rig.send(on.Allot(5)) == ["resized 10 0 5", "demand 1 of 5, 0 idle, wants 0"]


def test_draining_it_wants_neither_what_was_wished_for_nor_what_starved() -> None:
    rig = budgeted(0)
    rig.acquire("db:a", timeout=0)
    rig.send(on.Drain())
    assert demand(rig).wanted == 0
    rig = budgeted(0, keyed=True)
    rig.acquire("db:a")
    rig.send(on.Drain())
    assert demand(rig).wanted == 0


# -- keyed types


def test_no_more_keys_are_wanted_at_once_than_max_opening() -> None:
    rig = budgeted(1, keyed=True, max_opening=3)
    for name in "abcde":
        rig.acquire(f"db:{name}")
    assert demand(rig).wanted == 2  # one of three is being opened


def test_every_key_that_has_no_slot_is_wanted() -> None:
    rig = budgeted(1, keyed=True)
    rig.acquire("db:a")
    assert demand(rig).wanted == 0  # it is being opened
    rig.acquire("db:a")
    assert demand(rig).wanted == 0  # one slot a key
    rig.acquire("db:b")
    rig.acquire("db:c")
    assert demand(rig).wanted == 2
    rig.send(on.Allot(2))
    assert rig.pool.slots[2].lane.key == "db:b"
    assert demand(rig).wanted == 1


def test_a_key_does_not_close_another_s_idle_slot_while_a_permit_may_come() -> None:
    """Room for it may be in another type: that is for the budget to say."""
    rig = budgeted(1, keyed=True)
    rig.hold("db:a")
    rig.release("db:a", at=1)
    rig.acquire("db:b", at=2)
    assert rig.states == {1: "idle"}
    assert demand(rig) == do.Demand(1, 1, 1, 1, 1, 2)
    told = rig.send(on.Allot(0))  # its own slot is to make the room
    assert told[:2] == ["resized 10 0 0", "close 1 resized"]
    rig.send(on.Closed(1))
    assert rig.send(on.Allot(1))[:2] == ["resized 10 0 1", "open 2"]


def test_at_its_own_max_size_a_keyed_type_makes_the_room_itself() -> None:
    rig = budgeted(5, keyed=True, max_size=1)
    rig.hold("db:a")
    rig.release("db:a")
    assert rig.acquire("db:b")[:2] == ["wait", "close 1 idle"]


# -- the wish of who did not wait


def test_who_does_not_wait_leaves_a_wish_that_the_next_permit_fulfils() -> None:
    rig = budgeted(0)
    told = rig.acquire("db:a", timeout=0)
    assert told == ["wait", "deny timeout to 1", "demand 0 of 0, 0 idle, wants 1"]
    assert demand(rig).since == math.inf
    assert rig.send(on.Allot(1))[:2] == ["resized 10 0 1", "open 1"]
    assert demand(rig).wanted == 0
    rig.opened(1)
    assert rig.acquire("db:a", timeout=0)[0] == "lease 1"


def test_where_its_own_max_size_is_in_the_way_nothing_is_wished_of_the_budget() -> None:
    rig = budgeted(1, max_size=1)
    rig.hold("db:a")
    assert rig.acquire("db:b", timeout=0) == ["wait", "deny timeout to 2"]
    assert rig.pool.wish is None


def test_the_wish_of_a_key_is_fulfilled_too() -> None:
    rig = budgeted(0, keyed=True)
    told = rig.acquire("db:a", timeout=0, arguments={"x": 1})
    assert told == ["wait", "deny timeout to 1", "demand 0 of 0, 0 idle, wants 1"]
    assert rig.send(on.Allot(1))[:2] == ["resized 10 0 1", "open 1"]
    (creation,) = [effect for effect in rig.effects if isinstance(effect, do.Open)]
    assert (creation.key, creation.arguments) == ("db:a", {"x": 1})
    rig.opened(1)
    assert rig.acquire("db:a", timeout=0)[0] == "lease 1"


def test_a_wish_is_one_slot_however_often_it_was_wished_for() -> None:
    rig = budgeted(0)
    for _ in range(3):
        rig.acquire("db:a", timeout=0)
    assert demand(rig).wanted == 1
    rig.send(on.Allot(2))
    assert rig.states == {1: "opening"}


def test_a_wish_is_fulfilled_once() -> None:
    rig = budgeted(0)
    rig.acquire("db:a", timeout=0)
    rig.send(on.Allot(1))
    rig.send(on.Allot(2))
    assert rig.states == {1: "opening"}


def test_a_wish_adds_nothing_to_what_tickets_want() -> None:
    rig = budgeted(0)
    rig.acquire("db:a")
    rig.acquire("db:b", timeout=0)
    assert demand(rig).wanted == 1
    rig.acquire("db:c")
    assert demand(rig).wanted == 2


def test_a_wish_for_a_key_that_somebody_waits_for_by_now_opens_nothing_else() -> None:
    rig = budgeted(0, keyed=True)
    rig.acquire("db:a", timeout=0)
    rig.acquire("db:a")
    assert demand(rig).wanted == 1
    rig.send(on.Allot(2))
    assert rig.states == {1: "opening"}


def test_a_wish_is_not_fulfilled_beyond_the_type_s_own_limits() -> None:
    rig = budgeted(1, max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=0)
    assert demand(rig).wanted == 0
    rig.send(on.Allot(2))
    assert rig.states == {1: "leased"}


def test_whoever_finds_a_creation_on_its_way_leaves_no_wish() -> None:
    rig = budgeted(1)
    rig.acquire("db:a", timeout=0)
    assert rig.states == {1: "opening"}
    rig.acquire("db:a", timeout=0)
    assert demand(rig).wanted == 0


def test_the_short_way_knows_no_budget() -> None:
    rig = budgeted(2)
    rig.hold("db:a")
    rig.idle(1)
    assert acquire_nowait(rig.pool, on.Acquire("db:b"), 0.0) is None
    assert release_nowait(rig.pool, on.Release("db:a"), 0.0) is None


# -- the circuit


def test_a_half_open_circuit_waits_for_the_permit_of_its_probe() -> None:
    """Denied at once, nobody would wait, nothing be wanted, and no permit ever come."""
    rig = budgeted(1, backoff=Backoff(min=1.0, jitter=0.0, attempts=1))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.send(on.Allot(0))  # nobody waits: another type has it now
    assert rig.acquire("db:b", at=0.9) == ["wait", "deny broken to 2"]
    rig.tick(at=1)
    assert rig.acquire("db:c", at=5) == ["wait", "demand 0 of 0, 0 idle, wants 1"]
    assert demand(rig).since == 5
    assert rig.send(on.Allot(1))[:2] == ["resized 10 0 1", "open 2"]
    assert rig.send(on.OpenFailed(2))[:2] == ["gone 2", "deny broken to 3"]


def test_a_half_open_circuit_that_its_own_limits_keep_from_probing_denies_at_once() -> None:
    rig = budgeted(5, max_size=1, backoff=Backoff(min=1.0, jitter=0.0, attempts=1))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.send(on.Suspend())
    assert rig.acquire("db:b", at=5) == ["wait", "deny broken to 2"]


def test_a_budget_s_word_costs_no_step_for_each_key() -> None:
    """It may come with every lease, and there may be many keys."""

    def allotted(keys: int) -> int:
        rig = Rig(keyed=True, max_size=5_000, budgeted=True, idle_timeout=math.inf)
        rig.send(on.Allot(keys))
        rig.hold(*(f"db:{number}" for number in range(keys)))
        return steps(lambda: rig.send(on.Allot(keys + 1)))

    assert allotted(1_000) <= allotted(10) + 5
