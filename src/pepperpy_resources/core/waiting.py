"""Deadlines: what comes due when, with O(1) cancellation."""

from __future__ import annotations

import heapq
import math
from typing import Generic, TypeVar

K = TypeVar("K", bound=int | str)


class Deadlines(Generic[K]):
    """A heap of times with lazy removal.

    A dropped entry stays in the heap until it surfaces; the heap is rebuilt when more than half
    of it is dead, so it never outgrows what is really waiting (a busy queue drops a thousand
    30-second deadlines for every one that expires).
    """

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, K]] = []

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: float) -> None:
        """Let `key` come due at `at`, and at no other time; an infinite `at` never does."""
        if at == math.inf:
            self._at.pop(key, None)
            return
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        """Forget `key`, if it is there."""
        self._at.pop(key, None)

    def next(self) -> float:
        """Return when the next key comes due; infinity if none will."""
        heap = self._heap
        while heap and self._at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def pop_due(self, now: float) -> list[K]:
        """Remove and return every key whose time has come, earliest first."""
        due: list[K] = []
        while self.next() <= now:
            key = heapq.heappop(self._heap)[1]
            del self._at[key]
            due.append(key)
        return due
