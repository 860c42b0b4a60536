"""The figures of one resource type: integers a turn only adds to.

The block is made once per type and lent to each incarnation of its supervisor, so that no figure
goes backwards when one crashes.
"""

from __future__ import annotations

from bisect import bisect_left

# Seconds: OpenTelemetry's advice for database operations, with two finer buckets because an
# acquire that finds an idle slot takes microseconds.
BUCKETS = (1e-5, 1e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


class Histogram:
    """Counts of observed seconds, one per bucket and one for what is above the last."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def copy(self, immediate: int = 0) -> tuple[tuple[int, ...], float]:
        """Return the counts per bucket (not cumulative) and the sum of all observations.

        `immediate` more observations of nothing are added: acquires that found an idle slot are
        counted once, as acquired, and not timed.
        """
        return (self.counts[0] + immediate, *self.counts[1:]), self.total


OUTCOMES = ("ok", "timeout", "cancelled", "refused", "error")
OPERATIONS = ("open", "check", "reset", "close", "use")
REASONS = (
    "idle",
    "lifetime",
    "uses",
    "broken",
    "cleanup",
    "overdue",
    "leaked",
    "resized",
    "shutdown",
)
TRIGGERS = ("janitor", "call")


class Counters:
    """Everything that is counted about one resource type."""

    __slots__ = (
        "acquired",
        "acquires",
        "cleanups",
        "closed",
        "errors",
        "leaked",
        "open_seconds",
        "opened",
        "overdue",
        "stale",
        "use_seconds",
        "wait_seconds",
    )

    def __init__(self) -> None:
        self.acquired = 0  # acquires that ended well: the epoch of the last lease, too
        self.acquires: dict[str, int] = dict.fromkeys(OUTCOMES[1:], 0)
        self.errors: dict[str, int] = dict.fromkeys(OPERATIONS, 0)
        self.opened = 0
        self.closed: dict[str, int] = dict.fromkeys(REASONS, 0)
        self.cleanups: dict[str, int] = dict.fromkeys(TRIGGERS, 0)
        self.stale = 0
        self.overdue = 0  # leases held longer than max_hold
        self.leaked = 0  # leases whose owner ended without a release
        self.wait_seconds = Histogram()
        self.use_seconds = Histogram()
        self.open_seconds = Histogram()
