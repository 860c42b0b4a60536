"""The janitor: sends every resource type its sweeps, and looks whether the machine has slept."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.actors.host import say
from pepperpy_resources.clock import chance, elapsed_of
from pepperpy_resources.core.events import Suspect, Sweep
from pepperpy_resources.core.policy import Policy

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell

SHORTEST = 0.1  # seconds between two sweeps of one type, at least
JITTER = 0.1  # types that were started together must not be swept together for ever
LOOK = 60.0  # seconds between two looks at the clocks, at most
GAP = 1.0  # seconds the machine must have slept for its resources to be suspect


class Beat(msgspec.Struct, frozen=True):
    """A sweep may be due."""


class TypesChanged(msgspec.Struct, frozen=True):
    """Types were added or removed: plan anew."""


def sweep_interval(policy: Policy, cleanup_interval: float) -> float:
    """Return the seconds between two sweeps: a quarter of the shortest duration they watch."""
    watched = min(policy.idle_timeout, policy.max_lifetime, policy.keepalive) / 4
    return max(SHORTEST, min(cleanup_interval, watched))


class Janitor(LoopActor):
    """Plans sweeps on a heap; one timer, for the next one or the next look at the clocks."""

    handlers: ClassVar[dict[type[Any], str]] = {Beat: "beat", TypesChanged: "plan"}

    def __init__(self, cell: Cell, root: Any, cleanup_interval: float) -> None:
        super().__init__(cell)
        self._root = root
        self._cleanup_interval = cleanup_interval
        self._due: list[tuple[float, str]] = []
        self._elapsed = elapsed_of(cell.host.loop)
        self._seen = cell.host.loop.time(), self._elapsed()

    def on_start(self) -> None:
        """Plan the first sweep of every type."""
        self.plan(None, None)

    def plan(self, _message: Any, _reply: Any) -> None:
        """Plan sweeps for the types there are: new ones in, removed ones out."""
        types = self._root.types
        planned = {name: at for at, name in self._due if name in types}
        self._due = [(planned.get(name) or self._next(name), name) for name in types]
        heapq.heapify(self._due)
        self._arm()

    def beat(self, _message: Any, _reply: Any) -> None:
        """Send what is due and plan it again."""
        now = self.cell.host.loop.time()
        self._look(now)  # first: what a sweep retires, it retires for its age on this clock
        while self._due and self._due[0][0] <= now:
            name = heapq.heappop(self._due)[1]
            if name in self._root.types:
                self._root.types[name].cell.inform(Sweep())
                heapq.heappush(self._due, (self._next(name), name))
        self._arm()

    def _look(self, now: float) -> None:
        """Make every idle resource suspect if the machine slept: the loop's clock stood still."""
        before, self._seen = self._seen, (now, self._elapsed())
        gap = (self._seen[1] - before[1]) - (now - before[0])
        if gap > GAP:
            text = "the machine slept for %.1f s: idle resources are checked before they are used"
            say(self.cell.host.loop, text + " again, where their type has a check hook", gap)
            for state in self._root.types.values():
                state.cell.inform(Suspect())

    def _next(self, name: str) -> float:
        interval = sweep_interval(self._root.types[name].policy, self._cleanup_interval)
        return self.cell.host.loop.time() + interval * (1 - JITTER * chance())

    def _arm(self) -> None:
        if self._due:
            at = min(self._due[0][0], self._seen[0] + LOOK)
            self.arm(at, self.cell.deliver, Beat())
        else:
            self.disarm()
