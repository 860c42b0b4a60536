"""The short way of the hot path does what the long way does, or nothing at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from pepperpy_resources.core.pool import Mode, Pool
from tests.core.rig import Rig

CHECKED = {"has_check": True, "check_on_acquire": True}


def books(pool: Pool) -> dict[str, Any]:
    """Return all a pool knows, ticket numbers already used and the clock of the long way aside."""
    slots = [
        (s.number, s.state, s.generation, s.expires, s.suspect, s.promised)
        for s in pool.slots.values()
    ]
    counters = pool.counters
    return {
        "slots": slots,
        "on": {n: list(slot.leases) for n, slot in pool.slots.items()},
        "idle": [(n, slot.used, slot.good_until) for n, slot in pool.idle.items()],
        "leases": dict(pool.leases),
        "named": dict(pool.named),
        "tickets": [(n, t.deadline, t.since) for n, t in pool.tickets.items()],
        "ended": dict(pool.ended),
        "counts": dict(pool.counts),
        "modes": set(pool.modes),
        "promised": pool.promised,
        "due": (pool.patience, pool.ticket_deadlines.next(), pool.armed),
        "acquired": counters.acquired,
        "acquires": dict(counters.acquires),
        "stale": counters.stale,
        "wait": counters.wait_seconds.copy(),
        "use": counters.use_seconds.copy(),
    }


# -- where it may go


def test_an_idle_slot_is_lent() -> None:
    rig = Rig()
    rig.idle(1)
    lease = acquire_nowait(rig.pool, on.Acquire("db:a"), 1.0)
    assert isinstance(lease, do.Lease)
    assert (lease.slot, lease.since, lease.ticket, lease.resource) == (1, 1.0, 0, "r1")
    assert rig.pool.named == {"db:a": lease}
    assert not rig.pool.idle
    assert rig.states == {1: "leased"}


def test_in_a_full_pool_a_ticket_is_queued() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b")  # the first one sets the timer, which is the long way's business
    ticket = acquire_nowait(rig.pool, on.Acquire("db:c"), 1.0)
    assert isinstance(ticket, do.Wait)
    assert (ticket.ticket, ticket.deadline, ticket.since) == (3, 31.0, 1.0)
    assert rig.waiting[-1] == ticket.ticket
    assert rig.pool.named["db:c"] is None


def test_a_returned_slot_is_laid_by_or_handed_over() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    first = rig.pool.leases[1]
    assert release_nowait(rig.pool, on.Release("db:a"), 1.0) == (first, None)
    assert rig.states == {1: "idle"}
    rig.acquire("db:b", at=2)
    rig.acquire("db:c", at=3)
    second = rig.pool.leases[2]
    returned = release_nowait(rig.pool, on.Release("db:b", 2), 5.0)
    assert returned is not None
    assert returned == (second, rig.pool.leases[3])
    assert (rig.pool.leases[3].resource_id, rig.pool.leases[3].ticket) == ("db:c", 2)
    assert rig.pool.leases[3].resource == "r1"
    assert rig.counters.wait_seconds.total == 2.0
    assert rig.counters.use_seconds.total == 4.0


def test_a_ticket_served_on_the_short_way_leaves_no_deadline_behind() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=5.0)
    assert release_nowait(rig.pool, on.Release("db:a"), 1.0) is not None
    assert len(rig.pool.ticket_deadlines) == 0
    assert rig.tick(at=5) == []


def test_a_ticket_whose_time_is_up_keeps_its_place_for_the_long_way() -> None:
    rig = Rig(max_size=1)
    rig.hold("db:a")
    rig.acquire("db:b", timeout=1.0)
    rig.acquire("db:c")
    assert release_nowait(rig.pool, on.Release("db:a"), 1.0) is None  # its Tick is late
    assert rig.waiting == [2, 3]


@pytest.mark.parametrize(("at", "good_until"), [(0.0, 5.0), (4.0, 9.0), (5.0, 10.0), (7.0, 10.0)])
def test_a_slot_laid_by_is_good_while_fresh_and_no_longer_than_it_lives(
    at: float, good_until: float
) -> None:
    rig = Rig(**CHECKED, fresh_for=5.0, max_lifetime=10.0, lifetime_jitter=0.0)
    rig.hold("db:a")
    assert release_nowait(rig.pool, on.Release("db:a"), at) is not None
    assert rig.pool.slots[1].good_until == good_until


def test_at_the_very_moment_it_expires_a_slot_is_for_the_long_way() -> None:
    rig = Rig(max_lifetime=10.0, lifetime_jitter=0.0)
    rig.hold("db:a")
    rig.idle(1)
    assert acquire_nowait(rig.pool, on.Acquire("db:n"), 10.0) is None
    assert release_nowait(rig.pool, on.Release("db:a"), 10.0) is None


# -- where it must not go


def draining(rig: Rig) -> None:
    rig.hold("db:a")
    rig.send(on.Drain())


def name_taken(rig: Rig) -> None:
    rig.hold("db:a", "db:b")
    rig.release("db:b")


def stale(rig: Rig) -> None:
    rig.idle(1)
    rig.now = 10.0


def expired(rig: Rig) -> None:
    rig.idle(1)
    rig.now = 10_000.0


def somebody_waits(rig: Rig) -> None:
    rig.idle(1)
    rig.acquire("db:x", at=10)


def room_to_open(rig: Rig) -> None:
    rig.hold("db:x")


def queue_full(rig: Rig) -> None:
    rig.hold("db:x", "db:y")
    rig.acquire("db:1")
    rig.acquire("db:2")


def first_ticket(rig: Rig) -> None:
    rig.hold("db:x", "db:y")
    rig.tick(at=100)  # nobody waits and no timer is set


def watched(rig: Rig) -> None:
    rig.hold("db:a")
    rig.idle(1)
    rig.pool.modes.add(Mode.WATCHED)  # somebody wants to see the effects


NOT_ACQUIRED: list[tuple[Callable[[Rig], None], dict[str, Any], on.Acquire]] = [
    (draining, {}, on.Acquire("db:n")),
    (watched, {}, on.Acquire("db:n")),
    (name_taken, {}, on.Acquire("db:a")),
    (stale, CHECKED, on.Acquire("db:n")),
    (stale, {**CHECKED, "order": "fifo"}, on.Acquire("db:n")),
    (expired, {}, on.Acquire("db:n")),
    (somebody_waits, CHECKED, on.Acquire("db:n")),
    (room_to_open, {"max_size": 2}, on.Acquire("db:n")),
    (queue_full, {"max_size": 2, "max_waiting": 2}, on.Acquire("db:n")),
    (first_ticket, {"max_size": 2}, on.Acquire("db:n")),
    (first_ticket, {"max_size": 2}, on.Acquire("db:n", timeout=5.0)),
    (room_to_open, {"keyed": True}, on.Acquire("db:x")),
]


@pytest.mark.parametrize(("given", "policy", "event"), NOT_ACQUIRED)
def test_where_more_is_to_be_done_acquiring_has_changed_nothing(
    given: Callable[[Rig], None], policy: dict[str, Any], event: on.Acquire
) -> None:
    rig = Rig(**policy)
    given(rig)
    before = books(rig.pool)
    assert acquire_nowait(rig.pool, event, rig.now) is None
    assert books(rig.pool) == before


def leased(rig: Rig) -> None:
    rig.hold("db:a")


def detached(rig: Rig) -> None:
    rig.hold("db:a")
    rig.send(on.Evict())


def lost(rig: Rig) -> None:
    rig.hold("db:a", "db:b")
    rig.send(on.Discard("db:b", lost=True))


def ended(rig: Rig) -> None:
    rig.hold("db:a")
    rig.send(on.Evict(force=True))


def late_tick(rig: Rig) -> None:
    rig.hold("db:a")
    rig.acquire("db:b", timeout=1.0)
    rig.now = 1.0


def too_old(rig: Rig) -> None:
    rig.hold("db:a")
    rig.now = 10_000.0


def suspects(rig: Rig) -> None:
    rig.hold("db:a")
    rig.idle(2)
    rig.acquire("db:b", at=10)


RELEASE = on.Release("db:a")
NOT_RELEASED: list[tuple[Callable[[Rig], None], dict[str, Any], on.Release]] = [
    (watched, {}, RELEASE),
    (leased, {}, on.Release("db:z")),
    (leased, {}, on.Release("db:z", 1)),
    (leased, {}, on.Release("db:a", 2)),
    (leased, {}, on.Release("db")),
    (leased, {"has_reset": True}, RELEASE),
    (leased, {"keyed": True}, RELEASE),
    (leased, {"keyed": True, "max_holders": 2}, RELEASE),
    (leased, {**CHECKED, "fresh_for": 0.0}, RELEASE),
    (detached, {}, RELEASE),
    (lost, {}, RELEASE),
    (ended, {}, RELEASE),
    (late_tick, {"max_size": 1}, RELEASE),
    (too_old, {}, RELEASE),
    (suspects, CHECKED, RELEASE),
    (draining, {"has_close": True}, RELEASE),
]


@pytest.mark.parametrize(("given", "policy", "event"), NOT_RELEASED)
def test_where_more_is_to_be_done_releasing_has_changed_nothing(
    given: Callable[[Rig], None], policy: dict[str, Any], event: on.Release
) -> None:
    rig = Rig(**policy)
    given(rig)
    before = books(rig.pool)
    assert release_nowait(rig.pool, event, rig.now) is None
    assert books(rig.pool) == before


def test_a_restored_detached_lease_takes_the_long_way() -> None:
    lease = do.Lease(1, 1, "r1", 0.0, on.Acquire("db:a"))
    slot = on.SavedSlot(1, None, True, None, None, 0.0, "r1", (lease,))
    rig = Rig(on.Restore((slot,), last_slot=1))
    assert release_nowait(rig.pool, on.Release("db:a"), 1.0) is None


# -- both ways side by side


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_both_ways_lead_to_the_same_books(order: str) -> None:
    policy: dict[str, Any] = {"max_size": 3, "order": order, "acquire_timeout": 4.0, **CHECKED}
    short, long = Rig(**policy), Rig(**policy)
    chance = random.Random(11)
    taken = 0
    for _ in range(6000):
        now = short.now + chance.choice([0.0, 0.01, 0.2, 1.0])
        short.now = long.now = now
        while short.pool.armed <= now:
            short.send(on.Tick())
        while long.pool.armed <= now:
            long.send(on.Tick())
        event = next_event(short, chance)
        outcome: Any = None
        if isinstance(event, on.Acquire):
            outcome = acquire_nowait(short.pool, event, now)
        elif isinstance(event, on.Release):
            outcome = release_nowait(short.pool, event, now)
        if outcome is None:
            short.send(event)
        taken += outcome is not None
        long.send(event)
        assert alike_books(short, long)
    assert taken > 1500


def alike_books(short: Rig, long: Rig) -> bool:
    """Compare without timers and ticket numbers: the short way asks for no timer."""

    def strip(rig: Rig) -> dict[str, Any]:
        found = books(rig.pool)
        del found["due"]
        found["tickets"] = [entry[1:] for entry in found["tickets"]]
        found["leases"] = {e: (x.slot, x.since, x.resource_id) for e, x in found["leases"].items()}
        found["named"] = {
            name: None if lease is None else lease.epoch for name, lease in found["named"].items()
        }
        return found

    return strip(short) == strip(long)


def next_event(rig: Rig, chance: random.Random) -> on.Event:
    """Choose what happens next: mostly acquires, releases and hooks that end well."""
    hooks: list[on.Event] = []
    for number, state in rig.states.items():
        if state == "opening":
            hooks.append(on.Opened(number, f"r{number}"))
        if state == "checking":
            hooks.append(on.CheckPassed(number))
        if state == "closing":
            hooks.append(on.Closed(number))
    live = list(rig.pool.leases.values())
    step = chance.randrange(10)
    if step < 4 and live:
        lease = chance.choice(live)
        return on.Release(lease.resource_id, lease.epoch)
    if step < 6 and hooks:
        return chance.choice(hooks)
    return on.Acquire(chance.choice(["db:a", "db:b", "db:c", "db:d", "db"]))
