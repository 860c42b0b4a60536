"""What hooks may do: on_acquire, is_connection_error, and failing in every way (cases 10, 12)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pepperpy_resources.errors import AcquireTimeout, OpenFailedError
from pepperpy_resources.testing import run
from tests.helpers import (
    NEVER,
    STUBBORN,
    Backend,
    Fake,
    Ticks,
    serving,
    settled,
    ticks,
    timed,
    usable,
    warm,
)

# -- on_acquire


def test_on_acquire_runs_in_the_borrower_s_own_task() -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def welcome(fake: Fake) -> None:
            await ticks(2)
            tasks.append(asyncio.current_task())

        backend = Backend()
        async with serving(backend.spec(on_acquire=welcome)) as manager:
            await manager.acquire("db:a")
            async with manager.lease("db"):
                pass
            assert tasks == [asyncio.current_task()] * 2

    run(main())


def test_a_failing_on_acquire_discards_the_resource_and_tries_the_next() -> None:
    async def main() -> None:
        backend = Backend()

        async def welcome(fake: Fake) -> None:
            if fake.number < 3:
                raise ValueError(f"not number {fake.number}")

        async with serving(backend.spec(max_size=5, on_acquire=welcome)) as manager:
            fake = await manager.acquire("db:a")
            assert fake.number == 3
            assert manager.resources["db:a"] is fake
            await settled()
            assert [fake.closes for fake in backend.fakes] == [1, 1, 0]
            figures = (await manager.monitor())["types"]["db"]
            assert figures["active"] == 1
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("keyed", [False, True], ids=["pooled", "keyed"])
def test_an_on_acquire_that_always_fails_is_the_cause_of_the_error(*, keyed: bool) -> None:
    async def main() -> None:
        backend = Backend()
        refused = ValueError("never")

        def welcome(fake: Fake) -> None:
            raise refused

        spec = backend.spec(max_size=2, on_acquire=welcome, keyed=keyed)
        async with serving(spec) as manager:
            for _ in range(3):
                with pytest.raises(OpenFailedError, match="on every resource tried") as caught:
                    await manager.acquire("db:a")
                assert caught.value.__cause__ is refused
            assert backend.opened == 9  # max_size + 1 tries each: every slot there was, and one new
            with pytest.raises(OpenFailedError):
                async with manager.lease("db:b"):
                    raise AssertionError
            assert (await manager.monitor())["active_resources"] == 0
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("tick", range(10))
@pytest.mark.parametrize("how", ["acquire", "lease"])
def test_a_cancelled_on_acquire_gives_the_slot_back(how: str, tick: int) -> None:
    async def main() -> None:
        backend = Backend()

        async def welcome(fake: Fake) -> None:
            await ticks(4)

        async with serving(backend.spec(max_size=1, on_acquire=welcome)) as manager:

            async def borrow() -> None:
                if how == "acquire":
                    await manager.acquire("db:a")
                else:
                    async with manager.lease("db:a"):
                        await asyncio.sleep(60)

            task = asyncio.ensure_future(borrow())
            await ticks(tick)
            accepted = task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() == accepted
            if not accepted:
                await manager.release("db:a")
            await settled()
            assert dict(manager.resources) == {}
            await usable(manager, "db", 1)
        backend.assert_all_closed()

    run(main())


def test_an_on_acquire_that_hangs_is_bounded_by_the_acquire_s_deadline() -> None:
    async def main() -> None:
        backend = Backend()

        async def welcome(fake: Fake) -> None:
            await asyncio.sleep(3600)

        async with serving(backend.spec(max_size=1, on_acquire=welcome)) as manager:
            seconds, error = await timed(manager.acquire("db:a", timeout=2))
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(2.0)
            await settled()
            assert backend.live == 0
        backend.assert_all_closed()

    run(main())


def test_a_predicate_that_fails_is_reported_and_means_no(caplog: pytest.LogCaptureFixture) -> None:
    def broken(error: BaseException) -> bool:
        raise RuntimeError("predicate")

    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2, is_connection_error=broken)) as manager:
            await warm(manager, 2)
            with pytest.raises(ValueError, match="mine"):
                async with manager.lease("db"):
                    raise ValueError("mine")
            await settled()
            assert backend.live == 2
            assert manager.cell("db").incarnation == 1

    run(main())
    assert "is_connection_error of 'db' failed" in caplog.text


# -- two hooks on one resource


@pytest.mark.parametrize(("let_go_at", "closed_at"), [(3.0, 3.0), (60.0, 5.0)])
def test_a_close_waits_for_the_hook_before_it_as_long_as_its_deadline_allows(
    let_go_at: float, closed_at: float
) -> None:
    async def main() -> None:
        backend = Backend(reset=STUBBORN)
        spec = backend.spec("db", "reset", reset_timeout=2, close_timeout=6)
        async with serving(spec) as manager:
            fake = await manager.acquire("db:a")
            await manager.release("db:a")
            asyncio.get_running_loop().call_later(let_go_at, backend.let_go.set)
            await asyncio.sleep(closed_at - 0.01)  # the reset was given up at 2
            assert fake.closes == 0
            await asyncio.sleep(0.02)
            assert fake.closes == 1
            backend.let_go.set()

    run(main())


@pytest.mark.parametrize("close", [0.0, NEVER], ids=["closes", "hangs"])
def test_a_loop_that_stood_still_past_the_deadline_still_closes_the_resource(close: Any) -> None:
    # Half the deadline, when the close is to stop waiting, and the deadline come due together.
    async def main() -> None:
        backend = Backend(reset=STUBBORN, close=close)
        spec = backend.spec("db", "reset", reset_timeout=0.01, close_timeout=0.2)
        async with serving(spec) as manager:
            fake = await manager.acquire("db:a")
            await manager.release("db:a")
            await asyncio.sleep(0.05)
            assert fake.closes == 0  # it waits for the reset, which was given up at 0.01
            time.sleep(0.3)  # noqa: ASYNC251 - the loop is stuck: no timer could fire
            await asyncio.sleep(0.01)
            backend.let_go.set()
            assert fake.closes == 1
            while (await manager.monitor())["types"]["db"]["slots"].get("abandoned"):
                await ticks(1)  # a close that hangs is given up once more, and its slot is gone
        backend.assert_all_closed()

    asyncio.run(main())


# -- check


@pytest.mark.parametrize("result", [False, None, True, 0, "yes"], ids=repr)
def test_a_check_is_bad_only_when_it_returns_false_or_raises(result: object) -> None:
    async def main() -> None:
        backend = Backend()

        async def check(fake: Fake) -> object:
            return result

        async with serving(backend.spec(max_size=1, check=check)) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a")
            await asyncio.sleep(1)
            fake = await manager.acquire("db:b")
            assert fake.number == (2 if result is False else 1)

    run(main())


def test_a_resource_used_just_now_is_not_checked() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", "check", max_size=1, fresh_for=2)) as manager:
            for pause, checks in ((1.9, 0), (1.9, 0), (2.1, 1), (1.9, 1), (100, 2)):
                async with manager.lease("db"):
                    pass
                await asyncio.sleep(pause)
                async with manager.lease("db"):
                    assert backend.calls["check"] == checks

    run(main())


def test_slow_hooks_of_a_long_dead_generation_are_no_reason_to_wait() -> None:
    async def main() -> None:
        backend = Backend(close=Ticks(3))
        async with serving(backend.spec(max_size=2)) as manager:
            await warm(manager, 2)
            backend.usual["close"] = NEVER
            seconds, _ = await timed(manager.cleanup())
            assert seconds == pytest.approx(5.0)  # bounded by the close deadline
            await usable(manager, "db", 2)

    run(main())
