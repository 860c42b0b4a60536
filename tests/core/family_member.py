"""One child, as the truth about its family sees it."""

from __future__ import annotations

import math
from typing import Any

from pepperpy_resources.core.kinship import ChildPolicy, Exit
from pepperpy_resources.core.policy import Backoff


class Member:
    """What has been seen of one child, and what is to become of it."""

    def __init__(self, spec: ChildPolicy, number: int, *, by_hand: bool = False) -> None:
        self.spec = spec
        self.number = number
        self.by_hand = by_hand
        self.state = "down"  # or starting, or up
        self.told = False  # to go, or it is being killed
        self.verdict: Exit | None = None
        self.ever_up = False
        self.wish = True  # it ought to be up in the end
        self.doomed = False  # it has to go down before
        self.excused = False  # somebody wants it down, or it was done
        self.due = math.inf  # its start or stop
        self.pause = math.inf  # the end of it
        self.revival = math.inf
        self.parked = False
        self.asked = False  # its start was ordered
        self.given_up = False  # since it was up
        self.askers: list[Any] = []
        self.waiters: list[Any] = []
        self.failures = 0
        self.up_since = math.inf
        self.stamps: list[float] = []

    def pauses(self, plan: Backoff | None, chance: float) -> float:
        """Count a failure; the first costs nothing, unless there is to be no second try."""
        if plan is None:
            return 0.0
        self.failures += 1
        step = self.failures - 1 - (plan.attempts != 1)
        if step < 0:
            return 0.0
        base = min(plan.max, plan.min * plan.factor**step)
        return base * (1 - plan.jitter + 2 * plan.jitter * chance)

    @property
    def alive(self) -> bool:
        return self.state != "down"
