"""Case 19: a spike.

At most 50, 5 kept and opened; a creation takes 150 ms. 50 borrowers come at once, each works 2 ms:
five resources serve them in 20 ms. How many resources were made then, the five included,
with one creation at a time where that can be set, and with the defaults; when were all served?
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, seconds
from benchmarks.reliability.figures import NEVER, Figure, count, duration
from benchmarks.reliability.pools import Opener, Shape
from benchmarks.reliability.scene import PATIENCE, now, together

MEASURES = (
    "19. resources made for 50 borrowers, one creation at a time",
    "19. resources made for 50 borrowers, default settings",
    "19. the 50 are served, default settings",
)

BORROWERS = 50
KEPT = 5


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    made, _ = await _spike(open_pool, 1)
    by_default, took = await _spike(open_pool, None)
    return [made, by_default, took]


async def _spike(open_pool: Opener, openings: int | None) -> tuple[Figure, Figure]:
    backend = Backend(opening=seconds(0.15), round_trip=seconds(0))
    pool = await open_pool(backend, Shape(size=BORROWERS, min_idle=KEPT, openings=openings))
    await asyncio.sleep(1)
    if len(backend.open) < KEPT:  # it opens on demand only
        await together(pool, KEPT)
    await asyncio.sleep(1)
    assert len(backend.open) == KEPT
    begun = now()

    async def borrower() -> float:
        async with pool.lease():
            await asyncio.sleep(0.002)
        return now() - begun

    tasks = [asyncio.ensure_future(borrower()) for _ in range(BORROWERS)]
    await asyncio.wait(tasks, timeout=PATIENCE)
    done = all(task.done() and task.exception() is None for task in tasks)
    took = max(task.result() for task in tasks) if done else NEVER
    await asyncio.sleep(1)  # what was begun is made
    return count(backend.made), duration(took)
