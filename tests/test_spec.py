"""`ResourceSpec`: what every field accepts, how it is stored, and what every refusal says."""

import copy
import functools
import math
from datetime import timedelta
from decimal import Decimal
from itertools import repeat
from typing import Any

import msgspec
import pytest

from pepperpy_resources.core.policy import Policy
from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.spec import (
    Backoff,
    Budget,
    Intensity,
    ResourceSpec,
    SpecFields,
    resource_spec,
)
from tests import spec_kit
from tests.spec_kit import (
    AsyncCallableHook,
    Broken,
    CallableHook,
    async_context,
    async_generator,
    async_hook,
    build,
    connect,
    context,
    generator,
    hook,
    make,
)

KIT = spec_kit.__name__


def numbered(rows: list[Any]) -> list[str]:
    return [f"{row[0]}-{number}" for number, row in enumerate(rows)]


DEFAULTS: dict[str, object] = {
    "close": None,
    "check": None,
    "reset": None,
    "on_acquire": None,
    "is_connection_error": None,
    "on_exception": None,
    "max_size": 10,
    "min_idle": 0,
    "max_opening": 4,
    "keyed": False,
    "max_holders": 1,
    "budget": None,
    "order": "lifo",
    "acquire_timeout": 30.0,
    "max_waiting": None,
    "max_queue_delay": None,
    "priority": 0,
    "ageing": 1.0,
    "create_timeout": 30.0,
    "check_timeout": 5.0,
    "reset_timeout": 5.0,
    "close_timeout": 5.0,
    "check_on": frozenset[str](),
    "fresh_for": 0.5,
    "keepalive": None,
    "idle_timeout": 600.0,
    "max_lifetime": 1800.0,
    "lifetime_jitter": 0.25,
    "max_uses": None,
    "max_hold": None,
    "on_overdue": "report",
    "borrow_stack": "line",
    "backoff": Backoff(min=0.1, factor=2.0, max=10.0, jitter=0.2, attempts=None),
    "restart": Intensity(restarts=3, period=5.0),
    "required": True,
    "depends_on": (),
    "offload": False,
    "thread_bound": False,
}
HOOKS = ("close", "check", "reset", "on_acquire")
DEADLINES = ("create_timeout", "check_timeout", "reset_timeout", "close_timeout")
DURATIONS = (
    "acquire_timeout", "ageing", *DEADLINES, "fresh_for", "idle_timeout", "max_lifetime",
)  # fmt: skip
NOT_BUILT = ("scope", "placement")


def test_every_field_has_its_default() -> None:
    spec = build()
    assert {field: getattr(spec, field) for field in DEFAULTS} == DEFAULTS
    assert spec.__struct_fields__ == ("name", "factory", *DEFAULTS)


def test_resource_spec_takes_the_same_fields() -> None:
    assert {*SpecFields.__annotations__, "name", "factory", "close"} == {
        *ResourceSpec.__struct_fields__
    }
    assert resource_spec("db", factory=connect, max_size=3) == build(max_size=3)


