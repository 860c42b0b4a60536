"""A small actor of our own kind, to look at how turns are run without any pool around."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.actors.host import LATER, Cell, Host
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.core.kinship import Exit
from pepperpy_resources.errors import ActorDead


class Note(msgspec.Struct, frozen=True):
    """Write this down; answered with how many notes there are."""

    text: Any


class Send(msgspec.Struct, frozen=True):
    """Send notes to a cell from inside the turn, then note that the turn is over."""

    to: Any
    texts: tuple[str, ...]


class Keep(msgspec.Struct, frozen=True):
    """Answer later, with `Probe.kept`."""


class Fail(msgspec.Struct, frozen=True):
    """Raise this."""

    error: BaseException


class Probe(LoopActor):
    handlers: ClassVar[dict[type[Any], str]] = {
        Note: "note",
        Send: "send",
        Keep: "keep",
        Fail: "fail",
    }

    def __init__(self, cell: Cell, notes: list[Any]) -> None:
        super().__init__(cell)
        self.notes = notes
        self.kept: list[Any] = []
        self.depth = 0

    def turn(self, message: Any, reply: Any) -> Any:
        assert self.depth == 0, "a turn inside a turn"
        self.depth += 1
        try:
            return super().turn(message, reply)
        finally:
            self.depth -= 1

    def note(self, message: Note, _reply: Any) -> int:
        self.notes.append(message.text)
        return len(self.notes)

    def send(self, message: Send, _reply: Any) -> str:
        for text in message.texts:
            message.to.deliver(Note(text))
        self.notes.append("sent")
        return "sent"

    def keep(self, _message: Keep, reply: Any) -> Any:
        self.kept.append(reply)
        return LATER

    def fail(self, message: Fail, _reply: Any) -> None:
        raise message.error


class Probes:
    """Cells on one host, each restarted at once when it crashes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.host = Host(loop)
        self.notes: list[Any] = []
        self.crashes: list[Exit] = []
        self.cells: list[Cell] = []

    def cell(self, path: str = "probe") -> Cell:
        cell = Cell(self.host, path, self.crashed)
        self.cells.append(cell)
        Probe.launch(cell, self.notes)
        return cell

    def crashed(self, cell: Cell, exit_: Exit) -> None:
        self.crashes.append(exit_)
        Probe.launch(cell, self.notes)


async def noted(made: Probes, count: int) -> None:
    """Return when so many notes are there."""
    async with asyncio.timeout(30):
        while len(made.notes) < count:  # noqa: ASYNC110 - the loop must go round for them to come
            await asyncio.sleep(0)


@contextmanager
def probes() -> Iterator[Probes]:
    """Give cells on the running loop, and end them."""
    made = Probes(asyncio.get_running_loop())
    yield made
    for cell in made.cells:
        cell.end("stopped", lambda _: Failure(ActorDead("stopped")))
