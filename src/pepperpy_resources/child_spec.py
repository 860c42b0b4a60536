"""`ChildSpec`: one child of a supervisor; and what a `Supervisor` is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec

from pepperpy_resources._checks import Refusal, Rule, flag, one_of, seconds, shown, whole
from pepperpy_resources._rules import INTENSITY, PAUSES
from pepperpy_resources.actors.actor import Actor
from pepperpy_resources.core.kinship import (
    AutoShutdown,
    BudgetScope,
    ChildPolicy,
    FamilyPolicy,
    Restart,
    Strategy,
)
from pepperpy_resources.core.policy import Backoff, Intensity
from pepperpy_resources.errors import InvalidSpec

UNSET: Any = msgspec.UNSET
ENDLESS = math.inf


def child_id(value: object) -> object:
    """Rule of a child's id: it is a part of a path."""
    allowed = "a printable word without whitespace or any of :/*?[]"
    if not isinstance(value, str) or not value:
        return Refusal(allowed)
    bad = any(char in ":/*?[]" or char.isspace() or not char.isprintable() for char in value)
    return Refusal(allowed) if bad else str.__str__(value)


def word_of(kind: type[StrEnum]) -> Rule:
    """Make the rule of a member of an enumeration, or its word."""
    rule = one_of(*kind)

    def member(value: object) -> object:
        stored = rule(value)
        return stored if isinstance(stored, Refusal) else kind(str(stored))

    return member


def maker(value: Any) -> object:
    """Rule of what makes a child."""
    given: Any = value
    if isinstance(value, type):
        got = f"the class {value.__name__}"
        is_maker = issubclass(value, Actor) and value is not Actor
    else:
        got, is_maker = "", isinstance(getattr(given, "spec", None), SupervisorSpec)
    if is_maker:
        return given
    return Refusal("a subclass of Actor, or a Supervisor", got)


def arguments(value: Any) -> object:
    """Rule of positional arguments; their values are not shown."""
    items: Any = value
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return Refusal("a tuple", f"a {type(items).__name__}")
    return tuple(items)


def keywords(value: Any) -> object:
    """Rule of keyword arguments; their values are not shown."""
    kind, items = type(value).__name__, value
    if not isinstance(value, Mapping):
        return Refusal("a dict with str keys", f"a {kind}")
    stored: dict[object, object] = dict(items)
    named = all(isinstance(key, str) for key in stored)
    return stored if named else Refusal("a dict with str keys", f"a {kind} with others")


CHILD_RULES: dict[str, Rule] = {
    "id": child_id,
    "actor": maker,
    "args": arguments,
    "kwargs": keywords,
    "restart": word_of(Restart),
    "shutdown": seconds(zero="kill at once", forever="wait for ever"),
    "start_timeout": seconds(forever="wait for ever"),
    "significant": flag,
    "supervises": flag,
    "max_mailbox": whole(1, none="no limit"),
    "stuck_after": seconds(forever="never"),
    "drain": flag,
}


class Made(ChildPolicy, frozen=True):
    """Gives what makes a child the second place in its spec."""

    actor: Any = UNSET


