"""The supervising actor of one resource type: gives events to its machine, performs the effects."""

from __future__ import annotations

from typing import Any

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.actors.happenings import happenings
from pepperpy_resources.actors.host import LATER, Cell
from pepperpy_resources.actors.owners import Look
from pepperpy_resources.actors.performer import Performer
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.clock import chance
from pepperpy_resources.core import events as on
from pepperpy_resources.core.effects import Effect, Lease
from pepperpy_resources.core.events import Acquire, Release
from pepperpy_resources.core.machine import handle
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from pepperpy_resources.core.pool import WATCHED, Pool
from pepperpy_resources.core.snapshot import snapshot
from pepperpy_resources.errors import SupervisorCrashed


class Describe(msgspec.Struct, frozen=True):
    """Ask a resource type for a `PoolSnapshot`."""


NOTED = frozenset((on.Drain, on.Shut, on.Sweep, on.Inquire))


class ResourceSupervisor(LoopActor):
    """Serialises everything that happens to one resource type."""

    def __init__(self, cell: Cell, state: TypeState) -> None:
        super().__init__(cell)
        self.state = state
        self.ledger = state.ledger
        self.leases = state.ledger.leases
        self.pool = state.pool = Pool(state.policy, state.counters)
        state.watchers.set_mode(self.pool.name, state)
        self.performer = Performer(state)
        self._now = state.now

    def on_start(self) -> None:
        """Build the machine from the ledger; shut it at once if the type is parked."""
        ledger = self.ledger
        self.turn(ledger.restore(self._now(), chance()), None)
        if self.state.parked is not None:
            self.turn(on.Shut(), None)
        elif ledger.draining:
            self.turn(on.Drain(), None)
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
                leases = self.leases
                del leases[lease.epoch]
                if granted is not None:
                    leases[granted.epoch] = granted
                    self.performer.answer(granted.ticket, granted)
                return None
        elif kind is Acquire:
            outcome: Any = acquire_nowait(self.pool, message, self._now())
            if outcome.__class__ is Lease:
                self.leases[outcome.epoch] = outcome
                return outcome
            if outcome is not None:
                return self.performer.wait(outcome, message, reply)
        elif kind in NOTED:
            self._note(message)
        effects = handle(self.pool, message, self._now())
        if effects is None or WATCHED in self.pool.modes:
            return self._other(message, effects, reply)
        return self.performer.perform(effects, message, reply)

    def _other(self, message: Any, effects: list[Effect] | None, reply: Any) -> Any:
        if effects is not None:
            return self._watched(message, effects, reply)
        if isinstance(message, Look):
            return self._look()
        if isinstance(message, Describe):
            return snapshot(self.pool, self._now())
        return super().turn(message, reply)

    def _note(self, message: on.Event) -> None:
        """Do what goes with an event but is not the machine's business."""
        kind = message.__class__
        if isinstance(message, on.Inquire):
            self.ledger.inquiry = message.number
            return
        if kind is not on.Sweep:
            self.ledger.draining = self.state.parked is None
        if kind is not on.Shut:
            self.cell.deliver(Look())  # a drain waits for nobody who will never release

    def _look(self) -> None:
        """Reclaim what ended owners left behind; see whether the others wait for each other."""
        ended = self.state.owners.ended()
        if ended:
            self.turn(on.Reclaim(ended), None)
        self.state.look_around()
        self.state.looked()

    def _watched(self, message: Any, effects: list[Effect], reply: Any) -> Any:
        """Perform the effects and tell of them; of a turn that crashes, only the crash is told."""
        pool = self.pool
        seen = happenings(pool.name, message, effects, self.ledger, pool.now)
        answer = self.performer.perform(effects, message, reply)
        self.state.watchers.tell(seen)
        return answer

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
            returned = self.performer.returned
            if returned:  # it was struck out, but what was to follow may not have begun
                for slot in returned:
                    ledger.entries[slot].doomed = True
            elif lease is not None:
                ledger.void(lease)
            return None
        if isinstance(message, on.Allot):
            ledger.permits = message.permits  # the budget waits for it to be acknowledged
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
        if entry is None or entry.run is not None:  # gone, or another hook already runs on it
            return
        if isinstance(message, (on.OpenFailed, on.Closed)):
            del self.ledger.entries[message.slot]
        else:
            entry.hook = None
            entry.doomed = True
