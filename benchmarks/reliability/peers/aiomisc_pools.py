"""aiomisc `PoolBase`."""

from __future__ import annotations

import aiomisc

from benchmarks.reliability.backend import Backend, Resource
from benchmarks.reliability.pools import Pool, Shape


class Resources(aiomisc.PoolBase[Resource]):
    """Its three hooks."""

    def __init__(self, backend: Backend, size: int) -> None:
        """Recycle after a minute, as the example of its documentation does."""
        super().__init__(maxsize=size, recycle=60)
        self.backend = backend

    async def _create_instance(self) -> Resource:
        return await self.backend.connect()

    async def _destroy_instance(self, instance: Resource) -> None:
        await self.backend.close(instance)

    async def _check_instance(self, instance: Resource) -> bool:
        return await self.backend.check(instance)


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    A subclass of `PoolBase` with its three hooks, `maxsize` as the case says and a
    `recycle` of a minute, as in its documentation; it keeps no floor; used by
    `async with pool.acquire()`, closed by `close(timeout=...)`; it has no hook on return.
    """
    pool = Resources(backend, shape.size)
    return Pool(
        lease=pool.acquire,
        resource=lambda lent: lent,
        close=lambda seconds: pool.close(timeout=seconds),
        resets=False,
    )
