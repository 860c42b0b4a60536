"""Waiting for what only a thread brings about, and no event tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 - a thread brings it about
        await asyncio.sleep(0)
