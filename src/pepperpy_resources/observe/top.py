"""The table of `pepperpy-resources top`: one row for each node, sorted, filtered, cut to fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.render import ending
from pepperpy_resources.observe.words import TONES, clean, paint, span

Order = Callable[[Node], tuple[float, ...]]


@dataclass(frozen=True)
class Column:
    """One column: its heading, what stands there for a node, and on which side."""

    title: str
    cell: Callable[[Node], str]
    left: bool = False


def busy(node: Node) -> float:
    """Return how long a node has been at work on one message."""
    return 0.0 if node.current is None else node.current.elapsed


def waiting(node: Node) -> tuple[float, float]:
    """Return how many wait for a type, or whom an actor waits for, and for how long."""
    if node.resources is None:
        return float(len(node.waiting_on)), 0.0
    return float(node.resources.waiting), node.resources.oldest_wait


# The biggest first; among equals, and for "path", in the order of the path.
ORDERS: dict[str, Order] = {
    "mailbox": lambda node: (node.mailbox, node.oldest),
    "restarts": lambda node: (node.restarts, node.incarnation),
    "oldest": lambda node: (node.oldest, node.mailbox),
    "busy": lambda node: (busy(node),),
    "waiting": waiting,
    "path": lambda _: (),
}


def rows(roots: Sequence[Node], sort: str, pattern: str | None) -> list[Node]:
    """Return the nodes whose path matches, sorted; raises KeyError for an unknown order."""
    order = ORDERS[sort]
    nodes = [node for root in roots for node in root.walk()]
    if pattern is not None:
        nodes = [node for node in nodes if fnmatchcase(node.path, pattern)]
    return sorted(nodes, key=lambda node: (tuple(-figure for figure in order(node)), node.path))


def table(nodes: Sequence[Node], width: int, height: int, *, colour: bool) -> list[str]:
    """Return the lines of a table that fits; 0 is no limit. What is not shown is counted."""
    cut = max(0, height - 2) if height and len(nodes) > height - 1 else len(nodes)
    shown = [[clean(column.cell(node)) for column in COLUMNS] for node in nodes[:cut]]
    titles = [column.title for column in COLUMNS]
    widths = [max(map(len, column)) for column in zip(titles, *shown, strict=True)]
    text = [paint(fit(titles, widths, width), "bold", colour=colour)]
    for node, cells in zip(nodes, shown, strict=False):
        tone = TONES.get(node.status, "")
        line = fit(cells, widths, width)
        text.append(line if tone == "good" else paint(line, tone, colour=colour))
    if cut < len(nodes):
        text.append(paint(f"… and {len(nodes) - cut} more", "dim", colour=colour))
    return text


def fit(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    """Return one line of aligned cells, cut to a width; 0 is no limit."""
    aligned = (
        cell.ljust(wide) if column.left else cell.rjust(wide)
        for column, cell, wide in zip(COLUMNS, cells, widths, strict=True)
    )
    line = "  ".join(aligned).rstrip()
    return line[: width - 1] + "…" if width and len(line) > width else line


def restarts(node: Node) -> str:
    """Return the restarts, and how many are left where there is a budget."""
    if node.restarts_left is None:
        return str(node.restarts or "")
    return f"{node.restarts} ({node.restarts_left})"


def mailbox(node: Node) -> str:
    """Return the depth of the mailbox, and its high-water mark where there was one."""
    if not node.mailbox_high:
        return str(node.mailbox or "")
    return f"{node.mailbox} ({node.mailbox_high})"


def doing(node: Node) -> str:
    """Return what the node is at work on."""
    return "" if node.current is None else f"{node.current.message} {span(node.current.elapsed)}"


def slots(node: Node) -> str:
    """Return how many slots of a type are leased, of how many."""
    kept = node.resources
    if kept is None:
        return ""
    limit = "∞" if kept.max_size is None else f"{kept.max_size:g}"
    return f"{kept.slots.get('leased', 0)}/{limit}"


def queue(node: Node) -> str:
    """Return how many wait, with the age of the oldest; or whom an actor waits for."""
    if node.resources is None:
        return ", ".join(node.waiting_on)
    count, oldest = node.resources.waiting, node.resources.oldest_wait
    return f"{count} ({span(oldest)})" if count else ""


def trouble(node: Node) -> str:
    """Return the last that went wrong."""
    if node.restart_in is not None:
        return f"next restart in {span(node.restart_in)}"
    if node.last_exit is not None:
        return ending(node.last_exit)
    if node.resources is not None and node.resources.last_errors:
        last = node.resources.last_errors[0]
        return f"{last.hook} {span(last.ago)} ago: {last.error}"
    return ""


COLUMNS = (
    Column("PATH", lambda node: node.path, left=True),
    Column("STATUS", lambda node: node.status, left=True),
    Column("UP", lambda node: span(node.uptime) if node.uptime else ""),
    Column("RESTARTS", restarts),
    Column("MAILBOX", mailbox),
    Column("OLDEST", lambda node: span(node.oldest) if node.mailbox else ""),
    Column("BUSY", doing, left=True),
    Column("LEASED", slots),
    Column("WAITING", queue, left=True),
    Column("TROUBLE", trouble, left=True),
)
