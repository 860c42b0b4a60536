"""Random histories of a pool, every invariant checked after every event.

`HISTORIES=20000 pytest tests/core/test_histories.py -o timeout=0` plays more, and new ones.
"""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pepperpy_resources.core import effects as do
from pepperpy_resources.core.machine import HANDLERS
from tests.core import budgets
from tests.core.histories import History, play, program

EXAMPLES = int(os.environ.get("HISTORIES", "600"))
SEEDS = 200
# Whoever only asks whether a history fails, as `make mutants` does, need not see the shortest.
PHASES = [phase for phase in Phase if phase is not Phase.shrink or "UNSHRUNK" not in os.environ]

TRAITS = ["keyed=True", "max_holders=3", "order='fifo'", "max_size=inf", "attempts=1"]
TRAITS += ["check_on_return=True", "keepalive=4", "max_uses=1", "on_overdue='revoke'"]
TRAITS += ["max_queue_delay=0.125", "budgeted=True"]

# The first numbers choose the policy; a long history has some 150 events.
programs = st.binary(min_size=80, max_size=700)


@settings(
    max_examples=EXAMPLES,
    phases=PHASES,
    deadline=None,
    derandomize="HISTORIES" not in os.environ,  # else the same for everyone
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(numbers=programs)
def test_every_invariant_holds_after_every_event(numbers: bytes) -> None:
    play(program(numbers))


@settings(
    max_examples=EXAMPLES // 2,
    deadline=None,
    derandomize="HISTORIES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(numbers=st.binary(min_size=200, max_size=900))
def test_the_law_of_a_budget_holds_after_every_event(numbers: bytes) -> None:
    budgets.play(program(numbers))


def test_histories_visit_everything() -> None:
    """Or else they would prove little: each event, effect, denial and reason comes to pass."""
    histories: list[History] = []
    for seed in range(SEEDS):
        numbers = random.Random(seed).randbytes(500)
        histories.append(play(program(numbers)))
    told = "\n".join(line for history in histories for line in history.told)
    for event in HANDLERS:
        assert f": {event.__name__}(" in told, event
    for effect in do.Effect.__subclasses__():
        assert f"    {effect.__name__}(" in told, effect
    for why in [*do.Why, *do.Reason]:
        assert f"'{why}'>" in told, why
    policies = " ".join(str(history.policy) for history in histories)
    for trait in TRAITS:
        assert trait in policies, trait
