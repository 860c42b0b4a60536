"""Case 21: no two borrowers ever hold one resource, whatever goes on around them."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.testing import VirtualTimeLoop, run
from tests.helpers import Backend, Fake, Step, Ticks, serving, ticks, usable

SLOTS = 5


async def rounds(manager: DefaultResourceManager, count: int) -> None:
    for _ in range(count):
        async with manager.lease("db") as fake:
            fake.holders += 1
            fake.uses += 1
            assert fake.holders == 1
            await asyncio.sleep(0)
            assert fake.holders == 1
            assert fake.closes == 0
            fake.holders -= 1


def test_a_hundred_tasks_and_a_thousand_rounds_over_five_slots() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=SLOTS)) as manager:
            await asyncio.gather(*[rounds(manager, 1000) for _ in range(100)])
            figures = (await manager.monitor())["types"]["db"]
            assert figures["acquires"]["ok"] == 100_000
        assert sum(fake.uses for fake in backend.fakes) == 100_000
        assert backend.opened == SLOTS
        backend.assert_all_closed()

    run(main())


class Watchful(Backend):
    """A backend that notes when a hook meets a borrower on its resource."""

    def __init__(self, **usual: Step) -> None:
        super().__init__(**usual)
        self.met: list[str] = []

    async def alone(self, hook: str, fake: Fake, work: Awaitable[None]) -> None:
        before = fake.holders
        try:
            await work
        finally:
            if before or fake.holders:
                self.met.append(hook)

    async def check(self, fake: Fake) -> None:
        await self.alone("check", fake, super().check(fake))

    async def reset(self, fake: Fake) -> None:
        await self.alone("reset", fake, super().reset(fake))

    async def close(self, fake: Fake) -> None:
        await self.alone("close", fake, super().close(fake))


class Storm:
    """Borrowers that discard, fail, are cancelled and evict, at random and reproducibly."""

    def __init__(self, manager: DefaultResourceManager, backend: Backend, seed: int) -> None:
        self.manager = manager
        self.backend = backend
        self.chance = random.Random(seed)

    def sometimes(self, share: float) -> bool:
        return self.chance.random() < share

    async def rage(self, *hooks: str) -> None:
        """Let thirty tasks do their worst; every slot must be usable afterwards."""
        await asyncio.gather(*[self.cancelled_again_and_again(n, *hooks) for n in range(30)])
        await usable(self.manager, "db", SLOTS)

    async def cancelled_again_and_again(self, number: int, *hooks: str) -> None:
        for _ in range(5):
            task = asyncio.ensure_future(self.borrow(number))
            await ticks(self.chance.randrange(30))
            if self.sometimes(0.5):
                task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                error = task.exception()
                assert error is None or isinstance(error, ValueError)
            if self.sometimes(0.1):
                self.backend.next(self.chance.choice(["open", *hooks]), ValueError("scripted"))
            if self.sometimes(0.2):
                await self.manager.cleanup("db:*")

    async def borrow(self, number: int) -> None:
        for turn in range(20):
            discard = self.sometimes(0.1)
            if self.sometimes(0.5):
                async with self.manager.lease("db", discard=discard) as fake:
                    await self.use(fake)
                continue
            resource_id = f"db:{number}-{turn}"
            fake = await self.manager.acquire(resource_id)
            try:
                await self.use(fake)
            finally:
                await self.manager.release(resource_id, discard=discard)

    async def use(self, fake: Fake) -> None:
        fake.holders += 1
        assert fake.holders == 1
        try:
            await ticks(self.chance.randrange(4))
            if self.sometimes(0.3):  # or nothing would ever have to be checked
                await asyncio.sleep(0.001)
            assert fake.holders == 1
            if self.sometimes(0.1):
                raise ValueError("the borrower's own failure")
        finally:
            fake.holders -= 1


@pytest.mark.parametrize("hook", ["check", "reset"])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_overlaps_in_a_storm(seed: int, hook: str) -> None:
    async def main() -> None:
        backend = Watchful(open=Ticks(3), reset=Ticks(1), check=Ticks(1), close=Ticks(2))
        spec = backend.spec("db", hook, max_size=SLOTS, fresh_for=0)
        async with serving(spec) as manager:
            await Storm(manager, backend, seed).rage(hook)
            assert manager.cell("db").incarnation == 1
            assert backend.calls[hook] > 100
            assert backend.calls["close"] > 50
            assert backend.met == []
        assert backend.most_live <= SLOTS
        backend.assert_all_closed()

    run(main())


# -- an eager task factory runs a task's first step inside create_task


def run_eagerly(work: Coroutine[Any, Any, None]) -> None:
    def loop() -> asyncio.AbstractEventLoop:
        eager = VirtualTimeLoop()
        eager.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        return eager

    run(work, loop_factory=loop)


def test_no_hook_runs_inside_the_caller_s_step_on_an_eager_loop() -> None:
    async def main() -> None:
        order: list[str] = []

        async def connect() -> str:
            order.append("factory")
            return "resource"

        spec = ResourceSpec("db", factory=connect, max_size=1)
        async with serving(spec) as manager:
            acquire = manager.acquire("db:a")
            acquire.send(None)  # the step that asks
            order.append("asked")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert order == ["asked", "factory"]
            acquire.close()
            await ticks(5)
            assert await manager.acquire("db:b", timeout=0) == "resource"

    run_eagerly(main())


@pytest.mark.parametrize("seed", range(4))
def test_nothing_overlaps_in_a_storm_on_an_eager_loop(seed: int) -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(1))
        spec = backend.spec("db", "check", "reset", max_size=SLOTS, fresh_for=0)
        async with serving(spec) as manager:
            await Storm(manager, backend, seed).rage("check", "reset")
            assert manager.cell("db").incarnation == 1
        assert backend.most_live <= SLOTS
        backend.assert_all_closed()

    run_eagerly(main())


def test_waiters_are_served_in_order_on_an_eager_loop() -> None:
    async def main() -> None:
        backend = Backend()
        served: list[int] = []
        async with serving(backend.spec(max_size=1)) as manager:

            async def borrower(number: int) -> None:
                async with manager.lease("db"):
                    served.append(number)
                    await asyncio.sleep(0)

            await asyncio.gather(*[borrower(number) for number in range(30)])
        assert served == list(range(30))
        backend.assert_all_closed()

    run_eagerly(main())


if sys.version_info < (3, 12):  # asyncio.eager_task_factory came with 3.12; CI runs a newer one too
    del (
        test_no_hook_runs_inside_the_caller_s_step_on_an_eager_loop,
        test_nothing_overlaps_in_a_storm_on_an_eager_loop,
        test_waiters_are_served_in_order_on_an_eager_loop,
    )
