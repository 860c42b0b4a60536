"""pepperpy-resources."""

from __future__ import annotations

from typing import Any

from benchmarks.reliability.backend import Backend, ConnectionLostError, Resource
from benchmarks.reliability.pools import Pool, Shape
from pepperpy_resources import DefaultResourceManager, ResourceSpec


async def open_pool(backend: Backend, shape: Shape) -> Pool:
    """Open the pool.

    A `ResourceSpec` with `check`, `close` and `is_connection_error`, and a `reset` in the case
    of the hanging one; `max_size` and `min_idle` as the case says, everything else the default
    (`max_opening` is 4) unless the row says so; used by `async with manager.lease("db")`, closed by
    `manager.stop(timeout=...)`.
    """
    limits: dict[str, Any] = {} if shape.openings is None else {"max_opening": shape.openings}
    spec: ResourceSpec[Resource] = ResourceSpec(
        "db",
        factory=backend.connect,
        check=backend.check,
        reset=backend.reset if shape.cleaned else None,
        close=backend.close,
        is_connection_error=lambda error: isinstance(error, ConnectionLostError),
        max_size=shape.size,
        min_idle=shape.min_idle,
        **limits,
    )
    manager = DefaultResourceManager([spec])
    await manager.start()
    return Pool(
        lease=lambda: manager.lease("db"),
        resource=lambda lent: lent,
        close=lambda seconds: manager.stop(timeout=seconds),
        resets=True,
    )
