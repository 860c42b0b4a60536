"""What one program shows of itself over its socket: its trees, and how its loops are."""

from __future__ import annotations

from typing import Literal

import msgspec

from pepperpy_resources.observe.node import Node, Turn

VERSION = 1  # of the protocol; a view of another one is refused


class LoopState(msgspec.Struct, frozen=True):
    """How the event loop of a tree is, seen from another thread."""

    state: Literal["running", "stuck", "not running", "closed"]
    stuck: float = 0.0  # seconds, at least, that it has not come round
    where: list[
        str
    ] = []  # the innermost calls of its thread, the last first: file:line in function
    task: str = ""  # the name of the task that runs there
    actor: str = ""  # the path of the actor whose turn runs there, if one does
    message: str = ""  # and the type of the message


class Source(msgspec.Struct, frozen=True):
    """One tree of a program; None and an error where it could not be built."""

    name: str
    loop: LoopState
    tree: Node | None
    error: str = ""


class View(msgspec.Struct, frozen=True):
    """One program at one moment."""

    version: int
    pid: int
    taken: str  # the time of day, as ISO 8601 has it
    sources: list[Source]


class Request(msgspec.Struct, frozen=True):
    """What a client asks for, on one line; what else stands there is ignored."""

    get: Literal["tree"]


class Refusal(msgspec.Struct, frozen=True):
    """The answer to what is no request."""

    error: str


def stuck_in(source: Source) -> Source:
    """Return a source in which the actor whose turn blocks the loop is shown as stuck."""
    loop, tree = source.loop, source.tree
    if tree is None or not loop.actor:
        return source
    turn = Turn(loop.message, loop.stuck)
    return msgspec.structs.replace(source, tree=marked(tree, loop.actor, turn))


def marked(node: Node, path: str, turn: Turn) -> Node:
    """Return the tree with the node of this path stuck in a turn; what is the same is shared."""
    if node.path == path:
        return msgspec.structs.replace(node, status="stuck", current=node.current or turn)
    children = [marked(child, path, turn) for child in node.children]
    if all(new is old for new, old in zip(children, node.children, strict=True)):
        return node
    return msgspec.structs.replace(node, children=children)
