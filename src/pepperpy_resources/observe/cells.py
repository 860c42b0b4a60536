"""The node of one actor, out of its cell and what its supervisor knows of it."""

from __future__ import annotations

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

# What a phase says that the cell does not know; in any other the cell's own word counts.
STATUS = {
    Phase.WAITING: "backing-off",
    Phase.STOPPING: "stopping",
    Phase.PARKED: "failed",
}
DUE = (Phase.WAITING, Phase.PARKED)  # these come up at a time that is set
NONE: list[str] = []  # shared by all who wait for nobody
LEAF: list[Node] = []  # and by all who have no children


class Standing(NamedTuple):
    """What a supervisor knows of a child."""

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
    phase, left, restart_in = child.phase, None, None
    status = STATUS.get(phase, cell.status)
    if phase is Phase.DOWN and child.coming and child.number:
        status = "restarting"
    elif phase in DUE:
        restart_in = None if child.due == math.inf else max(0.0, child.due - now)
    if child.log is not None:
        left = child.log.left(now)
    return Standing(status, child.restarts, left, restart_in)


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
    log = None if family is None else family.log
    return Node(
        path=cell.path.lstrip(":"),
        kind=kind,
        status=status,
        strategy="" if family is None else family.policy.strategy.value,
        children_restarts=0 if family is None else family.restarts,
        children_restarts_left=None if log is None else log.left(now),
        restarts=restarts,
        restarts_left=left,
        restart_in=restart_in,
        uptime=0.0 if cell.actor is None else now - cell.since,
        incarnation=cell.incarnation,
        messages=cell.messages,
        mailbox=len(cell.user) + len(cell.control),
        mailbox_high=cell.depth_high,
        oldest=oldest(cell, now) if cell.user or cell.control else 0.0,
        dead_letters=cell.dead_letters,
        late_replies=cell.late_replies,
        current=current,
        waiting_on=waits,
        last_exit=None if cell.last_exit is None else exit_node(cell.last_exit, now),
        resources=resources,
        children=children,
    )


def oldest(cell: Cell, now: float) -> float:
    """Return how long the oldest of the queued messages has been there."""
    heads = [tuple(lane)[:1] for lane in (cell.user, cell.control)]
    return max((now - queued for head in heads for _, _, queued in head), default=0.0)


def exit_node(end: Exit, now: float) -> ExitNode:
    """Return how an incarnation ended."""
    error = "" if end.error is None else describe(end.error)
    reason = "" if end.reason == error else end.reason
    return ExitNode(end.kind.value, now - end.at, reason[:LONGEST], error[:LONGEST], end.message)
