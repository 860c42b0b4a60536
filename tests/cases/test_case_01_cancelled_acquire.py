"""Case 1: an acquire that is cancelled, at whatever tick, loses no slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.testing import run
from tests.helpers import Backend, Ticks, serving, ticks, usable

LAST_TICK = 25
ROUNDS = 400
SLOTS = 3

Borrow = Callable[[DefaultResourceManager, int], Awaitable[None]]


async def by_id(manager: DefaultResourceManager, number: int) -> None:
    await manager.acquire(f"db:{number}")
    try:
        await ticks(number % 7)
    finally:
        await manager.release(f"db:{number}")


async def by_lease(manager: DefaultResourceManager, number: int) -> None:
    async with manager.lease("db"):
        await ticks(number % 7)


@pytest.mark.parametrize("borrow", [by_id, by_lease])
@pytest.mark.parametrize(
    ("usual", "hooks"),
    [
        ({}, ()),
        ({"open": Ticks(7)}, ()),
        ({"reset": Ticks(5)}, ("reset",)),
        ({"check": Ticks(4)}, ("check",)),
        ({"open": Ticks(7), "check": Ticks(3), "reset": Ticks(5), "close": Ticks(4)},
         ("check", "reset")),
    ],
    ids=["instant", "slow factory", "slow reset", "slow check", "all slow"],
)  # fmt: skip
def test_an_acquire_cancelled_at_any_tick_gives_its_slot_back(
    usual: dict[str, Any], hooks: tuple[str, ...], borrow: Borrow
) -> None:
    async def main() -> None:
        backend = Backend(**usual)
        fresh = {"fresh_for": 0} if "check" in hooks else {}
        async with serving(backend.spec("db", *hooks, max_size=SLOTS, **fresh)) as manager:
            crowd: list[asyncio.Task[None]] = []
            for number in range(ROUNDS):
                task = asyncio.ensure_future(borrow(manager, number))
                crowd.append(task)
                asyncio.get_running_loop().call_soon(cancel_at, task, number % (LAST_TICK + 1))
                await ticks(number % 3)  # so that some find a free slot and some must queue
            ended = await asyncio.gather(*crowd, return_exceptions=True)
            cancelled = sum(isinstance(end, asyncio.CancelledError) for end in ended)
            assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ended)
            assert cancelled > ROUNDS / 4  # the storm did hit
            await usable(manager, "db", SLOTS)
            figures = await manager.monitor()
            assert figures["active_resources"] == 0
            assert figures["waiting"] == 0
            assert figures["types"]["db"]["leaked"] == 0  # nobody had to look for what was lost
        assert backend.most_live <= SLOTS
        backend.assert_all_closed()

    run(main())


def cancel_at(task: asyncio.Task[Any], tick: int) -> None:
    """Cancel the task after so many more cycles of the loop."""
    if tick:
        asyncio.get_running_loop().call_soon(cancel_at, task, tick - 1)
    else:
        task.cancel()


@pytest.mark.parametrize("tick", range(LAST_TICK + 1))
def test_the_only_slot_survives_a_cancelled_first_acquire(tick: int) -> None:
    async def main() -> None:
        backend = Backend(open=Ticks(6))
        async with serving(backend.spec(max_size=1)) as manager:
            task = asyncio.ensure_future(by_id(manager, 1))
            await ticks(tick)
            task.cancel()
            await asyncio.wait({task})
            # The same id is free again, and the creation was not cancelled with its asker.
            await manager.acquire("db:1")
            assert backend.calls["open"] == 1
        backend.assert_all_closed()

    run(main())