class ChildSpec(Made, frozen=True, kw_only=True):
    """One child of a supervisor; as OTP's child specification.

    `id`: its name below the supervisor. `actor`: a subclass of `Actor`, made with `args` and
    `kwargs` for each incarnation, or a `Supervisor`, which is started anew with the children it
    was made with. `restart`: "permanent", "transient" or "temporary". `shutdown`: seconds it has
    to end when told to (5; for a supervisor no limit), 0 kills at once. `start_timeout`: seconds
    its start may take (30; for a supervisor no limit). `significant`: its end may end the
    supervisor, see `auto_shutdown` there. `max_mailbox`: messages that may wait (None: any
    number). `stuck_after`: seconds a turn may take before it is shown as stuck (5). `drain`: when
    told to stop, what is queued is handled first, within `shutdown`.

    Raises `InvalidSpec`, naming field, value and what is allowed.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - a Struct copies it
    shutdown: float | timedelta = UNSET  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    start_timeout: float | timedelta = UNSET  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    max_mailbox: int | None = None
    stuck_after: float | timedelta = 5.0
    drain: bool = False

    def __post_init__(self) -> None:
        """Check and normalise every field, then what holds between fields."""
        above = self.supervisor is not None
        set_field(self, "supervises", above)
        for field, worker in (("shutdown", 5.0), ("start_timeout", 30.0)):
            if getattr(self, field) is UNSET:
                set_field(self, field, ENDLESS if above else worker)
        check_fields(self, CHILD_RULES, f"ChildSpec {self.id!r}" if known(self.id) else "ChildSpec")
        check_together(self, CHILD_CONTRADICTIONS, f"ChildSpec {self.id!r}")

    @property
    def supervisor(self) -> SupervisorSpec | None:
        """What it supervises, None for a worker."""
        spec = getattr(self.actor, "spec", None)
        return spec if isinstance(spec, SupervisorSpec) else None

    def __repr__(self) -> str:
        """Return the id and what makes it; arguments may be secret."""
        made = self.actor.__name__ if isinstance(self.actor, type) else repr(self.actor)
        return f"ChildSpec({self.id!r}, {made}, {self.restart.value})"


# A rule between fields: the field to blame, what may not be, what is allowed instead.
Contradiction = tuple[str, Callable[[Any], bool], str]

CHILD_CONTRADICTIONS: tuple[Contradiction, ...] = (
    ("significant",
     lambda s: s.significant and s.restart is Restart.PERMANENT,
     "False with restart='permanent': such a child never ends for good"),
    ("drain",
     lambda s: s.drain and s.supervises,
     "False for a supervisor: its children drain, where their own specs say so"),
    ("drain",
     lambda s: s.drain and s.shutdown == 0,
     "False with shutdown=0, which kills at once"),
    ("max_mailbox",
     lambda s: s.max_mailbox is not None and s.supervises,
     "None for a supervisor"),
    ("args",
     lambda s: bool(s.args or s.kwargs) and s.supervises,
     "empty for a supervisor: it is made already"),
)  # fmt: skip


class StartWith(msgspec.Struct, frozen=True):
    """Start one more child of a `simple_one_for_one` supervisor.

    These arguments come after those of the spec; `id` None: the spec's, numbered. Raises
    `InvalidSpec`.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    id: str | None = None

    def __post_init__(self) -> None:
        """Read what is given in the code that gives it: no turn runs a user's iterators."""
        own = {} if self.id is None else {"id": child_id}
        check_fields(self, {"args": arguments, "kwargs": keywords, **own}, "StartWith")


class SupervisorSpec(msgspec.Struct, frozen=True):
    """What a supervisor is made of: its flags, the children it starts with, or their one spec."""

    policy: FamilyPolicy
    children: tuple[ChildSpec, ...]

    @property
    def initial(self) -> tuple[ChildSpec, ...]:
        """The children it starts with."""
        return () if self.dynamic else self.children

    @property
    def dynamic(self) -> bool:
        """Whether all children are made from one spec."""
        return self.policy.strategy is Strategy.SIMPLE_ONE_FOR_ONE

    def check_child(self, child: Any) -> None:
        """Refuse a child that cannot be one here; raises `InvalidSpec`."""
        if not isinstance(child, ChildSpec):
            raise InvalidSpec(f"a ChildSpec is expected, not {type(child).__name__}")
        if self.dynamic:
            raise InvalidSpec(
                "a simple_one_for_one supervisor makes all children from its one spec"
            )
        check_significant(child, self.policy)

    def child_with(self, wanted: StartWith, number: int) -> ChildSpec:
        """Return the spec of one more child; raises `InvalidSpec`."""
        if not self.dynamic:
            raise InvalidSpec(
                f"strategy {self.policy.strategy.value!r}: children are added by their specs, "
                "start_child(ChildSpec(...))"
            )
        template = self.children[0]
        return msgspec.structs.replace(
            template,
            id=wanted.id or f"{template.id}-{number}",
            args=(*template.args, *wanted.args),
            kwargs={**template.kwargs, **wanted.kwargs},
        )


