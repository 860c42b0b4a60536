"""What a run can be told, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass

# For everything after the database is built; the last stop then ends within 60 s.
MOST_SECONDS = 55.0


@dataclass(frozen=True)
class Options:
    """What a run can be told; `seconds` is the length of the load."""

    seconds: float = 15.0
    tasks: int = 300
    connections: int = 8
    seed: int = 1
    packages: tuple[str, ...] = ()  # of the standard library; empty: all


LIMITS: dict[str, tuple[float, float]] = {
    "seconds": (2, 40),  # every fault needs its moment; what follows the load needs time too
    "tasks": (1, 10_000),
    "connections": (2, 64),  # a leaked one must leave one to work with
}
