"""Case 15: who waits for what it holds itself, or in a circle, is told so, with both stacks."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import AcquireTimeout
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, timed

HERE = Path(__file__).name


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    return [text for text in found if text.startswith("deadlock in ")]


async def outer(manager: DefaultResourceManager) -> None:
    async with manager.lease("db"):
        await inner(manager)


async def inner(manager: DefaultResourceManager) -> None:
    async with manager.lease("db"):
        raise AssertionError


def test_a_nested_lease_that_cannot_be_served_shows_both_places() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1, acquire_timeout=3)) as manager:
            with pytest.raises(AcquireTimeout) as caught:
                await asyncio.create_task(outer(manager))
            text = str(caught.value)
            assert "The same owner waits here and has 'db' held for 3 s by task" in text
            assert HERE in text
            assert "in outer: lease once, pass it on" in text
            assert "Every holder is itself waiting" in text
            stack = "".join(traceback.format_tb(caught.value.__traceback__))
            assert "in inner" in stack  # where it waits: the error comes from there

    run(main())


def test_an_owner_of_another_kind_is_recognised_too() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1, acquire_timeout=1)) as manager:
            await manager.acquire("db:a", owner="report")
            _, error = await timed(manager.acquire("db:b", owner="report"))
            assert "The same owner waits here and has 'db:a' held for 1 s by report" in str(error)
            _, error = await timed(manager.acquire("db:c", owner="other"))
            assert "same owner" not in str(error)
            _, error = await timed(manager.acquire("db:d"))  # nobody in particular
            assert "same owner" not in str(error)

    run(main())


def test_it_is_not_said_of_a_queue_that_moves(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=2), cleanup_interval=1) as manager:

            async def nested() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(1)
                    async with manager.lease("db", timeout=10):
                        await asyncio.sleep(1)

            async def plain() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(5)

            async with asyncio.TaskGroup() as group:
                group.create_task(nested())
                group.create_task(plain())

    run(main())
    assert said(caplog) == []


def test_it_is_not_said_while_a_resource_is_being_made(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        backend = Backend(open=5.0)
        async with serving(backend.spec(max_size=2), cleanup_interval=1) as manager:

            async def nested() -> None:
                async with manager.lease("db"), manager.lease("db") as fake:
                    assert fake.number == 2

            await asyncio.create_task(nested())

    run(main())
    assert said(caplog) == []


def test_every_holder_waiting_for_another_one_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> list[BaseException | None]:
        async with serving(Backend().spec(max_size=3, acquire_timeout=20)) as manager:
            tasks = [asyncio.create_task(late(manager, n), name=f"job-{n}") for n in range(3)]
            return await asyncio.gather(*tasks, return_exceptions=True)

    async def late(manager: DefaultResourceManager, number: int) -> None:
        async with manager.lease("db"):
            await asyncio.sleep(2 + number / 10)
            await inner(manager)

    errors = run(main())
    (text,) = said(caplog)
    assert text.startswith("deadlock in db: every holder is itself waiting")
    assert "acquire what you need at once, or in one order everywhere" in text
    for number in range(3):
        assert f"  task 'job-{number}' holds 'db'" in text
    assert text.count("in late") == 6  # where each was served, and where each stands
    assert text.count("in inner") == 3
    assert "Every holder is itself waiting here" in str(errors[0])


@pytest.mark.parametrize("at_work", [False, True])
def test_a_circle_through_two_types_is_said(
    caplog: pytest.LogCaptureFixture, *, at_work: bool
) -> None:
    async def main() -> None:
        specs = (
            Backend().spec("db", max_size=1, acquire_timeout=5),
            Backend().spec("cache", max_size=2 if at_work else 1, acquire_timeout=9),
        )
        async with serving(*specs) as manager:

            async def both(first: str, second: str) -> None:
                async with manager.lease(first):
                    await asyncio.sleep(1)
                    async with manager.lease(second):
                        pass

            async def one() -> None:
                async with manager.lease("cache"):
                    await asyncio.sleep(4)

            tasks = [
                asyncio.create_task(both("db", "cache"), name="up"),
                asyncio.create_task(both("cache", "db"), name="down"),
            ]
            if at_work:
                tasks.append(asyncio.create_task(one(), name="third"))
            await asyncio.wait(tasks)
            ended = [task.exception() for task in tasks]
            assert [error is None for error in ended].count(False) == (0 if at_work else 1)

    run(main())
    if at_work:  # the third will give its cache back
        assert said(caplog) == []
    else:
        (text,) = said(caplog)
        assert text.startswith("deadlock in cache, db: ")
        assert "  task 'up' holds 'db'" in text
        assert "  task 'down' holds 'cache'" in text
        assert text.count("in both") == 4  # where each was served, and where each stands
