"""The ground truth's records: slots, tickets, backoffs, and what can be read off them."""

from __future__ import annotations

import fnmatch
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.policy import Backoff as Rule
from pepperpy_resources.core.policy import Policy

ENDED_FOR = 600.0  # seconds the late release of a lease that we ended is waited for
INTERVAL = 20  # times max_queue_delay, then a queue stands
HOOKS = ("opening", "checking", "resetting", "closing")
TIMEOUTS = {
    "opening": "create_timeout",
    "checking": "check_timeout",
    "resetting": "reset_timeout",
    "closing": "close_timeout",
}


@dataclass(eq=False)
class Slot:
    """One slot, as an onlooker would describe it."""

    number: int
    key: str | None
    arguments: dict[str, Any] | None
    began: float  # when its factory was called
    state: str = "opening"
    running: str | None = "open"  # the hook whose outcome is still to be reported
    due: float = math.inf  # when that hook is overdue
    resource: Any = None
    expires: float = math.inf
    good_at: float = -math.inf  # when it was last known to be good
    used: float = -math.inf  # since when it idles: when it was last used, opened or checked
    turn: int = 0  # orders those that became idle at the same time
    chance: float = 0.5  # drawn when it was opened
    quiet_at: float = math.inf  # when its keepalive is due
    uses: int = 0  # leases so far
    revoked: set[do.Reason] = field(default_factory=set)  # why leases on it ended on our side
    background: bool = False  # the check that runs is a keepalive
    proved: bool = False  # by a hook, not by a borrower who gave it back
    valid: bool = True  # its generation is
    out: bool = False  # taken out by an eviction
    broken: bool = False  # a hook failed on it, or a borrower said so
    suspect: bool = False
    holders: dict[int, do.Lease] = field(default_factory=dict)
    closes: int = 0
    opened: bool = False
    counted: bool = False  # its close was overdue, and counted as an error then
    saved_hook: str | None = "open"  # what the performer's ledger says
    saved_doomed: bool = False


@dataclass(eq=False)
class Ticket:
    """One asker who waits."""

    wait: do.Wait
    awaits: set[int] = field(default_factory=set)  # slots to see gone, for what is no acquire

    @property
    def number(self) -> int:
        """Its number: older is lower."""
        return self.wait.ticket

    @property
    def event(self) -> Any:
        """The `Acquire`, `Evict`, `Ready`, `Drain` or `Shut` that waits."""
        return self.wait.event

    @property
    def resource_id(self) -> str:
        """The id an acquire asked for."""
        return str(self.event.resource_id)


@dataclass(eq=False)
class Backoff:
    """What failed creations mean for one lane.

    A key nobody waits for is forgotten in the end, but nobody says when: hence two counts.
    """

    limit: int
    failures: int = 0
    sure: int = 0  # of them, failures that cannot have been forgotten
    retry_at: float = -math.inf  # by all failures
    soonest: float = -math.inf  # by the sure ones
    forget_at: float = -math.inf  # until when a key's failures are remembered


@dataclass(eq=False)
class Queue:
    """Whether the tickets of one lane are served in time."""

    calm_at: float
    standing: bool = False
    stands_at: float = math.inf  # since when, while it does


def delay(rule: Rule, failures: int, chance: float) -> float:
    """Return the seconds to wait after so many failures in a row.

    The first is followed by another try at once, where another one is allowed.
    """
    pause = failures if rule.attempts == 1 else failures - 1
    if pause == 0:
        return 0.0
    base = min(rule.max, rule.min * rule.factor ** (pause - 1))
    return base * (1 + rule.jitter * (2 * chance - 1))


