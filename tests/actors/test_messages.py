"""Every acquire and release is one message through `Cell.deliver`; the handle's own rules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.actors.host import Cell
from pepperpy_resources.actors.owners import Look
from pepperpy_resources.core import events as on
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.snapshot import PoolSnapshot
from pepperpy_resources.errors import (
    InvalidResourceId,
    KeywordsRefused,
    NotLeased,
    UnknownResourceType,
    UsageError,
)
from pepperpy_resources.messages import (
    Acquire,
    Collect,
    Describe,
    Discard,
    Drain,
    Evict,
    Ready,
    Release,
    Sweep,
)
from pepperpy_resources.testing import run
from tests.supervision.kit import Fleet, in_thread, outcome, private, serving, settled


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Record every message to a resource type that comes through the one way in."""
    seen: list[tuple[str, Any]] = []
    real = Cell.deliver

    def deliver(self: Cell, message: Any, reply: Any = None) -> Any:
        if not self.path.startswith((":", "root")):
            seen.append((self.path, message))
        return real(self, message, reply)

    monkeypatch.setattr(Cell, "deliver", deliver)
    return seen


def borrowing(seen: list[tuple[str, Any]]) -> list[str]:
    """Return what was sent since the last look, but by hooks and by the supervisor to itself."""
    own = on.Outcome | Look
    kinds = [type(message).__name__ for _, message in seen if not isinstance(message, own)]
    seen.clear()
    return kinds


def test_each_facade_call_is_one_message(delivered: list[tuple[str, Any]]) -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec(max_size=1)], metrics=private())
        async with manager:
            await manager.acquire("db:a")  # opens
            assert borrowing(delivered) == ["Acquire"]
            await manager.release("db:a")
            assert borrowing(delivered) == ["Release"]
            await manager.acquire("db:a")  # idle
            assert borrowing(delivered) == ["Acquire"]
            waiter = asyncio.create_task(manager.acquire("db:b"))  # waits
            await settled()
            assert borrowing(delivered) == ["Acquire"]
            await manager.release("db:a")
            await waiter
            assert borrowing(delivered) == ["Release"]
            await manager.release("db:b", discard=True)
            assert borrowing(delivered) == ["Discard"]
            async with manager.lease("db"):
                assert borrowing(delivered) == ["Acquire"]
            assert borrowing(delivered) == ["Release"]
            with pytest.raises(ValueError, match="mine"):
                async with manager.lease("db"):
                    raise ValueError("mine")
            assert borrowing(delivered) == ["Acquire", "Release"]
            db = manager.type(fleet.spec())
            async with db.lease("x"):
                pass
            assert borrowing(delivered) == ["Acquire", "Release"]
            await db.acquire("y")
            await db.release("y")
            assert borrowing(delivered) == ["Acquire", "Release"]
            with pytest.raises(NotLeased):
                await manager.release("db:y")
            assert borrowing(delivered) == ["Release"]
            await manager.acquire("db:a")
            waiter = asyncio.create_task(manager.acquire("db:b"))
            await settled()
            waiter.cancel()
            await asyncio.wait([waiter])
            assert borrowing(delivered) == ["Acquire", "Acquire", "Cancel"]
            await manager.release("db:a")
            assert borrowing(delivered) == ["Release"]

    run(main())


def test_ask_from_the_loop_and_from_a_thread() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            handle = manager.actor("db")
            lease = await handle.ask(Acquire("db:a"))
            assert isinstance(lease, Lease)
            assert (lease.resource_id, lease.resource) == ("db:a", fleet.things[0])
            assert await handle.ask(Release("db:a", lease.epoch)) is None
            replies: list[Any] = []
            in_thread(
                lambda: replies.extend(
                    handle.ask(message)
                    for message in (Acquire("db:t"), Release("db:t"), Describe())
                )
            )
            lease, released, described = [await reply for reply in replies]
            assert lease.resource is fleet.things[0]
            assert released is None
            assert isinstance(described, PoolSnapshot)
            assert described.slots["idle"] == 1

    run(main())


def test_every_public_message_is_understood() -> None:
    async def main() -> None:
        async with serving(Fleet().spec()) as manager:
            handle = manager.actor("db")
            for message in (Ready(), Sweep(), Evict("db:*"), Describe(), Drain()):
                await handle.ask(message)
                handle.tell(message)
            for late in (Release("db:a"), Discard("db:a")):
                assert isinstance(await outcome(handle.ask(late)), NotLeased)
                handle.tell(late)
            figures = await manager.actor("metrics").ask(Collect())
            assert [each.resource_type for each in figures.types] == ["db"]
            assert manager.cell("db").incarnation == 1
            assert manager.cell("db").dead_letters == 0

    run(main())


@pytest.mark.parametrize(
    "message",
    [
        on.Opened(1),
        on.OpenFailed(1),
        on.CheckPassed(1),
        on.CheckFailed(1),
        on.ResetDone(1),
        on.Closed(1),
        on.Tick(),
        on.Shut(),
        on.Cancel(1),
        on.Restore(),
        "a string",
        None,
        Collect(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_not_public_is_refused_at_the_handle(message: Any) -> None:
    async def main() -> None:
        async with serving(Fleet().spec()) as manager:
            thing = await manager.acquire("db:a")
            handle = manager.actor("db")
            kind = type(message).__name__
            with pytest.raises(UsageError, match=f"db does not understand {kind}; it takes Acq"):
                await handle.ask(message)
            handle.tell(message)
            cell = manager.cell("db")
            assert (cell.dead_letters, cell.incarnation, cell.status) == (1, 1, "running")
            await settled()
            assert thing.closed == 0
            await manager.release("db:a")

    run(main())


@pytest.mark.parametrize("name", ["janitor", "metrics", "root"])
def test_system_actors_refuse_what_they_do_not_know(name: str) -> None:
    async def main() -> None:
        async with serving(Fleet().spec()) as manager:
            handle = manager.actor(name)
            with pytest.raises(UsageError, match="does not understand Sweep"):
                await handle.ask(Sweep())
            handle.tell("what?")
            assert manager.cell(name).dead_letters == 1
            assert manager.cell(name).incarnation == 1
            with pytest.raises(UsageError, match="leases nothing"):
                _ = handle.ask(Acquire("db:a"))

    run(main())


def test_an_acquire_nobody_could_receive_or_that_is_wrong_is_refused_at_once() -> None:
    async def main() -> None:
        fleet = Fleet()
        welcoming = fleet.spec("web", on_acquire=fleet.check)
        async with serving(fleet.spec(), welcoming, fleet.spec("llm", keyed=True)) as manager:
            db = manager.actor("db")
            with pytest.raises(UsageError, match=r"use ask\(Acquire"):
                db.tell(Acquire("db:a"))
            wrong: Any
            for wrong in ("", "db:", "llm:a", ":a", 5, None):
                with pytest.raises(InvalidResourceId, match="is not an id of 'db'"):
                    _ = db.ask(Acquire(wrong))
            with pytest.raises(InvalidResourceId):
                _ = manager.actor("llm").ask(Acquire("llm"))  # a key is needed
            with pytest.raises(KeywordsRefused, match="keywords of its own"):
                _ = db.ask(Acquire("db:a", arguments={"password": "hunter2"}))
            with pytest.raises(UsageError, match="on_acquire"):
                _ = manager.actor("web").ask(Acquire("web:a"))
            with pytest.raises(UnknownResourceType):
                manager.actor("nosuch")
            assert (await db.ask(Describe())).slots["leased"] == 0
            assert repr(db) == "<TypeHandle db running>"

    run(main())
