"""max_uses, checks on return and keepalive, through the façade."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled, timed

ENDLESS: dict[str, Any] = {"idle_timeout": math.inf, "max_lifetime": math.inf}


async def use(manager: DefaultResourceManager, resource_id: str = "db") -> int:
    """Lease once; return the number of the resource."""
    async with manager.lease(resource_id) as fake:
        number: int = fake.number
    await settled()
    return number


# -- max_uses


def test_a_resource_is_closed_after_so_many_leases() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_uses=3)) as manager:
            assert [await use(manager) for _ in range(7)] == [1, 1, 1, 2, 2, 2, 3]
            assert (await manager.monitor())["types"]["db"]["closed"]["uses"] == 2
        assert backend.most_live == 1

    run(main())


def test_shared_holders_count_each_and_the_last_one_s_return_closes_it() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(keyed=True, max_holders=5, max_uses=2)) as manager:
            async with manager.lease("db:a") as first, manager.lease("db:a") as second:
                assert first is second
                third = asyncio.create_task(use(manager, "db:a"))
                await settled()
                assert not third.done()  # used up, and not back yet
            assert await third == 2
            assert backend.fakes[0].closes == 1

    run(main())


def test_one_that_is_used_up_is_not_reused_after_a_crash() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_uses=1)) as manager:
            async with manager.lease("db"):
                crash(manager, "db")
                await settled()
            await settled()
            assert backend.fakes[0].closes == 1
            assert await use(manager) == 2

    run(main())


# -- check_on="return"


def test_what_comes_back_is_checked_before_anybody_gets_it() -> None:
    async def main() -> None:
        backend = Backend(check=1.0, reset=1.0)
        spec = backend.spec("db", "check", "reset", max_size=1, check_on={"return"})
        async with serving(spec) as manager:
            async with manager.lease("db") as fake:
                waiting = asyncio.create_task(timed(manager.acquire("db:a")))
                await settled()
            seconds, got = await waiting
            assert seconds == pytest.approx(2.0)
            assert got is fake
            assert (backend.calls["reset"], backend.calls["check"]) == (1, 1)

    run(main())


def test_one_that_comes_back_bad_is_closed_and_the_next_gets_another() -> None:
    async def main() -> None:
        backend = Backend()
        backend.next("check", ConnectionError("gone"))
        async with serving(backend.spec("db", "check", max_size=1, check_on={"return"})) as manager:
            async with manager.lease("db"):
                waiting = asyncio.create_task(manager.acquire("db:a", timeout=1.0))
                await settled()
            assert (await waiting).number == 2
            assert backend.fakes[0].closes == 1
            assert (await manager.monitor())["types"]["db"]["errors"]["check"] == 1

    run(main())


def test_a_check_that_hangs_on_return_costs_its_deadline_and_no_more() -> None:
    async def main() -> None:
        backend = Backend()
        backend.next("check", 1000.0)
        spec = backend.spec("db", "check", max_size=1, check_on={"return"}, check_timeout=2.0)
        async with serving(spec) as manager:
            async with manager.lease("db"):
                waiting = asyncio.create_task(timed(manager.acquire("db:a")))
                await settled()
            assert (await waiting)[0] == pytest.approx(2.0)

    run(main())


def test_a_stop_checks_nothing_that_comes_back() -> None:
    async def main() -> None:
        backend = Backend(check=3.0)
        async with serving(backend.spec("db", "check", check_on={"return"})) as manager:
            await manager.acquire("db:a")
            stop = asyncio.create_task(timed(manager.stop(10.0)))
            await asyncio.sleep(1.0)
            await manager.release("db:a")
            assert (await stop)[0] == pytest.approx(1.0)
            assert backend.calls["check"] == 0
        backend.assert_all_closed()

    run(main())


# -- keepalive


def test_what_idles_is_checked_in_the_background_again_and_again() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "check", keepalive=100.0, min_idle=2, **ENDLESS)
        async with serving(spec) as manager:
            await manager.wait_ready(1.0)
            await asyncio.sleep(74.0)
            assert backend.calls["check"] == 0
            # Each is checked once in 75..100 s, and found by a sweep within 25 or, as half of
            # them wait for the next, 50 s; jitter makes sweeps a little longer apart.
            await asyncio.sleep(10_000.0)
            assert 2 * 10_000 / 165 <= backend.calls["check"] <= 2 * 10_074 / 75
            assert backend.opened == 2

    run(main())


def test_one_that_fails_is_replaced_before_a_borrower_meets_it() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "check", keepalive=100.0, min_idle=1, **ENDLESS)
        async with serving(spec) as manager:
            await manager.wait_ready(1.0)
            backend.next("check", ConnectionError("gone"))
            await asyncio.sleep(400.0)
            assert backend.fakes[0].closes == 1
            assert backend.live == 1
            assert await use(manager) == 2

    run(main())


def test_a_check_in_the_background_is_no_use_idle_timeout_goes_on() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "check", keepalive=100.0, idle_timeout=500.0)
        async with serving(spec) as manager:
            await use(manager)
            await asyncio.sleep(499.0)
            assert backend.live == 1
            assert backend.calls["check"] >= 3
            await asyncio.sleep(50.0)
            assert backend.live == 0

    run(main())
