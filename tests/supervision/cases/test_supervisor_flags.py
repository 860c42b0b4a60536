"""Case 7, a supervisor's flags and its children: what is accepted, and how the rest is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pepperpy_resources.core.kinship import FamilyPolicy
from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.supervision import (
    AutoShutdown,
    Backoff,
    BudgetScope,
    ChildSpec,
    Intensity,
    Strategy,
    Supervisor,
)
from tests.supervision.cases.given import (
    JUNK,
    LOOKED_AT,
    SECRET,
    Unreadable,
    Worker,
    broken,
    numbered,
)

A = ChildSpec("a", Worker)
INF = math.inf
ANY_INTENSITY: Any = Intensity  # with whatever arguments
ANY_BACKOFF: Any = Backoff


def policy(**flags: Any) -> FamilyPolicy:
    return Supervisor([A], **flags).spec.policy


def refusal(*given: Any, **flags: Any) -> str:
    """Return what the error says."""
    with pytest.raises(InvalidSpec) as caught:
        Supervisor(*given, **flags)
    assert SECRET not in str(caught.value)
    return str(caught.value).removeprefix("Supervisor: ")


def test_07_a_supervisor_has_otps_defaults_and_pauses() -> None:
    assert policy() == FamilyPolicy(
        strategy=Strategy.ONE_FOR_ONE,
        intensity=Intensity(3, 5.0),
        backoff=Backoff(min=0.1, factor=2.0, max=10.0, jitter=0.2, attempts=None),
        budget_scope=BudgetScope.SUPERVISOR,
        auto_shutdown=AutoShutdown.NEVER,
        revive_after=INF,
    )


@pytest.mark.parametrize(
    ("flags", "intensity", "backoff"),
    [
        ({}, Intensity(3, 5.0), Backoff()),
        ({"backoff": Backoff(min=1)}, None, Backoff(min=1)),
        ({"backoff": None}, Intensity(3, 5.0), None),
        ({"intensity": None}, None, Backoff()),
        ({"intensity": Intensity(1)}, Intensity(1), Backoff()),
        ({"intensity": Intensity(1), "backoff": Backoff(min=1)}, Intensity(1), Backoff(min=1)),
        ({"intensity": None, "backoff": None}, None, None),
    ],
)
def test_07_pauses_of_the_users_own_leave_restarts_unlimited_unless_both_are_given(
    flags: dict[str, Any], intensity: Intensity | None, backoff: Backoff | None
) -> None:
    assert (policy(**flags).intensity, policy(**flags).backoff) == (intensity, backoff)


# (flag, given, stored, the flags it needs)
ACCEPTED: list[tuple[str, object, object, dict[str, Any]]] = [
    *[("strategy", kind, kind, {}) for kind in Strategy],
    *[("strategy", kind.value, kind, {}) for kind in Strategy],
    *[("auto_shutdown", kind.value, kind, {}) for kind in AutoShutdown],
    *[("budget_scope", kind.value, kind, {}) for kind in BudgetScope],
    ("intensity", ANY_INTENSITY(0, timedelta(minutes=1)), Intensity(0, 60.0), {}),
    ("intensity", Intensity(2**63 - 1, 1), Intensity(2**63 - 1, 1.0), {}),
    ("backoff", Backoff(1, 1, 1, 0), Backoff(1.0, 1.0, 1.0, 0.0), {}),
    ("revive_after", INF, INF, {}),
    ("revive_after", timedelta(minutes=1), 60.0, {"budget_scope": "child"}),
    ("revive_after", 5, 5.0, {"budget_scope": "child", "strategy": "simple_one_for_one"}),
]


@pytest.mark.parametrize(("flag", "given", "stored", "others"), ACCEPTED, ids=numbered(ACCEPTED))
def test_07_an_accepted_flag_is_stored_normalised(
    flag: str, given: object, stored: object, others: dict[str, Any]
) -> None:
    result = getattr(policy(**others, **{flag: given}), flag)
    assert result == stored
    assert type(result) is type(stored)


WHOLE = "an int >= {} (below 2**63)"
ALLOWED = {
    "strategy": "'one_for_one' or 'one_for_all' or 'rest_for_one' or 'simple_one_for_one'",
    "budget_scope": "'supervisor' or 'child'",
    "auto_shutdown": "'never' or 'any_significant' or 'all_significant'",
    "revive_after": "seconds or a timedelta, > 0, math.inf = never",
    "intensity": "of type Intensity or None (no limit)",
    "backoff": "of type Backoff or None (restarts at once)",
}
POSITIVE = "seconds or a timedelta, > 0, finite"
NAME = "a printable word without whitespace or any of :/*?[]"

# (flag, given, what is allowed, how the value is shown)
REFUSED: list[tuple[str, object, str, str]] = [
    *[
        (flag, given, allowed, shown)
        for flag, allowed in ALLOWED.items()
        for given, shown in JUNK
        if given is not None or flag not in ("intensity", "backoff")
    ],
    ("strategy", "one-for-all", ALLOWED["strategy"], "'one-for-all'"),
    ("strategy", True, ALLOWED["strategy"], "True"),
    ("revive_after", 0, ALLOWED["revive_after"], "0"),
    ("revive_after", True, ALLOWED["revive_after"], "True"),
    ("intensity", 3, ALLOWED["intensity"], "3"),
    ("intensity", (3, 5), ALLOWED["intensity"], "(3, 5)"),
    ("intensity", Backoff(), ALLOWED["intensity"], "a value of type Backoff"),
    ("backoff", Intensity(), ALLOWED["backoff"], "a value of type Intensity"),
    *[
        ("intensity.restarts", ANY_INTENSITY(given), WHOLE.format(0), shown)
        for given, shown in (*JUNK, (True, "True"), (1.0, "1.0"), (2**63, str(2**63)))
    ],
    *[
        ("intensity.period", ANY_INTENSITY(3, given), POSITIVE, shown)
        for given, shown in (*JUNK, (True, "True"), (0, "0"), (INF, "inf"))
    ],
    *[
        (f"backoff.{part}", ANY_BACKOFF(**{part: given}), POSITIVE, shown)
        for part in ("min", "max")
        for given, shown in (*JUNK, (True, "True"), (0, "0"), (INF, "inf"))
    ],
    *[
        ("backoff.factor", ANY_BACKOFF(factor=given), "a number, 1 <= factor <= 100", shown)
        for given, shown in (*JUNK, (True, "True"), (0.99, "0.99"), (101, "101"))
    ],
    *[
        ("backoff.jitter", ANY_BACKOFF(jitter=given), "a number, 0 <= jitter < 1", shown)
        for given, shown in (*JUNK, (True, "True"), (1, "1"))
    ],
    *[
        ("backoff.attempts", ANY_BACKOFF(attempts=given), WHOLE.format(1) + " or None (no limit)",
         shown)
        for given, shown in (*JUNK[1:], (0, "0"), (True, "True"), (2.0, "2.0"))
    ],
    ("backoff.max", Backoff(min=2, max=1), "at least min (2.0 s)", "1.0"),
    *[
        ("name", given, NAME, shown)
        for given, shown in (
            *JUNK[1:9], ("", "''"), ("a/b", "'a/'..."), (f"pg://{SECRET}@db", "'pg:'..."),
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("flag", "given", "allowed", "got"), REFUSED, ids=numbered(REFUSED))
def test_07_every_invalid_flag_is_refused_naming_flag_value_and_what_is_allowed(
    flag: str, given: object, allowed: str, got: str
) -> None:
    told = refusal([A], **{flag.partition(".")[0]: given})
    assert told == f"{flag} must be {allowed}; got {got}"


@pytest.mark.parametrize("flag", [*ALLOWED, "name"])
def test_07_a_flag_that_cannot_be_looked_at_is_refused(flag: str) -> None:
    assert refusal(**{flag: Unreadable()}) == f"{flag} must be {LOOKED_AT[0]}; got {LOOKED_AT[1]}"


def test_07_a_part_of_a_flag_that_cannot_be_looked_at_is_refused() -> None:
    intensity, backoff = ANY_INTENSITY(Unreadable()), ANY_BACKOFF(min=Unreadable())
    assert refusal(intensity=intensity).startswith("intensity must be a value that can be looked")
    assert refusal(backoff=backoff).startswith("backoff must be a value that can be looked at")


def endless() -> Iterator[ChildSpec]:
    return (ChildSpec(f"a{number}", Worker) for number in itertools.count())


CHILDREN = "children must be a list of ChildSpecs; got "


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, CHILDREN + "a value of type NoneType"),
        (3, CHILDREN + "a value of type int"),
        ("abc", CHILDREN + "a value of type str"),
        (A, CHILDREN + "a value of type ChildSpec"),
        ([A, Worker], CHILDREN + "a value of type ABCMeta in it"),
        ([A, None], CHILDREN + "a value of type NoneType in it"),
        ({"a": A}, CHILDREN + "a value of type str in it"),
        ([[A]], CHILDREN + "a value of type list in it"),
        ([A, ChildSpec("b", Worker), A], "ChildSpec 'a': id must be given once; got it twice"),
        (itertools.repeat(A), CHILDREN + "more than 100000"),
        (broken(), f"children must be {LOOKED_AT[0]}; got {LOOKED_AT[1]}"),
    ],
    ids=str,
)
def test_07_children_that_are_none_or_no_end_are_refused(given: Any, said: str) -> None:
    assert refusal(given) == said


def test_07_an_endless_generator_of_children_is_refused() -> None:
    assert refusal(endless()) == CHILDREN + "more than 100000"


def test_07_children_that_cannot_be_looked_at_are_refused() -> None:
    said = f"children must be {LOOKED_AT[0]}; got {LOOKED_AT[1]}"
    assert refusal(Unreadable()) == said
    assert refusal([Unreadable()]) == said


@pytest.mark.parametrize("given", [[A], (A,), iter([A]), {A.id: A}.values()], ids=str)
def test_07_children_may_be_any_iterable(given: Any) -> None:
    assert Supervisor(given).spec.children == (A,)


@pytest.mark.parametrize("count", [0, 2])
def test_07_simple_one_for_one_takes_one_spec(count: int) -> None:
    children = [ChildSpec(f"a{number}", Worker) for number in range(count)]
    assert refusal(children, strategy="simple_one_for_one") == (
        "children must be one spec, of all children, with strategy='simple_one_for_one'; "
        f"got {count}"
    )


def test_07_an_unknown_flag_is_refused_by_name() -> None:
    flags: dict[str, Any] = {"strategi": "one_for_all"}
    with pytest.raises(TypeError, match="strategi"):
        Supervisor([A], **flags)
