"""Cases 65, 72 and 73; the edge of the intensity; and what ends a program from inside a turn."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pykka  # noqa: TID253 - the registry is what is looked at
import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import DefaultResourceManager, Intensity, Reply, ResourceMetrics
from pepperpy_resources.core import events as on
from pepperpy_resources.core import machine
from pepperpy_resources.errors import ActorDead, ManagerFailed, SupervisorCrashed
from pepperpy_resources.messages import Describe, Release
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    Fleet,
    crashing,
    fallen,
    in_thread,
    outcome,
    private,
    serving,
    settled,
    totals,
)


def test_the_metrics_actor_crashes_and_no_counter_goes_backwards() -> None:
    async def main() -> None:
        fleet, registry = Fleet(), CollectorRegistry()
        async with serving(fleet.spec(), metrics=ResourceMetrics(registry), name="m") as manager:
            for n in range(5):
                async with manager.lease("db"):
                    pass
                before, seen = totals(manager), await manager.monitor()
                if n < 3:
                    crash(manager, "metrics")
                    await settled()
                    assert manager.cell("metrics").incarnation == 2 + n
                assert fallen(before, totals(manager)) == {}
                assert (await manager.monitor())["types"] == seen["types"]
                value = registry.get_sample_value(
                    "pepperpy_acquires_total",
                    {"manager": "m", "resource_type": "db", "outcome": "ok"},
                )
                assert value == n + 1

    run(main())


def test_a_parked_metrics_actor_hurts_only_those_who_look() -> None:
    async def main() -> None:
        fleet, registry = Fleet(), CollectorRegistry()
        async with serving(fleet.spec(), metrics=ResourceMetrics(registry), name="m") as manager:
            async with manager.lease("db"):
                pass
            list(registry.collect())
            for _ in range(4):
                crash(manager, "metrics")
                await settled()
            assert manager.cell("metrics").status == "failed"
            assert isinstance(await outcome(manager.monitor()), ActorDead)
            assert registry.get_sample_value("pepperpy_scrape_stale", {"manager": "m"}) == 1
            async with manager.lease("db"):
                pass
            await asyncio.sleep(31)
            assert (await manager.monitor())["types"]["db"]["acquires"]["ok"] == 2
            assert registry.get_sample_value("pepperpy_scrape_stale", {"manager": "m"}) == 0

    run(main())


def test_the_root_crashes_and_the_manager_has_failed() -> None:
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
def test_nothing_is_lost_when_the_root_and_a_type_crash_together(order: tuple[str, str]) -> None:
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


def test_a_type_crashes_while_the_failed_manager_closes_it() -> None:
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


@pytest.mark.parametrize(
    ("pause", "status"), [(5.0, "failed"), (5.001, "running")], ids=["at", "after"]
)
def test_three_restarts_in_five_seconds_inclusive(pause: float, status: str) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            for _ in range(3):
                crash(manager, "db")
                await settled()
            assert manager.cell("db").status == "running"
            await asyncio.sleep(pause)
            crash(manager, "db")
            await settled()
            assert manager.cell("db").status == status

    run(main())


def test_crashes_spaced_wider_than_the_period_never_park() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(restart=Intensity(1, 1.0))) as manager:
            for n in range(20):
                crash(manager, "db")
                await asyncio.sleep(1.1)
                assert manager.cell("db").incarnation == 2 + n
            assert manager.cell("db").status == "running"

    run(main())


def test_intensity_zero_parks_at_the_first_crash() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(restart=Intensity(0, 1.0))) as manager:
            crash(manager, "db")
            await settled()
            assert manager.cell("db").status == "failed"

    run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("way", ["inline", "queued"])
def test_what_ends_a_program_is_raised_again_outside_the_turn(
    kind: type[BaseException], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    replies: list[Reply[object]] = []
    fleet = Fleet()
    manager = DefaultResourceManager([fleet.spec()], metrics=private())

    def interrupted(pool: object, event: object) -> None:
        raise kind("stop the program")

    async def main() -> None:
        await manager.start()
        await manager.acquire("db:a")
        handlers: dict[Any, Any] = machine.HANDLERS
        monkeypatch.setitem(handlers, on.Ready, interrupted)
        handle = manager.actor("db")
        try:
            if way == "inline":
                replies.append(handle.ask(on.Ready()))  # raises nothing here
            else:
                in_thread(lambda: replies.append(handle.ask(on.Ready())))
            await asyncio.sleep(3600)
        finally:  # the program is ending: the actors have lived on
            monkeypatch.undo()
            seen.append((await handle.ask(Describe())).slots["leased"])
            await manager.stop(timeout=0)

    with pytest.raises(kind, match="stop the program"):
        run(main())
    assert seen == [1]
    with pytest.raises(ActorDead, match="stop the program"):
        replies[0].get(timeout=0)
    fleet.assert_all_closed_once()


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("kind", [on.Acquire, on.Release, on.Sweep])
def test_an_exception_whose_str_raises(
    kind: type[on.Event], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            thing = await manager.acquire("db:a")
            with crashing(monkeypatch, kind, error=Unspeakable()):
                if kind is on.Acquire:
                    denied = await outcome(manager.acquire("db:b"))
                    assert isinstance(denied, SupervisorCrashed)
                elif kind is on.Release:
                    assert await manager.actor("db").ask(Release("db:a")) is None
                else:
                    assert isinstance(await outcome(manager.actor("db").ask(on.Sweep())), ActorDead)
            await settled()
            assert manager.cell("db").incarnation == 2
            assert "Unspeakable" in manager.tree().render()
            assert thing.closed == (1 if kind is on.Release else 0)
        fleet.assert_all_closed_once()

    with caplog.at_level(logging.WARNING):
        run(main())
    assert "db crashed" in caplog.text


def test_a_hook_whose_error_cannot_be_told() -> None:
    async def main() -> None:
        fleet = Fleet()

        async def fail(*_: object) -> None:
            raise Unspeakable

        async with serving(fleet.spec(check=fail), fleet.spec("llm", reset=fail)) as manager:
            for name in ("db", "llm"):
                for _ in range(2):
                    async with manager.lease(name):
                        pass
                    await asyncio.sleep(1)
                assert manager.cell(name).incarnation == 1
            assert len(fleet.things) == 4
            assert manager.tree().render().count("Unspeakable") == 2
        fleet.assert_all_closed_once()

    run(main())


def test_a_check_that_always_fails_does_not_spin() -> None:
    async def main() -> None:
        fleet = Fleet()

        async def fail(*_: object) -> None:
            if len(fleet.things) > 200:  # it has spun: let the test end
                await asyncio.sleep(0.5)
            raise ConnectionError

        async with serving(fleet.spec(check=fail, fresh_for=0.0, max_size=1)) as manager:
            await outcome(manager.acquire("db:a", timeout=10))
            assert len(fleet.things) <= 100
        fleet.assert_all_closed_once()

    run(main())
