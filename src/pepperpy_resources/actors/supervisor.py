"""The supervising actor of a user's own actors, nested to any depth."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec

from pepperpy_resources.actors.actor_cell import ActorCell, StopNow, dead_error
from pepperpy_resources.actors.family_actor import FamilyActor
from pepperpy_resources.actors.host import REFUSED, Cell, Host
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Child, Family, Phase
from pepperpy_resources.core.kinship import Exit, ExitKind
from pepperpy_resources.errors import UsageError

if TYPE_CHECKING:
    from pepperpy_resources.child_spec import ChildSpec, SupervisorSpec

# What handles show of a child between two incarnations.
WORDS = {Phase.WAITING: "backing-off", Phase.DOWN: "restarting"}

GRACE = 60.0  # seconds a child that is gone stays visible
MOST_GONE = 100  # of them, at most


class WhichChildren(msgspec.Struct, frozen=True):
    """Ask a supervisor for a `ChildInfo` of each child, in the order of their start."""


class CountChildren(msgspec.Struct, frozen=True):
    """Ask a supervisor for its `ChildCount`."""


class ChildInfo(msgspec.Struct, frozen=True):
    """One child: `phase` as the supervisor sees it, `exit` its last end."""

    id: str
    phase: str
    supervises: bool
    restarts: int
    exit: Exit | None


class ChildCount(msgspec.Struct, frozen=True):
    """OTP's `count_children`: specs, running children, and how many specs of each kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


class StartWith(msgspec.Struct, frozen=True):
    """Start one more child of a `simple_one_for_one` supervisor.

    These arguments come after those of the spec; `id` None: the spec's, numbered.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    id: str | None = None


class Gone(msgspec.Struct, frozen=True):
    """A child whose spec was dropped; `at` on the loop's clock."""

    id: str
    exit: Exit | None
    at: float


class SupervisorCell(Cell):
    """The place of a supervisor; its children's places outlive its incarnations."""

    def __init__(self, host: Host, path: str, spec: SupervisorSpec, context: Context) -> None:
        super().__init__(host, path, unheard)
        self.spec = spec
        self.context = context
        self.places: dict[str, Cell] = {}
        self.gone: deque[Gone] = deque(maxlen=MOST_GONE)
        self.next_number = functools.partial(next, itertools.count(1))  # of a child without an id

    def launch(self) -> None:
        """Start an incarnation."""
        self.status = "starting" if self.incarnation == 0 else "restarting"
        SupervisorActor.launch(self)

    def place(self, spec: ChildSpec) -> Cell:
        """Return where a child lives."""
        cell = self.places.get(spec.id)
        if cell is None:
            path = f"{self.path}/{spec.id}"
            if spec.supervisor is not None:
                cell = SupervisorCell(self.host, path, spec.supervisor, self.context)
            else:
                cell = actor_cell = ActorCell(self.host, path, self.context)
                actor_cell.limit = spec.max_mailbox
                actor_cell.stuck_after = cast("float", spec.stuck_after)
            self.places[spec.id] = cell
        return cell

    def place_of(self, name: str) -> Cell:
        """Return where a child that was started lives; it may have ended since, and be gone."""
        cell = self.places.get(name)
        if cell is None:
            cell = ActorCell(self.host, f"{self.path}/{name}", self.context)
            cell.last_exit = next((x.exit for x in reversed(self.gone) if x.id == name), None)
            cell.close("stopped")
        return cell

    def kill(self, exit_: Exit) -> None:
        """End the supervisor and everything below it, without asking."""
        if self.actor is None:
            return
        self.leave(exit_)
        self.status = "stopped"
        self.on_exit(self, exit_)

    def close(self, status: str) -> None:
        """Serve nobody from now on, and let nobody below do so."""
        self.end(status, lambda message: Failure(dead_error(self, message)))
        for cell in self.places.values():
            close(cell, "stopped")


