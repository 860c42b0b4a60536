"""psycopg_pool, with a `connection_class` that does what its pool asks of a connection."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from psycopg import OperationalError
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from benchmarks.reliability.backend import Backend, ConnectionLostError, Resource
from benchmarks.reliability.pools import Pool, Shape


class Connection:
    """As `psycopg.AsyncConnection`: used in a transaction, which the end of a block commits."""

    autocommit = False

    def __init__(self, backend: Backend, resource: Resource) -> None:
        """Be connected and idle."""
        self.backend = backend
        self.resource = resource
        self.pgconn = self  # its pool reads `connection.pgconn.transaction_status`
        self.in_transaction = False
        self.closed = False
        self._pool: Any = None

    @property
    def transaction_status(self) -> TransactionStatus:
        """UNKNOWN once the connection is closed, or found dead."""
        if self.closed:
            return TransactionStatus.UNKNOWN
        return TransactionStatus.INTRANS if self.in_transaction else TransactionStatus.IDLE

    async def set_autocommit(self, value: bool) -> None:  # noqa: FBT001 - its interface
        """Change it; no round trip."""
        self.autocommit = value

    async def execute(self, _query: str) -> None:
        """Make a round trip."""
        await self._ask()

    async def commit(self) -> None:
        """Make a round trip."""
        await self._ask()
        self.in_transaction = False

    rollback = commit

    async def close(self) -> None:
        """Close at once."""
        self.closed = True
        self.backend.close_now(self.resource)

    async def _ask(self) -> None:
        try:
            await self.backend.ping(self.resource)
        except ConnectionLostError as error:
            self.closed = True
            raise OperationalError(str(error)) from error

    async def __aenter__(self) -> Self:
        self.in_transaction = True  # the borrower's first statement begins one
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.closed:
            return
        if kind is None:
            await self.commit()
            return
        with suppress(Exception):  # which the real one logs
            await self.rollback()


def _resource(lent: Connection) -> Resource:
    return lent.resource


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    An `AsyncConnectionPool` with `min_size`, `max_size`, the recommended
    `check=AsyncConnectionPool.check_connection`, and a `reset` in the case of the hanging one;
    opened and waited for by `open(wait=True)`; used by `async with pool.connection()`, closed by
    `close(timeout=...)`.
    """

    class Connected(Connection):
        @classmethod
        async def connect(cls, _conninfo: str, **_kwargs: Any) -> Self:
            try:
                return cls(backend, await backend.connect())
            except ConnectionLostError as error:
                raise OperationalError(str(error)) from error

    made: Any = AsyncConnectionPool  # its type wants a real connection class

    async def reset(connection: Connection) -> None:
        await backend.reset(connection.resource)

    pool = made(
        connection_class=Connected,
        min_size=shape.min_idle,
        max_size=shape.size,
        check=AsyncConnectionPool.check_connection,
        reset=reset if shape.cleaned else None,
        open=False,
    )
    await pool.open(wait=True)
    return Pool(
        lease=pool.connection,
        resource=_resource,
        close=lambda seconds: pool.close(timeout=seconds),
        resets=True,
    )
