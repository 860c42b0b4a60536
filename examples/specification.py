"""A manager without specs serves any id: the specification's own validation."""

import asyncio
from datetime import timedelta
from typing import Any

from pepperpy_resources import DefaultResourceManager, managed_resource


class Service:
    def __init__(self, manager: DefaultResourceManager) -> None:
        self.resource_manager = manager

    @managed_resource("report")
    async def write(self, report: Any, title: str) -> str:
        return f"{title} on {report.resource_id.partition(':')[0]}"


async def main() -> None:
    manager = DefaultResourceManager(cleanup_interval=timedelta(minutes=5))
    await manager.start()
    print(await manager.acquire("test:1"))
    assert "test:1" in manager.resources
    await manager.cleanup()
    assert "test:1" not in manager.resources
    print(await Service(manager).write("figures"))
    figures = await manager.monitor()
    print(figures["active_resources"], figures["resource_errors"])
    await manager.stop()


if __name__ == "__main__":
    asyncio.run(main())
