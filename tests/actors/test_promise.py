"""A façade call that waits: one promise, and no way to lose what it was promised (law 6, 7)."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import AcquireTimeout, NotLeased
from pepperpy_resources.messages import Describe
from pepperpy_resources.testing import run
from tests.supervision.kit import Fleet, outcome, serving, settled


@pytest.mark.parametrize("how", ["acquire", "lease"])
@pytest.mark.parametrize("ticks", range(8))
def test_cancelled_at_any_tick_around_the_grant(how: str, ticks: int) -> None:
    # The holder releases, and so many ticks before or after that the waiter is cancelled.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            got = []

            async def wait() -> None:
                if how == "acquire":
                    got.append(await manager.acquire("db:w"))
                    await manager.release("db:w")
                else:
                    async with manager.lease("db:w") as thing:
                        got.append(thing)

            await manager.acquire("db:holder")
            waiter = asyncio.create_task(wait())
            await settled(4)
            loop = asyncio.get_running_loop()
            release = asyncio.create_task(manager.release("db:holder"))
            for _ in range(ticks // 2):
                await asyncio.sleep(0)
            if ticks % 2:
                waiter.cancel()
            else:
                loop.call_soon(waiter.cancel)
            await release
            await asyncio.wait([waiter])
            assert waiter.cancelled() == (not got)  # cancel() that took says so by the error
            async with manager.lease("db", timeout=1):  # and the slot is back either way
                described = await manager.actor("db").ask(Describe())
                assert len(described.leases) == 1
        fleet.assert_all_closed_once()

    run(main())


def test_cancelled_after_the_grant_in_the_same_tick() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            first = asyncio.create_task(manager.acquire("db:first"))
            second = asyncio.create_task(manager.acquire("db:second"))
            await settled()
            await manager.release("db:holder")
            assert "db:first" in manager.resources
            assert first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await second is fleet.things[0]  # it went to the next one at once
            await manager.release("db:second")
        fleet.assert_all_closed_once()

    run(main())


def test_a_grant_to_one_who_is_cancelled_already_goes_to_the_next() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            first = asyncio.create_task(manager.acquire("db:first"))
            second = asyncio.create_task(manager.acquire("db:second"))
            await settled()
            assert first.cancel()  # it has not run yet; the pool still has its ticket
            await manager.release("db:holder")
            assert await second is fleet.things[0]
            assert first.cancelled()
            await manager.release("db:second")
        fleet.assert_all_closed_once()

    run(main())


def test_an_error_and_a_cancellation_in_one_tick() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            loop = asyncio.get_running_loop()
            waiter = asyncio.create_task(outcome(manager.acquire("db:w", timeout=1)))
            loop.call_later(1, waiter.cancel)
            await asyncio.wait([waiter])
            assert waiter.cancelled() or isinstance(waiter.result(), AcquireTimeout)
            await manager.release("db:holder")
            await manager.acquire("db:w", timeout=1)
            await manager.release("db:w")

    run(main())


def test_wait_for_and_timeout_around_an_acquire() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(manager.acquire("db:w"), 1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await manager.acquire("db:w")
            assert (await manager.actor("db").ask(Describe())).tickets == ()
            await manager.release("db:holder")
            with pytest.raises(NotLeased):
                await manager.release("db:w")

    run(main())
