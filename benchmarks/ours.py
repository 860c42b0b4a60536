"""pepperpy-resources, as a program would use it: supervised, swept and with metrics.

The type has the hooks that the peers demand, a check and a close. As with every default, a
resource used within the last half second is not checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.contenders import Setting, Worker, make_resource
from pepperpy_resources import DefaultResourceManager, ResourceSpec, resource_spec


@asynccontextmanager
async def acquire_release(setting: Setting) -> AsyncIterator[Worker]:
    """Lease by `acquire` and `release`; the id names the lease, so each task has its own."""
    async with DefaultResourceManager([_spec("db", setting)]) as manager:

        async def work(task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
            lease_id = f"db:{task}"
            for _ in range(cycles):
                await manager.acquire(lease_id)
                if hold:
                    await asyncio.sleep(0)
                await manager.release(lease_id)

        yield work


@asynccontextmanager
async def lease(setting: Setting) -> AsyncIterator[Worker]:
    """Lease for an `async with` block."""
    async with DefaultResourceManager([_spec("db", setting)]) as manager:

        async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
            for _ in range(cycles):
                async with manager.lease("db"):
                    if hold:
                        await asyncio.sleep(0)

        yield work


@asynccontextmanager
async def typed(setting: Setting) -> AsyncIterator[Worker]:
    """Lease for an `async with` block, through the typed handle."""
    spec = _spec("db", setting)
    async with DefaultResourceManager([spec]) as manager:
        handle = manager.type(spec)

        async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
            for _ in range(cycles):
                async with handle.lease():
                    if hold:
                        await asyncio.sleep(0)

        yield work


@asynccontextmanager
async def keyed(setting: Setting) -> AsyncIterator[Worker]:
    """Lease exclusive keyed resources; the tasks share as many ids as there are slots."""
    async with DefaultResourceManager([_spec("session", setting, keyed=True)]) as manager:

        async def work(task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
            resource_id = f"session:{task % setting.size}"
            for _ in range(cycles):
                await manager.acquire(resource_id)
                if hold:
                    await asyncio.sleep(0)
                await manager.release(resource_id)

        yield work


def _spec(name: str, setting: Setting, *, keyed: bool = False) -> ResourceSpec[object]:
    return resource_spec(
        name,
        factory=make_resource,
        check=_check,
        close=_close,
        max_size=setting.size,
        keyed=keyed,
    )


async def _check(_resource: object) -> bool:
    return True


async def _close(_resource: object) -> None:
    return None
