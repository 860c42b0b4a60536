"""What a resource type keeps over the crashes of its supervisor."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any

from pepperpy_resources.actors.hooks import Hooks
from pepperpy_resources.actors.host import Cell
from pepperpy_resources.actors.ledger import Ledger
from pepperpy_resources.actors.owners import LOOK_EVERY, LOOK_SELDOMER, Look, OwnerWatch
from pepperpy_resources.actors.reply import Failure, Promise, Reply
from pepperpy_resources.actors.watchdog import Watchdog
from pepperpy_resources.actors.watchers import Watchers
from pepperpy_resources.clock import now_of
from pepperpy_resources.core import events as on
from pepperpy_resources.core.counters import Counters
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Release
from pepperpy_resources.core.policy import Policy
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.errors import ManagerStopped, NotLeased, TypeParked

if TYPE_CHECKING:
    from pepperpy_resources.spec import ResourceSpec

MOST_SHUTDOWNS = 2  # incarnations of a parked type that may fail to shut it in order


class TypeState:
    """The spec, the counters, the ledger and the hooks: all that a new incarnation starts from."""

    def __init__(
        self,
        spec: ResourceSpec[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        depends_on: Mapping[str, TypeState],
        watchdog: Watchdog,
    ) -> None:
        self.spec = spec
        self.depends_on = depends_on
        # With what those depend on themselves, each after its own.
        self.below: dict[str, TypeState] = {}
        for name, state in depends_on.items():
            self.below |= {**state.below, name: state}
        self.policy: Policy = spec.policy()
        self.counters = Counters()
        self.ledger = Ledger()
        self.owners = OwnerWatch(self.ledger)
        self.look_around: Callable[[], None] = lambda: None  # set by the root: sees all types
        self.budget: Cell | None = None  # set by the root
        self.looked_at = -math.inf  # when owners were looked for last
        self.looks_soon = False  # they will be within a second
        self.next_look: asyncio.TimerHandle | None = None
        self.loop = loop
        self.now = now_of(loop)
        self.cell: Cell  # set by the root, which makes both
        self.watchers: Watchers  # the same
        self.hooks = Hooks(spec, loop, context, self.report, watchdog)
        self.pool = Pool(self.policy, self.counters)  # the current incarnation's
        self.parked: BaseException | None = None  # why, while the type is parked
        self.shutdowns = 0  # incarnations that were to shut a parked type
        self.ending = False  # it is being stopped or removed: if it is parked, it stays so

    def report(self, outcome: on.Outcome) -> None:
        """Send a hook's outcome to the supervisor; close what is born after the type has ended."""
        if self.cell.epitaph is None:
            self.cell.deliver(outcome)
            return
        entry = self.ledger.entries.pop(outcome.slot, None)
        if entry is not None and entry.closer is not None:
            self.hooks.close(entry)

    def wake(self) -> None:
        """Send the Tick that a Wake asked for."""
        self.cell.deliver(on.Tick())

    def look_soon(self) -> None:
        """Look for ended owners now, or once a second has passed since the last look."""
        self.looks_soon = True
        self._plan_look(max(self.loop.time(), self.looked_at + LOOK_EVERY))

    def looked(self) -> None:
        """Plan the next look if acquires wait: the longer the oldest has waited, the less soon."""
        now = self.loop.time()
        if self.ledger.leases:  # else there was nothing to look at
            self.looked_at = now
        if self.next_look is not None:
            self.next_look.cancel()
        self.looks_soon, self.next_look = False, None
        oldest = next(iter(self.pool.tickets.values()), None)
        if oldest is not None:
            self._plan_look(now + max(LOOK_EVERY, (now - oldest.since) * LOOK_SELDOMER))

    def _plan_look(self, at: float) -> None:
        if self.next_look is not None:
            self.next_look.cancel()
        self.next_look = self.loop.call_at(at, self.cell.deliver, Look())

    def disarm(self) -> None:
        """Leave no timer behind."""
        for timer in (self.ledger.timer, self.next_look):
            if timer is not None:
                timer.cancel()
        self.looks_soon, self.next_look = False, None

    def undo(self, reply: Reply[Any] | Promise, answer: Any) -> on.Event | None:
        """Return what takes a withdrawn acquire back: out of the queue, or its lease."""
        if isinstance(answer, Lease):
            return Release(answer.resource_id, answer.epoch)
        # Perhaps from another thread: the ledger is only read here, and changed in the turn.
        waiting = self.ledger.waiting.get(reply.ticket)
        if waiting is None or waiting[0] is not reply:
            return None
        return on.Cancel(reply.ticket)

    def last_word(self, message: Any) -> Any:
        """Answer on behalf of a type that has been stopped; a late release is no error."""
        if isinstance(message, (on.Release, on.Discard)):
            ended = message.resource_id in self.ledger.ended.values()
            if message.epoch is not None or ended:
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

    def revive(self) -> None:
        """Forget that the type was parked."""
        self.parked = None
        self.shutdowns = 0

    def shuttable(self) -> bool:
        """Tell whether to try one more incarnation that only shuts down; two tries are enough."""
        self.shutdowns += 1
        return self.shutdowns <= MOST_SHUTDOWNS

    def give_up(self) -> None:
        """Deny every ticket and close every resource without a machine: none can be built."""
        ledger = self.ledger
        self.disarm()
        self.forsaken(Failure(self.parked_error()))
        for lease in ledger.leases.values():
            ledger.end_late(lease)
        ledger.leases.clear()
        for number, entry in tuple(ledger.entries.items()):
            if entry.run is not None and entry.run.hook == "open":
                self.hooks.cancel(entry)  # what is born all the same is closed by `report`
            else:
                del ledger.entries[number]
                self.hooks.close(entry)

    def forsaken(self, answer: Failure) -> None:
        """Answer everyone who waits for an event that will not come any more."""
        waiting = self.ledger.waiting
        while waiting:
            waiting.popitem()[1][0].resolve(answer)
