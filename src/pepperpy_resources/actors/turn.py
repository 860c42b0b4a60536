"""The turn that runs: whose it is, since when, and whose answers it waits for."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pepperpy_resources.errors import AskCycle

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell
    from pepperpy_resources.actors.reply import Promise, Reply


class Turn:
    """One turn of a user's actor, from the message to the answer."""

    __slots__ = ("cell", "message", "over", "reply", "since", "task", "waits")

    def __init__(
        self, cell: Cell, message: Any, reply: Reply[Any] | Promise | None, since: float
    ) -> None:
        self.cell = cell
        self.message = message
        self.reply = reply
        self.since = since  # on the loop's clock
        self.over = False
        self.task: asyncio.Task[Any] | None = None  # of an async turn
        self.waits: list[Reply[Any]] = []  # replies it awaits right now

    def has_returned(self) -> bool:
        """Tell whether its code has run to the end, though nobody has heard of it yet."""
        return self.task is not None and self.task.done()

    def waits_for(self, reply: Reply[Any]) -> None:
        """Note that the turn awaits this answer.

        Raises `AskCycle` where the answer can never come: whom it asks waits, perhaps through
        others, for this very turn to end.
        """
        path = way_back(reply.cell, self.cell)
        if path:
            raise AskCycle(
                f"{' -> '.join([self.cell.path, *path])}: each waits for the next one's answer, "
                "and none will come before the first turn ends; tell instead of ask, or return "
                "LATER and answer in a later turn"
            )
        self.waits.append(reply)


def way_back(start: Cell | None, goal: Cell) -> list[str]:
    """Return the paths from one cell to another along what their turns await; empty: no way."""
    todo: list[tuple[Cell | None, tuple[str, ...]]] = [(start, ())]
    seen: set[int] = set()
    while todo:
        cell, before = todo.pop()
        if cell is None or id(cell) in seen:
            continue
        seen.add(id(cell))
        path = (*before, cell.path)
        if cell is goal:
            return list(path)
        turn = cell.current
        if turn is not None:
            todo += [(reply.cell, path) for reply in turn.waits]
    return []


# Set for all the code a turn runs, tasks it starts included; those outlive it, hence `over`.
TURN: ContextVar[Turn | None] = ContextVar("pepperpy_resources_turn", default=None)


def running_turn() -> Turn | None:
    """Return the turn whose code the caller is, None outside any."""
    turn = TURN.get()
    return None if turn is None or turn.over else turn
