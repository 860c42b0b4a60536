"""Case 2: a release that is cancelled, or whose reset hangs, loses no slot."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pepperpy_resources.core.events import Sweep
from pepperpy_resources.testing import run
from tests.helpers import NEVER, STUBBORN, Backend, Fake, Ticks, now, serving, ticks, usable

SLOTS = 3


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("reset", [None, Ticks(4), NEVER], ids=["none", "slow", "hanging"])
@pytest.mark.parametrize("tick", range(7))
def test_a_cancelled_release_gives_the_slot_back(
    tick: int, reset: Ticks | None, *, twice: bool
) -> None:
    async def main() -> None:
        backend = Backend(reset=reset or 0.0)
        hooks = ("reset",) if reset is not None else ()
        spec = backend.spec("db", *hooks, max_size=SLOTS, reset_timeout=1)
        async with serving(spec) as manager:
            for number in range(SLOTS * 2):
                await manager.acquire(f"db:{number}")
                task = asyncio.ensure_future(manager.release(f"db:{number}"))
                await ticks(tick)
                task.cancel()
                if twice:
                    await ticks(1)
                    task.cancel()
                await asyncio.wait({task})
                if task.cancelled() and tick == 0:  # it never began: the holder holds on
                    await manager.release(f"db:{number}")
            backend.usual["reset"] = 0.0
            await usable(manager, "db", SLOTS)
            assert (await manager.monitor())["active_resources"] == 0
        assert backend.most_live <= SLOTS
        backend.assert_all_closed()

    run(main())


def test_a_release_that_had_to_queue_is_not_undone_by_its_cancellation() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:a")
            # A message of another thread is queued: what comes after it must queue as well.
            thread = threading.Thread(target=manager.actor("db").tell, args=(Sweep(),))
            thread.start()
            thread.join()
            release = asyncio.ensure_future(manager.release("db:a"))
            asyncio.get_running_loop().call_soon(release.cancel)
            await asyncio.wait({release})
            assert "db:a" not in manager.resources
            await manager.acquire("db:b", timeout=0)

    run(main())


@pytest.mark.parametrize(
    ("reset", "wait"),
    [
        (NEVER, 2.0),  # cancelled at its deadline, then closed: a new resource at once
        (STUBBORN, 2.0 + 6.0),  # ignores that: its slot counts until the close deadline as well
    ],
    ids=["hanging", "stubborn"],
)
def test_a_reset_that_hangs_is_bounded_and_its_slot_replaced(reset: Ticks, wait: float) -> None:
    async def main() -> None:
        backend = Backend(reset=reset)
        spec = backend.spec("db", "reset", max_size=2, reset_timeout=2, close_timeout=6)
        async with serving(spec) as manager:
            try:
                await manager.acquire("db:other")
                first: Fake = await manager.acquire("db:a")
                await manager.release("db:a")
                began = now()
                second: Fake = await manager.acquire("db:b", timeout=20)
                assert second is not first
                assert now() - began == pytest.approx(wait)
                assert first.closes == 1
            finally:
                backend.let_go.set()
        backend.assert_all_closed()

    run(main())


def test_a_lease_block_that_is_cancelled_while_it_is_left_has_given_back() -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(4))
        async with serving(backend.spec("db", "reset", max_size=1)) as manager:

            async def borrower() -> None:
                async with manager.lease("db"):
                    pass
                await asyncio.sleep(60)

            task = asyncio.ensure_future(borrower())
            while not backend.calls["reset"]:
                await ticks(1)
            task.cancel()
            await asyncio.wait({task})
            await usable(manager, "db", 1)
            assert backend.opened == 1

    run(main())


@pytest.mark.parametrize("usual", [{}, {"reset": Ticks(2)}], ids=["plain", "reset"])
def test_a_storm_of_cancels_leaves_every_slot_usable(usual: dict[str, Any]) -> None:
    """Fifteen hundred cancels, at every tick of acquire, use and release."""

    async def main() -> None:
        backend = Backend(**usual)
        spec = backend.spec("db", *(["reset"] if usual else []), max_size=5)
        hit = 0
        async with serving(spec) as manager:

            async def borrow(number: int) -> None:
                nonlocal hit
                await manager.acquire(f"db:{number}")
                try:
                    await ticks(number % 4)
                finally:
                    try:
                        await manager.release(f"db:{number}")
                    except asyncio.CancelledError:
                        hit += 1
                        raise

            crowd = [asyncio.ensure_future(borrow(number)) for number in range(1500)]
            for number, task in enumerate(crowd):
                if number % 7 == 0:
                    await ticks(1)
                task.cancel()
            ended = await asyncio.gather(*crowd, return_exceptions=True)
            assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ended)
            assert hit == 0  # a release has no point at which a cancel could hit it
            await usable(manager, "db", 5)
            assert (await manager.monitor())["active_resources"] == 0
        assert backend.most_live <= 5
        backend.assert_all_closed()

    run(main())
