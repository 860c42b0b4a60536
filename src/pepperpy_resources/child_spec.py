"""`ChildSpec`: one child of a supervisor; and what a `Supervisor` is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from pepperpy_resources._callables import describe
from pepperpy_resources._checks import Refusal, Rule, flag, one_of, seconds, shown, whole
from pepperpy_resources._given import (
    Contradiction,
    check_fields,
    check_names,
    check_together,
    checked,
    invalid,
)
from pepperpy_resources._rules import INTENSITY, PAUSES
from pepperpy_resources.actors.actor import Actor
from pepperpy_resources.actors.supervisor import StartWith
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

RestartWord = Restart | Literal["permanent", "transient", "temporary"]

UNSET: Any = msgspec.UNSET
ENDLESS = math.inf
MOST_ARGUMENTS = 1000
MOST_CHILDREN = 100_000  # that a supervisor starts with: an iterator may have no end

_FORBIDDEN = ":/*?[]"  # "/" parts a path, ":" a resource id; the others are patterns


def child_id(value: object) -> object:
    """Rule of a child's id: it is a part of a path."""
    allowed = f"a printable word without whitespace or any of {_FORBIDDEN}"
    text = str.__str__(value) if isinstance(value, str) else ""
    for at, char in enumerate(text):
        if char in _FORBIDDEN or char.isspace() or not char.isprintable():
            # Only up to the mistake: what has a ":" in it may be a URL with a password.
            return Refusal(allowed, shown(text[: at + 1]) + ("..." if text[at + 1 :] else ""))
    return text or Refusal(allowed)


def checked_id(name: object) -> str:
    """Return a child's id; raises `UsageError` for what cannot be one."""
    return str(checked(name, child_id, "an order about a child", "id"))


def word_of(kind: type[StrEnum]) -> Rule:
    """Make the rule of a member of an enumeration, or its word."""
    rule = one_of(*(member.value for member in kind))

    def word(value: object) -> object:
        stored = rule(value)
        return stored if isinstance(stored, Refusal) else kind(str(stored))

    return word


def maker(value: Any) -> object:
    """Rule of what makes a child; anything else is shown by its type: it may be a secret."""
    given: Any = value
    if isinstance(value, type):
        got, is_maker = describe(given), issubclass(value, Actor) and value is not Actor
    else:
        got = f"a value of type {type(given).__name__}"
        is_maker = isinstance(getattr(given, "spec", None), SupervisorSpec)
    return given if is_maker else Refusal("a subclass of Actor, or a Supervisor", got)


def arguments(value: Any) -> object:
    """Rule of positional arguments; their values are not shown."""
    given: Any = value
    allowed, kind = "a tuple", type(given).__name__
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return Refusal(allowed, f"a value of type {kind}")
    items: tuple[Any, ...] = tuple(islice(given, MOST_ARGUMENTS + 1))
    return (
        items if len(items) <= MOST_ARGUMENTS else Refusal(allowed, f"more than {MOST_ARGUMENTS}")
    )


def keywords(value: Any) -> object:
    """Rule of keyword arguments; their values are not shown."""
    given: Any = value
    allowed, kind = "a dict with str keys", type(given).__name__
    if not isinstance(value, Mapping):
        return Refusal(allowed, f"a value of type {kind}")
    names: list[Any] = list(islice(given, MOST_ARGUMENTS + 1))
    if len(names) > MOST_ARGUMENTS:
        return Refusal(allowed, f"more than {MOST_ARGUMENTS}")
    if not all(isinstance(name, str) for name in names):
        return Refusal(allowed, f"a {kind} with others")
    return {name: given[name] for name in names}


FIRST_RULES: dict[str, Rule] = {"id": child_id, "actor": maker, "supervises": flag}

OTHER_RULES: dict[str, Rule] = {
    "args": arguments,
    "kwargs": keywords,
    "restart": word_of(Restart),
    "shutdown": seconds(zero="kill at once", forever="wait for ever"),
    "start_timeout": seconds(forever="wait for ever"),
    "significant": flag,
    "max_mailbox": whole(1, none="no limit"),
    "stuck_after": seconds(forever="never"),
    "drain": flag,
}


class _SpecMeta(msgspec.StructMeta):
    # msgspec's own constructor raises TypeError for an unknown keyword. Hidden from type checkers,
    # which know the constructor from the fields.
    if not TYPE_CHECKING:

        def __call__(cls, *given: object, **fields: Any) -> object:  # noqa: N805 - a metaclass
            check_names(given, fields, ("id", "actor"), cls.__struct_fields__)
            return super().__call__(*given, **fields)


