"""`lease()` blocks and the typed handle of one resource type."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from pepperpy_resources.actors.host import ASK
from pepperpy_resources.actors.reply import Failure, Promise
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire, Release
from pepperpy_resources.errors import UsageError
from pepperpy_resources.gates import Gate, borrower

if TYPE_CHECKING:
    from pepperpy_resources.default import DefaultResourceManager

T = TypeVar("T")


class LeaseContext(msgspec.Struct, Generic[T]):
    """One `async with manager.lease(...)`: leases on entry, gives back on exit, once."""

    gate: Gate
    resource_id: str
    timeout: float | None
    arguments: dict[str, Any] | None
    discard: bool
    owner: object = None  # None: the task that enters the block
    priority: int | None = None
    lease: Lease | None = None
    entered: bool = False

    def __repr__(self) -> str:
        return f"<lease of {self.resource_id!r}>"  # no arguments: they may be secret

    async def __aenter__(self) -> T:
        gate = self.gate
        if self.entered:
            raise UsageError("a lease() block is entered once; call lease() again")
        self.entered = True
        frame = borrower(1)
        site = (frame.f_code, frame.f_lasti) if gate.line else gate.site(frame)
        owner = self.owner if self.owner is not None else asyncio.current_task(gate.loop)
        message = Acquire(
            self.resource_id, self.timeout, owner, self.arguments, site, self.priority
        )
        lease: Any = await gate.welcomed(message) if gate.welcomes else gate.deliver(message, ASK)
        if lease.__class__ is not Lease:
            if lease.__class__ is Promise:
                # `Gate.kept` in place: one coroutine less for every acquire that waits.
                promise: Promise = lease
                try:
                    lease = await promise.future
                except BaseException:
                    gate.cell.forsake(promise)
                    raise
            if lease.__class__ is Failure:
                raise lease.error
        self.lease = lease
        return cast("T", lease.resource)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lease = self.lease
        if lease is None:
            return
        if error is None and not self.discard:
            self.gate.deliver(Release(self.resource_id, lease.epoch))
        else:
            self.gate.give_back(lease, error, discard=self.discard)


class ResourceHandle(Generic[T]):
    """One resource type, with its resource's Python type: `manager.type(spec)`."""

    __slots__ = ("_manager", "name")

    def __init__(self, manager: DefaultResourceManager, name: str) -> None:
        self._manager = manager
        self.name = name

    def __repr__(self) -> str:
        return f"<ResourceHandle {self.name!r}>"

    def lease(
        self,
        key: str = "",
        *,
        timeout: float | timedelta | None = None,
        owner: object = None,
        priority: int | None = None,
        discard: bool = False,
        **arguments: Any,
    ) -> AbstractAsyncContextManager[T]:
        """Lease for a block; `key` is the part after the ":" and may be empty on a pooled type.

        Raises as `DefaultResourceManager.lease` does.
        """
        return self._manager.lease(
            self._id(key),
            timeout=timeout,
            owner=owner,
            priority=priority,
            discard=discard,
            **arguments,
        )

    def acquire(
        self,
        key: str,
        *,
        timeout: float | timedelta | None = None,
        owner: object = None,
        priority: int | None = None,
        **arguments: Any,
    ) -> Coroutine[Any, Any, T]:
        """Lease until `release(key)`. Raises as `DefaultResourceManager.acquire` does."""
        # Not async itself: the borrower is who awaits this, and is named in errors and the tree.
        return self._manager.acquire(
            f"{self.name}:{key}", timeout=timeout, owner=owner, priority=priority, **arguments
        )

    async def release(self, key: str, *, discard: bool = False) -> None:
        """Give back what `acquire(key)` returned."""
        await self._manager.release(f"{self.name}:{key}", discard=discard)

    def _id(self, key: str) -> str:
        return f"{self.name}:{key}" if key else self.name
