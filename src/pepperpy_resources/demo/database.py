"""The database file, and the hooks that open, check and close connections to it.

Every connection is counted here, by the demo itself, when it is opened and when it is closed; the
process's open file descriptors say the same a second time and from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pepperpy_resources.demo.connection import Connection, in_thread
from pepperpy_resources.demo.corpus import LONGEST, Answer, Question, SourceFile

T = TypeVar("T")

QUERIES = {
    "file": """
        SELECT lines, size, (SELECT count(*) FROM definition WHERE file = file.id)
        FROM file WHERE path = ?""",
    "outline": """
        SELECT line, kind, name FROM definition
        WHERE file = (SELECT id FROM file WHERE path = ?) ORDER BY line""",
    "definition": """
        SELECT path, line FROM definition JOIN file ON file.id = definition.file
        WHERE name = ? ORDER BY path, line""",
    "package": """
        SELECT count(*), sum(lines), sum(
            (SELECT count(*) FROM definition WHERE file = file.id))
        FROM file WHERE package = ?""",
    "longest": f"""
        SELECT name, path, end_line - line + 1 AS length
        FROM definition JOIN file ON file.id = definition.file
        WHERE package = ? ORDER BY length DESC, path, line LIMIT {LONGEST}""",
    "mentions": """
        SELECT count(*) FROM file WHERE instr(text, ?) > 0""",
}

SLOW_QUERIES = frozenset({"mentions"})  # those that read the text of every file

_SCHEMA = """
    CREATE TABLE file (
        id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, package TEXT NOT NULL,
        lines INTEGER NOT NULL, size INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE TABLE definition (
        id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES file, name TEXT NOT NULL,
        kind TEXT NOT NULL, line INTEGER NOT NULL, end_line INTEGER NOT NULL);
    CREATE INDEX file_package ON file (package);
    CREATE INDEX definition_file ON definition (file);
    CREATE INDEX definition_name ON definition (name);
"""

_HANGS_FOR = 3600.0  # seconds: far beyond any close_timeout


def build_database(
    path: Path, files: Sequence[SourceFile], on_progress: Callable[[int, int], None]
) -> None:
    """Write one row per source file and one per definition to a new database file.

    `on_progress` is called after each file with the number of files done and of all.
    Raises sqlite3.Error.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_SCHEMA)
        for number, file in enumerate(files, 1):
            connection.execute(
                "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?)",
                (number, file.path, file.package, file.lines, file.size, file.text),
            )
            connection.executemany(
                "INSERT INTO definition (file, name, kind, line, end_line) VALUES (?, ?, ?, ?, ?)",
                [(number, *item) for item in file.definitions],
            )
            on_progress(number, len(files))


class Database:
    """The hooks of the resource type (connect, check, close), each async over a thread.

    `opened`, `closed` and `closed_twice` are the demo's own count of what the pool did. The faults
    that live in hooks are armed from outside, and an armed future is done when a hook has met it:
    a fault counts only when it really happened.
    """

    def __init__(self, path: Path, threads: int) -> None:
        """Serve the database file at `path` with at most `threads` threads."""
        self.path = path
        self.opened = 0
        self.closed = 0
        self.closed_twice = 0
        self.connections: set[Connection] = set()  # handed to the pool and not closed yet
        self._numbers = itertools.count(1)
        self._failures: deque[asyncio.Future[bool]] = deque()
        self._hangs: deque[asyncio.Future[Connection]] = deque()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="demo-sqlite")

    async def connect(self) -> Connection:
        """Open one connection: the factory.

        Raises ConnectionRefusedError when a failure was armed, and sqlite3.Error.
        """
        met = _next_armed(self._failures)
        if met is not None:
            met.set_result(True)
            message = "injected by the demo: this attempt to connect fails"
            raise ConnectionRefusedError(message)
        # Kept outside the result of the thread, which a cancellation would lose.
        made: list[Connection] = []
        number = next(self._numbers)
        try:
            await in_thread(self._threads, lambda: made.append(Connection(number, self.path)))
        except BaseException:
            for connection in made:
                await in_thread(self._threads, connection.close)
            raise
        self.opened += 1
        self.connections.add(made[0])
        return made[0]

    async def check(self, connection: Connection) -> bool:
        """Say whether the connection still answers: the check hook. Raises sqlite3.Error."""
        rows = await in_thread(self._threads, lambda: connection.fetch("SELECT 1"))
        return rows == ((1,),)

    async def close(self, connection: Connection) -> None:
        """Close one connection: the close hook. Hangs first, if that was armed."""
        try:
            met = _next_armed(self._hangs)
            if met is not None:
                met.set_result(connection)
                await asyncio.sleep(_HANGS_FOR)
        finally:
            # Also the way out of the hang: whoever gives up on this hook cancels it.
            await self._close(connection)

    async def _close(self, connection: Connection) -> None:
        try:
            await in_thread(self._threads, connection.close)
        finally:
            # A cancellation comes out of `in_thread` only after the thread has closed it.
            self.closed += not connection.closed
            self.closed_twice += connection.closed
            connection.closed = True
            self.connections.discard(connection)

    async def ask(self, connection: Connection, question: Question) -> Answer:
        """Return the answer to one question.

        Raises sqlite3.Error when the connection is broken. When the caller is cancelled, the query
        is interrupted, and the cancellation goes on once the thread has left the connection.
        """
        query = QUERIES[question.kind]
        connection.question = question
        connection.asking = asyncio.current_task()
        try:
            return await in_thread(
                self._threads,
                lambda: connection.fetch(query, question.subject),
                give_up=connection.interrupt,
            )
        finally:
            connection.question = None
            connection.asking = None

    async def break_underneath(self, connection: Connection) -> None:
        """Close the sqlite3 connection behind the back of the pool and of its borrower."""
        connection.broken = True
        await in_thread(self._threads, connection.close)

    def arm_failure(self) -> asyncio.Future[bool]:
        """Make the next connect fail; cancel the returned future to disarm."""
        return _arm(self._failures)

    def arm_hang(self) -> asyncio.Future[Connection]:
        """Make the next close hang; the future's result is the connection that hung."""
        return _arm(self._hangs)

    def shut_down(self) -> None:
        """End the threads, waiting for those still at work."""
        self._threads.shutdown()


def _arm(armed: deque[asyncio.Future[T]]) -> asyncio.Future[T]:
    met: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    armed.append(met)
    return met


def _next_armed(armed: deque[asyncio.Future[T]]) -> asyncio.Future[T] | None:
    while armed:
        met = armed.popleft()
        if not met.cancelled():
            return met
    return None
