"""Case 67 for the performer: a crash between the effects of one turn, which is then half-done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.errors import AcquireTimeout, SupervisorCrashed
from pepperpy_resources.testing import run
from tests.supervision.kit import Fleet, failing_effect, outcome, serving, settled
from tests.supervision.stage import FRESH_FOR, Stage, staged_spec

Scene = Callable[[Stage], Awaitable[None]]


async def wait(stage: Stage) -> None:
    denied = await outcome(stage.manager.acquire("db:k0"))
    assert isinstance(denied, SupervisorCrashed)


async def open_(stage: Stage) -> None:
    denied = await outcome(stage.manager.acquire("db:new"))
    assert isinstance(denied, SupervisorCrashed)
    await stage.still_free("db:new")


async def check(stage: Stage) -> None:
    await asyncio.sleep(FRESH_FOR + 1)
    denied = await outcome(stage.manager.acquire("db:i0"))
    assert isinstance(denied, SupervisorCrashed)


async def reset(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x")
    await settled()
    assert thing.closed == 1  # its reset never ran: it must not be lent again
    await stage.still_free("db:x")


async def close_of_discard(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x", discard=True)
    await settled()
    assert thing.closed == 1  # its borrower said that it is no good
    await stage.still_free("db:x")


async def close_of_evict(stage: Stage) -> None:
    await stage.manager.cleanup("db:i*")
    assert [thing.closed for thing in stage.idle] == [1, 1, 1]


async def doom(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.cleanup("db:x")
    await stage.manager.release("db:x")
    await settled()
    assert thing.closed == 1


async def idle_after_open(stage: Stage) -> None:
    count = len(stage.fleet.things)
    thing = await stage.manager.acquire("db:new", timeout=1)
    first, second = stage.fleet.things[count:]
    await settled()
    assert (first.closed, thing is second) == (1, True)
    await stage.manager.release("db:new")


async def idle_after_reset(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:i0")  # opens nothing
    await stage.manager.release("db:i0")
    await settled()
    assert (thing.reset, thing.closed) == (2, 1)


async def gone(stage: Stage) -> None:
    thing = await stage.manager.acquire("db:x")
    await stage.manager.release("db:x", discard=True)
    await settled()
    assert thing.closed == 1
    await stage.still_free("db:x")


async def answer(stage: Stage) -> None:
    async with asyncio.timeout(1):
        await stage.manager.cleanup("db:i0")
    assert stage.idle[0].closed == 1


async def deny(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    both = await asyncio.gather(
        *(outcome(stage.manager.acquire(f"db:k{n}", timeout=2)) for n in range(2))
    )
    assert [type(error) for error in both] == [AcquireTimeout, AcquireTimeout]
    assert loop.time() == began + 2


async def wake(stage: Stage) -> None:
    denied = await outcome(stage.manager.acquire("db:k0", timeout=2))  # the earliest deadline
    assert isinstance(denied, SupervisorCrashed)


SCENES: list[tuple[type[do.Effect], Scene]] = [
    (do.Wait, wait),
    (do.Open, open_),
    (do.Check, check),
    (do.Reset, reset),
    (do.Close, close_of_discard),
    (do.Close, close_of_evict),
    (do.Doom, doom),
    (do.Idle, idle_after_open),
    (do.Idle, idle_after_reset),
    (do.Gone, gone),
    (do.Answer, answer),
    (do.Deny, deny),
    (do.Wake, wake),
]


@pytest.mark.parametrize(
    ("kind", "scene"), SCENES, ids=[f"{kind.__name__}-{scene.__name__}" for kind, scene in SCENES]
)
def test_67_a_crash_between_the_effects_of_a_turn(
    kind: type[do.Effect], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(staged_spec(fleet)) as manager:
            stage = Stage(manager, fleet)
            await stage.set()
            with failing_effect(monkeypatch, kind) as hit:
                await scene(stage)
                await settled()
            assert len(hit) == 1
            await stage.verify()
        fleet.assert_all_closed_once()

    run(main())
