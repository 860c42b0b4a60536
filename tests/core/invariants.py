"""The invariants of a pool (ARCHITECTURE.md), checked after each event against the ground truth."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.core.snapshot import figures
from pepperpy_resources.core.states import State
from tests.core import demands
from tests.core.records import HOOKS, Slot
from tests.core.truth import Truth


def check(truth: Truth, pool: Pool) -> None:
    """Raise AssertionError where pool, truth and the invariants do not agree."""
    limits(truth)
    answers(truth)
    awaited(truth)
    timely(truth)
    swept(truth)
    reclaimed(truth)
    shut(truth)
    nobody_waits_for_nothing(truth)
    floor(truth)
    demands.granted(truth, room=has_room(truth, truth.wish_key))
    demands.check(truth)
    books(truth, pool)
    lanes(truth, pool)
    deadlines(truth, pool)
    counters(truth, pool)


# -- 1, 2, 6, 7: sizes, holders, what is unfit, what is shut


def limits(truth: Truth) -> None:
    policy = truth.policy
    if not truth.draining:
        assert truth.excess <= 0 or not truth.where("idle"), "there are too many, and some idle"
    assert len(truth.where("opening")) <= policy.max_opening
    for slot in truth.slots.values():
        assert len(slot.holders) <= policy.max_holders
        assert bool(slot.holders) == (slot.state in ("leased", "detached")), slot
        assert (slot.running is not None) == (slot.state in (*HOOKS, "abandoned")), slot
        if slot.state == "idle":
            assert slot.valid, slot
            assert not slot.out, slot
            assert not slot.broken, slot
            assert slot.uses < policy.max_uses, slot
    if policy.keyed:
        live = truth.where("opening", "idle", "leased", "checking", "resetting")
        keys = [slot.key for slot in live]
        assert len(keys) == len(set(keys)), "two slots for one key"


def swept(truth: Truth) -> None:
    """A sweep checks those whose keepalive is due, at most half of the idle ones."""
    if isinstance(truth.event, on.Sweep):
        if truth.quota < 0:
            left = truth.due & {slot.number for slot in truth.where("idle")}
            assert not left, f"nobody checks {left}, whose keepalive is due"
        else:
            assert truth.checks >= truth.quota
            suspects = [slot for slot in truth.slots.values() if slot.suspect]
            if not truth.waiting() and not suspects:
                assert truth.checks == truth.quota, "more than half of the idle ones are checked"


def reclaimed(truth: Truth) -> None:
    """Whoever is to lose its lease has lost it; what comes back is checked, if it is to be."""
    assert not truth.revoking, "a lease was to be ended"
    for slot in truth.slots.values():
        assert not slot.revoked or slot.state != "idle", slot
    if truth.policy.check_on_return and not isinstance(truth.event, on.Opened | on.CheckPassed):
        back = [slot for slot in truth.where("idle", "leased") if slot.number in truth.came_back()]
        assert not back, f"not checked on return: {back}"


def shut(truth: Truth) -> None:
    if truth.draining:
        assert not truth.waiting()
        assert not truth.where("idle", "checking")
    if truth.shut:
        assert not truth.leases


# -- 3: answers and deadlines


def answers(truth: Truth) -> None:
    assert truth.answers >= 0, "a release of what is not leased was not refused"
    if isinstance(truth.event, on.Acquire):
        assert truth.answers == 1
    if isinstance(truth.event, on.Release | on.Discard):
        assert truth.loser is None, f"lease {truth.loser} was not ended"
    for ticket in truth.waiting():
        assert truth.event != on.Cancel(ticket.number), "cancelled, and it still waits"
        assert ticket.event.timeout is None or ticket.event.timeout > 0, "waits unwillingly"


def awaited(truth: Truth) -> None:
    """Evict, Drain and Shut are answered when the last of their slots is gone, and then at once."""
    event, tickets = truth.event, truth.tickets
    mine = next((t for t in tickets.values() if t.event is event), None)
    slots = to_be_gone(truth, event)
    if slots is not None and mine is not None:
        mine.awaits = {slot.number for slot in slots}
    elif slots is not None:
        assert not slots, f"{event} was answered before {slots} are gone"
    for ticket in tickets.values():
        if isinstance(ticket.event, on.Evict | on.Drain | on.Shut):
            assert ticket.awaits, f"{ticket} was not answered"
        if isinstance(ticket.event, on.Ready):
            assert not truth.draining
            assert len(truth.where("idle")) < truth.min_idle


def to_be_gone(truth: Truth, event: on.Event) -> list[Slot] | None:
    """Return what this event waits for, if it is one that waits."""
    if isinstance(event, on.Evict):
        return [slot for slot in truth.matched if slot.state == "closing"]
    gone = [slot for slot in truth.slots.values() if slot.state != "abandoned"]
    if isinstance(event, on.Shut):
        return gone
    if isinstance(event, on.Drain):
        return [slot for slot in gone if not truth.may_stay(slot)]
    return None


def timely(truth: Truth) -> None:
    soonest = [ticket.wait.deadline for ticket in truth.tickets.values()]
    soonest += [slot.due for slot in truth.slots.values()]
    soonest += [truth.hold_due(lease) for lease in truth.leases.values()]
    soonest += [truth.shed_due(key) for key in truth.queues]
    assert all(truth.armed <= at for at in soonest), "nobody wakes up for a deadline"
    if isinstance(truth.event, on.Tick):
        assert all(at > truth.now for at in soonest), "a deadline passed and nothing was done"


# -- 5: liveness


def nobody_waits_for_nothing(truth: Truth) -> None:
    waiting = truth.waiting()
    if truth.suspended:
        return
    broken_circuit(truth)
    if waiting and not truth.policy.keyed:
        pooled_tickets_served(truth)
    for key in {ticket.resource_id for ticket in waiting} if truth.policy.keyed else ():
        key_served(truth, key)
    starving = [
        key
        for key in truth.unserved()
        if not truth.where("closing", key=key) and truth.now >= truth.backoff(key).retry_at
    ]
    full = truth.policy.keyed and truth.size >= truth.cap
    if full and truth.where("idle") and truth.armed > truth.now:
        assert len(truth.where("closing")) >= len(starving), "no room is made for a key"


def broken_circuit(truth: Truth) -> None:
    """Out of attempts nobody waits but for what is coming, or for the permit of a probe."""
    event, attempts = truth.event, truth.policy.backoff.attempts
    if not isinstance(event, on.Acquire | on.OpenFailed) or attempts is None:
        return
    for ticket in truth.waiting():
        key = truth.key_of(ticket.resource_id)
        mine = ticket.event is event or (isinstance(event, on.OpenFailed) and truth.failed_now)
        if mine and truth.backoff(key).sure >= attempts and key in (None, truth.touched):
            coming = truth.where("opening", "checking", key=key)
            probe = truth.now >= truth.backoff(key).retry_at and truth.permits <= truth.size
            assert coming or probe, f"{ticket} waits, and it is broken"


def pooled_tickets_served(truth: Truth) -> None:
    tickets, idle = len(truth.waiting()), truth.where("idle")
    free = [slot for slot in idle if truth.grantable(slot)]
    kept_alive = truth.policy.keepalive < math.inf
    if truth.policy.order == "fifo" or not truth.policy.fresh_for or kept_alive:
        # There one that is fresh may have to wait behind one that is not.
        free = [slot for slot in free if slot.number in truth.came_back()]
    assert not free, f"{free} idles while tickets wait"
    coming = len(truth.where("opening", "checking"))
    if idle:
        assert coming, f"{idle} is not even checked while tickets wait"
    if may_open(truth, None):
        assert coming >= tickets, f"{tickets} wait, {coming} are coming, and there is room"


def key_served(truth: Truth, key: str) -> None:
    attached = truth.where(*HOOKS, "idle", "leased", key=key)
    for slot in attached:
        assert not truth.grantable(slot), f"{slot} idles while tickets wait"
        if slot.state == "idle":
            assert slot.suspect, f"{slot} is not even checked"
            assert truth.where("checking"), f"{slot} is suspect, and nothing is being checked"
    if not attached:
        assert not may_open(truth, key), f"{key} waits, nothing is coming, and there is room"


def may_open(truth: Truth, key: str | None) -> bool:
    """Tell whether no limit forbids one more creation; one that ends by itself has a Wake."""
    backoff = truth.backoff(key)
    # The Tick that ends a backoff may be on its way.
    if not has_room(truth, key) or truth.armed <= truth.now:
        return False
    if truth.now < backoff.retry_at:
        assert truth.armed <= backoff.retry_at, "nobody wakes up when the backoff is over"
        return False
    return True


def has_room(truth: Truth, key: str | None) -> bool:
    """Tell whether the limits of lane and type admit one more creation."""
    policy, backoff = truth.policy, truth.backoff(key)
    opening = len(truth.where("opening"))
    limited = (
        truth.draining
        or truth.suspended
        or truth.size >= truth.max_size
        or opening >= policy.max_opening
        or (opening >= backoff.limit and not policy.keyed)
        or len(truth.where("abandoned")) >= truth.cap
    )
    return not limited


def floor(truth: Truth) -> None:
    """Between a sweep that saw too few idle and their arrival, something is coming."""
    idle, lowest = len(truth.where("idle")), truth.min_idle
    fillers = on.Sweep | on.Resize | on.Allot
    if isinstance(truth.event, fillers) and idle < lowest and not truth.draining:
        # What a new limit itself has closed, the next sweep sees.
        sweeps = isinstance(truth.event, on.Sweep)
        truth.filling = truth.filling or sweeps or truth.idle_before < lowest
        truth.may_fill = True
    full = len(truth.where("leased")) + idle >= truth.cap
    truth.may_fill = truth.may_fill and idle < lowest and not full
    if idle + truth.checks >= lowest or full:  # reached, if only for a moment
        truth.filling = False
    if truth.filling and may_open(truth, None):
        assert truth.where(*HOOKS), "the floor is not restored"


# -- 8 and the pool's own books


def books(truth: Truth, pool: Pool) -> None:
    states = {number: str(slot.state) for number, slot in pool.slots.items()}
    assert states == {number: slot.state for number, slot in truth.slots.items()}
    assert set(pool.idle) == set(truth.line())
    if truth.policy.order == "lifo":
        assert list(pool.idle) == truth.line()
    assert (pool.max_size, pool.min_idle) == (truth.max_size, truth.min_idle)
    for state in State:
        if state in pool.counts:
            assert pool.counts[state] == len(truth.where(state)), state
    assert pool.leased == len(truth.where("leased"))
    assert pool.size == truth.size
    assert pool.leases == truth.leases
    assert list(pool.tickets) == [ticket.number for ticket in truth.waiting()]
    for number, slot in pool.slots.items():
        assert slot.leases == truth.slots[number].holders
    assert {e: name for e, (name, _) in truth.ended.items()} == {
        e: name for e, (name, _) in pool.ended.items()
    }
    askers = {n: t for n, t in truth.tickets.items() if not isinstance(t.event, on.Acquire)}
    ready = [n for n, ticket in askers.items() if isinstance(ticket.event, on.Ready)]
    assert pool.unready == ready
    assert dict(pool.pending) == {n: t.awaits for n, t in askers.items() if n not in ready}
    names(truth, pool)


def names(truth: Truth, pool: Pool) -> None:
    ended: dict[str, list[int]] = {}
    for epoch, (name, _) in truth.ended.items():
        if name != pool.name:
            ended.setdefault(name, []).append(epoch)
    assert pool.ended_ids == ended
    taken: dict[str, do.Lease | None] = {}
    if not pool.keyed:
        taken = dict.fromkeys([*ended, *(t.resource_id for t in truth.waiting())])
        taken |= {lease.resource_id: lease for lease in truth.leases.values()}
        taken.pop(pool.name, None)
    assert pool.named == taken


def lanes(truth: Truth, pool: Pool) -> None:
    assert pool.promised == sum(slot.promised for slot in pool.slots.values())
    assert pool.promised <= len(truth.where("opening", "checking"))
    for slot in pool.slots.values():
        if slot.attached:
            assert pool.lanes[slot.lane.key] is slot.lane, "its lane was forgotten"
    for key, lane in pool.lanes.items():
        assert lane.key == key
        mine = [slot for slot in pool.slots.values() if slot.lane is lane]
        assert lane.promised == sum(slot.promised for slot in mine)
        assert lane.size == sum(slot.attached for slot in mine)
        assert lane.opening == sum(slot.state is State.OPENING for slot in mine)
        assert list(lane.tickets) == [ticket.number for ticket in truth.waiting(key)]
        if pool.keyed:
            attached = [slot for slot in mine if slot.attached]
            closing = all(slot.state is State.CLOSING for slot in attached)
            assert lane.slot in attached or (lane.slot is None and closing)
            kept = pool.now < lane.forget_at or truth.armed <= truth.now or truth.draining
            assert lane.size or lane.tickets or kept, f"{key} is never forgotten"
    for key, lane in pool.starved.items():
        assert pool.lanes[key] is lane
        assert lane.tickets or truth.draining, f"{key} starves, and nobody waits for it"
    assert list(tickets_of(pool)) == list(pool.tickets)


def tickets_of(pool: Pool) -> Iterator[int]:
    """Return the tickets of all lanes, oldest first."""
    return iter(sorted(number for lane in pool.lanes.values() for number in lane.tickets))


def deadlines(truth: Truth, pool: Pool) -> None:
    finite = [t for t in truth.waiting() if t.wait.deadline < math.inf]
    assert len(pool.ticket_deadlines) == sum(t.event.timeout is not None for t in finite)
    assert pool.next_due() <= min((t.wait.deadline for t in finite), default=math.inf)
    hooks = [slot.due for slot in truth.where(*HOOKS)]
    assert len(pool.hook_deadlines) == len(hooks)
    assert pool.hook_deadlines.next() == min(hooks, default=math.inf)
    assert len(pool.lifetimes) <= len(pool.slots)
    assert pool.armed == truth.armed
    held = [lease for lease in truth.leases.values() if truth.hold_due(lease) < math.inf]
    assert len(pool.holds) == len(held)
    assert len(pool.keepalives) <= len(pool.slots)


def counters(truth: Truth, pool: Pool) -> None:
    count, told = truth.count, figures(pool, truth.now)
    assert told.acquires == {
        "ok": truth.acquired,
        **{name: count[name] for name in ("timeout", "cancelled", "refused", "error")},
    }
    hooks = ("open", "check", "reset", "close", "use")
    assert told.errors == {name: count[f"error {name}"] for name in hooks}
    reasons: tuple[str, ...] = ("idle", "lifetime", "uses", "broken", "cleanup")
    reasons += ("overdue", "leaked", "resized", "shutdown")
    assert told.closed == {name: count[f"closed {name}"] for name in reasons}
    assert told.opened == count["opened"]
    assert told.stale == count["stale"]
    assert (pool.counters.overdue, pool.counters.leaked) == (count["overdue"], count["leaked"])
    assert told.cleanups == {name: count[f"cleanup {name}"] for name in ("janitor", "call")}
    assert told.active == len(truth.leases)
    assert told.waiting == len(truth.waiting())
    assert told.slots == {
        state: len(truth.where(state)) for state in map(str, State) if state != "gone"
    }
    assert sum(told.wait_seconds[0]) == truth.acquired
    assert sum(pool.counters.wait_seconds.counts) == count["waited"]
    assert sum(told.use_seconds[0]) == count["used"]
    assert sum(told.open_seconds[0]) == count["opened"]
    for histogram in ("wait", "use", "open"):
        total = getattr(told, f"{histogram}_seconds")[1]
        assert math.isclose(total, truth.seconds[histogram], abs_tol=1e-6), histogram
