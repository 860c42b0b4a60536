"""The supervision tree as data: what a person needs of it at 3 a.m., and what a program reads.

Plain immutable pictures, told apart from what they show: nothing in them changes when the program
goes on. All durations are in seconds, as of the moment of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from pepperpy_resources.observe.graphviz import dot
from pepperpy_resources.observe.render import render

# `gc=False` in this file: a picture holds no cycles, and a big one must not cost a collection.


class Exit(msgspec.Struct, frozen=True, gc=False):
    """How an incarnation ended."""

    kind: str  # normal, shutdown, failure, killed
    ago: float
    reason: str = ""  # in words, where somebody gave one
    error: str = ""  # type and text of the exception, if there was one
    message: str = ""  # type of the message in whose turn it happened


class Turn(msgspec.Struct, frozen=True, gc=False):
    """The message an actor is at work on."""

    message: str  # its type
    elapsed: float


class LeaseNode(msgspec.Struct, frozen=True, gc=False):
    """One live lease."""

    resource_id: str
    age: float
    owner: str
    site: str


class TicketNode(msgspec.Struct, frozen=True, gc=False):
    """One acquire that waits."""

    resource_id: str
    age: float
    left: float | None  # until it gives up; None: never
    owner: str = ""


class HookError(msgspec.Struct, frozen=True, gc=False):
    """One failure of a hook."""

    hook: str
    error: str
    ago: float


class DependencyNode(msgspec.Struct, frozen=True, gc=False):
    """One type that another depends on; `down` is its last failure, empty while it serves."""

    name: str
    down: str = ""


class TypeNode(msgspec.Struct, frozen=True, gc=False):
    """What a resource type's node shows beyond any actor's."""

    max_size: float | None  # None: no limit
    budget: str  # its name, "" without one
    permits: int | None  # what the budget has allotted
    slots: dict[str, int]  # by state
    leased: int  # all leases
    leases: list[LeaseNode]  # the oldest of them, oldest first
    waiting: int  # all tickets
    queue: list[TicketNode]  # those that came first, in that order
    oldest_wait: float
    opened: int
    closed: int
    acquired: int
    overdue: int
    leaked: int
    suspended: bool
    abandoned_threads: int  # at work on a hook that is past its deadline
    refused: dict[str, int]  # acquires that ended without a lease, by outcome
    errors: dict[str, int]  # failures, by hook
    last_errors: list[HookError]  # the last first
    depends_on: list[DependencyNode] = []


class Node(msgspec.Struct, frozen=True, gc=False):
    """One node of the tree."""

    path: str
    kind: str
    # starting, running, busy, stuck, restarting, backing-off, stopping, stopped, failed; of a
    # manager also new and forked
    status: str
    strategy: str = ""  # of a supervisor
    children_restarts: int = 0  # of all its children together
    children_restarts_left: int | None = None  # None: no limit, or each child has its own
    restarts: int = 0
    restarts_left: int | None = None  # None: no limit, or one for it and its siblings together
    restart_in: float | None = None  # until the next restart, while it is awaited
    uptime: float = 0.0  # since the current incarnation was started
    incarnation: int = 0
    messages: int = 0  # handled, ever
    mailbox: int = 0
    mailbox_high: int = 0
    oldest: float = 0.0  # how long the oldest message of the mailbox has been there
    dead_letters: int = 0  # messages that it could not take
    late_replies: int = 0  # its answers that nobody waited for any more
    current: Turn | None = None
    waiting_on: list[str] = []  # paths of actors that have not answered it yet
    last_exit: Exit | None = None
    resources: TypeNode | None = None
    children: list[Node] = []

    def render(self, *, leases: int = 3, colour: bool = False) -> str:
        """Return the tree as text, with at most `leases` leases and tickets of each type."""
        return render(self, leases=leases, colour=colour)

    def to_json(self) -> str:
        """Return the tree as JSON."""
        return as_json(self).decode()

    def to_dot(self) -> str:
        """Return the tree as a graph in Graphviz's language."""
        return dot([self])

    def walk(self) -> Iterator[Node]:
        """Yield this node and every node below it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.walk()

    def __str__(self) -> str:
        return self.render()


def as_json(picture: msgspec.Struct) -> bytes:
    """Return a picture as JSON, even where a text in it is not Unicode: a file's name, perhaps."""
    try:
        return msgspec.json.encode(picture)
    except UnicodeEncodeError:
        return msgspec.json.encode(unicode(msgspec.to_builtins(picture)))


def unicode(value: Any) -> Any:
    """Return plain data with what no JSON can hold written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        pairs = cast("Mapping[str, Any]", value).items()
        return {unicode(key): unicode(item) for key, item in pairs}
    if isinstance(value, list):
        return [unicode(item) for item in cast("Sequence[Any]", value)]
    return value
