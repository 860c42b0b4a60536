"""aiomisc `PoolBase`, made and used as its documentation's example does: recycle after 60 s."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomisc

from benchmarks.contenders import Setting, Worker, make_resource


class Pool(aiomisc.PoolBase[object]):
    """The three hooks that `PoolBase` demands, doing nothing."""

    async def _create_instance(self) -> object:
        return await make_resource()

    async def _destroy_instance(self, instance: object) -> None:
        pass

    async def _check_instance(self, instance: object) -> bool:  # noqa: ARG002 - its interface
        return True


@asynccontextmanager
async def pool_base(setting: Setting) -> AsyncIterator[Worker]:
    """Open the pool; close it afterwards."""
    pool = Pool(maxsize=setting.size, recycle=60)

    async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
        for _ in range(cycles):
            async with pool.acquire():
                if hold:
                    await asyncio.sleep(0)

    try:
        yield work
    finally:
        await pool.close()
