"""Types that share a budget: what a manager given their specs refuses at the door."""

import pytest

from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.spec import Budget, specs_by_name
from tests.spec_kit import build


def test_two_limits_for_one_budget_are_refused() -> None:
    specs = [build(budget=Budget("all", 5)), build(name="llm", budget=Budget("all", 6))]
    with pytest.raises(InvalidSpec) as refusal:
        specs_by_name(specs)
    assert str(refusal.value) == (
        "ResourceSpec 'llm': budget.limit must be 5 as in the other specs that name 'all'; got 6"
    )


def test_types_that_keep_more_ready_than_their_budget_are_refused() -> None:
    specs = [
        build(budget=Budget("all", 5), min_idle=3),
        build(name="other", budget=Budget("others", 3), min_idle=3),
        build(name="llm", budget=Budget("all", 5), min_idle=3),
    ]
    with pytest.raises(InvalidSpec) as refusal:
        specs_by_name(specs)
    assert str(refusal.value) == (
        "ResourceSpec 'llm': min_idle must be at most 2: budget 'all' has limit 5, of which"
        " other types keep 3 ready; got 3"
    )


def test_types_that_fill_their_budget_exactly_are_taken() -> None:
    shared = [build(name=name, budget=Budget("all", 6), min_idle=3) for name in ("db", "llm")]
    assert specs_by_name([*shared, build(name="own")]).keys() == {"db", "llm", "own"}
