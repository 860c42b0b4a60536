"""What is given in the wrong place, for the tables of case 7."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pepperpy_resources.supervision import Actor

SECRET = "hunter2"
HUGE = 10**400


class Worker(Actor):
    pass


class Unreadable:
    """Even `isinstance` raises."""

    @property
    def __class__(self) -> Any:
        raise OSError(SECRET)

    @__class__.setter
    def __class__(self, kind: Any) -> None: ...


class Ugly(Unreadable):
    """Whatever is done with it raises."""

    def _raise(self, *_: object) -> Any:
        raise OSError(SECRET)

    __repr__ = __str__ = __hash__ = __eq__ = __bool__ = __len__ = __iter__ = _raise
    __getattr__ = __call__ = __str__ = __format__ = __await__ = _raise


class Unprintable:
    def __repr__(self) -> str:
        raise OSError(SECRET)

    __str__ = __repr__


class Raises:
    """Looks like a supervisor, until one looks."""

    @property
    def spec(self) -> Any:
        raise OSError(SECRET)


class BrokenMapping(dict[str, Any]):
    def __iter__(self) -> Any:
        raise OSError(SECRET)


class EndlessMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 0

    def __iter__(self) -> Iterator[str]:
        return (str(number) for number in itertools.count())

    def __len__(self) -> int:
        return 1


class Word(StrEnum):
    TRANSIENT = "transient"


def broken() -> Iterator[Any]:
    yield from ()
    raise OSError(SECRET)


# What is no duration, no whole number, no bool and no word, and how an error shows it.
JUNK: list[tuple[object, str]] = [
    (None, "None"),
    (-1, "-1"),
    (math.nan, "nan"),
    (-math.inf, "-inf"),
    (-0.5, "-0.5"),
    (HUGE, "an int of 1329 bits"),
    (Decimal(1), "a value of type Decimal"),
    (1j, "a value of type complex"),
    (timedelta(seconds=-1), "datetime.timedelta(days=-1, seconds=86399)"),
    ("5", "'5'"),
    (b"5", "a value of type bytes"),
    ("x" * 61, f"'{'x' * 60}'..."),
    ([1], "a value of type list"),
    (Unprintable(), "a value of type Unprintable"),
    (Worker, f"{__name__}.Worker"),
]
LOOKED_AT = ("a value that can be looked at", "one that raised OSError")


def numbered(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return an id for each row of a table: values may not be looked at."""
    return [f"{row[0]}-{number}" for number, row in enumerate(rows)]
