"""Actors that ask each other in whatever way a test wants."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import pytest

from pepperpy_resources.errors import AskCycle
from pepperpy_resources.supervision import (
    LATER,
    Actor,
    ActorHandle,
    ChildSpec,
    Failure,
    Reply,
    handles,
)

Work = Callable[[], Awaitable[Any]]
Way = Callable[[Reply[Any]], Awaitable[Any]]


class Do(msgspec.Struct, frozen=True):
    """Do this in an async turn; a circle found in it is refused, not fatal."""

    work: Work


class Keep(msgspec.Struct, frozen=True):
    """Answer later."""


class Answer(msgspec.Struct, frozen=True):
    """Answer what was kept, then do this."""

    work: Work


class Early(msgspec.Struct, frozen=True):
    """Be answered before this is done."""

    work: Work


class Asker(Actor):
    """Does what it is asked to."""

    def on_start(self) -> None:
        self.kept: list[Any] = []

    @handles(Do)
    async def do(self, message: Do) -> Any:
        try:
            return await message.work()
        except AskCycle as error:
            return Failure(error)

    @handles(Keep)
    def keep(self, _: Keep) -> Any:
        self.kept.append(self.reply)
        return LATER

    @handles(Early)
    async def early(self, message: Early) -> Any:
        reply: Any = self.reply
        reply.set("early")
        self.kept.append(await message.work())

    @handles(Answer)
    async def answer(self, message: Answer) -> Any:
        self.kept.pop().set("answered")
        return await message.work()


def askers(names: Iterable[str]) -> list[ChildSpec]:
    return [ChildSpec(name, Asker) for name in names]


async def nothing() -> str:
    return "done"


def asks(handle: ActorHandle, work: Work = nothing, way: Way | None = None) -> Work:
    """Return the work of asking this actor to do that, and of waiting for the answer in a way."""

    async def ask() -> Any:
        reply = handle.ask(Do(work))
        return await (reply if way is None else way(reply))

    return ask


def after(seconds: float, work: Work) -> Work:
    """Return the work with a pause before."""

    async def later() -> Any:
        await asyncio.sleep(seconds)
        return await work()

    return later


# -- ways to wait


async def gathered(reply: Reply[Any]) -> Any:
    return (await asyncio.gather(asyncio.sleep(0), reply))[1]


async def in_task_group(reply: Reply[Any]) -> Any:
    async def wait() -> Any:
        return await reply

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(wait())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return task.result()


async def waited(reply: Reply[Any]) -> Any:
    task = asyncio.ensure_future(reply)
    await asyncio.wait({task})
    return task.result()


async def within(reply: Reply[Any]) -> Any:
    async with asyncio.timeout(100):
        return await reply


WAYS: dict[str, Way] = {
    "await": lambda reply: reply,
    "gather": gathered,
    "wait": waited,
    "wait_for": lambda reply: asyncio.wait_for(reply, 100),
    "shield": asyncio.shield,
    "a task": asyncio.ensure_future,
    "TaskGroup": in_task_group,
    "timeout": within,
    "gather in a task": lambda reply: asyncio.ensure_future(gathered(reply)),
}

eagerly = pytest.mark.parametrize(
    "eager", [False, *([True] if sys.version_info >= (3, 12) else [])]
)


def set_eager(*, eager: bool) -> None:
    """Let tasks begin inside of whoever makes them."""
    if eager:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
