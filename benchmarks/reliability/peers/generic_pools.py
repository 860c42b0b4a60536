"""generic-connection-pool."""

from __future__ import annotations

from generic_connection_pool.asyncio import BaseConnectionManager, ConnectionPool

from benchmarks.reliability.backend import Backend, Resource
from benchmarks.reliability.pools import Pool, Shape


class Manager(BaseConnectionManager[str, Resource]):
    """Its hooks."""

    def __init__(self, backend: Backend, *, cleaned: bool) -> None:
        """Keep the backend."""
        self.backend = backend
        self.cleaned = cleaned

    async def create(self, _endpoint: str) -> Resource:
        """Open."""
        return await self.backend.connect()

    async def dispose(self, _endpoint: str, conn: Resource) -> None:
        """Close."""
        await self.backend.close(conn)

    async def check_aliveness(self, _endpoint: str, conn: Resource) -> bool:
        """Check."""
        return await self.backend.check(conn)

    async def on_release(self, _endpoint: str, conn: Resource) -> None:
        """Clean on return, if that is asked for."""
        if self.cleaned:
            await self.backend.reset(conn)


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    A `ConnectionPool` as its README does: `background_collector=True`, `idle_timeout=30`,
    `max_lifetime=600`, `min_idle` and `max_size` as the case says, `check_aliveness`, and an
    `on_release` that cleans in the case of the hanging one; used by
    `async with pool.connection(endpoint)`, closed by `close(timeout=...)`.
    """
    pool: ConnectionPool[str, Resource] = ConnectionPool(
        Manager(backend, cleaned=shape.cleaned),
        idle_timeout=30.0,
        max_lifetime=600.0,
        min_idle=shape.min_idle,
        max_size=shape.size,
        background_collector=True,
    )
    return Pool(
        lease=lambda: pool.connection("db"),
        resource=lambda lent: lent,
        close=lambda seconds: pool.close(timeout=seconds),
        resets=True,
    )
