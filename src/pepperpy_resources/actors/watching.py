"""Who is told when an incarnation ends, and the letters nobody could take."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from pepperpy_resources.core.kinship import Exit

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell, Host

KEPT = 100  # dead letters that stay readable
SAMPLE = 1.0  # seconds between two log lines about dead letters

log = logging.getLogger("pepperpy_resources")


class Watch:
    """The wish to be told, once, when an incarnation of an actor ends."""

    __slots__ = ("_tell", "over", "target", "watcher")

    def __init__(
        self, target: Cell, tell: Callable[[Down], object], watcher: Cell | None = None
    ) -> None:
        self.target = target
        self._tell = tell
        self.watcher = watcher  # an actor whose incarnation's end is the watch's too
        self.over = False  # told or cancelled

    def __repr__(self) -> str:
        return f"<Watch of {self.target.path}{', over' if self.over else ''}>"

    def cancel(self) -> None:
        """Be told no more; also a notice that is queued already is not handed over."""
        self.over = True
        self.target.watches.pop(self, None)
        if self.watcher is not None:
            self.watcher.watching.pop(self, None)

    def fire(self, exit_: Exit) -> None:
        """Tell of the end."""
        self._tell(Down(self.target.path, self.target.incarnation, exit_, self))


class Down(msgspec.Struct, frozen=True):
    """A watched actor's incarnation has ended; `watch` is what asked for it."""

    path: str
    incarnation: int
    exit: Exit
    watch: Watch


class DeadLetter(msgspec.Struct, frozen=True):
    """A message nobody could take; `at` on the loop's clock."""

    path: str
    kind: str  # the message's type
    why: str
    at: float
    message: Any

    def __repr__(self) -> str:  # what is in the message is nobody's business in a log
        return f"<DeadLetter {self.kind} for {self.path}: {self.why}>"


class DeadLetters:
    """The last dead letters of a host; a sample of them goes to the log."""

    def __init__(self, host: Host) -> None:
        self.total = 0
        self.recent: deque[DeadLetter] = deque(maxlen=KEPT)
        self._host = host
        self._logged_at = float("-inf")
        self._unlogged = 0

    def add(self, cell: Cell, message: Any, why: str) -> None:
        """Keep a message that `cell` cannot take."""
        now = self._host.now()
        self.total += 1
        cell.dead_letters += 1
        letter = DeadLetter(cell.path, type(message).__name__, why, now, message)
        self.recent.append(letter)
        if now - self._logged_at < SAMPLE:
            self._unlogged += 1
            return
        more = f" (and {self._unlogged} more since the last such line)" if self._unlogged else ""
        self._logged_at, self._unlogged = now, 0
        text = "dead letter: %s for %s: %s%s"
        self._host.say(text, letter.kind, cell.path, why, more)
