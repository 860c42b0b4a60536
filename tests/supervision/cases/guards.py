"""An actor that watches others and keeps what it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from pepperpy_resources.supervision import (
    Actor,
    ActorHandle,
    ChildSpec,
    Down,
    ExitKind,
    Watch,
    handles,
)
from tests.supervision.cases.kit import Fail


class Look(msgspec.Struct, frozen=True):
    """Watch this."""

    target: ActorHandle


class Rest(msgspec.Struct, frozen=True):
    """Take a turn of so many seconds."""

    seconds: float


class Unwatch(msgspec.Struct, frozen=True):
    """Cancel the last watch."""


class Guard(Actor):
    """Watches what it is told to, and what it was made with, anew in each incarnation."""

    def __init__(self, told: list[Down], *targets: ActorHandle) -> None:
        super().__init__()
        self.told = told
        self.targets = targets

    def on_start(self) -> None:
        for target in self.targets:
            self.watch(target)

    @handles(Look)
    def look(self, message: Look) -> Watch:
        self.last = self.watch(message.target)
        return self.last

    @handles(Unwatch)
    def unwatch(self, _message: Unwatch) -> None:
        self.last.cancel()

    @handles(Rest)
    async def rest(self, message: Rest) -> None:
        await asyncio.sleep(message.seconds)

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise message.error

    @handles(Down)
    def down(self, message: Down) -> None:
        self.told.append(message)


def guard(told: list[Down], *targets: ActorHandle, **fields: Any) -> ChildSpec:
    return ChildSpec("guard", Guard, args=(told, *targets), **fields)


def seen(told: list[Down]) -> list[tuple[str, int, ExitKind, str]]:
    """Return what the notices say, and empty the list."""
    said = [(down.path, down.incarnation, down.exit.kind, down.exit.reason) for down in told]
    told.clear()
    return said
