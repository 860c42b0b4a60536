"""The turn that runs: whose it is, since when, and whose answers it waits for."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pepperpy_resources.actors.blocked import is_blocked_by
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
        self.waits: list[Wait] = []  # for answers, of its code right now

    def has_returned(self) -> bool:
        """Tell whether its code has run to the end, though nobody has heard of it yet."""
        return self.task is not None and self.task.done()

    def waits_for(self, reply: Reply[Any], waiter: asyncio.Future[None]) -> Wait:
        """Note that code of the turn awaits this answer, by this future.

        Raises `AskCycle`, perhaps through the future, where the answer can never come: whom it
        asks waits, perhaps through others, for this very turn to end.
        """
        wait = Wait(self, reply, waiter, asyncio.current_task())
        self.waits.append(wait)
        if wait.task is self.task:
            error = wait.cycle()
            if error is not None:
                self.waits.remove(wait)
                raise error
        else:  # whether the turn waits for this task shows once whoever makes it has gone on
            waiter.get_loop().call_soon(wait.look)
        return wait


class Wait:
    """A wait of a turn's code for an answer."""

    __slots__ = ("reply", "task", "turn", "waiter")

    def __init__(
        self,
        turn: Turn,
        reply: Reply[Any],
        waiter: asyncio.Future[None],
        task: asyncio.Task[Any] | None,
    ) -> None:
        self.turn = turn
        self.reply = reply
        self.waiter = waiter
        self.task = task  # the turn's own, or one that it has started

    @property
    def holds(self) -> bool:
        """Whether the turn cannot end before the answer comes, nor that before a turn there ends.

        An answer that is promised for later may come from anywhere.
        """
        own, task = self.turn.task, self.task
        if own is None or task is None:
            return False
        if self.waiter.done() or not self.reply.pending or self.reply.kept:
            return False
        return task is own or is_blocked_by(own, task)

    def look(self) -> None:
        """Break the wait off if the answer can never come."""
        error = None if self.waiter.done() else self.cycle()
        if error is not None:
            self.waiter.set_exception(error)

    def cycle(self) -> AskCycle | None:
        """Return what to report if the wait closes a circle."""
        if not self.holds:
            return None
        path = way_back(self.reply.cell, self.turn.cell)
        if not path:
            return None
        return AskCycle(
            f"{' -> '.join([self.turn.cell.path, *path])}: each waits for the next one's answer, "
            "and none will come before the first turn ends; tell instead of ask, or return "
            "LATER and answer in a later turn"
        )


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
            todo += [(wait.reply.cell, path) for wait in turn.waits if wait.holds]
    return []


# Set for all the code a turn runs, tasks it starts included; those outlive it, hence `over`.
TURN: ContextVar[Turn | None] = ContextVar("pepperpy_resources_turn", default=None)


def running_turn() -> Turn | None:
    """Return the turn whose code the caller is, None outside any."""
    turn = TURN.get()
    return None if turn is None or turn.over else turn
