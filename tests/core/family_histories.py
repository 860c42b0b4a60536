"""Random histories of a tree of supervisors: small numbers decide what happens next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import ChildPolicy, Exit, ExitKind
from tests.core.families import KILLED
from tests.core.family_choices import choose_child, choose_plans
from tests.core.family_end import Ending
from tests.core.family_law import Law
from tests.core.histories import Choose, Over
from tests.core.trees import ROOT, Node, Worker

EXITS = [
    Exit(ExitKind.FAILURE, "boom"),
    Exit(ExitKind.FAILURE, "boom"),
    Exit(ExitKind.NORMAL),
    Exit(ExitKind.SHUTDOWN),
    KILLED,
]
# A float holds these exactly, and those of the policies, so that times can be compared.
TIMES = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 31.0)


class World(Ending):
    """A tree and the truth about it; every message is one event, and all is checked after it."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.laws: dict[Node, Law] = {}
        self.log: list[str] = []
        self.jitter = 0.5
        self.slow = 0  # messages that are left lying, at most
        self.early = False  # orders come before a supervisor has begun
        super().__init__(choose_plans(choose))

    # -- everything is checked

    def launch(self, parent: Node | None, name: str, number: int) -> None:
        super().launch(parent, name, number)
        node = self.nodes.get(name)
        if node is not None:
            self.laws[node] = Law(node.plan.policy, node.plan.children)
            if self.early:
                self.ask_before_the_beginning(node)

    def ask_before_the_beginning(self, node: Node) -> None:
        """Let some orders be handled before a supervisor begins, as it was just told to."""
        begin = self._messages.pop()
        for event in [
            on.StartChild(ChildPolicy(f"{node.name}.early")),
            *[on.TerminateChild(child.id) for child in node.plan.children[:1]],
            *[on.RestartChild(child.id) for child in node.plan.children[:2]],
            *[on.DeleteChild(child.id) for child in node.plan.children[1:2]],
        ]:
            self.post(node, event, self.ticket(node))
        self._messages.append(begin)

    def chance(self) -> float:
        return self.jitter

    def expect(self, node: Node, event: on.FamilyEvent, chance: float, ticket: Any) -> None:
        self.log.append(f"{self.now:g} {node.name}#{node.number}: {event} {ticket or ''}")
        self.laws[node].before(event, self.now, chance, ticket)

    def observe(self, node: Node, effects: list[on.Effect]) -> None:
        self.log += [f"    {effect}" for effect in effects]
        law = self.laws[node]
        law.observe(effects)
        law.check(node.family)
        if law.mode == "ended":
            self.ended_well.add(node)

    def run(self) -> None:
        """Deliver messages; sometimes a few are left lying until later."""
        while len(self._messages) > self.slow:
            self.deliver_first()

    # -- what can happen

    def pick(self, things: Sequence[Any]) -> Any:
        """Return one of these things."""
        return things[self.choose(len(things))]

    def some_worker(self, *, told: bool | None = None, up: bool | None = None) -> Worker | None:
        """Return one of the workers alive of whom this is true."""
        found = [
            worker
            for worker in self.workers.values()
            if told in (None, worker.told) and up in (None, worker.up)
        ]
        return self.pick(found) if found else None

    def comes_up(self) -> None:
        worker = self.some_worker(up=False)
        if worker is not None:
            self.up(worker.name)

    def all_come_up(self) -> None:
        """Let every start succeed, and what that leads to, for a while."""
        for _ in range(20):
            starting = [w for w in self.workers.values() if not w.up and not w.told]
            if starting:
                self.up(starting[0].name)

    def obeys(self) -> None:
        worker = self.some_worker(told=True)
        if worker is not None:
            self.ends(worker.name, self.pick(EXITS[2:4]))

    def all_obey(self) -> None:
        for _ in range(6):
            self.obeys()

    def fails(self) -> None:
        worker = self.some_worker()
        if worker is not None:
            self.ends(worker.name, self.pick(EXITS))

    def fails_again_and_again(self) -> None:
        """Spend a budget: one worker fails, is restarted at once, and fails again."""
        worker = self.some_worker(told=False)
        if worker is not None:
            for _ in range(4):
                if worker.name in self.workers:
                    self.up(worker.name)
                if worker.name in self.workers:
                    self.ends(worker.name, EXITS[0])

    def time_passes(self) -> None:
        self.wait(self.now + self.pick(TIMES))

    def a_call_is_late(self) -> None:
        self.now += self.pick(TIMES)

    def node(self) -> Node | None:
        """Return a supervisor that is alive."""
        nodes = list(self.nodes.values())
        return self.pick(nodes) if nodes else None

    def order(self) -> None:
        """Ask a supervisor for something about one of its children, or of nobody's."""
        node = self.node()
        if node is None:
            return
        kind = self.choose(7)
        event: on.FamilyEvent
        if kind < 3:
            order = (on.RestartChild, on.RestartChild, on.DeleteChild)[kind]
            down = [name for name, child in node.family.children.items() if child.phase == "down"]
            event = order(self.pick([*node.family.children, *down * 5, "nobody"]))
        elif kind < 5:
            event = on.TerminateChild(self.pick([*node.family.children, "nobody"]))
        else:
            event = on.StartChild(self.new_child(node))
        self.asks(node, event)

    def new_child(self, node: Node) -> ChildPolicy:
        """Return the spec of a child that is there, was there, or is new to this supervisor."""
        name = f"{node.name}.{self.pick(['0', 'x', 'y', 'z'])}"
        return choose_child(self.choose, name, supervises=name in self.plans)

    def asks(self, node: Node, event: on.FamilyEvent) -> None:
        """Ask with a ticket, mostly."""
        self.post(node, event, self.ticket(node) if self.choose(5) > 0 else None)
        self.run()

    def ticket(self, node: Node) -> int:
        """Return a new ticket, to be answered by this supervisor."""
        ticket = len(self.tickets) + 1
        self.tickets[ticket] = node
        return ticket

    def adopts(self) -> None:
        """Give a supervisor a worker that is there already, or ought to be."""
        node = self.node()
        if node is not None:
            name, number = f"{node.name}.{self.pick(['x', 'y', 'w'])}", self.choose(3)
            up = number > 0 and name not in self.workers and self.node_takes(node, name)
            parked = self.now + self.pick(TIMES) if self.choose(3) == 0 else None
            self.post(node, on.Adopt(choose_child(self.choose, name), number, up, parked))
            if up:
                self.workers[name] = Worker(name, number, node)
                self.workers[name].up = True
            self.slow = 0  # or it could be there, and its supervisor end before it knows of it
            self.run()

    def node_takes(self, node: Node, name: str) -> bool:
        """Tell whether a supervisor will adopt a child of that name when it is asked to."""
        goes_on = node.family.mode in ("new", "starting", "running")
        return goes_on and name not in node.family.children and not self._messages

    def stops(self) -> None:
        node = self.node()
        if node is not None and (node.name != ROOT or self.choose(3) == 0):
            self.asks(node, on.Stop(self.pick(EXITS).kind, "stop"))

    def a_supervisor_crashes(self) -> None:
        """It is gone with all below it, unasked."""
        node = self.node()
        if node is not None and node.parent is not None:
            self.remove(node.name)
            self.post(node.parent, on.Exited(node.name, node.number, EXITS[0]))
            self.run()

    def something_stale(self) -> None:
        """Something is heard that is over, or has not been yet, or is not for now."""
        node = self.node()
        if node is None:
            return
        names = [*node.family.children, "nobody"]
        name = self.pick(names)
        child = node.family.children.get(name)
        number = child.number + self.pick([-1, 99]) if child is not None else 1
        stale: list[on.FamilyEvent] = [
            on.Started(name, number),
            on.Exited(name, number, self.pick(EXITS)),
            on.Begin(),
            on.FamilyTick(),
        ]
        self.post(node, self.pick(stale))
        self.run()

    def nothing(self) -> None:
        """Do nothing: what a shrunk history is made of."""

    def step(self) -> None:
        """Let one thing happen; after the end of a tree, the growth of another."""
        self.early = self.choose(8) == 7
        if self.ended is not None:
            self.plans = choose_plans(self.choose)
            self.ended = None
            self.launch(None, ROOT, len(self.laws))
            self.run()
            if self.choose(4) > 0:
                self.all_come_up()
        self.jitter = self.choose(4) / 4
        self.slow = max(0, self.choose(8) - 4)
        self.pick(STEPS)(self)


STEPS: list[Callable[[World], None]] = [
    World.nothing,
    *[World.all_come_up] * 4,
    *[World.comes_up] * 3,
    *[World.obeys] * 3,
    *[World.all_obey] * 2,
    *[World.fails] * 5,
    *[World.fails_again_and_again] * 2,
    *[World.time_passes] * 4,
    *[World.order] * 6,
    World.a_call_is_late,
    World.adopts,
    World.stops,
    World.a_supervisor_crashes,
    World.something_stale,
]


def play(choose: Choose) -> World | None:
    """Play one history to its end; an assertion that fails carries what happened."""
    world: World | None = None
    try:
        with contextlib.suppress(Over):
            world = World(choose)
            while True:
                world.step()
        if world is not None:
            world.slow, world.early = 0, False
            world.end()
    except Exception as error:
        if world is not None:
            plans = [f"{name}: {plan}" for name, plan in world.plans.items()]
            error.add_note("\n".join([*plans, *world.log]))
        raise
    return world
