"""Priorities through every door: who is served first, and what is no priority."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, managed_resource
from pepperpy_resources.errors import AcquireTimeout, QueueFull, UsageError
from pepperpy_resources.messages import Acquire, Release
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled, timed

SECRET = "postgres://user:hunter2@host/db"

Asked = tuple[float, int | None]  # seconds it comes in later than the first, priority


async def order_of(manager: DefaultResourceManager, *asked: Asked, key: str = "db") -> list[int]:
    """Let these wait for the only resource; return in which order they got it."""
    served: list[int] = []

    async def borrow(number: int, after: float, priority: int | None) -> None:
        await asyncio.sleep(after)
        async with manager.lease(key, priority=priority, timeout=1000.0):
            served.append(number)
            await asyncio.sleep(0.01)

    async with manager.lease(key):
        tasks = [asyncio.create_task(borrow(n, *each)) for n, each in enumerate(asked)]
        await asyncio.sleep(100.0)
    await asyncio.gather(*tasks)
    return served


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([(0, None), (1, None), (2, None)], [0, 1, 2]),
        ([(0, 0), (1, 9), (2, -9)], [1, 0, 2]),
        # One more counts as 10 s: exactly that is a tie, which goes to the older.
        ([(0, 0), (9.5, 1), (10.5, 1), (10.6, 2)], [3, 1, 0, 2]),
        ([(0, -1), (9, 0), (11, 0)], [1, 0, 2]),
        ([(0, 1), (0.5, 1), (1, 2), (1.5, 2)], [2, 3, 0, 1]),
    ],
)
def test_one_more_counts_as_ageing_waited_already(asked: list[Asked], expected: list[int]) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1, ageing=10.0)) as manager:
            assert await order_of(manager, *asked) == expected

    run(main())


def test_none_is_the_spec_s_own() -> None:
    async def main() -> None:
        spec = Backend().spec(max_size=1, priority=5, ageing=10.0)
        async with serving(spec) as manager:
            assert await order_of(manager, (0, 4), (1, None), (2, 6), (3, 5)) == [2, 1, 3, 0]

    run(main())


def test_on_a_keyed_type_within_a_key() -> None:
    async def main() -> None:
        async with serving(Backend().spec(keyed=True, ageing=10.0)) as manager:
            asked = (0.0, 0), (1.0, 3)
            orders = await asyncio.gather(
                order_of(manager, *asked, key="db:a"), order_of(manager, *asked, key="db:b")
            )
            assert list(orders) == [[1, 0], [1, 0]]

    run(main())


def test_through_every_door_and_over_a_crash() -> None:
    async def main() -> None:
        spec = Backend().spec(max_size=1)
        async with serving(spec) as manager:
            served: list[str] = []

            @managed_resource("db", manager=manager, priority=1)
            async def decorated(_: Any) -> None:
                served.append("decorated")

            async def acquired() -> None:
                await manager.acquire("db:acquired", priority=2)
                served.append("acquired")
                await manager.release("db:acquired")

            async def asked() -> None:
                lease = await manager.actor("db").ask(Acquire("db:asked", priority=3))
                served.append("asked")
                manager.actor("db").tell(Release("db:asked", lease.epoch))

            async def typed() -> None:
                async with manager.type(spec).lease(priority=4):
                    served.append("typed")

            doors: list[Callable[[], Awaitable[None]]] = [decorated, acquired, asked, typed]
            async with manager.lease("db"):
                tasks = [asyncio.ensure_future(door()) for door in doors]
                await settled()
                crash(manager, "db")
                await settled()
            await asyncio.gather(*tasks)
            assert served == ["typed", "asked", "acquired", "decorated"]

    run(main())


def test_deadlines_and_limits_are_those_of_everyone() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1, max_waiting=1)) as manager:
            await manager.acquire("db:held")
            waiting = asyncio.create_task(timed(manager.acquire("db:low", timeout=2.0)))
            await settled()
            with pytest.raises(QueueFull):
                await manager.acquire("db:high", priority=9)
            seconds, error = await waiting
            assert seconds == pytest.approx(2.0)
            assert isinstance(error, AcquireTimeout)
            urgent = asyncio.create_task(manager.acquire("db:high", priority=9))
            await settled()
            urgent.cancel()
            await asyncio.wait({urgent})
            await manager.release("db:held")
            await manager.acquire("db:next", timeout=0)

    run(main())


@pytest.mark.parametrize("bad", [10, -10, True, 1.0, math.nan, "1", SECRET, [1], 2**99, object()])
def test_what_is_no_priority_is_refused_where_it_is_said(bad: Any) -> None:
    async def main() -> None:
        spec = Backend().spec()
        async with serving(spec) as manager:
            handle = manager.type(spec)
            doors: list[Callable[[], Awaitable[Any]]] = [
                lambda: manager.acquire("db:a", priority=bad),
                lambda: handle.acquire("a", priority=bad),
                lambda: manager.lease("db", priority=bad).__aenter__(),
                lambda: handle.lease(priority=bad).__aenter__(),
                lambda: manager.actor("db").ask(Acquire("db:a", priority=bad)),
            ]
            for door in doors:
                with pytest.raises(UsageError, match=r"priority|int") as refused:
                    await door()
                shown = "a str" if isinstance(bad, str) else ""
                assert shown in str(refused.value)
                assert SECRET not in str(refused.value)
            with pytest.raises(
                UsageError, match=r"priority=10 is refused: .* from -9 to 9, or None"
            ):
                manager.lease("db", priority=10)
            assert "db:a" not in manager.resources
            assert manager.cell("db").incarnation == 1

    run(main())
