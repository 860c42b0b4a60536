"""The database file and the hooks: what they answer, what they count, what they break."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pepperpy_resources.demo import database as module
from pepperpy_resources.demo.connection import open_descriptors
from pepperpy_resources.demo.corpus import (
    Definition,
    Question,
    SourceFile,
    build_oracle,
    find_sources,
    library_root,
    read_corpus,
)
from pepperpy_resources.demo.database import QUERIES, Database, build_database
from tests.demo.waiting import until

FILES = (
    SourceFile(
        "farm/keeper.py",
        "farm",
        30,
        400,
        "x = lambda: 1",
        (Definition("main", "function", 1, 9), Definition("Hay", "class", 11, 30)),
    ),
    SourceFile("farm/empty.py", "farm", 0, 0, "", ()),
    SourceFile("zoo.py", "zoo", 5, 60, "LAMBDA", (Definition("main", "async function", 2, 5),)),
)
ANSWERS = {
    Question("file", "farm/keeper.py"): ((30, 400, 2),),
    Question("file", "farm/empty.py"): ((0, 0, 0),),
    Question("outline", "farm/keeper.py"): ((1, "function", "main"), (11, "class", "Hay")),
    Question("outline", "farm/empty.py"): (),
    Question("definition", "main"): (("farm/keeper.py", 1), ("zoo.py", 2)),
    Question("package", "farm"): ((2, 30, 2),),
    Question("longest", "farm"): (("Hay", "farm/keeper.py", 20), ("main", "farm/keeper.py", 9)),
    Question("mentions", "lambda"): ((1,),),  # upper case is another word
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "data.sqlite3"
    build_database(path, FILES, lambda _done, _total: None)
    return path


@pytest_asyncio.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = Database(path, threads=3)
    yield database
    database.shut_down()
    assert open_descriptors(path) in {0, None}
    assert database.opened == database.closed


def test_building_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    build_database(tmp_path / "new", FILES, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.asyncio
async def test_every_kind_of_question_is_answered(database: Database) -> None:
    connection = await database.connect()
    answers = {question: await database.ask(connection, question) for question in ANSWERS}
    await database.close(connection)
    assert answers == ANSWERS
    assert {question.kind for question in ANSWERS} == set(QUERIES)


@pytest.mark.asyncio
async def test_the_database_and_the_oracle_agree_on_real_packages(tmp_path: Path) -> None:
    root = library_root()
    corpus = read_corpus(
        root,
        find_sources(root, ["asyncio", "json"]),
        now=lambda: 0.0,
        budget=1.0,
        on_progress=lambda _done, _total: None,
    )
    path = tmp_path / "real.sqlite3"
    build_database(path, corpus.files, lambda _done, _total: None)
    database = Database(path, threads=1)
    connection = await database.connect()
    oracle = build_oracle(corpus.files)
    assert Question("file", "json/decoder.py") in oracle
    for question, answer in oracle.items():
        assert await database.ask(connection, question) == answer
    await database.close(connection)
    database.shut_down()


@pytest.mark.asyncio
async def test_opened_and_closed_are_counted(database: Database) -> None:
    first, second = await database.connect(), await database.connect()
    assert (first.number, second.number) == (1, 2)
    assert (database.opened, database.closed) == (2, 0)
    assert database.connections == {first, second}
    await database.close(first)
    assert (database.opened, database.closed) == (2, 1)
    assert (first.closed, database.connections) == (True, {second})
    await database.close(second)


@pytest.mark.asyncio
async def test_a_second_close_is_counted_apart(database: Database) -> None:
    connection = await database.connect()
    await database.close(connection)
    await database.close(connection)
    assert (database.closed, database.closed_twice) == (1, 1)


@pytest.mark.asyncio
async def test_the_check_fails_on_a_connection_closed_underneath(database: Database) -> None:
    connection = await database.connect()
    assert await database.check(connection)
    await database.break_underneath(connection)
    assert connection.broken
    assert not connection.closed
    with pytest.raises(sqlite3.ProgrammingError):
        await database.check(connection)
    await database.close(connection)


@pytest.mark.asyncio
async def test_an_armed_failure_fails_one_connect(database: Database) -> None:
    met = database.arm_failure()
    with pytest.raises(ConnectionRefusedError, match="injected"):
        await database.connect()
    assert met.done()
    assert database.opened == 0
    await database.close(await database.connect())


@pytest.mark.asyncio
async def test_a_disarmed_failure_does_nothing(database: Database) -> None:
    database.arm_failure().cancel()
    await database.close(await database.connect())


@pytest.mark.asyncio
async def test_an_armed_close_hangs_until_it_is_cancelled_and_closes_all_the_same(
    database: Database,
) -> None:
    connection = await database.connect()
    met = database.arm_hang()
    closing = asyncio.create_task(database.close(connection))
    assert await met is connection
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert connection.closed
    assert database.closed == 1


@pytest.mark.asyncio
async def test_a_cancelled_connect_leaves_nothing_open(database: Database, path: Path) -> None:
    connecting = asyncio.create_task(database.connect())
    await asyncio.sleep(0)  # one turn: the thread is on its way
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert open_descriptors(path) in {0, None}
    assert (database.opened, database.connections) == (0, set())


@pytest.mark.asyncio
async def test_a_connection_knows_what_it_is_asked_and_for_whom(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = """
        WITH RECURSIVE number(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM number LIMIT 20000000)
        SELECT count(*) FROM number"""
    monkeypatch.setitem(module.QUERIES, "long", long)
    connection = await database.connect()
    borrower = asyncio.create_task(database.ask(connection, Question("long", "1")))
    await until(connection.in_use)
    assert (connection.question, connection.asking) == (Question("long", "1"), borrower)
    borrower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await borrower
    assert not connection.in_use()
    assert (connection.question, connection.asking) == (None, None)
    assert await database.check(connection)
    await database.close(connection)
