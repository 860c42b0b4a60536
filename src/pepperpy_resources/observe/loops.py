"""Asking event loops from a thread: by a callback while they come round, past them when they don't.

A loop that comes round builds its own tree, so that nothing changes meanwhile. One that does not
within `PATIENCE` is looked past: its tree is built from here, and it is said where it hangs. It is
asked again only once it has answered, so a stuck loop keeps nobody waiting twice.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable, Sequence
from threading import Event, get_ident

from pepperpy_resources.actors.host import current_loop, describe
from pepperpy_resources.clock import monotonic
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.stacks import places, stack, task_on, turn_on
from pepperpy_resources.observe.view import LoopState, Source, stuck_in

PATIENCE = 0.25  # seconds a loop has to come round

Build = Callable[[], Node]


class Ping:
    """One question to a loop: the callback that builds the tree there."""

    def __init__(self, build: Build) -> None:
        self.sent = monotonic()
        self.done = Event()
        self.late = False  # nobody waits for the tree any more
        self.thread = 0  # the one the loop runs on
        self.tree: Node | None = None
        self.error = ""
        self._build = build

    def __call__(self) -> None:
        """Answer, on the loop."""
        self.thread = get_ident()
        try:
            if not self.late:
                self.tree, self.error = attempt(self._build)
        finally:
            self.done.set()


class Watched:
    """One tree that is shown: its name, its loop and who builds it."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, build: Build) -> None:
        self.name = name
        self.loop = loop
        # A bound method's object is not kept alive: a manager that was dropped can still warn.
        self._build: Callable[[], Build | None] = (
            weakref.WeakMethod(build) if inspect.ismethod(build) else lambda: build
        )
        self._thread = get_ident() if current_loop() is loop else None
        self._ping: Ping | None = None  # the question that was not answered, or not in time

    @property
    def gone(self) -> bool:
        """Whether what was shown does not exist any more."""
        return self._build() is None

    def ask(self) -> None:
        """Ask the loop for the tree, unless it still owes an answer."""
        build = self._build()
        if build is None or (self._ping is not None and not self._ping.done.is_set()):
            return
        self._ping = ping = Ping(build)
        try:
            self.loop.call_soon_threadsafe(ping)
        except RuntimeError:  # it is closed
            ping.late = True

    def look(self, until: float) -> Source:
        """Return the tree as the loop built it by then, or else as it is seen from here."""
        ping = self._ping
        if ping is not None and not ping.late and ping.done.wait(max(0.0, until - monotonic())):
            self._thread, self._ping = ping.thread, None
            return Source(self.name, LoopState("running"), ping.tree, ping.error)
        return self._look_past(ping)

    def _look_past(self, ping: Ping | None) -> Source:
        frames = stack(self._thread)
        loop = LoopState("closed" if self.loop.is_closed() else "not running")
        if self.loop.is_running():
            actor, message = turn_on(frames)
            loop = LoopState(
                "stuck",
                stuck=0.0 if ping is None else monotonic() - ping.sent,
                where=places(frames),
                task=task_on(self.loop),
                actor=actor,
                message=message,
            )
        del frames  # they keep alive what they hold
        if ping is not None:
            ping.late = True
        build = self._build()
        tree, error = (None, "it is gone") if build is None else attempt(build)
        return stuck_in(Source(self.name, loop, tree, error))


def attempt(build: Build) -> tuple[Node | None, str]:
    """Return the tree, or why it could not be built."""
    try:
        return build(), ""
    except Exception as error:  # noqa: BLE001 - said to whoever asked, who can do most about it
        return None, describe(error)


def look_at(watched: Sequence[Watched]) -> list[Source]:
    """Return all trees; takes `PATIENCE` at most, hardly any time while the loops come round."""
    for each in watched:
        each.ask()
    until = monotonic() + PATIENCE
    return [each.look(until) for each in watched]
