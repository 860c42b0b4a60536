"""Random supervisors and children, of every kind that a valid spec can be."""

from __future__ import annotations

import math

from pepperpy_resources.core.kinship import (
    AutoShutdown,
    BudgetScope,
    ChildPolicy,
    FamilyPolicy,
    Restart,
    Strategy,
)
from pepperpy_resources.core.policy import Backoff, Intensity
from tests.core.histories import Choose
from tests.core.trees import ROOT, Plan


def choose_policy(choose: Choose) -> FamilyPolicy:
    """Return the flags of a supervisor."""
    return FamilyPolicy(
        strategy=[*Strategy, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE][choose(6)],
        intensity=(Intensity(), Intensity(), Intensity(2, 2.0), Intensity(0), None, None)[
            choose(6)
        ],
        backoff=(None, Backoff(1.0, 2.0, 4.0, 0.5), Backoff(0.5, 2.0, 2.0, 0.25, 1))[choose(3)],
        budget_scope=(BudgetScope.SUPERVISOR, BudgetScope.CHILD)[choose(3) // 2],
        auto_shutdown=[AutoShutdown.NEVER, *AutoShutdown][choose(4)],
        revive_after=(30.0, math.inf)[choose(2)],
    )


def choose_child(choose: Choose, name: str, *, supervises: bool = False) -> ChildPolicy:
    """Return the spec of a child; a permanent one is not significant, as in OTP."""
    restart = [*Restart, Restart.PERMANENT][choose(4)]
    patient = (math.inf, 4.0)[choose(3) // 2]
    return ChildPolicy(
        name,
        restart=restart,
        shutdown=patient if supervises else (5.0, 1.0, 0.0, math.inf)[choose(4)],
        start_timeout=(30.0, 2.0, math.inf)[choose(3)],
        significant=restart is not Restart.PERMANENT and choose(2) == 0,
        supervises=supervises,
    )


def choose_plans(choose: Choose, name: str = ROOT, depth: int = 0) -> dict[str, Plan]:
    """Return a tree at most three supervisors deep."""
    plans: dict[str, Plan] = {}
    policy = choose_policy(choose)
    children: list[ChildPolicy] = []
    dynamic = policy.strategy is Strategy.SIMPLE_ONE_FOR_ONE
    for number in range(0 if dynamic else choose(5)):
        below = f"{name}.{number}"
        supervises = depth < 2 and choose(3) == 0
        if supervises:
            plans |= choose_plans(choose, below, depth + 1)
        children.append(choose_child(choose, below, supervises=supervises))
    return plans | {name: Plan(policy, tuple(children))}
