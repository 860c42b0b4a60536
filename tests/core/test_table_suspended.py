"""What meets every state of a slot while the type is suspended; written down by hand."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import events as on
from tests.core.test_table import DRAINED, GIVEN, checked_rig, describe, state_of

# While it is suspended nothing is leased, opened or checked; the rest goes on.
SUSPENDED: list[tuple[on.Event, dict[str, str]]] = [
    (on.Acquire("db:b"), dict.fromkeys(GIVEN, "same: wait")),
    (on.Acquire("db:b", timeout=0), dict.fromkeys(GIVEN, "same: wait, deny suspended to {0}")),
    (on.Sweep(), dict.fromkeys(GIVEN, "same")),
    (on.Resume(), dict.fromkeys(GIVEN, "same: suspended False")),
    (
        on.Release("db:a"),
        {
            **dict.fromkeys(GIVEN, "same: deny not_leased"),
            "leased": "resetting: ended 1, reset 1",
            "detached": "closing: ended 1, close 1 cleanup",
        },
    ),
    (on.ResetDone(1), {**dict.fromkeys(GIVEN, "stale"), "resetting": "idle: idle 1"}),
    (on.CheckPassed(1), {**dict.fromkeys(GIVEN, "stale"), "checking": "idle: idle 1"}),
    (
        on.Opened(1, "r1"),
        {
            **dict.fromkeys(GIVEN, "stale"),
            "opening": "idle: idle 1",
            "abandoned": "abandoned: close 1 broken",
        },
    ),
    (on.Drain(), DRAINED),  # as if it were not suspended
]
SUSPENDED_CASES = [
    pytest.param(event, given, expected, id=f"{describe((event, 0, row))}-{given}")
    for event, row in SUSPENDED
    for given, expected in row.items()
]


@pytest.mark.parametrize(("event", "given", "expected"), SUSPENDED_CASES)
def test_pair_while_suspended(event: on.Event, given: str, expected: str) -> None:
    rig = checked_rig()
    GIVEN[given](rig)
    rig.send(on.Suspend())
    told = rig.send(event)
    if expected == "stale":
        assert (state_of(rig), told, rig.counters.stale) == (given, [], 1)
        return
    state, _, effects = expected.format(rig.pool.last_ticket).partition(": ")
    assert (state_of(rig), ", ".join(told)) == (given if state == "same" else state, effects)
