"""Case 10: an error names the culprit, the state of the pool, and what to do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, errors
from pepperpy_resources.messages import Drain
from pepperpy_resources.testing import crash, run
from tests.helpers import STUBBORN, Backend, serving, settled, timed

HERE = Path(__file__).name
REFUSED = ConnectionRefusedError("db.example:5432")

STATES = "0 idle, 2 leased of at most 2"
OLDEST = "oldest lease 'db:first' held for"
HOLDER = "by nightly, acquired at"


@asynccontextmanager
async def full(**fields: Any) -> AsyncIterator[DefaultResourceManager]:
    """Serve a type of two, both out: one for five seconds, to "nightly"."""
    async with serving(Backend().spec(max_size=2, acquire_timeout=1, **fields)) as manager:
        await manager.acquire("db:first", owner="nightly")
        await asyncio.sleep(5)
        await manager.acquire("db:second")
        yield manager


async def refused(manager: DefaultResourceManager, **how: Any) -> BaseException:
    _, error = await timed(manager.acquire("db:x", **how))
    assert isinstance(error, BaseException)
    return error


def assert_says(error: BaseException, *words: str) -> None:
    """Each of these words is in the text, and so are type, states, queue, and oldest holder."""
    for word in (*words, "'db'", STATES, " waiting", OLDEST, HOLDER, HERE):
        assert word in str(error)


# -- what each of them says


def test_exhausted() -> None:
    async def main() -> None:
        async with full() as manager:
            line = inspect.getsourcelines(full)[1] + 4
            waiter = asyncio.ensure_future(manager.acquire("db:b", timeout=60))
            await settled()
            error = await refused(manager)
            assert type(error) is errors.AcquireTimeout
            assert isinstance(error, TimeoutError)
            assert error.__cause__ is None
            assert_says(error, "1 waiting", "held for 6 s", f"{HERE}:{line} in full")
            assert_says(error, "Hold leases for less time, raise max_size, or wait longer")
            waiter.cancel()

    run(main())


def test_backend_down() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2, acquire_timeout=1)) as manager:
            await manager.acquire("db:first", owner="nightly")
            backend.usual["open"] = REFUSED
            seconds, error = await timed(manager.acquire("db:x"))
            assert seconds == pytest.approx(1.0)
            assert type(error) is errors.BackendDown
            assert isinstance(error, errors.BrokenError)
            assert isinstance(error, TimeoutError)
            assert error.__cause__ is REFUSED
            for words in (
                "no 'db' resource", "1 leased of at most 2", "0 waiting", OLDEST, HOLDER, HERE,
                "Creations fail with ConnectionRefusedError (see the cause): mend what the factory",
            ):  # fmt: skip
                assert words in str(error)

    run(main())


def test_backend_down_with_the_attempts_used_up() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=2, backoff=Backoff(attempts=2))
        async with serving(spec) as manager:
            await manager.acquire("db:first", owner="nightly")
            backend.usual["open"] = REFUSED
            error = await refused(manager)
            assert type(error) is errors.OpenFailedError
            assert isinstance(error, errors.BrokenError)
            assert not isinstance(error, TimeoutError)
            assert error.__cause__ is REFUSED
            for words in (
                "no 'db' resource can be made (see the cause)", "1 leased of at most 2",
                "0 waiting", OLDEST, HOLDER, HERE, "Mend what the factory connects to",
            ):  # fmt: skip
                assert words in str(error)

    run(main())


def test_overloaded() -> None:
    async def main() -> None:
        async with full(max_queue_delay=0.01) as manager:
            error = await refused(manager)
            assert type(error) is errors.Overloaded
            assert isinstance(error, errors.OverloadError)
            assert not isinstance(error, TimeoutError)
            assert_says(error, "max_queue_delay=0.01 s", "Shed load, raise max_size")

    run(main())


def test_queue_full() -> None:
    async def main() -> None:
        async with full(max_waiting=1) as manager:
            waiter = asyncio.ensure_future(manager.acquire("db:b", timeout=60))
            await settled()
            error = await refused(manager)
            assert type(error) is errors.QueueFull
            assert isinstance(error, errors.OverloadError)
            assert not isinstance(error, TimeoutError)
            assert_says(error, "max_waiting=1", "1 waiting", "or raise max_waiting")
            waiter.cancel()

    run(main())


def test_suspended() -> None:
    async def main() -> None:
        async with full() as manager:
            await manager.suspend("db")
            error = await refused(manager)
            assert type(error) is errors.TypeSuspended
            assert isinstance(error, errors.AcquireTimeout)
            assert_says(error, "is suspended and leases nothing", "resume() it")
            await manager.resume("db")
            assert type(await refused(manager)) is errors.AcquireTimeout

    run(main())


def test_closed() -> None:
    async def main() -> None:
        async with full() as manager:
            waiter = asyncio.ensure_future(refused(manager, timeout=60))
            await settled()
            drain = asyncio.ensure_future(manager.actor("db").ask(Drain()))
            error = await waiter
            assert type(error) is errors.ManagerStopped
            assert isinstance(error, errors.ClosedError)
            assert not isinstance(error, TimeoutError)
            assert_says(error, "is stopping", "Acquire before stop(), or of a new manager")
            drain.cancel()

    run(main())


def test_parked() -> None:
    async def main() -> None:
        async with full() as manager:
            for _ in range(4):
                crash(manager, "db")
                await settled()
            error = await refused(manager)
            assert type(error) is errors.TypeParked
            assert "'db' is parked: its supervisor crashed more than 3 times in 5 s" in str(error)
            assert "manager.revive()" in str(error)

    run(main())


def test_usage() -> None:
    async def main() -> None:
        async with full() as manager:
            _, error = await timed(manager.acquire("db:first"))
            assert type(error) is errors.LeaseIdInUse
            assert isinstance(error, errors.UsageError)
            assert "'db:first'" in str(error)
            assert "by nightly" in str(error)
            assert HERE in str(error)

    run(main())


# -- the right one of two that would both fit


def test_exhausted_once_the_backend_is_back() -> None:
    async def main() -> None:
        backend = Backend(open=REFUSED)
        async with serving(backend.spec(max_size=1, acquire_timeout=1)) as manager:
            assert type(await refused(manager)) is errors.BackendDown
            backend.usual["open"] = 0.0
            await asyncio.sleep(10)
            await manager.acquire("db:a")
            error = await refused(manager)
            assert type(error) is errors.AcquireTimeout
            assert error.__cause__ is None

    run(main())


def test_a_hook_that_ignores_its_deadline_is_named_rather_than_the_backend() -> None:
    async def main() -> None:
        backend = Backend(open=STUBBORN)
        async with serving(backend.spec(max_size=1, create_timeout=0.5)) as manager:
            try:
                error = await refused(manager, timeout=3)
                assert isinstance(error, errors.AcquireTimeout)
                assert "1 abandoned of at most 1" in str(error)
                assert "Too many hooks ignore their deadlines: find the hook" in str(error)
            finally:
                backend.let_go.set()
            await settled()

    run(main())
