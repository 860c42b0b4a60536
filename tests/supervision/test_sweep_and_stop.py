"""Cases 68, 69 and 71: crashes while the janitor sweeps, while stop drains, and of the janitor."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import DefaultResourceManager, Intensity
from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import ManagerStopped
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    Fleet,
    crashing,
    failing_effect,
    fallen,
    outcome,
    private,
    serving,
    settled,
    totals,
)
from tests.supervision.stage import Stage, staged_spec


@pytest.mark.parametrize("how", ["before", "after", "between"])
def test_68_a_crash_in_a_sweep_that_retires(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        fleet = Fleet()
        spec = fleet.spec(idle_timeout=4.0, max_size=6)
        async with serving(spec, cleanup_interval=1.0) as manager:
            things = [await manager.acquire(f"db:{n}") for n in range(6)]
            for n in (3, 4, 5):
                await manager.release(f"db:{n}")
            await asyncio.sleep(3.9)  # too early for the three
            before = totals(manager)
            if how == "between":
                context = failing_effect(monkeypatch, do.Close)
            else:
                context = crashing(monkeypatch, on.Sweep, after=how == "after")
            with context as hit:
                await asyncio.sleep(1.2)  # at least one sweep; idle since 4 s at the latest now
                assert len(hit) == 1
                # A restart makes an idle thing used again: it may stay one idle_timeout longer.
                await asyncio.sleep(5.2)
            assert manager.cell("db").incarnation == 2
            assert [thing.closed for thing in things] == [0, 0, 0, 1, 1, 1]
            assert fallen(before, totals(manager)) == {}
            for n in range(3):
                await manager.release(f"db:{n}")
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("with_janitor", [False, True], ids=["alone", "with the janitor"])
def test_68_five_leases_three_idle_ten_tickets_while_the_janitor_sweeps(
    *, after: bool, with_janitor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(staged_spec(fleet), cleanup_interval=1.0) as manager:
            stage = Stage(manager, fleet)
            await stage.set()
            with crashing(monkeypatch, on.Sweep, after=after) as hit:
                await asyncio.sleep(1)
                assert len(hit) == 1
            if with_janitor:
                crash(manager, "janitor")
            seen = sweeps(manager)
            await asyncio.sleep(1)
            assert sweeps(manager) in (seen + 1, seen + 2)
            await stage.verify()
        fleet.assert_all_closed_once()

    run(main())


def test_69_crash_while_stop_drains() -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec()], metrics=private())
        await manager.start()
        loop = asyncio.get_running_loop()
        leases = [f"db:{n}" for n in range(5)]
        for name in leases:
            await manager.acquire(name)
        for name in ("db:i0", "db:i1", "db:i2"):
            await manager.acquire(name)
        for name in ("db:i0", "db:i1", "db:i2"):
            await manager.release(name)
        began = loop.time()
        stopping = asyncio.create_task(manager.stop(timeout=20))
        await asyncio.sleep(1)
        assert len(fleet.closed()) == 3  # the idle ones
        crash(manager, "db")
        await asyncio.sleep(1)
        assert manager.cell("db").incarnation == 2
        assert len(fleet.closed()) == 3
        assert isinstance(await outcome(manager.acquire("db:late")), ManagerStopped)
        for name in leases:
            await manager.release(name)
            await asyncio.sleep(1)
        await stopping
        assert loop.time() == began + 7  # it ended with the last lease
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("kind", [on.Drain, on.Shut, on.Closed])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_69_crash_in_the_turns_of_a_stop(
    kind: type[on.Event], *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec()], metrics=private())
        await manager.start()
        loop = asyncio.get_running_loop()
        for n in range(8):
            await manager.acquire(f"db:{n}")
        for n in (5, 6, 7):
            await manager.release(f"db:{n}")
        waiter = asyncio.create_task(outcome(manager.acquire("db:9")))
        waiters = [asyncio.create_task(outcome(manager.acquire(f"db:w{n}"))) for n in range(10)]
        await settled()
        began = loop.time()
        with crashing(monkeypatch, kind, after=after) as hit:
            await manager.stop(timeout=3)
        assert len(hit) == 1
        assert loop.time() == began + 3
        for task in (waiter, *waiters):
            assert isinstance(await task, (ManagerStopped, type(fleet.things[0])))
        fleet.assert_all_closed_once()
        for n in range(5):
            await manager.release(f"db:{n}")  # ended on our side: no error

    run(main())


@pytest.mark.parametrize("kind", [on.Release, on.Discard, on.Sweep, on.Closed])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_69_crash_in_the_turns_while_it_drains(
    kind: type[on.Event], *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec(max_size=5)], metrics=private())
        await manager.start()
        loop = asyncio.get_running_loop()
        for n in range(5):
            await manager.acquire(f"db:{n}")
        waiters = [asyncio.create_task(outcome(manager.acquire(f"db:w{n}"))) for n in range(10)]
        await settled()
        began = loop.time()
        stopping = asyncio.create_task(manager.stop(timeout=20))
        await settled()
        assert [type(await each) for each in waiters] == [ManagerStopped] * 10
        with crashing(monkeypatch, kind, after=after) as hit:
            manager.actor("db").tell(on.Sweep())
            for n in range(5):
                await asyncio.sleep(1)
                await manager.release(f"db:{n}", discard=kind is on.Discard)
            await stopping
        assert len(hit) == 1
        assert loop.time() == began + 5
        fleet.assert_all_closed_once()

    run(main())


def test_69_a_crash_loop_does_not_hang_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec(restart=Intensity(1, 5.0))], metrics=private())
        await manager.start()
        await manager.acquire("db:a")
        with crashing(monkeypatch, on.Drain, times=100) as hit:
            async with asyncio.timeout(20):
                await manager.stop(timeout=3)
        assert hit
        fleet.assert_all_closed_once()

    run(main())


def sweeps(manager: DefaultResourceManager) -> int:
    return manager._exits["db"].state.counters.cleanups["janitor"]


def test_71_sweeps_resume_after_a_crash_of_the_janitor() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(), cleanup_interval=10.0) as manager:
            await asyncio.sleep(10)
            assert sweeps(manager) == 1
            for round_ in range(6):
                await asyncio.sleep(4)
                crash(manager, "janitor")
                await settled()
                assert manager.cell("janitor").incarnation == 2 + round_
                seen = sweeps(manager)
                await asyncio.sleep(10)  # one interval at the most after the restart
                assert sweeps(manager) in (seen + 1, seen + 2)
            assert manager.tree().children[0].children[-1].restarts == 6

    run(main())


def test_71_a_hopeless_janitor_is_parked_alone_and_tried_again() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(), cleanup_interval=1.0) as manager:
            for _ in range(4):
                crash(manager, "janitor")
                await settled()
            assert manager.cell("janitor").status == "failed"
            seen = sweeps(manager)
            await asyncio.sleep(29)
            assert sweeps(manager) == seen
            async with manager.lease("db"):  # nobody else notices
                pass
            await asyncio.sleep(3)
            assert manager.cell("janitor").status == "running"
            assert sweeps(manager) > seen
        fleet.assert_all_closed_once()

    run(main())
