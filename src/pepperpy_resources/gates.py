"""What the façade keeps of each resource type: its way to it."""

from __future__ import annotations

import asyncio
import math
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec

from pepperpy_resources.actors.blame import blamed
from pepperpy_resources.actors.host import ASK
from pepperpy_resources.actors.reply import Failure, Promise
from pepperpy_resources.actors.type_handle import check_priority, keywords_refused
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire, Discard, Release
from pepperpy_resources.errors import (
    AcquireTimeout,
    OpenFailedError,
    UsageError,
)
from pepperpy_resources.refused import bare_id_error

if TYPE_CHECKING:
    from collections.abc import Callable


# borrower(1): the frame that awaits the coroutine which calls this. There is no public way to look
# one frame up that does not cost more than the acquire itself.
borrower = sys._getframe  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


class Gate:
    """The façade's way to one resource type."""

    __slots__ = (
        "cell",
        "deliver",
        "fenced",
        "keyed",
        "line",
        "loop",
        "name",
        "spec",
        "state",
        "welcomes",
    )

    def __init__(self, state: TypeState) -> None:
        self.state = state
        self.spec = state.spec
        self.name = state.spec.name
        self.keyed = state.spec.keyed
        self.cell = state.cell
        self.loop = state.loop
        self.deliver: Callable[..., Any] = state.cell.deliver
        self.welcomes = state.spec.on_acquire is not None
        # A late bare release could hit the lease of whoever has the id by then.
        self.fenced = state.spec.keyed and state.spec.on_overdue == "revoke"
        self.line = state.spec.borrow_stack == "line"

    def site(self, frame: FrameType) -> Any:
        """Return where the borrower is, as the spec's borrow_stack wants it.

        `"line"` is cheap to take and resolved only when it is shown; the hot paths do it in place.
        """
        if self.line:
            return (frame.f_code, frame.f_lasti)
        full = self.spec.borrow_stack == "full"
        return "".join(traceback.format_stack(frame)) if full else None

    def bare_acquire(self, resource_id: str, rest: str) -> UsageError:
        """Return why this id cannot be acquired but by `lease()`."""
        if not rest:
            return bare_id_error(resource_id, self.name, keyed=self.keyed)
        return UsageError(
            f"{self.name!r} is keyed and revokes overdue leases: a release by id could hit the "
            f"lease of somebody else, so use lease({resource_id!r}), or ask(Acquire(...)) and "
            "Release(id, epoch)"
        )

    def check_arguments(self, arguments: dict[str, Any], priority: int | None) -> None:
        """Refuse keywords that this type cannot honour."""
        check_priority(priority)
        if arguments and not self.keyed:
            raise keywords_refused(self.name, arguments)

    async def kept(self, answer: Any) -> Any:
        """Return the answer once it is there; raise what was denied."""
        if answer.__class__ is Promise:
            promise = answer
            try:
                answer = await promise.future
            except BaseException:
                self.cell.forsake(promise)
                raise
        if answer.__class__ is Failure:
            raise answer.error
        return answer

    async def welcomed(self, message: Acquire) -> Lease:
        """Acquire and run `on_acquire`; a resource that fails it is discarded, the next tried.

        Raises `OpenFailedError` when all fail, `AcquireTimeout` when time is up.
        """
        clock = self.state.loop.time
        timeout = self.state.policy.acquire_timeout if message.timeout is None else message.timeout
        deadline = clock() + (timeout if timeout > 0 else self.state.policy.create_timeout)
        tries = (self.spec.max_size or 1) + 1
        lease: Lease = await self.kept(self.deliver(message, ASK))
        while (error := await self._welcome(lease, deadline)) is not None:
            tries -= 1
            left = deadline - clock()
            if left <= 0 or not tries:
                raise self._unwelcome(error, left) from error
            again = msgspec.structs.replace(message, timeout=left if timeout > 0 else 0.0)
            answer = self.deliver(again, ASK)
            lease = await self.kept(answer)
        return lease

    async def _welcome(self, lease: Lease, deadline: float) -> Exception | None:
        """Run on_acquire in the borrower's task; a failure discards the resource."""
        entry = self.state.ledger.entries.get(lease.slot)
        at = None if deadline == math.inf else deadline
        try:
            async with asyncio.timeout_at(at):
                await self.state.hooks.on_acquire(entry, lease.resource)
        except BaseException as error:
            lost = self.state.hooks.is_lost(error)
            self.deliver(Discard(lease.resource_id, lease.epoch, lost, error))
            if not isinstance(error, Exception):
                raise
            return error
        return None

    def _unwelcome(self, error: Exception, left: float) -> Exception:
        if left <= 0:
            late = AcquireTimeout(f"on_acquire of {self.name!r} did not succeed in time")
            return blamed(self.state, late)
        failed = OpenFailedError(
            f"on_acquire of {self.name!r} failed on every resource tried: {type(error).__name__}"
        )
        return blamed(self.state, failed)

    def give_back(
        self, lease: Lease, error: BaseException | None, *, discard: bool = False
    ) -> None:
        """End a `lease()` block: one message, nothing awaited that a cancellation could cut.

        An error that means "the other side is gone" invalidates the generation, whatever the
        spec's `on_exception` says of the others.
        """
        if discard:
            self.deliver(Discard(lease.resource_id, lease.epoch))
        elif error is None:
            self.deliver(Release(lease.resource_id, lease.epoch))
        elif self.state.hooks.is_lost(error):
            self.deliver(Discard(lease.resource_id, lease.epoch, lost=True, error=error))
        elif self._outlives(error):
            self.deliver(Release(lease.resource_id, lease.epoch))
        else:
            self.deliver(Discard(lease.resource_id, lease.epoch))

    def _outlives(self, error: BaseException) -> bool:
        """Tell whether a resource whose block was left by this error may be used again."""
        wanted = self.spec.on_exception
        if wanted is None:
            # A cancelled borrower may have left an operation half-way, which only a reset mends.
            return isinstance(error, Exception) or self.state.policy.has_reset
        return wanted != "discard"
