"""The truth about one family: what ought to become of it, worked out from what was seen of it.

Told of each event before the family is, it settles who ought to be up in the end (`wish`), who has
to go down before (`doomed`), and what must be said at once (`owed`). In which order children then
go and come is no part of it: `family_law` says what is lawful at a moment, and what is overdue.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import ChildPolicy, Exit, ExitKind, FamilyPolicy
from tests.core.family_member import Member

RESTARTED = {
    "permanent": ("normal", "shutdown", "failure", "killed"),
    "transient": ("failure", "killed"),
    "temporary": (),
}
ORDERS = (on.StartChild, on.RestartChild, on.TerminateChild, on.DeleteChild)


class Truth:
    """One family."""

    def __init__(self, policy: FamilyPolicy, children: tuple[ChildPolicy, ...]) -> None:
        self.policy = policy
        self.members = {spec.id: Member(spec, 0) for spec in children}
        self.mode = "new"
        self.now = 0.0
        self.chance = 0.5
        self.stamps: list[float] = []
        self.restarts = 0
        self.granted: list[tuple[str, float]] = []  # who was restarted when
        self.stale = 0
        self.why = ""  # it ends
        self.stoppers: list[Any] = []
        self.armed = math.inf
        self.highest = 0  # the number of any that is forgotten
        self.owed: Counter[str] = Counter()  # what has to be said now
        self.dynamic = policy.strategy == "simple_one_for_one"
        self.grouped = policy.strategy in ("one_for_all", "rest_for_one")

    # -- an event is about to happen

    def before(self, event: on.FamilyEvent, now: float, chance: float, ticket: Any) -> None:
        """Work out what must come of it."""
        self.now, self.chance = now, chance
        if self.mode in ("stopping", "ended") and isinstance(event, ORDERS):
            self.answer(ticket, "stopping")
            return
        match event:
            case on.Begin() if self.mode == "new":
                self.mode = "starting"
            case on.Begin():
                self.stale += 1
            case on.Adopt():
                self.adopt(event)
            case on.Started(name, number):
                self.started(name, number)
            case on.Exited(name, number, exit_):
                self.exited(name, number, exit_)
            case on.Stop(kind):
                self.stop(str(kind), ticket)
            case on.FamilyTick():
                self.tick()
            case _:
                self.order(event, ticket)

    def adopt(self, event: on.Adopt) -> None:
        spec, number = event.child, event.number
        if spec.id in self.members or self.mode in ("stopping", "ended"):
            self.stale += 1
            return
        self.members[spec.id] = member = Member(spec, max(number, self.highest))
        member.ever_up = number > 0
        if event.up:
            member.state, member.number, member.up_since = "up", number, self.now
        elif event.parked_until is not None:
            self.give_up_on(member, event.parked_until)

    def started(self, name: str, number: int) -> None:
        member = self.members.get(name)
        if (
            member is None
            or (member.state, member.number) != ("starting", number)
            or member.told
            or member.verdict is not None
        ):
            self.stale += 1
            return
        member.state, member.ever_up, member.asked, member.given_up = "up", True, False, False
        member.due, member.up_since = math.inf, self.now
        self.answer_all(member.askers, name)

    def exited(self, name: str, number: int, exit_: Exit) -> None:
        member = self.members.get(name)
        if member is None or not member.alive or member.number != number:
            self.stale += 1
            return
        was, exit_ = member.state, member.verdict or exit_
        plan = self.policy.backoff
        if plan is not None and self.now - member.up_since >= plan.max:
            member.failures = 0
        member.state, member.told, member.verdict = "down", False, None
        member.due, member.up_since = math.inf, math.inf
        self.answer_all(member.waiters, name)
        if member.doomed:
            member.doomed = False
            if not member.wish:
                self.gone(member, exit_)
        elif was == "starting":
            self.start_failed(member, exit_)
        elif exit_.kind in RESTARTED[member.spec.restart]:
            self.failure(member, exit_)
        else:
            member.wish, member.excused = False, True
            self.gone(member, exit_)
            if member.spec.significant and self.last_significant():
                self.give_up("shutdown")

    def start_failed(self, member: Member, exit_: Exit) -> None:
        if member.asked:
            member.wish, member.excused = False, True
            self.gone(member, exit_, forget=member.by_hand and not member.ever_up)
            if member.given_up and member.spec.id in self.members:
                self.park(member, exit_)
        elif self.mode == "starting" and not member.ever_up:
            self.give_up("failure")
        elif member.spec.restart == "temporary":
            self.forget(member)
        else:
            self.failure(member, exit_)

    def failure(self, member: Member, exit_: Exit) -> None:
        limit = self.policy.intensity
        own = self.policy.budget_scope == "child"
        stamps = member.stamps if own else self.stamps
        stamps.append(self.now)
        if limit is not None:
            recent = [stamp for stamp in stamps if self.now - stamp <= limit.period]
            if len(recent) > limit.restarts:
                if own:
                    self.park(member, exit_)
                else:
                    self.give_up("failure")
                return
        self.restarts += 1
        self.granted.append((member.spec.id if own else "", self.now))
        pause = member.pauses(self.policy.backoff, self.chance)
        member.pause = self.now + pause if pause > 0 else math.inf
        for other in self.group(member):
            if other.spec.restart == "temporary":
                other.wish, other.doomed = other.wish and not other.alive, other.alive
            else:
                other.wish, other.excused, other.doomed = True, False, other.alive
                other.revival, other.parked = math.inf, False

    def group(self, member: Member) -> list[Member]:
        members = list(self.members.values())
        place = members.index(member)
        after = members[place + 1 :]
        return {"one_for_all": members[:place] + after, "rest_for_one": after}.get(
            self.policy.strategy, []
        )

    def park(self, member: Member, exit_: Exit) -> None:
        self.give_up_on(member, self.now + self.policy.revive_after)
        self.owed[f"park {member.spec.id} {exit_.kind}"] += 1

    def give_up_on(self, member: Member, until: float) -> None:
        member.wish, member.excused, member.given_up = False, True, True
        member.revival, member.parked = until, True

    def last_significant(self) -> bool:
        others = [other for other in self.members.values() if other.spec.significant]
        waits = self.policy.auto_shutdown == "all_significant" and any(o.wish for o in others)
        return self.policy.auto_shutdown != "never" and not waits

    def give_up(self, why: str) -> None:
        self.mode, self.why = "stopping", why
        for member in self.members.values():
            member.wish, member.doomed = False, member.alive
            member.pause = member.revival = math.inf
            member.parked = False
            if not member.alive:
                self.refuse_all(member, "shutdown")

    def gone(self, member: Member, exit_: Exit | None, *, forget: bool = False) -> None:
        """It is down and not wanted."""
        self.refuse_all(member, exit_.kind if exit_ else "shutdown")
        if forget or self.dynamic or member.spec.restart == "temporary":
            self.forget(member)

    def forget(self, member: Member) -> None:
        del self.members[member.spec.id]
        self.highest = max(self.highest, member.number)
        self.forgive(member)
        self.owed[f"drop {member.spec.id}"] += 1

    # -- orders

    def stop(self, kind: str, ticket: Any) -> None:
        if self.mode == "ended":
            self.answer(ticket, self.why)
            return
        self.stoppers.append(ticket)
        if self.mode != "stopping":
            self.give_up(kind)

    def order(self, event: on.FamilyEvent, ticket: Any) -> None:
        assert isinstance(event, ORDERS)
        name = event.child.id if isinstance(event, on.StartChild) else event.id
        member = self.members.get(name)
        if isinstance(event, on.StartChild):
            self.start_child(event.child, member, ticket)
        elif member is None:
            fixed = self.dynamic and not isinstance(event, on.TerminateChild)
            self.answer(ticket, "simple_one_for_one" if fixed else "not_found")
        elif isinstance(event, on.TerminateChild):
            self.terminate(member, ticket)
        elif refusal := self.busy(member):
            self.answer(ticket, refusal)
        elif isinstance(event, on.DeleteChild):
            self.forget(member)
            self.answer(ticket, name)
        else:
            self.renew(member)
            self.ask(member, ticket)

    def busy(self, member: Member) -> str:
        if self.dynamic:
            return "simple_one_for_one"
        if member.alive:
            return "running"
        return "restarting" if member.wish else ""

    def start_child(self, spec: ChildPolicy, member: Member | None, ticket: Any) -> None:
        if member is not None:
            up = member.alive or member.wish
            self.answer(ticket, "already_started" if up else "already_present")
            return
        self.members[spec.id] = member = Member(spec, self.highest, by_hand=True)
        self.ask(member, ticket)

    def ask(self, member: Member, ticket: Any) -> None:
        member.asked = True
        member.askers.append(ticket)

    def terminate(self, member: Member, ticket: Any) -> None:
        member.wish, member.excused, member.parked, member.given_up = False, True, False, False
        member.pause = member.revival = math.inf
        if member.alive:
            member.doomed = True
            member.waiters.append(ticket)
            return
        self.gone(member, None)
        self.answer(ticket, member.spec.id)

    def renew(self, member: Member) -> None:
        member.wish, member.excused, member.parked = True, False, False
        member.revival, member.failures = math.inf, 0
        self.forgive(member)

    def forgive(self, member: Member) -> None:
        member.stamps.clear()
        self.granted = [stamp for stamp in self.granted if stamp[0] != member.spec.id]

    def tick(self) -> None:
        if self.now >= self.armed:
            self.armed = math.inf
        for member in self.members.values():
            if member.due <= self.now:
                member.due = math.inf
                if not member.told:
                    member.verdict = Exit(ExitKind.FAILURE)
                self.owed[f"kill {member.spec.id} {member.number}"] += 1
            if member.pause <= self.now:
                member.pause = math.inf
            if member.revival <= self.now:
                self.renew(member)

    # -- what has to be said

    def answer(self, ticket: Any, what: str) -> None:
        if ticket is not None:
            self.owed[f"answer {ticket}: {what}"] += 1

    def answer_all(self, tickets: list[Any], what: str) -> None:
        for ticket in tickets:
            self.answer(ticket, what)
        tickets.clear()

    def refuse_all(self, member: Member, kind: str) -> None:
        member.asked = False
        self.answer_all(member.askers, f"{member.spec.id} refused {kind}")
