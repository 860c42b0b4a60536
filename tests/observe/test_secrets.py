"""What a resource, its factory's keywords or a hook's closure contain is shown nowhere."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import Budget, ResourceMetrics, ResourceSpec
from pepperpy_resources.errors import ResourceError
from pepperpy_resources.messages import Acquire, Describe, Release, Sweep
from pepperpy_resources.testing import crash, run
from tests.observe.scraping import text
from tests.supervision.kit import outcome, serving, settled

SECRET = "hunter2-correct-horse"


class Vault:
    """Its repr and its text are a password."""

    def __repr__(self) -> str:
        return SECRET

    __str__ = __repr__


async def unlock(*_: Any, **__: Any) -> Vault:
    return Vault()


def told(error: BaseException | None) -> str:
    """Return everything a traceback would show of an error and its causes."""
    shown = ""
    while error is not None:
        shown += f"{error} {error!r} "
        error = error.__cause__ or error.__context__
    return shown


def test_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def main() -> None:
        registry = CollectorRegistry()
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.0
        specs = (
            ResourceSpec("db", factory=functools.partial(unlock, SECRET), max_size=1),
            ResourceSpec("key", factory=unlock, keyed=True),
        )
        seen.extend(map(repr, specs))
        async with serving(*specs, metrics=ResourceMetrics(registry), name="m") as manager:
            handle = manager.actor("db")
            await manager.acquire("key:a", password=SECRET, owner=Vault())
            await manager.acquire("db:a", owner=Vault())

            async def wait() -> bool:  # a task whose result asyncio may log
                return isinstance(await manager.acquire("db:b", timeout=9), Vault)

            waiting = asyncio.create_task(wait())
            await settled()
            asked = handle.ask(Acquire("db:d", timeout=9, owner=Vault()))
            await settled()
            seen.append(repr(waiting))
            errors: list[Any] = [
                await outcome(manager.acquire("key:a", password="other", timeout=1)),
                await outcome(manager.acquire("db:x", password=SECRET)),
                await outcome(manager.acquire("db:a")),
                await outcome(manager.acquire("db:c", timeout=1)),
                await outcome(manager.release("db:nosuch")),
                await outcome(manager.release("key:nosuch")),
            ]
            assert all(isinstance(error, ResourceError) for error in errors)
            seen.extend(map(told, errors))
            crash(manager, "db")
            crash(manager, "key")
            await settled()
            tree = manager.tree()
            seen.extend((tree.render(), tree.to_json(), repr(tree), text(registry)))
            seen.extend(map(repr, (await manager.monitor(), manager.resources, manager)))
            for name in ("db", "key"):
                cell: Any = manager.cell(name)
                seen.extend(map(repr, (manager.actor(name), cell, cell.actor, asked)))
            await manager.release("db:a")
            seen.append(repr(asyncio.all_tasks()))
            assert await waiting
            await manager.release("db:b")
            await settled()
            seen.append(repr(asked))
            lease = await asked
            assert isinstance(lease.resource, Vault)
            await handle.ask(Release("db:d", lease.epoch))

    with caplog.at_level(logging.DEBUG):
        run(main())
    seen.append(caplog.text)
    assert [shown for shown in seen if SECRET in shown] == []


def test_not_in_the_repr_of_a_public_message() -> None:
    # Messages end up in logs: of our own, of pykka, of a program that debugs itself.
    async def main() -> None:
        specs = (
            ResourceSpec("db", factory=unlock),
            ResourceSpec("key", factory=unlock, keyed=True),
        )
        async with serving(*specs) as manager:
            lease = await manager.actor("db").ask(Acquire("db:a", owner=Vault()))
            assert "epoch=1" in repr(lease)
            message = Acquire("key:a", arguments={"password": SECRET})
            keyed = await manager.actor("key").ask(message)
            described = await manager.actor("db").ask(Describe())
            for shown in (repr(lease), repr(message), repr(keyed), repr(described)):
                assert SECRET not in shown
            for each in (lease, keyed):
                manager.actor(each.resource_id.partition(":")[0]).tell(
                    Release(each.resource_id, each.epoch)
                )

    run(main())


def test_not_in_what_is_said_of_holders_budgets_and_operators(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Overdue, leaked, deadlocked, suspended, shed, resized: the errors, the log, the events."""
    seen: list[str] = []

    async def main() -> None:
        fields: dict[str, Any] = {"max_size": 1, "max_hold": 1.0, "budget": Budget("all", 2)}
        specs = (
            ResourceSpec("db", factory=functools.partial(unlock, SECRET), **fields),
            ResourceSpec("key", factory=unlock, keyed=True, max_queue_delay=0.1, **fields),
        )
        async with serving(*specs) as manager:
            manager.subscribe(lambda event: seen.extend((repr(event), str(event))))

            async def stuck() -> Any:
                async with manager.lease("key:a", password=SECRET):
                    return await outcome(manager.lease("db", timeout=5).__aenter__())

            async def stuck_too() -> Any:
                async with manager.lease("db"):
                    return await outcome(
                        manager.lease("key:a", timeout=9, password=SECRET).__aenter__()
                    )

            errors = list(await asyncio.gather(stuck(), stuck_too(), stuck_too()))
            await manager.suspend("key")
            late: Any = "postgres://u:" + SECRET  # each of these is a mistake of the caller's
            mistakes = (
                manager.acquire("key:b", timeout=0, password=SECRET, owner=Vault()),
                manager.acquire("key:b", password=SECRET, priority=late),
                manager.resize("key", max_size=late),
                manager.resize("key", min_idle=late),
            )
            errors.extend([await outcome(work) for work in mistakes])
            await asyncio.create_task(manager.lease("db", timeout=60).__aenter__())
            manager.actor("db").tell(Sweep())
            crash(manager, "budget:all")
            await settled()
            seen.extend(map(told, [error for error in errors if isinstance(error, Exception)]))
            assert sum(isinstance(error, ResourceError) for error in errors) >= 5
            seen.extend((manager.tree().render(), repr(manager.actor("budget:all"))))
            seen.append(repr(manager.cell("budget:all").actor))

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert {"max_hold" in caplog.text, "leaked" in caplog.text} == {True}
    seen.append(caplog.text)
    assert [shown for shown in seen if SECRET in shown] == []
