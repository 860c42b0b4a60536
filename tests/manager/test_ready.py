"""min_idle and wait_ready: the floor is there, comes back, and is said to be missing (case 14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import Backoff
from pepperpy_resources.errors import AskTimeout
from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, serving, settled, ticks, timed


def test_a_type_without_a_floor_opens_nothing_and_is_ready_at_once() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            assert (await timed(manager.wait_ready()))[0] == 0.0
            await asyncio.sleep(3600)
            assert backend.opened == 0

    run(main())


@pytest.mark.parametrize(
    ("max_opening", "seconds"), [(1, 5.0), (2, 3.0), (4, 2.0), (10, 1.0)]
)  # fmt: skip
def test_the_floor_is_filled_max_opening_at_a_time(max_opening: int, seconds: float) -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        spec = backend.spec(max_size=8, min_idle=5, max_opening=max_opening)
        async with serving(spec) as manager:
            took, error = await timed(manager.wait_ready(60))
            assert error is None
            assert took == pytest.approx(seconds)
            assert backend.opened == 5
            await manager.acquire("db:a", timeout=0)
            await asyncio.sleep(10)
            assert backend.live == 5

    run(main())


def test_every_type_must_be_ready() -> None:
    async def main() -> None:
        quick, slow = Backend(open=0.5), Backend(open=2.0)
        types = quick.spec("quick", min_idle=1), slow.spec("slow", min_idle=1)
        async with serving(*types) as manager:
            assert (await timed(manager.wait_ready()))[0] == pytest.approx(2.0)
            assert (await timed(manager.wait_ready()))[0] == 0.0

    run(main())


@pytest.mark.parametrize("step", [NEVER, ConnectionError("refused")], ids=["hangs", "fails"])
def test_what_is_not_ready_in_time_is_named_with_its_cause(step: Any) -> None:
    async def main() -> None:
        backend = Backend(open=step)
        spec = backend.spec("db", min_idle=2, create_timeout=1, backoff=Backoff(max=1.0))
        async with serving(Backend().spec("well", min_idle=1), spec) as manager:
            seconds, error = await timed(manager.wait_ready(4))
            assert isinstance(error, AskTimeout)
            assert seconds == pytest.approx(4.0)
            assert "'db' has not reached min_idle within 4" in str(error)
            assert "well" not in str(error)
            cause = str(error.__cause__)
            assert ("create_timeout" in cause) if step == NEVER else ("refused" in cause)
            # The wait was withdrawn, the filling goes on.
            backend.usual["open"] = 0.0
            await manager.wait_ready(60)
            assert backend.live == 2

    run(main())


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        async with serving(backend.spec(min_idle=1)) as manager:
            for tick in range(5):
                waiting = asyncio.ensure_future(manager.wait_ready())
                await ticks(tick)
                waiting.cancel()
                await asyncio.wait({waiting})
            await manager.wait_ready(5)
            assert backend.opened == 1

    run(main())


def test_stop_answers_those_who_wait_for_ready() -> None:
    async def main() -> None:
        backend = Backend(open=NEVER)
        async with serving(backend.spec(min_idle=1, close_timeout=1)) as manager:
            waiting = asyncio.ensure_future(timed(manager.wait_ready()))
            await settled()
            await manager.stop(0)
            seconds, _ = await waiting
            assert seconds <= 1.0

    run(main())


def test_the_floor_does_not_delay_a_borrower() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        async with serving(backend.spec(min_idle=2, max_size=4, max_opening=1)) as manager:
            seconds, _ = await timed(manager.acquire("db:a"))
            assert seconds == pytest.approx(1.0)  # the first that was made for the floor
            await manager.wait_ready(10)
            await manager.acquire("db:b", timeout=0)

    run(main())