FLAG_RULES: dict[str, Rule] = {
    "strategy": word_of(Strategy),
    "intensity": INTENSITY,
    "backoff": PAUSES,
    "budget_scope": word_of(BudgetScope),
    "auto_shutdown": word_of(AutoShutdown),
    "revive_after": seconds(forever="never"),
}

FLAG_CONTRADICTIONS: tuple[Contradiction, ...] = (
    ("budget_scope",
     lambda p: p.budget_scope is BudgetScope.CHILD
     and p.strategy in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE),
     "'supervisor' where children are restarted together"),
    ("revive_after",
     lambda p: p.revive_after < ENDLESS and p.budget_scope is BudgetScope.SUPERVISOR,
     "left out, or budget_scope 'child': else no child is ever parked"),
    ("backoff",
     lambda p: p.backoff is not None and p.backoff.attempts is not None,
     "without attempts: what limits restarts is the intensity"),
)  # fmt: skip


def supervisor_spec(
    children: Iterable[ChildSpec], intensity: Any, backoff: Any, **flags: Any
) -> SupervisorSpec:
    """Return what a supervisor is made of, checked; raises `InvalidSpec`."""
    if intensity is UNSET:  # with pauses of the user's own, restarts go on for ever
        intensity = None if isinstance(backoff, Backoff) else Intensity()
    if backoff is UNSET:
        backoff = Backoff()
    policy = FamilyPolicy(intensity=intensity, backoff=backoff, **flags)
    check_fields(policy, FLAG_RULES, "Supervisor")
    check_together(policy, FLAG_CONTRADICTIONS, "Supervisor")
    return SupervisorSpec(policy, checked_children(children, policy))


def checked_children(given: Any, policy: FamilyPolicy) -> tuple[ChildSpec, ...]:
    """Return the specs as a tuple; refuse what is none, and an id given twice."""
    children: Any = given
    if isinstance(given, ChildSpec | str | bytes) or not isinstance(given, Iterable):
        kind = type(given).__name__
        raise InvalidSpec(f"Supervisor: a list of ChildSpecs is expected, not {kind}")
    specs: dict[str, ChildSpec] = {}
    for child in children:
        if not isinstance(child, ChildSpec):
            raise InvalidSpec(f"a ChildSpec is expected, not {type(child).__name__}")
        if child.id in specs:
            raise InvalidSpec(f"ChildSpec {child.id!r}: id must be given once; got it twice")
        check_significant(child, policy)
        specs[child.id] = child
    if policy.strategy is Strategy.SIMPLE_ONE_FOR_ONE and len(specs) != 1:
        got = len(specs)
        raise InvalidSpec(f"Supervisor: children must be one spec, of them all; got {got}")
    return tuple(specs.values())


def check_significant(child: ChildSpec, policy: FamilyPolicy) -> None:
    """Refuse a significant child whose end would mean nothing."""
    if child.significant and policy.auto_shutdown is AutoShutdown.NEVER:
        raise InvalidSpec(
            f"ChildSpec {child.id!r}: significant must be False with auto_shutdown='never' "
            "(or 'any_significant' or 'all_significant' on the supervisor); got True"
        )


def check_fields(spec: msgspec.Struct, rules: Mapping[str, Rule], of: str) -> None:
    """Check and normalise each field by its rule; raises `InvalidSpec`."""
    for field, rule in rules.items():
        given = getattr(spec, field)
        stored = rule(given)
        if isinstance(stored, Refusal):
            got = stored.got or ("nothing" if given is UNSET else shown(given))
            raise InvalidSpec(f"{of}: {field}{stored.part} must be {stored.allowed}; got {got}")
        set_field(spec, field, stored)


def check_together(spec: Any, contradictions: Iterable[Contradiction], of: str) -> None:
    """Refuse fields that are valid each by itself and cannot both hold."""
    for field, found, allowed in contradictions:
        if found(spec):
            raise InvalidSpec(f"{of}: {field} must be {allowed}; got {shown(getattr(spec, field))}")


def set_field(spec: msgspec.Struct, field: str, value: object) -> None:
    """Store a field of a frozen spec that is being made."""
    msgspec.structs.force_setattr(spec, field, value)


def known(name: object) -> bool:
    """Tell whether an id may be shown."""
    return not isinstance(child_id(name), Refusal)
