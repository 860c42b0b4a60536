"""What listeners are told: `ResourceEvent`, and the kinds of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from pepperpy_resources.core.events import OPAQUE, shown


class What(StrEnum):
    """What happened; a str, so that `event.what == "acquired"` reads well."""

    # to a lease, or to who asks for one
    WAITING = "waiting"  # queued
    ACQUIRED = "acquired"  # `seconds` waited
    DENIED = "denied"  # for a `reason`, with the failure behind it; `seconds` waited
    CANCELLED = "cancelled"  # taken back by its asker while queued; `seconds` waited
    RELEASED = "released"  # by its holder; `seconds` held; `reason` "discarded" if not reused
    REVOKED = "revoked"  # ended by us while its holder still believes in it; `seconds` held
    OVERDUE = "overdue"  # held for longer than `max_hold`
    LEAKED = "leaked"  # its owner has ended without a release; "revoked" follows
    # to a resource
    OPENING = "opening"  # its factory is called
    OPENED = "opened"  # `seconds` after that
    OPEN_FAILED = "open_failed"  # the same
    CHECKING = "checking"
    CHECKED = "checked"
    CHECK_FAILED = "check_failed"  # `reason` "overdue" if the hook was out of time
    RESETTING = "resetting"
    RESET = "reset"
    RESET_FAILED = "reset_failed"  # the same
    INVALIDATED = "invalidated"  # never to be handed out again: closed when it comes back
    CLOSING = "closing"  # for a `reason`: a `closed_total` label of the metrics
    CLOSED = "closed"  # gone; with the `error` of the close hook, if it failed
    ABANDONED = "abandoned"  # its hook is "overdue", or cancelled by a "shutdown": not waited for
    # to a resource type
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    RESIZED = "resized"  # by an operator, or by its budget
    DRAINING = "draining"  # nobody is served any more
    CRASHED = "crashed"  # its supervisor; `reason`: the type of the fatal message
    RESTARTED = "restarted"
    PARKED = "parked"  # it crashed too often: refused until it is revived
    REVIVED = "revived"


class ResourceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a resource, a lease or a resource type.

    `at` is in seconds of the loop's clock, `seconds` a duration. What does not apply, or is not
    known, is None. `ticket` is the same for a wait and what ends it, `epoch` for a lease and its
    end, `slot` for all that is done to one resource. `resource_id` is a lease's, or a keyed
    resource's. There is no resource in it; `owner` and `error` are the objects themselves, of
    which the repr shows the types only.
    """

    at: float
    resource_type: str
    what: What
    resource_id: str | None = None
    slot: int | None = None
    epoch: int | None = None
    ticket: int | None = None
    seconds: float | None = None
    reason: str | None = None
    error: BaseException | None = None
    owner: Any = None

    def __repr__(self) -> str:
        return shown(self)

    def __str__(self) -> str:
        """Return one line without what does not apply."""
        parts = [f"{self.at:.6f}", self.resource_type, str(self.what)]
        for name in self.__struct_fields__[3:]:
            value = getattr(self, name)
            if value is not None:
                plain = f"{value:.6f}" if isinstance(value, float) else str(value)
                parts.append(f"{name}={type(value).__name__ if name in OPAQUE else plain}")
        return " ".join(parts)
