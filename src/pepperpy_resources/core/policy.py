"""What the core needs to know of a `ResourceSpec`: plain numbers and flags, no callables.

Durations are seconds. `spec.py` validates; nothing here does.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait after the n-th failed creation in a row.

    The first failure may be a blip: whoever waits gets the next creation at once. Pauses begin
    with the second: `min` seconds, then `min * factor`, `min * factor**2` and so on, at most
    `max`, each times `1 ± jitter`. From the first failure on, creations are tried one at a time.
    After `attempts` failures in a row waiting acquires are denied with the last failure
    as cause (`None`: they wait until their own deadline). `attempts=1` leaves no second try:
    then the pauses begin with the first failure.
    """

    min: float = 0.1
    factor: float = 2.0
    max: float = 10.0
    jitter: float = 0.2
    attempts: int | None = None

    def delay(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after `failures` >= 1 failures; `chance` is in [0, 1)."""
        pauses = failures if self.attempts == 1 else failures - 1
        if pauses < 1:
            return 0.0
        try:
            base = min(self.max, self.min * self.factor ** (pauses - 1))
        except OverflowError:  # after a year of failures
            base = self.max
        return base * (1 + self.jitter * (2 * chance - 1))


class Intensity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OTP's restart intensity: `restarts` within `period` seconds pass, one more gives up."""

    restarts: int = 3
    period: float = 5.0


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `limit` resources of all the types that name this budget, together."""

    name: str
    limit: int


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One resource type's numbers, as the core uses them."""

    name: str
    max_size: float = 10  # an int, or math.inf for a keyed type without a limit
    min_idle: int = 0
    max_opening: int = 4
    keyed: bool = False
    max_holders: int = 1
    order: Literal["lifo", "fifo"] = "lifo"
    acquire_timeout: float = 30.0
    max_waiting: float = math.inf
    max_queue_delay: float = math.inf  # a queue that stands longer is shed; inf: never
    priority: int = 0  # of acquires that name none
    ageing: float = 1.0  # seconds of waiting that count as one priority more
    create_timeout: float = 30.0
    check_timeout: float = 5.0
    reset_timeout: float = 5.0
    close_timeout: float = 5.0
    has_check: bool = False
    has_reset: bool = False
    has_close: bool = False  # False: there is nothing to close, stop() need not wait for leases
    check_on_acquire: bool = False
    check_on_return: bool = False
    fresh_for: float = 0.5
    keepalive: float = math.inf  # an idle slot that was not known good for so long is checked
    idle_timeout: float = 600.0
    max_lifetime: float = 1800.0
    lifetime_jitter: float = 0.25
    max_uses: float = math.inf  # leases of one slot before it is retired
    max_hold: float = math.inf  # a lease held longer is overdue
    on_overdue: Literal["report", "revoke"] = "report"
    backoff: Backoff = Backoff()
    budgeted: bool = False  # a budget allots how many slots it may have
