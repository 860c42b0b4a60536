"""What every supervising actor does: gives events to the rules, performs what they decide."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.actors.host import LATER, Cell
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.clock import chance
from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Child, Family
from pepperpy_resources.core.kinship import Exit
from pepperpy_resources.core.supervising import supervise
from pepperpy_resources.errors import ActorDead, ChildRefused, StartFailed

WORDS = {
    on.Refused.ALREADY_STARTED: "has a child {0!r} already, and it runs: use another id",
    on.Refused.ALREADY_PRESENT: "has a child {0!r} already: restart_child() or delete_child() it",
    on.Refused.RUNNING: "has {0!r} running: terminate_child() it first",
    on.Refused.RESTARTING: "is about to restart {0!r}: wait, or terminate_child() it first",
    on.Refused.NOT_FOUND: "has no child {0!r}",
    on.Refused.SIMPLE_ONE_FOR_ONE: "makes all children from one spec: start_child() another",
    on.Refused.STOPPING: "is stopping",
}


class News(msgspec.Struct, frozen=True):
    """Something that happened to this family; to any other it is of no concern (law 8)."""

    of: Family
    event: on.FamilyEvent


class FamilyActor(LoopActor):
    """Runs one `Family`; a subclass knows how its children are made, told to stop and killed."""

    handlers: ClassVar[dict[type[Any], str]] = {
        News: "news",
        on.StartChild: "order",
        on.RestartChild: "order",
        on.TerminateChild: "order",
        on.DeleteChild: "order",
        on.Stop: "order",
    }

    def __init__(self, cell: Cell, family: Family) -> None:
        super().__init__(cell)
        cell.forsaken = self.forsake
        self.family = family
        self._perform: dict[type[on.Effect], Callable[[Any], None]] = {
            on.Launch: self.launch_child,
            on.Tell: self.tell_to_stop,
            on.Kill: self.kill_child,
            on.Park: self.park,
            on.Drop: self.drop,
            on.Respond: self.respond,
            on.WakeAt: self._wake_at,
            on.AllUp: self.all_up,
            on.AllDown: self.all_down,
        }

    # -- what a subclass does

    def launch_child(self, effect: on.Launch) -> None:
        """Make the next incarnation of a child."""
        raise NotImplementedError

    def tell_to_stop(self, effect: on.Tell) -> None:
        """Tell a child to stop."""
        raise NotImplementedError

    def kill_child(self, effect: on.Kill) -> None:
        """End a child without asking it."""
        raise NotImplementedError

    def settled(self, name: str, child: Child | None) -> None:
        """See how a child stands after an event of its own; None if it is gone."""
        raise NotImplementedError

    def park(self, effect: on.Park) -> None:
        """Give a child up."""

    def drop(self, effect: on.Drop) -> None:
        """Forget a child."""

    def all_up(self, _effect: on.AllUp) -> None:
        """Acknowledge the start."""
        self.cell.on_started(self.cell)

    def all_down(self, effect: on.AllDown) -> None:
        """End."""
        raise NotImplementedError

    # -- what all do

    def happen(self, event: on.FamilyEvent, ticket: Any = None) -> None:
        """Let one event happen and perform what follows."""
        now = self.cell.host.now()
        for effect in supervise(self.family, event, now, chance=chance(), ticket=ticket):
            self._perform[type(effect)](effect)
        name = getattr(event, "id", None)
        if name is not None:
            self.settled(name, self.family.children.get(name))

    def news(self, message: News, _reply: Any) -> None:
        """Hear of a child or of the clock."""
        if message.of is self.family:
            self.happen(message.event)

    def order(self, message: on.FamilyEvent, reply: Any) -> Any:
        """Carry out what somebody asks for; the answer comes when it is done."""
        self.happen(message, None if reply is None else (reply, message))
        return LATER

    def respond(self, effect: on.Respond) -> None:
        """Answer an order, or tell why not."""
        (reply, order), value = effect.ticket, effect.answer
        if isinstance(value, on.Refused):
            name = order.child.id if isinstance(order, on.StartChild) else getattr(order, "id", "")
            text = f"{self.cell.path} {WORDS[value].format(name)}"
            value = Failure(ChildRefused(text, value.value))
        elif isinstance(value, on.StartRefused):
            value = Failure(start_failed(f"child {value.id!r} of {self.cell.path}", value.exit))
        self.cell.answered(reply, value)

    def tell_self(self, event: on.FamilyEvent) -> None:
        """Send this family an event; before all orders, after what was sent before."""
        self.cell.control_message(News(self.family, event))

    def attend(self, child: Cell, name: str, number: int) -> None:
        """Hear of the start and the end of this incarnation."""
        child.on_started = functools.partial(self._up, name, number)
        child.on_exit = functools.partial(self._down, name, number)

    def _up(self, name: str, number: int, _cell: Cell) -> None:
        self.tell_self(on.Started(name, number))

    def _down(self, name: str, number: int, _cell: Cell, exit_: Exit) -> None:
        self.tell_self(on.Exited(name, number, exit_))

    def _wake_at(self, effect: on.WakeAt) -> None:
        if effect.at < float("inf"):
            self.arm(effect.at, self.tell_self, on.FamilyTick())
        else:
            self.disarm()

    def unregister(self) -> None:
        """Leave no order without an answer."""
        super().unregister()
        gone = ActorDead(f"{self.cell.path} ended before it had carried that out")
        self.forsake(Failure(gone))

    def forsake(self, answer: Failure) -> None:
        """Answer every order that will not be carried out."""
        for reply, _ in self.family.tickets():
            self.cell.answered(reply, answer)


def start_failed(what: str, exit_: Exit) -> StartFailed:
    """Return the error for a start that did not come about."""
    error = StartFailed(f"{what} did not start: {exit_.reason}")
    error.__cause__ = exit_.error
    return error
