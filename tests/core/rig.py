"""A pool under test: events in, effects out as short words."""

from __future__ import annotations

from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.counters import Counters
from pepperpy_resources.core.machine import handle
from pepperpy_resources.core.policy import Policy
from pepperpy_resources.core.pool import Pool

WORDS = {
    do.Lease: "lease {0.slot}",
    do.Ended: "ended {0.lease.slot}",
    do.Wait: "wait",
    do.Deny: "deny {0.why}",
    do.Drop: "drop {0.ticket}",
    do.Answer: "answer {0.ticket}",
    do.Open: "open {0.slot}",
    do.Check: "check {0.slot}",
    do.Reset: "reset {0.slot}",
    do.Close: "close {0.slot} {0.why}",
    do.Abandon: "abandon {0.slot}",
    do.Wake: "wake {0.at:g}",
    do.Report: "report {0.slot}",
    do.Doom: "doom {0.slot}",
    do.Forget: "forget {0.epoch}",
    do.Idle: "idle {0.slot}",
    do.Gone: "gone {0.slot}",
    do.Overdue: "overdue {0.lease.slot}",
    do.Leaked: "leaked {0.lease.slot}",
    do.Suspended: "suspended {0.suspended}",
    do.Resized: "resized {0.max_size:g} {0.min_idle} {0.permits:g}",
    do.Demand: "demand {0.size} of {0.permits:g}, {0.idle} idle, wants {0.wanted}",
}


def word(effect: do.Effect) -> str:
    """Say an effect in short: a grant or denial of a ticket that waited names the ticket."""
    text = WORDS[type(effect)].format(effect)
    if isinstance(effect, do.Lease | do.Deny) and effect.ticket:
        text += f" to {effect.ticket}"
    if isinstance(effect, do.Ended) and effect.late:
        text += " late"
    return text


class Rig:
    """One pool and its clock. Slots get numbers 1, 2, … and tickets and epochs too."""

    def __init__(self, restore: on.Restore | None = None, /, **policy: Any) -> None:
        self.policy = Policy(name="db", **policy)
        self.counters = Counters()
        self.pool = Pool(self.policy, self.counters)
        self.now = 0.0
        self.effects: list[do.Effect] = []  # of the last event
        self.first = self.send(on.Restore() if restore is None else restore)

    def send(self, event: on.Event, *, at: float | None = None) -> list[str]:
        """Let one event happen; return what is to be done, Wakes left out."""
        return [text for text in self.send_all(event, at=at) if not text.startswith("wake")]

    def send_all(self, event: on.Event, *, at: float | None = None) -> list[str]:
        """Let one event happen; return what is to be done."""
        if at is not None:
            self.now = at
        effects = handle(self.pool, event, self.now)
        assert effects is not None
        self.effects = effects
        return [word(effect) for effect in effects]

    def acquire(
        self, name: str = "db", at: float | None = None, timeout: float | None = None, **rest: Any
    ) -> list[str]:
        """Acquire, by default without an id, as `lease("db")` does."""
        return self.send(on.Acquire(name, timeout, **rest), at=at)

    def release(
        self, name: str = "db", epoch: int | None = None, at: float | None = None
    ) -> list[str]:
        """Give a lease back."""
        return self.send(on.Release(name, epoch), at=at)

    def opened(self, slot: int, at: float | None = None, chance: float = 0.5) -> list[str]:
        """Report that the factory has made the resource `r<slot>`."""
        return self.send(on.Opened(slot, f"r{slot}", chance), at=at)

    def tick(self, at: float) -> list[str]:
        """Let a Wake come due."""
        return self.send(on.Tick(), at=at)

    def hold(self, *names: str) -> None:
        """Lease a new slot under each of these ids."""
        for name in names:
            before = self.pool.last_slot
            self.acquire(name)
            if self.pool.last_slot > before:
                self.opened(self.pool.last_slot)

    def idle(self, count: int) -> None:
        """Have so many new slots idle, the lower numbers longer."""
        names = [f"db:idle-{n}" for n in range(count)]
        self.hold(*names)
        for name in names:
            self.release(name)
        assert len(self.pool.idle) == count

    @property
    def states(self) -> dict[int, str]:
        """Every slot's state."""
        return {number: str(slot.state) for number, slot in self.pool.slots.items()}

    @property
    def waiting(self) -> list[int]:
        """The queued tickets, oldest first."""
        return list(self.pool.tickets)
