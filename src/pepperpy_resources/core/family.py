"""A supervisor's children and how they stand: the transition table, the state, the moves.

    Down ──launch──▶ Starting ──up──▶ Up ──tell──▶ Stopping ──ended──▶ Down
     ▲ ▲                │ │            │
     │ ╰────ended───────╯ ╰──tell─▶ …  ╰──ended──▶ Down ──pause──▶ Waiting ──due──▶ Down
     ╰─────revived──── Parked ◀──park── Down

What is to come of a child stands beside its phase: `leaving` (it has to go down) and `coming` (it
has to come up, after it went down). Orders and failures only set these two; `settle` is the one
rule that turns them into starts and stops, those in reverse order and these in order.
"""

from __future__ import annotations

import heapq
import math
from enum import StrEnum
from typing import Any

from pepperpy_resources.core.family_events import (
    AllDown,
    AllUp,
    Drop,
    Effect,
    Kill,
    Launch,
    Tell,
)
from pepperpy_resources.core.kinship import (
    BudgetScope,
    ChildPolicy,
    Exit,
    FamilyPolicy,
    Restart,
    Strategy,
)
from pepperpy_resources.core.restart import RestartLog
from pepperpy_resources.core.waiting import Deadlines


class Phase(StrEnum):
    """What a child is doing."""

    # Enum's own hash is Python code, and every move of a child looks two phases up.
    __hash__ = str.__hash__

    DOWN = "down"  # never started, ended for good, or about to be started
    WAITING = "waiting"  # for its backoff
    STARTING = "starting"  # launched, not acknowledged
    UP = "up"
    STOPPING = "stopping"  # told to end
    PARKED = "parked"  # given up, for the time being


class Mode(StrEnum):
    """What the family as a whole is doing."""

    NEW = "new"
    STARTING = "starting"  # the first start
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


# move -> from -> to. A move that a row does not name is a bug of ours and raises `KeyError`.
TRANSITIONS: dict[str, dict[Phase, Phase]] = {
    "adopt": {Phase.DOWN: Phase.UP},
    "launch": {Phase.DOWN: Phase.STARTING},
    "up": {Phase.STARTING: Phase.UP},
    "tell": {Phase.STARTING: Phase.STOPPING, Phase.UP: Phase.STOPPING},
    "ended": {Phase.STARTING: Phase.DOWN, Phase.UP: Phase.DOWN, Phase.STOPPING: Phase.DOWN},
    "pause": {Phase.DOWN: Phase.WAITING},
    "due": {Phase.WAITING: Phase.DOWN},
    "park": {Phase.DOWN: Phase.PARKED},
    "revived": {Phase.PARKED: Phase.DOWN},
}

ALIVE = frozenset((Phase.STARTING, Phase.UP, Phase.STOPPING))


class Child:
    """One child: its spec, how it stands, and what is to come of it."""

    __slots__ = (
        "added",
        "asked",
        "born",
        "coming",
        "due",
        "enders",
        "exit",
        "failures",
        "given_up",
        "leaving",
        "log",
        "number",
        "order",
        "phase",
        "restarts",
        "spec",
        "starters",
        "up_since",
        "verdict",
    )

    def __init__(self, spec: ChildPolicy, order: int, number: int, log: RestartLog | None) -> None:
        self.spec = spec
        self.order = order  # rises with each child that is added
        self.log = log  # its own failures, where the budget is per child
        self.phase = Phase.DOWN
        self.number = number  # of the current incarnation, or of the last; never comes back
        self.restarts = 0
        self.failures = 0  # in a row, without a healthy stretch between them
        self.up_since = math.nan  # while it is up
        self.due = math.inf  # when its backoff, start, stop or revival has taken long enough
        self.born = False  # it has been up
        self.coming = False
        self.leaving = False
        self.added = False  # by hand: if its first start fails, it is dropped
        self.asked = False  # its start was ordered: if it fails, that is no failure of the child
        self.given_up = False  # it was parked, and has not been up since
        self.exit: Exit | None = None  # the last
        self.verdict: Exit | None = None  # why it is being killed, if that is no order
        self.starters: list[Any] = []  # tickets to answer once it is up
        self.enders: list[Any] = []  # tickets to answer once it is down


