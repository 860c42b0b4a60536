"""Any value in any field, alone and together, in Python and in TOML: honoured or refused."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperpy_resources.core.policy import Policy
from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.spec import Backoff, Budget, Intensity, ResourceSpec
from pepperpy_resources.spec_file import load_specs
from tests import spec_kit
from tests.spec_kit import (
    Broken,
    CallableHook,
    async_context,
    async_hook,
    build,
    connect,
    context,
    generator,
    hook,
    make,
)

T = TypeVar("T")

KIT = spec_kit.__name__
FIELDS = ResourceSpec.__struct_fields__
DURATIONS = (
    "acquire_timeout", "ageing", "create_timeout", "check_timeout", "reset_timeout",
    "close_timeout", "fresh_for", "idle_timeout", "max_lifetime", "max_queue_delay", "keepalive",
    "max_hold",
)  # fmt: skip


def keyed_factory(resource_id: str = "", **_: object) -> str:
    return resource_id


class Order(StrEnum):
    FIFO = "fifo"


class Five(IntEnum):
    FIVE = 5


class Unreadable:
    """Even `isinstance` raises."""

    @property
    def __class__(self) -> Any:
        raise OSError("secret")

    @__class__.setter
    def __class__(self, kind: Any) -> None: ...


BAD_PART = Backoff(min=Unreadable())  # type: ignore[arg-type]


class UnreadableHook(CallableHook):
    @property
    def __signature__(self) -> Any:
        raise OSError("secret")


def of_itself() -> object:
    wrapped = functools.partial(make)
    wrapped.__setstate__((wrapped, (), {}, {}))  # type: ignore[attr-defined]
    return wrapped


# --- any value of any type, one field at a time -------------------------------------------

NUMBERS = st.integers() | st.floats() | st.timedeltas() | st.booleans() | st.decimals()
WORDS = st.sampled_from(["acquire", "return", "lifo", "full", "keep", "revoke", "a:b", "#a", "db"])
JUNK = st.recursive(
    st.none()
    | NUMBERS
    | st.integers(10**300, 10**6000)
    | st.complex_numbers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | WORDS
    | st.sampled_from([object(), object, hook, connect, generator, context, ..., Broken()])
    | st.sampled_from([UnreadableHook(), Order.FIFO, Five.FIVE])
    | st.builds(Backoff, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.none() | NUMBERS)
    | st.builds(Intensity, NUMBERS, NUMBERS)
    | st.builds(Budget, WORDS | NUMBERS, NUMBERS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.frozensets(WORDS | st.integers())
        | st.dictionaries(st.text(), inner, max_size=2)
    ),
    max_leaves=4,
)
# A field that is valid by itself may make another one a contradiction: that one is named.
BLAMED = {
    "acquire_timeout": "max_queue_delay",
    "budget": "min_idle",
    "check": "keepalive",
    "create_timeout": "max_lifetime",
    "idle_timeout": "keepalive",
    "keyed": "factory",
    "max_hold": "on_overdue",
    "max_lifetime": "keepalive",
    "max_size": "min_idle",
    "name": "depends_on",
    "thread_bound": "factory",
}


def outcome(call: Callable[[], T]) -> tuple[T | None, str]:
    """Return what the call gives, or the text of its `InvalidSpec`; nothing else may be raised."""
    try:
        return call(), ""
    except InvalidSpec as refusal:
        return None, str(refusal)


def accepted(fields: dict[str, Any], *blamed: str) -> ResourceSpec[Any] | None:
    """Return the spec, or None for one that is refused by naming one of these fields."""
    spec, refusal = outcome(lambda: build(**fields))
    if spec is None:
        told = refusal.partition(": ")[2]
        assert told.startswith(blamed), told
        assert "; got " in told
    return spec


@pytest.mark.parametrize("field", [*FIELDS, "scope", "placement"])
@settings(max_examples=60, deadline=None)
@given(value=JUNK, keyed=st.booleans())
def test_any_value_is_normalised_or_refused_by_name(field: str, value: Any, *, keyed: bool) -> None:
    fields = {"check": hook, "keyed": keyed, "factory": keyed_factory, field: value}
    before = copy.copy(value)
    spec = accepted(fields, field, BLAMED.get(field, field))
    assert type(value) not in (list, dict) or before == value
    if spec is None:
        return
    stored = {name: getattr(spec, name) for name in FIELDS}
    assert build(**stored) == spec
    for name in (*DURATIONS, "lifetime_jitter"):
        assert type(stored[name]) is float or (stored[name] is None and name in DURATIONS[-3:])
    plain = (str, int, float, bool, tuple, frozenset, Backoff, Budget, Intensity, type(None))
    assert all(type(kept) in plain or callable(kept) for kept in stored.values())
    assert isinstance(spec.policy(), Policy)
    assert repr(spec).startswith("ResourceSpec(name=")


def test_what_cannot_be_looked_at_is_refused_without_its_secret() -> None:
    for field in (*FIELDS, "scope"):  # hypothesis cannot look at it either
        for value in (Unreadable(), [Unreadable()], (Unreadable(),), BAD_PART):
            with pytest.raises(InvalidSpec) as refusal:
                build(**{field: value})
            told = str(refusal.value).removeprefix("ResourceSpec").removeprefix(" 'db'")
            assert told.startswith((f": {field} must be ", f": {field}.min must be "))
            assert "; got " in told
            assert "secret" not in told
    with pytest.raises(InvalidSpec, match="a value that can be looked at; got one that raised OSE"):
        build(max_size=Unreadable())
    with pytest.raises(InvalidSpec, match="close must be a value that can be looked at"):
        build(close=UnreadableHook())
    with pytest.raises(InvalidSpec, match="factory must be a value that can be looked at"):
        build(factory=of_itself())


def test_a_subclass_of_a_plain_type_is_stored_as_the_plain_type() -> None:
    spec = build(order=Order.FIFO, name=Order.FIFO, max_size=Five.FIVE, idle_timeout=Five.FIVE)
    for field, stored in (
        ("order", "fifo"), ("name", "fifo"), ("max_size", 5), ("idle_timeout", 5.0),
    ):  # fmt: skip
        assert getattr(spec, field) == stored
        assert type(getattr(spec, field)) is type(stored)


# --- valid values together: the contradictions once more, worked out by hand --------------


def seconds(*more: float | None) -> st.SearchStrategy[Any]:
    plain = st.sampled_from([0.25, 1, 5.0, 30, 600, 1800, 7200])
    return plain | plain.map(lambda s: timedelta(seconds=s)) | st.sampled_from([1, *more])


def hooks() -> st.SearchStrategy[Any]:
    return st.sampled_from([None, None, hook, async_hook, CallableHook()])


VALID: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["db", "llm"]),
    "factory": st.sampled_from([make, connect, async_context, context, keyed_factory]),
    "close": hooks(),
    "check": hooks(),
    "reset": hooks(),
    "on_acquire": hooks(),
    "is_connection_error": st.sampled_from([None, hook]),
    "on_exception": st.sampled_from([None, "keep", "reset", "discard"]),
    "max_size": st.sampled_from([None, 1, 5, 10, 50]),
    "min_idle": st.sampled_from([0, 1, 7, 20]),
    "max_opening": st.integers(1, 9),
    "keyed": st.booleans(),
    "max_holders": st.sampled_from([1, 1, 4]),
    "budget": st.none() | st.builds(Budget, st.just("all"), st.sampled_from([3, 12])),
    "order": st.sampled_from(["lifo", "fifo"]),
    "acquire_timeout": seconds(0, math.inf),
    "max_waiting": st.sampled_from([None, 0, 100]),
    "max_queue_delay": seconds(None),
    "priority": st.integers(-9, 9),
    "ageing": seconds(),
    "create_timeout": seconds(),
    "check_timeout": seconds(),
    "reset_timeout": seconds(),
    "close_timeout": seconds(),
    "check_on": st.none() | st.lists(st.sampled_from(["acquire", "return"])),
    "fresh_for": seconds(0),
    "keepalive": seconds(None),
    "idle_timeout": seconds(math.inf),
    "max_lifetime": seconds(math.inf),
    "lifetime_jitter": st.sampled_from([0, 0.25, 0.99]),
    "max_uses": st.sampled_from([None, 1, 1000]),
    "max_hold": seconds(None),
    "on_overdue": st.sampled_from(["report", "revoke"]),
    "borrow_stack": st.sampled_from(["line", "full", "off"]),
    "backoff": st.sampled_from([Backoff(), Backoff(min=1, factor=3, max=5, jitter=0, attempts=2)]),
    "restart": st.sampled_from([Intensity(), Intensity(0, 60)]),
    "required": st.booleans(),
    "depends_on": st.lists(st.sampled_from(["llm", "vault"]), max_size=3),
    "offload": st.booleans(),
    "thread_bound": st.booleans(),
}
DEFAULTS: dict[str, Any] = {
    "name": "db", "factory": connect, "close": None, "check": None, "reset": None,
    "on_acquire": None, "on_exception": None, "max_size": 10, "min_idle": 0, "keyed": False,
    "max_holders": 1, "budget": None, "acquire_timeout": 30, "max_waiting": None,
    "max_queue_delay": None, "create_timeout": 30, "check_on": None, "keepalive": None,
    "idle_timeout": 600, "max_lifetime": 1800, "max_uses": None, "max_hold": None,
    "on_overdue": "report", "depends_on": (), "thread_bound": False,
}  # fmt: skip


def in_seconds(value: Any) -> float:
    """Return a duration in seconds; None is none at all."""
    if value is None:
        return math.nan
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def contradicted(given: dict[str, Any]) -> set[str]:
    """Return the fields that cannot be honoured beside the others."""
    full = {**DEFAULTS, **given}
    took = {field: in_seconds(full.get(field)) for field in DURATIONS}
    keepalive, floor, limit = took["keepalive"], full["min_idle"], full["budget"]
    plain = {make, keyed_factory, hook, None}
    on_thread = ("factory", "close", "check", "reset", "on_acquire")
    rules: list[tuple[str, bool]] = [
        ("max_size", full["max_size"] is None and not full["keyed"] and limit is None),
        ("min_idle", full["keyed"] and floor > 0),
        ("min_idle", full["max_size"] is not None and floor > full["max_size"]),
        ("min_idle", limit is not None and floor > limit.limit),
        ("factory", full["keyed"] and full["factory"] in {async_context, context}),
        ("max_holders", full["max_holders"] > 1 and not full["keyed"]),
        ("max_holders", full["max_holders"] > 1 and full["reset"] is not None),
        ("on_exception", full["on_exception"] == "keep" and full["reset"] is not None),
        ("on_exception", full["on_exception"] == "reset" and full["reset"] is None),
        ("max_queue_delay", took["max_queue_delay"] >= took["acquire_timeout"]),
        ("keepalive", keepalive > 0 and full["check"] is None),
        ("keepalive", keepalive >= took["max_lifetime"]),
        ("keepalive", keepalive >= took["idle_timeout"] and floor == 0),
        ("on_overdue", full["on_overdue"] == "revoke" and full["max_hold"] is None),
        ("depends_on", full["name"] in full["depends_on"]),
        ("max_lifetime", took["max_lifetime"] < took["create_timeout"]),
        ("check_on", bool(full["check_on"]) and full["check"] is None),
        ("close", full["close"] is not None and full["factory"] in {async_context, context}),
    ]
    rules += [
        (field, full["thread_bound"] and not (full[field] in plain or hook_is_plain(full[field])))
        for field in on_thread
    ]
    return {field for field, holds in rules if holds}


def hook_is_plain(value: object) -> bool:
    return isinstance(value, CallableHook)


def some(*, all_of: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Return valid values of a few fields (or of all), each valid by itself."""
    if all_of:
        return st.fixed_dictionaries(VALID)
    few = st.lists(st.sampled_from(sorted(VALID)), max_size=9, unique=True)
    return few.flatmap(lambda names: st.fixed_dictionaries({name: VALID[name] for name in names}))


