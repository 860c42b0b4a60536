"""asyncio-connection-pool, made and used as its README does: no burst limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncio_connection_pool import ConnectionPool, ConnectionStrategy

from benchmarks.contenders import Setting, Worker, make_resource


class Strategy(ConnectionStrategy[object]):
    """The three hooks that the pool demands, doing nothing."""

    async def make_connection(self) -> object:
        """Open."""
        return await make_resource()

    def connection_is_closed(self, conn: object) -> bool:  # noqa: ARG002 - its interface
        """Check."""
        return False

    async def close_connection(self, conn: object) -> None:
        """Close; called for a burst only, the pool itself has no close."""


@asynccontextmanager
async def connection_pool(setting: Setting) -> AsyncIterator[Worker]:
    """Open the pool."""
    pool = ConnectionPool(strategy=Strategy(), max_size=setting.size)

    async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
        for _ in range(cycles):
            async with pool.get_connection():
                if hold:
                    await asyncio.sleep(0)

    yield work
