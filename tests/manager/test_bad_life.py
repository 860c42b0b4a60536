"""Calls at the wrong time, from the wrong place, of the wrong thing: refused, nothing half-done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import (
    AcquireTimeout,
    BrokenError,
    ClosedError,
    DuplicateResourceType,
    InvalidSpec,
    ManagerStopped,
    NotStarted,
    OpenFailedError,
    UnknownResourceType,
    UsageError,
)
from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, serving, settled, ticks, timed, usable

Call = Callable[[DefaultResourceManager], Coroutine[Any, Any, Any]]


async def acquire(manager: DefaultResourceManager) -> Any:
    return await manager.acquire("db:a")


async def lease(manager: DefaultResourceManager) -> None:
    async with manager.lease("db"):
        raise AssertionError("it was leased")


async def release(manager: DefaultResourceManager) -> None:
    await manager.release("db:a")


async def cleanup(manager: DefaultResourceManager) -> None:
    await manager.cleanup()


async def monitor(manager: DefaultResourceManager) -> None:
    await manager.monitor()


async def wait_ready(manager: DefaultResourceManager) -> None:
    await manager.wait_ready()


async def add_type(manager: DefaultResourceManager) -> None:
    manager.add_type(Backend().spec("more"))


async def remove_type(manager: DefaultResourceManager) -> None:
    await manager.remove_type("db")


async def actor(manager: DefaultResourceManager) -> None:
    manager.actor("db")


async def handle(manager: DefaultResourceManager) -> None:
    await manager.type(Backend().spec("db")).acquire("a")


CALLS = [
    acquire,
    lease,
    release,
    cleanup,
    monitor,
    wait_ready,
    add_type,
    remove_type,
    actor,
    handle,
]


@pytest.mark.parametrize("call", CALLS)
def test_before_start_everything_is_refused(call: Call) -> None:
    async def main() -> None:
        backend = Backend()
        manager = DefaultResourceManager([backend.spec("db")])
        with pytest.raises(NotStarted) as caught:
            await call(manager)
        assert "await manager.start()" in str(caught.value)
        assert isinstance(caught.value, ClosedError)
        # It can still be started.
        async with manager:
            await usable(manager, "db", 2)
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("call", [acquire, lease, cleanup, add_type, remove_type, handle])
def test_after_stop_everything_new_is_refused(call: Call) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            pass
        with pytest.raises(ManagerStopped) as caught:
            await call(manager)
        assert "make a new manager" in str(caught.value)
        assert backend.opened == 0

    run(main())


def test_a_look_at_a_stopped_manager_is_allowed_and_empty() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            await manager.acquire("db:a")
        assert dict(manager.resources) == {}
        assert "stopped" in repr(manager)
        assert "stopped" in manager.tree().render()

    run(main())


def test_a_stopped_manager_is_not_started_again() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            pass
        with pytest.raises(ManagerStopped, match="make a new manager"):
            await manager.start()
        never = DefaultResourceManager([backend.spec("db")])
        await never.stop()
        with pytest.raises(ManagerStopped):
            await never.start()

    run(main())


def test_a_manager_that_is_stopping_is_not_started_again() -> None:
    async def main() -> None:
        backend = Backend()
        manager = DefaultResourceManager([backend.spec("db")])
        await manager.start()
        await manager.acquire("db:a")
        stop = asyncio.ensure_future(manager.stop(5))
        await ticks(3)
        with pytest.raises(ManagerStopped):
            await manager.start()
        await stop
        backend.assert_all_closed()

    run(main())


def test_a_second_start_changes_nothing() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=1)) as manager:
            fake = await manager.acquire("db:a")
            await asyncio.gather(manager.start(), manager.start())
            assert manager.resources["db:a"] is fake
            assert manager.cell("db").incarnation == 1
        backend.assert_all_closed()

    run(main())


# -- factories


def test_a_factory_that_returns_none_is_refused_at_once() -> None:
    async def main() -> None:
        async def nothing() -> None:
            return None

        async with serving(ResourceSpec("db", factory=nothing)) as manager:
            seconds, error = await timed(manager.acquire("db:a"))
            assert isinstance(error, OpenFailedError)
            assert isinstance(error, BrokenError)
            assert seconds == 0.0
            assert isinstance(error.__cause__, Exception)
            assert "returned None" in str(error.__cause__)
            assert "must return the resource" in str(error.__cause__)
            assert dict(manager.resources) == {}
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


def test_a_factory_that_always_raises_is_the_cause() -> None:
    async def main() -> None:
        refused = ConnectionRefusedError("port 5432")
        backend = Backend(open=refused)
        limited = backend.spec("db", backoff=Backoff(min=0.1, jitter=0.0, attempts=3))
        async with serving(limited) as manager:
            seconds, error = await timed(manager.acquire("db:a"))
            assert isinstance(error, OpenFailedError)
            assert error.__cause__ is refused
            assert backend.calls["open"] == 3
            assert seconds == pytest.approx(0.1)  # the second try is made at once
            # From now on it fails fast, with the last cause, until a creation works again.
            seconds, error = await timed(manager.acquire("db:b"))
            assert seconds == 0.0
            assert isinstance(error, OpenFailedError)
            assert error.__cause__ is refused
            backend.usual["open"] = 0.0
            await asyncio.sleep(60)
            await usable(manager, "db", 2)
            figures = (await manager.monitor())["types"]["db"]
            assert figures["errors"]["open"] >= 3

    run(main())


def test_a_factory_that_never_returns_is_bounded_by_its_deadline() -> None:
    async def main() -> None:
        backend = Backend(open=NEVER)
        async with serving(backend.spec("db", create_timeout=2, max_size=1)) as manager:
            seconds, error = await timed(manager.acquire("db:a", timeout=3))
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(3.0)
            assert "create_timeout=2" in str(error.__cause__)
            backend.usual["open"] = 0.0
            await asyncio.sleep(30)
            await usable(manager, "db", 1)
        backend.assert_all_closed()

    run(main())


# -- specs and types


def test_a_bad_spec_never_becomes_a_manager() -> None:
    backend_calls: list[object] = []
    for fields in (
        {"max_size": 0},
        {"min_idle": 11},
        {"acquire_timeout": -1},
        {"idle_timeout": float("nan")},
        {"max_hold": -5},
        {"placement": "here"},
    ):
        with pytest.raises(InvalidSpec, match=f"'db': {next(iter(fields))}"):
            ResourceSpec("db", factory=lambda: backend_calls.append(1), **fields)
    assert backend_calls == []


@pytest.mark.parametrize("given", ["db", object(), None, {"name": "db"}], ids=repr)
def test_what_is_no_spec_is_refused(given: Any) -> None:
    with pytest.raises(
        InvalidSpec, match=f"a ResourceSpec is expected, not {type(given).__name__}"
    ):
        DefaultResourceManager([given])


def test_two_specs_of_one_name_are_refused() -> None:
    async def main() -> None:
        backend = Backend()
        with pytest.raises(DuplicateResourceType, match="two specs declare 'db'"):
            DefaultResourceManager([backend.spec("db"), backend.spec("a"), backend.spec("db")])
        async with serving(backend.spec("db")) as manager:
            with pytest.raises(DuplicateResourceType, match="'db' is declared already"):
                manager.add_type(backend.spec("db"))
            with pytest.raises(InvalidSpec):
                manager.add_type("db")  # type: ignore[arg-type]
            await usable(manager, "db", 2)

    run(main())


def test_types_come_and_go() -> None:
    async def main() -> None:
        backend, more = Backend(), Backend()
        async with serving(backend.spec("db", max_size=1)) as manager:
            with pytest.raises(UnknownResourceType):
                await manager.acquire("more:a")
            handle = manager.add_type(more.spec("more", max_size=1))
            async with handle.lease():
                waiter = asyncio.ensure_future(timed(handle.acquire("waits")))
                await ticks(1)
                removal = asyncio.ensure_future(timed(manager.remove_type("more", timeout=2)))
                # Its waiters are denied at once, its borrowers get the timeout.
                seconds, denied = await waiter
                assert seconds == 0.0
                assert isinstance(denied, ClosedError)
                seconds, error = await removal
                assert error is None
                assert seconds == pytest.approx(2.0)
            more.assert_all_closed()
            with pytest.raises(UnknownResourceType, match="'more'"):
                await manager.acquire("more:a")
            with pytest.raises(UnknownResourceType, match="'more'"):
                await manager.remove_type("more")
            # The name is free again, and the other type never noticed.
            manager.add_type(more.spec("more"))
            await usable(manager, "more", 2)
            await usable(manager, "db", 1)

    run(main())


def test_a_type_being_removed_cannot_be_added_or_removed_again() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            await manager.acquire("db:a")
            removal = asyncio.ensure_future(manager.remove_type("db", timeout=5))
            await ticks(3)
            with pytest.raises(UsageError):
                manager.add_type(backend.spec("db"))
            with pytest.raises(UsageError):
                await manager.remove_type("db")
            await manager.release("db:a")
            await removal
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("tick", range(8))
def test_a_cancelled_removal_leaves_no_half_removed_type(tick: int) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db"), backend.spec("other")) as manager:
            await manager.acquire("db:a")
            removal = asyncio.ensure_future(manager.remove_type("db", timeout=5))
            await ticks(tick)
            removal.cancel()
            await asyncio.wait({removal})
            await settled()
            if tick == 0:  # it never began
                await manager.release("db:a")
                await usable(manager, "db", 1)
            else:
                await manager.release("db:a")
                await asyncio.sleep(20)
                with pytest.raises(UnknownResourceType):
                    await manager.acquire("db:b")
                manager.add_type(backend.spec("db"))
                await usable(manager, "db", 1)
        backend.assert_all_closed()

    run(main())


def test_a_handle_of_an_undeclared_type_is_refused() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            with pytest.raises(UnknownResourceType, match="did you mean 'db'"):
                manager.type(backend.spec("dbb"))
            with pytest.raises(UnknownResourceType, match="'dbb'"):
                manager.actor("dbb")
            with pytest.raises(UnknownResourceType, match="'dbb'"):
                manager.revive("dbb")
            for name in ("db", "root", "janitor", "metrics"):
                assert name in repr(manager.actor(name))

    run(main())
