"""Case 8: stop() ends: waiters at once, borrowers after the timeout, everything closed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import ManagerStopped, NotLeased
from pepperpy_resources.testing import run
from tests.helpers import NEVER, STUBBORN, Backend, Ticks, now, settled, ticks, timed

TIMEOUT = 5.0
CLOSE = 2.0


async def started(*specs: ResourceSpec[Any]) -> DefaultResourceManager:
    manager = DefaultResourceManager(specs)
    await manager.start()
    return manager


def test_waiters_are_denied_at_once_and_borrowers_are_waited_for() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec(max_size=1))
        fake = await manager.acquire("db:holder")
        waiters = [
            asyncio.ensure_future(timed(manager.acquire(f"db:{number}"))) for number in range(3)
        ]
        await ticks(1)
        stop = asyncio.ensure_future(timed(manager.stop(TIMEOUT)))
        for seconds, error in await asyncio.gather(*waiters):
            assert seconds == 0.0
            assert isinstance(error, ManagerStopped)
        with pytest.raises(ManagerStopped):
            await manager.acquire("db:late")
        assert fake.closes == 0  # its borrower still works with it
        await asyncio.sleep(3)
        assert not stop.done()
        await manager.release("db:holder")
        seconds, error = await stop
        assert error is None
        assert seconds == pytest.approx(3.0)
        backend.assert_all_closed()

    run(main())


def test_borrowers_that_stay_are_forced_after_the_timeout() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec(max_size=2))
        await manager.acquire("db:a")
        await manager.acquire("db:b")
        seconds, error = await timed(manager.stop(TIMEOUT))
        assert error is None
        assert seconds == pytest.approx(TIMEOUT)
        assert backend.live == 0
        backend.assert_all_closed()
        # The lease ended on our side: its late release is no mistake, once.
        await manager.release("db:a")
        await manager.release("db:b")

    run(main())


def test_a_release_of_what_was_never_leased_is_still_an_error_after_stop() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec(max_size=2))
        await manager.acquire("db:a")
        await manager.stop(0)
        with pytest.raises(NotLeased, match="db:other"):
            await manager.release("db:other")

    run(main())


@pytest.mark.parametrize("close", [NEVER, STUBBORN], ids=["hanging", "stubborn"])
@pytest.mark.parametrize("held", [False, True], ids=["idle", "held"])
def test_a_close_that_hangs_costs_one_close_deadline_at_most(close: Ticks, *, held: bool) -> None:
    async def main() -> None:
        backend = Backend(close=close)
        manager = await started(backend.spec(max_size=3, close_timeout=CLOSE))
        try:
            for number in range(3):
                await manager.acquire(f"db:{number}")
            if not held:
                for number in range(3):
                    await manager.release(f"db:{number}")
            seconds, error = await timed(manager.stop(TIMEOUT))
            assert error is None
            assert seconds <= TIMEOUT + CLOSE + 0.001
            assert seconds >= CLOSE
        finally:
            backend.let_go.set()
        await settled()
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("hook", ["open", "check", "reset"])
@pytest.mark.parametrize("step", [NEVER, STUBBORN], ids=["hanging", "stubborn"])
def test_a_hook_that_hangs_does_not_hold_stop_up(hook: str, step: Ticks) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(
            "db", "check", "reset", max_size=1, close_timeout=CLOSE, check_timeout=60,
            reset_timeout=60, create_timeout=60,
        )  # fmt: skip
        manager = await started(spec)
        try:
            if hook != "open":
                await manager.acquire("db:a")
                backend.usual["reset"] = step if hook == "reset" else 0.0
                await manager.release("db:a")
                await asyncio.sleep(10)  # not fresh any more
            backend.usual[hook] = step
            waiter = asyncio.ensure_future(timed(manager.acquire("db:b")))
            await settled()
            assert backend.calls[hook] == 1
            seconds, error = await timed(manager.stop(TIMEOUT))
            assert error is None
            assert seconds <= TIMEOUT + CLOSE + 0.001
            _, denied = await waiter
            assert isinstance(denied, ManagerStopped)
        finally:
            backend.let_go.set()
        await settled()
        await asyncio.sleep(1)
        assert backend.live == 0
        backend.assert_all_closed()

    run(main())


def test_a_creation_that_ends_after_stop_is_closed() -> None:
    async def main() -> None:
        backend = Backend(open=STUBBORN)
        manager = await started(backend.spec(max_size=1, close_timeout=CLOSE))
        waiter = asyncio.ensure_future(timed(manager.acquire("db:a")))
        await settled()
        await manager.stop(0)
        assert isinstance((await waiter)[1], ManagerStopped)
        assert backend.opened == 0
        backend.let_go.set()
        await settled()
        assert backend.opened == 1
        backend.assert_all_closed()

    run(main())


# -- who calls it, and how often


def test_stop_is_idempotent() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec())
        await manager.acquire("db:a")
        await manager.stop(1)
        for _ in range(3):
            seconds, error = await timed(manager.stop(TIMEOUT))
            assert (seconds, error) == (0.0, None)
        backend.assert_all_closed()

    run(main())


def test_stop_from_two_tasks_at_once_is_one_stop() -> None:
    async def main() -> None:
        backend = Backend(close=0.5)
        manager = await started(backend.spec())
        await manager.acquire("db:a")
        both = await asyncio.gather(timed(manager.stop(2)), timed(manager.stop(2)))
        assert [error for _, error in both] == [None, None]
        assert [seconds for seconds, _ in both] == pytest.approx([2.5, 2.5])
        backend.assert_all_closed()

    run(main())


def test_stop_from_the_borrower_s_own_task_does_not_wait_for_itself() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec(max_size=2))
        async with manager.lease("db") as fake:
            await manager.acquire("db:mine", owner=asyncio.current_task())
            seconds, error = await timed(manager.stop(TIMEOUT))
            assert (seconds, error) == (0.0, None)
            assert fake.closes == 1
        # Leaving the block is the late release of a lease that ended on our side.
        backend.assert_all_closed()

    run(main())


def test_stop_from_one_borrower_still_waits_for_the_others() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec(max_size=2))

        async def other() -> None:
            async with manager.lease("db"):
                await asyncio.sleep(3)

        task = asyncio.ensure_future(other())
        await settled()
        async with manager.lease("db"):
            seconds, _ = await timed(manager.stop(TIMEOUT))
        assert seconds == pytest.approx(3.0)
        await task
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("tick", range(10))
def test_a_cancelled_caller_does_not_interrupt_stop(tick: int) -> None:
    async def main() -> None:
        backend = Backend(close=Ticks(3))
        manager = await started(backend.spec())
        await manager.acquire("db:a")
        began = now()
        caller = asyncio.ensure_future(manager.stop(1.0))
        await ticks(tick + 1)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
        assert caller.cancelled()
        assert backend.live == 1
        await manager.stop(60)  # joins the one that is under way
        assert now() - began == pytest.approx(1.0)
        backend.assert_all_closed()

    run(main())


def test_stop_does_not_wait_for_leases_with_nothing_to_close() -> None:
    async def main() -> None:
        async def connect() -> object:
            return object()

        manager = await started(ResourceSpec("plain", factory=connect))
        await manager.acquire("plain:a")
        seconds, error = await timed(manager.stop(TIMEOUT))
        assert (seconds, error) == (0.0, None)

    run(main())


def test_the_types_are_stopped_together() -> None:
    async def main() -> None:
        slow, quick = Backend(close=NEVER), Backend(close=0.25)
        manager = await started(
            slow.spec("slow", close_timeout=CLOSE), quick.spec("quick", close_timeout=0.5)
        )
        await manager.acquire("slow:a")
        await manager.acquire("quick:a")
        seconds, error = await timed(manager.stop(1.0))
        assert error is None
        assert seconds == pytest.approx(1.0 + CLOSE)
        slow.assert_all_closed()
        quick.assert_all_closed()

    run(main())


def test_a_type_that_was_stopped_says_what_it_leaves_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Backend(close=STUBBORN)
        manager = await started(backend.spec(close_timeout=CLOSE))
        await manager.acquire("db:a")
        await manager.stop(0)
        backend.let_go.set()
        await settled()

    run(main())
    assert "db: 1 hooks ignored their deadlines" in caplog.text


def test_a_block_left_by_an_error_stops_and_lets_the_error_through() -> None:
    async def main() -> None:
        backend = Backend()
        manager = DefaultResourceManager([backend.spec()])
        with pytest.raises(KeyError, match="mine"):
            async with manager, manager.lease("db"):
                raise KeyError("mine")
        backend.assert_all_closed()

    run(main())


def test_stop_from_one_holder_of_a_shared_resource_waits_for_the_other() -> None:
    async def main() -> None:
        backend = Backend()
        manager = await started(backend.spec("model", keyed=True, max_holders=2))

        async def other() -> None:
            async with manager.lease("model:big"):
                await asyncio.sleep(3)

        task = asyncio.ensure_future(other())
        await settled()
        async with manager.lease("model:big") as fake:
            seconds, _ = await timed(manager.stop(TIMEOUT))
            assert seconds == pytest.approx(3.0)
            assert fake.closes == 1
        await task
        backend.assert_all_closed()

    run(main())
