"""Every kind of factory: made once, entered and left in one task, closed exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import pytest

from pepperpy_resources import ResourceSpec
from pepperpy_resources.testing import run
from tests.helpers import serving, settled, ticks

log: list[str] = []
tasks: list[asyncio.Task[Any] | None] = []


def begin() -> str:
    log.append("open")
    tasks.append(asyncio.current_task())
    return "resource"


def end(_: object = None) -> None:
    log.append("close")
    tasks.append(asyncio.current_task())


async def end_later(_: object) -> None:
    await ticks(2)
    end()


async def coroutine() -> str:
    await ticks(2)
    return begin()


def function() -> str:
    return begin()


async def async_generator() -> AsyncIterator[str]:
    yield begin()
    await ticks(2)
    end()


def generator() -> Iterator[str]:
    yield begin()
    end()


@contextlib.asynccontextmanager
async def async_context() -> AsyncIterator[str]:
    try:
        yield begin()
    finally:
        await ticks(2)
        end()


@contextlib.contextmanager
def context() -> Iterator[str]:
    try:
        yield begin()
    finally:
        end()


class Plain:
    """A class is its own factory; it does not derive from a context manager, so it has `close`."""

    def __init__(self) -> None:
        begin()

    def __enter__(self) -> Self:  # like a sqlite3 connection: a transaction, not a life
        raise AssertionError("must not be entered")

    def __exit__(self, *_: object) -> None:
        raise AssertionError("must not be left")

    def __eq__(self, other: object) -> bool:
        return other == "resource"

    def __hash__(self) -> int:
        return 0


class Entered(contextlib.AbstractAsyncContextManager["Entered"]):
    """A class that says it is to be entered and left."""

    async def __aenter__(self) -> Self:
        begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end()

    def __eq__(self, other: object) -> bool:
        return other == "resource"

    def __hash__(self) -> int:
        return 0


class Connector:
    async def __call__(self) -> str:
        return begin()


KINDS: dict[str, tuple[Callable[..., Any], Any]] = {
    "async def": (coroutine, end_later),
    "def": (function, end),
    "lambda returning a coroutine": (lambda *_: coroutine(), end_later),
    "lambda returning a context": (lambda *_: async_context(), None),
    "partial": (functools.partial(coroutine), end),
    "callable object": (Connector(), end),
    "async generator": (async_generator, None),
    "generator": (generator, None),
    "asynccontextmanager": (async_context, None),
    "contextmanager": (context, None),
    "class": (Plain, end),
    "context manager class": (Entered, None),
}


@pytest.fixture(autouse=True)
def empty() -> None:
    log.clear()
    tasks.clear()


def spec_of(kind: str, **fields: Any) -> ResourceSpec[Any]:
    factory, close = KINDS[kind]
    return ResourceSpec("db", factory=factory, close=close, **fields)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["stop", "discard", "cleanup", "cleanup by force"])
def test_it_is_opened_and_closed_exactly_once(kind: str, way: str) -> None:
    async def main() -> None:
        async with serving(spec_of(kind)) as manager:
            for _ in range(3):
                assert await manager.acquire("db:a") == "resource"
                await manager.release("db:a")
            assert log == ["open"]
            if way == "discard":
                async with manager.lease("db", discard=True):
                    pass
            elif way == "cleanup by force":
                await manager.acquire("db:b")
                await manager.cleanup(force=True)
            elif way == "cleanup":
                await manager.cleanup()
            await settled()
            assert log == (["open"] if way == "stop" else ["open", "close"])
        assert log == ["open", "close"]

    run(main())


@pytest.mark.parametrize(
    "kind", ["async generator", "asynccontextmanager", "context manager class"]
)
def test_it_is_entered_and_left_in_one_task(kind: str) -> None:
    # Cancel scopes (anyio, trio-like libraries, asyncio.timeout) insist on it.
    async def main() -> None:
        async with serving(spec_of(kind, max_size=2)) as manager:
            await manager.acquire("db:a")
            await manager.acquire("db:b")
            await manager.release("db:a", discard=True)
            await settled()
        first, second, *ends = tasks
        assert None not in tasks
        assert first is not second
        assert ends == [first, second]
        assert asyncio.current_task() not in tasks

    run(main())


def test_a_cancel_scope_spans_the_yield() -> None:
    ended: list[str] = []

    async def connect() -> AsyncIterator[str]:
        async with asyncio.timeout(None), asyncio.TaskGroup() as group:
            reader = group.create_task(asyncio.sleep(3600))
            yield "resource"
            reader.cancel()
        ended.append("group")

    async def main() -> None:
        async with serving(ResourceSpec("db", factory=connect)) as manager:
            async with manager.lease("db") as resource:
                assert resource == "resource"
            assert ended == []
        assert ended == ["group"]

    run(main())


@pytest.mark.parametrize("kind", ["async generator", "generator", "asynccontextmanager"])
def test_a_borrower_s_error_is_not_thrown_into_the_factory(kind: str) -> None:
    async def main() -> None:
        async with serving(spec_of(kind)) as manager:
            with pytest.raises(KeyError):
                async with manager.lease("db"):
                    raise KeyError
            assert log == ["open"]
        assert log == ["open", "close"]

    run(main())


def test_a_context_that_fails_to_enter_is_a_failed_creation() -> None:
    async def main() -> None:
        tries = 0

        @contextlib.asynccontextmanager
        async def connect() -> AsyncIterator[str]:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise ConnectionError("refused")
            yield "resource"
            log.append("close")

        async with serving(ResourceSpec("db", factory=connect)) as manager:
            assert await manager.acquire("db:a") == "resource"
            assert tries == 2
        assert log == ["close"]

    run(main())


def test_a_context_that_fails_to_leave_costs_nothing_but_an_error() -> None:
    async def main() -> None:
        async def connect() -> AsyncIterator[str]:
            yield begin()
            end()
            raise OSError("already gone")

        async with serving(ResourceSpec("db", factory=connect, max_size=1)) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a", discard=True)
            await manager.acquire("db:b", timeout=1)
            assert (await manager.monitor())["types"]["db"]["errors"]["close"] == 1
        assert log == ["open", "close", "open", "close"]

    run(main())


def test_a_generator_that_yields_twice_is_a_failed_close() -> None:
    async def main() -> None:
        async def connect() -> AsyncIterator[str]:
            yield begin()
            yield "more"

        async with serving(ResourceSpec("db", factory=connect)) as manager:
            async with manager.lease("db", discard=True):
                pass
            await settled()
            assert (await manager.monitor())["types"]["db"]["errors"]["close"] == 1

    run(main())


def test_a_generator_that_yields_nothing_is_a_failed_creation() -> None:
    async def main() -> None:
        async def connect() -> AsyncIterator[str]:
            if log:
                yield "never"

        async with serving(ResourceSpec("db", factory=connect)) as manager:
            with pytest.raises(TimeoutError) as caught:
                await manager.acquire("db:a", timeout=1)
            assert isinstance(caught.value.__cause__, RuntimeError)
            assert "didn't yield" in str(caught.value.__cause__)

    run(main())


def test_a_context_that_gives_none_is_left_again() -> None:
    async def main() -> None:
        @contextlib.asynccontextmanager
        async def connect() -> AsyncIterator[None]:
            begin()
            yield None
            end()

        async with serving(ResourceSpec("db", factory=connect)) as manager:
            with pytest.raises(Exception, match="can be made") as caught:
                await manager.acquire("db:a")
            assert "returned None" in str(caught.value.__cause__)
            await settled()
            assert log == ["open", "close"]

    run(main())


@pytest.mark.parametrize("kind", ["async generator", "asynccontextmanager"])
def test_a_creation_that_is_cancelled_is_left(kind: str) -> None:
    async def main() -> None:
        left: list[str] = []

        async def connect() -> AsyncIterator[str]:
            try:
                await asyncio.sleep(3600)
                yield "resource"
            finally:
                left.append("finally")

        factory = contextlib.asynccontextmanager(connect) if "context" in kind else connect
        async with serving(ResourceSpec("db", factory=factory, create_timeout=1)) as manager:
            with pytest.raises(TimeoutError):
                await manager.acquire("db:a", timeout=1.05)
            assert left == ["finally"]

    run(main())


# -- where hooks run: in the context copied at start(); on_acquire in the borrower's

request: contextvars.ContextVar[str] = contextvars.ContextVar("request")


def test_hooks_see_the_context_of_start_and_on_acquire_the_borrower_s() -> None:
    async def main() -> None:
        seen: dict[str, str] = {}

        def see(name: str) -> Callable[..., Any]:
            async def hook(*_: object) -> str:
                seen[name] = request.get()
                return "resource"

            return hook

        spec: ResourceSpec[Any] = ResourceSpec(
            "db", factory=see("open"), close=see("close"), check=see("check"), reset=see("reset"),
            on_acquire=see("on_acquire"), fresh_for=0,
        )  # fmt: skip
        request.set("at start")
        async with serving(spec) as manager:
            request.set("the borrower's")
            await manager.acquire("db:a")
            await manager.release("db:a")
            await asyncio.sleep(1)  # now it must be checked
            await manager.acquire("db:b")
            assert seen == {
                "open": "at start",
                "check": "at start",
                "reset": "at start",
                "on_acquire": "the borrower's",
            }
            await manager.release("db:b", discard=True)
            await settled()
            assert seen["close"] == "at start"

    run(main())


def test_a_hook_that_sets_a_variable_sets_it_for_itself_alone() -> None:
    async def main() -> None:
        seen: list[str] = []

        async def connect() -> str:
            seen.append(request.get("unset"))
            request.set("dirty")
            return "resource"

        async with serving(ResourceSpec("db", factory=connect)) as manager:
            await manager.acquire("db:a")
            await manager.acquire("db:b")
            assert seen == ["unset", "unset"]
            assert request.get("unset") == "unset"

    contextvars.Context().run(run, main())
