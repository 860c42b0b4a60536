"""Families inside families: performs what each wants done, and carries the word up and down.

Workers do nothing by themselves: a test says when one is up and how it ends.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import msgspec

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Family
from pepperpy_resources.core.kinship import ChildPolicy, Exit, ExitKind, FamilyPolicy
from pepperpy_resources.core.supervising import supervise

ROOT = "root"


class Plan(msgspec.Struct, frozen=True):
    """A supervisor and the children it begins with."""

    policy: FamilyPolicy
    children: tuple[ChildPolicy, ...] = ()


class Node:
    """One incarnation of a supervisor."""

    def __init__(self, name: str, number: int, plan: Plan, parent: Node | None) -> None:
        self.name, self.number, self.plan, self.parent = name, number, plan, parent
        self.family = Family(plan.policy)
        for child in plan.children:
            self.family.add(child)
        self.armed = math.inf


class Worker:
    """One incarnation of a child that supervises nobody."""

    def __init__(self, name: str, number: int, parent: Node) -> None:
        self.name, self.number, self.parent = name, number, parent
        self.up = False
        self.told = False  # to stop


class Tree:
    """A tree of supervisors; `plans` says which ids are supervisors, each id is there once."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        self.plans = plans
        self.now = 0.0
        self.nodes: dict[str, Node] = {}  # those alive
        self.workers: dict[str, Worker] = {}  # those alive
        self.launches: list[str] = []
        self.answers: list[tuple[Any, object]] = []
        self.lost: list[Any] = []  # tickets that reached nobody
        self.ended: Exit | None = None
        self._messages: deque[tuple[Node, on.FamilyEvent, Any]] = deque()
        self.launch(None, ROOT, 1)
        self.run()

    # -- what a test says

    def up(self, name: str) -> None:
        """Let a worker be up."""
        worker = self.workers[name]
        worker.up = True
        self.post(worker.parent, on.Started(name, worker.number))
        self.run()

    def ends(self, name: str, exit_: Exit) -> None:
        """Let a worker end."""
        worker = self.workers.pop(name)
        self.post(worker.parent, on.Exited(name, worker.number, exit_))
        self.run()

    def ask(self, supervisor: str, order: on.FamilyEvent, ticket: Any = None) -> None:
        """Give a supervisor an order."""
        self.post(self.nodes[supervisor], order, ticket)
        self.run()

    def wait(self, until: float) -> None:
        """Let time pass; every supervisor is woken when it asked to be."""
        while True:
            first = min(self.nodes.values(), key=lambda node: node.armed, default=None)
            if first is None or first.armed > until:
                break
            self.now = max(self.now, first.armed)
            first.armed = math.inf
            self.post(first, on.FamilyTick())
            self.run()
        self.now = max(self.now, until)

    # -- the wires

    def post(self, node: Node, event: on.FamilyEvent, ticket: Any = None) -> None:
        """Send a supervisor a message."""
        self._messages.append((node, event, ticket))

    def run(self) -> None:
        """Deliver every message; those to the dead are lost."""
        while self._messages:
            self.deliver_first()

    def deliver_first(self) -> None:
        """Deliver the oldest message."""
        node, event, ticket = self._messages.popleft()
        if self.nodes.get(node.name) is node:
            self.deliver(node, event, ticket)
        else:
            self.lost.append(ticket)

    def deliver(self, node: Node, event: on.FamilyEvent, ticket: Any) -> None:
        """Let a supervisor handle one message."""
        chance = self.chance()
        self.expect(node, event, chance, ticket)
        effects = supervise(node.family, event, self.now, chance=chance, ticket=ticket)
        self.observe(node, effects)
        for effect in effects:
            self.perform(node, effect)

    def chance(self) -> float:
        """Return the jitter of the next event."""
        return 0.5

    def expect(self, node: Node, event: on.FamilyEvent, chance: float, ticket: Any) -> None:
        """See what is about to happen."""

    def observe(self, node: Node, effects: list[on.Effect]) -> None:
        """See what has come of it."""

    def perform(self, node: Node, effect: on.Effect) -> None:
        """Do what a supervisor wants done."""
        match effect:
            case on.Launch(name, number):
                self.launches.append(name)
                self.launch(node, name, number)
            case on.Tell(name):
                self.tell(name)
            case on.Kill(name, number):
                self.kill(node, name, number)
            case on.AllUp():
                self.report(node, on.Started(node.name, node.number))
            case on.AllDown(exit_):
                del self.nodes[node.name]
                self.report(node, on.Exited(node.name, node.number, exit_))
            case on.WakeAt(at):
                node.armed = at
            case on.Respond(ticket, answer):
                self.answers.append((ticket, answer))
            case _:
                pass

    def tell(self, name: str) -> None:
        """Tell a child to stop, unless it has ended meanwhile."""
        if name in self.nodes:
            self.post(self.nodes[name], on.Stop())
        elif name in self.workers:
            self.workers[name].told = True

    def report(self, node: Node, event: on.Started | on.Exited) -> None:
        """Tell a supervisor's own supervisor, if it has one."""
        if node.parent is not None:
            self.post(node.parent, event)
        elif isinstance(event, on.Exited):
            self.ended = event.exit

    def launch(self, parent: Node | None, name: str, number: int) -> None:
        """Make the next incarnation of a child."""
        assert name not in self.nodes
        assert name not in self.workers
        if name in self.plans:
            self.nodes[name] = node = Node(name, number, self.plans[name], parent)
            self.post(node, on.Begin())
        else:
            assert parent is not None
            self.workers[name] = Worker(name, number, parent)

    def kill(self, parent: Node, name: str, number: int) -> None:
        """End a child with all below it, unless it has ended meanwhile."""
        if name in self.nodes or name in self.workers:
            self.remove(name)
            self.post(parent, on.Exited(name, number, Exit(ExitKind.KILLED, "killed")))

    def remove(self, name: str) -> None:
        """Take a child and all below it away."""
        self.workers.pop(name, None)
        node = self.nodes.pop(name, None)
        below = [x.name for x in self.alive() if node is not None and x.parent is node]
        for other in below:
            self.remove(other)

    def alive(self) -> list[Node | Worker]:
        """Return everyone."""
        return [*self.nodes.values(), *self.workers.values()]
