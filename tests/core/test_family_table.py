"""Every event meets every phase of a child; what must come of it is written down by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import TRANSITIONS, Family, Phase
from pepperpy_resources.core.kinship import FamilyPolicy
from pepperpy_resources.core.policy import Backoff, Intensity
from pepperpy_resources.core.supervising import HANDLERS
from tests.core.families import FAILURE, KILLED, NORMAL, SHUTDOWN, Home, home, kin

# -- how the permanent child x gets into each phase, at 10 s; its sibling w is up all along

LATE = 100.0


def fresh() -> Home:
    """Return a family whose children may fail once, wait a second, and are parked for 30."""
    family = home(
        "w",
        "x",
        intensity=Intensity(restarts=1, period=1000.0),
        budget_scope="child",
        revive_after=30.0,
        backoff=Backoff(min=1.0, jitter=0.0, attempts=1),
    )
    family.now = 10.0
    return family


def up(_family: Home) -> None:
    pass


def stopping(family: Home) -> None:
    family.terminate("x", "X")


def down(family: Home) -> None:
    stopping(family)
    family.ends("x")


def starting(family: Home) -> None:
    down(family)
    family.restart("x", "X")


def waiting(family: Home) -> None:
    family.crash("x")


def parked(family: Home) -> None:
    waiting(family)
    family.tick(at=10.0 + 1.0)
    family.crash("x", at=10.0)


def gone(family: Home) -> None:
    down(family)
    family.delete("x")


GIVEN: dict[str, Callable[[Home], None]] = {
    "down": down,
    "waiting": waiting,
    "starting": starting,
    "up": up,
    "stopping": stopping,
    "parked": parked,
    "gone": gone,
}

# -- what must come of it: the next phase, or "stale" for a counted no-op; then the effects

SAME = dict.fromkeys(GIVEN, "same")
STALE = dict.fromkeys(GIVEN, "stale")

TABLE: list[tuple[on.FamilyEvent, float, dict[str, str]]] = [
    (on.Begin(), 10, STALE),
    (on.Adopt(kin("x")), 10, {**STALE, "gone": "starting: launch x 2, wake 40"}),
    (on.Adopt(kin("x"), 7, up=True), 10, {**STALE, "gone": "up"}),
    (on.Adopt(kin("x"), 7, parked_until=33), 10, {**STALE, "gone": "parked: wake 33"}),
    (on.Started("x", 1), 10, STALE),  # of an incarnation that is over, or not starting
    (on.Started("x", 2), 10, {**STALE, "starting": "up: answer X: x, wake inf"}),
    (on.Started("x", 3), 10, STALE),
    (
        on.Exited("x", 1, SHUTDOWN),
        10,
        {
            **STALE,
            "up": "waiting: wake 11",
            "stopping": "down: answer X: x, wake inf",
        },
    ),
    (
        on.Exited("x", 1, FAILURE),
        10,
        {
            **STALE,
            "up": "waiting: wake 11",
            "stopping": "down: answer X: x, wake inf",
        },
    ),
    (
        on.Exited("x", 2, FAILURE),
        10,
        {**STALE, "starting": "down: answer X: x refused failure, wake inf"},
    ),
    (
        on.Exited("x", 2, NORMAL),
        10,
        {**STALE, "starting": "down: answer X: x refused normal, wake inf"},
    ),
    (on.Exited("x", 3, KILLED), 10, STALE),
    (
        on.StartChild(kin("x")),
        10,
        {
            "down": "same: answer T: already_present",
            "waiting": "same: answer T: already_started",
            "starting": "same: answer T: already_started",
            "up": "same: answer T: already_started",
            "stopping": "same: answer T: already_started",
            "parked": "same: answer T: already_present",
            "gone": "starting: launch x 2, wake 40",
        },
    ),
    (
        on.StartChild(kin("y")),
        10,
        {
            "down": "same: launch y 1, wake 40",
            "waiting": "same: launch y 1",
            "starting": "same: launch y 1",  # x has as long
            "up": "same: launch y 1, wake 40",
            "stopping": "same: launch y 1",
            "parked": "same: launch y 1",
            "gone": "same: launch y 2, wake 40",
        },
    ),
    (
        on.RestartChild("x"),
        10,
        {
            "down": "starting: launch x 2, wake 40",
            "waiting": "same: answer T: restarting",
            "starting": "same: answer T: running",
            "up": "same: answer T: running",
            "stopping": "same: answer T: running",
            "parked": "starting: launch x 3",  # its revival would have been at 40 as well
            "gone": "same: answer T: not_found",
        },
    ),
    (
        on.TerminateChild("x"),
        10,
        {
            "down": "same: answer T: x",
            "waiting": "down: answer T: x, wake inf",
            "starting": "stopping: tell x 2, wake 15",
            "up": "stopping: tell x 1, wake 15",
            "stopping": "same",
            "parked": "down: answer T: x, wake inf",
            "gone": "same: answer T: not_found",
        },
    ),
    (
        on.DeleteChild("x"),
        10,
        {
            "down": "gone: drop x shutdown, answer T: x",
            "waiting": "same: answer T: restarting",
            "starting": "same: answer T: running",
            "up": "same: answer T: running",
            "stopping": "same: answer T: running",
            "parked": "gone: drop x failure, answer T: x, wake inf",
            "gone": "same: answer T: not_found",
        },
    ),
    (
        on.Stop(),
        10,
        {
            "down": "same: tell w 1, wake 15",
            "waiting": "down: tell w 1, wake 15",
            "starting": "stopping: tell x 2, wake 15",
            "up": "stopping: tell x 1, wake 15",
            "stopping": "same",
            "parked": "down: tell w 1, wake 15",
            "gone": "same: tell w 1, wake 15",
        },
    ),
    (on.FamilyTick(), 10, SAME),
    (
        on.FamilyTick(),
        LATE,
        {
            "down": "same",
            "waiting": "starting: launch x 2, wake 130",
            "starting": "same: kill x 2",
            "up": "same",
            "stopping": "same: kill x 1",
            "parked": "starting: launch x 3, wake 130",
            "gone": "same",
        },
    ),
]
CASES = [
    pytest.param(event, at, given, expected, id=f"{number}-{type(event).__name__}-{given}")
    for number, (event, at, row) in enumerate(TABLE)
    for given, expected in row.items()
]


def phase_of(family: Home) -> str:
    child = family.family.children.get("x")
    return "gone" if child is None else str(child.phase)


@pytest.mark.parametrize(("event", "at", "given", "expected"), CASES)
def test_pair(event: on.FamilyEvent, at: float, given: str, expected: str) -> None:
    family = fresh()
    GIVEN[given](family)
    assert phase_of(family) == given
    stale = family.family.stale
    told = family.send_all(event, at=at, ticket="T")
    if expected == "stale":
        assert (phase_of(family), told, family.family.stale) == (given, [], stale + 1)
        return
    phase, _, effects = expected.partition(": ")
    assert (phase_of(family), ", ".join(told)) == (given if phase == "same" else phase, effects)
    assert family.family.stale == stale
    assert family["w"].phase in ("up", "stopping")


def test_every_event_meets_every_phase() -> None:
    events = set(on.FamilyEvent.__subclasses__())
    assert {type(event) for event, _, _ in TABLE} == events == set(HANDLERS)
    assert set(GIVEN) == {*Phase, "gone"}
    assert all(set(row) == set(GIVEN) for _, _, row in TABLE)


# -- the transition table

MOVES = """
    down      adopt     up
    down      launch    starting
    starting  up        up
    starting  tell      stopping
    up        tell      stopping
    starting  ended     down
    up        ended     down
    stopping  ended     down
    down      pause     waiting
    waiting   due       down
    down      park      parked
    parked    revived   down
"""
EXPECTED = {(a, move): b for a, move, b in (line.split() for line in MOVES.strip().splitlines())}
ALIVE = ("starting", "up", "stopping")


@pytest.mark.parametrize("move", TRANSITIONS)
@pytest.mark.parametrize("phase", Phase)
def test_every_move_from_every_phase(phase: Phase, move: str) -> None:
    family = Family(FamilyPolicy())
    child = family.add(kin("x"))
    child.phase, child.due = phase, 7.0
    family.alive = 5
    if (phase, move) not in EXPECTED:
        with pytest.raises(KeyError):
            family.move(child, move)
        assert (child.phase, child.due, family.alive) == (phase, 7.0, 5)
        return
    family.move(child, move)
    after = EXPECTED[phase, move]
    assert (child.phase, child.due) == (after, math.inf)
    assert family.alive == 5 + (after in ALIVE) - (phase in ALIVE)


def test_every_move_is_known_and_leads_somewhere_once() -> None:
    assert {move for _, move in EXPECTED} == set(TRANSITIONS)
    assert len(EXPECTED) == sum(len(row) for row in TRANSITIONS.values()) == 12
