"""The base class of every actor on the loop, built on pykka's three extension hooks.

pykka starts an actor, registers it and gives it an inbox; `_create_actor_inbox`, `_create_future`
and `_start_actor_loop` are where it lets an implementor decide what those are. Here the inbox
passes every envelope to the cell's `deliver`, the future is a `Reply`, and there is no loop to
start: the actor's turns are run by the cell.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Self

import msgspec
import pykka
from pykka.messages import (
    ProxyCall,
    ProxyGetAttr,
    ProxySetAttr,
    _ActorStop,  # pyright: ignore[reportPrivateUsage]
)

from pepperpy_resources.actors.host import REFUSED, Cell, kind_of
from pepperpy_resources.actors.reply import Failure, Reply
from pepperpy_resources.errors import ActorDead, UsageError

PROXY = (ProxyCall, ProxyGetAttr, ProxySetAttr)


class Begin(msgspec.Struct, frozen=True):
    """The first turn of an incarnation: runs `on_start`."""


class Crash(msgspec.Struct, frozen=True):
    """Make the actor crash; sent by `pepperpy_resources.testing` only."""


class InjectedCrash(Exception):
    """The failure that a `Crash` message stands for."""


class Inbox:
    """What pykka's `ActorRef` puts envelopes into."""

    # Weak, because pykka's registry holds every ref, and so every inbox, of the whole process: a
    # manager that was never stopped could not be collected, and so not warn of it.
    cell: weakref.ref[Cell]

    def put(self, envelope: Any, /) -> None:
        """Deliver the envelope's message; a stop is answered at once (see `LoopActor`)."""
        cell, message, reply = self.cell(), envelope.message, envelope.reply_to
        if isinstance(message, _ActorStop):
            if reply is not None:
                reply.set(None)
            if cell is not None:
                cell.control_message(HostStop())
        elif cell is None:
            if reply is not None:
                reply.resolve(Failure(ActorDead("the manager of this actor is gone")))
        elif reply is not None:
            cell.ask(message, reply)
        else:
            cell.deliver(message)

    def get(self) -> Any:
        """Refuse: there is no receive loop to get anything."""
        raise NotImplementedError

    def empty(self) -> bool:
        """Tell whether nothing is queued."""
        cell = self.cell()
        return cell is None or not (cell.user or cell.control)


class HostStop(msgspec.Struct, frozen=True):
    """Someone outside called pykka's `stop()`, perhaps through `ActorRegistry.stop_all()`.

    It is answered at once and means `manager.stop(timeout=0)`: a host program that stops all its
    actors must neither hang on ours nor fight a supervisor that restarts them.
    """


class LoopActor(pykka.Actor):
    """An actor whose turns are synchronous, short, and run on the event loop by its cell."""

    handlers: ClassVar[dict[type[Any], str]] = {}
    """Message type -> name of the method that handles it, given the message and its reply."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self._timer: asyncio.TimerHandle | None = None
        self.actor_inbox.cell = weakref.ref(cell)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        # First in the control lane: no message may have its turn before on_start.
        self.cell.control.appendleft((Begin(), None, self.cell.host.now()))
        self.cell.adopt(self)

    def turn(self, message: Any, reply: Any) -> Any:
        """Handle one message; return its answer, or `LATER`. Raising crashes the actor."""
        kind = kind_of(message)
        name = self.handlers.get(kind)
        if name is not None:
            return getattr(self, name)(message, reply)
        if issubclass(kind, Begin):
            self.on_start()
            self.begun()
            return None
        if issubclass(kind, Crash):
            raise InjectedCrash("a crash was injected")
        if issubclass(kind, HostStop):
            self.cell.host.on_host_stop()
            return None
        if issubclass(kind, PROXY):
            return self._handle_receive(message)
        return self.unknown(message, reply)

    def begun(self) -> None:
        """Acknowledge the start; a supervisor does so once its children are up."""
        self.cell.on_started(self.cell)

    def unknown(self, message: Any, reply: Any) -> Any:
        """Answer a message of a type this actor does not know; it lives on."""
        known = ", ".join(sorted(kind.__name__ for kind in self.handlers)) or "no messages"
        if reply is None:
            self.cell.host.dead_letters.add(self.cell, message, f"it takes {known}")
            return REFUSED
        given = type(message).__name__
        return Failure(
            UsageError(f"{self.cell.path} does not understand {given}; it takes {known}")
        )

    def reconcile(self, _message: Any, _reply: Any, answer: Any) -> Any:
        """Mend what the fatal message may have left half-done; return its asker's answer."""
        return answer

    def arm(self, at: float, call: Callable[..., object], *args: object) -> None:
        """Set this incarnation's one timer, in place of what it was set to."""
        self.disarm()
        self._timer = self.cell.host.loop.call_at(at, call, *args)

    def disarm(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def unregister(self) -> None:
        """Leave pykka's registry, and no timer; refs to this incarnation are dead from now on."""
        self.disarm()
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()

    @classmethod
    def launch(cls, cell: Cell, *args: Any) -> pykka.ActorRef[Self]:
        """Start an incarnation in this cell."""
        return cls.start(cell, *args)
