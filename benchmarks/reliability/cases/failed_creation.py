"""Case 5: capacity becomes free while somebody waits.

1 slot, nothing open; a creation takes 1 s. A asks, B asks half a second later. The first creation
fails at 1 s, later ones succeed: how long after the failure is B served, and how many of the two
are refused? Then, with a new pool, A's connection is lost while B waits, and A leaves its block
with that error: how long after is B served, and with a living connection?
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, Resource, seconds
from benchmarks.reliability.figures import NEVER, Figure, count, duration
from benchmarks.reliability.pools import Opener, Pool, Shape
from benchmarks.reliability.scene import PATIENCE, borrow, ended, now

MEASURES = (
    "5. the next in the queue is served after a failed creation",
    "5. borrowers refused because of one failed creation",
    "5. the next in the queue is served after a lost connection",
)

CREATION = 1.0  # seconds


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    return [*await _failed_creation(open_pool), await _lost_connection(open_pool)]


def _backend() -> Backend:
    return Backend(opening=seconds(CREATION), round_trip=seconds(0.001))


async def _failed_creation(open_pool: Opener) -> list[Figure]:
    backend = _backend()
    pool = await open_pool(backend, Shape(size=1, min_idle=0))
    backend.failing = 1
    failure = now() + CREATION
    first = asyncio.ensure_future(borrow(pool, backend))
    await asyncio.sleep(CREATION / 2)
    second = asyncio.ensure_future(_served_at(pool, backend))
    await asyncio.wait({first, second}, timeout=PATIENCE)
    refused = [task for task in (first, second) if task.done() and task.exception() is not None]
    wait = second.result() - failure if second.done() and second not in refused else NEVER
    return [duration(wait), count(len(refused), f"{len(refused)} of 2")]


async def _served_at(pool: Pool, backend: Backend) -> float:
    """Return when a living resource was in hand."""
    async with pool.lease() as lent:
        served = now()
        await backend.use(pool.resource(lent))
        return served


async def _lost_connection(open_pool: Opener) -> Figure:
    backend = _backend()
    pool = await open_pool(backend, Shape(size=1, min_idle=0))
    in_hand: asyncio.Future[Resource] = asyncio.get_running_loop().create_future()
    lose = asyncio.Event()

    async def first() -> None:
        async with pool.lease() as lent:
            in_hand.set_result(pool.resource(lent))
            await lose.wait()
            await backend.use(pool.resource(lent))

    task = asyncio.ensure_future(first())
    resource = await in_hand
    second = asyncio.ensure_future(_served_at(pool, backend))
    await asyncio.sleep(1)
    backend.drop([resource])
    begun = now()
    lose.set()
    await asyncio.wait({task, second}, timeout=PATIENCE)
    task.cancel()
    if not await ended(second, 0):
        return duration(NEVER)
    error = second.exception()
    if error is None:
        return duration(second.result() - begun)
    refused = "dead one" if isinstance(error, ConnectionError) else type(error).__name__
    return duration(NEVER, f"got a {refused}")