class SupervisorActor(FamilyActor):
    """A supervisor by OTP's rules."""

    handlers: ClassVar[dict[type[Any], str]] = {
        **FamilyActor.handlers,
        WhichChildren: "which_children",
        CountChildren: "count_children",
        StopNow: "stop_now",
        on.StartChild: "start_child",
        StartWith: "start_with",
        on.RestartChild: "order_by_id",
        on.TerminateChild: "order_by_id",
        on.DeleteChild: "order_by_id",
    }

    def __init__(self, cell: SupervisorCell) -> None:
        super().__init__(cell, Family(cell.spec.policy))
        self.home = cell
        for spec in cell.spec.initial:
            self.family.add(spec)
        for name in tuple(cell.places):  # of an earlier incarnation, and not of this one
            if name not in self.family.children:
                close(cell.places.pop(name), "stopped")

    def on_start(self) -> None:
        """Start the children, in order."""
        self.happen(on.Begin())

    def begun(self) -> None:
        """Wait: the start is acknowledged once all children are up."""

    def all_up(self, effect: on.AllUp) -> None:
        """Acknowledge the start."""
        self.home.status = "running"
        super().all_up(effect)

    def launch_child(self, effect: on.Launch) -> None:
        """Make the next incarnation of a child, in its place."""
        name, number = effect.id, effect.number
        spec: Any = self.family.children[name].spec
        cell = self.home.place(spec)
        self.attend(cell, name, number)
        if isinstance(cell, SupervisorCell):
            cell.launch()
        elif isinstance(cell, ActorCell):
            make = functools.partial(spec.actor.launch, cell, *spec.args, **spec.kwargs)
            cell.launch(make)

    def tell_to_stop(self, effect: on.Tell) -> None:
        """Tell a child to stop, before or after what it has queued."""
        cell = self.home.places[effect.id]
        spec: Any = self.family.children[effect.id].spec
        exit_ = Exit(ExitKind.SHUTDOWN, "told by its supervisor", at=self.cell.host.now())
        if cell.actor is None:  # about to be made
            kill(cell, exit_)
            return
        if spec.drain and isinstance(cell, ActorCell) and cell.status == "running":
            cell.stop_after_queue(exit_)
        else:
            cell.control_message(StopNow(exit_, cell.incarnation))

    def kill_child(self, effect: on.Kill) -> None:
        """End a child without asking it."""
        child = self.family.children[effect.id]
        seconds = child.spec.shutdown
        late = f"did not end within {seconds:g} s" if seconds else "by its shutdown=0"
        exit_ = child.verdict or Exit(ExitKind.KILLED, late, at=self.cell.host.now())
        kill(self.home.places[effect.id], exit_)

    def settled(self, name: str, child: Child | None) -> None:
        """Answer whoever waits for a child that is not coming back; show how the others stand."""
        cell = self.home.places.get(name)
        if cell is None:
            return
        if child is not None and (child.coming or child.phase is not Phase.DOWN):
            cell.status = WORDS.get(child.phase, cell.status)
            return
        if cell.epitaph is None:
            close(cell, "stopped")
        if child is None:
            del self.home.places[name]

    def park(self, effect: on.Park) -> None:
        """Give one child up: whoever waits for it is told."""
        close(self.home.places[effect.id], "failed")

    def drop(self, effect: on.Drop) -> None:
        """Keep a child that is gone visible for a while."""
        self.home.gone.append(Gone(effect.id, effect.exit, self.cell.host.now()))

    def all_down(self, effect: on.AllDown) -> None:
        """End, for the reason the family has."""
        cell = self.home
        exit_ = msgspec.structs.replace(effect.exit, at=cell.host.now())  # not when it was told to
        for child_cell in cell.places.values():
            close(child_cell, "stopped")
        cell.leave(exit_)
        cell.status = "stopped"
        cell.on_exit(cell, exit_)

    def stop_now(self, message: StopNow, _reply: Any) -> None:
        """Stop, on the word of the supervisor above or of who has the handle."""
        if message.incarnation != self.cell.incarnation:
            return
        self.happen(on.Stop(message.exit.kind, message.exit.reason))

    def start_child(self, message: on.StartChild, reply: Any) -> Any:
        """Add a child, if it may be one here."""
        try:
            self.home.spec.check_child(message.child)
        except UsageError as error:
            return self.senseless(message, reply, error)
        return self.order(message, reply)

    def start_with(self, message: StartWith, reply: Any) -> Any:
        """Add a child made from the spec of all."""
        try:
            spec = self.home.spec.child_with(message, self._numbered)
        except UsageError as error:
            return self.senseless(message, reply, error)
        return self.order(on.StartChild(spec), reply)

    def _numbered(self, name: str) -> str:
        """Return the id with the next number that nobody has by hand."""
        numbers = iter(self.home.next_number, None)
        return next(each for n in numbers if (each := f"{name}-{n}") not in self.family.children)

    def order_by_id(self, message: Any, reply: Any) -> Any:
        """Carry out what is asked for about one child, if that can be one's id."""
        try:
            name = self.home.spec.id_of(message)
        except UsageError as error:
            return self.senseless(message, reply, error)
        return self.order(type(message)(name), reply)

    def senseless(self, message: Any, reply: Any, error: UsageError) -> Any:
        """Refuse an order whose fields are wrong: whoever sent it learns why."""
        if reply is not None:
            return Failure(error)
        self.home.host.dead_letters.add(self.home, message, str(error))
        return REFUSED

    def which_children(self, _message: WhichChildren, _reply: Any) -> list[ChildInfo]:
        """Return what the supervisor knows of each child."""
        return [
            ChildInfo(name, child.phase.value, child.spec.supervises, child.restarts, child.exit)
            for name, child in self.family.children.items()
        ]

    def count_children(self, _message: CountChildren, _reply: Any) -> ChildCount:
        """Return the numbers."""
        children = self.family.children.values()
        supervisors = sum(child.spec.supervises for child in children)
        active = sum(child.phase is Phase.UP for child in children)
        return ChildCount(len(children), active, supervisors, len(children) - supervisors)

    def unregister(self) -> None:
        """Leave nobody running: an incarnation that ends takes its children with it."""
        super().unregister()
        exit_ = Exit(ExitKind.KILLED, "its supervisor ended", at=self.cell.host.now())
        for child in reversed(tuple(self.home.places.values())):
            child.on_exit = unheard
            kill(child, exit_)  # also one that is about to be made


def unheard(_cell: Cell, _exit: Exit) -> None:
    """Hear of an end that concerns nobody any more."""


def kill(cell: Cell, exit_: Exit) -> None:
    """End whoever lives there."""
    if isinstance(cell, (ActorCell, SupervisorCell)):
        cell.kill(exit_)


def close(cell: Cell, status: str) -> None:
    """Serve nobody there any more."""
    if isinstance(cell, (ActorCell, SupervisorCell)):
        cell.close(status)
