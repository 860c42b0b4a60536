"""Case 70: a type whose supervisor crashes too often is parked; nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pepperpy_resources import Budget, DefaultResourceManager, Intensity
from pepperpy_resources.actors.base import InjectedCrash
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import NotLeased, TypeParked, UnknownResourceType
from pepperpy_resources.messages import Acquire, Release
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    REVIVED_AFTER,
    Boom,
    Fleet,
    crashing,
    outcome,
    park,
    serving,
    settled,
)


@asynccontextmanager
async def two_types(
    fleet: Fleet, other: Fleet
) -> AsyncIterator[tuple[DefaultResourceManager, list[asyncio.Task[object]]]]:
    """Run two types: db with five leases and ten tickets, llm with one lease."""
    specs = fleet.spec("db", max_size=5), other.spec("llm", max_size=1)
    async with serving(*specs) as manager:
        for n in range(5):
            await manager.acquire(f"db:{n}")
        await manager.acquire("llm:a")
        waiting = [asyncio.create_task(outcome(manager.acquire(f"db:t{n}"))) for n in range(10)]
        await settled()
        yield manager, waiting
    fleet.assert_all_closed_once()
    other.assert_all_closed_once()


def test_70_parked_after_one_crash_too_many() -> None:
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        async with two_types(fleet, other) as (manager, waiting):
            handle = manager.actor("db")
            for n in range(3):
                crash(manager, "db")
                await settled()
                assert manager.cell("db").incarnation == 2 + n
            assert fleet.closed() == []
            crash(manager, "db")
            await settled()
            # every ticket denied with the cause, every resource closed
            for denied in await asyncio.gather(*waiting):
                assert isinstance(denied, TypeParked)
                assert isinstance(denied.__cause__, InjectedCrash)
                assert "'db' is parked" in str(denied)
            assert fleet.closed() == [1, 2, 3, 4, 5]
            # new acquires are refused at once, by the façade and by the handle
            began = asyncio.get_running_loop().time()
            assert isinstance(await outcome(manager.acquire("db:new")), TypeParked)
            assert isinstance(await outcome(handle.ask(Acquire("db:new"))), TypeParked)
            assert asyncio.get_running_loop().time() == began
            # late releases: a no-op, once
            for n in range(5):
                await manager.release(f"db:{n}")
            with pytest.raises(NotLeased):
                await manager.release("db:0")
            # nobody else notices
            llm = manager.cell("llm")
            assert (llm.status, llm.incarnation) == ("running", 1)
            assert manager.tree().status == "running"
            assert other.closed() == []
            await manager.release("llm:a")

    run(main())


def test_70_revived_after_30_seconds_with_its_whole_budget() -> None:
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        async with two_types(fleet, other) as (manager, _):
            await park(manager)
            await asyncio.sleep(REVIVED_AFTER - 1)
            assert isinstance(await outcome(manager.acquire("db:new")), TypeParked)
            await asyncio.sleep(1)
            assert manager.cell("db").status == "running"
            async with manager.lease("db") as thing:
                assert thing.number == 6
            for _ in range(3):
                crash(manager, "db")
                await settled()
            assert manager.cell("db").status == "running"
            await manager.release("llm:a")

    run(main())


def test_70_revived_by_hand() -> None:
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        async with two_types(fleet, other) as (manager, _):
            await park(manager)
            manager.revive("db")
            await settled()
            assert manager.cell("db").status == "running"
            for _ in range(3):  # it has its whole budget again
                crash(manager, "db")
                await settled()
            assert manager.cell("db").status == "running"
            incarnation = manager.cell("db").incarnation
            async with manager.lease("db"):
                pass
            await asyncio.sleep(REVIVED_AFTER + 1)  # the timer of the revival is gone
            assert manager.cell("db").incarnation == incarnation
            manager.revive("llm")  # not parked: nothing happens
            await settled()
            assert manager.cell("llm").incarnation == 1
            with pytest.raises(UnknownResourceType):
                manager.revive("nosuch")
            await manager.release("llm:a")

    run(main())


def test_70_a_crash_while_parked_does_not_keep_it_from_being_revived() -> None:
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        async with two_types(fleet, other) as (manager, _):
            await park(manager)
            await asyncio.sleep(10)
            crash(manager, "db")
            await settled()
            assert manager.cell("db").status == "failed"
            assert isinstance(await outcome(manager.acquire("db:new")), TypeParked)
            await asyncio.sleep(REVIVED_AFTER)
            assert manager.cell("db").status == "running"
            async with manager.lease("db"):
                pass
            await manager.release("llm:a")

    run(main())


def test_70_what_cannot_be_restored_is_parked_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A real crash loop: each incarnation dies in its first turn, also the one that only shuts down.
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        async with two_types(fleet, other) as (manager, waiting):
            with crashing(monkeypatch, on.Restore, times=100) as hit:
                crash(manager, "db")
                await settled()
                assert len(hit) >= 4
                assert manager.cell("db").status == "failed"
                for denied in await asyncio.gather(*waiting):
                    assert isinstance(denied, TypeParked)
                    assert isinstance(denied.__cause__, (Boom, InjectedCrash))
                assert fleet.closed() == [1, 2, 3, 4, 5]
                assert isinstance(await outcome(manager.acquire("db:new")), TypeParked)
                assert await outcome(manager.release("db:0")) is None
                assert await outcome(manager.actor("db").ask(Release("db:1"))) is None
                await asyncio.sleep(REVIVED_AFTER)  # revived, and hopeless again
                assert manager.cell("db").status == "failed"
            await asyncio.sleep(REVIVED_AFTER + 1)
            assert manager.cell("db").status == "running"
            async with manager.lease("db", timeout=1) as thing:
                assert thing.closed == 0
            assert await outcome(manager.release("db:2")) is None
            await manager.release("llm:a")

    run(main())


def test_70_parking_lends_nothing_and_opens_nothing_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The incarnation that only shuts down has free slots and tickets: it serves none.
    async def main() -> None:
        fleet = Fleet()
        spec = fleet.spec(max_size=3, min_idle=3, restart=Intensity(0, 5.0))
        async with serving(spec) as manager:
            await manager.wait_ready(timeout=5)
            for n in range(3):
                await manager.acquire(f"db:{n}")
            waiting = [asyncio.create_task(outcome(manager.acquire(f"db:t{n}"))) for n in range(5)]
            await settled()
            with crashing(monkeypatch, on.Release):
                await manager.release("db:0")
            await settled()
            assert [type(error) for error in await asyncio.gather(*waiting)] == [TypeParked] * 5
            assert [thing.number for thing in fleet.things] == [1, 2, 3]
            assert fleet.closed() == [1, 2, 3]
        fleet.assert_all_closed_once()

    run(main())


def test_70_our_own_messages_to_what_is_given_up_are_no_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Sweeps, looks for owners, permits, changes of types: nobody misses them, and the log is for
    # letters that somebody does.
    async def main() -> None:
        fleet, budget = Fleet(), Budget("gpu", 5)
        specs = [fleet.spec(name, budget=budget, max_size=1) for name in ("db", "llm")]
        async with serving(*specs, cleanup_interval=1.0) as manager:
            root = manager._root
            assert root is not None
            await manager.acquire("db:a")
            waiting = asyncio.create_task(outcome(manager.acquire("db:b")))
            await settled()
            with crashing(monkeypatch, on.Restore, times=100):
                crash(manager, "db")
                await settled()
            assert manager.cell("db").status == "failed"
            assert isinstance(await waiting, TypeParked)
            async with manager.lease("llm"):
                await asyncio.sleep(REVIVED_AFTER / 2)
            await park(manager, "janitor")
            await park(manager, "budget:gpu")
            manager.add_type(fleet.spec("new"))
            async with manager.lease("llm"):
                await asyncio.sleep(REVIVED_AFTER / 4)
            assert [letter.kind for letter in root.host.dead_letters.recent] == []
        fleet.assert_all_closed_once()

    run(main())


def test_70_ended_owners_are_looked_for_after_a_revival_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await manager.acquire("db:a")
            waiting = [asyncio.create_task(outcome(manager.acquire("db:b")))]
            await asyncio.sleep(0.5)
            waiting.append(asyncio.create_task(outcome(manager.acquire("db:c"))))
            await settled()  # a look is planned soon, for a second after the first
            with crashing(monkeypatch, on.Restore, times=100):
                crash(manager, "db")
                await settled()
            assert [type(await each) for each in waiting] == [TypeParked] * 2
            await asyncio.sleep(REVIVED_AFTER)

            async def leak() -> None:
                await manager.acquire("db:leaked", owner=asyncio.current_task())

            await asyncio.create_task(leak())
            async with manager.lease("db", timeout=2):
                pass
        fleet.assert_all_closed_once()

    run(main())
