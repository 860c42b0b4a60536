"""cleanup(pattern): matching resources are out now; idle ones are closed when it returns."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.testing import run
from tests.helpers import NEVER, STUBBORN, Backend, Ticks, serving, settled, ticks, timed, usable


async def hold_three(manager: DefaultResourceManager) -> None:
    """Leave one resource idle, two leased under "db:a" and "db:b"."""
    for name in ("a", "b", "c"):
        await manager.acquire(f"db:{name}")
    await manager.release("db:c")


@pytest.mark.parametrize(
    ("pattern", "closed", "listed"),
    [
        (None, 1, set()),
        ("*", 1, set()),
        ("db:*", 1, set()),
        ("db:", 1, {"db:a", "db:b"}),  # what an idle pooled slot is matched as
        ("db:a", 0, {"db:b"}),
        ("db:[ab]", 0, set()),
        ("db:?", 0, set()),
        ("db:[!a]", 0, {"db:a"}),
        ("DB:*", 0, {"db:a", "db:b"}),  # case counts
        ("db", 0, {"db:a", "db:b"}),
        ("", 0, {"db:a", "db:b"}),
        ("d", 0, {"db:a", "db:b"}),
        ("other:*", 0, {"db:a", "db:b"}),
        ("db:c", 0, {"db:a", "db:b"}),  # released: its name is gone
    ],
)
def test_the_pattern_says_what_goes(pattern: str | None, closed: int, listed: set[str]) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=3), Backend().spec("other")) as manager:
            await hold_three(manager)
            await manager.cleanup(pattern)
            assert sum(fake.closes for fake in backend.fakes) == closed
            assert set(manager.resources) == listed
            # What was taken out is closed when its holder gives it back.
            await manager.release("db:a")
            await manager.release("db:b")
            await settled()
            gone = {name for name in ("db:a", "db:b") if name not in listed}
            assert sum(fake.closes for fake in backend.fakes) == closed + len(gone)
            await usable(manager, "db", 3)
        backend.assert_all_closed()

    run(main())


def test_a_leased_resource_is_not_touched_until_it_comes_back() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            fake = await manager.acquire("db:a")
            seconds, _ = await timed(manager.cleanup())
            assert seconds == 0.0  # it does not wait for the holder
            await asyncio.sleep(100)
            assert fake.closes == 0
            assert "db:a" not in manager.resources
            # It still counts: nobody gets a second one.
            with pytest.raises(TimeoutError):
                await manager.acquire("db:b", timeout=1)
            waiter = asyncio.ensure_future(manager.acquire("db:b"))
            await ticks(2)
            await manager.release("db:a")
            assert (await waiter) is not fake
            assert fake.closes == 1

    run(main())


def test_force_ends_the_leases_at_once() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            fake = await manager.acquire("db:a")
            other = await manager.acquire("db:b")
            await manager.cleanup("db:a", force=True)
            assert fake.closes == 1
            assert other.closes == 0
            assert set(manager.resources) == {"db:b"}
            await manager.acquire("db:c", timeout=1)  # its place is free
            await manager.release("db:a")  # late: no harm
            assert set(manager.resources) == {"db:b", "db:c"}
        backend.assert_all_closed()

    run(main())


def test_a_block_whose_lease_was_ended_by_force_is_left_without_a_fuss() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            async with manager.lease("db") as fake:
                await manager.cleanup("db:*", force=True)
                assert fake.closes == 1
                async with manager.lease("db") as other:
                    assert other is not fake
            # The fence: leaving the first block did nothing to anything of the second's.
            assert backend.fakes[1].closes == 0
            await usable(manager, "db", 1)

    run(main())


@pytest.mark.parametrize("way", ["", "keyed", "shared"])
def test_keyed_resources_go_by_their_key(way: str) -> None:
    async def main() -> None:
        backend = Backend()
        holders = 2 if way == "shared" else 1
        async with serving(backend.spec("agent", keyed=True, max_holders=holders)) as manager:
            idle = await manager.acquire("agent:team-a-1")
            await manager.release("agent:team-a-1")
            held = await manager.acquire("agent:team-a-2")
            await manager.acquire("agent:team-b-1")
            await manager.cleanup("agent:team-a-*")
            assert set(manager.resources) == {"agent:team-b-1"}
            assert (idle.closes, held.closes) == (1, 0)
            # The key is free for a new resource although the old one is still held.
            fresh = await manager.acquire("agent:team-a-2", timeout=1)
            assert fresh is not held
            # A bare release means the newest resource of that name or the one taken out; two
            # releases end both, and the old one is closed.
            await manager.release("agent:team-a-2")
            await manager.release("agent:team-a-2")
            await settled()
            assert held.closes == 1
        backend.assert_all_closed()

    run(main())


def test_it_returns_when_the_idle_ones_are_closed() -> None:
    async def main() -> None:
        backend = Backend(close=0.75)
        async with serving(backend.spec(max_size=3)) as manager:
            await hold_three(manager)
            seconds, _ = await timed(manager.cleanup())
            assert seconds == pytest.approx(0.75)
            assert sum(fake.closes for fake in backend.fakes) == 1

    run(main())


@pytest.mark.parametrize("close", [NEVER, STUBBORN], ids=["hanging", "stubborn"])
def test_it_is_bounded_by_the_close_deadline(close: Ticks) -> None:
    async def main() -> None:
        backend = Backend(close=close)
        async with serving(backend.spec(max_size=4, close_timeout=2)) as manager:
            try:
                await hold_three(manager)
                seconds, error = await timed(manager.cleanup(force=True))
                assert error is None
                assert seconds == pytest.approx(2.0)
                assert [fake.closes for fake in backend.fakes] == [1, 1, 1]
            finally:
                backend.let_go.set()
            backend.usual["close"] = 0.0
        backend.assert_all_closed()

    run(main())


def test_a_creation_under_way_is_not_handed_out() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        async with serving(backend.spec(max_size=1)) as manager:
            waiter = asyncio.ensure_future(timed(manager.acquire("db:a")))
            await asyncio.sleep(0.5)
            seconds, _ = await timed(manager.cleanup())
            assert seconds == 0.0
            seconds, fake = await waiter
            assert fake is backend.fakes[1]
            assert seconds == pytest.approx(2.0)
            assert backend.fakes[0].closes == 1

    run(main())


def test_waiters_stay_and_are_served_by_what_is_made_next() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:a")
            waiters = [asyncio.ensure_future(manager.acquire(f"db:{n}")) for n in range(3)]
            await ticks(2)
            await manager.cleanup(force=True)
            await asyncio.wait_for(waiters[0], 1)
            assert not waiters[1].done()
            await manager.cleanup("db:0", force=True)
            await asyncio.wait_for(waiters[1], 1)
            assert [fake.closes for fake in backend.fakes] == [1, 1, 0]
            waiters[2].cancel()

    run(main())


@pytest.mark.parametrize("tick", range(6))
def test_a_cancelled_cleanup_still_takes_everything_out(tick: int) -> None:
    async def main() -> None:
        backend = Backend(close=Ticks(4))
        async with serving(backend.spec(max_size=3)) as manager:
            await hold_three(manager)
            task = asyncio.ensure_future(manager.cleanup())
            await ticks(tick + 1)
            task.cancel()
            await asyncio.wait({task})
            await settled()
            assert set(manager.resources) == set()
            assert sum(fake.closes for fake in backend.fakes) == 1
            await manager.release("db:a")
            await manager.release("db:b")
            await usable(manager, "db", 3)
        backend.assert_all_closed()

    run(main())


def test_cleanups_are_counted() -> None:
    async def main() -> None:
        async with serving(Backend().spec()) as manager:
            before = (await manager.monitor())["cleanup_runs"]
            await manager.cleanup()
            await manager.cleanup("other:*")
            assert (await manager.monitor())["cleanup_runs"] == before + 2

    run(main())