class Made(ChildPolicy, metaclass=_SpecMeta, frozen=True):
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
    restart: RestartWord = Restart.PERMANENT  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    shutdown: float | timedelta = UNSET  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    start_timeout: float | timedelta = UNSET  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    max_mailbox: int | None = None
    stuck_after: float | timedelta = 5.0
    drain: bool = False

    def __post_init__(self) -> None:
        """Check and normalise every field, then what holds between fields."""
        of = spec_name(self.id)
        check_fields(self, FIRST_RULES, of)
        above = self.supervisor is not None
        if self.supervises and not above:
            raise invalid(of, "supervises", "left out: it follows from actor", "True")
        set_field(self, "supervises", above)
        for field, worker in (("shutdown", 5.0), ("start_timeout", 30.0)):
            if getattr(self, field) is UNSET:
                set_field(self, field, ENDLESS if above else worker)
        check_fields(self, OTHER_RULES, of)
        check_together(self, CHILD_CONTRADICTIONS, of)

    @property
    def supervisor(self) -> SupervisorSpec | None:
        """What it supervises, None for a worker."""
        spec = getattr(self.actor, "spec", None)
        return spec if isinstance(spec, SupervisorSpec) else None

    def __repr__(self) -> str:
        """Return the id and what makes it; arguments may be secret."""
        made = describe(self.actor) if isinstance(self.actor, type) else repr(self.actor)
        return f"ChildSpec({self.id!r}, {made}, {self.restart})"


def is_spec(given: object) -> bool:
    """Tell whether this is the spec of a child; isinstance may run code of what is given."""
    return issubclass(type(given), ChildSpec)


def spec_name(name: object) -> str:
    """Return how errors name the spec of this id, which may be no id and secret."""
    usable = type(name) is str and not isinstance(child_id(name), Refusal)
    return f"ChildSpec {name!r}" if usable else "ChildSpec"


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
     lambda s: bool(s.args) and s.supervises,
     "empty for a supervisor: it is made already"),
    ("kwargs",
     lambda s: bool(s.kwargs) and s.supervises,
     "empty for a supervisor: it is made already"),
)  # fmt: skip


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
        if not is_spec(child):
            raise InvalidSpec(f"a ChildSpec is expected, not {type(child).__name__}")
        if self.dynamic:
            raise InvalidSpec(
                "a simple_one_for_one supervisor makes all children from its one spec"
            )
        check_significant(child, self.policy)

    def id_of(self, order: Any) -> str:
        """Return the id an order is about; raises `UsageError` for what cannot be one."""
        return checked_id(order.id)

    def child_with(self, wanted: StartWith, numbered: Callable[[str], str]) -> ChildSpec:
        """Return the spec of one more child; raises `InvalidSpec`.

        `numbered` makes an id that is free out of the spec's, for a child without one.
        """
        if not self.dynamic:
            raise InvalidSpec(
                f"strategy {self.policy.strategy.value!r}: children are added by their specs, "
                "start_child(ChildSpec(...))"
            )
        template = self.children[0]
        name = numbered(template.id) if wanted.id is None else checked_id(wanted.id)
        of = spec_name(name)
        more: Any = checked(wanted.args, arguments, of, "args")
        named: Any = checked(wanted.kwargs, keywords, of, "kwargs")
        return msgspec.structs.replace(
            template,
            id=name,
            args=(*template.args, *more),
            kwargs={**template.kwargs, **named},
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
        intensity = Intensity() if backoff is UNSET or backoff is None else None
    if backoff is UNSET:
        backoff = Backoff()
    policy = FamilyPolicy(intensity=intensity, backoff=backoff, **flags)
    check_fields(policy, FLAG_RULES, "Supervisor")
    check_together(policy, FLAG_CONTRADICTIONS, "Supervisor")
    return SupervisorSpec(policy, checked_children(children, policy))


def checked_children(given: Any, policy: FamilyPolicy) -> tuple[ChildSpec, ...]:
    """Return the specs as a tuple; refuse what is none, and an id given twice."""
    children: tuple[ChildSpec, ...] = cast("Any", checked(given, specs, "Supervisor", "children"))
    ids: set[str] = set()
    for child in children:
        if child.id in ids:
            raise invalid(spec_name(child.id), "id", "given once", "it twice")
        ids.add(child.id)
        check_significant(child, policy)
    if policy.strategy is Strategy.SIMPLE_ONE_FOR_ONE and len(children) != 1:
        allowed = "one spec, of all children, with strategy='simple_one_for_one'"
        raise invalid("Supervisor", "children", allowed, str(len(children)))
    return children


def specs(value: Any) -> object:
    """Rule of the children a supervisor starts with."""
    given: Any = value
    allowed = "a list of ChildSpecs"
    if isinstance(value, ChildSpec | str | bytes) or not isinstance(value, Iterable):
        return Refusal(allowed, f"a value of type {type(value).__name__}")
    found: list[ChildSpec] = []
    for child in given:
        if not isinstance(child, ChildSpec):
            return Refusal(allowed, f"a value of type {type(child).__name__} in it")
        found.append(child)
        if len(found) > MOST_CHILDREN:
            return Refusal(allowed, f"more than {MOST_CHILDREN}")
    return tuple(found)


def check_significant(child: ChildSpec, policy: FamilyPolicy) -> None:
    """Refuse a significant child whose end would mean nothing."""
    if child.significant and policy.auto_shutdown is AutoShutdown.NEVER:
        allowed = "False where the supervisor has auto_shutdown='never'"
        raise invalid(spec_name(child.id), "significant", allowed, "True")


def set_field(spec: msgspec.Struct, field: str, value: object) -> None:
    """Store a field of a frozen spec that is being made."""
    msgspec.structs.force_setattr(spec, field, value)