# (field, given, stored, the other fields it needs)
Accepted = tuple[str, object, object, dict[str, Any]]
ACCEPTED: list[Accepted] = [
    *[("name", name, name, {}) for name in ("db", "billing-db_2.main", "données", "a#b")],
    *[
        ("factory", factory, factory, {})
        for factory in (connect, make, async_generator, generator, async_context, context)
    ],
    *[("factory", factory, factory, {}) for factory in (str, functools.partial(make, "dsn"))],
    *[
        (field, given, given, {})
        for field in HOOKS
        for given in (None, hook, async_hook, CallableHook(), AsyncCallableHook(), str.upper)
    ],
    ("close", hook, hook, {"factory": make}),
    ("is_connection_error", hook, hook, {}),
    ("max_size", 1, 1, {}),
    ("max_size", None, None, {"keyed": True}),
    ("min_idle", 10, 10, {}),
    ("max_opening", 1, 1, {}),
    ("keyed", True, True, {}),
    ("max_holders", 8, 8, {"keyed": True}),
    ("order", "fifo", "fifo", {}),
    ("acquire_timeout", 0, 0.0, {}),
    ("acquire_timeout", math.inf, math.inf, {}),
    ("max_size", None, None, {"budget": Budget("all", 5)}),
    ("on_exception", "keep", "keep", {}),
    ("on_exception", "discard", "discard", {"reset": hook}),
    ("on_exception", "reset", "reset", {"reset": hook}),
    ("budget", Budget("all", 1), Budget("all", 1), {}),
    ("min_idle", 5, 5, {"budget": Budget("all", 5)}),
    ("max_queue_delay", timedelta(milliseconds=500), 0.5, {}),
    ("max_queue_delay", 29.9, 29.9, {}),
    ("priority", -9, -9, {}),
    ("priority", 9, 9, {}),
    ("ageing", 0.1, 0.1, {}),
    ("keepalive", 599, 599.0, {"check": hook}),
    ("keepalive", 601, 601.0, {"check": hook, "min_idle": 1}),
    ("max_uses", 1, 1, {}),
    ("max_hold", timedelta(minutes=1), 60.0, {}),
    ("on_overdue", "revoke", "revoke", {"max_hold": 1}),
    ("required", False, False, {}),
    ("depends_on", ["b", "a", "b"], ("b", "a"), {}),
    ("depends_on", iter(["b"]), ("b",), {}),
    ("depends_on", {"b": 1}, ("b",), {}),
    ("check_on", ["return"], frozenset({"return"}), {"check": hook}),
    ("check_on", ("return", "acquire"), frozenset({"acquire", "return"}), {"check": hook}),
    ("max_waiting", 0, 0, {}),
    ("max_waiting", None, None, {}),
    *[(field, timedelta(seconds=45), 45.0, {}) for field in DURATIONS],
    *[(field, 45, 45.0, {}) for field in DURATIONS],
    *[(field, 0.25, 0.25, {}) for field in DEADLINES],
    ("max_lifetime", 30, 30.0, {}),
    ("max_lifetime", math.inf, math.inf, {}),
    ("idle_timeout", math.inf, math.inf, {}),
    ("fresh_for", 0, 0.0, {}),
    ("check_on", None, frozenset({"acquire"}), {"check": hook}),
    ("check_on", ["acquire", "acquire"], frozenset({"acquire"}), {"check": hook}),
    ("check_on", iter(["acquire"]), frozenset({"acquire"}), {"check": hook}),
    ("check_on", (), frozenset(), {"check": hook}),
    ("check_on", (), frozenset(), {}),
    ("lifetime_jitter", 0, 0.0, {}),
    ("lifetime_jitter", 0.99, 0.99, {}),
    ("backoff", Backoff(min=1, factor=1, max=1, jitter=0), Backoff(1.0, 1.0, 1.0, 0.0), {}),
    ("backoff", Backoff(attempts=1), Backoff(attempts=1), {}),
    ("restart", Intensity(restarts=0, period=1), Intensity(restarts=0, period=1.0), {}),
    *[("borrow_stack", word, word, {}) for word in ("line", "full", "off")],
    ("offload", True, True, {"close": async_hook}),
    ("thread_bound", True, True, {"factory": make, "offload": True, "close": hook}),
]


@pytest.mark.parametrize(("field", "value", "stored", "others"), ACCEPTED, ids=numbered(ACCEPTED))
def test_an_accepted_value_is_stored_normalised(
    field: str, value: object, stored: object, others: dict[str, Any]
) -> None:
    result = getattr(build(**others, **{field: value}), field)
    assert result == stored
    assert type(result) is type(stored)