def honoured(spec: ResourceSpec[Any], fields: dict[str, Any]) -> None:
    """Check that the policy holds every number that was given, and `check_on`'s meaning."""
    policy = spec.policy()
    for field, value in fields.items():
        if field in DURATIONS:
            expected: Any = math.inf if value is None else in_seconds(value)
            assert getattr(spec, field) == (None if value is None else expected)
        elif field == "max_size" and value is None:
            expected = spec.budget.limit if spec.budget else math.inf
        else:
            expected = math.inf if value is None else value
        if field in Policy.__struct_fields__:
            assert getattr(policy, field) == expected
    moments = fields.get("check_on")
    if moments is None:
        moments = ["acquire"] if fields.get("check") else []
    assert policy.check_on_acquire == ("acquire" in moments)
    assert policy.check_on_return == ("return" in moments)
    assert policy.has_check == (fields.get("check") is not None)
    assert policy.has_reset == (fields.get("reset") is not None)
    assert spec.depends_on == tuple(dict.fromkeys(fields.get("depends_on", ())))
    for field in ("on_exception", "budget", "required", "backoff", "restart", "on_overdue"):
        if field in fields:
            assert getattr(spec, field) == fields[field]


@settings(max_examples=600, deadline=None)
@given(fields=some() | some(all_of=True))
def test_valid_values_together_are_honoured_or_refused_by_the_field_to_blame(
    fields: dict[str, Any],
) -> None:
    before = copy.deepcopy({k: v for k, v in fields.items() if not callable(v)})
    blamed = contradicted(fields)
    spec = accepted(fields, *blamed) if blamed else build(**fields)
    assert (spec is None) == bool(blamed), blamed
    assert before == {k: v for k, v in fields.items() if not callable(v)}
    if spec is not None:
        honoured(spec, fields)


