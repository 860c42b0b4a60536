"""What users' predicates, filters, threads and mistakes must not be able to break."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import (
    AcquireTimeout,
    ManagerStopped,
    OpenFailedError,
    UnknownResourceType,
    UsageError,
)
from pepperpy_resources.messages import Acquire, Drain
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled, ticks, usable


def reraising(error: BaseException) -> bool:
    """The common idiom, which raises what it does not know."""
    try:
        raise error
    except ConnectionError:
        return True


@pytest.mark.parametrize("when", ["in the block", "in on_acquire"])
def test_a_predicate_that_raises_costs_no_slot(when: str) -> None:
    async def main() -> None:
        backend = Backend()

        async def welcome(_: object) -> None:
            if when == "in on_acquire" and backend.opened == 1:
                await asyncio.sleep(60)

        spec = backend.spec(max_size=1, is_connection_error=reraising, on_acquire=welcome)
        async with serving(spec) as manager:

            async def borrow() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(60)

            borrower = asyncio.ensure_future(borrow())
            await ticks(10)
            borrower.cancel()
            await asyncio.wait({borrower})
            assert borrower.cancelled()
            await settled()
            await usable(manager, "db", 1)
        backend.assert_all_closed()

    run(main())


class Faulty(logging.Filter):
    """A filter with a bug."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise KeyError("a bug in the filter")


@pytest.fixture
def faulty_filter() -> Iterator[None]:
    faulty, log = Faulty(), logging.getLogger("pepperpy_resources")
    log.addFilter(faulty)
    yield
    log.removeFilter(faulty)


@pytest.mark.usefixtures("faulty_filter")
def test_a_log_filter_that_raises_wedges_nothing() -> None:
    async def main() -> None:
        reported: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        backend = Backend()
        backend.next("open", ConnectionError("down"))
        spec = backend.spec(max_size=1, backoff=Backoff(min=0.1, jitter=0.0))
        async with serving(spec) as manager:
            await manager.acquire("db:a", timeout=1)
            await manager.release("db:a")
            crash(manager, "db")
            await manager.acquire("db:b", timeout=1)
        backend.assert_all_closed()
        # of the failed creation, of the crash, and of "db:b", which was never given back
        assert [type(error) for error in reported] == [KeyError] * 3

    run(main())


def test_a_thread_bound_creation_that_fails_leaves_no_thread() -> None:
    def connect() -> object:
        raise ConnectionError("down")

    async def main() -> None:
        before = set(threading.enumerate())
        spec = ResourceSpec(
            "db", factory=connect, thread_bound=True, backoff=Backoff(min=0.001, max=0.001)
        )
        async with serving(spec) as manager:
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:a", timeout=0.1)
        for thread in set(threading.enumerate()) - before:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()

    asyncio.run(main())


TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


@pytest.mark.parametrize("bound", [False, True])
def test_hooks_on_threads_see_the_context_of_the_start(*, bound: bool) -> None:
    seen: list[str] = []

    def connect() -> object:
        seen.append(TENANT.get("lost"))
        return object()

    async def main() -> None:
        TENANT.set("of the start")
        spec = ResourceSpec("db", factory=connect, offload=True, thread_bound=bound)
        async with serving(spec) as manager:
            TENANT.set("of the borrower")
            await manager.acquire("db:a")
            await manager.release("db:a")

    asyncio.run(main())
    assert seen == ["of the start"]


def test_a_close_waits_for_the_on_acquire_that_still_runs_on_its_thread() -> None:
    order: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def welcome(_: object) -> None:
        begun.set()
        go.wait(5)
        order.append("on_acquire ends")

    def close(_: object) -> None:
        order.append("close runs")

    async def main() -> None:
        spec = ResourceSpec("db", factory=object, on_acquire=welcome, close=close, offload=True)
        async with serving(spec) as manager:
            borrower = asyncio.ensure_future(manager.acquire("db:a"))
            await asyncio.to_thread(begun.wait, 5)
            borrower.cancel()
            await asyncio.wait({borrower})
            await ticks(5)
            go.set()

    asyncio.run(main())
    assert order == ["on_acquire ends", "close runs"]


