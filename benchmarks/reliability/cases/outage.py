"""Case 6: every idle resource died.

8 slots, all opened, given back and left alone for 10 s. Then the server drops all 8 and is healthy
again at once: a creation takes 0.1 s, a check of a dead one fails at once. How long does the first
borrower wait for a living resource, and, when 8 come at once with a new pool, how long until all
have one, with the defaults and with 8 creations at once where that can be set, and how many of
them got a dead one or an error instead, with the defaults?
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, seconds
from benchmarks.reliability.figures import NEVER, Figure, count, duration
from benchmarks.reliability.pools import Opener, Pool, Shape
from benchmarks.reliability.scene import PATIENCE, now, together

MEASURES = (
    "6. first lease after all 8 idle resources died",
    "6. all of 8 borrowers served after all 8 died, default settings",
    "6. all of 8 borrowers served after all 8 died, 8 creations at once",
    "6. of these 8, failed or got a dead one",
)

SIZE = 8
CREATION = 0.1  # seconds


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    [first] = await _after_outage(open_pool, 1)
    by_default = await _after_outage(open_pool, SIZE)
    at_once = await _after_outage(open_pool, SIZE, SIZE)
    return [
        duration(first, "an error"),
        duration(max(by_default), "not all"),
        duration(max(at_once), "not all"),
        count(sum(wait == NEVER for wait in by_default)),
    ]


async def _after_outage(
    open_pool: Opener, borrowers: int, openings: int | None = None
) -> list[float]:
    """Return how long each borrower waited for a living resource; inf if it got none."""
    backend = Backend(opening=seconds(CREATION), round_trip=seconds(0.001))
    pool = await open_pool(backend, Shape(size=SIZE, min_idle=SIZE, openings=openings))
    await together(pool, SIZE)
    await asyncio.sleep(10)
    backend.drop()
    begun = now()
    tasks = [asyncio.ensure_future(_wait(pool, backend, begun)) for _ in range(borrowers)]
    await asyncio.wait(tasks, timeout=PATIENCE)
    return [task.result() if task.done() and task.exception() is None else NEVER for task in tasks]


async def _wait(pool: Pool, backend: Backend, begun: float) -> float:
    async with pool.lease() as lent:
        waited = now() - begun
        await backend.use(pool.resource(lent))
        await asyncio.sleep(1)  # so that nobody is served by a resource of another
        return waited
