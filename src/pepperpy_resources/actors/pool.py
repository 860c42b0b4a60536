"""The supervising actor of one resource type: owns its pool, performs its effects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.actors.hooks import Hooks
from pepperpy_resources.actors.host import ASK, LATER, Cell
from pepperpy_resources.actors.ledger import Entry, Ledger
from pepperpy_resources.actors.refusals import refusal
from pepperpy_resources.actors.reply import Failure, Promise, Reply
from pepperpy_resources.clock import chance, now_of
from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.borrowing import acquire_nowait, release_nowait
from pepperpy_resources.core.counters import Counters
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire, Release
from pepperpy_resources.core.machine import handle
from pepperpy_resources.core.policy import Policy
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.core.snapshot import PoolSnapshot, snapshot
from pepperpy_resources.errors import ManagerStopped, NotLeased, SupervisorCrashed, TypeParked

if TYPE_CHECKING:
    from pepperpy_resources.spec import ResourceSpec

log = logging.getLogger("pepperpy_resources")


class Describe(msgspec.Struct, frozen=True):
    """Ask a resource type for a `PoolSnapshot`."""


class TypeState:
    """What a resource type keeps over the crashes of its supervisor."""

    def __init__(
        self, spec: ResourceSpec[Any], loop: asyncio.AbstractEventLoop, context: Context
    ) -> None:
        self.spec = spec
        self.policy: Policy = spec.policy()
        self.counters = Counters()
        self.ledger = Ledger()
        self.loop = loop
        self.cell: Cell  # set by the root, which makes both
        self.hooks = Hooks(spec, loop, context, self.report)
        self.pool = Pool(self.policy, self.counters)  # the current incarnation's
        self.parked: BaseException | None = None  # why, while the type is parked
        self.shutdowns = 0  # incarnations that were to shut a parked type

    def report(self, outcome: on.Event) -> None:
        """Send a hook's outcome to the supervisor."""
        self.cell.deliver(outcome)

    def wake(self) -> None:
        """Send the Tick that a Wake asked for."""
        self.cell.deliver(on.Tick())

    def undo(self, reply: Reply[Any] | Promise, answer: Any) -> on.Event | None:
        """Return what takes a withdrawn acquire back: out of the queue, or its lease."""
        if isinstance(answer, Lease):
            return Release(answer.resource_id, answer.epoch)
        waiting = self.ledger.waiting.get(reply.ticket)
        if waiting is None or waiting[0] is not reply:
            return None
        del self.ledger.waiting[reply.ticket]
        return on.Cancel(reply.ticket) if isinstance(waiting[1].event, Acquire) else None

    def last_word(self, message: Any) -> Any:
        """Answer on behalf of a type that has been stopped; a late release is no error."""
        if isinstance(message, (on.Release, on.Discard)):
            ended = self.ledger.ended.values()
            if message.epoch is not None or any(name == message.resource_id for name, _ in ended):
                return None
            name = self.policy.name
            return Failure(NotLeased(f"{message.resource_id!r} is not leased: {name!r} is stopped"))
        if self.parked is not None:
            return Failure(self.parked_error())
        return Failure(ManagerStopped(f"{self.policy.name!r} is stopped"))

    def parked_error(self) -> TypeParked:
        """Return what acquires of a parked type are told."""
        intensity = self.spec.restart
        error = TypeParked(
            f"{self.policy.name!r} is parked: its supervisor crashed more than "
            f"{intensity.restarts} times in {intensity.period:g} s (see the cause); it is tried "
            "again every 30 s, or by manager.revive()"
        )
        error.__cause__ = self.parked
        return error

    def shuttable(self) -> bool:
        """Tell whether to try one more incarnation that only shuts down; two tries are enough."""
        self.shutdowns += 1
        return self.shutdowns <= MOST_SHUTDOWNS

    def give_up(self) -> None:
        """Deny every ticket and close every resource without a machine: none can be built."""
        ledger = self.ledger
        while ledger.waiting:
            ledger.waiting.popitem()[1][0].resolve(Failure(self.parked_error()))
        for lease in ledger.leases.values():
            ledger.end_late(lease)
        ledger.leases.clear()
        while ledger.entries:
            self.hooks.close(ledger.entries.popitem()[1])


MOST_SHUTDOWNS = 2


