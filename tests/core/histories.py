"""Random histories: a program of small numbers decides what happens next to one pool."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.counters import Counters
from pepperpy_resources.core.machine import handle
from pepperpy_resources.core.nowait import acquire_nowait, release_nowait
from pepperpy_resources.core.policy import Backoff, Policy
from pepperpy_resources.core.pool import Pool
from tests.core import invariants
from tests.core.records import Slot
from tests.core.truth import Truth

Choose = Callable[[int], int]
"""Returns a number from 0 to below its argument; raises `Over` when the history is."""


class Over(Exception):
    """There is nothing more to choose."""


NEVER = 1e9


def choose_policy(choose: Choose) -> Policy:
    """Return one of the policies that a valid spec can have."""
    keyed = choose(2) == 1
    size: float = (1, 2, 3, 5)[choose(4)]
    has_check = choose(2) == 1
    return Policy(
        name="db",
        keyed=keyed,
        max_size=float("inf") if keyed and choose(6) == 0 else size,
        max_holders=(1, 1, 2, 3)[choose(4)] if keyed else 1,
        min_idle=0 if keyed else min(int(size), (0, 0, 1, 3)[choose(4)]),
        max_opening=(1, 2, 4)[choose(3)],
        order=("lifo", "fifo")[choose(2)],
        max_waiting=(float("inf"), float("inf"), 0, 1, 2)[choose(5)],
        acquire_timeout=(30.0, 2.0, 5.0)[choose(3)],
        create_timeout=(30.0, 3.0)[choose(2)],
        check_timeout=2.0,
        reset_timeout=2.0,
        close_timeout=4.0,
        has_check=has_check,
        check_on_acquire=has_check and choose(3) > 0,
        has_reset=choose(2) == 1,
        has_close=choose(4) > 0,
        fresh_for=(0.5, 0.0, 20.0)[choose(3)],
        idle_timeout=(600.0, 5.0)[choose(2)],
        max_lifetime=(1800.0, 10.0, float("inf"))[choose(3)],
        backoff=Backoff(
            min=0.5, max=8.0, jitter=(0.0, 0.2)[choose(2)], attempts=(None, None, 1, 3)[choose(4)]
        ),
        check_on_return=has_check and choose(3) == 0,
        keepalive=(4.0, 1.0, 30.0, math.inf)[choose(4)] if has_check else math.inf,
        max_uses=(math.inf, math.inf, 1, 3)[choose(4)],
        max_hold=(math.inf, math.inf, 1.0, 7.0)[choose(4)],
        on_overdue=("report", "revoke")[choose(2)],
        max_queue_delay=(math.inf, math.inf, 0.125, 0.5)[choose(4)],
        priority=(0, 0, 3)[choose(3)],
        ageing=(1.0, 0.25)[choose(2)],
        budgeted=choose(4) == 0,
    )


class History:
    """One pool and its ground truth; every step is one event, and everything is checked after."""

    def __init__(self, choose: Choose, policy: Policy | None = None) -> None:
        self.choose = choose
        self.hurry = choose(4) > 0  # take the short way where there is one
        self.now = 100.0
        self.policy = choose_policy(choose) if policy is None else policy
        self.counters = Counters()
        self.pool = Pool(self.policy, self.counters)
        self.truth = Truth(self.policy)
        self.told: list[str] = []
        self.owners = [object(), object()]
        self.send(on.Restore())

    # -- telling the pool

    def send(self, event: on.Event) -> list[do.Effect]:
        """Let one event happen and check everything."""
        self.told.append(f"{self.now:g}: {event}")
        self.truth.before(event, self.now)
        effects = self.fast(event) if self.hurry else None
        if effects is None:
            effects = handle(self.pool, event, self.now)
        assert effects is not None
        self.told += [f"    {effect}" for effect in effects]
        self.truth.observe(effects)
        invariants.check(self.truth, self.pool)
        return effects

    def fast(self, event: on.Event) -> list[do.Effect] | None:
        """Try the short way first, as the supervisor does."""
        if isinstance(event, on.Acquire):
            outcome = acquire_nowait(self.pool, event, self.now)
            return None if outcome is None else [outcome]
        if isinstance(event, on.Release):
            returned = release_nowait(self.pool, event, self.now)
            if returned is not None:
                ended, granted = returned
                return [do.Ended(ended), *([] if granted is None else [granted])]
        return None

    def pick(self, things: Sequence[Any]) -> Any:
        """Return one of these things."""
        return things[self.choose(len(things))]

    def wait(self, seconds: float) -> None:
        """Let time pass; the timer that a Wake asked for is punctual, but rarely not first."""
        target = self.now + seconds
        while self.truth.armed <= target and self.choose(8) > 0:
            self.now = max(self.now, self.truth.armed)
            self.send(on.Tick())
        self.now = max(self.now, target)

    # -- what can happen

    def acquire(self) -> None:
        names = [f"db:{letter}" for letter in "abcd"]
        arguments = None
        if self.policy.keyed:
            arguments = (None, None, {"x": 1}, {"x": 2})[self.choose(4)]
        else:
            names += ["db:e", "db", "db", "db"]
        self.send(
            on.Acquire(
                self.pick(names),
                timeout=(None, None, None, 0.0, 1.0, 2.0, float("inf"))[self.choose(7)],
                owner=self.pick([None, *self.owners]),
                arguments=arguments,
                site=self.choose(3),
                priority=(None, None, None, 0, 1, 5)[self.choose(6)],
            )
        )

    def acquire_many(self) -> None:
        for _ in range(1 + self.choose(4)):
            self.acquire()

    def cancel(self) -> None:
        tickets = [ticket.number for ticket in self.truth.waiting()]
        stale = [number for number in self.truth.answered if number not in self.truth.tickets]
        self.send(on.Cancel(self.pick(tickets or stale or [12_345])))

    def give_back(self) -> tuple[str, int | None]:
        """Return a lease to end, as its holder or somebody mistaken would name it."""
        truth = self.truth
        live = list(truth.leases.values())
        if live and self.choose(8) > 0:
            lease = self.pick(live)
            bare = lease.resource_id != "db" and self.choose(2) == 0
            return lease.resource_id, None if bare else lease.epoch
        if truth.ended and self.choose(3) > 0:
            epoch = self.pick(list(truth.ended))
            name = truth.ended[epoch][0]
            return name, None if self.choose(2) == 0 and name != "db" else epoch
        return self.pick(["db:a", "db:b", "db", "db:z"]), self.pick([None, 1, 2, 3, 99_999])

    def release(self) -> None:
        self.send(on.Release(*self.give_back()))

    def discard(self) -> None:
        name, epoch = self.give_back()
        error = ValueError("used badly") if self.choose(2) else None
        self.send(on.Discard(name, epoch, self.choose(3) == 0, error))

    def outcome(self) -> None:
        """Report how a hook that runs has ended."""
        running = [slot for slot in self.truth.slots.values() if slot.running is not None]
        if running:
            self.report(self.pick(running), well=self.choose(4) > 0)

    def report(self, slot: Slot, *, well: bool) -> None:
        number, error = slot.number, None if well else ConnectionError("down")
        lost = not well and self.choose(3) == 0
        chance = self.choose(5) / 5
        # Of a slot that was given up it is not known which close it was that failed.
        unknown = slot.state == "abandoned" and not slot.counted
        outcomes: dict[str | None, on.Event] = {
            "open": on.Opened(number, object(), chance)
            if well
            else on.OpenFailed(number, error, chance, fatal=lost),
            "check": on.CheckPassed(number) if well else on.CheckFailed(number, error, lost),
            "reset": on.ResetDone(number, error, lost),
            "close": on.Closed(number, None if unknown else error),
        }
        self.send(outcomes[slot.running])

    def late_outcome(self) -> None:
        """Report a hook that a close has overtaken, or that ran on a slot long gone."""
        late: list[tuple[int, str]] = self.truth.overtaken[-3:]
        late += [(number, hook) for number in list(self.truth.past)[-2:] for hook in LATE]
        if late:
            number, hook = self.pick(late)
            self.send(LATE[hook](number))

    def pass_time(self) -> None:
        self.wait((0.1, 0.5, 1.0, 2.0, 3.0, 6.0, 40.0, 700.0)[self.choose(8)])

    def tick(self) -> None:
        if self.truth.armed < NEVER and self.choose(4) > 0:
            self.now = max(self.now, self.truth.armed)
        self.send(on.Tick())

    def sweep(self) -> None:
        self.send(on.Sweep())

    def suspect(self) -> None:
        """Let the machine sleep: nothing has happened, and nothing idle is to be trusted."""
        self.send(on.Suspect())

    def evict(self) -> None:
        patterns = [None, "db:a", "db:[ab]", "db:", "db:*", "nothing"]
        self.send(on.Evict(self.pick(patterns), force=self.choose(2) == 1))

    def suspend(self) -> None:
        self.send(on.Suspend())

    def resume(self) -> None:
        self.send(on.Resume())

    def resize(self) -> None:
        floor = None if self.policy.keyed else self.pick([None, None, 0, 1, 2])
        self.send(on.Resize(self.pick([None, 1, 2, 3, 6]), floor))

    def reclaim(self) -> None:
        """The owners of some leases have ended; some of these were given back meanwhile."""
        known = [*self.truth.leases, *self.truth.ended, 99_999]
        count = 1 + self.choose(3)
        self.send(on.Reclaim(tuple({self.pick(known): None for _ in range(count)})))

    def budget(self) -> None:
        """The budget gives, takes, or asks."""
        if self.policy.budgeted:
            asks = self.choose(4) == 0
            self.send(on.Inquire() if asks else on.Allot(self.choose(5)))

    def quiet(self) -> None:
        """Everything comes back and idles; then the janitor comes."""
        for lease in list(self.truth.leases.values()):
            self.send(on.Release(lease.resource_id, lease.epoch))
        for number, slot in list(self.truth.slots.items()):
            if slot.running is not None and number in self.truth.slots:
                self.report(slot, well=True)
        self.wait((0.5, 2.0, 4.0)[self.choose(3)])
        self.send(on.Sweep())

    def ready(self) -> None:
        self.send(on.Ready())

    def stop(self) -> None:
        ignoring = self.pick([None, *self.owners])
        self.send(on.Drain(ignoring) if self.choose(4) > 0 else on.Shut())

    def crash(self) -> None:
        """Build a new machine from the performer's ledger, as the actor does after a crash."""
        truth = self.truth
        truth.now = self.now
        event = truth.restore(chance=self.choose(5) / 5)
        others = [t for t in truth.tickets.values() if not isinstance(t.event, on.Acquire)]
        for ticket in others:
            del truth.tickets[ticket.number]
            truth.answered.add(ticket.number)
        self.pool = Pool(truth.reborn(), self.counters)
        self.send(event)
        for ticket in others:  # asked again, of the new machine
            self.send(ticket.event)

    # -- whole histories

    def step(self) -> None:
        """Let one thing happen."""
        self.pick(STEPS)(self)

    def nothing(self) -> None:
        """Do nothing: what a shrunk history is made of."""

    def end(self) -> None:
        """Shut the pool, let every hook end: nothing is left, and everything was closed once."""
        self.send(on.Shut())
        while self.truth.slots:
            self.report(next(iter(self.truth.slots.values())), well=True)
        truth = self.truth
        assert not truth.tickets, "asked and never answered"
        assert not self.pool.slots
        assert not self.pool.named.keys() - {name for name, _ in truth.ended.values()}
        for slot in truth.past.values():
            assert slot.closes == slot.opened, f"opened, and closed {slot.closes} times: {slot}"


