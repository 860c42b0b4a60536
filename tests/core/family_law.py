"""The law of a family: which launch and which stop is lawful, and which is overdue."""

from __future__ import annotations

import math

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Family
from tests.core.families import word
from tests.core.family_member import Member
from tests.core.family_truth import Truth


class Law(Truth):
    """Sees the effects of each event, and holds the family to what ought to be."""

    @property
    def doomed(self) -> list[Member]:
        """Return who has to go down."""
        return [member for member in self.members.values() if member.doomed]

    @property
    def wished(self) -> list[Member]:
        """Return who ought to be up."""
        return [member for member in self.members.values() if member.wish]

    @property
    def stops_in_order(self) -> bool:
        """Tell whether each waits for those after it to be gone."""
        return not self.dynamic and (self.grouped or self.mode != "running")

    @property
    def starts_in_order(self) -> bool:
        """Tell whether each waits for those before it to be up."""
        return self.grouped or self.mode == "starting"

    @property
    def held_up(self) -> bool:
        """Tell whether those that come wait until those that go are gone."""
        return self.starts_in_order and not self.dynamic and bool(self.doomed)

    # -- every effect is lawful

    def observe(self, effects: list[on.Effect]) -> None:
        """See what the family wants done."""
        for effect in effects:
            match effect:
                case on.Launch(name, number):
                    self.launched(self.members[name], number)
                case on.Tell(name, number):
                    assert self.members[name].spec.shutdown > 0
                    self.told(self.members[name], number)
                case on.WakeAt(at):
                    assert at != self.armed, "it is already known"
                    self.armed = at
                case on.AllUp():
                    assert self.mode == "starting"
                    assert all(m.state == "up" for m in self.wished)
                    assert not self.held_up
                    self.mode = "running"
                case on.AllDown(exit_):
                    self.ended(str(exit_.kind))
                case _:
                    self.said(effect)

    def launched(self, member: Member, number: int) -> None:
        assert self.mode in ("starting", "running")
        assert member.wish
        assert not member.alive
        assert number == member.number + 1
        assert member.pause == math.inf
        if self.grouped:
            assert not self.doomed, "one comes before all have gone"
        if self.starts_in_order:
            earlier = self.wished[: self.wished.index(member)]
            assert all(other.state == "up" for other in earlier), "before its turn"
        member.state, member.number = "starting", number
        member.due = self.now + member.spec.start_timeout

    def told(self, member: Member, number: int) -> None:
        assert member.doomed
        assert member.number == number
        assert not member.told
        assert member.verdict is None, "it is being killed"
        if self.stops_in_order:
            assert self.doomed[-1] is member, "before its turn"
        member.told = True
        member.due = self.now + member.spec.shutdown if member.spec.shutdown > 0 else math.inf

    def ended(self, why: str) -> None:
        assert self.mode == "stopping"
        assert self.why == why
        assert not any(member.alive for member in self.members.values())
        self.mode = "ended"
        self.answer_all(self.stoppers, why)

    def said(self, effect: on.Effect) -> None:
        text = word(effect)
        if isinstance(effect, on.Drop):
            text = f"drop {effect.id}"
        if isinstance(effect, on.Kill) and not self.owed[text]:
            assert self.members[effect.id].spec.shutdown <= 0, "it has time left"
            self.told(self.members[effect.id], effect.number)
            return
        assert self.owed[text], f"{text}: why?"
        self.owed[text] -= 1

    # -- nothing is overdue, and the family knows how it stands

    def check(self, family: Family) -> None:
        """Compare the family with what it ought to be, after an event."""
        assert not +self.owed, f"not said: {+self.owed}"
        self.check_going()
        self.check_coming()
        self.check_budget(family)
        dues = [min(m.due, m.pause, m.revival) for m in self.members.values()]
        assert self.armed == min(dues, default=math.inf)
        assert family.mode == self.mode
        assert family.stale == self.stale
        assert family.restarts == self.restarts
        assert family.alive == sum(member.alive for member in self.members.values())
        assert list(family.children) == list(self.members)
        for name, member in self.members.items():
            child = family.children[name]
            assert child.phase in self.phases(member), name
            assert child.number == member.number
            if member.spec.restart == "permanent" and self.mode == "running":
                due = child.phase == "waiting" or child.coming
                assert due or member.alive or member.excused, f"{name} is down for ever"

    def check_going(self) -> None:
        going = self.doomed
        asked = [member.told or member.verdict is not None for member in going]
        assert all(asked[-1:] if self.stops_in_order else asked), "somebody ought to go"
        assert self.mode != "stopping" or going, "it ought to have ended"

    def check_coming(self) -> None:
        if self.mode not in ("starting", "running") or self.held_up:
            return
        absent = [member for member in self.wished if member.state != "up"]
        for member in absent[:1] if self.starts_in_order else absent:
            assert member.alive or member.pause < math.inf, "somebody ought to come"
        assert absent or self.mode == "running", "all are up"

    def check_budget(self, family: Family) -> None:
        limit = self.policy.intensity
        for name, member in self.members.items():
            own = self.policy.budget_scope == "child"
            log = family.children[name].log if own else family.log
            if limit is None:
                assert log is None
                continue
            assert log is not None
            stamps = member.stamps if own else self.stamps
            recent = sum(self.now - stamp <= limit.period for stamp in stamps)
            assert log.left(self.now) == max(0, limit.restarts - recent)
            scope = name if own else ""
            granted = [at for who, at in self.granted if who == scope]
            assert sum(self.now - at <= limit.period for at in granted) <= limit.restarts

    def phases(self, member: Member) -> tuple[str, ...]:
        """Return what the family may call what the member is doing."""
        if member.told:
            return ("stopping",)
        if member.verdict is not None:
            return ("starting", "stopping")
        if member.alive:
            return (member.state,)
        if member.parked:
            return ("parked",)
        return ("waiting",) if member.pause < math.inf else ("down",)
