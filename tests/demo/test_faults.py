"""The injector where there is no occasion for a fault: nothing is claimed that did not happen."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from pepperpy_resources import DefaultResourceManager, resource_spec
from pepperpy_resources.demo import faults
from pepperpy_resources.demo.corpus import Question
from pepperpy_resources.demo.database import Database
from pepperpy_resources.demo.faults import Injector
from pepperpy_resources.demo.load import Load
from pepperpy_resources.demo.plan import Kind, Planned


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind", [Kind.BROKEN, Kind.CANCELLED, Kind.CLOSE_HANGS, Kind.CONNECT_FAILS]
)
async def test_a_fault_without_an_occasion_is_not_recorded(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_PATIENCE", 0.01)
    database = Database(tmp_path / "none.sqlite3", threads=1)
    spec = resource_spec("db", factory=database.connect, close=database.close)
    async with DefaultResourceManager([spec]) as manager:
        load = Load(manager, database, {Question("file", "a"): ()}, tasks=1, seed=1)
        injector = Injector(manager, database, load, Random(1))
        await injector.run([Planned(0.0, kind)])
    assert injector.happened == []
    assert (injector.count(kind), injector.survived(kind)) == (0, 0)
    assert load.failed == []
    database.shut_down()


@pytest.mark.asyncio
async def test_a_fault_that_cannot_be_injected_is_noted(tmp_path: Path) -> None:
    database = Database(tmp_path / "none.sqlite3", threads=1)
    spec = resource_spec("db", factory=database.connect, close=database.close)
    async with DefaultResourceManager([spec]) as manager:
        load = Load(manager, database, {Question("file", "a"): ()}, tasks=1, seed=1)
    injector = Injector(manager, database, load, Random(1))
    await injector.run([Planned(0.0, Kind.LEAKED)])  # the manager is stopped
    assert injector.happened == []
    assert len(load.failed) == 1
    assert load.failed[0].startswith("injecting lease leaked: ManagerStopped(")
    database.shut_down()


@pytest.mark.asyncio
async def test_a_fault_is_survived_only_once_the_pool_has_got_over_it(tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite3"
    path.touch()
    database = Database(path, threads=1)
    spec = resource_spec("db", factory=database.connect, close=database.close)
    async with DefaultResourceManager([spec]) as manager:
        load = Load(manager, database, {Question("file", "a"): ()}, tasks=1, seed=1)
        injector = Injector(manager, database, load, Random(1))
        async with manager.lease("db", discard=True):
            await injector.run([Planned(0.0, Kind.BROKEN)])
            assert (injector.count(Kind.BROKEN), injector.survived(Kind.BROKEN)) == (1, 0)
            assert not injector.all_survived()
        await manager.cleanup()
    assert injector.survived(Kind.BROKEN) == 1
    assert injector.all_survived()
    database.shut_down()
