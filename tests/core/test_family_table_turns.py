"""Every event meets a child whose turn is still to come; one_for_all, written down by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pepperpy_resources.core import family_events as on
from tests.core.families import FAILURE, KILLED, NORMAL, SHUTDOWN, Home, home, kin

# -- how x gets there, among a, x and z


def doomed() -> Home:
    """X is up and has to go, once z is gone; then it comes back."""
    family = home("a", "x", "z", strategy="one_for_all")
    family.crash("a")
    return family


def doomed_starting() -> Home:
    """X, asked for by X, starts and has to go, once z is gone; then it comes back."""
    family = home("a", "x", "z", strategy="one_for_all")
    family.terminate("x")
    family.ends("x")
    family.restart("x", "X")
    family.crash("a")
    return family


def queued() -> Home:
    """X is down and comes back, once a is up."""
    family = doomed()
    family.ends("z")
    family.ends("x")
    return family


def overdue() -> Home:
    """X, asked for by X, did not start in time: it is being killed."""
    family = home("a", "x", "z", strategy="one_for_all")
    family.terminate("x")
    family.ends("x")
    family.restart("x", "X")
    family.tick()
    family.now = 0.0
    return family


BETWEEN: dict[str, Callable[[], Home]] = {
    "doomed": doomed,
    "doomed_starting": doomed_starting,
    "queued": queued,
    "overdue": overdue,
}
# Of x: its phase, whether it is to go or to come; then the effects.
BY_TURN: list[tuple[on.FamilyEvent, dict[str, str]]] = [
    (
        on.Started("x", 2),
        {
            "doomed": "up go come",
            "doomed_starting": "up go come: answer X: x",
            "queued": "down come",
            "overdue": "starting come",
        },
    ),
    (
        on.Exited("x", 1, NORMAL),
        {
            "doomed": "down come",
            "doomed_starting": "starting go come",
            "queued": "down come",
            "overdue": "starting come",
        },
    ),
    (
        on.Exited("x", 2, KILLED),
        {
            "doomed": "up go come",
            "doomed_starting": "down come",
            "queued": "down come",
            "overdue": "down: answer X: x refused failure",
        },
    ),
    (
        on.Exited("a", 2, FAILURE),
        {
            "doomed": "up go come",
            "doomed_starting": "starting go come",
            "queued": "down come: launch a 3",
            "overdue": "starting come",
        },
    ),
    (
        on.Exited("z", 1, SHUTDOWN),
        {
            "doomed": "stopping go come: tell x 1",
            "doomed_starting": "stopping go come: tell x 2",
            "queued": "down come",
            # Z failed by ending, and takes all with it.
            "overdue": "stopping go come",
        },
    ),
    (
        on.StartChild(kin("x")),
        {
            "doomed": "up go come: answer T: already_started",
            "doomed_starting": "starting go come: answer T: already_started",
            "queued": "down come: answer T: already_started",
            "overdue": "starting come: answer T: already_started",
        },
    ),
    (
        on.RestartChild("x"),
        {
            "doomed": "up go come: answer T: running",
            "doomed_starting": "starting go come: answer T: running",
            "queued": "down come: answer T: restarting",
            "overdue": "starting come: answer T: running",
        },
    ),
    (
        on.TerminateChild("x"),
        {
            "doomed": "up go",
            "doomed_starting": "starting go",
            "queued": "down: answer T: x",
            "overdue": "stopping go",
        },
    ),
    (
        on.DeleteChild("x"),
        {
            "doomed": "up go come: answer T: running",
            "doomed_starting": "starting go come: answer T: running",
            "queued": "down come: answer T: restarting",
            "overdue": "starting come: answer T: running",
        },
    ),
    (
        on.Stop(),
        {
            "doomed": "up go",
            "doomed_starting": "starting go",
            "queued": "down: tell a 2",
            "overdue": "starting go: tell z 1",
        },
    ),
]
TURN_CASES = [
    pytest.param(event, given, expected, id=f"{number}-{type(event).__name__}-{given}")
    for number, (event, row) in enumerate(BY_TURN)
    for given, expected in row.items()
]


@pytest.mark.parametrize(("event", "given", "expected"), TURN_CASES)
def test_between_orders(event: on.FamilyEvent, given: str, expected: str) -> None:
    family = BETWEEN[given]()
    told = family.send(event, ticket="T")
    x = family["x"]
    stands = str(x.phase) + " go" * x.leaving + " come" * x.coming
    assert ": ".join([stands, *([", ".join(told)] if told else [])]) == expected
