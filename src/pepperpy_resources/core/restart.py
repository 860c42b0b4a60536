"""Restart intensity, decided on stamps: how often a child may fail before it is given up."""

from __future__ import annotations

from collections import deque

from pepperpy_resources.core.policy import Intensity


class RestartLog:
    """A sliding log of one child's failures (OTP's `MaxR` within `MaxT`, inclusive edge)."""

    __slots__ = ("_failures", "intensity", "total")

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self.total = 0
        self._failures: deque[float] = deque()

    def left(self, now: float) -> int:
        """Return how many more failures would be answered by a restart."""
        recent = sum(1 for stamp in self._failures if now - stamp <= self.intensity.period)
        return max(0, self.intensity.restarts - recent)

    def permits(self, now: float) -> bool:
        """Record a failure; tell whether it is answered by a restart (False: give up)."""
        while self._failures and now - self._failures[0] > self.intensity.period:
            self._failures.popleft()
        permitted = len(self._failures) < self.intensity.restarts
        self._failures.append(now)
        if permitted:
            self.total += 1
        return permitted

    def clear(self) -> None:
        """Forget the failures, for a child that is given a new life."""
        self._failures.clear()
