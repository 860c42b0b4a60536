"""asyncio-connection-pool."""

from __future__ import annotations

from asyncio_connection_pool import ConnectionPool, ConnectionStrategy

from benchmarks.reliability.backend import Backend, Resource
from benchmarks.reliability.pools import Pool, Shape


class Strategy(ConnectionStrategy[Resource]):
    """Its three hooks."""

    def __init__(self, backend: Backend) -> None:
        """Keep the backend."""
        self.backend = backend

    async def make_connection(self) -> Resource:
        """Open."""
        return await self.backend.connect()

    def connection_is_closed(self, conn: Resource) -> bool:
        """Tell whether the server dropped it: not async, so this is all it can know."""
        return not conn.alive

    async def close_connection(self, conn: Resource) -> None:
        """Close; called when it shrinks after a burst."""
        await self.backend.close(conn)


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    A `ConnectionPool` as its README does; where the case keeps fewer than it allows,
    `max_size` is what is kept and `burst_limit` what is allowed; used by `async with
    pool.get_connection()`; it has no close and no hook on return.
    """
    kept = shape.min_idle or shape.size
    burst = shape.size if kept < shape.size else None
    pool = ConnectionPool(strategy=Strategy(backend), max_size=kept, burst_limit=burst)
    return Pool(lease=pool.get_connection, resource=lambda lent: lent, close=None, resets=False)
