"""The order of resource types: start, stop, cycles, unknown names; by hand and by chance."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperpy_resources.core import dependencies
from pepperpy_resources.core.dependencies import Needs

CHAIN: Needs = {"agent": ["tool"], "tool": ["db"], "db": []}
DIAMOND: Needs = {"top": ["left", "right"], "right": ["db"], "db": [], "left": ["db"]}


def test_without_dependencies_the_types_stay_as_declared() -> None:
    needs: Needs = {"b": (), "a": (), "c": ()}
    assert dependencies.order(needs) == ["b", "a", "c"]


def test_no_types_at_all() -> None:
    assert dependencies.order({}) == []
    assert dependencies.cycle({}) == []
    assert dependencies.unknown({}) is None


def test_a_chain_starts_at_its_end() -> None:
    assert dependencies.order(CHAIN) == ["db", "tool", "agent"]


def test_only_what_must_move_moves() -> None:
    needs: Needs = {"cache": [], "agent": ["db"], "web": [], "db": []}
    assert dependencies.order(needs) == ["cache", "db", "agent", "web"]


def test_a_diamond() -> None:
    assert dependencies.order(DIAMOND) == ["db", "left", "right", "top"]


def test_what_a_few_types_need_in_all() -> None:
    needs: Needs = {**CHAIN, "web": ["cache"], "cache": []}
    assert dependencies.below(needs, ["tool"]) == ["db", "tool"]
    assert dependencies.below(needs, ["web", "tool", "web"]) == ["cache", "web", "db", "tool"]
    assert dependencies.below(needs, []) == []


def test_who_depends_on_a_type_directly() -> None:
    assert dependencies.dependents(DIAMOND, "db") == ["right", "left"]
    assert dependencies.dependents(DIAMOND, "top") == []


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["a"]}, ["a", "b", "a"]),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c", "a"]),
        ({"a": ["c", "b"], "b": ["a"], "c": []}, ["a", "b", "a"]),
        ({"c": [], "x": ["c"], "a": ["x", "b"], "b": ["x", "b"]}, ["b", "b"]),
        (DIAMOND, []),
        (CHAIN, []),
    ],
)
def test_a_cycle_is_named_whole_and_nothing_that_only_leads_to_it(
    needs: Needs, found: list[str]
) -> None:
    assert dependencies.cycle(needs) == found


def test_an_unknown_name_is_found_with_who_gave_it() -> None:
    assert dependencies.unknown({"a": ["b"], "b": ["x", "y"]}) == ("b", "x")
    assert dependencies.unknown(CHAIN) is None


def test_many_paths_and_long_chains_cost_no_more_than_their_types() -> None:
    """Thirty diamonds one below the other: a thousand million paths."""
    needs: dict[str, list[str]] = {}
    for n in range(30):
        needs |= {f"{n}": [f"{n}l", f"{n}r"], f"{n}l": [f"{n + 1}"], f"{n}r": [f"{n + 1}"]}
    needs["30"] = []
    assert dependencies.cycle(needs) == []
    assert dependencies.order(needs)[0] == "30"
    chain = {str(n): [str(n + 1)] for n in range(5000)} | {"5000": []}
    assert dependencies.cycle(chain) == []
    assert dependencies.order(chain)[:2] == ["5000", "4999"]


names = st.lists(st.sampled_from("abcdefg"), unique=True, max_size=7)


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool = False) -> dict[str, list[str]]:
    declared, ranked = draw(names), draw(names)
    allowed = {name: ranked[:at] if acyclic else ranked for at, name in enumerate(ranked)}
    some = {
        name: st.lists(st.sampled_from(names or [""]), max_size=3 if names else 0)
        for name, names in allowed.items()
    }
    order = [name for name in declared if name in allowed]
    order += [name for name in ranked if name not in order]
    return {name: draw(some[name]) for name in order}


def reachable(needs: Needs, name: str) -> set[str]:
    """Return what this type depends on, however indirectly: by repeated widening."""
    found = set(needs[name])
    while wider := {far for near in found for far in needs[near]} - found:
        found |= wider
    return found


@given(graphs())
def test_a_cycle_is_found_exactly_where_a_type_depends_on_itself(needs: Needs) -> None:
    found = dependencies.cycle(needs)
    assert bool(found) == any(name in reachable(needs, name) for name in needs)
    if found:
        assert found[0] == found[-1]
        assert len(set(found)) == len(found) - 1
        assert all(after in needs[name] for name, after in itertools.pairwise(found))


@given(graphs(acyclic=True))
def test_every_type_has_one_place_after_all_it_needs(needs: Needs) -> None:
    assert dependencies.cycle(needs) == []
    order = dependencies.order(needs)
    assert sorted(order) == sorted(needs)
    for name in needs:
        assert all(order.index(need) < order.index(name) for need in needs[name])
        assert set(dependencies.below(needs, [name])) == {name} | reachable(needs, name)
