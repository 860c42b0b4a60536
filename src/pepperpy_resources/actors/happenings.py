"""What a turn means to somebody who watches: from an event and its effects to `ResourceEvent`s.

Pure, and called only while somebody listens. Each effect has a row in `EFFECTS`, each hook's
outcome one in `OUTCOMES`; what is of no interest outside has the row None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pepperpy_resources.actors.ledger import Ledger
from pepperpy_resources.actors.resource_event import ResourceEvent, What
from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core import states


class Turn:
    """One turn of a type's supervisor: what happened, what follows, what was known before."""

    def __init__(
        self, name: str, message: Any, effects: list[do.Effect], ledger: Ledger, now: float
    ) -> None:
        self.name = name
        self.message: Any = message
        self.effects = effects
        self.ledger = ledger
        self.now = now

    def event(self, what: What, **fields: Any) -> ResourceEvent:
        """Return an event of this turn."""
        return ResourceEvent(at=self.now, resource_type=self.name, what=what, **fields)

    def on_slot(self, what: What, number: int, **fields: Any) -> ResourceEvent:
        """Return an event of one resource."""
        entry = self.ledger.entries.get(number)
        key = entry.key if entry is not None else None
        return self.event(what, slot=number, resource_id=key, **fields)

    def wait(self, ticket: int) -> do.Wait | None:
        """Return who waits under a ticket; for 0, who asks in this turn."""
        if not ticket:
            return do.Wait(0, self.message, self.now)
        waiting = self.ledger.waiting.get(ticket)
        if waiting is not None:
            return waiting[1]
        for effect in self.effects:  # queued in this very turn
            if isinstance(effect, do.Wait) and effect.ticket == ticket:
                return effect
        return None

    def follows(self, kinds: tuple[type[do.Effect], ...], slot: int) -> bool:
        """Tell whether an effect of one of these kinds on this slot follows."""
        return any(
            type(effect) in kinds and getattr(effect, "slot", 0) == slot for effect in self.effects
        )


def happenings(
    name: str, message: Any, effects: list[do.Effect], ledger: Ledger, now: float
) -> list[ResourceEvent]:
    """Return what happened in one turn, causes first.

    `ledger` is as it was before the effects were performed.
    """
    turn = Turn(name, message, effects, ledger, now)
    if type(message) is on.Drain:
        seen: list[ResourceEvent | None] = [turn.event(What.DRAINING)]
    else:
        seen = [outcome(turn)]
    # A report is the cause of what was noted before it.
    for effect in sorted(effects, key=lambda effect: type(effect) is not do.Report):
        row = EFFECTS.get(type(effect))
        if row is not None:
            seen.append(row(turn, effect))
    return [event for event in seen if event is not None]


# -- outcomes of hooks: the kind, and the effects of which one follows unless it came too late

OUTCOMES: dict[type[on.Event], tuple[What, tuple[type[do.Effect], ...]]] = {
    on.Opened: (What.OPENED, (do.Idle, do.Close)),
    on.OpenFailed: (What.OPEN_FAILED, (do.Gone,)),
    on.CheckPassed: (What.CHECKED, (do.Idle,)),
    on.CheckFailed: (What.CHECK_FAILED, (do.Close,)),
    on.ResetDone: (What.RESET, (do.Idle, do.Close)),
    on.Closed: (What.CLOSED, (do.Gone,)),
}


def outcome(turn: Turn) -> ResourceEvent | None:
    """Return what a hook's outcome means; None if the message is none, or came too late."""
    message = turn.message
    row = OUTCOMES.get(message.__class__)
    if row is None or not turn.follows(row[1], message.slot):
        return None
    what, error, seconds = row[0], getattr(message, "error", None), None
    if what is What.RESET and error is not None:
        what = What.RESET_FAILED
    entry = turn.ledger.entries.get(message.slot)
    if what in (What.OPENED, What.OPEN_FAILED) and entry is not None:
        seconds = turn.now - entry.born
    return turn.on_slot(what, message.slot, error=error, seconds=seconds)


# -- effects


def acquired(turn: Turn, lease: do.Lease) -> ResourceEvent:
    """Somebody got a lease."""
    wait = turn.wait(lease.ticket)
    return turn.event(
        What.ACQUIRED,
        resource_id=lease.resource_id,
        slot=lease.slot,
        epoch=lease.epoch,
        ticket=lease.ticket or None,
        seconds=None if wait is None else turn.now - wait.since,
        owner=lease.owner,
    )


def ended(turn: Turn, effect: do.Ended) -> ResourceEvent:
    """A lease is over."""
    lease, message = effect.lease, turn.message
    discarded = isinstance(message, on.Discard)
    return turn.event(
        What.REVOKED if effect.late else What.RELEASED,
        resource_id=lease.resource_id,
        slot=lease.slot,
        epoch=lease.epoch,
        seconds=turn.now - lease.since,
        reason="discarded" if discarded else None,
        error=message.error if discarded else None,
        owner=lease.owner,
    )


