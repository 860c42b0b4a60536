"""Case 14: floor, idle time and lifetime are honoured; what is too old is never handed out."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from pepperpy_resources import ResourceSpec
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, settled, usable, warm

MINUTE = 60.0


def test_an_idle_resource_goes_after_idle_timeout_and_not_before() -> None:
    async def main() -> None:
        backend = Backend()
        # Swept every 15 s at most, a quarter of the shortest duration.
        async with serving(backend.spec(idle_timeout=MINUTE)) as manager:
            await warm(manager, 3)
            await asyncio.sleep(59)
            assert backend.live == 3
            await asyncio.sleep(1 + 15 + 1)
            assert backend.live == 0
            figures = (await manager.monitor())["types"]["db"]
            assert figures["closed"]["idle"] == 3

    run(main())


def test_use_keeps_a_resource() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(idle_timeout=MINUTE)) as manager:
            await warm(manager, 2)
            for _ in range(10):
                await asyncio.sleep(40)
                async with manager.lease("db"):
                    pass
            # Last in, first out: the one that is not needed had time to grow old.
            assert backend.live == 1
            assert backend.opened == 2

    run(main())


def test_a_lease_is_never_idle() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(idle_timeout=1)) as manager:
            fake = await manager.acquire("db:a")
            await asyncio.sleep(100)
            assert fake.closes == 0
            await manager.release("db:a")
            assert fake.closes == 0
            await asyncio.sleep(2)
            assert fake.closes == 1

    run(main())


def test_the_floor_is_kept_when_all_are_idle() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(idle_timeout=MINUTE, min_idle=2)) as manager:
            await warm(manager, 5)
            await settled()
            made = backend.opened
            assert made >= 5
            await asyncio.sleep(10 * MINUTE)
            assert backend.live == 2
            assert backend.opened == made  # kept, not closed and made again

    run(main())


def test_an_idle_resource_goes_when_it_is_too_old() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_lifetime=MINUTE, lifetime_jitter=0.0, idle_timeout=math.inf)
        async with serving(spec) as manager:
            await warm(manager, 3)
            await asyncio.sleep(59)
            assert backend.live == 3
            await asyncio.sleep(1 + 15 + 1)
            assert backend.live == 0
            assert (await manager.monitor())["types"]["db"]["closed"]["lifetime"] == 3

    run(main())


@pytest.mark.parametrize("how", ["idle", "held", "queued for"])
def test_what_is_too_old_is_never_handed_out(how: str) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(
            max_size=1, max_lifetime=MINUTE, lifetime_jitter=0.0, idle_timeout=math.inf
        )
        # The janitor comes too late here: the hand-out itself has to look.
        async with serving(spec) as manager:
            old: Fake = await manager.acquire("db:a")
            if how == "idle":
                await manager.release("db:a")
            waiter: Any = None
            if how == "queued for":
                await asyncio.sleep(50)
                waiter = asyncio.ensure_future(manager.acquire("db:b"))
            await asyncio.sleep(MINUTE - (50 if waiter else 0))
            if how != "idle":
                await manager.release("db:a")
            new = await (waiter or manager.acquire("db:b"))
            assert new is not old
            await settled()
            assert old.closes == 1

    run(main())


def test_lifetimes_are_spread_by_the_jitter() -> None:
    async def main() -> None:
        backend = Backend()
        ends: list[float] = []
        began = asyncio.get_running_loop().time()

        async def close(fake: Fake) -> None:
            fake.closes += 1
            ends.append(asyncio.get_running_loop().time() - began)

        spec: ResourceSpec[Fake] = ResourceSpec(
            "db", factory=backend.connect, close=close, max_size=40, max_lifetime=1000,
            lifetime_jitter=0.5, idle_timeout=math.inf,
        )  # fmt: skip
        async with serving(spec, cleanup_interval=1) as manager:
            await warm(manager, 40)
            await asyncio.sleep(1100)
            assert len(ends) == 40
            # Each lives 500 to 1000 s; forty that all die in one fifth of that: 1 in 10**27.
            assert min(ends) >= 499
            assert max(ends) <= 1001
            assert max(ends) - min(ends) > 100

    run(main())


def test_for_ever_is_for_ever() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(idle_timeout=math.inf, max_lifetime=math.inf)
        async with serving(spec) as manager:
            await warm(manager, 2)
            await asyncio.sleep(30 * 24 * 3600)
            assert backend.live == 2
            assert backend.opened == 2

    run(main())


def test_the_sweep_is_as_frequent_as_the_shortest_duration_needs_and_no_more() -> None:
    async def main() -> None:
        slow = Backend().spec("slow")  # idle 600 s: every 150 s at most
        fast = Backend().spec("fast", idle_timeout=2)  # every 0.5 s at most
        async with serving(slow, fast) as manager:
            await asyncio.sleep(100)
            figures = await manager.monitor()
            # 0.45 to 0.5 s apart for the fast type; none yet for the slow one (135 s at least).
            assert 200 <= figures["cleanup_runs"] <= 223

    run(main())


def test_keyed_resources_expire_too() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True, idle_timeout=10)) as manager:
            for name in ("a", "b"):
                await manager.acquire(f"agent:{name}")
            await manager.release("agent:a")
            await asyncio.sleep(13)
            assert list(manager.resources) == ["agent:b"]
            assert [fake.closes for fake in backend.fakes] == [1, 0]
            assert (await manager.acquire("agent:a")).number == 3

    run(main())


def test_the_floor_comes_back_after_resources_are_lost() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(min_idle=3, max_size=5)
        async with serving(spec, cleanup_interval=10) as manager:
            await manager.wait_ready(5)
            await manager.cleanup()
            await asyncio.sleep(25)  # the janitor sees it
            assert backend.live == 3
            for number in range(4):
                await manager.acquire(f"db:{number}")
            await asyncio.sleep(25)
            assert backend.live == 5  # one more only, for max_size
            await usable(manager, "db", 1)
        backend.assert_all_closed()

    run(main())
