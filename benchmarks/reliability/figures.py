"""What a case finds out about a pool, and how figures compare."""

from __future__ import annotations

import msgspec

NEVER = 1e9  # as a badness: an infinity would be lost on its way through JSON


class Figure(msgspec.Struct, frozen=True):
    """One cell of the table.

    `badness` orders the pools in a row, less is better; None where the row asks for something
    that the pool does not have, so that it is compared with nothing.
    """

    text: str
    badness: float | None


# Found where a pool never came back to the case.
HANGS = Figure("hangs", NEVER)


def count(number: int, text: str | None = None) -> Figure:
    """Return a figure of which none at all is best."""
    return Figure(str(number) if text is None else text, number)


def slots(usable: int, size: int, note: str = "") -> Figure:
    """Return how many slots of a pool can be used."""
    return Figure(f"{usable}/{size}{note}", size - usable)


def duration(seconds: float, otherwise: str = "never") -> Figure:
    """Return a time; `otherwise` is said where it never came."""
    if seconds >= NEVER:
        return Figure(otherwise, NEVER)
    # What is below a hundredth of a second is the same: passes of the loop, or a real clock.
    return Figure(f"{seconds:.2f} s", round(seconds, 2))


def lacking(text: str) -> Figure:
    """Return that the pool has no such thing."""
    return Figure(text, None)
