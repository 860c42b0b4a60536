"""Case 73, within the budget: the root is restarted over children that never notice."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import Budget, DefaultResourceManager, Intensity, ResourceMetrics
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import NotLeased, TypeParked
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    REVIVED_AFTER,
    Fleet,
    crashing,
    in_thread,
    outcome,
    park,
    private,
    restarts,
    serving,
    settled,
)
from tests.supervision.stage import Stage, staged_spec


def test_73_a_root_crash_within_its_budget_touches_no_child() -> None:
    async def main() -> None:
        fleet, registry = Fleet(), CollectorRegistry()
        metrics = ResourceMetrics(registry)
        async with serving(staged_spec(fleet), metrics=metrics, name="m") as manager:
            stage = Stage(manager, fleet)
            await stage.set()
            actors = {name: manager.cell(name).actor for name in ("db", "janitor", "metrics")}
            for n in range(3):
                crash(manager, "root")
                await settled()
                assert restarts(manager) == {"root": n + 1, "db": 0, "janitor": 0, "metrics": 0}
            assert {name: manager.cell(name).actor for name in actors} == actors
            assert manager.tree().status == "running"
            await stage.verify(crashes=0)
            up = {"manager": "m", "supervisor": "db"}
            assert registry.get_sample_value("pepperpy_supervisor_up", up) == 1
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("order", [("root", "db"), ("db", "root")])
@pytest.mark.parametrize("way", ["one by one", "at once"])
def test_73_a_type_that_crashes_with_the_root_is_restarted_and_its_failure_counts(
    order: tuple[str, str], way: str
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(staged_spec(fleet, restart=Intensity(1, 5.0))) as manager:
            stage = Stage(manager, fleet)
            await stage.set()

            def both() -> None:
                for path in order:
                    crash(manager, path)

            if way == "at once":
                in_thread(both)
            else:
                both()
            await stage.verify()
            assert restarts(manager) == {"root": 1, "db": 1, "janitor": 0, "metrics": 0}
            crash(manager, "db")  # its whole budget was that one restart
            await settled()
            assert manager.cell("db").status == "failed"
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("hopeless", [False, True], ids=["shut in order", "given up"])
@pytest.mark.parametrize("hand", [False, True], ids=["after 30 s", "by hand"])
def test_73_a_parked_type_stays_parked_and_is_revived(
    *, hopeless: bool, hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            await manager.acquire("db:a")
            with crashing(monkeypatch, on.Restore, times=100 if hopeless else 0):
                await park(manager)
            await asyncio.sleep(REVIVED_AFTER / 3)
            crash(manager, "root")
            await settled()
            assert manager.cell("db").status == "failed"
            assert restarts(manager)["root"] == 1
            (root,) = manager.tree().children
            (node,) = [child for child in root.children if child.path == "db"]
            assert node.restart_in == pytest.approx(REVIVED_AFTER * 2 / 3)
            await asyncio.sleep(REVIVED_AFTER / 3)
            crash(manager, "root")
            await settled()
            assert isinstance(await outcome(manager.acquire("db:b")), TypeParked)
            if hand:
                manager.revive("db")
                await settled()
            else:
                await asyncio.sleep(REVIVED_AFTER / 3 - 1)
                assert isinstance(await outcome(manager.acquire("db:b")), TypeParked)
                await asyncio.sleep(1)
            await settled()
            assert manager.cell("db").status == "running"
            async with manager.lease("db", timeout=1) as thing:
                assert thing.number == 2
            await manager.release("db:a")  # ended on our side: no error, once
            with pytest.raises(NotLeased):
                await manager.release("db:a")
            incarnation = manager.cell("db").incarnation
            await asyncio.sleep(REVIVED_AFTER * 2)  # no second revival is under way
            assert manager.cell("db").incarnation == incarnation
            for _ in range(3):  # it has its whole budget again
                crash(manager, "db")
                await settled()
            assert manager.cell("db").status == "running"
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("path", ["janitor", "metrics"])
def test_73_a_parked_system_actor_is_revived_all_the_same(path: str) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            await park(manager, path)
            crash(manager, "root")
            await asyncio.sleep(REVIVED_AFTER - 1)
            assert manager.cell(path).status == "failed"
            await asyncio.sleep(1)
            await settled()
            assert manager.cell(path).status == "running"

    run(main())


def test_73_a_parked_type_that_crashes_with_the_root_is_parked_still() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            await manager.acquire("db:a")
            waiting = [asyncio.create_task(outcome(manager.acquire(f"db:{n}"))) for n in range(10)]
            await settled()
            await park(manager)

            def both() -> None:
                crash(manager, "db")
                crash(manager, "root")

            in_thread(both)
            await settled()
            assert manager.cell("db").status == "failed"
            assert isinstance(await outcome(manager.acquire("db:b")), TypeParked)
            assert fleet.live() == []
            for answer in await asyncio.gather(*waiting):
                assert isinstance(answer, (TypeParked, type(fleet.things[0])))
            await asyncio.sleep(REVIVED_AFTER)
            await settled()
            assert manager.cell("db").status == "running"
        fleet.assert_all_closed_once()

    run(main())


def sweeps(manager: DefaultResourceManager) -> int:
    return manager._exits["db"].state.counters.cleanups["janitor"]


@pytest.mark.parametrize("with_janitor", [False, True])
def test_73_sweeps_go_on(*, with_janitor: bool) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(idle_timeout=8.0), cleanup_interval=2.0) as manager:
            await manager.acquire("db:a")
            await manager.acquire("db:b")
            await manager.release("db:b")
            for n in range(3):
                await asyncio.sleep(3)
                seen = sweeps(manager)
                crash(manager, "root")
                if with_janitor:
                    crash(manager, "janitor")
                await asyncio.sleep(3)
                assert sweeps(manager) in (seen + 1, seen + 2)
                assert restarts(manager) == {
                    "root": n + 1,
                    "db": 0,
                    "janitor": (n + 1) * with_janitor,
                    "metrics": 0,
                }
            assert fleet.closed() == [2]
            await manager.release("db:a")
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("paths", [["root"], ["root", "db"], ["db", "root"], ["root"] * 3])
def test_73_stop_drains_on(paths: list[str]) -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec(), fleet.spec("llm")], metrics=private())
        await manager.start()
        loop = asyncio.get_running_loop()
        leases = ["db:0", "db:1", "llm:0"]
        for name in leases:
            await manager.acquire(name)
        began = loop.time()
        stopping = asyncio.create_task(manager.stop(timeout=20))
        await asyncio.sleep(1)
        for path in paths:
            crash(manager, path)
        for name in leases:
            await asyncio.sleep(1)
            await manager.release(name)
        await stopping
        assert loop.time() == began + 4
        fleet.assert_all_closed_once()

    run(main())


def test_73_a_root_that_fails_while_stop_drains_ends_it_at_once() -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec()], metrics=private())
        await manager.start()
        loop = asyncio.get_running_loop()
        await manager.acquire("db:a")
        began = loop.time()
        stopping = asyncio.create_task(manager.stop(timeout=20))
        await asyncio.sleep(1)
        for path in ("root", "root", "db", "root", "root"):
            crash(manager, path)
        async with asyncio.timeout(1):
            await manager.wait_failed()
        await stopping
        assert loop.time() <= began + 2
        await manager.release("db:a")
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("root_crashes", [False, True])
def test_73_a_type_that_is_parked_while_stop_drains_is_not_revived(*, root_crashes: bool) -> None:
    # Its revival would be due while another type still waits for its leases: what it opened then
    # nobody would close.
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        specs = other.spec("base"), fleet.spec(depends_on=["base"], min_idle=2)
        manager = DefaultResourceManager(specs, metrics=private())
        await manager.start()
        await manager.acquire("base:a")
        await park(manager)
        if root_crashes:
            crash(manager, "root")
        stopping = asyncio.create_task(manager.stop(timeout=100))
        await asyncio.sleep(REVIVED_AFTER * 2)
        assert fleet.live() == []
        await manager.release("base:a")
        await stopping
        fleet.assert_all_closed_once()
        other.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("paths", [["root"], ["root", "budget:gpu"], ["budget:gpu", "root", "a"]])
def test_73_a_budget_outlives_the_root(paths: list[str]) -> None:
    async def main() -> None:
        fleet, budget = Fleet(), Budget("gpu", 3)
        specs = [fleet.spec(name, budget=budget, idle_timeout=1000.0) for name in ("a", "b")]
        async with serving(*specs) as manager:
            for name in ("a:1", "a:2", "b:1"):
                await manager.acquire(name, timeout=1)
            for each in paths:
                crash(manager, each)
            waiting = asyncio.create_task(outcome(manager.acquire("b:2")))
            await settled()
            assert not waiting.done()
            assert len(fleet.live()) == 3
            await manager.release("a:1", discard=True)
            async with asyncio.timeout(1):
                await waiting
            for name in ("a:2", "b:1", "b:2"):
                await manager.release(name)
        fleet.assert_all_closed_once()

    run(main())
