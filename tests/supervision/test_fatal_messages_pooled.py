"""Case 67 on a pooled type: five leases, three idle, ten tickets at once, so it is suspended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import ActorDead, SupervisorCrashed, TypeSuspended
from pepperpy_resources.testing import run
from tests.supervision.kit import (
    Fleet,
    Thing,
    crashing,
    fallen,
    outcome,
    serving,
    settled,
    totals,
)

TICKETS = list(range(10))


class Stage:
    """db:0 to db:4 are leased, three more are idle, ten tickets wait until `resume`."""

    def __init__(self, manager: DefaultResourceManager, fleet: Fleet) -> None:
        self.manager = manager
        self.fleet = fleet
        self.held: dict[str, Thing] = {}
        self.served: list[int] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.before: dict[str, float] = {}

    async def set(self) -> None:
        for n in range(8):
            self.held[f"db:{n}"] = await self.manager.acquire(f"db:{n}")
        for n in (5, 6, 7):
            await self.manager.release(f"db:{n}")
            del self.held[f"db:{n}"]
        await settled()
        await self.manager.suspend("db")
        self.tasks = [asyncio.create_task(self.borrow(n)) for n in TICKETS]
        await settled()
        self.before = totals(self.manager)

    async def borrow(self, ticket: int) -> None:
        async with self.manager.lease("db", timeout=1000) as thing:
            assert (thing.closed, thing.holders) == (0, 0)
            thing.holders += 1
            self.served.append(ticket)
            await asyncio.sleep(1)
            thing.holders -= 1

    async def verify(self) -> None:
        """Leases are valid, idle things are checked before reuse, tickets are served in order."""
        cell = self.manager.cell("db")
        assert (cell.status, cell.incarnation) == ("running", 2)
        assert [thing for thing in self.held.values() if thing.closed] == []
        assert self.served == []
        idle = [thing for thing in self.fleet.things[5:8] if not thing.closed]
        await self.manager.resume("db")
        await settled()
        free = 8 - len(self.held)  # with what is opened for what the scene has closed
        assert self.served == TICKETS[:free]
        assert [thing.checked for thing in idle] == [1] * len(idle)
        for name in self.held:
            await self.manager.release(name)
        async with asyncio.timeout(3):
            await asyncio.gather(*self.tasks)
        assert self.served == TICKETS
        assert fallen(self.before, totals(self.manager)) == {}

    async def asked(self, message: Any) -> Any:
        return await outcome(self.manager.actor("db").ask(message))


async def acquire(stage: Stage) -> None:
    assert isinstance(await outcome(stage.manager.acquire("db:new")), SupervisorCrashed)
    assert "db:new" not in stage.manager.resources


async def cancel(stage: Stage) -> None:
    task = asyncio.create_task(stage.manager.acquire("db:new"))
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settled()
    assert "db:new" not in stage.manager.resources


async def release(stage: Stage) -> None:
    await stage.manager.release("db:0")
    await settled()
    assert stage.held.pop("db:0").closed == 1


async def discard(stage: Stage) -> None:
    await stage.manager.release("db:0", discard=True)
    await settled()
    assert stage.held.pop("db:0").closed == 1


async def closed(stage: Stage) -> None:
    await discard(stage)


async def reset_done(stage: Stage) -> None:
    thing = stage.held.pop("db:0")
    await stage.manager.release("db:0")
    await settled()
    assert (thing.reset, thing.closed) == (1, 1)


async def tick(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert isinstance(await outcome(stage.manager.acquire("db:new", timeout=2)), TypeSuspended)
    assert loop.time() == began + 2


async def sweep(stage: Stage) -> None:
    stage.manager.actor("db").tell(on.Sweep())
    await settled()
    assert len(stage.fleet.closed()) == 0


async def evict(stage: Stage) -> None:
    async with asyncio.timeout(1):
        await stage.manager.cleanup("db:")  # the idle ones; asked again
    assert stage.fleet.closed() == [6, 7, 8]


async def resume(stage: Stage) -> None:
    assert isinstance(await outcome(stage.manager.resume("db")), ActorDead)
    await settled()
    assert stage.served == []  # it did not come about


async def resize(stage: Stage) -> None:
    assert isinstance(await outcome(stage.manager.resize("db", max_size=5)), ActorDead)
    await settled()
    assert stage.fleet.closed() == []


async def unknown(stage: Stage) -> None:
    assert isinstance(await stage.asked(on.Ready()), ActorDead)


SCENES: list[tuple[type[on.Event], Callable[[Stage], Awaitable[None]]]] = [
    (on.Acquire, acquire),
    (on.Cancel, cancel),
    (on.Release, release),
    (on.Discard, discard),
    (on.Closed, closed),
    (on.ResetDone, reset_done),
    (on.Tick, tick),
    (on.Sweep, sweep),
    (on.Evict, evict),
    (on.Resume, resume),
    (on.Resize, resize),
    (on.Ready, unknown),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "scene"), SCENES, ids=[kind.__name__ for kind, _ in SCENES])
def test_67_a_pooled_type_crashes_in_the_turn_of_each_kind_of_message(
    kind: type[on.Event],
    scene: Callable[[Stage], Awaitable[None]],
    *,
    after: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        fleet = Fleet()
        spec = fleet.spec(
            max_size=8, max_opening=8, check=fleet.check, reset=fleet.clean, fresh_for=1000.0
        )
        async with serving(spec) as manager:
            stage = Stage(manager, fleet)
            await stage.set()
            for thing in fleet.things:
                thing.reset = 0
            with crashing(monkeypatch, kind, after=after) as hit:
                await scene(stage)
                await settled()
            assert len(hit) == 1
            await stage.verify()
        fleet.assert_all_closed_once()

    run(main())
