"""The least that hands resources out on a loop: no ids, leases, limits, checks or clean-up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.contenders import Setting, Worker, make_resource


@asynccontextmanager
async def lifo_queue(setting: Setting) -> AsyncIterator[Worker]:
    """Keep the resources in a bare `asyncio.LifoQueue`."""
    queue: asyncio.LifoQueue[object] = asyncio.LifoQueue()
    for _ in range(setting.size):
        queue.put_nowait(await make_resource())

    async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
        for _ in range(cycles):
            resource = await queue.get()
            if hold:
                await asyncio.sleep(0)
            queue.put_nowait(resource)

    yield work


@asynccontextmanager
async def semaphore(setting: Setting) -> AsyncIterator[Worker]:
    """Keep the resources in a deque behind a bare `asyncio.Semaphore`."""
    gate = asyncio.Semaphore(setting.size)
    idle = deque([await make_resource() for _ in range(setting.size)])

    async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
        for _ in range(cycles):
            await gate.acquire()
            resource = idle.pop()
            if hold:
                await asyncio.sleep(0)
            idle.append(resource)
            gate.release()

    yield work
