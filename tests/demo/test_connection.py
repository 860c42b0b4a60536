"""One real connection, and the threads that enter and leave it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pepperpy_resources.demo import connection as module
from pepperpy_resources.demo.connection import Connection, in_thread, open_descriptors
from tests.demo.waiting import until

# Takes seconds, so that an interrupt comes in its middle; ends, so that a missing one is seen.
LONG = """
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 20000000)
    SELECT count(*) FROM number"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "data.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE word (text)")
        connection.execute("INSERT INTO word VALUES ('one'), ('two')")
    return path


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_fetch_returns_all_rows_as_tuples(path: Path) -> None:
    connection = Connection(1, path)
    assert connection.fetch("SELECT text FROM word WHERE text > ?", "a") == (("one",), ("two",))
    connection.close()


def test_the_database_is_open_for_reading_only(path: Path) -> None:
    connection = Connection(1, path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.fetch("DELETE FROM word")
    assert not connection.interrupted
    connection.close()


def test_a_closed_connection_refuses_queries_and_ignores_interrupts(path: Path) -> None:
    connection = Connection(1, path)
    connection.close()
    connection.close()
    connection.interrupt()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.fetch("SELECT 1")


def test_the_repr_says_what_state_it_is_in(path: Path) -> None:
    connection = Connection(7, path)
    assert repr(connection) == "<Connection 7 open>"
    connection.broken = True
    assert repr(connection) == "<Connection 7 broken>"
    connection.closed = True
    assert repr(connection) == "<Connection 7 closed>"
    connection.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc/self/fd on this system")
def test_open_descriptors_sees_each_open_connection(path: Path, tmp_path: Path) -> None:
    assert open_descriptors(path) == 0
    first, second = Connection(1, path), Connection(2, path)
    assert open_descriptors(path) == 2
    assert open_descriptors(tmp_path / "other") == 0
    first.close()
    assert open_descriptors(path) == 1
    path.unlink()
    assert open_descriptors(path) == 1
    second.close()
    assert open_descriptors(path) == 0


def test_descriptors_of_the_journals_count_too(path: Path) -> None:
    if open_descriptors(path) is None:
        pytest.skip("no /proc/self/fd on this system")
    with path.with_name(f"{path.name}-wal").open("w"):
        assert open_descriptors(path) == 1


@pytest.mark.asyncio
async def test_in_thread_returns_the_result_or_raises_the_error(
    threads: ThreadPoolExecutor,
) -> None:
    def fail() -> None:
        raise LookupError("from the thread")

    here = threading.current_thread()
    assert await in_thread(threads, threading.current_thread) is not here
    with pytest.raises(LookupError, match="from the thread"):
        await in_thread(threads, fail)


@pytest.mark.asyncio
async def test_a_cancelled_query_is_interrupted_and_left_before_the_cancellation_goes_on(
    path: Path, threads: ThreadPoolExecutor
) -> None:
    connection = Connection(1, path)
    task = asyncio.create_task(
        in_thread(threads, lambda: connection.fetch(LONG), give_up=connection.interrupt)
    )
    await until(connection.in_use)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not connection.in_use()
    assert connection.interrupted
    connection.close()


@pytest.mark.asyncio
async def test_a_second_cancellation_does_not_cut_the_waiting_short(
    threads: ThreadPoolExecutor,
) -> None:
    entered, leave = threading.Event(), threading.Event()
    left: list[bool] = []

    def work() -> None:
        entered.set()
        leave.wait(timeout=10)
        left.append(True)

    given_up = asyncio.Event()
    task = asyncio.create_task(in_thread(threads, work, give_up=given_up.set))
    await until(entered.is_set)
    task.cancel()
    await given_up.wait()
    task.cancel()
    given_up.clear()
    await given_up.wait()
    assert not task.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left == [True]


def test_where_descriptors_cannot_be_listed_it_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DESCRIPTORS", path)  # no folder
    assert open_descriptors(path) is None
