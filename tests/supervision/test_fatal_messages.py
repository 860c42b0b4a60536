"""Case 67: a crash in the turn of each kind of message, before or after the machine did it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pepperpy_resources import Budget
from pepperpy_resources.core import events as on
from pepperpy_resources.core import machine
from pepperpy_resources.errors import AcquireTimeout, ActorDead, SupervisorCrashed, TypeSuspended
from pepperpy_resources.testing import VirtualTimeLoop, crash, run
from tests.supervision.kit import Fleet, crashing, outcome, serving, settled
from tests.supervision.stage import FRESH_FOR, Stage, staged_spec

Scene = Callable[[Stage], Awaitable[None]]


async def acquire(stage: Stage) -> None:
    denied = await outcome(stage.manager.acquire("db:new"))
    assert isinstance(denied, SupervisorCrashed)
    assert "Boom" in repr(denied.__cause__)
    assert "db:new" not in stage.manager.resources
    await stage.still_free("db:new")


async def cancel(stage: Stage) -> None:
    task = asyncio.create_task(stage.manager.acquire("db:k0"))
    await settled()
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "db:k0" in stage.manager.resources  # held by the stage, and by nobody else after it


async def release(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x")  # the holder has given it back, whatever happens here
    await settled()
    assert (thing.closed, thing.reset) == (1, 0)
    assert await stage.manager.acquire("db:x") is not thing
    await stage.manager.release("db:x")


async def discard(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x", discard=True)
    await settled()
    assert thing.closed == 1
    await stage.still_free("db:x")


async def opened(stage: Stage) -> None:
    count = len(stage.fleet.things)
    thing = await stage.manager.acquire("db:new", timeout=1)  # keeps its ticket
    first, second = stage.fleet.things[count:]
    await settled()
    assert (first.closed, second.closed) == (1, 0)
    assert thing is second
    await stage.manager.release("db:new")


async def open_failed(stage: Stage) -> None:
    count = len(stage.fleet.things)
    await stage.manager.acquire("db:broken", timeout=1)
    assert len(stage.fleet.things) == count + 1
    await stage.manager.release("db:broken")


async def check_ended(stage: Stage) -> None:
    await asyncio.sleep(FRESH_FOR + 1)
    thing = await stage.manager.acquire("db:i0", timeout=1)
    await settled()
    assert thing is not stage.idle[0]
    assert stage.idle[0].closed == 1
    await stage.manager.release("db:i0")


async def reset_done(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x")
    await settled()
    assert (thing.reset, thing.closed) == (1, 1)


async def closed(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x", discard=True)
    await settled()
    assert thing.closed == 1
    await stage.still_free("db:x")


async def tick(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert isinstance(await outcome(stage.manager.acquire("db:k0", timeout=2)), AcquireTimeout)
    assert loop.time() == began + 2


async def sweep(stage: Stage) -> None:
    stage.manager.actor("db").tell(on.Sweep())
    await settled()
    assert [thing.closed for thing in stage.idle] == [0, 0, 0]


async def evict(stage: Stage) -> None:
    await stage.manager.cleanup("db:i0")  # asked again
    assert [thing.closed for thing in stage.idle] == [1, 0, 0]


async def evict_by_handle(stage: Stage) -> None:
    dead = await stage.asked(on.Evict("db:i0"))
    assert isinstance(dead, ActorDead)
    assert [thing.closed for thing in stage.idle] == [0, 0, 0]


async def ready(stage: Stage) -> None:
    assert isinstance(await stage.asked(on.Ready()), ActorDead)
    await stage.manager.wait_ready(timeout=1)


async def suspend(stage: Stage) -> None:
    assert isinstance(await outcome(stage.manager.suspend("db")), ActorDead)
    await stage.still_free("db:new")  # it did not come about


async def resume(stage: Stage) -> None:
    await stage.manager.suspend("db")
    assert isinstance(await outcome(stage.manager.resume("db")), ActorDead)
    assert isinstance(await outcome(stage.manager.acquire("db:new", timeout=2)), TypeSuspended)
    await stage.manager.resume("db")


async def resize(stage: Stage) -> None:
    assert isinstance(await outcome(stage.manager.resize("db", max_size=5)), ActorDead)
    await stage.still_free("db:new")  # nor this
    assert [thing.closed for thing in stage.idle] == [0, 0, 0]


async def reclaim(stage: Stage) -> None:
    async def leak() -> None:
        await stage.manager.acquire("db:x", owner=asyncio.current_task())

    await asyncio.create_task(leak())
    for _ in range(2):  # each looks for ended owners
        stage.manager.actor("db").tell(on.Sweep())
        await settled()
    assert stage.fleet.things[-1].closed == 1
    await stage.still_free("db:x")


async def suspect(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.suspend(30)
    await asyncio.sleep(61)  # the janitor sees by then that the machine has slept
    assert [thing.closed for thing in stage.idle] == [0, 0, 0]


async def allot(stage: Stage) -> None:
    await stage.still_free("db:new")


async def inquire(stage: Stage) -> None:
    crash(stage.manager, "budget:shared")  # the new one asks
    await settled()
    await stage.still_free("db:new")


SCENES: list[tuple[type[on.Event], Scene]] = [
    (on.Acquire, acquire),
    (on.Cancel, cancel),
    (on.Release, release),
    (on.Discard, discard),
    (on.Opened, opened),
    (on.OpenFailed, open_failed),
    (on.CheckPassed, check_ended),
    (on.CheckFailed, check_ended),
    (on.ResetDone, reset_done),
    (on.Closed, closed),
    (on.Tick, tick),
    (on.Sweep, sweep),
    (on.Evict, evict),
    (on.Evict, evict_by_handle),
    (on.Ready, ready),
    (on.Suspend, suspend),
    (on.Resume, resume),
    (on.Resize, resize),
    (on.Reclaim, reclaim),
    (on.Suspect, suspect),
    (on.Allot, allot),
    (on.Inquire, inquire),
]

# Drain and Shut are cases 69, Restore is a case 70: the type is stopped or parked with them.
ELSEWHERE = {on.Drain, on.Shut, on.Restore}


def test_67_no_kind_of_message_is_left_out() -> None:
    assert {kind for kind, _ in SCENES} | ELSEWHERE == set(machine.HANDLERS)


class Moody(Fleet):
    """Fails what the scene needs to fail."""

    def __init__(self, kind: type[on.Event]) -> None:
        super().__init__()
        self.fail_open = kind is on.OpenFailed
        self.fail_check = kind is on.CheckFailed

    async def open(self, key: str = "", **_: object) -> object:  # type: ignore[override]
        if self.fail_open and key == "db:broken":
            self.fail_open = False
            raise ConnectionError("not today")
        return await super().open(key)

    async def check(self, thing: object) -> None:
        await super().check(thing)  # type: ignore[arg-type]
        if self.fail_check:
            self.fail_check = False
            raise ConnectionError("gone")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("kind", "scene"), SCENES, ids=[f"{kind.__name__}-{scene.__name__}" for kind, scene in SCENES]
)
def test_67_a_crash_in_the_turn_of_each_kind_of_message(
    kind: type[on.Event], scene: Scene, *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Moody(kind)
        budget = Budget("shared", 50) if kind in (on.Allot, on.Inquire) else None
        async with serving(staged_spec(fleet, budget=budget)) as manager:
            stage = Stage(manager, fleet)
            await stage.set()
            with crashing(monkeypatch, kind, after=after) as hit:
                await scene(stage)
                await settled()
            assert len(hit) == 1
            await stage.verify()
        fleet.assert_all_closed_once()

    run(main())
