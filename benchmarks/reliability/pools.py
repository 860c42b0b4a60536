"""The pools that are compared, and the one face through which the cases use each of them."""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contenders import Contender
from benchmarks.reliability.backend import Backend, Resource


class Shape(NamedTuple):
    """How a case wants its pool; each pool says it in its own words."""

    size: int
    min_idle: int
    openings: int | None = None  # so many creations at once, where that can be set
    cleaned: bool = False  # a hook cleans on return, where the pool can have one


class Pool(NamedTuple):
    """An open pool, used as its documentation shows: in an `async with` block.

    `resource` finds the backend's resource in what the block is given. `close` is given the
    seconds that borrowers may have; None where a pool has no close. `resets` tells whether it
    has a hook that cleans a resource on return.
    """

    lease: Callable[[], AbstractAsyncContextManager[Any]]
    resource: Callable[[Any], Resource]
    close: Callable[[float], Awaitable[object]] | None
    resets: bool


Opener = Callable[[Backend, Shape], Awaitable[Pool]]


def _peer(key: str, title: str, module: str, *packages: str) -> Contender:
    return Contender(key, title, f"benchmarks.reliability.peers.{module}:open_pool", packages)


OURS = Contender("ours", "pepperpy-resources", "benchmarks.reliability.ours:open_pool")
POOLS = (
    OURS,
    _peer("psycopg", "psycopg_pool", "psycopg_pools", "psycopg-pool", "psycopg"),
    _peer("asyncpg", "asyncpg", "asyncpg_pools", "asyncpg"),
    _peer("sqlalchemy", "SQLAlchemy async", "sqlalchemy_engine", "sqlalchemy", "greenlet"),
    _peer("acp", "asyncio-connection-pool", "connection_pools", "asyncio-connection-pool"),
    _peer("generic", "generic-connection-pool", "generic_pools", "generic-connection-pool"),
    _peer("aiomisc", "aiomisc PoolBase", "aiomisc_pools", "aiomisc"),
)


# A spinning loop stands still in virtual time: there, this close would never see its time limit.
REAL_TIME = {("generic", "closing"): "its close polls without yielding until its time is up"}


def opener(pool: Contender) -> Opener:
    """Return what opens the pool; raises `ImportError` if its packages are not installed."""
    module, function = pool.opener.split(":")
    found: Opener = getattr(import_module(module), function)
    return found


def configuration(pool: Contender) -> str:
    """Return what the pool is configured with: what its opener's docstring says after a title.

    Read from the source, because a peer that is not installed cannot be imported.
    """
    module, function = pool.opener.split(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    [made] = [
        node
        for node in source.body
        if isinstance(node, ast.AsyncFunctionDef) and node.name == function
    ]
    return " ".join((ast.get_docstring(made) or "").partition("\n\n")[2].split())