class Family:
    """All children of one supervisor, in the order of their start."""

    def __init__(self, policy: FamilyPolicy) -> None:
        self.policy = policy
        self.mode = Mode.NEW
        self.children: dict[str, Child] = {}  # in start order
        self.now = 0.0
        self.chance = 0.0
        self.effects: list[Effect] = []
        self.exit: Exit | None = None  # why it stops
        self.stoppers: list[Any] = []  # tickets to answer when all are down
        self.alive = 0  # children with an incarnation
        self.restarts = 0
        self.stale = 0  # events that came too late and changed nothing
        self.deadlines: Deadlines[str] = Deadlines()
        self.wake = math.inf  # the last `WakeAt`
        shared = policy.intensity if policy.budget_scope is BudgetScope.SUPERVISOR else None
        self.log = None if shared is None else RestartLog(shared)  # their failures together
        self.dynamic = policy.strategy is Strategy.SIMPLE_ONE_FOR_ONE
        self.grouped = policy.strategy in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)
        self._orders: dict[int, Child] = {}
        self._number = 0  # the highest of a child that was dropped: an id may come back
        self._coming: list[int] = []  # heap of orders; an entry that holds no more is skipped
        self._leaving: list[int] = []  # the same, negated: last first

    # -- children

    def add(self, spec: ChildPolicy) -> Child:
        """Put a child at the end of the order, to be started at its turn."""
        own = self.policy.intensity if self.policy.budget_scope is BudgetScope.CHILD else None
        order = next(reversed(self._orders), 0) + 1
        child = Child(spec, order, self._number, None if own is None else RestartLog(own))
        self.children[spec.id] = self._orders[order] = child
        self.call(child)
        return child

    def drop(self, child: Child) -> None:
        """Forget a child that is down."""
        del self.children[child.spec.id]
        del self._orders[child.order]
        self._number = max(self._number, child.number)
        self.deadlines.drop(child.spec.id)
        self.effects.append(Drop(child.spec.id, child.exit))

    def group(self, child: Child) -> list[Child]:
        """Return the others that go down and come up with this child."""
        every = self.children.values()
        if self.policy.strategy is Strategy.ONE_FOR_ALL:
            return [other for other in every if other is not child]
        if self.policy.strategy is Strategy.REST_FOR_ONE:
            return [other for other in every if other.order > child.order]
        return []

    def tickets(self) -> list[Any]:
        """Return every ticket that is not answered yet."""
        lists = [self.stoppers]
        for child in self.children.values():
            lists += [child.starters, child.enders]
        return [ticket for tickets in lists for ticket in tickets]

    # -- moves

    def move(self, child: Child, move: str) -> None:
        """Make a move of the table; count who is alive."""
        before, child.phase = child.phase, TRANSITIONS[move][child.phase]
        self.alive += (child.phase in ALIVE) - (before in ALIVE)
        child.due = math.inf
        self.deadlines.drop(child.spec.id)

    def allow(self, child: Child, seconds: float) -> None:
        """Give what a child is doing so much time."""
        self.due_at(child, self.now + seconds)

    def due_at(self, child: Child, at: float) -> None:
        """Let what a child is doing have taken long enough at this time."""
        child.due = at
        self.deadlines.set(child.spec.id, at)

    def call(self, child: Child) -> None:
        """Let a child come up: as soon as it is down, and at its turn."""
        child.coming = True
        heapq.heappush(self._coming, child.order)

    def send_away(self, child: Child) -> None:
        """Let a child go down: at its turn, if it is alive."""
        if child.phase in ALIVE:
            child.leaving = True
            heapq.heappush(self._leaving, -child.order)
        elif child.phase is Phase.WAITING:
            self.move(child, "due")
        elif child.phase is Phase.PARKED:
            self.move(child, "revived")

    def send_all_away(self, exit_: Exit) -> None:
        """End the family, for this reason."""
        self.mode = Mode.STOPPING
        self.exit = exit_
        for child in self.children.values():
            child.coming = False
            self.send_away(child)

    # -- the rule

    def settle(self) -> None:
        """Stop who has to go, last first; then start who has to come, first first."""
        if self.mode is Mode.NEW:
            return
        self._descend()
        if not self._leaving:
            self._ascend()
        if self.mode is Mode.STARTING and not self._coming:
            self.mode = Mode.RUNNING
            self.effects.append(AllUp())
        if self.mode is Mode.STOPPING and not self.alive and self.exit is not None:
            self.mode = Mode.ENDED
            self.effects.append(AllDown(self.exit))

    def _descend(self) -> None:
        # Each by itself where the order says nothing: children of one spec, and single orders.
        one_by_one = not self.dynamic and (self.grouped or self.mode is not Mode.RUNNING)
        while self._leaving:
            child = self._orders.get(-self._leaving[0])
            if child is not None and child.leaving:
                if child.phase is not Phase.STOPPING:
                    self._tell(child)
                if one_by_one:
                    return
            heapq.heappop(self._leaving)

    def _tell(self, child: Child) -> None:
        self.move(child, "tell")
        name, number, shutdown = child.spec.id, child.number, child.spec.shutdown
        if child.verdict is not None:  # its start took too long: it is being killed
            return
        if shutdown <= 0:
            self.effects.append(Kill(name, number))
            return
        self.allow(child, shutdown)
        self.effects.append(Tell(name, number))

    def _ascend(self) -> None:
        one_by_one = self.grouped or self.mode is Mode.STARTING
        while self._coming:
            child = self._orders.get(self._coming[0])
            if child is not None and child.coming:
                if child.phase is Phase.DOWN:
                    self._launch(child)
                if one_by_one:
                    return
            heapq.heappop(self._coming)

    def _launch(self, child: Child) -> None:
        self.move(child, "launch")
        child.number += 1
        child.verdict = None
        self.allow(child, child.spec.start_timeout)
        self.effects.append(Launch(child.spec.id, child.number))


def is_kept(family: Family, child: Child) -> bool:
    """Tell whether the spec of a child that is down for good stays."""
    return child.spec.restart is not Restart.TEMPORARY and not family.dynamic
