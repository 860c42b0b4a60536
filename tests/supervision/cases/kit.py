"""Actors that log what happens to them and do as a script says; and what is visible from outside.

A `Script` outlives incarnations and is shared by the players of a test:

```python
script = Script()
script.on_start["b"] = [Boom("b")]  # b's first start raises; those after it work
async with running([script.child("a"), script.child("b")]) as supervisor: ...
assert script.log == ["start a", "stop a"]
```
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from pepperpy_resources.supervision import Actor, ChildSpec, ExitKind, Supervisor, handles

FOREVER = math.inf  # a step that ends only by being cancelled

Step = float | BaseException  # take so many seconds, or raise


class Boom(Exception):
    """What a player fails with."""


class Stubborn(float):
    """A step of so many seconds, which ignores being cancelled."""


class Say(msgspec.Struct, frozen=True):
    """Log this; answered with it."""

    text: Any


class Play(msgspec.Struct, frozen=True):
    """Do these steps, in an async turn; answered with "played"."""

    steps: Sequence[Step]


class Fail(msgspec.Struct, frozen=True):
    """Raise this, in a synchronous turn."""

    error: BaseException


class End(msgspec.Struct, frozen=True):
    """End of your own accord."""

    kind: ExitKind = ExitKind.NORMAL


class Script:
    """What the players of a test do, and what has happened to them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.on_start: defaultdict[str, list[Step]] = defaultdict(list)  # one step a start
        self.on_stop: defaultdict[str, list[Step]] = defaultdict(list)  # one step a stop

    def child(self, name: str, **fields: Any) -> ChildSpec:
        """Make the spec of a player who plays by this script."""
        return ChildSpec(name, Player, args=(self,), **fields)

    def children(self, names: Iterable[str], **fields: Any) -> list[ChildSpec]:
        """Make the specs of players; "abc" is three of them."""
        return [self.child(name, **fields) for name in names]

    def take(self) -> list[str]:
        """Return the log so far and empty it."""
        taken, self.log = self.log, []
        return taken


class Player(Actor):
    """Logs "start a", "a: what it was told", "stop a" under the last part of its path."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script
        self.name = self.path.rpartition("/")[2]

    def note(self, text: str) -> None:
        self.script.log.append(text)

    async def on_start(self) -> None:
        await play(take_one(self.script.on_start[self.name]))
        self.note(f"start {self.name}")

    async def on_stop(self) -> None:
        await play(take_one(self.script.on_stop[self.name]))
        self.note(f"stop {self.name}")

    @handles(Say)
    def say(self, message: Say) -> Any:
        self.note(f"{self.name}: {message.text}")
        return message.text

    @handles(Play)
    async def play(self, message: Play) -> str:
        await play(list(message.steps))
        return "played"

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise message.error

    @handles(End)
    def end(self, message: End) -> None:
        self.stop(message.kind)


def take_one(steps: list[Step]) -> list[Step]:
    """Remove the first step, if there is one, and return it."""
    return [steps.pop(0)] if steps else []


async def play(steps: list[Step]) -> None:
    """Do the steps and use them up."""
    while steps:
        step = steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, Stubborn):
            await stubborn(step)
        elif step == FOREVER:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(step)


async def stubborn(seconds: float) -> None:
    """Sleep until then, whoever cancels."""
    until = now() + seconds
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue


@asynccontextmanager
async def running(children: Iterable[ChildSpec] = (), **flags: Any) -> AsyncIterator[Supervisor]:
    """Run a supervisor, named "top" unless the flags say otherwise, for a block."""
    async with Supervisor(children, **{"name": "top", **flags}) as supervisor:
        yield supervisor


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def settled(rounds: int = 50) -> None:
    """Let everything happen that needs no time."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def outcome(work: Awaitable[Any]) -> Any:
    """Return the result, or what was raised."""
    try:
        return await work
    except BaseException as error:
        return error


async def phases(supervisor: Supervisor, path: str = "") -> dict[str, str]:
    """Return id → phase of the children, in their order; `path`: of the supervisor there."""
    handle = supervisor.supervisor(path) if path else supervisor.handle
    return {info.id: info.phase for info in await handle.which_children()}


def incarnations(supervisor: Supervisor) -> dict[str, int]:
    """Return path below the supervisor → number of the incarnation, of everything below it."""
    top = supervisor.tree()
    below = [node for node in top.walk() if node is not top]
    return {node.path.removeprefix(f"{top.path}/"): node.incarnation for node in below}
