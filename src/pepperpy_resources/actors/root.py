"""The root supervisor: starts the actors, restarts the ones that crash, parks the hopeless."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from pepperpy_resources.actors.budget import BudgetActor, Leave
from pepperpy_resources.actors.family_actor import FamilyActor, News
from pepperpy_resources.actors.host import Cell, Host, say
from pepperpy_resources.actors.janitor import Janitor, TypesChanged
from pepperpy_resources.actors.metrics import MetricsActor
from pepperpy_resources.actors.owners import LOOK_EVERY, deadlocked, report_deadlock
from pepperpy_resources.actors.pool import ResourceSupervisor
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.actors.resource_event import What
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.actors.watchdog import Watchdog
from pepperpy_resources.actors.watchers import Watchers
from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Child as FamilyChild
from pepperpy_resources.core.family import Family, Phase
from pepperpy_resources.core.kinship import (
    BudgetScope,
    ChildPolicy,
    Exit,
    ExitKind,
    FamilyPolicy,
)
from pepperpy_resources.core.policy import Budget, Intensity
from pepperpy_resources.core.restart import RestartLog
from pepperpy_resources.errors import ActorDead, ManagerStopped

if TYPE_CHECKING:
    from pepperpy_resources.spec import ResourceSpec

REVIVE_AFTER = 30.0  # seconds until a parked child is tried again
SYSTEM_INTENSITY = Intensity()
POLICY = FamilyPolicy(budget_scope=BudgetScope.CHILD, revive_after=REVIVE_AFTER)
# A colon, because no resource type can be named so.
METRICS, JANITOR = ":metrics", ":janitor"
# Our own actors' turns are synchronous: their starts and ends take no time.
UNTIMED: dict[str, Any] = {"start_timeout": math.inf, "shutdown": math.inf}


class AddChild(msgspec.Struct, frozen=True):
    """Start a child in its cell."""

    path: str


class ForgetChild(msgspec.Struct, frozen=True):
    """This child, and no other that has its path by now, has been ended for good."""

    child: Child


class Revive(msgspec.Struct, frozen=True):
    """Give a parked child a new life."""

    path: str


class Child:
    """One child of the root: where it lives, how it is made, how often it failed."""

    def __init__(self, cell: Cell, start: Callable[[], Any], intensity: Intensity) -> None:
        self.cell = cell
        self.start = start
        self.log = RestartLog(intensity)
        self.state: TypeState | None = None  # of a resource type
        self.parked: Exit | None = None  # why, while it is parked
        self.revive_at = math.inf
        self.ended = False  # for good

    def is_down(self) -> bool:
        """Tell whether it has no incarnation, and was neither ended nor given up."""
        return self.cell.actor is None and self.cell.epitaph is None

    def revivable(self) -> bool:
        """Tell whether it may be started; a parked type that is to end is left alone."""
        return self.parked is None or self.state is None or not self.state.ending


class Root:
    """What outlives the root's own incarnations: the children and the types' states."""

    def __init__(
        self,
        host: Host,
        context: Context,
        cleanup_interval: float,
        on_failed: Callable[[Exit], None],
        watchers: Watchers,
    ) -> None:
        self.host = host
        self.context = context
        self.children: dict[str, Child] = {}
        self.types: dict[str, TypeState] = {}
        self.watchdog = Watchdog()
        self.watchers = watchers
        watchers.serve(host, self.types)
        self._on_failed = on_failed
        self._log = RestartLog(SYSTEM_INTENSITY)  # of the root itself
        self.cell = Cell(host, "root", self._crashed)
        RootSupervisor.launch(self.cell, self)
        self._add(METRICS, lambda cell: MetricsActor.launch(cell, self))
        self._cleanup_interval = cleanup_interval
        self._deadlock: set[str] = set()  # the types it was last said of
        self._look_at = -math.inf  # when to look for deadlocks again

    def start_janitor(self) -> None:
        """Start the janitor, after the types there are at the start."""
        self._add(JANITOR, lambda cell: Janitor.launch(cell, self, self._cleanup_interval))

    def _add(
        self, path: str, launch: Callable[[Cell], Any], intensity: Intensity = SYSTEM_INTENSITY
    ) -> Child:
        cell = Cell(self.host, path, lambda _cell, _exit: None)
        child = Child(cell, lambda: launch(cell), intensity)
        self.children[path] = child
        self.cell.control_message(AddChild(path))
        return child

    def add_type(self, spec: ResourceSpec[Any]) -> TypeState:
        """Start the supervisor of one resource type; those it depends on run already."""
        depends_on = {name: self.types[name] for name in spec.depends_on}
        state = TypeState(spec, self.host.loop, self.context, depends_on, self.watchdog)
        state.look_around = self.look_around
        if spec.budget is not None:
            state.budget = self._budget(spec.budget)
        state.watchers = self.watchers
        child = self._add(
            spec.name, lambda cell: ResourceSupervisor.launch(cell, state), spec.restart
        )
        state.cell = child.cell
        child.cell.undo = state.undo
        child.cell.forsaken = state.forsaken
        child.state = state
        self.types[spec.name] = state
        self.types_changed()
        return state

    def _budget(self, budget: Budget) -> Cell:
        """Return where the actor of this budget lives; it is started before its first type."""
        path = f":budget:{budget.name}"
        child = self.children.get(path)
        if child is None:
            child = self._add(
                path, lambda cell: BudgetActor.launch(cell, self, budget.name, budget.limit)
            )
        return child.cell

    def look_around(self) -> None:
        """Say so, once, when types have come to wait for each other for ever.

        Each type asks for this about once a second while anybody waits for it; one look at all of
        them serves all.
        """
        now = self.host.loop.time()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        types = list(self.types.values())
        found = deadlocked(types)
        if found - self._deadlock:
            self.host.loop.call_soon(report_deadlock, found, types)
        self._deadlock = found

    def remove_type(self, name: str) -> None:
        """End a type's supervisor; its resources are closed before."""
        state = self.types.pop(name)
        child = self.children.pop(name, None)
        if child is not None:
            self.end_child(child)
        state.hooks.workers.stop()
        self.leave_budget(state)
        self.end_unused_budget(state)
        self.types_changed()

    def end_unused_budget(self, state: TypeState) -> None:
        """End the budget of a type that was the last to name it: the next may have other limits."""
        users = {other.budget for other in self.types.values()}
        if state.budget is not None and state.budget not in users:
            self.end_child(self.children.pop(state.budget.path))

    def leave_budget(self, state: TypeState) -> None:
        """Free what a type that has ended held of its budget."""
        if state.budget is not None:
            state.ledger.permits = 0.0  # should it be revived
            state.budget.inform(Leave(state.policy.name))

    def find(self, name: str) -> Cell | None:
        """Return where the actor of a type lives, or "janitor", "metrics" or "root"."""
        if name in self.types:
            return self.types[name].cell
        child = self.children.get(f":{name}")
        if child is not None:
            return child.cell
        return self.cell if name == "root" else None

    def types_changed(self) -> None:
        """Let the janitor plan anew."""
        janitor = self.children.get(JANITOR)
        if janitor is not None:
            janitor.cell.inform(TypesChanged())

    def _crashed(self, _cell: Cell, exit_: Exit) -> None:
        """Give the root a new incarnation, which takes the children over; or give up."""
        if self._log.permits(self.host.now()):
            RootSupervisor.launch(self.cell, self)
        else:
            self.cell.status = "failed"
            self._on_failed(exit_)

    def child_exited(self, family: Family, number: int, cell: Cell, exit_: Exit) -> None:
        """Pass a crash on to the root; decide here once there is no root any more."""
        path = cell.path
        self.watchers.tell_of_type(path, What.CRASHED, exit_.error, exit_.message)
        if self.cell.status != "failed":
            self.cell.control_message(News(family, on.Exited(path, number, exit_)))
            return
        child = self.children.get(path)
        if child is not None and child.log.permits(self.host.now()):
            child.start()
            self.watchers.tell_of_type(path, What.RESTARTED)
        elif child is not None:
            self.give_up(child, exit_)

    def park(self, child: Child, exit_: Exit) -> None:
        """Serve nobody at this child: deny its tickets, close its resources.

        That is done by one more incarnation, which only shuts down; should it crash, by another.
        """
        state, cell = child.state, child.cell
        if state is None or not state.shuttable():
            self.give_up(child, exit_)
            return
        if state.parked is None:
            state.parked = error_of(exit_)
            self.watchers.tell_of_type(cell.path, What.PARKED, state.parked)
        cell.on_exit = functools.partial(self._parked_exited, child)
        child.start()
        cell.status = "failed"

    def _parked_exited(self, child: Child, cell: Cell, exit_: Exit) -> None:
        """Hear that even shutting down did not work."""
        self.watchers.tell_of_type(cell.path, What.CRASHED, exit_.error, exit_.message)
        self.park(child, exit_)

    def give_up(self, child: Child, exit_: Exit) -> None:
        """Serve nobody at this child any more: it cannot even be shut in order."""
        state, cell, error = child.state, child.cell, error_of(exit_)
        if state is None:
            cell.end("failed", lambda _: Failure(cell.crash_error(error)))
            return
        if state.parked is None:
            state.parked = error
            self.watchers.tell_of_type(cell.path, What.PARKED, error)
        cell.end("failed", state.last_word)
        state.give_up()
        self.leave_budget(state)

    def carry_on(self) -> None:
        """Restart who is down once the root has failed: the stop that follows needs them."""
        for child in self.children.values():
            if not child.is_down():
                continue
            if child.parked is None:
                child.start()
            else:
                self.park(child, child.parked)

    def end_child(self, child: Child) -> None:
        """Stop a child for good; late releases are no errors, everything else is refused."""
        self._end_child(child)
        self.cell.control_message(ForgetChild(child))

    def _end_child(self, child: Child) -> None:
        child.ended = True
        path = child.cell.path
        if child.state is not None:
            child.state.disarm()

        def epitaph(message: Any) -> Any:
            if child.state is not None:
                return child.state.last_word(message)
            return Failure(ActorDead(f"{path} was stopped"))

        child.cell.end("stopped", epitaph)
        if child.state is not None:
            child.state.forsaken(Failure(ManagerStopped(f"{path!r} is stopped")))

    def end(self) -> None:
        """Stop all children in reverse order of their start, then the root."""
        for child in reversed(self.children.values()):
            self._end_child(child)
        for state in self.types.values():
            state.hooks.workers.stop()
        self.watchdog.end()
        self.cell.end("stopped", lambda _: Failure(ManagerStopped("the manager is stopped")))


