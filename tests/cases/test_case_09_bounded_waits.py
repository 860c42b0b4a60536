"""Case 9: waits and queues are bounded, and only a standing queue is shed."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager
from pepperpy_resources.errors import AcquireTimeout, Overloaded, OverloadError, QueueFull
from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, Fake, now, serving, ticks, timed, usable


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


def test_a_cancelled_ticket_leaves_a_long_queue_at_once() -> None:
    # Were each looked for from the front, this would take minutes, not seconds.
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:holder")
            waiters = [asyncio.ensure_future(manager.acquire(f"db:{n}")) for n in range(20_000)]
            await ticks(2)
            for waiter in reversed(waiters[1:]):
                waiter.cancel()
            await ticks(2)
            assert (await manager.monitor())["waiting"] == 1
            await manager.release("db:holder")
            assert await waiters[0] is backend.fakes[0]

    run(main())


# -- shedding

TARGET = 0.1  # max_queue_delay; a queue stands that was slower for twenty times as long: 2 s


async def borrow(manager: DefaultResourceManager, seconds: float) -> None:
    async with manager.lease("db", timeout=60):
        await asyncio.sleep(seconds)


def test_a_burst_is_served_whole() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_queue_delay=TARGET)) as manager:
            # Each takes 19 ms, so the last waits 1.9 s, nineteen times the target.
            ends = [timed(borrow(manager, 0.019)) for _ in range(101)]
            results = await asyncio.gather(*ends)
            assert [error for _, error in results if error is not None] == []
            assert max(seconds for seconds, _ in results) == pytest.approx(1.919)

    run(main())


def test_a_queue_that_stands_is_shed_until_it_has_been_empty() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_queue_delay=TARGET)) as manager:
            began = now()
            ends: list[tuple[float, float, Any]] = []

            async def client(at: float) -> None:
                seconds, error = await timed(borrow(manager, 0.05))
                ends.append((at, seconds, error))

            tasks: list[asyncio.Task[None]] = []
            while now() - began < 10:  # 100 a second, of which 20 can be served
                tasks.append(asyncio.ensure_future(client(now() - began)))
                await asyncio.sleep(0.01)
            await asyncio.gather(*tasks)
            shed = [(at, seconds) for at, seconds, error in ends if error is not None]
            assert {type(error) for *_, error in ends if error is not None} == {Overloaded}
            # Not before it has stood for 2 s since it was last served within the target.
            assert min(at + seconds for at, seconds in shed) == pytest.approx(2.05, abs=0.06)
            # From then on nobody waits long in vain, and those who are served did not wait longer.
            late = [(seconds, error) for at, seconds, error in ends if at > 2.2]
            assert all(s == pytest.approx(TARGET, abs=0.011) for s, error in late if error)
            assert max(s for s, error in late if not error) <= TARGET + 0.05 + 0.011
            served = sum(error is None for _, error in late)
            assert served == pytest.approx(20 * 7.8, abs=4)  # the slot is never without work
            # A pause in which it is empty once, and a burst is a burst again.
            await asyncio.sleep(1)
            results = await asyncio.gather(*[timed(borrow(manager, 0.05)) for _ in range(30)])
            assert [error for _, error in results if error is not None] == []
            assert manager.cell("db").incarnation == 1

    run(main())


def test_without_a_target_nobody_is_shed() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:
            results = await asyncio.gather(*[timed(borrow(manager, 0.5)) for _ in range(100)])
            assert [error for _, error in results if error is not None] == []

    run(main())
