"""The node of one actor, out of its cell and what its supervisor knows of it."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

from pepperpy_resources.actors.actor_cell import phase_of
from pepperpy_resources.actors.family_actor import FamilyActor
from pepperpy_resources.actors.host import Cell, describe
from pepperpy_resources.core.family import Child, Family, Phase
from pepperpy_resources.core.kinship import Exit
from pepperpy_resources.observe.node import Exit as ExitNode
from pepperpy_resources.observe.node import Node, Turn, TypeNode
from pepperpy_resources.observe.types import LONGEST

UP = Phase.UP
DUE = (Phase.WAITING, Phase.PARKED)  # these come up at a time that is set
NONE: list[str] = []  # shared by all who wait for nobody
LEAF: list[Node] = []  # and by all who have no children


class Standing(NamedTuple):
    """What a child is doing, and what its supervisor knows of it."""

    status: str
    restarts: int = 0
    restarts_left: int | None = None
    restart_in: float | None = None


def family_of(cell: Cell) -> Family | None:
    """Return the family of a supervisor; None while it has no incarnation."""
    actor = cell.actor
    return actor.family if isinstance(actor, FamilyActor) else None


def standing_of(cell: Cell, child: Child | None, family: Family | None, now: float) -> Standing:
    """Return how a child stands; what its supervisor knows is missing while that one is down."""
    if child is None or family is None:
        return Standing(cell.status)
    if child.phase is UP and child.log is None:  # most of them, most of the time
        return Standing(cell.status, child.restarts)
    left = None if child.log is None else child.log.left(now)
    is_due = child.phase in DUE and child.due < math.inf
    restart_in = max(0.0, child.due - now) if is_due else None
    return Standing(cell.status, child.restarts, left, restart_in)


def cell_node(
    cell: Cell,
    kind: str,
    standing: Standing,
    now: float,
    *,
    family: Family | None = None,
    resources: TypeNode | None = None,
    children: list[Node] = LEAF,
) -> Node:
    """Return the node of one actor."""
    status, restarts, left, restart_in = standing
    turn, current, waits = cell.current, None, NONE
    if turn is not None:
        elapsed = now - turn.since
        current = Turn(phase_of(turn.message), elapsed)
        if turn.waits:
            asked = [wait.reply.cell for wait in tuple(turn.waits)]
            waits = [cell.path for cell in asked if cell is not None]
        if status == "running":
            status = "stuck" if elapsed >= cell.stuck_after else "busy"
    strategy, restarted, budget = "", 0, None
    if family is not None:
        strategy, restarted = family.policy.strategy.value, family.restarts
        budget = None if family.log is None else family.log.left(now)
    user, control = cell.user, cell.control
    queued = len(user) + len(control)
    return Node(  # by position: by name it takes a third longer, ten thousand times
        cell.path.lstrip(":"),
        kind,
        status,
        strategy,
        restarted,
        budget,
        restarts,
        left,
        restart_in,
        0.0 if cell.actor is None else now - cell.since,
        cell.incarnation,
        cell.messages,
        queued,
        cell.depth_high,
        oldest(cell, now) if queued else 0.0,
        cell.dead_letters,
        cell.late_replies,
        current,
        waits,
        None if cell.last_exit is None else exit_node(cell.last_exit, now),
        resources,
        children,
    )


def oldest(cell: Cell, now: float) -> float:
    """Return how long the oldest of the queued messages has been there."""
    age = 0.0
    for lane in (cell.user, cell.control):
        with contextlib.suppress(IndexError):  # empty, or emptied meanwhile
            age = max(age, now - lane[0][2])
    return age


def exit_node(end: Exit, now: float) -> ExitNode:
    """Return how an incarnation ended."""
    error = "" if end.error is None else describe(end.error)
    reason = "" if end.reason == error else end.reason
    return ExitNode(end.kind.value, now - end.at, reason[:LONGEST], error[:LONGEST], end.message)
