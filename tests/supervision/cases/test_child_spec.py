"""Case 7, a child's spec: what every field accepts and how it is stored; what is refused, and how.

Every refusal is an `InvalidSpec` that names the field, the value and what is allowed.
"""

from __future__ import annotations

import copy
import itertools
import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.supervision import Actor, ChildSpec, Restart, Supervisor
from tests.supervision.cases.given import (
    JUNK,
    LOOKED_AT,
    SECRET,
    BrokenMapping,
    EndlessMapping,
    Raises,
    Unreadable,
    Word,
    Worker,
    broken,
    numbered,
)

INF = math.inf
BELOW = Supervisor([], name="below")
HERE = Worker.__module__

DEFAULTS: dict[str, object] = {
    "args": (),
    "kwargs": {},
    "restart": Restart.PERMANENT,
    "shutdown": 5.0,
    "start_timeout": 30.0,
    "significant": False,
    "supervises": False,
    "max_mailbox": None,
    "stuck_after": 5.0,
    "drain": False,
}


def make(**fields: Any) -> ChildSpec:
    return ChildSpec(**{"id": "a", "actor": Worker, **fields})


def refusal(**fields: Any) -> str:
    """Return what the error says after the spec's name."""
    with pytest.raises(InvalidSpec) as caught:
        make(**fields)
    assert SECRET not in str(caught.value)
    return str(caught.value).removeprefix("ChildSpec 'a': ")


def fields_of(spec: ChildSpec) -> dict[str, object]:
    return {field: getattr(spec, field) for field in spec.__struct_fields__}


def test_07_a_worker_has_otps_defaults() -> None:
    assert fields_of(ChildSpec("a", Worker)) == {"id": "a", "actor": Worker, **DEFAULTS}


def test_07_a_supervisor_below_has_no_deadlines_unless_given() -> None:
    ends = {"supervises": True, "shutdown": INF, "start_timeout": INF}
    assert fields_of(ChildSpec("a", BELOW)) == {"id": "a", "actor": BELOW, **DEFAULTS, **ends}
    spec = ChildSpec("a", BELOW, shutdown=3, start_timeout=4)
    assert (spec.shutdown, spec.start_timeout) == (3.0, 4.0)


# Field, what is given, what is stored.
ACCEPTED: list[tuple[str, object, object]] = [
    *[("id", name, name) for name in ("a", "billing-2.main", "données", "#1", "a" * 300, ".")],
    ("id", Word.TRANSIENT, "transient"),
    ("actor", Worker, Worker),
    ("actor", BELOW, BELOW),
    ("args", (), ()),
    ("args", [1, 2], (1, 2)),
    ("args", iter("ab"), ("a", "b")),
    ("args", range(1000), tuple(range(1000))),
    ("kwargs", {"a": 1}, {"a": 1}),
    *[("restart", kind, kind) for kind in Restart],
    *[("restart", kind.value, kind) for kind in Restart],
    ("restart", Word.TRANSIENT, Restart.TRANSIENT),
    *[
        (field, given, stored)
        for field in ("shutdown", "start_timeout", "stuck_after")
        for given, stored in (
            (3, 3.0), (0.25, 0.25), (timedelta(minutes=2), 120.0), (INF, INF), (1e308, 1e308),
        )
    ],
    ("shutdown", 0, 0.0),
    ("shutdown", timedelta(0), 0.0),
    ("shutdown", -0.0, 0.0),
    ("supervises", False, False),
    ("max_mailbox", None, None),
    ("max_mailbox", 1, 1),
    ("max_mailbox", 2**63 - 1, 2**63 - 1),
    ("drain", True, True),
    ("drain", False, False),
    ("significant", False, False),
]  # fmt: skip


@pytest.mark.parametrize(("field", "given", "stored"), ACCEPTED, ids=numbered(ACCEPTED))
def test_07_an_accepted_value_is_stored_normalised(
    field: str, given: object, stored: object
) -> None:
    result = getattr(make(**{field: given}), field)
    assert result == stored
    assert type(result) is type(stored)


SECONDS = "seconds or a timedelta, > 0, math.inf = "
ALLOWED = {
    "restart": "'permanent' or 'transient' or 'temporary'",
    "shutdown": "seconds or a timedelta, >= 0 (0 = kill at once), math.inf = wait for ever",
    "start_timeout": SECONDS + "wait for ever",
    "stuck_after": SECONDS + "never",
    "significant": "True or False",
    "supervises": "True or False",
    "drain": "True or False",
    "max_mailbox": "an int >= 1 (below 2**63) or None (no limit)",
}
WORD = "a printable word without whitespace or any of :/*?[]"
MAKER = "a subclass of Actor, or a Supervisor"