class ResourceSupervisor(LoopActor):
    """Serialises everything that happens to one resource type."""

    def __init__(self, cell: Cell, state: TypeState) -> None:
        super().__init__(cell)
        self.state = state
        self.ledger = state.ledger
        self.leases = state.ledger.leases
        self.hooks = state.hooks
        self.pool = state.pool = Pool(state.policy, state.counters)
        self._now = now_of(state.loop)
        self._returned: list[int] = []  # slots whose lease ended in the turn that runs

    def on_start(self) -> None:
        """Build the machine from the ledger; shut it at once if the type is parked."""
        ledger = self.ledger
        self.turn(ledger.restore(self._now(), chance()), None)
        if self.state.parked is not None:
            self.turn(on.Shut(), None)
        for number, (reply, ticket) in tuple(ledger.waiting.items()):
            if not isinstance(ticket.event, on.Acquire):
                # An eviction or a drain goes on where it was: asked again, of the new machine.
                del ledger.waiting[number]
                answer = self.turn(ticket.event, reply)
                if answer is not LATER:
                    reply.resolve(answer)

    def turn(self, message: Any, reply: Any) -> Any:
        """Let one event happen, perform what follows from it, return the answer."""
        kind = message.__class__
        if kind is Release:
            returned = release_nowait(self.pool, message, self._now())
            if returned is not None:
                lease, granted = returned
                del self.leases[lease.epoch]
                if granted is not None:
                    self.leases[granted.epoch] = granted
                    self._answer(granted.ticket, granted)
                return None
        elif kind is Acquire:
            outcome = acquire_nowait(self.pool, message, self._now())
            if outcome.__class__ is Lease:
                self.leases[outcome.epoch] = outcome
                return outcome
            if outcome is not None:
                return self._wait(outcome, message, reply)
        effects = handle(self.pool, message, self._now())
        if effects is None:
            return self._other(message, reply)
        return self._perform(effects, message, reply)

    def _perform(self, effects: list[do.Effect], message: on.Event, reply: Any) -> Any:
        """Carry the effects out in their order; return what the asker is told."""
        answer: Any = None
        self._returned.clear()
        for effect in effects:
            if isinstance(effect, Lease):
                self.leases[effect.epoch] = effect
                if effect.ticket:
                    self._answer(effect.ticket, effect)
                else:
                    answer = effect
            elif isinstance(effect, do.Ended):
                del self.leases[effect.lease.epoch]
                self._returned.append(effect.lease.slot)
                if effect.late:
                    self.ledger.end_late(effect.lease)
            elif (done := PERFORM[type(effect)](self, effect, message, reply)) is not None:
                answer = done
        return answer

    def _other(self, message: Any, reply: Any) -> Any:
        if isinstance(message, Describe):
            return snapshot(self.pool, self._now())
        return super().turn(message, reply)

    # -- effects

    def _answer(self, ticket: int, answer: Any) -> None:
        waiting = self.ledger.waiting.pop(ticket, None)
        if waiting is not None and waiting[0].resolve(answer):
            return
        if answer.__class__ is Lease:  # nobody took it: it goes to the next (law 6)
            self.cell.deliver(Release(answer.resource_id, answer.epoch))

    def _wait(self, effect: do.Wait, _message: Any, reply: Any) -> Any:
        ledger, ticket = self.ledger, effect.ticket
        ledger.last_ticket = ticket
        if reply is ASK:
            promise = Promise(self.state.loop.create_future(), ticket)
            ledger.waiting[ticket] = promise, effect
            return promise
        if reply is None:
            return None
        reply.ticket = ticket
        ledger.waiting[ticket] = reply, effect
        if reply.withdrawn:  # by another thread, before this turn
            self.cell.deliver(on.Cancel(ticket))
        return LATER

    def _deny(self, effect: do.Deny, *_: Any) -> Any:
        error = refusal(self.pool, effect)
        if effect.why is do.Why.CLOSED and self.state.parked is not None:
            error = self.state.parked_error()
        if not effect.ticket:
            return Failure(error)
        self._answer(effect.ticket, Failure(error))
        return None

    def _say_done(self, effect: do.Answer, *_: Any) -> None:
        self._answer(effect.ticket, None)

    def _open(self, effect: do.Open, *_: Any) -> None:
        entry = Entry(effect.slot, effect.key, effect.arguments, self._now(), hook="open")
        self.ledger.entries[effect.slot] = entry
        self.ledger.last_slot = effect.slot
        self.hooks.open(entry)

    def _check(self, effect: do.Check, *_: Any) -> None:
        entry = self.ledger.entries[effect.slot]
        entry.hook = "check"
        self.hooks.check(entry)

    def _reset(self, effect: do.Reset, *_: Any) -> None:
        entry = self.ledger.entries[effect.slot]
        entry.hook = "reset"
        self.hooks.reset(entry)

    def _close(self, effect: do.Close, *_: Any) -> None:
        entry = self.ledger.entries[effect.slot]
        entry.hook = "close" if entry.hook != "abandoned" else "abandoned"
        self.hooks.close(entry)

    def _abandon(self, effect: do.Abandon, *_: Any) -> None:
        entry = self.ledger.entries[effect.slot]
        entry.hook = "abandoned"
        self.hooks.cancel(entry)

    def _idle(self, effect: do.Idle, *_: Any) -> None:
        self.ledger.entries[effect.slot].hook = None

    def _gone(self, effect: do.Gone, *_: Any) -> None:
        del self.ledger.entries[effect.slot]

    def _doom(self, effect: do.Doom, *_: Any) -> None:
        self.ledger.entries[effect.slot].doomed = True

    def _forget(self, effect: do.Forget, *_: Any) -> None:
        self.ledger.ended.pop(effect.epoch, None)

    def _wake(self, effect: do.Wake, *_: Any) -> None:
        if self.ledger.timer is not None:
            self.ledger.timer.cancel()
        self.ledger.timer = self.state.loop.call_at(effect.at, self.state.wake)

    def _report(self, effect: do.Report, *_: Any) -> None:
        log.warning("%s slot %d: %s (%s)", self.pool.name, effect.slot, effect.what, effect.error)

    # -- crashes

    def reconcile(self, message: Any, _reply: Any, answer: Any) -> Any:
        """Mend the ledger after a crash in this message's turn (law 10)."""
        ledger = self.ledger
        if isinstance(message, on.Acquire):
            self._void_acquire(message)
            error = SupervisorCrashed(
                f"the supervisor of {self.pool.name!r} crashed while it handled this acquire; "
                "it is restarted, try again"
            )
            error.__cause__ = answer.error.__cause__
            return Failure(error)
        if isinstance(message, (on.Release, on.Discard)):
            lease = ledger.find(message.resource_id, message.epoch)
            if self._returned:  # it was struck out, but what was to follow may not have begun
                for slot in self._returned:
                    ledger.entries[slot].doomed = True
            elif lease is not None:
                ledger.void(lease)
            return None
        if isinstance(message, on.Outcome):
            self._doom_outcome(message)
        return answer

    def _void_acquire(self, message: on.Acquire) -> None:
        """Undo what was performed for an acquire whose asker is told of the crash."""
        for number, (_, ticket) in tuple(self.ledger.waiting.items()):
            if ticket.event is message:
                del self.ledger.waiting[number]
        for lease in tuple(self.ledger.leases.values()):
            if lease.acquire is message:
                self.ledger.void(lease)

    def _doom_outcome(self, message: on.Outcome) -> None:
        entry = self.ledger.entries.get(message.slot)
        if entry is None or entry.task is not None:  # gone, or another hook already runs on it
            return
        if isinstance(message, (on.OpenFailed, on.Closed)):
            del self.ledger.entries[message.slot]
        else:
            entry.hook = None
            entry.doomed = True


PERFORM: dict[type[do.Effect], Callable[..., Any]] = {
    do.Wait: ResourceSupervisor._wait,
    do.Deny: ResourceSupervisor._deny,
    do.Answer: ResourceSupervisor._say_done,
    do.Open: ResourceSupervisor._open,
    do.Check: ResourceSupervisor._check,
    do.Reset: ResourceSupervisor._reset,
    do.Close: ResourceSupervisor._close,
    do.Abandon: ResourceSupervisor._abandon,
    do.Idle: ResourceSupervisor._idle,
    do.Gone: ResourceSupervisor._gone,
    do.Doom: ResourceSupervisor._doom,
    do.Forget: ResourceSupervisor._forget,
    do.Wake: ResourceSupervisor._wake,
    do.Report: ResourceSupervisor._report,
}

__all__ = ["Describe", "Lease", "PoolSnapshot", "ResourceSupervisor", "TypeState"]
