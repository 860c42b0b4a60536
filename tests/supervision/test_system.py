"""Cases 40 to 42, 62, 65 and 72 on a manager's own actors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import DefaultResourceManager, Intensity, Reply, ResourceMetrics
from pepperpy_resources.core import events as on
from pepperpy_resources.core import machine
from pepperpy_resources.errors import ActorDead, SupervisorCrashed
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


def test_72_the_metrics_actor_crashes_and_no_counter_goes_backwards() -> None:
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


def test_72_a_parked_metrics_actor_hurts_only_those_who_look() -> None:
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


@pytest.mark.parametrize(
    ("pause", "status"), [(5.0, "failed"), (5.001, "running")], ids=["at", "after"]
)
def test_40_three_restarts_in_five_seconds_inclusive(pause: float, status: str) -> None:
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


def test_41_crashes_spaced_wider_than_the_period_never_park() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(restart=Intensity(1, 1.0))) as manager:
            for n in range(20):
                crash(manager, "db")
                await asyncio.sleep(1.1)
                assert manager.cell("db").incarnation == 2 + n
            assert manager.cell("db").status == "running"

    run(main())


def test_42_intensity_zero_parks_at_the_first_crash() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(restart=Intensity(0, 1.0))) as manager:
            crash(manager, "db")
            await settled()
            assert manager.cell("db").status == "failed"

    run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("way", ["inline", "queued"])
def test_62_what_ends_a_program_is_raised_again_outside_the_turn(
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
def test_65_an_exception_whose_str_raises(
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


def test_65_a_hook_whose_error_cannot_be_told() -> None:
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