def waiting(turn: Turn, wait: do.Wait) -> ResourceEvent | None:
    """An acquire is queued; whoever waits for something else is of no interest."""
    return about_lease(turn, What.WAITING, wait.ticket)


def denied(turn: Turn, deny: do.Deny) -> ResourceEvent | None:
    """An acquire or a release was refused."""
    error = deny.error if isinstance(deny.error, BaseException) else None
    return about_lease(turn, What.DENIED, deny.ticket, reason=str(deny.why), error=error)


def cancelled(turn: Turn, drop: do.Drop) -> ResourceEvent | None:
    """An asker took its acquire back."""
    return about_lease(turn, What.CANCELLED, drop.ticket)


def about_lease(turn: Turn, what: What, ticket: int, **fields: Any) -> ResourceEvent | None:
    """Return an event of who asked under this ticket, if it was about a lease."""
    wait = turn.wait(ticket)
    if wait is None or not isinstance(wait.event, (on.Acquire, on.Release, on.Discard)):
        return None
    asked = wait.event
    return turn.event(
        what,
        resource_id=asked.resource_id,
        ticket=ticket or None,
        seconds=None if what is What.WAITING else turn.now - wait.since,
        owner=getattr(asked, "owner", None),
        **fields,
    )


def opening(turn: Turn, effect: do.Open) -> ResourceEvent:
    """A factory is called; the ledger does not know the slot yet."""
    return turn.event(What.OPENING, slot=effect.slot, resource_id=effect.key)


def checking(turn: Turn, effect: do.Check) -> ResourceEvent:
    """A check begins."""
    return turn.on_slot(What.CHECKING, effect.slot)


def resetting(turn: Turn, effect: do.Reset) -> ResourceEvent:
    """A reset begins."""
    return turn.on_slot(What.RESETTING, effect.slot)


def closing(turn: Turn, effect: do.Close) -> ResourceEvent:
    """A close begins."""
    return turn.on_slot(What.CLOSING, effect.slot, reason=str(effect.why))


def invalidated(turn: Turn, effect: do.Doom) -> ResourceEvent:
    """A resource in use is not to be reused."""
    return turn.on_slot(What.INVALIDATED, effect.slot)


def abandoned(turn: Turn, effect: do.Abandon) -> ResourceEvent:
    """A hook is not waited for any more."""
    stopping = isinstance(turn.message, (on.Drain, on.Shut))
    return turn.on_slot(What.ABANDONED, effect.slot, reason="shutdown" if stopping else "overdue")


def overdue(turn: Turn, effect: do.Overdue) -> ResourceEvent:
    """A lease is held for too long."""
    return about_holder(turn, What.OVERDUE, effect.lease)


def leaked(turn: Turn, effect: do.Leaked) -> ResourceEvent:
    """The owner of a lease has ended."""
    return about_holder(turn, What.LEAKED, effect.lease)


def about_holder(turn: Turn, what: What, lease: do.Lease) -> ResourceEvent:
    """Return an event of a live lease."""
    return turn.event(
        what,
        resource_id=lease.resource_id,
        slot=lease.slot,
        epoch=lease.epoch,
        seconds=turn.now - lease.since,
        owner=lease.owner,
    )


def suspended(turn: Turn, effect: do.Suspended) -> ResourceEvent:
    """Serving stopped, or goes on."""
    return turn.event(What.SUSPENDED if effect.suspended else What.RESUMED)


def resized(turn: Turn, effect: do.Resized) -> ResourceEvent:
    """The limits are other ones."""
    return turn.event(What.RESIZED, reason=f"max_size={min(effect.max_size, effect.permits):g}")


FAILED_BY_TIME = {states.CHECKING: What.CHECK_FAILED, states.RESETTING: What.RESET_FAILED}


def reported(turn: Turn, effect: do.Report) -> ResourceEvent | None:
    """A check or reset was out of time; a creation or close that is, is abandoned."""
    what = FAILED_BY_TIME.get(effect.error) if effect.what == "hook overdue" else None
    return None if what is None else turn.on_slot(what, effect.slot, reason="overdue")


EFFECTS: dict[type[do.Effect], Callable[[Turn, Any], ResourceEvent | None] | None] = {
    do.Lease: acquired,
    do.Ended: ended,
    do.Wait: waiting,
    do.Deny: denied,
    do.Drop: cancelled,
    do.Open: opening,
    do.Check: checking,
    do.Reset: resetting,
    do.Close: closing,
    do.Abandon: abandoned,
    do.Doom: invalidated,
    do.Report: reported,
    do.Overdue: overdue,
    do.Leaked: leaked,
    do.Suspended: suspended,
    do.Resized: resized,
    # Book-keeping, and what `OUTCOMES` tells already.
    do.Answer: None,
    do.Demand: None,
    do.Wake: None,
    do.Forget: None,
    do.Idle: None,
    do.Gone: None,
}
