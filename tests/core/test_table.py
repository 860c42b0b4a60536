"""Every event meets every state of a slot; what must come of it is written down by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pepperpy_resources.core import events as on
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.machine import HANDLERS, handle
from pepperpy_resources.core.states import TRANSITIONS, State
from tests.core.rig import Rig

BAD = ConnectionError("down")

# -- how slot 1 gets into each state


def opening(rig: Rig) -> None:
    rig.acquire("db:a", timeout=0)


def idle(rig: Rig) -> None:
    opening(rig)
    rig.opened(1)


def checking(rig: Rig) -> None:
    idle(rig)
    rig.acquire("db:a", at=1, timeout=0)  # 1 s old: no longer fresh


def leased(rig: Rig) -> None:
    idle(rig)
    rig.acquire("db:a")


def resetting(rig: Rig) -> None:
    leased(rig)
    rig.release("db:a")


def closing(rig: Rig) -> None:
    leased(rig)
    rig.send(on.Discard("db:a"))


def detached(rig: Rig) -> None:
    leased(rig)
    rig.send(on.Evict("db:a"))


def abandoned(rig: Rig) -> None:
    opening(rig)
    rig.tick(at=30)


def gone(rig: Rig) -> None:
    closing(rig)
    rig.send(on.Closed(1))


GIVEN: dict[str, Callable[[Rig], None]] = {
    "opening": opening,
    "idle": idle,
    "checking": checking,
    "leased": leased,
    "resetting": resetting,
    "closing": closing,
    "detached": detached,
    "abandoned": abandoned,
    "gone": gone,
}

# -- what must come of it: the next state, or "stale" for a counted no-op; then the effects

LATE = 700.0  # seconds later: every hook is overdue, what is idle is idle too long

DRAINED = {
    "opening": "opening: abandon 1, wait",  # cancelled, and waited for
    "idle": "closing: close 1 shutdown, wait",
    "checking": "closing: close 1 shutdown, wait",
    "leased": "leased: wait",
    "resetting": "resetting: wait",
    "closing": "closing: wait",
    "detached": "detached: wait",
    "abandoned": "same",
    "gone": "same",
}
TABLE: list[tuple[on.Event, float, dict[str, str]]] = [
    (
        on.Acquire("db:b"),
        0,
        {
            "opening": "opening: wait",  # the creation belongs to nobody else
            "idle": "leased: lease 1",
            "checking": "checking: wait",
            "leased": "leased: wait, open 2",
            "resetting": "resetting: wait, open 2",
            "closing": "closing: wait, open 2",
            "detached": "detached: wait, open 2",
            "abandoned": "abandoned: wait, open 2",  # a creation has failed, but only one
            "gone": "gone: wait, open 2",
        },
    ),
    (
        on.Acquire("db:a"),
        0,
        {
            "opening": "opening: wait",
            "idle": "leased: lease 1",
            "checking": "checking: wait",
            "leased": "leased: deny in_use",
            "resetting": "resetting: wait, open 2",
            "closing": "closing: wait, open 2",
            "detached": "detached: deny in_use",
            "abandoned": "abandoned: wait, open 2",
            "gone": "gone: wait, open 2",
        },
    ),
    (on.Cancel(99), 0, dict.fromkeys(GIVEN, "stale")),
    (
        on.Release("db:a"),
        0,
        {
            **dict.fromkeys(GIVEN, "same: deny not_leased"),
            "leased": "resetting: ended 1, reset 1",
            "detached": "closing: ended 1, close 1 cleanup",
        },
    ),
    (
        on.Release("db:a", epoch=1),
        0,
        {
            "opening": "same: deny not_leased",  # there has been no lease 1
            "idle": "same: deny not_leased",
            "checking": "same: deny not_leased",
            "leased": "resetting: ended 1, reset 1",
            "resetting": "stale",
            "closing": "stale",
            "detached": "closing: ended 1, close 1 cleanup",
            "abandoned": "same: deny not_leased",
            "gone": "stale",
        },
    ),
    (
        on.Discard("db:a"),
        0,
        {
            **dict.fromkeys(GIVEN, "same: deny not_leased"),
            "leased": "closing: ended 1, close 1 broken",
            "detached": "closing: ended 1, close 1 broken",
        },
    ),
    (
        on.Discard("db:a", lost=True),
        0,
        {
            **dict.fromkeys(GIVEN, "same: deny not_leased"),
            "leased": "closing: ended 1, doom 1, close 1 broken",
            "detached": "closing: ended 1, close 1 broken",  # doomed before
        },
    ),
    (
        on.Opened(1, "r1"),
        0,
        {
            **dict.fromkeys(GIVEN, "stale"),
            "opening": "idle: idle 1",
            "abandoned": "abandoned: close 1 broken",
        },
    ),
    (
        on.OpenFailed(1, BAD),
        0,
        {
            **dict.fromkeys(GIVEN, "stale"),
            "opening": "gone: gone 1",
            "abandoned": "gone: gone 1",
        },
    ),
    (on.CheckPassed(1), 0, {**dict.fromkeys(GIVEN, "stale"), "checking": "idle: idle 1"}),
    (
        on.CheckFailed(1, BAD),
        0,
        {**dict.fromkeys(GIVEN, "stale"), "checking": "closing: close 1 broken"},
    ),
    (
        on.CheckFailed(1, BAD, lost=True),
        0,
        {**dict.fromkeys(GIVEN, "stale"), "checking": "closing: close 1 broken, doom 1"},
    ),
    (on.ResetDone(1), 0, {**dict.fromkeys(GIVEN, "stale"), "resetting": "idle: idle 1"}),
    (
        on.ResetDone(1, BAD),
        0,
        {**dict.fromkeys(GIVEN, "stale"), "resetting": "closing: close 1 broken"},
    ),
    (
        on.Closed(1),
        0,
        {
            **dict.fromkeys(GIVEN, "stale"),
            "closing": "gone: gone 1",
            "abandoned": "gone: gone 1",
        },
    ),
    (on.Tick(), 0, dict.fromkeys(GIVEN, "same")),
    (
        on.Tick(),
        LATE,
        {
            "opening": "abandoned: abandon 1, report 1",
            "idle": "same",
            "checking": "closing: close 1 broken, report 1",
            "leased": "same",
            "resetting": "closing: close 1 broken, report 1",
            "closing": "abandoned: abandon 1, report 1",
            "detached": "same",
            "abandoned": "same",
            "gone": "same",
        },
    ),
    (on.Sweep(), 0, dict.fromkeys(GIVEN, "same")),
    (on.Sweep(), LATE, {**dict.fromkeys(GIVEN, "same"), "idle": "closing: close 1 idle"}),
    (
        on.Sweep(),
        1800,  # its lifetime is 1575 s with chance 0.5
        {**dict.fromkeys(GIVEN, "same"), "idle": "closing: close 1 lifetime"},
    ),
    # Idle slots are checked, so nothing of theirs is closed, however late it is on another clock.
    (on.Suspect(), 0, {**dict.fromkeys(GIVEN, "same"), "idle": "checking: check 1"}),
    (on.Suspect(), LATE, {**dict.fromkeys(GIVEN, "same"), "idle": "checking: check 1"}),
    (
        on.Evict(),
        0,
        {
            "opening": "opening: doom 1",
            "idle": "closing: close 1 cleanup, wait",
            "checking": "closing: close 1 cleanup, wait",
            "leased": "detached: doom 1",
            "resetting": "closing: close 1 cleanup, wait",
            "closing": "closing: wait",
            "detached": "same",
            "abandoned": "same",
            "gone": "same",
        },
    ),
    (
        on.Evict(force=True),
        0,
        {
            "opening": "opening: doom 1",
            "idle": "closing: close 1 cleanup, wait",
            "checking": "closing: close 1 cleanup, wait",
            "leased": "closing: ended 1 late, close 1 cleanup, wait",
            "resetting": "closing: close 1 cleanup, wait",
            "closing": "closing: wait",
            "detached": "closing: ended 1 late, close 1 cleanup, wait",
            "abandoned": "same",
            "gone": "same",
        },
    ),
    (on.Evict("other:*", force=True), 0, dict.fromkeys(GIVEN, "same")),
    (on.Suspend(), 0, dict.fromkeys(GIVEN, "same: suspended True")),
    (on.Resume(), 0, dict.fromkeys(GIVEN, "same")),  # it is not suspended
    (
        on.Resize(max_size=0),
        0,
        {
            **dict.fromkeys(GIVEN, "same: resized 0 0 inf"),
            "idle": "closing: resized 0 0 inf, close 1 resized",
        },
    ),
    (
        on.Resize(min_idle=1),
        0,
        {
            "opening": "same: resized 2 1 inf",  # it will be the one
            "idle": "same: resized 2 1 inf",
            "checking": "same: resized 2 1 inf",
            "leased": "same: resized 2 1 inf, open 2",
            "resetting": "same: resized 2 1 inf, open 2",
            "closing": "same: resized 2 1 inf, open 2",
            "detached": "same: resized 2 1 inf, open 2",
            "abandoned": "same: resized 2 1 inf, open 2",
            "gone": "same: resized 2 1 inf, open 2",
        },
    ),
    (
        on.Allot(0),
        0,
        {
            **dict.fromkeys(GIVEN, "same: resized 2 0 0"),
            "idle": "closing: resized 2 0 0, close 1 resized",
        },
    ),
    (on.Inquire(), 0, dict.fromkeys(GIVEN, "same")),  # it has no budget
    (
        on.Reclaim((1,)),
        0,
        {
            **dict.fromkeys(GIVEN, "stale"),
            "leased": "closing: leaked 1, ended 1 late, close 1 leaked",
            "detached": "closing: leaked 1, ended 1 late, close 1 leaked",
        },
    ),
    (on.Ready(), 0, dict.fromkeys(GIVEN, "same")),
    (on.Drain(), 0, DRAINED),
    (
        on.Shut(),
        0,
        {
            "opening": "opening: abandon 1, wait",
            "idle": "closing: close 1 shutdown, wait",
            "checking": "closing: close 1 shutdown, wait",
            "leased": "closing: ended 1 late, close 1 shutdown, wait",
            "resetting": "closing: close 1 shutdown, wait",
            "closing": "closing: wait",
            "detached": "closing: ended 1 late, close 1 shutdown, wait",
            "abandoned": "same",
            "gone": "same",
        },
    ),
]

# Restore meets no slot: it makes them, from what the ledger says of a slot in that state.
RESTORED: dict[str, tuple[dict[str, Any] | None, str]] = {
    "opening": ({"hook": "open", "resource": None}, "opening"),
    "idle": ({}, "idle"),
    "checking": ({"hook": "check"}, "checking"),
    "leased": ({"leases": True}, "leased"),
    "resetting": ({"hook": "reset"}, "resetting"),
    "closing": ({"hook": "close"}, "closing"),
    "detached": ({"leases": True, "doomed": True}, "detached"),
    "abandoned": ({"hook": "abandoned"}, "abandoned"),
    "gone": (None, "gone"),
}
RESTORED_DOOMED: dict[str, tuple[dict[str, Any], str]] = {
    "opening": ({"hook": "open", "resource": None}, "opening"),
    "idle": ({}, "closing: close 1 broken"),
    "checking": ({"hook": "check"}, "closing: close 1 broken"),
    "resetting": ({"hook": "reset"}, "closing: close 1 broken"),
    "closing": ({"hook": "close"}, "closing"),
    "abandoned": ({"hook": "abandoned"}, "abandoned"),
}


def checked_rig(restore: on.Restore | None = None) -> Rig:
    return Rig(
        restore,
        max_size=2,
        has_check=True,
        check_on_acquire=True,
        has_reset=True,
        has_close=True,
    )


def state_of(rig: Rig) -> str:
    return rig.states.get(1, "gone")


SHOWN = ("epoch", "lost", "error", "force", "resource_id", "pattern", "max_size", "min_idle")


def describe(case: tuple[on.Event, float, dict[str, str]]) -> str:
    event, later, _ = case
    shown = {
        field: value
        for field, value in msgspec.structs.asdict(event).items()
        if field in SHOWN and value is not None and value is not False
    }
    return f"{type(event).__name__}{shown or ''}+{later:g}"


CASES = [
    pytest.param(event, later, given, expected, id=f"{describe((event, later, row))}-{given}")
    for event, later, row in TABLE
    for given, expected in row.items()
]


@pytest.mark.parametrize(("event", "later", "given", "expected"), CASES)
def test_pair(event: on.Event, later: float, given: str, expected: str) -> None:
    rig = checked_rig()
    GIVEN[given](rig)
    assert state_of(rig) == given
    told = rig.send(event, at=rig.now + later)
    if expected == "stale":
        assert (state_of(rig), told, rig.counters.stale) == (given, [], 1)
        return
    state, _, effects = expected.partition(": ")
    assert (state_of(rig), ", ".join(told)) == (given if state == "same" else state, effects)
    assert rig.counters.stale == 0


def restored(state: str, *, doomed: bool) -> tuple[Rig, str]:
    saved, expected = RESTORED_DOOMED[state] if doomed else RESTORED[state]
    if saved is None:
        return checked_rig(), expected
    lease = Lease(1, 1, "r1", 0.0, on.Acquire("db:a"))
    fields: dict[str, Any] = {
        "number": 1,
        "hook": None,
        "doomed": doomed,
        "key": None,
        "arguments": None,
        "born": 0.0,
        "resource": "r1",
        **saved,
    }
    fields["leases"] = (lease,) if fields.get("leases") else ()
    return checked_rig(on.Restore(slots=(on.SavedSlot(**fields),), last_slot=1)), expected


@pytest.mark.parametrize("state", RESTORED)
def test_restore_makes_a_slot_in_every_state(state: str) -> None:
    rig, expected = restored(state, doomed=False)
    assert (state_of(rig), rig.first) == (expected, [])


@pytest.mark.parametrize("state", RESTORED_DOOMED)
def test_restore_closes_what_is_doomed(state: str) -> None:
    rig, expected = restored(state, doomed=True)
    wanted, _, effects = expected.partition(": ")
    assert (state_of(rig), ", ".join(rig.first)) == (wanted, effects)


def test_the_table_is_complete() -> None:
    kinds = [kind for kind in vars(on).values() if isinstance(kind, type)]
    events = {kind for kind in kinds if issubclass(kind, on.Event)}
    events -= {on.Event, on.SavedSlot}  # the root, and a part of Restore
    assert events == set(HANDLERS)
    assert {type(event) for event, _, _ in TABLE} | {on.Restore} == events
    states = {str(state) for state in State}
    assert set(GIVEN) == set(RESTORED) == states
    for event, _, row in TABLE:
        assert set(row) == states, event


def test_what_is_no_event_changes_nothing() -> None:
    rig = checked_rig()
    assert handle(rig.pool, "hello", 0.0) is None  # type: ignore[arg-type]
    assert rig.states == {}


def test_the_transitions_are_those_of_the_picture() -> None:
    drawn = """
        opened   opening -> idle
        opened   abandoned -> abandoned
        failed   opening -> gone
        failed   abandoned -> gone
        grant    idle -> leased
        grant    leased -> leased
        check    idle -> checking
        passed   checking -> idle
        release  leased -> idle
        reset    leased -> resetting
        cleaned  resetting -> idle
        detach   leased -> detached
        close    idle -> closing
        close    checking -> closing
        close    leased -> closing
        close    resetting -> closing
        close    detached -> closing
        overdue  opening -> abandoned
        overdue  closing -> abandoned
        closed   closing -> gone
        closed   abandoned -> gone
    """
    expected = {tuple(line.split()) for line in drawn.strip().splitlines()}
    actual = {
        (move, str(old), "->", str(new))
        for move, row in TRANSITIONS.items()
        for old, new in row.items()
    }
    assert actual == expected


def test_an_illegal_move_raises_and_changes_nothing() -> None:
    rig = checked_rig()
    leased(rig)
    counts = dict(rig.pool.counts)
    with pytest.raises(KeyError):
        rig.pool.move(rig.pool.slots[1], TRANSITIONS["passed"])
    assert rig.states == {1: "leased"}
    assert rig.pool.counts == counts


def test_an_overdue_close_that_ends_after_all_is_gone_and_nothing_else() -> None:
    rig = checked_rig()
    closing(rig)
    assert rig.tick(at=5) == ["abandon 1", "report 1"]
    assert rig.send(on.Closed(1), at=6) == ["gone 1"]
    assert rig.states == {}
