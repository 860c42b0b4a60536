"""What an acquire gets: a slot, a place in the queue, or a reason why not."""

from __future__ import annotations

import heapq
import math
import random
from typing import Any

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.borrowing import DEEPEST, alike
from pepperpy_resources.core.policy import Backoff
from tests.core.rig import Rig

# -- slots


def test_an_idle_slot_is_leased_at_once_and_nothing_else_is_to_be_done() -> None:
    rig = Rig()
    rig.idle(1)
    owner, site = object(), object()
    assert rig.send_all(on.Acquire("db:a", owner=owner, site=site), at=5.0) == ["lease 1"]
    (lease,) = rig.effects
    assert isinstance(lease, do.Lease)
    assert (lease.resource_id, lease.resource, lease.epoch) == ("db:a", "r1", 2)
    assert (lease.since, lease.owner, lease.site, lease.ticket) == (5.0, owner, site, 0)


def test_where_nothing_is_idle_one_is_opened_and_serves_the_ticket() -> None:
    rig = Rig()
    assert rig.acquire("db:a") == ["wait", "open 1"]
    assert rig.opened(1, at=0.05) == ["idle 1", "lease 1 to 1"]
    assert rig.states == {1: "leased"}


@pytest.mark.parametrize(("order", "expected"), [("lifo", [3, 2, 1]), ("fifo", [1, 2, 3])])
def test_the_order_of_the_hand_out(order: str, expected: list[int]) -> None:
    rig = Rig(order=order)
    rig.idle(3)
    assert [rig.acquire() for _ in range(3)] == [[f"lease {slot}"] for slot in expected]


def test_a_creation_serves_whoever_waits_longest_and_never_its_cause() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.acquire("db:c")
    rig.send(on.Cancel(2))  # b; ticket 1 was a's
    assert rig.release("db:a") == ["ended 1", "lease 1 to 3"]


def test_thirty_waiters_and_thirty_newcomers_are_served_in_the_order_they_came() -> None:
    """Case 4: a newcomer never barges past a waiter, not even in the turn of a release."""
    rig = Rig(max_size=1)
    rig.hold("db:first")
    for n in range(30):
        assert rig.acquire(f"db:{n}") == ["wait"]
    served = []
    holder = "db:first"
    for n in range(30, 60):
        told = rig.release(holder)
        rig.acquire(f"db:{n}")
        (lease,) = rig.pool.leases.values()
        assert told[-1] == f"lease 1 to {lease.ticket}"
        holder = lease.resource_id
        served.append(holder)
    assert served == [f"db:{n}" for n in range(30)]
    assert rig.waiting == list(range(32, 62))


def test_a_hundred_borrowers_over_five_slots_never_share_one() -> None:
    """Case 21, with the interleaving chosen at random."""
    rig, chance = Rig(max_size=5, max_opening=2), random.Random(21)
    held: dict[int, do.Lease] = {}
    opening: list[int] = []
    rounds = served = 0
    while served < 2000:
        rounds += 1
        step = chance.randrange(3)
        if step == 0:
            rig.acquire(timeout=math.inf)
        elif step == 1 and opening:
            rig.opened(opening.pop(0))
        elif step == 2 and held:
            lease = held.pop(chance.choice(list(held)))
            rig.release("db", lease.epoch)
        for effect in rig.effects:
            if isinstance(effect, do.Open):
                opening.append(effect.slot)
            if isinstance(effect, do.Lease):
                assert effect.slot not in held
                held[effect.slot] = effect
                served += 1
        rig.effects = []
    assert rounds > 2000
    assert len(rig.states) == 5


# -- cancelled acquires (case 1)


def test_an_acquire_cancelled_while_its_creation_runs_leaves_the_resource_to_the_pool() -> None:
    rig = Rig(max_size=1)
    rig.acquire("db:a")
    assert rig.send(on.Cancel(1)) == ["drop 1"]
    assert rig.opened(1) == ["idle 1"]
    assert rig.acquire("db:a") == ["lease 1"]


