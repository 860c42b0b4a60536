"""The table `ResourceSpec` field -> the rule its value must keep, and how a call is checked."""

from __future__ import annotations

from typing import Any

from pepperpy_resources._callables import PLAIN
from pepperpy_resources._checks import (
    Refusal,
    Rule,
    flag,
    hook,
    moments,
    nearest,
    one_of,
    optional,
    parts,
    ratio,
    seconds,
    shown,
    type_name,
    type_names,
    whole,
)
from pepperpy_resources.core.policy import Backoff, Budget, Intensity
from pepperpy_resources.errors import InvalidSpec

_MOST_PRIORITY = 9
_MOST_FACTOR = 100  # the delay takes a high power of it, which a float must hold

_HOOK = hook("a def or async def that takes the resource, or None", *PLAIN, "coroutine")
_JITTER = ratio("a number, 0 <= jitter < 1", lambda number: 0 <= number < 1)
_BACKOFF_PARTS = parts(
    Backoff,
    {
        "min": seconds(),
        "factor": ratio(
            f"a number, 1 <= factor <= {_MOST_FACTOR}", lambda number: 1 <= number <= _MOST_FACTOR
        ),
        "max": seconds(),
        "jitter": _JITTER,
        "attempts": whole(1, none="no limit"),
    },
)


def _backoff(value: object) -> object:
    stored = _BACKOFF_PARTS(value)
    if isinstance(stored, Backoff) and stored.max < stored.min:
        return Refusal(f"at least min ({stored.min} s)", shown(stored.max), ".max")
    return stored


_INTENSITY = parts(Intensity, {"restarts": whole(0), "period": seconds()})
# Of a supervisor, where both may be left out.
INTENSITY = optional(_INTENSITY, none="no limit")
PAUSES = optional(_backoff, none="restarts at once")

RULES: dict[str, Rule] = {
    "name": type_name,
    "factory": hook("callable: it makes one resource", optional=False),
    "close": _HOOK,
    "check": _HOOK,
    "reset": _HOOK,
    "on_acquire": _HOOK,
    # An async def would return a coroutine, which is true, for every exception.
    "is_connection_error": hook("a plain def that takes the exception, or None", *PLAIN),
    "on_exception": one_of("keep", "reset", "discard", none="as the reset hook says"),
    "max_size": whole(1, none="no limit, for a keyed type or with a budget"),
    "min_idle": whole(0),
    "max_opening": whole(1),
    "keyed": flag,
    "max_holders": whole(1),
    "budget": optional(
        parts(Budget, {"name": type_name, "limit": whole(1)}), none="a limit of its own only"
    ),
    "order": one_of("lifo", "fifo"),
    "acquire_timeout": seconds(zero="do not wait", forever="for ever"),
    "max_waiting": whole(0, none="no limit"),
    "max_queue_delay": seconds(none="no shedding"),
    "priority": whole(-_MOST_PRIORITY, _MOST_PRIORITY),
    "ageing": seconds(),
    "create_timeout": seconds(),
    "check_timeout": seconds(),
    "reset_timeout": seconds(),
    "close_timeout": seconds(),
    "check_on": moments("acquire", "return"),
    "fresh_for": seconds(zero="always check"),
    "keepalive": seconds(none="no checks in the background"),
    "idle_timeout": seconds(forever="never"),
    "max_lifetime": seconds(forever="never"),
    "lifetime_jitter": _JITTER,
    "max_uses": whole(1, none="no limit"),
    "max_hold": seconds(none="no limit"),
    "on_overdue": one_of("report", "revoke"),
    "borrow_stack": one_of("line", "full", "off"),
    "backoff": _backoff,
    "restart": _INTENSITY,
    "required": flag,
    "depends_on": type_names,
    "offload": flag,
    "thread_bound": flag,
}

# Names of the design that later versions build: refused, so that nobody relies on them unheard.
NOT_BUILT = ("scope", "placement")


def check_call(names: tuple[object, ...], fields: dict[str, Any]) -> None:
    """Refuse a construction with names no field has, or without the two that are needed.

    Raises `InvalidSpec`, which says "not built yet" of a reserved name, and names the nearest
    field to an unknown one.
    """
    name = names[0] if names else fields.get("name")
    if len(names) > 1:
        raise invalid(
            name, "factory", "given by keyword: only name is positional", "it by position"
        )
    if names and "name" in fields:
        raise invalid(name, "name", "given once", "it by position and by keyword")
    for field, value in fields.items():
        if field in NOT_BUILT:
            raise invalid(name, field, "left out: it is not built yet", shown(value))
        if field not in RULES:
            likely = nearest(field, RULES)
            message = f"{_of(name)}: unknown field {shown(field)}; the nearest is {likely}"
            raise InvalidSpec(message)
    for field in ("name", "factory"):
        if field not in fields and not (field == "name" and names):
            raise invalid(name, field, "given", "nothing")


def stored_value(name: object, field: str, value: object) -> object:
    """Return `value` as the spec stores it. Raises `InvalidSpec` when its rule refuses it."""
    try:
        stored = RULES[field](value)
    except Exception as failure:
        raise unreadable(name, field, failure) from failure
    if isinstance(stored, Refusal):
        raise invalid(name, field + stored.part, stored.allowed, stored.got or shown(value))
    return stored


def unreadable(name: object, field: str, failure: Exception) -> InvalidSpec:
    """Return the error of a field whose value raises when it is looked at (`__class__`, say)."""
    got = f"one that raised {type(failure).__name__}"
    return invalid(name, field, "a value that can be looked at", got)


def invalid(name: object, field: str, allowed: str, got: str) -> InvalidSpec:
    """Return the error of one field of the spec called `name`."""
    return InvalidSpec(f"{_of(name)}: {field} must be {allowed}; got {got}")


def _of(name: object) -> str:
    # A name that is refused may be a URL with a password in it. A subclass may do anything.
    usable = type(name) is str and not isinstance(type_name(name), Refusal)
    return f"ResourceSpec {name!r}" if usable else "ResourceSpec"
