"""psycopg_pool with real PostgreSQL connections, of which only the lending is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, OperationalError, ProgrammingError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from benchmarks.contenders import CannotOpenError, Setting, Worker

_OPEN_TIMEOUT = 5  # seconds


@asynccontextmanager
async def getconn_putconn(setting: Setting) -> AsyncIterator[Worker]:
    """Open a pool of fixed size and wait until it is full, as its documentation recommends.

    Raises `CannotOpenError` when the server cannot be reached or has too few connections free.
    """
    dsn = setting.dsn or ""
    await _try(dsn)
    pool = AsyncConnectionPool(dsn, min_size=setting.size, max_size=setting.size, open=False)

    async def work(_task: int, cycles: int, hold: bool) -> None:  # noqa: FBT001 - see Worker
        for _ in range(cycles):
            connection = await pool.getconn()
            if hold:
                await asyncio.sleep(0)
            await pool.putconn(connection)

    try:
        await pool.open(wait=True, timeout=_OPEN_TIMEOUT)
    except PoolTimeout:  # the pool has logged why
        await pool.close()
        raise CannotOpenError(
            f"no {setting.size} connections to the PostgreSQL of --dsn within {_OPEN_TIMEOUT} s"
        ) from None
    try:
        yield work
    finally:
        await pool.close()


async def _try(dsn: str) -> None:
    """Connect once, because the pool would try for ever and log each failure."""
    try:
        connection = await AsyncConnection.connect(dsn, connect_timeout=_OPEN_TIMEOUT)
    except ProgrammingError:  # whose message may quote a password
        raise CannotOpenError("--dsn is no connection string of PostgreSQL") from None
    except OperationalError as error:
        raise CannotOpenError(f"the PostgreSQL of --dsn: {error}") from None
    await connection.close()
