"""Waiting is bounded, and a hand-over that races with its deadline loses nothing (cases 9, 17)."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from datetime import timedelta
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import AcquireTimeout, NotLeased, OverloadError, QueueFull
from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, Fake, now, serving, settled, ticks, timed, usable

# -- case 9: deadlines


def test_the_default_deadline_is_finite() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            seconds, error = await timed(manager.acquire("db:a"))
            assert isinstance(error, AcquireTimeout)
            assert isinstance(error, TimeoutError)
            assert seconds == pytest.approx(30.0)

    run(main())


@pytest.mark.parametrize(
    ("given", "wait"),
    [(None, 2.0), (0.5, 0.5), (7, 7.0), (timedelta(seconds=3), 3.0), (0, 0.0)],
    ids=["the spec's", "float", "longer", "timedelta", "do not wait"],
)
@pytest.mark.parametrize("how", ["acquire", "lease", "handle"])
def test_a_call_may_set_its_own_deadline(given: Any, wait: float, how: str) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=1, acquire_timeout=2)
        async with serving(spec) as manager:
            await manager.acquire("db:holder")

            async def ask() -> None:
                if how == "acquire":
                    await manager.acquire("db:a", timeout=given)
                elif how == "handle":
                    await manager.type(spec).acquire("a", timeout=given)
                else:
                    async with manager.lease("db", timeout=given):
                        raise AssertionError

            seconds, error = await timed(ask())
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(wait)
            assert (await manager.monitor())["waiting"] == 0

    run(main())


def test_a_call_may_wait_for_ever() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, acquire_timeout=math.inf)) as manager:
            await manager.acquire("db:holder")
            waiters = [
                asyncio.ensure_future(manager.acquire("db:a")),
                asyncio.ensure_future(manager.acquire("db:b", timeout=math.inf)),
            ]
            await asyncio.sleep(30 * 24 * 3600)
            assert not any(waiter.done() for waiter in waiters)
            await manager.release("db:holder")
            await waiters[0]
            await manager.release("db:a")
            await waiters[1]

    run(main())


def test_the_error_says_who_holds_what_and_what_to_do() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2, acquire_timeout=1)) as manager:
            await manager.acquire("db:report", owner="nightly")
            line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
            await asyncio.sleep(5)
            await manager.acquire("db:other")
            waiter = asyncio.ensure_future(manager.acquire("db:b", timeout=60))
            await ticks(1)
            with pytest.raises(AcquireTimeout) as caught:
                await manager.acquire("db:a")
            text = str(caught.value)
            assert "no 'db' resource became free in time" in text
            assert "2 leased" in text
            assert "of at most 2" in text
            assert "1 waiting" in text
            assert "'db:report' held for 6 s by nightly" in text
            assert f"test_waiting.py:{line} in main" in text
            assert "raise max_size" in text
            waiter.cancel()

    run(main())


def test_a_failing_backend_is_the_cause_of_a_timeout() -> None:
    async def main() -> None:
        refused = ConnectionError("refused")
        backend = Backend(open=refused)
        async with serving(backend.spec(acquire_timeout=1)) as manager:
            seconds, error = await timed(manager.acquire("db:a"))
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(1.0)
            assert error.__cause__ is refused
            assert "mend what the factory connects to" in str(error)

    run(main())


def test_the_deadline_is_absolute_whatever_is_tried_meanwhile() -> None:
    async def main() -> None:
        backend = Backend(open=0.7)
        welcomes: list[Fake] = []

        async def refuse(fake: Fake) -> None:
            welcomes.append(fake)
            raise ValueError("not this one")

        async with serving(backend.spec(on_acquire=refuse, max_size=5)) as manager:
            seconds, error = await timed(manager.acquire("db:a", timeout=2))
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(2.0)
            assert len(welcomes) == 2  # at 0.7 and at 1.4; the third would come at 2.1
        backend.assert_all_closed()

    run(main())


def test_the_deadline_of_a_retried_creation_is_absolute() -> None:
    async def main() -> None:
        backend = Backend(open=NEVER)
        spec = backend.spec(create_timeout=0.6, backoff=Backoff(min=0.1, jitter=0.0, factor=1.0))
        async with serving(spec) as manager:
            seconds, error = await timed(manager.acquire("db:a", timeout=2))
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(2.0)
            assert backend.calls["open"] == 3  # at 0.0, 0.7 and 1.4

    run(main())


# -- case 9: limits


def test_more_than_max_waiting_are_refused_at_once() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_waiting=2)) as manager:
            await manager.acquire("db:holder")
            waiters = [asyncio.ensure_future(manager.acquire(f"db:{n}")) for n in range(2)]
            await ticks(1)
            seconds, error = await timed(manager.acquire("db:third"))
            assert seconds == 0.0
            assert isinstance(error, QueueFull)
            assert isinstance(error, OverloadError)
            assert not isinstance(error, TimeoutError)
            assert "max_waiting=2" in str(error)
            # A place in the queue is free again as soon as one is cancelled.
            waiters[0].cancel()
            await ticks(2)
            third = asyncio.ensure_future(manager.acquire("db:third"))
            await ticks(1)
            await manager.release("db:holder")
            await waiters[1]
            await manager.release("db:1")
            await third

    run(main())


def test_max_waiting_zero_still_opens_and_serves_what_is_free() -> None:
    async def main() -> None:
        backend = Backend(open=0.1)
        async with serving(backend.spec(max_size=2, max_waiting=0)) as manager:
            # These wait for their own creation, not in the queue behind others.
            await asyncio.gather(manager.acquire("db:a"), manager.acquire("db:b"))
            with pytest.raises(QueueFull):
                await manager.acquire("db:c")
            await manager.release("db:a")
            await manager.acquire("db:c")

    run(main())


def test_cancelled_and_expired_tickets_leave_the_queue() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            for batch in range(20):
                waiters = [
                    asyncio.ensure_future(manager.acquire(f"db:{batch}-{n}", timeout=1))
                    for n in range(10)
                ]
                await ticks(1)
                for waiter in waiters[::2]:
                    waiter.cancel()
                await asyncio.sleep(2)
                await asyncio.gather(*waiters, return_exceptions=True)
            figures = await manager.monitor()
            assert figures["waiting"] == 0
            assert figures["types"]["db"]["acquires"]["cancelled"] == 100
            assert figures["types"]["db"]["acquires"]["timeout"] == 100
            await manager.release("db:holder")
            await usable(manager, "db", 1)

    run(main())


# -- case 17: a deadline and a hand-over in the same moment


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
            patient = asyncio.ensure_future(manager.acquire("db:patient", timeout=20))
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


# -- case 3 of the fast path: nothing is awaited where nothing has to wait


def test_an_acquire_of_an_idle_resource_and_its_release_never_suspend() -> None:
    async def main() -> None:
        backend = Backend()
        spec: ResourceSpec[Fake] = backend.spec(max_size=1)
        async with serving(spec) as manager:
            await manager.acquire("db:a")
            release = manager.release("db:a")
            with pytest.raises(StopIteration):
                release.send(None)
            acquire = manager.acquire("db:a")
            with pytest.raises(StopIteration) as stopped:
                acquire.send(None)
            assert stopped.value.value is backend.fakes[0]
            await manager.release("db:a")
            began = now()
            async with manager.lease("db"):
                pass
            assert now() == began

    run(main())


def test_those_for_whom_something_is_being_made_do_not_count_as_waiting() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        async with serving(backend.spec(max_size=3, max_waiting=1)) as manager:
            asks = [asyncio.ensure_future(timed(manager.acquire(f"db:{n}"))) for n in range(5)]
            *served, (seconds, error) = await asyncio.gather(*asks[:3], asks[4])
            assert [wait for wait, _ in served] == pytest.approx([1.0, 1.0, 1.0])
            assert seconds == 0.0
            assert isinstance(error, QueueFull)
            assert not asks[3].done()
            await manager.release("db:0")
            assert isinstance((await asks[3])[1], Fake)

    run(main())
