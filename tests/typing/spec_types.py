"""What a type checker infers for every kind of factory; checked by mypy and pyright, never run."""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
)
from datetime import timedelta
from functools import partial
from typing import Any, assert_type

from pepperpy_resources.core.policy import Policy
from pepperpy_resources.spec import Backoff, Budget, Intensity, ResourceSpec, resource_spec


class Connection:
    def close(self) -> None: ...

    async def aclose(self) -> None: ...

    def ping(self, timeout: float = 1.0) -> bool:
        return timeout > 0


class Client(AbstractAsyncContextManager[Connection]):
    async def __aenter__(self) -> Connection:
        return Connection()

    async def __aexit__(self, *_: object) -> None: ...


async def coroutine(dsn: str = "") -> Connection:
    return Connection()


def function(dsn: str = "") -> Connection:
    return Connection()


async def async_generator() -> AsyncGenerator[Connection, None]:
    yield Connection()


async def async_iterator() -> AsyncIterator[Connection]:
    yield Connection()


def generator() -> Generator[Connection, None, None]:
    yield Connection()


def iterator() -> Iterator[Connection]:
    yield Connection()


@asynccontextmanager
async def async_context() -> AsyncGenerator[Connection, None]:
    yield Connection()


@contextmanager
def context() -> Generator[Connection, None, None]:
    yield Connection()


def makes_async_context() -> AbstractAsyncContextManager[Connection]:
    return async_context()


def makes_context() -> AbstractContextManager[Connection]:
    return closing(Connection())


def sqlite() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


# Every kind of factory, by itself.
assert_type(resource_spec("db", factory=coroutine), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=function), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=async_generator), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=async_iterator), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=generator), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=iterator), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=async_context), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=context), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=makes_async_context), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=makes_context), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=Connection), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=partial(coroutine, "dsn")), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=partial(function, "dsn")), ResourceSpec[Connection])
assert_type(resource_spec("db", factory=lambda: coroutine("dsn")), ResourceSpec[Connection])

# A context manager is entered without `close`, and is the resource itself with it.
assert_type(resource_spec("db", factory=Client), ResourceSpec[Connection])
assert_type(
    resource_spec("db", factory=Client, close=lambda client: client.__aexit__()),
    ResourceSpec[Client],
)
assert_type(resource_spec("db", factory=sqlite), ResourceSpec[sqlite3.Connection])
assert_type(
    resource_spec("db", factory=sqlite, close=sqlite3.Connection.close),
    ResourceSpec[sqlite3.Connection],
)

# Hooks take the resource, as def, async def or lambda.
assert_type(
    resource_spec("db", factory=coroutine, close=Connection.aclose, check=Connection.ping),
    ResourceSpec[Connection],
)
assert_type(
    resource_spec("db", factory=function, close=lambda c: c.close(), reset=lambda c: c.ping(2.0)),
    ResourceSpec[Connection],
)

# Every field with the types it may be given in.
full = resource_spec(
    "db",
    factory=coroutine,
    close=Connection.aclose,
    check=Connection.ping,
    reset=None,
    on_acquire=Connection.ping,
    is_connection_error=lambda error: isinstance(error, OSError),
    on_exception="discard",
    max_size=None,
    min_idle=0,
    max_opening=2,
    keyed=True,
    max_holders=3,
    budget=Budget("connections", 20),
    order="fifo",
    acquire_timeout=timedelta(seconds=2),
    max_waiting=None,
    max_queue_delay=timedelta(milliseconds=500),
    priority=2,
    ageing=2,
    create_timeout=1,
    check_timeout=1.5,
    reset_timeout=timedelta(seconds=1),
    close_timeout=2,
    check_on={"acquire", "return"},
    fresh_for=0,
    keepalive=30,
    idle_timeout=timedelta(minutes=1),
    max_lifetime=float("inf"),
    lifetime_jitter=0.1,
    max_uses=1000,
    max_hold=60.0,
    on_overdue="revoke",
    borrow_stack="full",
    backoff=Backoff(attempts=3),
    restart=Intensity(restarts=1),
    required=False,
    depends_on=["vault"],
    offload=True,
    thread_bound=False,
)
assert_type(full, ResourceSpec[Connection])
assert_type(full.name, str)
assert_type(full.max_size, int | None)
assert_type(full.policy(), Policy)

# The plain constructor infers the resource from the hooks, or is told, or is Any.
assert_type(ResourceSpec("db", factory=coroutine, close=Connection.close), ResourceSpec[Connection])
assert_type(ResourceSpec[Connection]("db", factory=coroutine), ResourceSpec[Connection])
assert_type(ResourceSpec("db", factory=coroutine), ResourceSpec[Any])

# What a type checker refuses; an ignore that is not needed is an error of the checkers.
ResourceSpec("db", coroutine)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ResourceSpec("db", factory=coroutine, scope="task")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ResourceSpec("db", factory=coroutine, budget=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ResourceSpec("db", factory=coroutine, order="lru")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
resource_spec("db", factory=coroutine, max_sise=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
resource_spec("db", factory=coroutine, max_size="1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
resource_spec("db", factory=async_context, close=Connection.close)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