# --- the same through a file --------------------------------------------------------------

PATHS: dict[Any, str] = {
    **{made: f"{KIT}:{made.__name__}" for made in (make, connect, hook, async_hook)},
    async_context: f"{KIT}:async_context",
    context: f"{KIT}:context",
    keyed_factory: f"{__name__}:keyed_factory",
}


@pytest.fixture(name="write", scope="module")
def fixture_write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    path = tmp_path_factory.mktemp("fuzz") / "pool.toml"

    def write(text: str) -> Path:
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return write


def toml(value: Any) -> str:
    """Return plain data as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = (char if char.isalnum() else f"\\U{ord(char):08x}" for char in value)
        return f'"{"".join(escaped)}"'
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(key)} = {toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return repr(value)


def as_written(field: str, value: Any) -> Any:
    """Return a valid value in the form that a file has for it; Ellipsis where there is none."""
    if callable(value):
        return PATHS.get(value, f"{KIT}:hook")
    if value is None:
        limits = ("max_size", "max_waiting", "max_uses", "max_queue_delay", "keepalive", "max_hold")
        return math.inf if field in limits else ...
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds():.6f}S"
    if isinstance(value, Budget):
        return value.name
    if isinstance(value, (Backoff, Intensity)):
        parts = {part: getattr(value, part) for part in value.__struct_fields__}
        return {part: kept for part, kept in parts.items() if kept is not None}
    return value


@settings(max_examples=200, deadline=None)
@given(fields=some() | some(all_of=True))
def test_a_file_is_honoured_or_refused_as_the_same_values_in_python(
    write: Callable[[str], Path], fields: dict[str, Any]
) -> None:
    fields = {"factory": make, "name": "db", **fields}
    for field, value in fields.items():
        if isinstance(value, CallableHook):  # an object has no import path
            fields[field] = hook
    name, budget = fields["name"], fields.get("budget")
    written = {field: as_written(field, value) for field, value in fields.items()}
    lines = [f"[types.{name}]"]
    lines += [f"{field} = {toml(value)}" for field, value in written.items()
              if value is not ... and field != "name"]  # fmt: skip
    if budget is not None:
        lines += ["[budgets.all]", f"limit = {budget.limit}"]
    path = write("\n".join(lines))
    expected, refusal = outcome(lambda: build(**fields))
    loaded, told = outcome(lambda: load_specs(path))
    assert told == (refusal and f"{path}: {refusal}")
    if loaded is None:
        return
    (spec,) = loaded
    assert expected is not None
    if spec.factory is not expected.factory:  # this module under its importable name
        spec = ResourceSpec(**{f: getattr(spec, f) for f in FIELDS if f != "factory"},
                            factory=expected.factory)  # fmt: skip
    assert spec == expected


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN = (
    st.booleans() | st.integers() | st.floats() | TEXT | WORDS
    | st.datetimes() | st.dates() | st.times()
    | st.sampled_from(["PT5S", "P1D", "-PT5S", "P1Y", "inf", "PT0S", "PT99999999999999999999S"])
    | st.sampled_from([f"{KIT}:hook", f"{KIT}:conect", f"{KIT}:KIT.x", "os:sep", "a.b:c", "a:b:c"])
)  # fmt: skip
TABLES = st.dictionaries(
    st.sampled_from(["min", "max", "factor", "jitter", "attempts", "restarts", "period", "limit"])
    | TEXT,
    PLAIN,
    max_size=4,
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | TABLES, max_leaves=4)


@pytest.mark.parametrize("field", [*FIELDS[1:], "scope", "name"])
@settings(max_examples=30, deadline=None)
@given(value=VALUES)
def test_any_value_in_a_file_is_taken_or_refused_by_file_type_and_field(
    write: Callable[[str], Path], field: str, value: Any
) -> None:
    written = {"factory": f"{__name__}:keyed_factory", "check": f"{KIT}:hook", field: value}
    lines = [f"{name} = {toml(kept)}" for name, kept in written.items()]
    path = write("\n".join(["[types.db]", *lines, "[budgets.db]", "limit = 3"]))
    specs, refusal = outcome(lambda: load_specs(path))
    if specs is None:
        where, _, told = refusal.partition(": ResourceSpec 'db': ")
        assert where == str(path)
        assert told.startswith((field, BLAMED.get(field, field)))
        assert "; got " in told
        return
    assert [type(spec.policy()) for spec in specs] == [Policy]


WHOLE_FILE = f"""[types.db]
factory = "{KIT}:connect"
check = "{KIT}:hook"
check_on = ["acquire"]
acquire_timeout = "PT2.5S"
budget = "all"
backoff = {{ min = 1, max = 2.5 }}

[types.db.restart]
period = "PT1M"

[budgets.all]
limit = 12
"""


@settings(max_examples=300, deadline=None)
@given(
    text=TEXT
    | st.tuples(st.integers(0, len(WHOLE_FILE)), st.integers(0, 9), TEXT).map(
        lambda cut: WHOLE_FILE[: cut[0]] + cut[2] + WHOLE_FILE[cut[0] + cut[1] :]
    )
)
def test_any_text_is_specs_or_is_refused_by_the_name_of_the_file(
    write: Callable[[str], Path], text: str
) -> None:
    path = write(text)
    specs, refusal = outcome(lambda: load_specs(path))
    assert refusal.startswith(f"{path}: ") or all(spec.policy().name for spec in specs or ())
