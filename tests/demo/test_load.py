"""The borrowers: what they note when something goes wrong, on a real pool made to go wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, resource_spec
from pepperpy_resources.demo.corpus import Answer, Oracle, Question, SourceFile, build_oracle
from pepperpy_resources.demo.database import Database, build_database
from pepperpy_resources.demo.load import Load
from tests.demo.waiting import until

FILES = (
    SourceFile("zoo.py", "zoo", 5, 60, "lambda", ()),
)  # no definitions: nothing to ask of them


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.sqlite3"
    build_database(path, FILES, lambda _done, _total: None)
    return path


@asynccontextmanager
async def loaded(
    path: Path, oracle: Oracle, *, attempts: int | None = None
) -> AsyncGenerator[tuple[Load, Database, DefaultResourceManager]]:
    """Run a pool of one connection for two borrowers, not started yet."""
    database = Database(path, threads=3)
    spec = resource_spec(
        "db",
        factory=database.connect,
        close=database.close,
        max_size=1,
        backoff=Backoff(min=0.001, attempts=attempts),
    )
    async with DefaultResourceManager([spec]) as manager:
        load = Load(manager, database, oracle, tasks=2, seed=1)
        yield load, database, manager
        await load.finish(timeout=5)
    database.shut_down()
    assert database.opened == database.closed


def asked(load: Load, queries: int) -> Callable[[], bool]:
    return lambda: load.queries >= queries


@pytest.mark.asyncio
async def test_right_answers_are_counted_and_nothing_is_noted(path: Path) -> None:
    async with loaded(path, build_oracle(FILES)) as (load, database, _):
        load.start()
        await until(asked(load, 20))
        await until(lambda: load.active == 1)
    assert (load.wrong, load.misused, load.failed, load.retries) == ([], [], [], {})
    assert load.leases == len(load.waits) > 6  # at most 3 questions on each
    assert database.opened == 1


@pytest.mark.asyncio
async def test_a_wrong_answer_is_noted_with_the_right_one(path: Path) -> None:
    oracle: dict[Question, Answer] = {Question("mentions", "lambda"): ((7,),)}
    async with loaded(path, oracle) as (load, _, _):
        load.start()
        await until(asked(load, 2))
    assert load.wrong[0] == "Question(kind='mentions', subject='lambda'): ((1,),), not ((7,),)"
    assert len(load.wrong) == load.queries


@pytest.mark.asyncio
async def test_a_connection_lent_after_it_was_spoilt_or_while_another_has_it_is_noted(
    path: Path,
) -> None:
    async with loaded(path, build_oracle(FILES)) as (load, _, manager):
        async with manager.lease("db") as connection:
            connection.spoilt = True
            connection.holder = "somebody"
        load.start()
        await until(asked(load, 1))
    assert load.misused[:2] == [
        "<Connection 1 open> lent while somebody had it",
        "<Connection 1 open> lent after it was spoilt or closed",
    ]


@pytest.mark.asyncio
async def test_an_error_that_no_fault_explains_ends_the_borrower_and_is_noted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "empty.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    async with loaded(path, build_oracle(FILES)) as (load, _, _):
        load.start()
        await until(lambda: len(load.failed) == 2)
    assert all("OperationalError('no such table: " in failed for failed in load.failed)


@pytest.mark.asyncio
async def test_a_broken_connection_explains_the_error_until_it_never_ends(path: Path) -> None:
    async with loaded(path, build_oracle(FILES)) as (load, database, manager):
        async with manager.lease("db") as connection:
            await database.break_underneath(connection)
        load.start()  # without a check hook the pool lends it again and again
        await until(lambda: bool(load.failed))
    assert load.retries["a broken connection"] >= 50
    assert load.failed[0].startswith("50 leases were not enough to ask Question(")


@pytest.mark.asyncio
async def test_a_failed_connect_is_explained_and_asked_again(path: Path) -> None:
    async with loaded(path, build_oracle(FILES), attempts=1) as (load, database, _):
        met = database.arm_failure()
        load.start()
        await until(asked(load, 1))
        assert met.done()
    # At least: until the backoff is over the pool denies at once, with the same cause.
    assert load.retries["a failed connect"] >= 1


@pytest.mark.asyncio
async def test_a_borrower_that_never_gets_a_lease_is_noted_and_ended(path: Path) -> None:
    async with loaded(path, build_oracle(FILES)) as (load, _, manager), manager.lease("db"):
        load.start()
        await asyncio.sleep(0)  # one turn of the loop: both have asked
        await load.finish(timeout=0.01)
    assert sorted(load.failed) == [
        "borrower 0 still waits 0.01 s after the end",
        "borrower 1 still waits 0.01 s after the end",
    ]
    assert load.leases == 0
