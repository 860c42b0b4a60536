"""The supervision tree as data, text and JSON. Built from what is there; asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pepperpy_resources.actors.blame import failure
from pepperpy_resources.actors.host import Cell, describe
from pepperpy_resources.actors.refusals import owner_name, where
from pepperpy_resources.core.snapshot import PoolSnapshot, snapshot

if TYPE_CHECKING:
    from pepperpy_resources.actors.root import Child, Root
    from pepperpy_resources.actors.type_state import TypeState


class LeaseNode(msgspec.Struct, frozen=True):
    """One live lease; `age` in seconds."""

    resource_id: str
    age: float
    owner: str
    site: str


class DependencyNode(msgspec.Struct, frozen=True):
    """One type that another depends on; `down` is its last failure, empty while it serves."""

    name: str
    down: str = ""


class TypeNode(msgspec.Struct, frozen=True):
    """What a resource type's node shows beyond any actor's; ages in seconds."""

    max_size: float | None  # None: no limit
    budget: str  # its name, "" without one
    permits: int | None  # what the budget has allotted
    slots: dict[str, int]
    leases: list[LeaseNode]
    waiting: int
    oldest_wait: float
    opened: int
    closed: int
    acquired: int
    overdue: int
    leaked: int
    suspended: bool
    abandoned_threads: int  # at work on a hook that is past its deadline
    last_error: str
    depends_on: list[DependencyNode] = []


class Node(msgspec.Struct, frozen=True):
    """One node of the tree."""

    path: str
    kind: str
    status: str
    restarts: int = 0
    restarts_left: int | None = None
    uptime: float = 0.0  # seconds since the current incarnation was started
    incarnation: int = 0
    messages: int = 0
    mailbox: int = 0
    mailbox_high: int = 0
    dead_letters: int = 0
    last_exit: str = ""
    resources: TypeNode | None = None
    children: list[Node] = []

    def render(self, *, leases: int = 3) -> str:
        """Return the tree as text, with at most `leases` leases of each type."""
        return "\n".join(lines(self, "", "", leases))

    def to_json(self) -> str:
        """Return the tree as JSON."""
        return msgspec.json.encode(self).decode()

    def __str__(self) -> str:
        return self.render()


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
        uptime=now - child.cell.since,
        resources=None if state is None else type_node(state, snapshot(state.pool, now)),
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
        last_exit=last_exit(cell),
        resources=resources,
        children=children or [],
    )


def last_exit(cell: Cell) -> str:
    """Return how the last incarnation ended, in one line."""
    exit_ = cell.last_exit
    if exit_ is None:
        return ""
    return f"{exit_.reason} in {exit_.message}" if exit_.message else exit_.reason


def type_node(state: TypeState, seen: PoolSnapshot) -> TypeNode:
    """Return what is shown of one resource type."""
    failures = {name: failure(below) for name, below in state.depends_on.items()}
    return TypeNode(
        max_size=None if seen.max_size == float("inf") else seen.max_size,
        budget="" if state.spec.budget is None else state.spec.budget.name,
        permits=None if seen.permits == float("inf") else int(seen.permits),
        slots={state: n for state, n in seen.slots.items() if n},
        leases=[
            LeaseNode(
                lease.resource_id,
                lease.age,
                "" if lease.owner is None else owner_name(lease.owner),
                where(lease.site),
            )
            for lease in seen.leases
        ],
        waiting=len(seen.tickets),
        oldest_wait=max((ticket.age for ticket in seen.tickets), default=0.0),
        opened=seen.opened,
        closed=seen.closed,
        acquired=seen.acquired,
        overdue=seen.overdue,
        leaked=seen.leaked,
        suspended=seen.suspended,
        abandoned_threads=state.hooks.workers.abandoned,
        last_error=state.hooks.last_error,
        depends_on=[
            DependencyNode(name, "" if error is None else describe(error))
            for name, error in failures.items()
        ],
    )


def lines(node: Node, lead: str, below: str, leases: int) -> list[str]:
    """Return the lines of a node and all under it."""
    text = [lead + headline(node)]
    details = [] if node.resources is None else type_lines(node.resources, leases)
    if node.last_exit:
        details.append(f"last exit: {node.last_exit}")
    bar = "│  " if node.children else "   "
    text += [below + bar + detail for detail in details]
    for child in node.children:
        last = child is node.children[-1]
        text += lines(
            child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), leases
        )
    return text


def headline(node: Node) -> str:
    """Return a node's first line."""
    parts = [f"{node.kind} {node.path} [{node.status}]"]
    if node.incarnation:
        parts.append(f"messages {node.messages}")
    if node.mailbox:
        parts.append(f"mailbox {node.mailbox}")
    if node.restarts_left is not None:
        parts.append(f"restarts {node.restarts} (left {node.restarts_left})")
        parts.append(f"up {node.uptime:.1f} s")
    return "  ".join(parts)


def type_lines(node: TypeNode, leases: int) -> list[str]:
    """Return the lines about slots, queue and leases."""
    limit = "no limit" if node.max_size is None else f"at most {node.max_size:g}"
    if node.budget:
        limit += f", {node.permits} now by budget {node.budget}"
    slots = ", ".join(f"{n} {state}" for state, n in node.slots.items()) or "none"
    text = [f"slots: {slots} ({limit}); opened {node.opened}, closed {node.closed}"]
    queue = f"leases granted: {node.acquired}; waiting: {node.waiting}"
    text.append(queue + (f" (oldest {node.oldest_wait:.3f} s)" if node.waiting else ""))
    if node.suspended:
        text.append("suspended: acquires wait until it is resumed")
    if node.overdue or node.leaked:
        text.append(f"leases overdue: {node.overdue}, leaked: {node.leaked}")
    if node.depends_on:
        needs = (f"{x.name} (down: {x.down})" if x.down else x.name for x in node.depends_on)
        text.append(f"depends on: {', '.join(needs)}")
    if node.abandoned_threads:
        text.append(f"abandoned threads: {node.abandoned_threads}")
    if node.last_error:
        text.append(f"last error: {node.last_error}")
    for lease in node.leases[:leases]:
        holder = f" by {lease.owner}" if lease.owner else ""
        site = f" at {lease.site}" if lease.site else ""
        text.append(f"lease {lease.resource_id} {lease.age:.3f} s{holder}{site}")
    if len(node.leases) > leases:
        text.append(f"… and {len(node.leases) - leases} more leases")
    return text
