"""Case 73: the root crashes in the turn of each of its messages, and while types come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, Intensity
from pepperpy_resources.actors.root import Root, RootSupervisor
from pepperpy_resources.errors import TypeParked
from pepperpy_resources.messages import Describe
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    REVIVED_AFTER,
    Boom,
    Fleet,
    in_thread,
    outcome,
    park,
    restarts,
    serving,
    settled,
)
from tests.supervision.stage import Stage, staged_spec


def dying_root(
    patch: pytest.MonkeyPatch, method: str, *, after: bool, of: type[Any] = RootSupervisor
) -> list[Any]:
    """Make the root crash once, in its next turn of this kind; returns that message in a list."""
    real: Callable[..., Any] = getattr(of, method)
    hit: list[Any] = []

    def fatal(self: Any, *message: Any) -> Any:
        if hit:
            return real(self, *message)
        hit.append(message[0])
        if after:
            real(self, *message)
        raise Boom(method)

    patch.setattr(of, method, fatal)
    return hit


def test_73_types_come_and_go() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            crash(manager, "root")
            manager.add_type(fleet.spec("one"))  # the new incarnation has not had its first turn
            async with manager.lease("one", timeout=1):
                pass
            manager.add_type(fleet.spec("two"))
            crash(manager, "root")
            async with manager.lease("two", timeout=1):
                pass
            removing = asyncio.create_task(manager.remove_type("one"))
            await asyncio.sleep(0)
            crash(manager, "root")
            await removing
            await settled()
            assert restarts(manager) == {"root": 3, "db": 0, "two": 0, "janitor": 0, "metrics": 0}
            manager.add_type(fleet.spec("one"))
            async with manager.lease("one", timeout=1):
                pass
            await asyncio.sleep(6)
            for _ in range(3):  # it is supervised
                crash(manager, "one")
                await settled()
            assert manager.cell("one").status == "running"
        fleet.assert_all_closed_once()

    run(main())


def test_73_a_removal_in_the_tick_of_a_crash_takes_no_root_with_it() -> None:
    # The crash is the last turn of a slice: the root hears of it after the removal.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(), fleet.spec("llm")) as manager:
            root, handle = manager._root, manager.actor("llm")
            cell = manager.cell("llm")
            await settled()  # no drain is scheduled any more

            def fill_a_slice() -> None:
                for _ in range(63):
                    handle.tell(Describe())
                crash(manager, "llm")

            in_thread(fill_a_slice)
            assert root is not None
            seen: list[str] = []
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: seen.append(cell.status))
            loop.call_soon(root.remove_type, "llm")
            await settled()
            assert seen == ["restarting"]
            assert restarts(manager) == {"root": 0, "db": 0, "janitor": 0, "metrics": 0}
            assert (cell.actor, cell.status) == (None, "stopped")

    run(main())


def test_73_a_removal_in_the_tick_of_a_revival_takes_no_root_with_it() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(), fleet.spec("llm")) as manager:
            root, cell = manager._root, manager.cell("llm")
            await park(manager, "llm")
            assert root is not None
            # The revival's timer is older, so it fires first; its turn comes in the next tick.
            asyncio.get_running_loop().call_later(REVIVED_AFTER, root.remove_type, "llm")
            await asyncio.sleep(REVIVED_AFTER + 1)
            assert restarts(manager) == {"root": 0, "db": 0, "janitor": 0, "metrics": 0}
            assert (cell.actor, cell.status) == (None, "stopped")

    run(main())


Scene = Callable[[DefaultResourceManager, Fleet], Awaitable[None]]


async def add(manager: DefaultResourceManager, fleet: Fleet) -> None:
    manager.add_type(fleet.spec("new"))
    async with manager.lease("new", timeout=1):
        pass


async def forget(manager: DefaultResourceManager, fleet: Fleet) -> None:
    await manager.remove_type("llm", timeout=0)
    await settled()
    manager.add_type(fleet.spec("llm"))


async def forget_and_add(manager: DefaultResourceManager, fleet: Fleet) -> None:
    await manager.remove_type("llm", timeout=0)
    manager.add_type(fleet.spec("llm"))  # in the tick in which the root forgets the first


async def hear_of_a_crash(manager: DefaultResourceManager, _: Fleet) -> None:
    crash(manager, "llm")


SCENES: list[tuple[str, Scene]] = [
    ("add_child", add),
    ("forget_child", forget),
    ("forget_child", forget_and_add),
    ("news", hear_of_a_crash),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("method", "scene"), SCENES, ids=[each.__name__ for _, each in SCENES])
def test_73_a_crash_in_the_turn_of_each_message(
    method: str, scene: Scene, *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet, other = Fleet(), Fleet()
        async with serving(staged_spec(fleet), other.spec("llm")) as manager:
            stage = Stage(manager, fleet)
            await stage.set()
            await manager.acquire("llm:a")
            hit = dying_root(monkeypatch, method, after=after)
            await scene(manager, other)
            await settled()
            assert len(hit) == 1
            assert restarts(manager)["root"] == 1
            assert manager.cell("llm").status == "running"
            async with manager.lease("llm", timeout=1):
                pass
            if method != "forget_child":
                await manager.release("llm:a")
            crash(manager, "llm")  # whoever lives there is supervised
            await settled()
            assert manager.cell("llm").status == "running"
            await stage.verify(crashes=0)
        fleet.assert_all_closed_once()
        other.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_73_a_crash_in_the_turn_of_a_revival_by_hand(
    *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            await park(manager)
            hit = dying_root(monkeypatch, "revive", after=after)
            manager.revive("db")
            await settled()
            assert len(hit) == 1
            assert restarts(manager)["root"] == 1
            if manager.cell("db").status == "failed":  # it was not heard
                await asyncio.sleep(REVIVED_AFTER)
                await settled()
            assert manager.cell("db").status == "running"
            async with manager.lease("db", timeout=1):
                pass
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_73_a_crash_in_the_turn_of_the_revival(
    *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            await park(manager)
            await asyncio.sleep(REVIVED_AFTER - 1)
            dying_root(monkeypatch, "news", after=after)
            await asyncio.sleep(1)
            await settled()
            assert restarts(manager)["root"] == 1
            assert manager.cell("db").status == "running"
            async with manager.lease("db", timeout=1):
                pass
        fleet.assert_all_closed_once()

    run(main())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_73_a_crash_while_a_type_is_given_up(
    *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=5, restart=Intensity(0, 5.0))) as manager:
            for n in range(5):
                await manager.acquire(f"db:{n}")
            waiting = [asyncio.create_task(outcome(manager.acquire(f"db:t{n}"))) for n in range(10)]
            await settled()
            dying_root(monkeypatch, "park", after=after, of=Root)
            crash(manager, "db")
            await settled()
            assert restarts(manager)["root"] == 1
            assert manager.cell("db").status == "failed"
            assert {type(each) for each in await asyncio.gather(*waiting)} == {TypeParked}
            assert fleet.live() == []
            await asyncio.sleep(REVIVED_AFTER)
            await settled()
            assert manager.cell("db").status == "running"
        fleet.assert_all_closed_once()

    run(main())
