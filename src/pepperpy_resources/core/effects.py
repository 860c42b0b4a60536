"""What a pool wants done: the performer carries these out, in order, after the turn."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import msgspec

from pepperpy_resources.core.events import Acquire, shown


class Why(StrEnum):
    """Why an acquire or a release was denied."""

    TIMEOUT = "timeout"
    QUEUE_FULL = "queue_full"
    CLOSED = "closed"
    IN_USE = "in_use"
    NOT_LEASED = "not_leased"
    KEYWORDS = "keywords"
    BROKEN = "broken"
    OVERLOADED = "overloaded"
    SUSPENDED = "suspended"


class Reason(StrEnum):
    """Why a slot was closed; the label of `pepperpy_resources_closed_total`."""

    IDLE = "idle"
    LIFETIME = "lifetime"
    BROKEN = "broken"
    USES = "uses"
    CLEANUP = "cleanup"
    OVERDUE = "overdue"
    LEAKED = "leaked"
    RESIZED = "resized"
    SHUTDOWN = "shutdown"


class Effect(msgspec.Struct, frozen=True):
    """Root of everything a pool can want."""

    def __repr__(self) -> str:
        return shown(self)


class Lease(Effect, frozen=True):
    """The right to use `resource` until it is released; as an effect, a grant of it.

    It answers the waiting `ticket`, or the asker of this very event if that is 0. `epoch` is its
    number, never used twice: what a late message is told from a current one by.
    """

    epoch: int
    slot: int
    resource: Any
    since: float
    acquire: Acquire
    ticket: int = 0

    def __repr__(self) -> str:
        return f"Lease({self.resource_id!r}, epoch={self.epoch}, slot={self.slot})"

    @property
    def resource_id(self) -> str:
        """The id it was acquired by."""
        return self.acquire.resource_id

    @property
    def owner(self) -> Any:
        """Who holds it, as far as that was said."""
        return self.acquire.owner

    @property
    def site(self) -> Any:
        """Where it was acquired, as the spec's borrow_stack wants it."""
        return self.acquire.site


class Ended(Effect, frozen=True):
    """A lease is over. `late`: its holder does not know yet, and will still release it."""

    lease: Lease
    late: bool = False


class Overdue(Effect, frozen=True):
    """A lease was held longer than `max_hold`; `revoked`: and is ended now."""

    lease: Lease
    revoked: bool = False


class Leaked(Effect, frozen=True):
    """The owner of this lease has ended without a release; the lease is ended now."""

    lease: Lease


class Wait(Effect, frozen=True):
    """The asker of this event is answered by a later one, under this ticket.

    For an acquire it is the ticket itself: its deadline is absolute and never moves.
    """

    ticket: int
    event: Any  # the `Acquire` that waits, or whatever else was asked
    since: float
    deadline: float = math.inf


class Deny(Effect, frozen=True):
    """Refuse a ticket, or the asker (0); `error` is the last failure behind it, if there is one."""

    ticket: int
    why: Why
    resource_id: str
    error: Any = None


class Drop(Effect, frozen=True):
    """Nobody waits under this ticket any more."""

    ticket: int


class Answer(Effect, frozen=True):
    """What this ticket waited for has come true."""

    ticket: int


class Open(Effect, frozen=True):
    """Run the factory for this slot."""

    slot: int
    key: str | None
    arguments: dict[str, Any] | None


class Check(Effect, frozen=True):
    """Run the check hook on this slot."""

    slot: int


class Reset(Effect, frozen=True):
    """Run the reset hook on this slot."""

    slot: int


class Close(Effect, frozen=True):
    """Cancel whatever hook runs on this slot and run the close hook."""

    slot: int
    why: Reason


class Abandon(Effect, frozen=True):
    """Cancel the hook that runs on this slot; its outcome is still to be reported."""

    slot: int


class Wake(Effect, frozen=True):
    """Send a `Tick` at this time, at the latest."""

    at: float


class Report(Effect, frozen=True):
    """Tell the log: something an operator wants to know."""

    what: str
    slot: int = 0
    error: Any = None


class Doom(Effect, frozen=True):
    """Note in the ledger that this slot must not be reused after a crash."""

    slot: int


class Forget(Effect, frozen=True):
    """The late release of this ended lease was seen, or is no longer waited for."""

    epoch: int


class Idle(Effect, frozen=True):
    """Note in the ledger that no hook runs on this slot any more."""

    slot: int


class Gone(Effect, frozen=True):
    """Strike this slot out of the ledger."""

    slot: int


class Suspended(Effect, frozen=True):
    """Note in the ledger that the type was suspended, or resumed."""

    suspended: bool


class Resized(Effect, frozen=True):
    """Note in the ledger the limits that hold from now on."""

    max_size: float
    min_idle: int
    permits: float


class Demand(Effect, frozen=True):
    """Tell the budget what this type has and what it could use; times are as tickets have them."""

    permits: float  # as last allotted
    size: int  # slots that count
    idle: int
    idle_since: float  # of the longest idle one
    wanted: int  # slots that would be opened if there were permits
    since: float  # since when the oldest acquire waits; inf if none does
    lent: int = 0  # slots that borrowers have: nobody knows when they come back
