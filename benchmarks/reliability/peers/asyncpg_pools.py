"""asyncpg's pool, with `connect=` and a `connection_class` whose protocol is the fake server."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from asyncpg.connection import Connection as RealConnection

from benchmarks.reliability.backend import Backend, ConnectionLostError, Resource
from benchmarks.reliability.pools import Pool, Shape


class Protocol:
    """What a connection and its pool ask of the wire."""

    queries_count = 0

    def __init__(self, backend: Backend, resource: Resource) -> None:
        """Be connected."""
        self.backend = backend
        self.resource = resource
        self.closed = False

    def is_connected(self) -> bool:
        """Tell whether either side has closed: the loop hears of it at once."""
        return self.resource.alive and not self.closed

    def is_in_transaction(self) -> bool:
        """Tell that every statement commits itself, as in asyncpg."""
        return False

    def _is_cancelling(self) -> bool:
        return False

    async def close(self, _timeout: float | None) -> None:
        """Close."""
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.closed = True
        self.backend.close_now(self.resource)


class Connection(RealConnection):
    """A real connection object over the fake protocol; closing and cleaning up are asyncpg's."""

    __slots__ = ("resource",)

    def __init__(self, backend: Backend, resource: Resource) -> None:
        """Set what the real constructor reads from the server."""
        self._protocol = Protocol(backend, resource)
        self._loop = asyncio.get_running_loop()
        self._aborted = False
        self._pool_release_ctr = 0
        self._top_xact = self._proxy = self._pool_holder = None
        self._listeners: dict[str, Any] = {}
        self._log_listeners: set[Any] = set()
        self._termination_listeners: set[Any] = set()
        self._query_loggers: set[Any] = set()
        self._cancellations: set[Any] = set()
        self.resource = resource
        resource.on_lost = self._cleanup  # as its protocol's connection_lost

    def _mark_stmts_as_closed(self) -> None:
        pass  # there are no statements


def _resource(lent: Any) -> Resource:
    found: Resource = lent.resource
    return found


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    A pool by `create_pool(min_size=..., max_size=...)` with a `reset` of one round trip,
    as its default has; used by `async with pool.acquire()`, closed by
    `asyncio.wait_for(pool.close(), ...)`, as its documentation advises.
    """

    async def connect(*_args: Any, **_kwargs: Any) -> Connection:
        try:
            return Connection(backend, await backend.connect())
        except ConnectionLostError as error:
            raise OSError(str(error)) from error

    async def reset(connection: Any) -> None:
        await backend.reset(connection.resource)

    pool = await asyncpg.create_pool(
        min_size=shape.min_idle,
        max_size=shape.size,
        connect=connect,
        reset=reset,
        connection_class=Connection,
    )
    return Pool(
        lease=pool.acquire,
        resource=_resource,
        close=lambda seconds: asyncio.wait_for(pool.close(), seconds),
        resets=True,
    )