# (field, given, what the error says is allowed, what it says was given, the other fields)
Refused = tuple[str, object, str, str, dict[str, Any]]
WORD = "a printable word without whitespace or any of :*?[] and not led by '#'"
WHOLE = "an int >= {} (below 2**63)"
TAKES = "a def or async def that takes the resource, or None"
ON_THREAD = "a plain def with thread_bound=True, which runs it there"
CHECK_ON = "a set that holds 'acquire', 'return' or nothing"
NAMES = "a list of names of resource types"
POSITIVE = "seconds or a timedelta, > 0"
REFUSED: list[Refused] = [
    ("factory", None, "callable: it makes one resource", "None", {}),
    ("factory", "pg://me:hunter2@db", "callable: ", "a value of type str", {}),
    *[
        (field, value, TAKES, shown, {})
        for field in HOOKS
        for value, shown in (
            ("pg://me:hunter2@db", "a value of type str"),
            (async_generator, f"{KIT}.async_generator"),
            (context, f"{KIT}.generator"),
        )
    ],
    ("is_connection_error", async_hook, "a plain def that takes", f"{KIT}.async_hook", {}),
    ("is_connection_error", OSError("secret"), "a plain def that", "a value of type OSError", {}),
    *[
        (field, value, WHOLE.format(least), shown, {})
        for field, least in (
            ("max_size", 1),
            ("min_idle", 0),
            ("max_opening", 1),
            ("max_holders", 1),
            ("max_waiting", 0),
            ("max_uses", 1),
        )
        for value, shown in (
            (least - 1, str(least - 1)),
            (True, "True"),
            (2.0, "2.0"),
            ("5", "'5'"),
            (2**63, "9223372036854775808"),
            (10**5000, "an int of 16610 bits"),
            (math.inf, "inf"),
        )
    ],
    ("max_size", None, "an int >= 1, or None with keyed=True or a budget", "None", {}),
    ("min_idle", None, WHOLE.format(0), "None", {}),
    ("min_idle", 11, "at most max_size (10)", "11", {}),
    ("min_idle", 1, "0 with keyed=True", "1", {"keyed": True}),
    ("max_holders", 2, "1, or more with keyed=True", "2", {}),
    ("max_holders", 2, "1 with a reset hook", "2", {"keyed": True, "reset": hook}),
    *[
        (field, value, "True or False", shown, {})
        for field in ("keyed", "required", "offload", "thread_bound")
        for value, shown in ((1, "1"), (None, "None"), ("yes", "'yes'"))
    ],
    ("order", "lru", "'lifo' or 'fifo'", "'lru'", {}),
    ("order", "x" * 60, "'lifo' or 'fifo'", f"'{'x' * 60}'", {}),
    ("order", "x" * 61, "'lifo' or 'fifo'", f"'{'x' * 60}'...", {}),
    ("order", ["lifo"], "'lifo' or 'fifo'", "a value of type list", {}),
    ("borrow_stack", None, "'line' or 'full' or 'off'", "None", {}),
    *[
        (field, value, "seconds or a timedelta, ", shown, {})
        for field in DURATIONS
        for value, shown in (
            (-1, "-1"),
            (math.nan, "nan"),
            (-math.inf, "-inf"),
            (True, "True"),
            ("5", "'5'"),
            (None, "None"),
            (Decimal(5), "a value of type Decimal"),
            (timedelta(seconds=-1), "datetime.timedelta(days=-1, seconds=86399)"),
            (10**400, "an int of 1329 bits"),
        )
    ],
    *[
        (field, value, f"{POSITIVE}, finite", shown, {})
        for field in DEADLINES
        for value, shown in ((0, "0"), (timedelta(0), "datetime.timedelta(0)"), (math.inf, "inf"))
    ],
    ("fresh_for", math.inf, "seconds or a timedelta, >= 0 (0 = always check), finite", "inf", {}),
    ("idle_timeout", 0, f"{POSITIVE}, math.inf = never", "0", {}),
    ("max_lifetime", 0, f"{POSITIVE}, math.inf = never", "0", {}),
    ("max_lifetime", 29, "at least create_timeout (30.0 s)", "29.0", {}),
    ("check_on", "acquire", CHECK_ON, "'acquire'", {"check": hook}),
    ("check_on", 3, CHECK_ON, "3", {"check": hook}),
    ("check_on", {"idle"}, CHECK_ON, "'idle' in it", {"check": hook}),
    ("check_on", repeat("return"), CHECK_ON, "more than 1000 items", {"check": hook}),
    ("depends_on", "a", NAMES, "'a'", {}),
    ("depends_on", None, NAMES, "None", {}),
    ("depends_on", ["a", "b:c"], NAMES, "'b:'... in it", {}),
    ("depends_on", ["a", 3], NAMES, "3 in it", {}),
    ("depends_on", repeat("a"), NAMES, "more than 1000 items", {}),
    ("depends_on", Broken(), NAMES, "an iterable that raised OSError", {}),
    ("depends_on", ["a", "db"], "without the type's own name", "('a', 'db')", {}),
    ("on_exception", "close", "'keep' or 'reset' or 'discard' or None (as the", "'close'", {}),
    ("on_exception", "reset", "'keep', 'discard' or None without a reset", "'reset'", {}),
    ("on_exception", "keep", "'reset', 'discard' or None with a", "'keep'", {"reset": hook}),
    *[("priority", at, "an int >= -9 and <= 9", str(at), {}) for at in (-10, 10, 0.5, True, None)],
    ("ageing", math.inf, f"{POSITIVE}, finite", "inf", {}),
    ("ageing", 0, f"{POSITIVE}, finite", "0", {}),
    *[
        (field, value, f"{POSITIVE}, finite or None (", shown, {"check": hook})
        for field in ("max_queue_delay", "keepalive", "max_hold")
        for value, shown in ((0, "0"), (math.inf, "inf"), (math.nan, "nan"), ("1", "'1'"))
    ],
    ("max_queue_delay", 30, "less than acquire_timeout (30.0 s)", "30.0", {}),
    ("keepalive", 60, "None without a check hook", "60.0", {}),
    (
        "keepalive",
        600,
        "less than idle_timeout (600.0 s) with min_idle=0",
        "600.0",
        {"check": hook},
    ),
    (
        "keepalive",
        1800,
        "less than max_lifetime (1800.0 s)",
        "1800.0",
        {"check": hook, "min_idle": 1},
    ),
    ("on_overdue", "kill", "'report' or 'revoke'", "'kill'", {}),
    ("on_overdue", "revoke", "'report' without max_hold", "'revoke'", {}),
    ("budget", 5, "of type Budget or None (a limit of its own only)", "5", {}),
    ("budget.limit", Budget("all", 0), WHOLE.format(1), "0", {}),
    ("budget.name", Budget("pg://me:hunter2@db", 1), WORD, "'pg:'...", {}),
    ("min_idle", 6, "at most budget.limit (5)", "6", {"budget": Budget("all", 5)}),
    ("check_on", ["acquire", 3], CHECK_ON, "3 in it", {"check": hook}),
    ("check_on", Broken(), CHECK_ON, "an iterable that raised OSError", {"check": hook}),
    ("check_on", ["acquire"], "left out or empty without a check hook", "{'acquire'}", {}),
    *[
        ("lifetime_jitter", value, "a number, 0 <= jitter < 1", shown, {})
        for value, shown in ((1, "1"), (-0.1, "-0.1"), (math.nan, "nan"), (False, "False"))
    ],
    ("backoff", 3, "of type Backoff", "3", {}),
    ("backoff.min", Backoff(min=0), f"{POSITIVE}, finite", "0", {}),
    ("backoff.factor", Backoff(factor=0.5), "a number, 1 <= factor <= 100", "0.5", {}),
    ("backoff.factor", Backoff(factor=101), "a number, 1 <= factor <= 100", "101", {}),
    ("backoff.max", Backoff(max=math.inf), f"{POSITIVE}, finite", "inf", {}),
    ("backoff.max", Backoff(min=2, max=1), "at least min (2.0 s)", "1.0", {}),
    ("backoff.jitter", Backoff(jitter=1), "a number, 0 <= jitter < 1", "1", {}),
    ("backoff.attempts", Backoff(attempts=0), WHOLE.format(1) + " or None (no limit)", "0", {}),
    ("restart", None, "of type Intensity", "None", {}),
    ("restart.restarts", Intensity(restarts=-1), WHOLE.format(0), "-1", {}),
    ("restart.period", Intensity(period=math.nan), f"{POSITIVE}, finite", "nan", {}),
    *[
        ("close", hook, "left out: the factory closes", f"{KIT}.hook", {"factory": factory})
        for factory in (async_generator, generator, async_context, context)
    ],
    *[
        ("factory", factory, ON_THREAD, f"{KIT}.{factory.__name__}", {"thread_bound": True})
        for factory in (connect, async_generator, generator, async_context, context)
    ],
    *[
        (field, async_hook, ON_THREAD, f"{KIT}.async_hook", {"factory": make} | bound)
        for field in HOOKS
        for bound in ({"thread_bound": True}, {"thread_bound": True, "offload": True})
    ],
    *[(name, 1, "left out: it is not built yet", "1", {}) for name in NOT_BUILT],
]


