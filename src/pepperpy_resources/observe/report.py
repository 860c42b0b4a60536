"""A view as text, JSON or a graph: what `pepperpy-resources tree` prints."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec

from pepperpy_resources.observe.graphviz import dot
from pepperpy_resources.observe.node import Node, as_json
from pepperpy_resources.observe.view import LoopState, Source, View
from pepperpy_resources.observe.words import TONES, Tone, clean, paint, span


def filtered(view: View, pattern: str | None) -> View:
    """Return the view with the nodes whose path matches, what is above and what is below them."""
    if pattern is None:
        return view
    sources = [
        msgspec.structs.replace(
            source, tree=None if source.tree is None else kept(source.tree, pattern)
        )
        for source in view.sources
    ]
    return msgspec.structs.replace(view, sources=sources)


def kept(node: Node, pattern: str) -> Node | None:
    """Return what a filter leaves of a tree, None if that is nothing."""
    if fnmatchcase(node.path, pattern):
        return node
    children = [below for child in node.children if (below := kept(child, pattern)) is not None]
    return msgspec.structs.replace(node, children=children) if children else None


def trees(view: View) -> list[Node]:
    """Return the trees of a view."""
    return [source.tree for source in view.sources if source.tree is not None]


def as_text(view: View, *, colour: bool) -> str:
    """Return everything as text."""
    return "\n".join(lines(view, colour=colour))


def json_of(view: View) -> str:
    """Return everything as JSON, indented."""
    return msgspec.json.format(as_json(view)).decode()


def dot_of(view: View) -> str:
    """Return all trees as one graph."""
    return dot(trees(view))


def lines(view: View, *, colour: bool) -> Iterator[str]:
    """Yield a heading, what is wrong, and the tree, for each source."""
    for place, source in enumerate(view.sources):
        if place:
            yield ""
        yield paint(heading(view, source), "bold", colour=colour)
        for tone, text in problems(source):
            yield paint(f"! {clean(text)}", tone, colour=colour)
        if source.tree is not None:
            yield source.tree.render(colour=colour)
        elif not source.error:
            yield "no actor matches the filter"


def heading(view: View, source: Source) -> str:
    """Return the line above a tree."""
    return f"{clean(source.name)} in process {view.pid} at {view.taken}"


def problems(source: Source) -> Iterator[tuple[Tone, str]]:
    """Yield what a person should see first."""
    yield from troubles(source)
    for node in () if source.tree is None else source.tree.walk():
        tone = TONES.get(node.status, "")
        if tone == "bad" or node.status in ("restarting", "backing-off"):
            yield tone, f"{node.path} is {node.status}"


def troubles(source: Source) -> Iterator[tuple[Tone, str]]:
    """Yield what is wrong with a source as such: its loop does not run, or it cannot be shown."""
    yield from hang(source.loop)
    if source.error:
        yield "bad", f"the tree could not be built: {source.error}"


def hang(loop: LoopState) -> Iterator[tuple[Tone, str]]:
    """Yield how a loop is that does not run, and where."""
    if loop.state == "running":
        return
    if loop.state != "stuck":
        yield "warn", f"loop: {loop.state}"
        return
    who = f", in {loop.actor} handling {loop.message}" if loop.actor else ""
    task = f", in task {loop.task}" if loop.task else ""
    yield "bad", f"loop: stuck for >= {span(loop.stuck, 2)}{who}{task}"
    for place in loop.where:
        yield "bad", f"  at {place}"