LATE: dict[str, Callable[[int], on.Event]] = {
    "open": on.OpenFailed,
    "check": on.CheckPassed,
    "reset": on.ResetDone,
    "close": on.Closed,
}

STEPS: list[Callable[[History], None]] = [
    History.nothing,
    *[History.acquire] * 6,
    *[History.acquire_many] * 2,
    *[History.release] * 6,
    *[History.outcome] * 10,
    *[History.pass_time] * 4,
    *[History.tick] * 2,
    *[History.discard] * 2,
    *[History.cancel] * 2,
    *[History.evict] * 2,
    *[History.sweep] * 2,
    *[History.quiet] * 2,
    *[History.resume] * 2,
    *[History.resize] * 2,
    *[History.budget] * 2,
    History.suspend,
    History.reclaim,
    History.late_outcome,
    History.suspect,
    History.ready,
    History.crash,
    History.stop,
]


def play(choose: Choose) -> History:
    """Play one history to its end; an assertion that fails carries what was told to the pool."""
    history = History(choose)
    try:
        with contextlib.suppress(Over):
            history.budget()
            while True:
                history.step()
        history.choose = lambda n: 0
        history.end()
    except Exception as error:
        error.add_note("\n".join([str(history.policy), *history.told]))
        raise
    return history


def program(numbers: Iterable[int]) -> Choose:
    """Return a source of choices that is over when the numbers are."""
    rest = iter(numbers)

    def choose(count: int) -> int:
        for number in rest:
            return number % count
        raise Over

    return choose
