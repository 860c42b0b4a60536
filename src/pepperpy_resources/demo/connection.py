"""One real sqlite3 connection that blocks, made safe to use from an event loop.

The rule: a thread is inside a connection only while it holds the connection's lock, and whoever
gives up on a call interrupts it and waits until the thread has left. So a connection is never
closed under a running query, which sqlite3 does not survive.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from pepperpy_resources.demo.corpus import Answer, Question

T = TypeVar("T")

_DESCRIPTORS = Path("/proc/self/fd")  # Linux: one link per open file of this process
_INTERRUPT_AGAIN = 0.01  # seconds between two interrupts of a thread that has not left yet


class Connection:
    """One real sqlite3 connection and what has happened to it."""

    def __init__(self, number: int, path: Path) -> None:
        """Open the database file for reading; call it in a thread. Raises sqlite3.Error."""
        self.number = number
        self.closed = False  # by the pool's close hook; a fault may close `_raw` before that
        self.broken = False  # a fault closed `_raw` underneath
        self.spoilt = False  # its borrower was cancelled or leaked it: never to be lent again
        self.interrupted = False  # in the middle of a query
        self.holder: str | None = None  # name of the task that has it on lease
        self.question: Question | None = None  # what the thread inside is asking, for which task
        self.asking: asyncio.Task[object] | None = None
        self._lock = threading.Lock()
        # Used by one thread after another, never by two at once: the lock sees to that.
        self._raw = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)

    def __repr__(self) -> str:
        """Show the number and the state."""
        state = "closed" if self.closed else "broken" if self.broken else "open"
        return f"<Connection {self.number} {state}>"

    def in_use(self) -> bool:
        """Say whether a thread is inside."""
        return self._lock.locked()

    def fetch(self, query: str, *arguments: str) -> Answer:
        """Return all rows of one query; runs in a thread. Raises sqlite3.Error."""
        try:
            with self._lock, contextlib.closing(self._raw.execute(query, arguments)) as cursor:
                return tuple(cursor.fetchall())
        except sqlite3.OperationalError as error:
            self.interrupted = error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT
            raise

    def interrupt(self) -> None:
        """Make the thread inside leave; may be called from any thread, does nothing when closed."""
        with contextlib.suppress(sqlite3.ProgrammingError):
            self._raw.interrupt()

    def close(self) -> None:
        """Close the sqlite3 connection once no thread is inside; runs in a thread."""
        with self._lock:
            self._raw.close()


async def in_thread(
    threads: Executor, call: Callable[[], T], *, give_up: Callable[[], None] | None = None
) -> T:
    """Return what `call` returns in a thread, or raise what it raises.

    A cancellation goes on only after the thread is done. `give_up` is called then, and again until
    the thread is done, because an interrupt that comes before the query has begun is lost.
    """
    work = asyncio.get_running_loop().run_in_executor(threads, call)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            if give_up is not None:
                give_up()
            # Being cancelled again while waiting changes nothing: the first one is on its way.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({work}, timeout=_INTERRUPT_AGAIN)
        work.exception()  # seen, so that asyncio does not report it as never retrieved
        raise


def open_descriptors(path: Path) -> int | None:
    """Return how many file descriptors of this process point at the database file or its journals.

    None where the system does not list them under /proc/self/fd.
    """
    if not _DESCRIPTORS.is_dir():
        return None
    name = str(path.resolve())
    names = {name, f"{name}-wal", f"{name}-shm", f"{name}-journal"}
    return sum(target.removesuffix(" (deleted)") in names for target in _link_targets(_DESCRIPTORS))


def _link_targets(folder: Path) -> Iterator[str]:
    for link in folder.iterdir():
        try:
            yield str(link.readlink())
        except FileNotFoundError:  # closed since it was listed: the listing's own, for one
            continue
