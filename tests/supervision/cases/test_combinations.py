"""Case 7: what is valid by itself and cannot hold together is refused, everything else accepted."""

from __future__ import annotations

import itertools
import math
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
    Restart,
    Strategy,
    Supervisor,
)
from tests.supervision.cases.given import SECRET, Worker

INF = math.inf
BELOW = Supervisor([], name="below")

# Fields of a child, the one to blame, what is allowed, how the value is shown.
TOGETHER: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"significant": True},
        "significant",
        "False with restart='permanent': such a child never ends for good",
        "True",
    ),
    (
        {"actor": BELOW, "drain": True},
        "drain",
        "False for a supervisor: its children drain, where their own specs say so",
        "True",
    ),
    ({"drain": True, "shutdown": 0}, "drain", "False with shutdown=0, which kills at once", "True"),
    ({"actor": BELOW, "max_mailbox": 5}, "max_mailbox", "None for a supervisor", "5"),
    (
        {"actor": BELOW, "args": (SECRET,)},
        "args",
        "empty for a supervisor: it is made already",
        "some",
    ),
    (
        {"actor": BELOW, "kwargs": {"password": SECRET}},
        "kwargs",
        "empty for a supervisor: it is made already",
        "some",
    ),
    ({"supervises": True}, "supervises", "left out: it follows from actor", "True"),
]


def make(**fields: Any) -> ChildSpec:
    return ChildSpec(**{"id": "a", "actor": Worker, **fields})


@pytest.mark.parametrize(("fields", "field", "allowed", "got"), TOGETHER)
def test_07_fields_of_a_child_that_contradict_each_other_are_refused(
    fields: dict[str, Any], field: str, allowed: str, got: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        make(**fields)
    assert str(caught.value) == f"ChildSpec 'a': {field} must be {allowed}; got {got}"


def test_07_every_combination_of_a_childs_fields_is_accepted_but_those_of_the_table() -> None:
    values = {
        "actor": (Worker, BELOW),
        "restart": tuple(Restart),
        "significant": (False, True),
        "shutdown": (0, 2.5, INF),
        "drain": (False, True),
        "max_mailbox": (None, 3),
    }
    accepted = 0
    for given in itertools.product(*values.values()):
        actor, restart, significant, shutdown, drain, limit = given
        fields = dict(zip(values, given, strict=True))
        if (
            (significant and restart == "permanent")
            or (drain and (actor is BELOW or shutdown == 0))
            or (actor is BELOW and limit is not None)
        ):
            with pytest.raises(InvalidSpec, match=" must be "):
                make(**fields)
        else:
            spec = make(**fields)
            assert {field: getattr(spec, field) for field in fields} == fields
            accepted += 1
    # A worker: 5 ways to end and be significant, 5 to stop and drain, 2 limits; else 5 and 3.
    assert accepted == 5 * 5 * 2 + 5 * 3


# Flags of a supervisor, the one to blame, what is allowed, how the value is shown.
FLAGS_TOGETHER: list[tuple[dict[str, Any], str, str, str]] = [
    *[
        (
            {"budget_scope": "child", "strategy": strategy},
            "budget_scope",
            "'supervisor' where children are restarted together",
            "'child'",
        )
        for strategy in ("one_for_all", "rest_for_one")
    ],
    (
        {"revive_after": 30},
        "revive_after",
        "left out, or budget_scope 'child': else no child is ever parked",
        "30.0",
    ),
    (
        {"backoff": Backoff(attempts=5)},
        "backoff",
        "without attempts: what limits restarts is the intensity",
        "a value of type Backoff",
    ),
]


@pytest.mark.parametrize(("flags", "flag", "allowed", "got"), FLAGS_TOGETHER)
def test_07_flags_that_contradict_each_other_are_refused(
    flags: dict[str, Any], flag: str, allowed: str, got: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        Supervisor([make()], **flags)
    assert str(caught.value) == f"Supervisor: {flag} must be {allowed}; got {got}"


def test_07_every_combination_of_flags_is_accepted_but_those_of_the_table() -> None:
    values: dict[str, tuple[Any, ...]] = {
        "strategy": tuple(Strategy),
        "budget_scope": tuple(BudgetScope),
        "auto_shutdown": tuple(AutoShutdown),
        "intensity": (None, Intensity(0), Intensity(10, 60)),
        "backoff": (None, Backoff()),
        "revive_after": (5.0, INF),
    }
    accepted = 0
    for given in itertools.product(*values.values()):
        flags = dict(zip(values, given, strict=True))
        strategy, scope, revive_after = given[0], given[1], given[5]
        grouped = strategy in ("one_for_all", "rest_for_one")
        if (scope == "child" and grouped) or (scope == "supervisor" and revive_after == 5.0):
            with pytest.raises(InvalidSpec, match=" must be "):
                Supervisor([make()], **flags)
        else:
            assert Supervisor([make()], **flags).spec.policy == FamilyPolicy(**flags)
            accepted += 1
    # Per supervisor: 4 strategies; per child: 2, each revived or not. Times the other flags.
    assert accepted == (4 + 2 * 2) * 3 * 3 * 2


def test_07_a_significant_child_of_a_supervisor_that_never_minds_is_refused() -> None:
    child = make(restart="transient", significant=True)
    with pytest.raises(InvalidSpec) as caught:
        Supervisor([child])
    assert str(caught.value) == (
        "ChildSpec 'a': significant must be False where the supervisor has "
        "auto_shutdown='never'; got True"
    )
    assert Supervisor([child], auto_shutdown="any_significant").spec.children == (child,)
