"""What is measured: the table of contenders, and how each one is opened.

A contender gives a worker, a coroutine function that runs the whole loop of cycles itself. So
every contender pays for the same loop, and nobody for a call that only the harness makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any, NamedTuple

# (number of the task, cycles, whether to yield to the loop while holding)
Worker = Callable[[int, int, bool], Coroutine[Any, Any, None]]


class Setting(NamedTuple):
    """What every contender is opened with."""

    size: int = 10
    dsn: str | None = None  # may hold a password: never printed, never written


Opener = Callable[[Setting], AbstractAsyncContextManager[Worker]]


class CannotOpenError(Exception):
    """A contender that was asked for cannot be opened; the message says why."""


class Contender(NamedTuple):
    """One row of the result; `opener` is "module:function"."""

    key: str
    title: str
    opener: str
    packages: tuple[str, ...] = ()  # of a peer: its distributions
    real_database: bool = False


FLOOR = Contender("lifo", "asyncio.LifoQueue (the floor)", "benchmarks.floor:lifo_queue")
ACQUIRE = Contender("acquire", "ours: acquire/release", "benchmarks.ours:acquire_release")
OURS = (
    ACQUIRE,
    Contender("lease", "ours: lease()", "benchmarks.ours:lease"),
    Contender("typed", "ours: typed handle, lease()", "benchmarks.ours:typed"),
    Contender("keyed", "ours: keyed, acquire/release", "benchmarks.ours:keyed"),
)
PEERS = (
    Contender(
        "aiomisc", "aiomisc PoolBase", "benchmarks.peers.aiomisc_pool:pool_base", ("aiomisc",)
    ),
    Contender(
        "acp",
        "asyncio-connection-pool",
        "benchmarks.peers.connection_pool:connection_pool",
        ("asyncio-connection-pool",),
    ),
    Contender(
        "anyio",
        "anyio CapacityLimiter + deque",
        "benchmarks.peers.anyio_limiter:capacity_limiter",
        ("anyio",),
    ),
    Contender(
        "psycopg",
        "psycopg_pool, real connections",
        "benchmarks.peers.psycopg_connections:getconn_putconn",
        ("psycopg-pool", "psycopg"),
        real_database=True,
    ),
)
CONTENDERS = (
    FLOOR,
    Contender("semaphore", "asyncio.Semaphore + deque", "benchmarks.floor:semaphore"),
    *OURS,
    *PEERS,
)


def load(contender: Contender) -> Opener:
    """Return what opens the contender; raises `ImportError` if its packages are not installed."""
    module, function = contender.opener.split(":")
    opener: Opener = getattr(import_module(module), function)
    return opener


def why_missing(contender: Contender, dsn: str | None) -> str | None:
    """Return why the contender cannot take part, and what to do; None if it can."""
    if contender.real_database and dsn is None:
        return "needs a real PostgreSQL; give one with --dsn"
    try:
        load(contender)
    except ImportError as error:
        if not contender.packages or (error.name or "").startswith("benchmarks"):
            raise  # our own mistake
        return f"{error}; pip install {' '.join(contender.packages)}"
    return None


async def make_resource(*_resource_id: str) -> object:
    """Open the fake resource of every contender but psycopg_pool."""
    await asyncio.sleep(0)
    return object()