def test_an_acquire_cancelled_while_its_check_runs_leaves_the_slot_to_the_next() -> None:
    rig = Rig(max_size=1, has_check=True, check_on_acquire=True)
    rig.idle(1)
    assert rig.acquire("db:a", at=10) == ["wait", "check 1"]
    assert rig.acquire("db:b") == ["wait"]
    rig.send(on.Cancel(2))
    assert rig.send(on.CheckPassed(1)) == ["idle 1", "lease 1 to 3"]


def test_a_cancel_that_comes_after_the_grant_is_a_counted_no_op() -> None:
    rig = Rig()
    rig.acquire("db:a")
    rig.opened(1)
    assert rig.send(on.Cancel(1)) == []
    assert rig.counters.stale == 1
    assert rig.states == {1: "leased"}


def test_cancelled_at_every_stage_four_hundred_times_all_three_slots_are_usable() -> None:
    rig = Rig(max_size=3)
    for n in range(400):
        rig.acquire("db:a")
        opening = [slot for slot, state in rig.states.items() if state == "opening"]
        for slot in opening[: n % 3]:
            rig.opened(slot)
        if rig.waiting:
            rig.send(on.Cancel(rig.waiting[0]))
        else:
            rig.release("db:a")
    for slot, state in rig.states.items():
        if state == "opening":
            rig.opened(slot)
    rig.hold("db:1", "db:2", "db:3")
    assert rig.states == {1: "leased", 2: "leased", 3: "leased"}


# -- how long, and how many, may wait


def test_timeout_zero_sets_off_a_creation_but_does_not_wait() -> None:
    rig = Rig()
    assert rig.acquire("db:a", timeout=0) == ["wait", "open 1", "deny timeout to 1"]
    assert rig.waiting == []
    assert rig.counters.acquires["timeout"] == 1
    assert rig.opened(1) == ["idle 1"]
    assert rig.acquire("db:a", timeout=0) == ["lease 1"]


def test_max_waiting_counts_only_those_nobody_is_promised_to() -> None:
    rig = Rig(max_size=2, max_waiting=1)
    assert rig.acquire("db:1") == ["wait", "open 1"]
    assert rig.acquire("db:2") == ["wait", "open 2"]
    assert rig.acquire("db:3") == ["wait"]  # the one who may
    assert rig.acquire("db:4") == ["wait", "deny queue_full to 4"]
    assert rig.counters.acquires["refused"] == 1
    rig.opened(1)
    assert rig.waiting == [2, 3]
    assert rig.acquire("db:4") == ["wait", "deny queue_full to 5"]
    rig.send(on.Cancel(3))
    assert rig.acquire("db:4") == ["wait"]


def test_max_waiting_zero_still_admits_those_a_slot_is_made_for() -> None:
    rig = Rig(max_size=1, max_waiting=0)
    assert rig.acquire("db:1") == ["wait", "open 1"]
    assert rig.acquire("db:2") == ["wait", "deny queue_full to 2"]


def test_max_waiting_of_one_key_does_not_refuse_another_that_is_promised_a_creation() -> None:
    rig = Rig(keyed=True, max_size=2, max_waiting=0)
    rig.acquire("db:c")
    rig.send(on.OpenFailed(1))  # c waits for its backoff to end, promised nothing
    assert rig.acquire("db:b") == ["wait", "open 2"]


def test_a_refused_acquire_evicts_nobody() -> None:
    rig = Rig(keyed=True, max_size=1, max_waiting=0)
    rig.hold("db:a")
    rig.release("db:a")
    told = rig.acquire("db:b")
    assert told == ["wait", "deny queue_full to 2"]
    assert rig.states == {1: "idle"}
    assert list(rig.pool.lanes) == ["db:a"]


def test_no_more_creations_at_once_than_max_opening() -> None:
    rig = Rig(max_size=10, max_opening=2)
    assert [rig.acquire() for _ in range(3)] == [["wait", "open 1"], ["wait", "open 2"], ["wait"]]
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "open 3"]