# Field, what is given, what is allowed, how the value is shown)
REFUSED: list[tuple[str, object, str, str]] = [
    *[
        (field, given, allowed, shown)
        for field, allowed in ALLOWED.items()
        for given, shown in JUNK
        if (field, given) != ("max_mailbox", None)
    ],
    *[(field, True, ALLOWED[field], "True") for field in ("shutdown", "start_timeout")],
    *[(field, 0, ALLOWED[field], "0") for field in ("start_timeout", "stuck_after", "drain")],
    *[("max_mailbox", at, ALLOWED["max_mailbox"], str(at)) for at in (0, True, 1.0, 2**63)],
    ("restart", "Permanent", ALLOWED["restart"], "'Permanent'"),
    ("actor", None, MAKER, "a value of type NoneType"),
    ("actor", f"pg://me:{SECRET}@db", MAKER, "a value of type str"),
    ("actor", Actor, MAKER, "pepperpy_resources.actors.actor.Actor"),
    ("actor", int, MAKER, "int"),
    ("actor", Supervisor, MAKER, "pepperpy_resources.supervisor.Supervisor"),
    ("actor", make, MAKER, "a value of type function"),
    ("actor", lambda: Worker, MAKER, "a value of type function"),
    ("actor", ChildSpec("b", Worker), MAKER, "a value of type ChildSpec"),
    ("actor", Raises(), *LOOKED_AT),
    *[
        ("args", given, "a tuple", f"a value of type {type(given).__name__}")
        for given in (None, 3, SECRET, SECRET.encode(), {SECRET: SECRET}, Worker)
    ],
    ("args", itertools.count(), "a tuple", "more than 1000"),
    ("args", range(1001), "a tuple", "more than 1000"),
    ("args", broken(), *LOOKED_AT),
    *[
        ("kwargs", given, "a dict with str keys", f"a value of type {type(given).__name__}")
        for given in (None, 3, SECRET, [("a", SECRET)])
    ],
    ("kwargs", {1: SECRET}, "a dict with str keys", "a dict with others"),
    ("kwargs", EndlessMapping(), "a dict with str keys", "more than 1000"),
    ("kwargs", BrokenMapping(a=SECRET), *LOOKED_AT),
]


@pytest.mark.parametrize(("field", "given", "allowed", "got"), REFUSED, ids=numbered(REFUSED))
def test_07_every_invalid_field_is_refused_naming_field_value_and_what_is_allowed(
    field: str, given: object, allowed: str, got: str
) -> None:
    assert refusal(**{field: given}) == f"{field} must be {allowed}; got {got}"


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("", "''"),
        (None, "None"),
        (7, "7"),
        (b"a", "a value of type bytes"),
        ("a/b", "'a/'..."),
        ("a:b", "'a:'..."),
        (f"pg://me:{SECRET}@db", "'pg:'..."),
        (f"a {SECRET}", "'a '..."),
        ("a\n", "'a\\n'"),
        ("a\x00", "'a\\x00'"),
        ("a*", "'a*'"),
        ("?", "'?'"),
        ("[a", "'['..."),
        ("a]", "'a]'"),
        ("\ud800", "'\\ud800'"),
    ],
)
def test_07_a_refused_id_is_shown_only_up_to_the_mistake(given: object, got: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        ChildSpec(given, Worker)  # type: ignore[arg-type]
    assert str(caught.value) == f"ChildSpec: id must be {WORD}; got {got}"


@pytest.mark.parametrize("field", ["id", "actor", *DEFAULTS])
def test_07_what_cannot_be_looked_at_is_refused(field: str) -> None:
    told = refusal(**{field: Unreadable()}).removeprefix("ChildSpec: ")
    assert told == f"{field} must be {LOOKED_AT[0]}; got {LOOKED_AT[1]}"


@pytest.mark.parametrize(
    ("given", "fields", "said"),
    [
        ((), {}, "id must be given; got nothing"),
        (("a",), {}, "actor must be given; got nothing"),
        ((), {"actor": Worker}, "id must be given; got nothing"),
        (("a", Worker, 1, 2), {}, "only id and actor may be given by position; got 4 values"),
        (("a", Worker), {"id": "b"}, "id must be given once; got it by position and by keyword"),
        (("a", Worker), {"shutdwn": 1}, "unknown field 'shutdwn'; the nearest is 'shutdown'"),
        (("a", Worker), {"intensity": 1}, "unknown field 'intensity'; the nearest is "),
        (("a", Worker), {SECRET * 9: 1}, "unknown field '"),
    ],
)
def test_07_unknown_missing_and_misplaced_fields_are_refused(
    given: tuple[Any, ...], fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        ChildSpec(*given, **fields)
    assert str(caught.value).startswith(f"ChildSpec: {said}")


def test_07_arguments_are_shown_nowhere() -> None:
    spec = make(args=(SECRET,), kwargs={"password": SECRET})
    for text in (repr(spec), str(spec), f"{spec}", repr([spec])):
        assert SECRET not in text
    assert repr(spec) == f"ChildSpec('a', {HERE}.Worker, permanent)"


def test_07_a_spec_keeps_what_it_was_given_when_that_changes() -> None:
    args, kwargs = [1], {"a": 1}
    spec = make(args=args, kwargs=kwargs)
    args.append(2)
    kwargs["b"] = 2
    assert (spec.args, spec.kwargs) == ((1,), {"a": 1})


def test_07_a_spec_is_frozen_and_changed_by_copy() -> None:
    spec = make(shutdown=1)
    with pytest.raises(AttributeError):
        spec.shutdown = 2  # type: ignore[misc]
    assert msgspec.structs.replace(spec, shutdown=2).shutdown == 2.0
    assert copy.copy(spec) == spec
    with pytest.raises(InvalidSpec, match="shutdown must be"):
        msgspec.structs.replace(spec, shutdown=-1)
