"""The stable handle of one actor: tell, ask and watch, from the loop or from any thread."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any, overload

from pepperpy_resources._checks import as_seconds
from pepperpy_resources.actors.host import REFUSED, kind_of
from pepperpy_resources.actors.metrics import Collect, ManagerFigures
from pepperpy_resources.actors.pool import Describe
from pepperpy_resources.actors.reply import Failure, Reply
from pepperpy_resources.actors.watching import Down, Watch
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire
from pepperpy_resources.core.snapshot import PoolSnapshot
from pepperpy_resources.errors import UsageError

if TYPE_CHECKING:
    import asyncio

    from pepperpy_resources.actors.host import Cell


class Notice(Reply[Down]):
    """The answer to a watch: no turn has to end for it to come, so no circle waits for it."""

    watch: Watch | None = None

    def awaited(self, waiter: asyncio.Future[None]) -> Generator[Any, None, None]:
        """Wait."""
        yield from waiter

    def withdraw(self) -> bool:
        """Watch no more; return False if the answer was taken before."""
        if self.watch is not None:
            self.watch.cancel()
        return super().withdraw()


Timeout = float | timedelta | None


class ActorHandle:
    """Points at an actor, whichever incarnation is current; never goes stale."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cell.path} {self._cell.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._cell is other._cell

    def __hash__(self) -> int:
        return hash(id(self._cell))

    @property
    def path(self) -> str:
        """Where the actor lives in the tree."""
        return self._cell.path

    @property
    def status(self) -> str:
        """What the actor is doing, in one word."""
        return self._cell.status

    def tell(self, message: Any) -> bool:
        """Send a message and expect no answer; never blocks.

        Returns True if it was handed over or queued; False if it has become a dead letter: the
        actor has ended, its mailbox is full, or it does not take such messages.
        """
        refusal = self._refusal(message)
        if refusal:
            self._cell.host.dead_letters.add(self._cell, message, refusal)
            return False
        return self._cell.deliver(message) is not REFUSED

    @overload
    def ask(self, message: Acquire, *, timeout: Timeout = None) -> Reply[Lease]: ...
    @overload
    def ask(self, message: Describe, *, timeout: Timeout = None) -> Reply[PoolSnapshot]: ...
    @overload
    def ask(self, message: Collect, *, timeout: Timeout = None) -> Reply[ManagerFigures]: ...
    @overload
    def ask(self, message: Any, *, timeout: Timeout = None) -> Reply[Any]: ...
    def ask(self, message: Any, *, timeout: Timeout = None) -> Reply[Any]:
        """Send a message and return its `Reply` at once; never blocks.

        `timeout` is how many seconds the asker is willing to wait for the answer. Raises
        `UsageError` where the message itself or the timeout is wrong; everything else arrives as
        the answer: `ActorDead` from an actor that has ended or crashes over it, `MailboxFull`.
        """
        message = self._checked(message)
        seconds = None if timeout is None else as_seconds(timeout)
        reply: Reply[Any] = Reply(self._cell, None if seconds == inf else seconds)
        refusal = self._refusal(message)
        if refusal:
            given = type(message).__name__
            text = f"{self._cell.path} does not understand {given}; {refusal}"
            reply.resolve(Failure(UsageError(text)))
        else:
            self._cell.ask(message, reply)
        return reply

    def watch(self) -> Reply[Down]:
        """Return a reply that is answered once the current incarnation ends.

        While the actor is being restarted: the next one; at once if it has ended for good.
        """
        notice = Notice(self._cell)
        notice.watch = self._cell.watch(notice.resolve)
        return notice

    def watch_for(self, watcher: Cell) -> Watch:
        """Have `Down` sent to another actor once the current incarnation ends."""
        return self._cell.watch(watcher.notice, watcher)

    def _checked(self, message: Any) -> Any:
        """Return the message as it is to be sent; raises `UsageError` where it is wrong."""
        if issubclass(kind_of(message), Acquire):
            raise UsageError(f"{self.path} leases nothing; ask the actor of a resource type")
        return message

    def _refusal(self, _message: Any) -> str:
        """Return why the actor must not be sent this, empty if it may be."""
        return ""
