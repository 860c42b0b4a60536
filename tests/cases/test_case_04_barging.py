"""Case 4: nobody barges, nobody starves."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.testing import run
from tests.helpers import Backend, Ticks, serving, ticks

WAITERS = 30


@pytest.mark.parametrize("hooks", [(), ("reset",)], ids=["plain", "reset"])
def test_waiters_are_served_in_the_order_of_their_arrival(hooks: tuple[str, ...]) -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(2))
        arrived: list[int] = []
        served: list[int] = []
        async with serving(backend.spec("db", *hooks, max_size=1)) as manager:

            async def borrower(number: int) -> None:
                arrived.append(number)
                async with manager.lease("db"):
                    served.append(number)
                    await ticks(1)

            await manager.acquire("db:holder")
            crowd = [asyncio.ensure_future(borrower(number)) for number in range(WAITERS)]
            await ticks(2)
            await manager.release("db:holder")
            for number in range(WAITERS, 2 * WAITERS):  # newcomers, one a tick
                crowd.append(asyncio.ensure_future(borrower(number)))
                await ticks(1)
            await asyncio.gather(*crowd)
        assert arrived == list(range(2 * WAITERS))
        inversions = sum(a > b for at, a in enumerate(served) for b in served[at:])
        assert inversions == 0
        assert len(served) == 2 * WAITERS

    run(main())


def test_whoever_gives_back_goes_to_the_end_of_the_queue() -> None:
    async def main() -> None:
        backend = Backend()
        served: list[str] = []
        async with serving(backend.spec(max_size=1)) as manager:

            async def greedy(name: str) -> None:
                for _ in range(10):
                    async with manager.lease("db"):
                        served.append(name)

            await asyncio.gather(greedy("a"), greedy("b"), greedy("c"))
        assert served == ["a", "b", "c"] * 10

    run(main())


def test_an_acquire_that_does_not_wait_never_overtakes_the_queue() -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(1))
        async with serving(backend.spec("db", "reset", max_size=1)) as manager:
            await manager.acquire("db:holder")
            first = asyncio.ensure_future(manager.acquire("db:first"))
            await ticks(1)
            await manager.release("db:holder")
            with pytest.raises(TimeoutError):
                await manager.acquire("db:barger", timeout=0)
            await first

    run(main())
