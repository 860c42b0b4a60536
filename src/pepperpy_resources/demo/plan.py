"""Which faults are injected and when: made in advance, from a seed."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from random import Random
from typing import NamedTuple


class Kind(StrEnum):
    """What can be injected, as the report names it."""

    BROKEN = "connection broken"
    CANCELLED = "borrower cancelled"
    LEAKED = "lease leaked"
    CLOSE_HANGS = "close hangs"
    CONNECT_FAILS = "connect fails"
    CRASH = "supervisor crash"


ROUND = 3.0  # seconds; one crash in each keeps below the default restart intensity, 3 in 5 s
PER_ROUND = {
    Kind.BROKEN: 4,
    Kind.CANCELLED: 5,
    Kind.LEAKED: 2,
    Kind.CLOSE_HANGS: 1,
    Kind.CONNECT_FAILS: 2,
    Kind.CRASH: 1,
}
_QUIET = (0.05, 0.80)  # the part of the run in which faults are injected


class Planned(NamedTuple):
    """One fault of the plan: seconds after the start, and what."""

    at: float
    kind: Kind


def plan_faults(seconds: float, random: Random) -> list[Planned]:
    """Return the faults for a run of that many seconds: whole rounds, each kind in each round."""
    begin, end = (part * seconds for part in _QUIET)
    rounds = max(1, int((end - begin) / ROUND))
    kinds: list[Kind] = []
    for _ in range(rounds):
        one_round = list(Counter(PER_ROUND).elements())
        random.shuffle(one_round)
        kinds.extend(one_round)
    gap = (end - begin) / len(kinds)
    return [Planned(begin + number * gap, kind) for number, kind in enumerate(kinds)]
