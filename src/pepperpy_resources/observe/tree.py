"""Builds supervision trees out of what is there: no actor is asked, none is kept waiting.

Callable from any thread: what the loop changes meanwhile is copied in one step of the interpreter,
or read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pepperpy_resources.actors.supervisor import GRACE, Gone, SupervisorCell
from pepperpy_resources.core.family import Child, Family, Mode
from pepperpy_resources.observe.cells import (
    Standing,
    cell_node,
    exit_node,
    family_of,
    standing_of,
)
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.types import type_node

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell
    from pepperpy_resources.actors.root import Child as RootChild
    from pepperpy_resources.actors.root import Root

KINDS = {":metrics": "MetricsActor", ":janitor": "Janitor"}
BUDGET = ":budget:"
TRIES = 10  # at reading what the loop changes meanwhile
# What a supervisor does while it has not all its children, or will have none.
MODES = {Mode.NEW: "starting", Mode.STARTING: "starting", Mode.STOPPING: "stopping"}


def steadily(build: Callable[[], Node]) -> Node:
    """Return what `build` builds, again where a dict or a deque changed size while it was read."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(RuntimeError):
            return build()
    return build()


# -- a manager


def build_tree(name: str, status: str, root: Root | None) -> Node:
    """Return the tree of one manager."""
    children = [] if root is None else [steadily(lambda: root_node(root))]
    return Node(path=name, kind="ResourceManager", status=status, children=children)


def root_node(root: Root) -> Node:
    """Return the root supervisor and everything below it."""
    now, family = root.host.now(), family_of(root.cell)
    return cell_node(
        root.cell,
        "RootSupervisor",
        Standing(root.cell.status, restarts=max(0, root.cell.incarnation - 1)),
        now,
        family=family,
        children=[
            root_child(path, child, family, now) for path, child in tuple(root.children.items())
        ],
    )


def root_child(path: str, child: RootChild, family: Family | None, now: float) -> Node:
    """Return one child of the root: a resource type's supervisor, or one of our own actors."""
    kind = KINDS.get(path) or ("BudgetActor" if path.startswith(BUDGET) else "ResourceSupervisor")
    known, state = None if family is None else family.children.get(path), child.state
    standing = Standing(
        child.cell.status,
        restarts=child.log.total,
        restarts_left=child.log.left(now),
        restart_in=standing_of(child.cell, known, family, now).restart_in,
    )
    resources = None if state is None else type_node(state, now)
    return cell_node(child.cell, kind, standing, now, resources=resources)


# -- a user's supervisor


def supervisor_tree(name: str, cell: SupervisorCell | None) -> Node:
    """Return the tree of one `Supervisor`."""
    if cell is None:
        return Node(path=name, kind="Supervisor", status="new")
    return steadily(lambda: supervisor_node(cell, Standing(cell.status), cell.host.now()))


def supervisor_node(cell: SupervisorCell, standing: Standing, now: float) -> Node:
    """Return a supervisor and everything below it."""
    family = family_of(cell)
    if standing.status == "running" and family is not None:
        standing = Standing(MODES.get(family.mode, "running"), *standing[1:])
    return cell_node(
        cell, "Supervisor", standing, now, family=family, children=below(cell, family, now)
    )


def below(cell: SupervisorCell, family: Family | None, now: float) -> list[Node]:
    """Return the children in the order of their start, then those that are gone."""
    places = dict(cell.places)
    if family is None:  # between two incarnations
        return [child_node(place, None, None, now) for place in places.values()]
    children = dict(family.children)
    nodes = [
        unborn(cell, child) if place is None else child_node(place, child, family, now)
        for child, place in ((child, places.get(name)) for name, child in children.items())
    ]
    gone = [x for x in tuple(cell.gone) if now - x.at <= GRACE and x.id not in children]
    return nodes + [gone_node(cell, each, now) for each in gone]


def child_node(cell: Cell, child: Child | None, family: Family | None, now: float) -> Node:
    """Return a child where it lives, and everything below it."""
    standing = standing_of(cell, child, family, now)
    if isinstance(cell, SupervisorCell):
        return supervisor_node(cell, standing, now)
    spec: Any = None if child is None else child.spec
    kind = type(cell.actor).__name__ if spec is None else spec.actor.__name__
    return cell_node(cell, kind, standing, now)


def unborn(cell: SupervisorCell, child: Child) -> Node:
    """Return a child that has never been started."""
    spec: Any = child.spec
    kind = "Supervisor" if spec.supervises else spec.actor.__name__
    return Node(f"{cell.path}/{spec.id}", kind, "starting" if child.coming else "stopped")


def gone_node(cell: SupervisorCell, gone: Gone, now: float) -> Node:
    """Return a child whose spec was dropped, and how it ended."""
    failed = gone.exit is not None and gone.exit.abnormal
    return Node(
        f"{cell.path}/{gone.id}",
        "Child",
        "failed" if failed else "stopped",
        last_exit=None if gone.exit is None else exit_node(gone.exit, now),
    )
