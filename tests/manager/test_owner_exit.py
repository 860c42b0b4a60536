"""A holder that ends without a release: its lease is taken back, once, and it is said whose."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.actors import owners
from pepperpy_resources.errors import AcquireTimeout, NotLeased
from pepperpy_resources.messages import Sweep
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, now, serving, settled, timed
from tests.observe.watching import noting

HOUR = 3600.0


def leak(manager: DefaultResourceManager, *ids: str, after: float = 0.0) -> asyncio.Task[None]:
    """Return a task named "leaky" that acquires these ids as its own and ends without a release."""

    async def work() -> None:
        await asyncio.sleep(0)
        for resource_id in ids:
            await manager.acquire(resource_id, owner=task)
        await asyncio.sleep(after)

    task = asyncio.create_task(work(), name="leaky")
    return task


def leaks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "leaked" in record.msg]


async def figures(manager: DefaultResourceManager) -> tuple[int, int]:
    """Return how many leases there are and how many leaked."""
    seen = (await manager.monitor())["types"]["db"]
    return seen["active"], seen["leaked"]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note when each lease was looked at."""
    times: list[float] = []
    real = owners.has_ended

    def has_ended(lease: Any) -> bool:
        times.append(now())
        return real(lease)

    monkeypatch.setattr(owners, "has_ended", has_ended)
    return times


def test_the_next_who_has_to_wait_gets_it_and_it_is_said_once_whose_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1), cleanup_interval=HOUR) as manager:
            with noting(manager) as notes:
                await leak(manager, "db:a", after=5.0)
                notes.take()
                assert await figures(manager) == (1, 0)  # nobody has looked
                seconds, fake = await timed(manager.acquire("db:b"))
                assert (seconds, fake) == (0.0, backend.fakes[1])  # not the one it may still use
                assert backend.fakes[0].closes == 1
                kinds = notes.kinds()
                assert kinds.count("leaked") == kinds.count("revoked") == 1
                assert kinds.index("leaked") < kinds.index("revoked")
            assert await figures(manager) == (1, 1)
            for _ in range(3):
                manager.actor("db").tell(Sweep())
                await settled()
            await manager.release("db:a")  # late: known, and harmless, once
            assert "db:b" in manager.resources
            with pytest.raises(NotLeased):
                await manager.release("db:a")

    run(main())
    (text,) = leaks(caplog)
    assert text.startswith(
        "db: lease 'db:a' leaked: task 'leaky' ended without releasing it after 5 s; it is "
        "reclaimed\nacquired at "
    )
    assert "test_owner_exit.py:" in text
    assert text.endswith(" in work")
    assert {r.levelno for r in caplog.records if "leaked" in r.msg} == {logging.WARNING}


def test_a_sweep_takes_it_back_though_nobody_waits() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            await leak(manager, "db:a")
            await settled()
            assert await figures(manager) == (1, 0)
            manager.actor("db").tell(Sweep())
            await settled()
            assert await figures(manager) == (0, 1)
            assert backend.fakes[0].closes == 1

    run(main())


def test_whoever_waits_already_when_the_holder_ends_is_served_within_a_second() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1), cleanup_interval=HOUR) as manager:
            holder = leak(manager, "db:a", after=7.3)
            await settled()
            assert not holder.done()
            seconds, _ = await timed(manager.acquire("db:b", timeout=30.0))
            assert 7.3 < seconds <= 8.3  # no later acquire came by, and no sweep

    run(main())


def test_however_many_have_to_wait_there_is_one_look_a_second(looked_at: list[float]) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1), cleanup_interval=HOUR) as manager:
            await manager.acquire("db:held", owner=asyncio.current_task())
            began = now()

            async def borrower(number: int) -> None:
                await asyncio.sleep(number * 0.01)
                with pytest.raises(AcquireTimeout):
                    await manager.acquire(f"db:{number}", timeout=1.0)

            await asyncio.gather(*map(borrower, range(300)))
            assert [at - began for at in looked_at] == pytest.approx([0.0, 1.0, 2.0, 3.0])
            await asyncio.sleep(60)
            assert len(looked_at) == 5  # nobody waits any more
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:again", timeout=0.5)
            assert len(looked_at) == 6

    run(main())


@pytest.mark.parametrize("end", ["return", "raise", "cancel"])
def test_in_whatever_way_it_ends(end: str) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:

            async def work() -> None:
                await manager.lease("db").__aenter__()
                if end == "raise":
                    raise ValueError
                if end == "cancel":
                    await asyncio.sleep(HOUR)

            holder = asyncio.create_task(work())
            await settled()
            if end == "cancel":
                holder.cancel()
            await asyncio.wait({holder})
            assert holder.cancelled() or not isinstance(holder.exception(), AssertionError)
            assert (await timed(manager.acquire("db:b")))[0] <= 1.0

    run(main())


@pytest.mark.parametrize("owner", [None, "a name", object(), asyncio.sleep])
def test_an_owner_that_is_no_task_never_ends(owner: Any) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:
            await asyncio.create_task(manager.acquire("db:a", owner=owner))
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:b", timeout=60.0)
            manager.actor("db").tell(Sweep())
            await settled()
            assert await figures(manager) == (1, 0)

    run(main())


