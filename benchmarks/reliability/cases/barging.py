"""Case 4: a newcomer is served before who waits.

1 slot, lent. 30 tasks queue for it, one a pass of the loop. Then the slot is given back and 30
more tasks come, one a pass; each holds for one pass. An inversion is a pair of which the one who
asked later was served earlier; 900 newcomers before waiters are possible.
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, ticks
from benchmarks.reliability.figures import HANGS, Figure, count
from benchmarks.reliability.pools import Opener, Shape
from benchmarks.reliability.scene import PATIENCE, pass_loop

MEASURES = ("4. inversions, 30 waiting and 30 newcomers at 1 slot",)

CROWD = 30


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    backend = Backend(opening=ticks(1), round_trip=ticks(1))
    pool = await open_pool(backend, Shape(size=1, min_idle=1))
    lent, give_back = asyncio.Event(), asyncio.Event()
    served: list[int] = []

    async def holder() -> None:
        async with pool.lease():
            lent.set()
            await give_back.wait()

    async def borrower(number: int) -> None:
        async with pool.lease():
            served.append(number)
            await pass_loop(1)

    tasks = [asyncio.ensure_future(holder())]
    await lent.wait()
    for number in range(2 * CROWD):
        if number == CROWD:
            await asyncio.sleep(1)  # whoever waits has come to rest
            give_back.set()
        tasks.append(asyncio.ensure_future(borrower(number)))
        await pass_loop(1)
    await asyncio.wait(tasks, timeout=PATIENCE)
    if len(served) < 2 * CROWD:
        return [HANGS]
    return [count(inversions(served))]


def inversions(served: list[int]) -> int:
    """Return how many pairs of these numbers stand in the wrong order."""
    return sum(late > early for place, late in enumerate(served) for early in served[place + 1 :])
