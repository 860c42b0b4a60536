"""Time and chance: the only module that imports `time` or `random`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable


def now_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the loop's clock, without the loop in between where it only passes the time on."""
    plain = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return time.monotonic if plain else loop.time


def elapsed_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the loop's own `elapsed`, as a virtual loop has one, or else `elapsed`."""
    own: Callable[[], float] = getattr(loop, "elapsed", elapsed)
    return own


def elapsed() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps, where there is one."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def chance() -> float:
    """Return a random number in [0, 1), for jitter."""
    return random.random()


def monotonic() -> float:
    """Return the seconds of a clock that never goes back, for threads that wait without a loop."""
    return time.monotonic()
