"""The plan of the faults."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from pepperpy_resources.demo.plan import PER_ROUND, Kind, plan_faults
from pepperpy_resources.spec import Intensity


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(2.0, 1), (4.0, 1), (8.0, 2), (15.0, 3), (40.0, 10)]
)
def test_the_plan_is_made_of_whole_rounds(seconds: float, rounds: int) -> None:
    plan = plan_faults(seconds, Random(1))
    assert Counter(fault.kind for fault in plan) == {
        kind: count * rounds for kind, count in PER_ROUND.items()
    }
    assert set(PER_ROUND) == set(Kind)


def test_the_faults_come_in_order_with_time_before_and_after() -> None:
    times = [fault.at for fault in plan_faults(20.0, Random(1))]
    assert times == sorted(times)
    assert times[0] == pytest.approx(1.0)
    assert 15.0 < times[-1] < 16.0


def test_the_same_seed_makes_the_same_plan() -> None:
    assert plan_faults(15.0, Random(5)) == plan_faults(15.0, Random(5))
    assert plan_faults(15.0, Random(5)) != plan_faults(15.0, Random(6))


@pytest.mark.parametrize("seed", range(50))
def test_no_plan_crashes_the_supervisor_more_often_than_it_may_restart(seed: int) -> None:
    allowed = Intensity()
    crashes = [fault.at for fault in plan_faults(40.0, Random(seed)) if fault.kind is Kind.CRASH]
    for first, last in zip(crashes, crashes[allowed.restarts :], strict=False):
        assert last - first > allowed.period
