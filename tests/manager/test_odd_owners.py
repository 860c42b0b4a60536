"""Owners and places that are not what they seem: shown or ignored, never run, never fatal."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.actors.host import Host
from pepperpy_resources.errors import AcquireTimeout
from pepperpy_resources.messages import Acquire, Release, Sweep
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, settled


class Untouchable:
    """Whatever is done with it but hold it fails."""

    def refuse(self, *_: Any) -> Any:
        raise AssertionError("user code ran inside a turn")

    __bool__ = __eq__ = __len__ = __str__ = __repr__ = __format__ = refuse
    __class__ = property(refuse)

    def __hash__(self) -> int:
        return int(self.refuse())


class LoudName(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("user code ran inside a turn")

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        raise AssertionError("user code ran inside a turn")


def odd_owners() -> list[Any]:
    return [Untouchable(), Mock(spec=asyncio.Task), LoudName("fixture"), (), 0, float("nan")]


async def lives_through_everything(manager: DefaultResourceManager, holder: Any) -> None:
    """Have the type look at the holder of its only resource in all the ways there are."""
    for waiter in (holder, "somebody"):
        with pytest.raises(AcquireTimeout):
            await manager.acquire("db:b", timeout=2.0, owner=waiter)
    manager.actor("db").tell(Sweep())
    await settled()
    assert manager.tree().render()
    cell = manager.cell("db")
    assert (cell.status, cell.incarnation) == ("running", 1)


@pytest.mark.parametrize("index", range(len(odd_owners())))
def test_an_odd_owner_is_looked_at_by_its_class_only(index: int) -> None:
    async def main() -> None:
        owner = odd_owners()[index]
        async with serving(Backend().spec(max_size=1, max_hold=1.0)) as manager:
            await manager.acquire("db:a", owner=owner)
            await lives_through_everything(manager, owner)
            await manager.release("db:a")

    run(main())


class SlyTask(asyncio.Task[None]):
    """A task of the user's own class, that notes when a turn runs its code."""

    host: Host | None = None  # of the manager under test
    in_turns = 0

    def note(self) -> None:
        if self.host is not None and self.host.free == 0:
            self.in_turns += 1

    def done(self) -> bool:
        self.note()
        return super().done()

    def get_name(self) -> str:
        self.note()
        return super().get_name()


def test_a_task_of_the_user_s_own_class_is_asked_by_the_base_class() -> None:
    async def main() -> None:
        async def nothing() -> None:
            pass

        async with serving(Backend().spec(max_size=1)) as manager:
            sly = SlyTask(nothing(), loop=asyncio.get_running_loop(), name="sly")
            sly.host = manager.cell("db").host
            await manager.acquire("db:a", owner=sly)
            with pytest.raises(AcquireTimeout, match="by task 'sly'"):
                await manager.acquire("db:b", timeout=0)
            await settled()
            assert await manager.acquire("db:c", timeout=5.0)  # reclaimed: it has ended
            assert sly.in_turns == 0

    run(main())


def odd_places() -> list[Any]:
    return [5, (), ("code", 1), (None, None), object(), Untouchable()]


@pytest.mark.parametrize("index", range(len(odd_places())))
def test_a_place_that_is_none_is_not_shown(index: int) -> None:
    async def main() -> None:
        site = odd_places()[index]
        async with serving(Backend().spec(max_size=1, max_hold=1.0)) as manager:
            lease = await manager.actor("db").ask(Acquire("db:a", owner="me", site=site))
            await lives_through_everything(manager, "me")
            manager.actor("db").tell(Release("db:a", lease.epoch))

    run(main())
