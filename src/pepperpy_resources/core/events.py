"""What can happen to a pool: the messages its actor is told or asked.

There is no second vocabulary: what a user sends (`Acquire`, `Release`, …), what a hook reports
(`Opened`, `CheckFailed`, …) and what time brings (`Tick`, `Sweep`) are all events of the same
machine. Times are seconds of the loop's clock; `chance` is a random number in [0, 1), because the
core has no randomness of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

# Fields that hold objects of the user's.
OPAQUE = frozenset(
    ("acquire", "arguments", "error", "event", "ignoring", "leases", "owner", "resource", "site")
)


def shown(record: msgspec.Struct) -> str:
    """Return a repr with the user's own objects by type only: they may hold secrets."""
    fields: list[str] = []
    for name in record.__struct_fields__:
        value = getattr(record, name)
        opaque = name in OPAQUE and value is not None
        fields.append(f"{name}=<{type(value).__name__}>" if opaque else f"{name}={value!r}")
    return f"{type(record).__name__}({', '.join(fields)})"


class Event(msgspec.Struct, frozen=True):
    """Root of everything a pool understands."""

    def __repr__(self) -> str:
        return shown(self)


# -- what borrowers say


class Acquire(Event, frozen=True):
    """Lease a resource; answered with a `Lease`, perhaps later.

    `timeout` is in seconds (`None`: the spec's; 0: do not wait). `arguments` go to a keyed type's
    factory. `owner` and `site` (where the acquire was called) are only ever shown. `priority`
    (`None`: the spec's) counts as so many times the spec's `ageing` waited already.
    """

    resource_id: str
    timeout: float | None = None
    owner: Any = None
    arguments: dict[str, Any] | None = None
    site: Any = None
    priority: int | None = None


class Cancel(Event, frozen=True):
    """Take back a queued acquire, by the ticket it waits under."""

    ticket: int


class Release(Event, frozen=True, gc=False):
    """Give a lease back; with `epoch`, exactly that lease."""

    resource_id: str
    epoch: int | None = None


class Discard(Event, frozen=True):
    """Give a lease back and have its resource closed, not reused.

    `lost` says that the other side is gone: the whole generation is invalid then.
    """

    resource_id: str
    epoch: int | None = None
    lost: bool = False
    error: BaseException | None = None


# -- what hooks report


class Opened(Event, frozen=True):
    """The factory made the resource of this slot."""

    slot: int
    resource: Any = None  # opaque: the core only passes it on
    chance: float = 0.5


class OpenFailed(Event, frozen=True):
    """The factory failed; `fatal` when trying again cannot help."""

    slot: int
    error: BaseException | None = None
    chance: float = 0.5
    fatal: bool = False


class CheckPassed(Event, frozen=True):
    """The resource is good."""

    slot: int


class CheckFailed(Event, frozen=True):
    """The resource is bad; `lost` when the other side is gone."""

    slot: int
    error: BaseException | None = None
    lost: bool = False


class ResetDone(Event, frozen=True):
    """The reset hook ended; with an `error` the resource is closed."""

    slot: int
    error: BaseException | None = None
    lost: bool = False


class Closed(Event, frozen=True):
    """The close hook ended, well or with an `error`; the slot is gone either way."""

    slot: int
    error: BaseException | None = None


Outcome = Opened | OpenFailed | CheckPassed | CheckFailed | ResetDone | Closed


# -- what time, the janitor and the operator say


class Tick(Event, frozen=True):
    """A `Wake` came due."""


class Sweep(Event, frozen=True):
    """Retire what is due: the janitor's message."""


class Suspect(Event, frozen=True):
    """The machine slept: no idle slot may be handed out before it has been checked."""


class Evict(Event, frozen=True):
    """Take matching resources out now; answered when the idle ones are closed.

    `pattern` is an `fnmatch` pattern over resource ids, `None` for all; an idle pooled slot
    matches as `type:`. With `force` leases end too.
    """

    pattern: str | None = None
    force: bool = False


class Suspend(Event, frozen=True):
    """Lease and open nothing until `Resume`; acquires wait, leases go on."""


class Resume(Event, frozen=True):
    """Serve again."""


class Resize(Event, frozen=True):
    """Change the limits of a running type; `None` leaves one as it is.

    A smaller `max_size` closes idle slots at once and leased ones as they come back.
    """

    max_size: float | None = None
    min_idle: int | None = None


class Reclaim(Event, frozen=True):
    """End these leases, by epoch: their owners have ended without a release."""

    epochs: tuple[int, ...]


class Allot(Event, frozen=True):
    """The budget's word on how many slots this type may have."""

    permits: float


class Inquire(Event, frozen=True):
    """The budget has lost its books: say what is held and wanted, in answer to this `number`."""

    number: int = 0


class Ready(Event, frozen=True):
    """Answered when `min_idle` has been reached for the first time."""


class Drain(Event, frozen=True):
    """Serve nobody new; answered when every lease but those of `ignoring` came back."""

    ignoring: Any = None


class Shut(Event, frozen=True):
    """Drain, end every lease, close everything; answered when all is closed."""


class SavedSlot(Event, frozen=True):
    """What the performer's ledger knows of one slot, for `Restore`.

    `hook` names the hook that runs on it, `doomed` says that it must not be reused.
    """

    number: int
    hook: str | None
    doomed: bool
    key: str | None
    arguments: dict[str, Any] | None
    born: float
    resource: Any
    leases: tuple[Any, ...]


class Restore(Event, frozen=True):
    """Build a new machine from what the performer knows: the first event of every incarnation."""

    slots: tuple[SavedSlot, ...] = ()
    tickets: tuple[Any, ...] = ()  # the `Wait` of each queued acquire, oldest first
    ended: tuple[tuple[int, str, float], ...] = ()
    last_slot: int = 0
    last_ticket: int = 0
    chance: float = 0.5
    suspended: bool = False
    permits: float | None = None  # of a budget, as last allotted
