"""psycopg_pool with real PostgreSQL connections, of which only the lending is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from benchmarks.contenders import CannotOpenError, Setting, Worker

_OPEN_TIMEOUT = 5.0  # seconds


@asynccontextmanager
async def getconn_putconn(setting: Setting) -> AsyncIterator[Worker]:
    """Open a pool of fixed size and wait until it is full, as its documentation recommends."""
    dsn = setting.dsn or ""
    try:
        conninfo_to_dict(dsn)
    except ProgrammingError:  # whose message, and the pool's log, may quote a password
        raise CannotOpenError("--dsn is no connection string of PostgreSQL") from None
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
