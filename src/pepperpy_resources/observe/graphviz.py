"""The tree as a graph in Graphviz's language: `pepperpy-resources tree --dot | dot -Tsvg`.

A line from each supervisor to its children; a dashed one from whoever waits for an answer to whom
it waits for, and from a resource type to each that it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pepperpy_resources.observe.words import TONES, Tone, clean, span

if TYPE_CHECKING:
    from pepperpy_resources.observe.node import Node

COLOURS: dict[Tone, str] = {
    "bad": "#f4b6b6",
    "warn": "#f7e3a1",
    "good": "#d4ecd0",
    "dim": "#dddddd",
}

LONGEST = 80  # characters of a line: a box is no log

HEAD = """\
digraph supervision {
  rankdir=LR
  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"]"""


def dot(roots: Sequence[Node]) -> str:
    """Return one graph of these trees."""
    text = [HEAD]
    first = 0  # the number of a tree's root: paths are unique in a tree, not in a process
    for root in roots:
        nodes = list(root.walk())
        text += boxes(nodes, first)
        text += edges(nodes, first)
        first += len(nodes)
    return "\n".join([*text, "}"])


def boxes(nodes: Sequence[Node], first: int) -> Iterator[str]:
    """Yield the statement of each node."""
    for number, node in enumerate(nodes, first):
        label = "\\n".join(escape(line) for line in label_lines(node))
        colour = COLOURS.get(TONES.get(node.status, ""))
        fill = f', fillcolor="{colour}"' if colour else ""
        yield f'  n{number} [label="{label}"{fill}]'


def edges(nodes: Sequence[Node], first: int) -> Iterator[str]:
    """Yield the statement of each line between two nodes of one tree."""
    numbers = {id(node): number for number, node in enumerate(nodes, first)}
    by_path = {node.path: number for number, node in enumerate(nodes, first)}
    for number, node in enumerate(nodes, first):
        for child in node.children:
            yield f"  n{number} -> n{numbers[id(child)]}"
        needs = [] if node.resources is None else [x.name for x in node.resources.depends_on]
        for label, paths in (("waits for", node.waiting_on), ("depends on", needs)):
            for path in paths:
                if path in by_path:
                    yield f'  n{number} -> n{by_path[path]} [style=dashed, label="{label}"]'


def label_lines(node: Node) -> Iterator[str]:
    """Yield the lines of a node's box."""
    yield f"{node.kind} {node.path}"
    yield node.status
    if node.current is not None:
        yield f"{node.current.message} for {span(node.current.elapsed)}"
    if node.mailbox:
        yield f"mailbox {node.mailbox}"
    if node.restarts:
        yield f"restarts {node.restarts}"
    if node.resources is not None:
        slots = ", ".join(f"{n} {state}" for state, n in node.resources.slots.items())
        yield slots or "no slots"
        if node.resources.waiting:
            yield f"waiting {node.resources.waiting}"


def escape(text: str) -> str:
    r"""Return text for a quoted label, in which `\`, `"` and `&` mean something else."""
    return clean(text, LONGEST).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
