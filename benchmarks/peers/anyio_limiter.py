"""anyio's `CapacityLimiter`, used as its documentation does, before a deque of resources."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter

from benchmarks.contenders import Setting, Worker, make_resource


@asynccontextmanager
async def capacity_limiter(setting: Setting) -> AsyncIterator[Worker]:
    """Keep the resources in a deque behind the limiter."""
    limiter = CapacityLimiter(setting.size)
    idle = deque([await make_resource() for _ in range(setting.size)])

    async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
        for _ in range(cycles):
            async with limiter:
                resource = idle.pop()
                if hold:
                    await asyncio.sleep(0)
                idle.append(resource)

    yield work