def spike(max_opening: int) -> int:
    """Return how many resources a spike of 50 short borrowers ends with."""
    rig = Rig(min_idle=5, max_size=50, max_opening=max_opening)
    while len(rig.pool.idle) < 5:
        rig.opened(next(slot for slot, state in rig.states.items() if state == "opening"))
    due: list[tuple[float, int, on.Event]] = []

    def perform() -> None:
        for effect in rig.effects:
            if isinstance(effect, do.Open):
                opened = on.Opened(effect.slot)
                heapq.heappush(due, (rig.now + 0.150, effect.slot, opened))
            if isinstance(effect, do.Lease):
                done = on.Release("db", effect.epoch)
                heapq.heappush(due, (rig.now + 0.002, 1000 + effect.epoch, done))

    for _ in range(50):
        rig.acquire(at=1.0)
        perform()
    while due:
        at, _, event = heapq.heappop(due)
        rig.send(event, at=at)
        perform()
    assert rig.counters.acquired == 50
    return len(rig.states)


@pytest.mark.parametrize(("max_opening", "most"), [(1, 6), (4, 9)])
def test_a_returned_resource_beats_a_pending_creation_in_a_spike(
    max_opening: int, most: int
) -> None:
    """Case 19."""
    assert spike(max_opening) <= most


# -- ids


def test_an_id_that_is_leased_is_refused_and_the_holder_is_named() -> None:
    rig = Rig()
    rig.hold("db:a")
    assert rig.acquire("db:a") == ["deny in_use"]
    (deny,) = rig.effects
    assert isinstance(deny, do.Deny)
    assert deny.error == next(iter(rig.pool.leases.values()))
    assert rig.counters.acquires["refused"] == 1


def test_an_id_that_is_queued_is_refused() -> None:
    rig = Rig()
    rig.acquire("db:a")
    assert rig.acquire("db:a") == ["deny in_use"]
    rig.send(on.Cancel(1))
    assert rig.acquire("db:a") == ["wait"]


def test_leases_without_an_id_are_as_many_as_there_are_slots() -> None:
    rig = Rig(max_size=3)
    rig.hold("db", "db", "db")
    assert rig.states == {1: "leased", 2: "leased", 3: "leased"}
    assert rig.pool.named == {}


def test_nobody_is_served_while_draining() -> None:
    rig = Rig()
    rig.idle(1)
    rig.send(on.Drain())
    assert rig.acquire("db:a") == ["deny closed"]


# -- the circuit


