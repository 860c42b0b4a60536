"""Builds the supervision tree out of what is there: no actor is asked, none is kept waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pepperpy_resources.actors.host import Cell, Crashed, describe
from pepperpy_resources.observe.node import (
    DependencyNode,
    Exit,
    LeaseNode,
    Node,
    TicketNode,
    TypeNode,
)
from pepperpy_resources.observe.types import LONGEST, type_node

if TYPE_CHECKING:
    from pepperpy_resources.actors.root import Child, Root

__all__ = [
    "DependencyNode",
    "Exit",
    "LeaseNode",
    "Node",
    "TicketNode",
    "TypeNode",
    "build_tree",
]


def build_tree(name: str, status: str, root: Root | None) -> Node:
    """Return the tree of one manager."""
    children = [] if root is None else [root_node(root)]
    return Node(path=name, kind="ResourceManager", status=status, children=children)


def root_node(root: Root) -> Node:
    """Return the root supervisor and everything below it."""
    children = [child_node(child) for child in tuple(root.children.values())]
    return actor_node(root.cell, "RootSupervisor", children=children)


def child_node(child: Child) -> Node:
    """Return one child of the root."""
    now = child.cell.host.loop.time()
    kinds = {":metrics": "MetricsActor", ":janitor": "Janitor"}
    kind = "BudgetActor" if child.cell.path.startswith(":budget:") else "ResourceSupervisor"
    state = child.state
    return actor_node(
        child.cell,
        kinds.get(child.cell.path, kind),
        restarts=child.log.total,
        restarts_left=child.log.left(now),
        uptime=now - child.started_at,
        resources=None if state is None else type_node(state, now),
    )


def actor_node(
    cell: Cell,
    kind: str,
    *,
    restarts: int = 0,
    restarts_left: int | None = None,
    uptime: float = 0.0,
    resources: TypeNode | None = None,
    children: list[Node] | None = None,
) -> Node:
    """Return the node of one actor."""
    return Node(
        path=cell.path.lstrip(":"),
        kind=kind,
        status=cell.status,
        restarts=restarts,
        restarts_left=restarts_left,
        uptime=uptime,
        incarnation=cell.incarnation,
        messages=cell.messages,
        mailbox=len(cell.user) + len(cell.control),
        mailbox_high=cell.depth_high,
        dead_letters=cell.dead_letters,
        last_exit=None if cell.last_exit is None else exit_of(cell.last_exit, uptime),
        resources=resources,
        children=children or [],
    )


def exit_of(end: Crashed, ago: float) -> Exit:
    """Return how an incarnation ended."""
    return Exit(kind="failure", ago=ago, error=describe(end.error)[:LONGEST], message=end.message)
