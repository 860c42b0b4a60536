"""Resources that nobody will ever give back: every holder is itself waiting for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple


class Crowd(NamedTuple):
    """Who holds the resources of one type, and who waits for one; None is a holder unknown."""

    holders: Sequence[int | None]
    waiters: AbstractSet[int]


def stuck(types: Mapping[str, Crowd]) -> set[str]:
    """Return the types among these, all of them full, that no holder will ever free.

    A type is stuck if each of its holders waits for a type that is stuck: the largest such set,
    found by striking out, again and again, the types with a holder who is still at work.
    """
    found = {name for name, crowd in types.items() if crowd.holders}
    while True:
        waiting: set[int | None] = set()
        for name in found:
            waiting |= types[name].waiters
        at_work = {name for name in found if not waiting.issuperset(types[name].holders)}
        if not at_work:
            return found
        found -= at_work
