"""Case 16: one hook that hangs costs one slot: others are served as quickly as before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.testing import run
from tests.helpers import NEVER, STUBBORN, Backend, Fake, Ticks, now, serving, settled, timed

ACQUIRES = 20


async def quick(manager: DefaultResourceManager, name: str) -> None:
    """Lease one after another and see that none had to wait."""
    for _ in range(ACQUIRES):
        began = now()
        async with manager.lease(name, timeout=1):
            assert now() == began
            await asyncio.sleep(0.01)


def borrow_into(manager: DefaultResourceManager, backend: Backend, hook: str, step: Ticks) -> Any:
    """Start a borrower whose hook hangs; it takes the next resource that is ready instead."""
    backend.next(hook, step)

    async def borrow() -> Fake:
        async with manager.lease("db", timeout=60) as fake:
            served: Fake = fake
            return served

    return asyncio.ensure_future(timed(borrow()))


async def hang_in_open(manager: DefaultResourceManager, backend: Backend, step: Ticks) -> Any:
    return borrow_into(manager, backend, "open", step)


async def hang_in_check(manager: DefaultResourceManager, backend: Backend, step: Ticks) -> Any:
    await manager.acquire("db:first")
    await manager.release("db:first")
    await asyncio.sleep(5)  # not fresh any more
    return borrow_into(manager, backend, "check", step)


async def hang_in_reset(manager: DefaultResourceManager, backend: Backend, step: Ticks) -> Any:
    await manager.acquire("db:first")
    backend.next("reset", step)
    await manager.release("db:first")
    return None


async def hang_in_close(manager: DefaultResourceManager, backend: Backend, step: Ticks) -> Any:
    await manager.acquire("db:first")
    backend.next("close", step)
    await manager.release("db:first", discard=True)
    return None


@pytest.mark.parametrize("step", [NEVER, STUBBORN], ids=["hanging", "stubborn"])
@pytest.mark.parametrize("hang", [hang_in_open, hang_in_check, hang_in_reset, hang_in_close])
def test_the_other_slots_and_types_serve_at_once(hang: Any, step: Ticks) -> None:
    async def main() -> None:
        backend, other = Backend(), Backend()
        spec = backend.spec("db", "check", "reset", max_size=3)
        async with serving(spec, other.spec("other", max_size=1)) as manager:
            try:
                # Warm: what is measured is the hang, not the first creation.
                await manager.acquire("other:warm")
                await manager.release("other:warm")
                first = await hang(manager, backend, step)
                await settled()
                # The second slot is made for whoever comes next, the third for the one after.
                await manager.acquire("db:warm", timeout=1)
                await manager.release("db:warm")
                await settled()
                await asyncio.gather(quick(manager, "db"), quick(manager, "other"))
            finally:
                backend.let_go.set()
            if first is not None:
                seconds, fake = await first
                assert not isinstance(fake, BaseException)
                assert seconds < 6  # at most one check deadline
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("hook", ["open", "check", "reset", "close"])
def test_the_other_keys_serve_at_once(hook: str) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", "check", "reset", keyed=True)) as manager:
            blocked = None
            if hook != "open":
                await manager.acquire("agent:blocked")
                if hook != "check":
                    backend.next(hook, NEVER)
                await manager.release("agent:blocked", discard=hook == "close")
                await asyncio.sleep(1)
            if hook in ("open", "check"):
                backend.next(hook, NEVER)
                blocked = asyncio.ensure_future(timed(manager.acquire("agent:blocked")))
            await settled()
            for number in range(5):
                seconds, fake = await timed(manager.acquire(f"agent:{number}", timeout=1))
                assert not isinstance(fake, BaseException)
                assert seconds == 0.0
            if blocked is not None:
                assert not blocked.done()
                blocked.cancel()

    run(main())


def test_a_hanging_creation_costs_its_place_only_until_its_deadline() -> None:
    async def main() -> None:
        backend = Backend()
        backend.next("open", STUBBORN)
        async with serving(backend.spec(max_size=2, create_timeout=3)) as manager:
            try:
                one = asyncio.ensure_future(timed(manager.acquire("db:a", timeout=60)))
                two = asyncio.ensure_future(timed(manager.acquire("db:b", timeout=60)))
                (first, _), (second, _) = await asyncio.gather(one, two)
                assert first == 0.0  # what was started for the second
                # Abandoned at 3 s and counted no more; then a short pause, as after any failure.
                assert 3.0 <= second <= 3.5
                assert backend.calls["open"] == 3
            finally:
                backend.let_go.set()
            await settled()
            # The late resource is closed, not added to the pool.
            assert backend.live == 2
        backend.assert_all_closed()

    run(main())
