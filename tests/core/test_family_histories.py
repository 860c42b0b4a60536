"""Random histories of trees of supervisors, everything checked after every event.

`HISTORIES=20000 pytest tests/core/test_family_histories.py -o timeout=0` plays more, and new ones.
"""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.supervising import HANDLERS
from tests.core.family_histories import play
from tests.core.histories import program

EXAMPLES = int(os.environ.get("HISTORIES", "600"))
SEEDS = 200
# Whoever only asks whether a history fails, as `make mutants` does, need not see the shortest.
PHASES = [phase for phase in Phase if phase is not Phase.shrink or "UNSHRUNK" not in os.environ]


@settings(
    max_examples=EXAMPLES * 2,  # they are short
    phases=PHASES,
    deadline=None,
    derandomize="HISTORIES" not in os.environ,  # else the same for everyone
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(numbers=st.binary(min_size=150, max_size=800))
def test_every_supervisor_keeps_the_law_after_every_event(numbers: bytes) -> None:
    play(program(numbers))


def test_histories_visit_everything() -> None:
    """Or else they would prove little: each event, effect and refusal comes to pass."""
    told: list[str] = []
    for seed in range(SEEDS):
        world = play(program(random.Random(seed).randbytes(600)))
        told += world.log if world is not None else []
    text = "\n".join(told)
    for event in HANDLERS:
        assert f": {event.__name__}(" in text, event
    for effect in on.Effect.__subclasses__():
        assert f"    {effect.__name__}(" in text, effect
    for why in on.Refused:
        assert f"'{why}'>" in text, why
    for reason in ("failed to start", "did not start", "failed more than", "significant child"):
        assert reason in text, reason