class RootSupervisor(FamilyActor):
    """one_for_one, with a restart budget for each child: one hopeless child fails alone.

    What it has to know when it crashes itself stands in `Root` and its `Child`ren.
    """

    handlers: ClassVar[dict[type[Any], str]] = {
        News: "news",
        AddChild: "add_child",
        ForgetChild: "forget_child",
        Revive: "revive",
    }

    def __init__(self, cell: Cell, root: Root) -> None:
        super().__init__(cell, Family(POLICY))
        self.root = root

    def on_start(self) -> None:
        """Take over the children there are; those that crashed meanwhile are restarted."""
        self.happen(on.Begin())
        for child in tuple(self.root.children.values()):
            if not child.ended:
                self._adopt(child)

    def add_child(self, message: AddChild, _reply: Any) -> None:
        """Start a child's first incarnation."""
        child = self.root.children.get(message.path)
        if child is not None and message.path not in self.family.children:
            self._adopt(child)

    def _adopt(self, child: Child) -> None:
        path, number = child.cell.path, child.cell.incarnation
        up = child.parked is None and number > 0
        until = None if child.parked is None else child.revive_at
        self.happen(on.Adopt(ChildPolicy(path, **UNTIMED), number, up, until))
        self.family.children[path].log = child.log
        if not up:
            if child.parked is not None and child.is_down():  # it was about to be shut
                self.root.park(child, child.parked)
            return
        self.attend(child.cell, path, number)
        exit_ = child.cell.last_exit
        if child.is_down() and exit_ is not None:  # nobody has heard of it
            self.happen(on.Exited(path, number, exit_))

    def attend(self, child: Cell, name: str, number: int) -> None:
        """Hear of the end of an incarnation by way of `Root`, which outlives this one."""
        super().attend(child, name, number)
        child.on_exit = functools.partial(self.root.child_exited, self.family, number)

    def launch_child(self, effect: on.Launch) -> None:
        """Start an incarnation of a child; a parked type gets a new life."""
        path = effect.id
        child = self.root.children.get(path)
        if child is None or child.ended or not child.revivable():
            return
        state = child.state
        self.attend(child.cell, path, effect.number)
        if child.parked is not None:
            child.cell.leave(Exit(ExitKind.SHUTDOWN, "revived", at=self.cell.host.now()))
        child.start()
        if child.parked is not None:
            child.parked = None  # only now: a crash before this leaves it parked
            if state is not None:
                state.revive()
            self.root.watchers.tell_of_type(path, What.REVIVED)
        elif child.cell.incarnation > 1:
            self.root.watchers.tell_of_type(path, What.RESTARTED)

    def park(self, effect: on.Park) -> None:
        """Give the child up, for the time being."""
        child = self.root.children.get(effect.id)
        if child is None or child.ended:
            return
        text = "%s is parked: it crashed too often"
        say(self.cell.host.loop, text, effect.id, level=logging.ERROR)
        child.parked = effect.exit
        child.revive_at = self.cell.host.now() + REVIVE_AFTER
        self.root.park(child, effect.exit)

    def forget_child(self, message: ForgetChild, _reply: Any) -> None:
        """Strike out a child that has been ended."""
        path = message.child.cell.path
        child = self.family.children.get(path)
        if child is not None and child.log is message.child.log:
            self.happen(on.TerminateChild(path))
            exit_ = Exit(ExitKind.SHUTDOWN, at=self.cell.host.now())
            self.happen(on.Exited(path, child.number, exit_))
            self.happen(on.DeleteChild(path))

    def revive(self, message: Revive, _reply: Any) -> None:
        """Start a parked child anew, with its whole budget."""
        child = self.family.children.get(message.path)
        if child is not None and child.phase is Phase.PARKED:
            self.happen(on.RestartChild(message.path))

    def tell_to_stop(self, effect: on.Tell) -> None:
        """Do nothing: who is forgotten has been ended already."""

    def kill_child(self, effect: on.Kill) -> None:
        """Do nothing: a synchronous turn cannot be killed."""

    def settled(self, name: str, child: FamilyChild | None) -> None:
        """Do nothing: who ends a child answers for it."""

    def all_down(self, effect: on.AllDown) -> None:
        """Do nothing: the root ends with its manager."""


def error_of(exit_: Exit) -> BaseException:
    """Return the cause of an end as an error."""
    return exit_.error or ActorDead(exit_.reason)
