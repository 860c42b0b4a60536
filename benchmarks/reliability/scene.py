"""What the cases have in common: borrowers, and the question how many slots still work."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.reliability.backend import Backend, Resource
from benchmarks.reliability.pools import Pool

PATIENCE = 60.0  # seconds: twice every pool's own default timeout, then it is "never"


def now() -> float:
    """Return the loop's time in seconds."""
    return asyncio.get_running_loop().time()


async def pass_loop(number: int) -> None:
    """Yield to the loop so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def ended(task: asyncio.Task[Any], patience: float = PATIENCE) -> bool:
    """Wait for the task without disturbing it; tell whether it ended."""
    await asyncio.wait({task}, timeout=patience)
    return task.done()


async def borrow(pool: Pool, backend: Backend, hold: int = 0) -> None:
    """Lease, use the resource, hold it for so many passes of the loop, give it back."""
    async with pool.lease() as lent:
        await backend.use(pool.resource(lent))
        await pass_loop(hold)


async def together(pool: Pool, number: int, patience: float = PATIENCE) -> set[Resource]:
    """Return the living resources that so many borrowers have in hand at one moment.

    Gives up on who was not served after `patience` seconds.
    """
    enough = asyncio.Event()
    in_hand: list[Resource] = []

    async def borrower() -> None:
        async with pool.lease() as lent:
            in_hand.append(pool.resource(lent))
            if len(in_hand) == number:
                enough.set()
            await enough.wait()

    tasks = [asyncio.ensure_future(borrower()) for _ in range(number)]
    enough_soon = asyncio.ensure_future(enough.wait())
    await asyncio.wait({enough_soon}, timeout=patience)
    found = {resource for resource in in_hand if resource.alive}
    enough.set()
    await pass_loop(50)
    for task in tasks:
        task.cancel()  # who still waits
    await asyncio.wait(tasks, timeout=1)
    return found
