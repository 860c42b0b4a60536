"""SQLAlchemy's AsyncEngine with its AsyncAdaptedQueuePool, over a dialect for the fake server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util.concurrency import await_

from benchmarks.reliability.backend import Backend, ConnectionLostError, Resource
from benchmarks.reliability.pools import Pool, Shape

_current: list[Backend] = []


class Connection(AdaptedConnection):
    """What SQLAlchemy's adapters of async drivers are: a synchronous face that awaits."""

    __slots__ = ("backend", "resource")

    def __init__(self, backend: Backend, resource: Resource) -> None:
        """Be connected."""
        self.backend = backend
        self.resource = resource

    def rollback(self) -> None:
        """Make a round trip: the reset on return."""
        await_(self.backend.reset(self.resource))

    def close(self) -> None:
        """Close."""
        await_(self.backend.close(self.resource))

    def terminate(self) -> None:
        """Close without waiting."""
        self.backend.close_now(self.resource)


class Dialect(DefaultDialect):
    """A dialect that asks the server nothing at its first connection."""

    is_async = True
    has_terminate = True
    driver = "fake"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """Return what SQLAlchemy reads of a driver's module."""
        return SimpleNamespace(Error=ConnectionLostError, paramstyle="named")

    @classmethod
    def get_pool_class(cls, _url: Any) -> Any:
        """Return the default of every async dialect."""
        return AsyncAdaptedQueuePool

    def initialize(self, connection: Any) -> None:
        """Ask nothing."""

    def create_connect_args(self, _url: Any) -> Any:
        """No arguments."""
        return (), {}

    def connect(self, *_args: Any, **_kwargs: Any) -> Any:
        """Connect."""
        backend = _current[-1]
        return Connection(backend, await_(backend.connect()))

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Make a round trip."""
        await_(dbapi_connection.backend.ping(dbapi_connection.resource))
        return True

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close without waiting."""
        dbapi_connection.terminate()

    def is_disconnect(self, e: Any, _connection: Any, _cursor: Any) -> bool:
        """Tell whether the error means that the connection is gone."""
        return isinstance(e, ConnectionLostError)


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    An `AsyncEngine` by `create_async_engine(pool_pre_ping=True)`, the recommended guard
    against stale connections, with `pool_size` for what is kept and `max_overflow` for the rest;
    its pool is the default `AsyncAdaptedQueuePool`, its reset on return the default rollback; used
    by `async with engine.connect()`, closed by `engine.dispose()`, which takes no time limit.
    """
    _current.append(backend)
    registry.register("fake", __name__, "Dialect")
    kept = shape.min_idle or shape.size
    engine = create_async_engine(
        "fake://", pool_pre_ping=True, pool_size=kept, max_overflow=shape.size - kept
    )

    def resource(lent: Any) -> Resource:
        found: Resource = lent.sync_connection.connection.dbapi_connection.resource
        return found

    return Pool(
        lease=engine.connect,
        resource=resource,
        close=lambda _seconds: engine.dispose(),
        resets=True,
    )
