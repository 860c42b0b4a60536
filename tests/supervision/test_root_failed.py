"""Case 73, beyond the budget: the manager has failed, says so, and closes what it has."""

from __future__ import annotations

import asyncio

import pykka  # noqa: TID253 - the registry is what is looked at
import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import ManagerFailed
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    Fleet,
    outcome,
    private,
    settled,
)


def test_73_the_root_crashes_beyond_its_budget_and_the_manager_has_failed() -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec(max_size=2)], metrics=private())
        await manager.start()
        failed = asyncio.create_task(manager.wait_failed())
        held = [await manager.acquire(f"db:{n}") for n in range(2)]
        waiting = asyncio.create_task(outcome(manager.acquire("db:w")))
        await settled()
        assert not failed.done()
        for _ in range(3):
            crash(manager, "root")
            await settled()
            assert manager.tree().status == "running"
        crash(manager, "root")
        assert manager.tree().status == "failed"
        refused = await outcome(manager.acquire("db:new"))
        assert isinstance(refused, ManagerFailed)
        assert refused.__cause__ is not None
        async with asyncio.timeout(1):
            await failed
            await manager.wait_failed()  # also for who comes later
            assert isinstance(await waiting, Exception)
        await manager.stop()
        assert [thing.closed for thing in held] == [1, 1]
        await manager.release("db:0")  # ended on our side: no error
        assert isinstance(await outcome(manager.acquire("db:new")), ManagerFailed)
        assert isinstance(await outcome(manager.start()), ManagerFailed)
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("order", [("root", "db"), ("db", "root")])
def test_73_nothing_is_lost_when_the_root_and_a_type_crash_together(order: tuple[str, str]) -> None:
    # Nobody is left to restart the type's supervisor; its resources must be closed all the same.
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec(max_size=1)], metrics=private())
        await manager.start()
        await manager.acquire("db:a")
        waiting = asyncio.create_task(outcome(manager.acquire("db:w")))
        await settled()
        for path in order:
            for _ in range(4 if path == "root" else 1):
                crash(manager, path)
        async with asyncio.timeout(10):
            await manager.wait_failed()
            await manager.stop()
            assert isinstance(await waiting, Exception)
        fleet.assert_all_closed_once()

    run(main())


def test_73_a_type_crashes_while_the_failed_manager_closes_it() -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec()], metrics=private())
        await manager.start()
        await manager.acquire("db:a")
        for _ in range(4):
            crash(manager, "root")
        await asyncio.sleep(0)
        crash(manager, "db")
        async with asyncio.timeout(20):
            await manager.stop()
        fleet.assert_all_closed_once()
        assert not [ref for ref in pykka.ActorRegistry.get_all() if "Pool" in str(ref)]

    run(main())