@pytest.mark.parametrize(
    ("field", "value", "allowed", "got", "others"), REFUSED, ids=numbered(REFUSED)
)
def test_a_refusal_names_spec_field_value_and_what_is_allowed(
    field: str, value: object, allowed: str, got: str, others: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        build(**others, **{field.partition(".")[0]: value})
    message = str(refusal.value)
    assert message.startswith(f"ResourceSpec 'db': {field} must be {allowed}")
    assert message.endswith(f"; got {got}")


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("", "''"),
        (None, "None"),
        (7, "7"),
        (b"db", "a value of type bytes"),
        ("db:a", "'db:'..."),
        ("pg://me:hunter2@db", "'pg:'..."),
        ("my db", "'my '..."),
        ("db\n", "'db\\n'"),
        ("db*", "'db*'"),
        ("d?", "'d?'"),
        ("[d", "'['..."),
        ("d]", "'d]'"),
        ("#db", "'#'..."),
        ("d\x00", "'d\\x00'"),
    ],
)
def test_a_refused_name_is_shown_only_up_to_the_mistake(name: object, got: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        build(name=name)
    assert str(refusal.value) == f"ResourceSpec: name must be {WORD}; got {got}"


@pytest.mark.parametrize(
    ("names", "fields", "message"),
    [
        (("db",), {"factory": make, "max_sise": 1}, "unknown field 'max_sise'; the nearest"),
        (("db",), {"factory": make, "timeout_create": 1}, "unknown field 'timeout_create'; "),
        (("db",), {}, "factory must be given; got nothing"),
        (("db", make), {}, "factory must be given by keyword: only name is positional; got it by"),
        (("db",), {"name": "db", "factory": make}, "name must be given once; got it by position"),
    ],
)
def test_a_wrong_call_is_an_invalid_spec_too(
    names: tuple[Any, ...], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        ResourceSpec(*names, **fields)
    assert str(refusal.value).startswith(f"ResourceSpec 'db': {message}")


def test_a_spec_without_name_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"^ResourceSpec: name must be given; got nothing$"):
        ResourceSpec(factory=make)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_resource_spec_refuses_as_the_constructor_does() -> None:
    fields: dict[str, Any] = {"max_sise": 1}
    with pytest.raises(InvalidSpec, match="the nearest is 'max_size'"):
        resource_spec("db", factory=make, **fields)


def test_a_spec_is_frozen_and_can_be_changed_by_copy() -> None:
    spec = build(check=hook, max_size=3)
    with pytest.raises(AttributeError):
        spec.max_size = 4  # type: ignore[misc]
    assert copy.copy(spec) == spec
    assert hash(copy.copy(spec)) == hash(spec)
    changed = msgspec.structs.replace(spec, max_size=5, idle_timeout=timedelta(minutes=1))
    assert changed == build(check=hook, max_size=5, idle_timeout=60)
    with pytest.raises(InvalidSpec, match="check_on must be left out or empty without a check"):
        msgspec.structs.replace(spec, check=None)


def test_a_spec_takes_its_resource_type_in_brackets() -> None:
    assert ResourceSpec[str]("db", factory=connect) == build()


def test_the_policy_holds_the_same_numbers() -> None:
    spec = build(check=hook, close=hook, fresh_for=timedelta(seconds=2), max_waiting=7)
    assert spec.policy() == Policy(
        name="db", has_check=True, has_close=True, check_on_acquire=True, fresh_for=2.0,
        max_waiting=7,
    )  # fmt: skip
    numbers: dict[str, Any] = {
        "max_queue_delay": 0.5, "priority": 3, "ageing": 2.0, "keepalive": 60.0, "max_uses": 100,
        "max_hold": 5.0, "on_overdue": "revoke",
    }  # fmt: skip
    new = build(check=async_hook, check_on=["return"], **numbers)
    assert new.policy() == Policy(name="db", has_check=True, check_on_return=True, **numbers)
    unlimited = build(keyed=True, max_size=None, reset=hook, check=hook, check_on=())
    assert unlimited.policy() == Policy(
        name="db", keyed=True, max_size=math.inf, has_reset=True, has_check=True
    )


def test_a_budget_bounds_a_type_without_a_limit_of_its_own() -> None:
    assert build(max_size=None, budget=Budget("all", 7)).policy().max_size == 7
    assert build(max_size=9, budget=Budget("all", 7)).policy().max_size == 9


def test_the_policy_lacks_no_field_of_the_spec_by_accident() -> None:
    flags = {"has_check", "has_reset", "has_close", "check_on_acquire", "check_on_return"}
    assert set(Policy.__struct_fields__) - flags <= set(ResourceSpec.__struct_fields__)


def test_repr_shows_what_differs_from_the_defaults_and_no_secret() -> None:
    secret = "hunter2"
    spec = build(
        factory=functools.partial(connect, f"pg://me:{secret}@db"),
        close=lambda resource: (resource, secret),
        check=CallableHook(),
        max_size=3,
    )
    local = f"{__name__}.test_repr_shows_what_differs_from_the_defaults_and_no_secret.<locals>"
    assert repr(spec) == (
        f"ResourceSpec(name='db', factory=partial({KIT}.connect), close={local}.<lambda>,"
        f" check=<{KIT}.CallableHook object>, max_size=3, check_on=frozenset({{'acquire'}}))"
    )
    assert spec.__rich_repr__()[1] == ("factory", f"partial({KIT}.connect)")
