"""Every event meets every mode of a family; what must come of it is written down by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Mode
from tests.core.families import FAILURE, Home, home, kin

# -- how a family of a, x and z gets into each mode


def new() -> Home:
    return Home("a", "x", "z")


def starting() -> Home:
    """A is up, x starts, z is next."""
    family = new()
    family.send(on.Begin())
    family.up("a")
    return family


def running() -> Home:
    return home("a", "x", "z")


def stopping() -> Home:
    """Z has been told, then it is x's turn."""
    family = running()
    family.stop("S")
    return family


def ended() -> Home:
    family = stopping()
    for name in "zxa":
        family.ends(name)
    return family


MODES: dict[str, Callable[[], Home]] = {
    "new": new,
    "starting": starting,
    "running": running,
    "stopping": stopping,
    "ended": ended,
}

# -- what must come of it: the next mode, or "stale" for a counted no-op; then the effects

SAME = dict.fromkeys(MODES, "same")
STALE = dict.fromkeys(MODES, "stale")
LATE_ORDER = {"stopping": "same: answer T: stopping", "ended": "same: answer T: stopping"}

BY_MODE: list[tuple[on.FamilyEvent, float, dict[str, str]]] = [
    (
        on.Adopt(kin("y")),
        0,
        {**STALE, "new": "same", "starting": "same", "running": "same: launch y 1, wake 30"},
    ),
    (on.Adopt(kin("y"), 7, up=True), 0, {**SAME, "stopping": "stale", "ended": "stale"}),
    (on.Begin(), 0, {**STALE, "new": "starting: launch a 1, wake 30"}),
    (on.Started("x", 1), 0, {**STALE, "starting": "starting: launch z 1"}),
    (on.Started("z", 1), 0, STALE),
    (
        on.Exited("x", 1, FAILURE),
        0,
        {
            "new": "stale",
            "starting": "stopping: tell a 1, wake 5",
            "running": "running: launch x 2, wake 30",
            "stopping": "same",
            "ended": "stale",
        },
    ),
    (
        on.Exited("z", 1, FAILURE),
        0,
        {
            "new": "stale",
            "starting": "stale",
            "running": "running: launch z 2, wake 30",
            "stopping": "stopping: tell x 1",
            "ended": "stale",
        },
    ),
    (
        on.StartChild(kin("y")),
        0,
        {**LATE_ORDER, "new": "same", "starting": "same", "running": "same: launch y 1, wake 30"},
    ),
    (
        on.StartChild(kin("x")),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: already_started",  # it is about to be
            "starting": "same: answer T: already_started",
            "running": "same: answer T: already_started",
        },
    ),
    (
        on.StartChild(kin("z")),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: already_started",
            "starting": "same: answer T: already_started",
            "running": "same: answer T: already_started",
        },
    ),
    (
        on.RestartChild("x"),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: restarting",
            "starting": "same: answer T: running",
            "running": "same: answer T: running",
        },
    ),
    (
        on.RestartChild("z"),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: restarting",
            "starting": "same: answer T: restarting",
            "running": "same: answer T: running",
        },
    ),
    (
        on.TerminateChild("x"),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: x",
            "starting": "same: tell x 1, wake 5",
            "running": "same: tell x 1, wake 5",
        },
    ),
    (
        on.TerminateChild("z"),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: z",
            "starting": "same: answer T: z",
            "running": "same: tell z 1, wake 5",
        },
    ),
    (
        on.DeleteChild("x"),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: restarting",
            "starting": "same: answer T: running",
            "running": "same: answer T: running",
        },
    ),
    (
        on.DeleteChild("z"),
        0,
        {
            **LATE_ORDER,
            "new": "same: answer T: restarting",
            "starting": "same: answer T: restarting",
            "running": "same: answer T: running",
        },
    ),
    (
        on.Stop(),
        0,
        {
            "new": "ended: all down shutdown, answer T: shutdown",
            "starting": "stopping: tell x 1, wake 5",
            "running": "stopping: tell z 1, wake 5",
            "stopping": "same",
            "ended": "same: answer T: shutdown",
        },
    ),
    (on.FamilyTick(), 0, SAME),
    (on.FamilyTick(), 99, {**SAME, "starting": "same: kill x 1", "stopping": "same: kill z 1"}),
]
MODE_CASES = [
    pytest.param(event, at, given, expected, id=f"{number}-{type(event).__name__}-{given}")
    for number, (event, at, row) in enumerate(BY_MODE)
    for given, expected in row.items()
]


@pytest.mark.parametrize(("event", "at", "given", "expected"), MODE_CASES)
def test_mode(event: on.FamilyEvent, at: float, given: str, expected: str) -> None:
    family = MODES[given]()
    assert family.family.mode == given
    stale = family.family.stale
    told = family.send_all(event, at=at, ticket="T")
    if expected == "stale":
        assert (family.family.mode, told, family.family.stale) == (given, [], stale + 1)
        return
    mode, _, effects = expected.partition(": ")
    assert (family.family.mode, ", ".join(told)) == (given if mode == "same" else mode, effects)
    assert family.family.stale == stale


def test_every_event_meets_every_mode() -> None:
    assert {type(event) for event, _, _ in BY_MODE} == set(on.FamilyEvent.__subclasses__())
    assert set(MODES) == set(Mode)
    assert all(set(row) == set(MODES) for _, _, row in BY_MODE)