class Records:
    """What is known of one resource type; times are seconds."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.now = 0.0
        self.slots: dict[int, Slot] = {}
        self.past: dict[int, Slot] = {}  # gone
        self.tickets: dict[int, Ticket] = {}
        self.answered: set[int] = set()
        self.leases: dict[int, do.Lease] = {}
        self.ended: dict[int, tuple[str, float]] = {}
        self.backoffs: dict[str | None, Backoff] = {}
        self.draining = False
        self.ignoring: Any = None  # whose leases a drain does not wait for
        self.shut = False
        self.filling = False
        self.may_fill = False  # the same, taken less strictly
        self.ready = False
        self.suspended = False
        self.cap = policy.max_size  # limits that change; see `max_size`
        self.min_idle = policy.min_idle
        self.permits = 0.0 if policy.budgeted else math.inf
        self.queues: dict[str | None, Queue] = {}  # of lanes that have had tickets
        self.reported: set[int] = set()  # leases that were said to be overdue
        self.wish: bool = False  # an acquire that did not wait may have left one
        self.sure_wish = False  # and this one surely has
        self.wish_key: str | None = None
        self.demand: do.Demand | None = None  # as last told
        # What the ledger says of the type, beside its slots.
        self.saved_suspended = False
        self.saved_limits: do.Resized | None = None
        self.armed = math.inf
        self.turns = 0
        self.last_slot = self.last_ticket = self.acquired = 0
        self.count: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        # Of the event at hand:
        self.event: on.Event = on.Restore()
        self.answers = 0  # how often its asker was answered; -1: it must be refused
        self.loser: int | None = None  # the lease that it ends
        self.returned: set[int] = set()  # slots given back
        self.revoking: dict[int, do.Reason] = {}  # leases that it ends on our side, and why
        self.checks = 0  # checks it started
        self.opens = 0  # creations it started
        self.told = 0  # demands it told
        self.due: set[int] = set()  # idle slots whose keepalive was due
        self.stood: set[str | None] = set()  # lanes whose queue stood before it
        self.idle_before = 0
        self.failed_now = False  # a creation that was waited for did
        self.touched: str | None = None  # the key it is about
        self.quota = -1  # how many of them are to be checked, once that is known
        self.matched: list[Slot] = []  # slots that an eviction means
        self.overtaken: list[tuple[int, str]] = []  # hooks cancelled by a close, over all events

    # -- figures

    def where(self, *states: str, key: str | None = None) -> list[Slot]:
        """Return the slots in these states, of one key if there are keys."""
        return [s for s in self.slots.values() if s.state in states and key in (None, s.key)]

    @property
    def size(self) -> int:
        """Slots that count against max_size."""
        return len(self.slots) - len(self.where("abandoned"))

    @property
    def max_size(self) -> float:
        """What limits the size now: the type's own number, or the budget's."""
        return min(self.cap, self.permits)

    @property
    def excess(self) -> float:
        """Slots beyond max_size that are not being closed yet."""
        return self.size - len(self.where("closing")) - self.max_size

    def place(self, acquire: on.Acquire, since: float) -> float:
        """Return when an acquire would have come in, had it had the type's own priority."""
        own = self.policy.priority
        priority = own if acquire.priority is None else acquire.priority
        return since - (priority - own) * self.policy.ageing

    def hold_due(self, lease: do.Lease) -> float:
        """Return when a lease is to be reported as overdue."""
        reported = lease.epoch in self.reported
        return math.inf if reported else lease.since + self.policy.max_hold

    def shed_due(self, key: str | None) -> float:
        """Return when the next ticket of a lane is to be shed, if nothing else happens."""
        target, waiting = self.policy.max_queue_delay, self.waiting(key)
        if not waiting or target == math.inf:
            return math.inf
        at = min(ticket.wait.since for ticket in waiting) + target
        queue = self.queues[key]
        return max(at, queue.stands_at if queue.standing else queue.calm_at + INTERVAL * target)

    def line(self) -> list[int]:
        """Return the idle slots, longest idle first."""
        return [s.number for s in sorted(self.where("idle"), key=lambda s: (s.used, s.turn))]

    def key_of(self, resource_id: str) -> str | None:
        """Return the lane an id belongs to."""
        return resource_id if self.policy.keyed else None

    def waiting(self, key: str | None = None) -> list[Ticket]:
        """Return the queued acquires, oldest first, of one key if there are keys."""
        return [
            t
            for _, t in sorted(self.tickets.items())
            if isinstance(t.event, on.Acquire) and key in (None, t.resource_id)
        ]

    def backoff(self, key: str | None) -> Backoff:
        """Return what failed creations mean for this lane."""
        return self.backoffs.setdefault(key, Backoff(self.policy.max_opening))

    def fit(self, slot: Slot) -> bool:
        """Tell whether a slot may be handed out at all."""
        usable = slot.valid and not slot.out and not slot.broken
        usable = usable and slot.uses < self.policy.max_uses
        return usable and self.now < slot.expires

    def grantable(self, slot: Slot) -> bool:
        """Tell whether a slot may be handed out now and unchecked."""
        if slot.state == "leased":
            return self.fit(slot) and len(slot.holders) < self.policy.max_holders
        fresh = self.policy.fresh_for if self.policy.check_on_acquire else math.inf
        fresh_enough = self.now < slot.good_at + fresh or (self.now == slot.good_at and slot.proved)
        return slot.state == "idle" and self.fit(slot) and not slot.suspect and fresh_enough

    def may_stay(self, slot: Slot) -> bool:
        """Tell whether a drain need not wait for this slot."""
        if not slot.holders:
            return False
        owners = [lease.owner for lease in slot.holders.values()]
        own = self.ignoring is not None and all(owner is self.ignoring for owner in owners)
        return own or not self.policy.has_close

    def lacks_permit(self, key: str | None) -> bool:
        """Tell whether nothing but the budget is in the way of one more creation."""
        busy = ("opening", "checking") if key is None else (*HOOKS, "idle", "leased")
        limited = self.size >= self.cap or len(self.where("abandoned")) >= self.cap
        waits = self.now < self.backoff(key).retry_at or self.suspended or self.draining
        return self.permits <= self.size and not (limited or waits or self.where(*busy, key=key))

    def came_back(self) -> set[int]:
        """Return the slots that became idle in this very event."""
        ready = on.Opened | on.CheckPassed | on.ResetDone
        return self.returned | ({self.event.slot} if isinstance(self.event, ready) else set())

    def in_use(self, name: str) -> bool:
        """Tell whether a pooled id is leased, queued, or ended but not yet released."""
        if name == self.policy.name:
            return False
        queued = [t for t in self.waiting() if t.resource_id == name]
        live = [x for x in self.leases.values() if x.resource_id == name]
        return bool(queued or live or [e for e, (n, _) in self.ended.items() if n == name])

    def unserved(self) -> list[str]:
        """Return the keys that are waited for and have no slot."""
        keys = sorted({ticket.resource_id for ticket in self.waiting()})
        states = ("opening", "idle", "leased", "checking", "resetting")
        return [key for key in keys if not self.where(*states, key=key)]

    # -- what follows from them

    def rest(self, slot: Slot, *, proved: bool = True) -> None:
        """Note that a slot has just become idle."""
        slot.state, slot.good_at, slot.proved, slot.due = "idle", self.now, proved, math.inf
        slot.quiet_at = self.now + self.policy.keepalive * (1 - 0.25 * slot.chance)
        quiet, slot.background = slot.background, False
        if quiet and not self.waiting(slot.key):
            self.turns += 1
            slot.turn = -self.turns  # first of those that have been idle as long
            return  # a keepalive is no use
        self.turns += 1
        slot.used, slot.turn = self.now, self.turns

    def bad(self, slot: Slot, operation: str, *, lost: bool) -> None:
        """Note that a check or reset failed."""
        self.count[f"error {operation}"] += 1
        slot.broken = True
        if lost:
            self.invalidate(slot)
        elif operation == "check":
            for other in self.where("idle"):
                other.suspect = True

    def invalidate(self, lost: Slot) -> None:
        """Note that the other side is gone: whatever has been made is worth nothing.

        What was taken out or invalidated before is too late to say so of what was made since.
        """
        if not lost.valid or lost.out or lost.state == "detached":
            return
        for slot in self.slots.values():
            slot.valid = False

    def failed(self, key: str | None, chance: float) -> None:
        """Note a failed creation: one at a time now, and not before the backoff is over."""
        self.count["error open"] += 1
        backoff, rule = self.backoff(key), self.policy.backoff
        backoff.failures += 1
        backoff.sure += 1
        backoff.limit = 1
        backoff.retry_at = self.now + delay(rule, backoff.failures, chance)
        backoff.soonest = self.now + delay(rule, backoff.sure, chance)
        backoff.forget_at = max(backoff.soonest, self.now + rule.min)
        backoff.forget_at += 0 if rule.attempts is None else rule.max

    def matching(self, pattern: str | None) -> list[Slot]:
        """Return what a cleanup pattern means."""
        found = []
        for slot in self.slots.values():
            if self.policy.keyed:
                names = [str(slot.key)]
            else:
                ids = [lease.resource_id for lease in slot.holders.values()]
                names = [n if ":" in n else f"{n}:" for n in ids] or [f"{self.policy.name}:"]
            if any(fnmatch.fnmatchcase(name, pattern or "*") for name in names):
                found.append(slot)
        return found