def test_used_up_attempts_fail_fast_and_half_open_probes() -> None:
    down = [ConnectionError("1st"), ConnectionError("2nd"), ConnectionError("3rd")]
    rig = Rig(backoff=Backoff(min=1.0, attempts=2, jitter=0.0), max_opening=1)
    rig.acquire("db:a")
    rig.acquire("db:b")
    assert rig.send(on.OpenFailed(1, down[0])) == ["gone 1"]
    assert rig.tick(at=1) == ["open 2"]
    told = rig.send(on.OpenFailed(2, down[1]))
    assert told == ["gone 2", "deny broken to 1", "deny broken to 2"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [down[1]] * 2
    # fails fast, with the last cause
    assert rig.acquire("db:c", at=2.9) == ["wait", "deny broken to 3"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [down[1]]
    # the backoff is over at 1 + 2: one probe, and whoever comes waits for what it finds
    assert rig.acquire("db:d", at=3) == ["wait", "open 3"]
    assert rig.acquire("db:e") == ["wait"]
    told = rig.send(on.OpenFailed(3, down[2]))
    assert told == ["gone 3", "deny broken to 4", "deny broken to 5"]
    # 4 s later the probe finds the backend well again
    assert rig.acquire("db:f", at=7) == ["wait", "open 4"]
    assert rig.opened(4) == ["idle 4", "lease 4 to 6"]
    assert rig.acquire("db:g") == ["wait", "open 5"]
    assert rig.counters.acquires["error"] == 5


def test_an_open_circuit_still_hands_out_what_is_idle() -> None:
    rig = Rig(backoff=Backoff(attempts=1))
    rig.hold("db:a")
    rig.acquire("db:b")
    rig.send(on.OpenFailed(2))
    rig.release("db:a")
    assert rig.acquire("db:c") == ["lease 1"]


# -- keyed types (case 22)


def test_the_same_key_waits_its_turn_and_blocks_no_other() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    assert rig.acquire("db:a") == ["wait"]
    assert rig.acquire("db:b") == ["wait", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 3"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]


def test_a_key_has_one_slot_and_keeps_it() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.release("db:b")
    assert rig.acquire("db:a") == ["lease 1"]
    assert rig.acquire("db:b") == ["lease 2"]


def test_a_shared_key_has_max_holders() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.acquire("db:a")
    rig.acquire("db:a")
    rig.acquire("db:a")
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "lease 1 to 2"]
    assert rig.release("db:a", epoch=2) == ["ended 1", "lease 1 to 3"]
    assert rig.release("db:a", epoch=1) == ["ended 1"]
    assert rig.acquire("db:a") == ["lease 1"]
    assert rig.acquire("db:a") == ["wait"]
    assert set(rig.pool.slots[1].leases) == {3, 4}


def test_a_shared_slot_that_has_expired_takes_no_new_holder() -> None:
    rig = Rig(keyed=True, max_holders=2, max_lifetime=10.0)
    rig.hold("db:a")
    assert rig.acquire("db:a", at=8.75) == ["wait"]
    assert rig.release("db:a") == ["ended 1", "close 1 lifetime"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


def test_a_full_type_evicts_the_key_that_is_idle_longest_one_for_each_that_starves() -> None:
    rig = Rig(keyed=True, max_size=3)
    rig.hold("db:a", "db:b", "db:c")
    for at, name in [(1, "db:b"), (2, "db:a"), (3, "db:c")]:
        rig.release(name, at=at)
    assert rig.acquire("db:d") == ["wait", "close 2 idle"]
    assert rig.acquire("db:d") == ["wait"]  # the same key: one slot is enough
    assert rig.acquire("db:e") == ["wait", "close 1 idle"]
    # closing ones count against max_size; freed places go to the key that waits longest
    assert rig.send(on.Closed(2)) == ["gone 2", "open 4"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 5"]
    assert {n: s.lane.key for n, s in rig.pool.slots.items()} == {
        3: "db:c",
        4: "db:d",
        5: "db:e",
    }


def test_a_leased_key_is_evicted_as_soon_as_it_is_idle_if_another_starves() -> None:
    rig = Rig(keyed=True, max_size=1)
    rig.hold("db:a")
    assert rig.acquire("db:b") == ["wait"]
    assert rig.release("db:a") == ["ended 1", "close 1 idle"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 2"]


def test_a_key_that_backs_off_starves_nobody_and_evicts_nobody() -> None:
    rig = Rig(keyed=True, max_size=2, backoff=Backoff(min=1.0, jitter=0.0))
    rig.hold("db:a")
    rig.release("db:a")
    rig.acquire("db:b")
    rig.send(on.OpenFailed(2))
    assert rig.acquire("db:c") == ["wait", "open 3"]  # not blocked by b's backoff
    assert rig.states == {1: "idle", 3: "opening"}
    assert rig.tick(at=1) == ["close 1 idle"]  # now b needs room


def test_keys_beyond_max_opening_are_opened_in_the_order_they_came() -> None:
    rig = Rig(keyed=True, max_size=math.inf, max_opening=1)
    for key in ("db:a", "db:b", "db:c"):
        rig.acquire(key)
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "open 2"]
    assert rig.pool.slots[2].lane.key == "db:b"
    assert rig.send(on.OpenFailed(2)) == ["gone 2", "open 3"]
    assert rig.pool.slots[3].lane.key == "db:c"


def test_a_key_nobody_uses_is_forgotten_but_not_while_it_backs_off() -> None:
    rig = Rig(keyed=True, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.send(on.Cancel(1))
    assert list(rig.pool.lanes) == ["db:a"]
    assert rig.acquire("db:a", at=0.5) == ["wait"]  # the backoff holds for the next one, too
    rig.send(on.Cancel(2))
    rig.tick(at=1)
    assert rig.pool.lanes == {}


# -- keywords


def test_a_key_asked_for_with_other_keywords_is_refused() -> None:
    rig = Rig(keyed=True)
    assert rig.acquire("db:a", arguments={"mode": "r"}) == ["wait", "open 1"]
    (opening,) = [effect for effect in rig.effects if isinstance(effect, do.Open)]
    assert (opening.key, opening.arguments) == ("db:a", {"mode": "r"})
    assert rig.acquire("db:a", arguments={"mode": "w"}) == ["deny keywords"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [{"mode": "r"}]
    assert rig.acquire("db:a", arguments={"mode": "r"}) == ["wait"]
    assert rig.acquire("db:a") == ["wait"]  # none given: whatever it was built with
    assert rig.acquire("db:a", arguments={}) == ["wait"]


def test_once_its_slot_is_gone_a_key_may_be_built_with_other_keywords() -> None:
    rig = Rig(keyed=True)
    rig.acquire("db:a", arguments={"mode": "r"})
    rig.opened(1)
    rig.send(on.Discard("db:a"))
    assert rig.acquire("db:a", arguments={"mode": "w"}) == ["deny keywords"]  # it still closes
    rig.send(on.Closed(1))
    assert rig.acquire("db:a", arguments={"mode": "w"}) == ["wait", "open 2"]


class Nosy:
    """A user's object that notices when somebody compares it."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("user code ran")

    def __hash__(self) -> int:
        raise AssertionError("user code ran")


class Sly(dict[str, Any]):
    def keys(self) -> Any:
        raise AssertionError("user code ran")


class Key(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise AssertionError("user code ran")

    def __hash__(self) -> int:
        return 1


NOSY = Nosy()
LONG = [1, [2, {"three": (4.0, None, b"5", True)}]]


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        (None, None, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {}, False),
        ({"a": 1}, None, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": LONG}, {"a": [1, [2, {"three": (4.0, None, b"5", True)}]]}, True),
        ({"a": LONG}, {"a": [1, [2, {"three": (4.0, None, b"6", True)}]]}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [1]}, {"a": (1,)}, False),
        ({"a": NOSY}, {"a": NOSY}, True),
        ({"a": NOSY}, {"a": Nosy()}, False),
        ({"a": Sly()}, {"a": Sly()}, False),
        ({"a": {Key("k"): 1}}, {"a": {Key("k"): 1}}, False),
        ({"a": {1}}, {"a": {1}}, False),  # by identity: its members could be anybody's
    ],
)
def test_comparing_keywords_runs_no_user_code(given: Any, known: Any, *, expected: bool) -> None:
    assert alike(given, known) is expected


def test_comparing_keywords_runs_no_user_code_of_hashed_keys_either() -> None:
    class Loud(str):
        __slots__ = ()
        seen = 0

        def __hash__(self) -> int:
            Loud.seen += 1
            return 1

        def __eq__(self, other: object) -> bool:
            Loud.seen += 1
            return False

    given, known = {"a": {Loud("k"): 1}}, {"a": {Loud("k"): 1}}
    Loud.seen = 0
    assert not alike(given, known)
    assert Loud.seen == 0


def test_cyclic_and_very_deep_keywords_are_unlike_but_do_no_harm() -> None:
    def ring() -> list[Any]:
        members: list[Any] = []
        members.append(members)
        return members

    def nested(depth: int) -> list[Any]:
        return [nested(depth - 1)] if depth else []

    assert not alike({"a": ring()}, {"a": ring()})
    assert not alike({"a": nested(DEEPEST + 1)}, {"a": nested(DEEPEST + 1)})
    assert alike({"a": nested(DEEPEST - 1)}, {"a": nested(DEEPEST - 1)})
    same = ring()
    assert alike({"a": same}, {"a": same})