def test_a_block_that_is_left_in_another_task_keeps_its_lease_if_its_owner_lives() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:
            block = manager.lease("db", owner=asyncio.current_task())
            await asyncio.create_task(block.__aenter__())
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:b", timeout=2.0)
            assert await figures(manager) == (1, 0)
            await asyncio.create_task(block.__aexit__(None, None, None))
            assert await figures(manager) == (0, 0)

    run(main())


def test_without_an_owner_it_belongs_to_the_task_that_entered_and_leaving_late_is_harmless() -> (
    None
):
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:
            block = manager.lease("db")
            await asyncio.create_task(block.__aenter__())
            await manager.acquire("db:b")
            assert await figures(manager) == (1, 1)
            await block.__aexit__(None, None, None)
            assert await figures(manager) == (1, 1)  # the lease of db:b is still there

    run(main())


def test_a_shared_resource_is_closed_when_its_other_holder_is_done() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(keyed=True, max_holders=2)) as manager:
            await leak(manager, "db:a")
            async with manager.lease("db:a") as fake:
                manager.actor("db").tell(Sweep())
                await settled()
                assert await figures(manager) == (1, 1)
                assert fake.closes == 0
            await settled()
            assert fake.closes == 1

    run(main())


def test_five_thousand_leases_are_looked_at_a_thousand_a_second(looked_at: list[float]) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=5000, max_opening=5000)
        async with serving(spec, cleanup_interval=HOUR) as manager:
            ids = [f"db:{number}" for number in range(5000)]
            await asyncio.gather(*(manager.acquire(each, owner="me") for each in ids[:-1]))
            await leak(manager, ids[-1])  # the last that is come to
            looked_at.clear()
            seconds, _ = await timed(manager.acquire("db:late", timeout=30.0))
            # A round of five looks may have begun before there was this lease.
            assert seconds <= 9.0
            times = sorted(set(looked_at))
            assert all(b - a >= 1.0 for a, b in itertools.pairwise(times))
            assert {looked_at.count(at) for at in times} <= {999, 1000}
            assert await figures(manager) == (5000, 1)

    run(main())


def test_a_lease_that_is_given_back_between_two_looks_is_none_of_their_business() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=1500, max_opening=1500)
        async with serving(spec, cleanup_interval=HOUR) as manager:
            ids = [f"db:{number}" for number in range(1500)]
            await leak(manager, *ids)
            await asyncio.gather(*map(manager.release, ids[1000:]))
            manager.actor("db").tell(Sweep())
            await settled()
            assert await figures(manager) == (0, 1000)
            for _ in range(2):
                manager.actor("db").tell(Sweep())
                await settled()
            stale = manager._exits["db"].state.counters.stale
            assert (await figures(manager), stale) == ((0, 1000), 0)

    run(main())


def test_it_is_found_after_a_crash_too_and_counted_once() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1), cleanup_interval=HOUR) as manager:
            holder = leak(manager, "db:a", after=2.0)
            await settled()
            waiting = asyncio.create_task(timed(manager.acquire("db:b")))
            await asyncio.sleep(1.5)
            crash(manager, "db")
            await holder
            seconds, _ = await waiting
            assert 2.0 <= seconds <= 3.0  # though nobody had to wait anew
            assert await figures(manager) == (1, 1)

    run(main())


async def leave(manager: DefaultResourceManager) -> None:
    await manager.stop(timeout=30.0)


async def remove(manager: DefaultResourceManager) -> None:
    await manager.remove_type("db")


@pytest.mark.parametrize("end", [leave, remove])
def test_a_stop_does_not_wait_for_who_has_ended(end: Callable[..., Any]) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            await leak(manager, "db:a")
            assert (await timed(end(manager)))[0] == 0.0
            backend.assert_all_closed()

    run(main())


def test_the_longer_somebody_waits_the_seldomer_it_is_looked(looked_at: list[float]) -> None:
    async def main() -> None:
        endless: dict[str, Any] = {
            "idle_timeout": math.inf,
            "max_lifetime": math.inf,
        }  # nothing to sweep for
        spec = Backend().spec(max_size=1, **endless)
        async with serving(spec, cleanup_interval=1000 * HOUR) as manager:
            holder = leak(manager, "db:a", after=24 * HOUR)
            await settled()
            seconds, _ = await timed(manager.acquire("db:b", timeout=math.inf))
            assert holder.done()
            assert 24 * HOUR <= seconds <= 24 * HOUR * 17 / 16 + 1.0
            assert len(looked_at) < 300

    run(main())


def test_who_comes_late_has_not_to_wait_for_a_seldom_look() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1), cleanup_interval=HOUR) as manager:
            holder = leak(manager, "db:a", after=600.0)
            await settled()
            waiting = asyncio.create_task(timed(manager.acquire("db:b", timeout=math.inf)))
            await asyncio.sleep(601.0)
            late = asyncio.create_task(manager.acquire("db:c", timeout=2.0))
            seconds, _ = await waiting
            assert seconds <= 602.0
            await manager.release("db:b")
            await asyncio.gather(late, holder)

    run(main())
