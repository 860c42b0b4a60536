"""The performer's ledger: what survives a crash of the machine.

Slot -> resource, lease -> slot and epoch, ticket -> reply and deadline. It changes only when
effects are performed, so it always tells a state the machine has really been in; `restore` turns
it into the event a new machine is built from.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pepperpy_resources.core import events as on
from pepperpy_resources.core.effects import Lease, Wait
from pepperpy_resources.core.lending import ENDED_KEPT

if TYPE_CHECKING:
    from pepperpy_resources.actors.reply import Promise, Reply
    from pepperpy_resources.actors.workers import Worker


@dataclass(slots=True, eq=False)
class Run:
    """One hook at work."""

    hook: str
    slot: int
    before: Run | None = None  # a close: the hook it overtakes
    task: asyncio.Task[Any] | None = None
    thread: asyncio.Future[Any] | None = None  # while it is on a thread
    stopped: bool = False  # we cancelled it; a cancellation from elsewhere ends the loop

    def running(self) -> asyncio.Future[Any] | None:
        """Return what ends when this hook does, None if it has ended."""
        work = self.task if self.task is not None else self.thread
        return work if work is not None and not work.done() else None


@dataclass(slots=True, eq=False)
class Entry:
    """One slot: the user's object and what is going on with it."""

    number: int
    key: str | None
    arguments: dict[str, Any] | None
    born: float
    resource: Any = None
    closer: Callable[[Run], Awaitable[None]] | None = None  # set once there is something to close
    hook: str | None = None  # the hook the machine waits for
    run: Run | None = None  # the hook that runs
    guests: list[Run] = field(default_factory=list[Run])  # on_acquire, in the borrowers' tasks
    worker: Worker | None = None  # the thread this resource is bound to
    doomed: bool = False


Waiting = tuple["Reply[Any] | Promise", Wait]
"""One asker who is answered later, and the ticket that says what was asked."""


class Ledger:
    """One resource type's ledger, kept by the root and lent to each incarnation."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.waiting: dict[int, Waiting] = {}
        self.ended: OrderedDict[int, str] = OrderedDict()  # leases ended by us: epoch -> id
        self.leases: dict[int, Lease] = {}
        self.draining = False
        self.suspended = False
        self.permits: float | None = None  # of a budget
        self.inquiry = 0  # the budget's last that was heard
        self.last_slot = 0
        self.last_ticket = 0
        self.timer: asyncio.TimerHandle | None = None

    def end_late(self, lease: Lease) -> None:
        """Keep a lease that ended on our side, so that its late release is recognised."""
        self.ended[lease.epoch] = lease.resource_id
        if len(self.ended) > ENDED_KEPT:
            self.ended.popitem(last=False)

    def find(self, resource_id: str, epoch: int | None) -> Lease | None:
        """Return the lease of this id (and epoch), or None."""
        for lease in self.leases.values():
            if lease.resource_id == resource_id and epoch in (None, lease.epoch):
                return lease
        return None

    def void(self, lease: Lease) -> None:
        """Strike out a lease that a crash cut short; its slot is not reused."""
        del self.leases[lease.epoch]
        self.entries[lease.slot].doomed = True

    def restore(self, now: float, chance: float) -> on.Restore:
        """Return the event that builds a machine from this ledger."""
        leases: dict[int, list[Lease]] = {}
        for lease in self.leases.values():
            leases.setdefault(lease.slot, []).append(lease)
        return on.Restore(
            slots=tuple(
                self._saved(entry, tuple(leases.get(entry.number, ())))
                for entry in self.entries.values()
            ),
            tickets=tuple(
                ticket
                for _, ticket in self.waiting.values()
                if isinstance(ticket.event, on.Acquire)
            ),
            ended=tuple((epoch, name, now) for epoch, name in self.ended.items()),
            last_slot=self.last_slot,
            last_ticket=self.last_ticket,
            chance=chance,
            suspended=self.suspended,
            permits=self.permits,
        )

    def _saved(self, entry: Entry, leases: tuple[Lease, ...]) -> on.SavedSlot:
        return on.SavedSlot(
            entry.number,
            entry.hook,
            entry.doomed,
            entry.key,
            entry.arguments,
            entry.born,
            entry.resource,
            leases,
        )
