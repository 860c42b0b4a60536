"""Random histories of several pools that share one budget.

Messages between the pools and the budget are late, but in the order of their sender. Each pool is
checked after each of its events, as in `histories.py`; here the law of the budget is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable

import msgspec

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.budget import Book
from pepperpy_resources.core.policy import Backoff, Policy
from tests.core.histories import STEPS, Choose, History, Over, choose_policy

ROUNDS = 300  # of everyone giving back what it has, in which everyone is to be served


class Party(History):
    """One of the pools."""

    def __init__(self, choose: Choose, policy: Policy) -> None:
        self.up: deque[do.Demand] = deque()  # to the budget
        self.down: deque[on.Allot | on.Inquire] = deque()  # to the pool
        super().__init__(choose, policy)

    def send(self, event: on.Event) -> list[do.Effect]:
        """Let one event happen and pass on what the pool tells its budget."""
        effects = super().send(event)
        self.up.extend(effect for effect in effects if isinstance(effect, do.Demand))
        return effects

    def calm_down(self) -> None:
        """Give everything back and let every hook end well."""
        for lease in list(self.truth.leases.values()):
            self.send(on.Release(lease.resource_id, lease.epoch))
        for slot in list(self.truth.slots.values()):
            if slot.running is not None and slot.number in self.truth.slots:
                self.report(slot, well=True)
        if self.truth.armed <= self.now:
            self.send(on.Tick())


def choose_party(choose: Choose, number: int) -> Policy:
    """Return a policy under which everyone can be served: whoever waits, waits for good."""
    policy = choose_policy(choose)
    patient = Backoff(min=0.5, max=8.0, jitter=0.0)
    return msgspec.structs.replace(
        policy,
        name=f"type {number}",
        budgeted=True,
        acquire_timeout=1e7,
        max_waiting=float("inf"),
        max_queue_delay=float("inf"),
        backoff=patient,
    )


class Budget:
    """Some pools, the book, and what is on its way between them."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.now = 100.0
        self.book = Book(1 + choose(5))
        self.told: list[str] = [f"{self.book.limit} permits"]
        self.parties: list[Party] = []
        for number in range(2 + choose(2)):
            self.parties.append(Party(choose, choose_party(choose, number)))
            self.note(self.parties[-1])

    def note(self, party: Party) -> None:
        """Tell the whole story in order."""
        self.told += [f"{party.policy.name}: {line}" for line in party.told]
        party.told.clear()

    def step(self) -> None:
        """Let one thing happen to one pool, or one message arrive."""
        party = self.parties[self.choose(len(self.parties))]
        party.now = self.now = max(party.now, self.now)
        what = self.choose(3)
        try:
            if what == 0 and party.up:
                self.up(party)
            elif what == 1 and party.down:
                self.down(party)
            else:
                STEPS_HERE[self.choose(len(STEPS_HERE))](party)
        finally:
            self.note(party)
        self.now = party.now
        self.law()

    def up(self, party: Party) -> None:
        """Let the budget hear the next word of a pool."""
        shares = self.book.shares
        before = {name: share.permits for name, share in shares.items()}
        changes = self.book.tell(party.policy.name, party.up.popleft())
        uses = {name: s.demand.size + s.demand.wanted for name, s in shares.items()}
        heard = [name for name, s in shares.items() if before.get(name) == s.demand.permits]
        if any(changes.get(name, uses[name]) < before[name] <= uses[name] for name in before):
            unused = [name for name in heard if shares[name].permits > uses[name]]
            assert not unused, f"{unused} could spare a permit, and another has to give one up"
        party.told.append(f"the book has heard it, and gives {changes}")
        for other in self.parties:
            if other.policy.name in changes:
                other.down.append(on.Allot(changes[other.policy.name]))

    def down(self, party: Party) -> None:
        """Let a pool hear the next word of the budget."""
        party.send(party.down.popleft())

    def law(self) -> None:
        """Nothing is spent twice, whatever is on its way."""
        held = 0.0
        for party in self.parties:
            share = self.book.shares.get(party.policy.name)
            given = 0 if share is None else share.permits
            assert given >= 0, "fewer permits than none"
            arriving = [m.permits for m in party.down if isinstance(m, on.Allot)]
            held += max([given, party.truth.permits, party.truth.size, *arriving])
        assert held <= self.book.limit, f"{held} of {self.book.limit} permits are out"

    def end(self) -> None:
        """Everyone who waits is served, if only leases are released and hooks end."""
        self.now = max(party.now for party in self.parties)
        for party in self.parties:
            party.now = self.now
            party.send(on.Resume())
        for _ in range(ROUNDS):
            for party in self.parties:
                party.now = self.now
                party.calm_down()
                while party.up:
                    self.up(party)
                self.note(party)
            for party in self.parties:
                while party.down:
                    self.down(party)
                self.note(party)
                self.law()
            if not any(party.truth.waiting() for party in self.parties):
                return
            self.now += 0.5
        waiting = {party.policy.name: party.truth.waiting() for party in self.parties}
        raise AssertionError(f"never served: {waiting}, and {self.book}")


LEFT_OUT = (History.budget, History.stop, History.pass_time)


def pass_time(party: History) -> None:
    """Wait, but not for so long that whoever waits gives up."""
    party.wait((0.1, 0.5, 1.0, 2.0, 6.0)[party.choose(5)])


STEPS_HERE: list[Callable[[History], None]] = [
    *(step for step in STEPS if step not in LEFT_OUT),
    *[pass_time] * 4,
]


def play(choose: Choose) -> Budget:
    """Play one history to its end; an assertion that fails carries the whole story."""
    budget: Budget | None = None
    try:
        with contextlib.suppress(Over):
            budget = Budget(choose)
            for _ in itertools.count():
                budget.step()
        if budget is not None:
            for party in budget.parties:
                party.choose = lambda n: 0
            budget.end()
    except Exception as error:
        if budget is not None:
            for party in budget.parties:
                budget.note(party)
                error.add_note(f"{party.policy}")
            error.add_note("\n".join(budget.told))
        raise
    assert budget is not None, "the history is too short"
    return budget
