"""The root supervisor: starts the actors, restarts the ones that crash, parks the hopeless."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.actors.budget import BudgetActor, Leave
from pepperpy_resources.actors.host import Cell, Crashed, Host, say
from pepperpy_resources.actors.janitor import Janitor, TypesChanged
from pepperpy_resources.actors.metrics import MetricsActor
from pepperpy_resources.actors.owners import LOOK_EVERY, deadlocked, report_deadlock
from pepperpy_resources.actors.pool import ResourceSupervisor
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.actors.resource_event import What
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.actors.watchdog import Watchdog
from pepperpy_resources.actors.watchers import Watchers
from pepperpy_resources.core.policy import Budget, Intensity
from pepperpy_resources.core.restart import RestartLog
from pepperpy_resources.errors import ActorDead, ManagerStopped

if TYPE_CHECKING:
    from pepperpy_resources.spec import ResourceSpec

REVIVE_AFTER = 30.0  # seconds until a parked child is tried again
SYSTEM_INTENSITY = Intensity()
# A colon, because no resource type can be named so.
METRICS, JANITOR = ":metrics", ":janitor"


class ChildCrashed(msgspec.Struct, frozen=True):
    """An incarnation of this child has failed."""

    path: str
    error: BaseException


class StartChild(msgspec.Struct, frozen=True):
    """Start a child in its cell."""

    path: str


class Revive(msgspec.Struct, frozen=True):
    """Give a parked child a new life."""

    path: str


class Child:
    """One child of the root: where it lives, how it is made, how often it failed."""

    def __init__(self, cell: Cell, start: Callable[[], Any], intensity: Intensity) -> None:
        self.cell = cell
        self.start = start
        self.log = RestartLog(intensity)
        self.started_at = cell.host.loop.time()
        self.state: TypeState | None = None  # of a resource type
        self.revival: asyncio.TimerHandle | None = None


class Root:
    """What outlives the root's own incarnations: the children and the types' states."""

    def __init__(
        self,
        host: Host,
        context: Context,
        cleanup_interval: float,
        on_failed: Callable[[Crashed], None],
        watchers: Watchers,
    ) -> None:
        self.host = host
        self.context = context
        self.children: dict[str, Child] = {}
        self.types: dict[str, TypeState] = {}
        self.watchdog = Watchdog()
        self.watchers = watchers
        watchers.serve(host, self.types)
        self.cell = Cell(host, "root", on_failed)
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
        cell = Cell(self.host, path, self._child_crashed)
        child = Child(cell, lambda: launch(cell), intensity)
        self.children[path] = child
        self.cell.control_message(StartChild(path))
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
            state.budget.deliver(Leave(state.policy.name))

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
            janitor.cell.deliver(TypesChanged())

    def _child_crashed(self, crash: Crashed) -> None:
        path = crash.cell.path
        self.watchers.tell_of_type(path, What.CRASHED, crash.error, crash.message)
        if self.cell.actor is not None:
            self.cell.control_message(ChildCrashed(path, crash.error))
            return
        child = self.children.get(path)
        if child is not None and child.log.permits(self.host.loop.time()):
            child.start()
            self.watchers.tell_of_type(path, What.RESTARTED)
        elif child is not None:
            child.cell.end("failed", lambda _: Failure(child.cell.crash_error(crash.error)))
            if child.state is not None:
                self.watchers.tell_of_type(path, What.PARKED, crash.error)
                child.state.parked = crash.error
                child.state.give_up()
                self.leave_budget(child.state)

    def carry_on(self) -> None:
        """Restart who is down once the root has failed: the stop that follows needs them."""
        for child in self.children.values():
            if child.cell.actor is None and child.cell.epitaph is None:
                child.start()

    def end_child(self, child: Child) -> None:
        """Stop a child for good; late releases are no errors, everything else is refused."""
        path = child.cell.path
        if child.revival is not None:
            child.revival.cancel()
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
            self.end_child(child)
        for state in self.types.values():
            state.hooks.workers.stop()
        self.watchdog.end()
        self.cell.end("stopped", lambda _: Failure(ManagerStopped("the manager is stopped")))


class RootSupervisor(LoopActor):
    """one_for_one, with a restart budget for each child: one hopeless child fails alone."""

    handlers: ClassVar[dict[type[Any], str]] = {
        StartChild: "start_child",
        ChildCrashed: "child_crashed",
        Revive: "revive",
    }

    def __init__(self, cell: Cell, root: Root) -> None:
        super().__init__(cell)
        self.root = root

    def start_child(self, message: StartChild, _reply: Any) -> None:
        """Start a child's next incarnation."""
        child = self.root.children.get(message.path)
        if child is not None and child.cell.actor is None:
            child.started_at = self.cell.host.loop.time()
            child.start()

    def child_crashed(self, message: ChildCrashed, reply: Any) -> None:
        """Restart the child while its budget lasts, park it when it is spent."""
        child = self.root.children.get(message.path)
        if child is None or child.cell.actor is not None:
            return
        if child.state is not None and child.state.parked is not None:
            self.park(child, message.error)
        elif child.log.permits(self.cell.host.loop.time()):
            self.start_child(StartChild(message.path), reply)
            self.root.watchers.tell_of_type(message.path, What.RESTARTED)
        else:
            self.park(child, message.error)

    def park(self, child: Child, error: BaseException) -> None:
        """Give the child up: deny its tickets, close its resources, try again later."""
        path = child.cell.path
        text = "%s is parked: it crashed too often"
        say(self.cell.host.loop, text, path, level=logging.ERROR)
        state = child.state
        if state is not None and state.parked is None:
            self.root.watchers.tell_of_type(path, What.PARKED, error)
        if state is None:
            child.cell.end("failed", lambda _: Failure(child.cell.crash_error(error)))
        elif state.shuttable():
            state.parked = state.parked or error
            child.start()  # one more incarnation, which only shuts down
            child.cell.status = "failed"
        else:
            child.cell.end("failed", state.last_word)
            state.give_up()
            self.root.leave_budget(state)
        if child.revival is None:
            child.revival = self.cell.host.loop.call_later(
                REVIVE_AFTER, self.cell.deliver, Revive(path)
            )

    def revive(self, message: Revive, _reply: Any) -> None:
        """Start a parked child anew, with its whole budget."""
        child = self.root.children.get(message.path)
        if child is None or child.cell.status != "failed":
            return
        if child.revival is not None:
            child.revival.cancel()
            child.revival = None
        child.log.clear()
        if child.state is not None:
            child.state.parked = None
            child.state.shutdowns = 0
        self.root.watchers.tell_of_type(message.path, What.REVIVED)
        child.cell.leave()
        child.start()
