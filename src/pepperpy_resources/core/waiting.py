"""Deadlines: what comes due when, with O(1) cancellation."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=int | str)


class Deadlines(Generic[K]):
    """What comes due when, soonest first.

    Most deadlines are set in the order in which they come due (every acquire has the same
    timeout), so those are kept in a queue; only one that is earlier than a queued one goes on a
    heap, where a dropped entry stays until it surfaces or more than half of the heap is dead.
    """

    __slots__ = ("_at", "_heap", "_queue")

    def __init__(self) -> None:
        self._queue: OrderedDict[K, float] = OrderedDict()
        self._at: dict[K, float] = {}  # of what is on the heap
        self._heap: list[tuple[float, K]] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._at)

    def set(self, key: K, at: float) -> None:
        """Let `key` come due at `at`, and at no other time; an infinite `at` never does."""
        self.drop(key)
        if at == math.inf:
            return
        queue = self._queue
        if not queue or at >= queue[next(reversed(queue))]:
            queue[key] = at
            return
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        """Forget `key`, if it is there."""
        if self._queue.pop(key, None) is None:
            self._at.pop(key, None)

    def next(self) -> float:
        """Return when the next key comes due; infinity if none will."""
        heap = self._heap
        while heap and self._at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        soonest = heap[0][0] if heap else math.inf
        return min(soonest, self._queue[next(iter(self._queue))]) if self._queue else soonest

    def first(self) -> K:
        """Return the key that comes due next; of two at the same time, the lower.

        That is, if keys are set in rising order, as tickets are. There must be one.
        """
        self.next()  # clears dead entries off the top of the heap
        soonest = [(at, key) for key, at in islice(self._queue.items(), 1)]
        return min(soonest + self._heap[:1])[1]

    def pop_due(self, now: float) -> list[K]:
        """Remove and return every key whose time has come, earliest first."""
        due: list[tuple[float, K]] = []
        while self._queue and (first := next(iter(self._queue.items())))[1] <= now:
            del self._queue[first[0]]
            due.append((first[1], first[0]))
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                due.append((at, key))
        return [key for _, key in sorted(due, key=lambda entry: entry[0])]
