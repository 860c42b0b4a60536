"""Carries out what the machine wants done, and keeps the ledger of it."""

from __future__ import annotations

import functools
from asyncio import Future
from collections.abc import Callable
from typing import Any

import msgspec

from pepperpy_resources.actors.blame import blamed
from pepperpy_resources.actors.budget import Claim
from pepperpy_resources.actors.host import ASK, LATER, say
from pepperpy_resources.actors.ledger import Entry
from pepperpy_resources.actors.owners import report_leaked, report_overdue
from pepperpy_resources.actors.refusals import refusal
from pepperpy_resources.actors.reply import Failure, Promise
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Release


class Performer:
    """Performs effects for one incarnation of a supervisor."""

    def __init__(self, state: TypeState) -> None:
        self.state = state
        self.ledger = state.ledger
        self.hooks = state.hooks
        self.returned: list[int] = []  # slots whose lease ended in the turn that runs

    def perform(self, effects: list[do.Effect], message: on.Event, reply: Any) -> Any:
        """Carry the effects out in their order; return what the asker is told."""
        leases = self.ledger.leases
        answer: Any = None
        for effect in effects:
            if isinstance(effect, Lease):
                leases[effect.epoch] = effect
                if effect.ticket:
                    self.answer(effect.ticket, effect)
                else:
                    answer = effect
            elif isinstance(effect, do.Ended):
                del leases[effect.lease.epoch]
                self.returned.append(effect.lease.slot)
                if effect.late:
                    self.ledger.end_late(effect.lease)
            elif (done := PERFORM[type(effect)](self, effect, message, reply)) is not None:
                answer = done
        self.returned.clear()  # kept only by a crash half-way: see ResourceSupervisor.reconcile
        return answer

    def answer(self, ticket: int, answer: Any) -> None:
        """Answer who waits under this ticket; a lease nobody takes goes to the next (law 6)."""
        waiting = self.ledger.waiting.pop(ticket, None)
        if waiting is not None and waiting[0].resolve(answer):
            return
        if isinstance(answer, Lease):
            self.state.cell.deliver(Release(answer.resource_id, answer.epoch))

    def wait(self, effect: do.Wait, _message: Any, reply: Any) -> Any:
        """Keep the asker for a later event."""
        ledger, ticket = self.ledger, effect.ticket
        ledger.last_ticket = ticket
        state = self.state
        if not state.looks_soon and (ledger.leases or state.next_look is None):
            state.look_soon()
        if reply is ASK:
            promise = Promise(Future(loop=self.state.loop), ticket)
            ledger.waiting[ticket] = promise, effect
            return promise
        if reply is None:
            return None
        reply.ticket = ticket
        ledger.waiting[ticket] = reply, effect
        if reply.withdrawn:  # by another thread, before this turn
            self.state.cell.deliver(on.Cancel(ticket))
        return LATER

    def deny(self, effect: do.Deny, *_: Any) -> Any:
        """Refuse, with an error a person can act on."""
        waiting = self.ledger.waiting.get(effect.ticket)
        asked = None if waiting is None else waiting[1].event
        error = blamed(self.state, refusal(self.state.pool, effect, asked))
        if effect.why is do.Why.CLOSED and self.state.parked is not None:
            error = self.state.parked_error()
        if not effect.ticket:
            return Failure(error)
        self.answer(effect.ticket, Failure(error))
        return None

    def drop(self, effect: do.Drop, *_: Any) -> None:
        """Forget an asker that took its question back."""
        self.ledger.waiting.pop(effect.ticket, None)

    def say_done(self, effect: do.Answer, *_: Any) -> None:
        """Tell an asker that what it waited for has come true."""
        self.answer(effect.ticket, None)

    def open(self, effect: do.Open, *_: Any) -> None:
        """Run the factory."""
        entry = Entry(effect.slot, effect.key, effect.arguments, self.state.now(), hook="open")
        self.ledger.entries[effect.slot] = entry
        self.ledger.last_slot = effect.slot
        self.hooks.open(entry)

    def check(self, effect: do.Check, *_: Any) -> None:
        """Run the check hook."""
        entry = self.ledger.entries[effect.slot]
        entry.hook = "check"
        self.hooks.check(entry)

    def reset(self, effect: do.Reset, *_: Any) -> None:
        """Run the reset hook."""
        entry = self.ledger.entries[effect.slot]
        entry.hook = "reset"
        self.hooks.reset(entry)

    def close(self, effect: do.Close, *_: Any) -> None:
        """Cancel what runs on the slot and run the close hook."""
        entry = self.ledger.entries[effect.slot]
        entry.hook = "close" if entry.hook != "abandoned" else "abandoned"
        self.hooks.close(entry)

    def abandon(self, effect: do.Abandon, *_: Any) -> None:
        """Cancel what runs on the slot and stop waiting for it."""
        entry = self.ledger.entries[effect.slot]
        entry.hook = "abandoned"
        self.hooks.cancel(entry)

    def idle(self, effect: do.Idle, *_: Any) -> None:
        """Note that no hook runs on the slot."""
        self.ledger.entries[effect.slot].hook = None

    def gone(self, effect: do.Gone, *_: Any) -> None:
        """Strike the slot out."""
        del self.ledger.entries[effect.slot]

    def doom(self, effect: do.Doom, *_: Any) -> None:
        """Note that the slot is not to be reused."""
        self.ledger.entries[effect.slot].doomed = True

    def forget(self, effect: do.Forget, *_: Any) -> None:
        """Forget a lease that ended on our side."""
        self.ledger.ended.pop(effect.epoch, None)

    def overdue(self, effect: do.Overdue, *_: Any) -> None:
        """Say who holds a lease for too long."""
        age = self.state.pool.now - effect.lease.since
        report = functools.partial(report_overdue, revoked=effect.revoked)
        self.state.loop.call_soon(report, self.state, effect.lease, age)

    def leaked(self, effect: do.Leaked, *_: Any) -> None:
        """Say who ended without giving a lease back."""
        age = self.state.pool.now - effect.lease.since
        self.state.loop.call_soon(report_leaked, self.state, effect.lease, age)

    def suspended(self, effect: do.Suspended, *_: Any) -> None:
        """Note that the type is suspended, or no more."""
        self.ledger.suspended = effect.suspended

    def resized(self, effect: do.Resized, *_: Any) -> None:
        """Note the limits that hold from now on, for the next incarnation too."""
        state = self.state
        state.policy = msgspec.structs.replace(
            state.policy, max_size=effect.max_size, min_idle=effect.min_idle
        )
        if state.policy.budgeted:
            self.ledger.permits = effect.permits

    def demand(self, effect: do.Demand, *_: Any) -> None:
        """Tell the budget what this type has and wants."""
        if self.state.budget is not None:
            claim = Claim(self.state.policy.name, effect, self.ledger.inquiry)
            self.state.budget.inform(claim)

    def wake(self, effect: do.Wake, *_: Any) -> None:
        """Set the type's one timer."""
        if self.ledger.timer is not None:
            self.ledger.timer.cancel()
        self.ledger.timer = self.state.loop.call_at(effect.at, self.state.wake)

    def report(self, effect: do.Report, *_: Any) -> None:
        """Tell the log."""
        text, name = "%s slot %d: %s (%s)", self.state.policy.name
        say(self.state.loop, text, name, effect.slot, effect.what, effect.error)


PERFORM: dict[type[do.Effect], Callable[..., Any]] = {
    do.Wait: Performer.wait,
    do.Deny: Performer.deny,
    do.Answer: Performer.say_done,
    do.Drop: Performer.drop,
    do.Open: Performer.open,
    do.Check: Performer.check,
    do.Reset: Performer.reset,
    do.Close: Performer.close,
    do.Abandon: Performer.abandon,
    do.Idle: Performer.idle,
    do.Gone: Performer.gone,
    do.Doom: Performer.doom,
    do.Forget: Performer.forget,
    do.Wake: Performer.wake,
    do.Report: Performer.report,
    do.Overdue: Performer.overdue,
    do.Leaked: Performer.leaked,
    do.Suspended: Performer.suspended,
    do.Resized: Performer.resized,
    do.Demand: Performer.demand,
}
