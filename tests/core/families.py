"""A family under test: events in, effects out as short words."""

from __future__ import annotations

from typing import Any

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import Child, Family
from pepperpy_resources.core.kinship import (
    AutoShutdown,
    BudgetScope,
    ChildPolicy,
    Exit,
    ExitKind,
    FamilyPolicy,
    Restart,
    Strategy,
)
from pepperpy_resources.core.policy import Backoff, Intensity
from pepperpy_resources.core.supervising import supervise

NORMAL = Exit(ExitKind.NORMAL, "done")
SHUTDOWN = Exit(ExitKind.SHUTDOWN, "told to")
FAILURE = Exit(ExitKind.FAILURE, "boom", ValueError("boom"), "Work", 7.0)
KILLED = Exit(ExitKind.KILLED, "killed")
WORDS = {"strategy": Strategy, "budget_scope": BudgetScope, "auto_shutdown": AutoShutdown}


def word(effect: on.Effect) -> str:
    """Say an effect in short: `launch a 1`, `down failure`."""
    match effect:
        case on.Launch(name, number) | on.Tell(name, number) | on.Kill(name, number):
            return f"{type(effect).__name__.lower()} {name} {number}"
        case on.Park(name, exit_):
            return f"park {name} {exit_.kind}"
        case on.Drop(name, exit_):
            return f"drop {name} {exit_ and exit_.kind}"
        case on.Respond(ticket, answer):
            return f"answer {ticket}: {answer_word(answer)}"
        case on.WakeAt(at):
            return f"wake {at:g}"
        case on.AllUp():
            return "all up"
        case on.AllDown(exit_):
            return f"all down {exit_.kind}"
        case _:
            raise AssertionError(effect)


def answer_word(answer: object) -> str:
    """Say what an order is answered in short."""
    match answer:
        case on.StartRefused(name, exit_):
            return f"{name} refused {exit_.kind}"
        case Exit():
            return f"{answer.kind}"
        case _:
            return str(answer)


def kin(name: str, **rest: Any) -> ChildPolicy:
    """Return a child's policy; it is permanent unless said otherwise."""
    if "restart" in rest:
        rest["restart"] = Restart(rest["restart"])
    return ChildPolicy(name, **rest)


class Home:
    """One family and its clock."""

    def __init__(self, *children: ChildPolicy | str, **policy: Any) -> None:
        for field, kind in WORDS.items():
            if field in policy:
                policy[field] = kind(policy[field])
        self.family = Family(FamilyPolicy(**policy))
        for child in children:
            self.family.add(kin(child) if isinstance(child, str) else child)
        self.now = 0.0
        self.effects: list[on.Effect] = []  # of the last event
        self.armed = float("inf")  # what the last WakeAt asked for

    def send(
        self,
        event: on.FamilyEvent,
        *,
        at: float | None = None,
        ticket: Any = None,
        chance: float = 0.5,
    ) -> list[str]:
        """Let one event happen; return what is to be done, `WakeAt`s left out."""
        told = self.send_all(event, at=at, ticket=ticket, chance=chance)
        self.effects = [e for e in self.effects if not isinstance(e, on.WakeAt)]
        return [text for text in told if not text.startswith("wake")]

    def send_all(
        self,
        event: on.FamilyEvent,
        *,
        at: float | None = None,
        ticket: Any = None,
        chance: float = 0.5,
    ) -> list[str]:
        """Let one event happen; return what is to be done."""
        if at is not None:
            self.now = at
        self.effects = supervise(self.family, event, self.now, chance=chance, ticket=ticket)
        for effect in self.effects:
            if isinstance(effect, on.WakeAt):
                self.armed = effect.at
        return [word(e) for e in self.effects]

    # -- what its children do

    def up(self, name: str, at: float | None = None) -> list[str]:
        """Let a start be acknowledged."""
        return self.send(on.Started(name, self[name].number), at=at)

    def ends(
        self, name: str, exit_: Exit = SHUTDOWN, at: float | None = None, chance: float = 0.5
    ) -> list[str]:
        """Let a child end, by default as one that was told to."""
        return self.send(on.Exited(name, self[name].number, exit_), at=at, chance=chance)

    def crash(self, name: str, at: float | None = None, chance: float = 0.5) -> list[str]:
        """Let a child fail."""
        return self.ends(name, FAILURE, at, chance)

    # -- what is asked of it

    def begin(self) -> list[str]:
        """Start the family; every child comes up."""
        told = self.send(on.Begin())
        while "all up" not in told:
            _launch, name, _number = told[-1].split()
            told += self.up(name)
        return told

    def start(self, child: ChildPolicy | str, ticket: str | None = "T") -> list[str]:
        """Ask for a new child."""
        child = kin(child) if isinstance(child, str) else child
        return self.send(on.StartChild(child), ticket=ticket)

    def restart(self, name: str, ticket: str | None = "T") -> list[str]:
        """Ask for a child that is down."""
        return self.send(on.RestartChild(name), ticket=ticket)

    def terminate(self, name: str, ticket: str | None = "T") -> list[str]:
        """Ask a child away."""
        return self.send(on.TerminateChild(name), ticket=ticket)

    def delete(self, name: str, ticket: str = "T") -> list[str]:
        """Ask a child's spec away."""
        return self.send(on.DeleteChild(name), ticket=ticket)

    def stop(self, ticket: str | None = None, at: float | None = None) -> list[str]:
        """Ask for the end."""
        return self.send(on.Stop(), ticket=ticket, at=at)

    def tick(self, at: float | None = None) -> list[str]:
        """Let the time come that the last WakeAt asked for, or another."""
        return self.send(on.FamilyTick(), at=self.armed if at is None else at)

    # -- how it stands

    def left(self, name: str) -> int | None:
        """Return how many failures are left to a child."""
        log = self[name].log or self.family.log
        return None if log is None else log.left(self.now)

    def __getitem__(self, name: str) -> Child:
        return self.family.children[name]

    @property
    def phases(self) -> dict[str, str]:
        """Every child's phase and incarnation, in start order."""
        return {name: f"{c.phase} {c.number}" for name, c in self.family.children.items()}

    @property
    def alive(self) -> str:
        """The children that have an incarnation, in start order."""
        return " ".join(
            f"{name}{c.number}"
            for name, c in self.family.children.items()
            if c.phase in ("starting", "up", "stopping")
        )


SLOW = Backoff(min=1.0, jitter=0.0, attempts=1)  # the first failure is waited for as well


def home(*children: ChildPolicy | str, **policy: Any) -> Home:
    """Return a family that is up."""
    made = Home(*children, **policy)
    made.begin()
    return made


def waiting(**rest: Any) -> Home:
    """Return a family whose child `a` waits for its backoff."""
    family = home(kin("a", **rest), "b", backoff=SLOW)
    assert family.crash("a") == []
    assert family.phases["a"] == "waiting 1"
    return family


def parked() -> Home:
    """Return a family whose child `a` has been given up."""
    family = home(
        "a", "b", intensity=Intensity(restarts=0), budget_scope="child", revive_after=30.0
    )
    assert family.crash("a") == ["park a failure"]
    return family
