"""Case 17: a hand-over that races with its deadline, or is never taken, loses nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import AcquireTimeout, NotLeased
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, settled, ticks, timed, usable


async def raced(borrower: Any, wait: float, lag: int) -> None:
    """Let a slot come back `lag` ticks after the deadline of the one who waits for it is due."""
    backend = Backend()
    async with serving(backend.spec(max_size=1)) as manager:
        await manager.acquire("db:holder")
        task = asyncio.ensure_future(timed(borrower(manager)))
        await asyncio.sleep(wait)
        await ticks(lag)
        await manager.release("db:holder")
        seconds, end = await task
        assert seconds == pytest.approx(1.0, abs=0.002)
        if isinstance(end, BaseException):
            assert isinstance(end, TimeoutError)
        await settled()
        assert dict(manager.resources) == {}
        await manager.acquire("db:next", timeout=0)
        assert manager.cell("db").incarnation == 1
    backend.assert_all_closed()


@pytest.mark.parametrize("lag", range(12))
@pytest.mark.parametrize("wait", [0.999, 1.0, 1.0 + 1e-12])
def test_a_timeout_that_races_with_a_release_loses_nothing(wait: float, lag: int) -> None:
    async def borrower(manager: DefaultResourceManager) -> None:
        await manager.acquire("db:waiter", timeout=1.0)
        await manager.release("db:waiter")

    run(raced(borrower, wait, lag))


@pytest.mark.parametrize("lag", range(12))
@pytest.mark.parametrize("wait", [0.999, 1.0, 1.0 + 1e-12])
def test_a_foreign_timeout_that_races_with_a_release_loses_nothing(wait: float, lag: int) -> None:
    async def borrower(manager: DefaultResourceManager) -> None:
        async with asyncio.timeout(1.0), manager.lease("db"):
            pass

    run(raced(borrower, wait, lag))


def test_a_slot_that_comes_back_after_the_deadline_is_not_granted_by_a_late_clock() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            late = asyncio.ensure_future(manager.acquire("db:late", timeout=0.01))
            patient = asyncio.ensure_future(manager.acquire("db:patient", timeout=2))
            await ticks(2)
            time.sleep(0.05)  # noqa: ASYNC251 - the loop is stuck: no timer could fire
            await manager.release("db:holder")
            assert await patient is backend.fakes[0]
            with pytest.raises(AcquireTimeout):
                await late

    asyncio.run(main())


def test_both_ends_of_the_race_do_happen() -> None:
    # The guard of the two tests above: a race that only ever ends one way proves nothing.
    async def end(wait: float) -> bool:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            task = asyncio.ensure_future(timed(manager.acquire("db:waiter", timeout=1.0)))
            await asyncio.sleep(wait)
            await manager.release("db:holder")
            return isinstance((await task)[1], Fake)

    assert run(end(0.999))
    assert not run(end(1.001))


def test_late_unknown_and_double_releases_never_crash_the_actor() -> None:
    async def main() -> None:
        backend = Backend()
        keyed = backend.spec("key", keyed=True)
        async with serving(backend.spec("db", max_size=2), keyed) as manager:
            for name in ("db", "key"):
                for number in range(50):
                    with pytest.raises(NotLeased):
                        await manager.release(f"{name}:unknown-{number}")
                    await manager.acquire(f"{name}:{number}")
                    await manager.release(f"{name}:{number}")
                    with pytest.raises(NotLeased):
                        await manager.release(f"{name}:{number}")
                    await manager.acquire(f"{name}:{number}")
                    await manager.cleanup(f"{name}:{number}", force=True)
                    await manager.release(f"{name}:{number}")  # late: a no-op, once
                    with pytest.raises(NotLeased):
                        await manager.release(f"{name}:{number}")
                assert manager.cell(name).incarnation == 1
                assert manager.cell(name).last_exit is None
            await usable(manager, "db", 2)
        backend.assert_all_closed()

    run(main())


def test_an_id_whose_lease_ended_on_our_side_cannot_hit_a_later_lease() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            await manager.acquire("db:a")
            await manager.cleanup("db:a", force=True)
            with pytest.raises(Exception, match="its holder has not released it yet"):
                await manager.acquire("db:a")
            await manager.release("db:a")  # now it has
            fake = await manager.acquire("db:a")
            assert fake is backend.fakes[1]
            assert fake.closes == 0
            # Unclaimed late releases are remembered for ten minutes, no longer.
            await manager.cleanup("db:a", force=True)
            await asyncio.sleep(600 + 300)
            await manager.acquire("db:a")

    run(main())
