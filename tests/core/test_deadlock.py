"""Who will never be freed: the largest set of types each of whose holders waits for one of them."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperpy_resources.core.deadlock import Crowd, stuck

A, B, C = 1, 2, 3
Types = dict[str, Crowd]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ({}, set()),
        ({"db": Crowd([], {A})}, set()),  # nobody holds any: what is full of nothing frees itself
        ({"db": Crowd([A], set())}, set()),
        ({"db": Crowd([A], {B})}, set()),  # A is at work
        ({"db": Crowd([A], {A})}, {"db"}),  # waits for itself
        ({"db": Crowd([A, B], {A})}, set()),  # B will give one back
        ({"db": Crowd([A, B], {A, B, C})}, {"db"}),
        ({"db": Crowd([A, None], {A})}, set()),  # who holds the other is unknown
        ({"db": Crowd([None], {A})}, set()),
        ({"db": Crowd([A], {B}), "llm": Crowd([B], {A})}, {"db", "llm"}),
        ({"db": Crowd([A], {B}), "llm": Crowd([B, C], {A})}, set()),  # C frees one of both
        # A ring of three, and a fourth that waits at it.
        (
            {
                "a": Crowd([A], {C}),
                "b": Crowd([B], {A}),
                "c": Crowd([C], {B}),
                "d": Crowd([4], {A}),
            },
            {"a", "b", "c"},
        ),
        # Whoever holds d waits for the ring: d is never freed either.
        ({"a": Crowd([A], {B, 4}), "b": Crowd([B], {A}), "d": Crowd([4], {5})}, {"a", "b", "d"}),
        # Two rings that have nothing to do with each other; one of them is none.
        (
            {
                "a": Crowd([A], {B}),
                "b": Crowd([B], {A}),
                "c": Crowd([C], {4}),
                "d": Crowd([4], {5}),
            },
            {"a", "b"},
        ),
    ],
)
def test_by_hand(types: Types, expected: set[str]) -> None:
    before = {name: Crowd(list(c.holders), set(c.waiters)) for name, c in types.items()}
    assert stuck(types) == expected
    assert types == before


def is_stuck(types: Types, names: set[str]) -> bool:
    """The definition: every holder of each of these types is known and waits for one of them."""
    return all(
        types[name].holders
        and all(any(holder in types[n].waiters for n in names) for holder in types[name].holders)
        for name in names
    )


def by_brute_force(types: Types) -> set[str]:
    """Return the union of all sets that are stuck: it is stuck itself, and the largest."""
    sizes = range(len(types) + 1)
    subsets = chain.from_iterable(combinations(types, size) for size in sizes)
    return set().union(*(names for names in map(set, subsets) if is_stuck(types, names)))


people = st.integers(1, 5)
crowds = st.builds(
    Crowd, st.lists(people | st.none(), max_size=3), st.sets(people, max_size=4).map(frozenset)
)


@given(st.dictionaries(st.sampled_from("abcde"), crowds, max_size=5))
def test_against_all_sets_there_are(types: Types) -> None:
    assert stuck(types) == by_brute_force(types)


def test_a_long_chain_that_is_at_work_at_its_end_is_no_deadlock() -> None:
    many = 300
    types = {str(n): Crowd([n], {n - 1}) for n in range(1, many)}
    assert stuck(types) == set()
    types["0"] = Crowd([0], {many - 1})
    assert stuck(types) == set(types)