def test_an_offloaded_factory_that_returns_an_awaitable_can_be_cancelled() -> None:
    async def forever() -> object:
        return await asyncio.get_running_loop().create_future()

    def plain() -> Awaitable[object]:
        return forever()

    async def main() -> None:
        spec = ResourceSpec("db", factory=plain, offload=True, create_timeout=0.05, max_lifetime=60)
        async with serving(spec) as manager:
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:a", timeout=0.1)
        left = [task for task in asyncio.all_tasks() if "db:" in task.get_name()]
        assert left == []

    asyncio.run(main())


def test_no_more_exits_hang_than_max_size() -> None:
    async def main() -> None:
        entered = 0
        let_go = asyncio.Event()

        async def connect() -> AsyncIterator[int]:
            nonlocal entered
            entered += 1
            yield entered
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue

        spec = ResourceSpec("db", factory=connect, max_size=2, close_timeout=1.0)
        async with serving(spec) as manager:

            async def borrow() -> None:
                async with manager.lease("db", timeout=3, discard=True):
                    await asyncio.sleep(0)

            answers = [
                answer
                for _ in range(6)
                for answer in await asyncio.gather(borrow(), return_exceptions=True)
            ]
            let_go.set()
            # Two hang; a third was open already when the second of them ran out of time.
            assert entered == 3
            assert ["ignore their deadlines" in str(answer) for answer in answers] == (
                [False] * 3 + [True] * 3
            )
            await settled()
            await borrow()  # once they have ended, the type opens again

    run(main())


@pytest.mark.parametrize("message", [Drain()])
def test_a_crash_does_not_end_a_drain(message: Drain) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            await manager.actor("db").ask(message)
            crash(manager, "db")
            with pytest.raises(ManagerStopped):
                await manager.acquire("db:a")
        backend.assert_all_closed()

    run(main())


def test_who_does_not_wait_does_not_wait_for_the_next_resource_either() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)

        async def welcome(_: object) -> None:
            raise ValueError("not this one")

        spec = backend.spec(max_size=2, on_acquire=welcome, min_idle=1)
        async with serving(spec) as manager:
            await manager.wait_ready()
            loop = asyncio.get_running_loop()
            began = loop.time()
            with pytest.raises((AcquireTimeout, OpenFailedError)):
                await manager.acquire("db:a", timeout=0)
            assert loop.time() == began

    run(main())


def test_one_lease_block_is_entered_once_even_at_once() -> None:
    async def main() -> None:
        backend = Backend(open=0.1)
        async with serving(backend.spec()) as manager:
            block = manager.lease("db")

            async def enter() -> None:
                async with block:
                    await asyncio.sleep(0)

            answers = await asyncio.gather(enter(), enter(), return_exceptions=True)
            assert [type(answer) for answer in answers] == [type(None), UsageError]
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


def test_a_release_declares_no_type() -> None:
    async def main() -> None:
        async with DefaultResourceManager() as manager:
            with pytest.raises(UnknownResourceType):
                await manager.release("typo:x")
            assert [node.path for node in manager.tree().children[0].children] == [
                "metrics",
                "janitor",
            ]

    run(main())


def test_a_late_release_of_a_removed_type_is_no_error() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(), backend.spec("other")) as manager:
            await manager.acquire("db:a")
            await manager.remove_type("db", timeout=0)
            await manager.release("db:a")
        backend.assert_all_closed()

    run(main())


def test_a_reply_that_is_dropped_gives_its_lease_back() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            reply = manager.actor("db").ask(Acquire("db:a"))
            await settled()
            del reply
            await usable(manager, "db", 1)

    run(main())


def test_two_who_await_a_question_with_a_deadline_both_run_out_of_time() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:a")
            reply = manager.actor("db").ask(Acquire("db:b"), timeout=0.05)

            async def wait() -> None:
                await reply

            answers = await asyncio.gather(wait(), wait(), return_exceptions=True)
            assert all(isinstance(answer, TimeoutError) for answer in answers)
            await manager.release("db:a")

    asyncio.run(main())
