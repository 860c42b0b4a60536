"""The scripted cases, one a module: each opens the pool it is given and says what it saw.

`run` returns one figure for each of its module's `MEASURES`, in their order. The first paragraph
of a module's docstring names the case, the rest is how it is scripted; both are printed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import NamedTuple

from benchmarks.reliability.figures import Figure
from benchmarks.reliability.pools import Opener


class Case(NamedTuple):
    """One module of this package."""

    key: str
    run: Callable[[Opener], Awaitable[list[Figure]]]
    measures: tuple[str, ...]
    title: str
    script: str


def _case(key: str) -> Case:
    module = import_module(f"{__name__}.{key}")
    title, _, script = (inspect.getdoc(module) or "").partition("\n\n")
    return Case(key, module.run, module.MEASURES, title, " ".join(script.split()))


CASES = tuple(
    _case(key)
    for key in (
        "cancelled_acquire",
        "cancelled_release",
        "barging",
        "failed_creation",
        "outage",
        "closing",
        "spike",
    )
)
