"""What an acquire gets: a slot, a place in the queue, or a reason why not."""

from __future__ import annotations

import heapq
import math
import random

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
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
    rig.send(on.OpenFailed(1))
    rig.send(on.OpenFailed(2))  # c waits for its backoff to end, promised nothing
    assert rig.acquire("db:b") == ["wait", "open 3"]


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
    assert rig.send(on.OpenFailed(1, down[0])) == ["gone 1", "open 2"]
    told = rig.send(on.OpenFailed(2, down[1]))
    assert told == ["gone 2", "deny broken to 1", "deny broken to 2"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [down[1]] * 2
    # fails fast, with the last cause
    assert rig.acquire("db:c", at=0.9) == ["wait", "deny broken to 3"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [down[1]]
    # the backoff is over at 1: one probe, and whoever comes waits for what it finds
    assert rig.acquire("db:d", at=1) == ["wait", "open 3"]
    assert rig.acquire("db:e") == ["wait"]
    told = rig.send(on.OpenFailed(3, down[2]))
    assert told == ["gone 3", "deny broken to 4", "deny broken to 5"]
    # 2 s later the probe finds the backend well again
    assert rig.acquire("db:f", at=3) == ["wait", "open 4"]
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
