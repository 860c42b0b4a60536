"""Which types nobody will ever free: their holders all wait, and only for one another."""

from __future__ import annotations

import pytest

from pepperpy_resources.core.deadlock import Crowd, stuck


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ({}, set[str]()),
        ({"a": Crowd([1], {1})}, {"a"}),
        ({"a": Crowd([1, 2], {1})}, set()),  # 2 is at work
        ({"a": Crowd([1, 2], {1, 2, 3})}, {"a"}),
        ({"a": Crowd([], {1})}, set()),  # nobody holds it: it is being opened, or closed
        ({"a": Crowd([None], {1})}, set()),  # nobody knows what that holder does
        ({"a": Crowd([1], {2}), "b": Crowd([2], {1})}, {"a", "b"}),
        ({"a": Crowd([1], {2}), "b": Crowd([2, 3], {1})}, set()),  # 3 frees b, then 1 frees a
        ({"a": Crowd([1], {1}), "b": Crowd([2], {3})}, {"a"}),
        # 3 frees c; so 2, who waits for it, frees b; so 1 frees a
        ({"a": Crowd([1], {9}), "b": Crowd([2], {1}), "c": Crowd([3], {2})}, set()),
    ],
)
def test_stuck_are_those_whose_every_holder_waits_for_a_stuck_one(
    types: dict[str, Crowd], found: set[str]
) -> None:
    assert stuck(types) == found
