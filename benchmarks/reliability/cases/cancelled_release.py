"""Case 2: a release is cancelled, or the cleaning on return hangs.

3 slots, a round trip takes 2 passes of the loop. 420 times four borrowers want the three slots;
the task of one is cancelled 0 to 6 passes after it began to leave its block, in every other round
once more a pass later. Then, with a new pool, one reset on return never comes back. Usable is
what three borrowers have in hand at one moment, within 60 s.
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, ticks
from benchmarks.reliability.figures import Figure, duration, lacking, slots
from benchmarks.reliability.pools import Opener, Pool, Shape
from benchmarks.reliability.scene import PATIENCE, borrow, ended, now, pass_loop, together

MEASURES = (
    "2. usable slots after 420 cancelled releases",
    "2. usable slots after a reset that never returns",
)

SIZE = 3
ROUNDS = 420
PASSES = 7  # of the loop: 0 to 6


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    return [await _storm(open_pool), await _hanging_reset(open_pool)]


async def _storm(open_pool: Opener) -> Figure:
    backend = Backend(opening=ticks(5), round_trip=ticks(2))
    pool = await open_pool(backend, Shape(size=SIZE, min_idle=SIZE))
    rounds = 0
    for number in range(ROUNDS):
        rounds += 1
        # The crowd holds for different times, so that they come and go while the victim leaves.
        crowd = [
            asyncio.ensure_future(borrow(pool, backend, (number // PASSES + extra) % 5))
            for extra in range(SIZE)
        ]
        twice = number // PASSES % 2 == 1
        await _cancel_one(pool, backend, number % PASSES, twice=twice)
        if (await asyncio.wait(crowd, timeout=PATIENCE))[1]:
            break
    usable = len(await together(pool, SIZE))
    return slots(usable, SIZE, "" if rounds == ROUNDS else f" after {rounds}")


async def _cancel_one(pool: Pool, backend: Backend, passes: int, *, twice: bool) -> None:
    leaving = asyncio.Event()

    async def victim() -> None:
        async with pool.lease() as lent:
            await backend.use(pool.resource(lent))
            leaving.set()

    task = asyncio.ensure_future(victim())
    watch = asyncio.ensure_future(leaving.wait())
    await asyncio.wait({watch}, timeout=PATIENCE)
    watch.cancel()
    await pass_loop(passes)
    task.cancel()
    if twice:
        await pass_loop(1)
        task.cancel()
    await ended(task)


async def _hanging_reset(open_pool: Opener) -> Figure:
    backend = Backend(opening=ticks(5), round_trip=ticks(2))
    pool = await open_pool(backend, Shape(size=SIZE, min_idle=SIZE, cleaned=True))
    if not pool.resets:
        return lacking("no such hook")
    await together(pool, SIZE)
    backend.hanging = 1
    begun = now()
    task = asyncio.ensure_future(borrow(pool, backend))
    await pass_loop(50)
    usable = len(await together(pool, SIZE))
    after = duration(now() - begun).text
    task.cancel()
    return slots(usable, SIZE, f" in {after}" if usable == SIZE else "")
