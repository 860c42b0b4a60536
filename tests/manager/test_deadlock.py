"""Tasks that wait for what they hold: said once while it lasts, and in the error it ends with."""

from __future__ import annotations

import asyncio
import logging

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import AcquireTimeout
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, timed


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "deadlock in" in record.msg]


async def crossing(
    manager: DefaultResourceManager, first: str, second: str, timeout: float = 20.0
) -> BaseException | None:
    """Hold one of `first`, then ask for one of `second`."""
    async with manager.lease(first):
        await asyncio.sleep(0.1)
        try:
            async with manager.lease(second, timeout=timeout):
                return None
        except AcquireTimeout as error:
            return error


def test_two_types_each_of_whose_holders_waits_for_the_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Backend()
        specs = backend.spec("db", max_size=1), backend.spec("llm", max_size=1)
        async with serving(*specs) as manager:
            left = asyncio.create_task(crossing(manager, "db", "llm"), name="left")
            right = asyncio.create_task(crossing(manager, "llm", "db", timeout=25.0), name="right")
            await asyncio.sleep(1.5)
            assert len(warnings(caplog)) == 1  # within a second or so
            assert isinstance(await left, AcquireTimeout)
            assert await right is None  # once the other has given up

    with caplog.at_level(logging.WARNING):
        run(main())
    (text,) = warnings(caplog)
    assert text.startswith("deadlock in db, llm: every holder is itself waiting")
    for holder, name in (("left", "db"), ("right", "llm")):
        assert f"\n  task '{holder}' holds '{name}'\nacquired at " in text
    assert text.count(" in crossing") == 4  # where each took it, and where each is now
    assert text.count("async with manager.lease(second") == 2


def test_one_type_whose_holders_all_want_a_second_one(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=2)) as manager:
            tasks = [
                asyncio.create_task(crossing(manager, "db", "db", timeout=patience))
                for patience in (20.0, 25.0)
            ]
            impatient, patient = await asyncio.gather(*tasks)
            assert patient is None
            text = str(impatient)
            assert "The same owner waits here and has 'db' held for" in text
            assert "lease once, pass it on." in text
            assert "Every holder is itself waiting here" in text

    run(main())
    (text,) = warnings(caplog)
    assert text.startswith("deadlock in db:")


def test_a_holder_at_work_is_no_deadlock_nor_is_one_unknown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=2)) as manager:
            await manager.acquire("db:a")  # by nobody knows whom
            error = await crossing(manager, "db", "db")
            assert "The same owner waits here" in str(error)
            assert "Every holder" not in str(error)

    run(main())
    assert warnings(caplog) == []


def test_it_is_said_again_when_it_happens_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:
            for count in (1, 2):
                assert (await timed(crossing(manager, "db", "db", timeout=5.0)))[0] < 6.0
                assert len(warnings(caplog)) == count
                await asyncio.sleep(1.0)
                async with manager.lease("db"):  # all is well for a while
                    with pytest.raises(AcquireTimeout):
                        await asyncio.create_task(manager.acquire("db:x", timeout=2.0))

    run(main())


def test_thousands_that_wait_are_not_looked_through(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:

            async def waits(number: int) -> None:
                with pytest.raises(AcquireTimeout):
                    await manager.acquire(f"db:{number}", timeout=2.5, owner="crowd")

            crowd = asyncio.gather(*map(waits, range(1500)))
            await crossing(manager, "db", "db", timeout=2.8)
            await crowd

    run(main())
    assert warnings(caplog) == []
