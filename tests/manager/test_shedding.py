"""max_queue_delay: a queue that stands is shed, a burst is served; what the refused are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import Overloaded, OverloadError
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, timed
from tests.observe.watching import noting

TARGET = 0.5
STANDS = 20 * TARGET


async def waiter(manager: DefaultResourceManager, at: float) -> Any:
    """Come at this time; return how long it waited, or what it was told and when."""
    await asyncio.sleep(at)

    async def borrow() -> None:
        async with manager.lease("db"):
            pass

    seconds, result = await timed(borrow())
    return seconds, result


def test_it_stands_after_twenty_times_the_target_and_whoever_waits_longer_is_refused() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_queue_delay=TARGET)) as manager:
            with noting(manager) as notes:
                async with manager.lease("db"):
                    ages = (0.0, 4.0, 9.4, 9.9, 12.0)
                    tasks = [asyncio.create_task(waiter(manager, at)) for at in ages]
                    await asyncio.sleep(12.2)
                results = await asyncio.gather(*tasks)
                waited = [seconds for seconds, _ in results]
                # At 10.0 all three who have waited longer than the target; then each in time.
                assert waited == pytest.approx([10.0, 6.0, 0.6, 0.5, 0.2])
                for _, error in results[:4]:
                    assert isinstance(error, Overloaded)
                    assert isinstance(error, OverloadError)
                    assert "max_queue_delay=0.5 s" in str(error)
                    assert "Shed load" in str(error)
                assert results[4][1] is None  # in time; and then the queue is empty, and calm
                denied = [event for event in notes.events if event.what == "denied"]
                assert [event.reason for event in denied] == ["overloaded"] * 4
            assert (await manager.monitor())["types"]["db"]["acquires"]["refused"] == 4
            assert backend.live == 1

    run(main())


def test_a_burst_that_is_served_within_that_time_is_served_whole() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1, max_queue_delay=TARGET)) as manager:

            async def borrow() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(STANDS / 51)

            results = await asyncio.gather(*(timed(borrow()) for _ in range(50)))
            assert [result for _, result in results if result is not None] == []

    run(main())


def test_off_nobody_is_shed() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:
            async with manager.lease("db"):
                task = asyncio.create_task(waiter(manager, 0.0))
                await asyncio.sleep(29.0)
            assert await task == (pytest.approx(29.0), None)

    run(main())


def test_on_a_keyed_type_one_key_is_shed_and_no_other() -> None:
    async def main() -> None:
        spec = Backend().spec(keyed=True, max_queue_delay=TARGET)
        async with serving(spec) as manager:

            async def borrow(key: str, after: float) -> None:
                await asyncio.sleep(after)
                async with manager.lease(key):
                    pass

            async with manager.lease("db:busy"), manager.lease("db:calm"):
                busy = asyncio.create_task(timed(borrow("db:busy", 0.0)))
                calm = asyncio.create_task(timed(borrow("db:calm", 8.0)))
                await asyncio.sleep(15.0)
            assert isinstance((await busy)[1], Overloaded)
            assert (await calm)[1] is None

    run(main())


def test_a_crash_begins_the_measuring_anew_and_refuses_nobody_early() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1, max_queue_delay=TARGET)) as manager:
            async with manager.lease("db"):
                task = asyncio.create_task(waiter(manager, 0.0))
                await asyncio.sleep(5.0)
                crash(manager, "db")
                await asyncio.sleep(20.0)
            seconds, error = await task
            assert isinstance(error, Overloaded)
            assert seconds == pytest.approx(15.0)

    run(main())
