"""Two tables: `ResourceSpec` field -> the rule its value must keep, and rules between fields."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from pepperpy_resources._callables import PLAIN, SELF_CLOSING, callable_kind, takes
from pepperpy_resources._checks import (
    Refusal,
    Rule,
    check_moments,
    flag,
    hook,
    one_of,
    parts,
    ratio,
    seconds,
    shown,
    type_name,
    whole,
)
from pepperpy_resources.core.policy import Backoff, Intensity
from pepperpy_resources.errors import InvalidSpec

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


RULES: dict[str, Rule] = {
    "name": type_name,
    "factory": hook("callable: it makes one resource", optional=False),
    "close": _HOOK,
    "check": _HOOK,
    "reset": _HOOK,
    "on_acquire": _HOOK,
    # An async def would return a coroutine, which is true, for every exception.
    "is_connection_error": hook("a plain def that takes the exception, or None", *PLAIN),
    "max_size": whole(1, none="no limit, for a keyed type"),
    "min_idle": whole(0),
    "max_opening": whole(1),
    "keyed": flag,
    "max_holders": whole(1),
    "order": one_of("lifo", "fifo"),
    "acquire_timeout": seconds(zero="do not wait", forever="for ever"),
    "max_waiting": whole(0, none="no limit"),
    "create_timeout": seconds(),
    "check_timeout": seconds(),
    "reset_timeout": seconds(),
    "close_timeout": seconds(),
    "check_on": check_moments,
    "fresh_for": seconds(zero="always check"),
    "idle_timeout": seconds(forever="never"),
    "max_lifetime": seconds(forever="never"),
    "lifetime_jitter": _JITTER,
    "backoff": _backoff,
    "restart": parts(Intensity, {"restarts": whole(0), "period": seconds()}),
    "borrow_stack": one_of("line", "full", "off"),
    "offload": flag,
    "thread_bound": flag,
}

# Names of the design that later versions build: refused, so that nobody relies on them unheard.
NOT_BUILT = (
    "on_exception", "max_queue_delay", "keepalive", "max_uses", "max_hold", "on_overdue",
    "required", "depends_on", "priority", "budget", "scope", "placement",
)  # fmt: skip


# A rule between fields: the field to blame, what may not be, and what the field is allowed to
# be instead (a format string; `s` is the spec).
Contradiction = tuple[str, Callable[[Any], bool], str]


def _off_thread(field: str) -> Contradiction:
    def found(spec: Any) -> bool:
        value = getattr(spec, field)
        return spec.thread_bound and value is not None and callable_kind(value) not in PLAIN

    return (field, found, "a plain def with thread_bound=True, which runs it there")


def _one_resource(field: str) -> Contradiction:
    allowed = "callable with one argument, the resource"
    return field, lambda s: not takes(getattr(s, field), 1), allowed


CONTRADICTIONS: tuple[Contradiction, ...] = (
    ("factory",
     lambda s: not s.keyed and not takes(s.factory, 0),
     "callable without arguments; a keyed type's takes the resource id"),
    ("factory",
     lambda s: s.keyed and not takes(s.factory, 1, more=True),
     "callable with the resource id, and perhaps keywords of acquire"),
    _one_resource("close"),
    _one_resource("check"),
    _one_resource("reset"),
    _one_resource("on_acquire"),
    ("is_connection_error",
     lambda s: not takes(s.is_connection_error, 1),
     "callable with one argument, the exception"),
    ("max_size",
     lambda s: s.max_size is None and not s.keyed,
     "an int >= 1, or None with keyed=True"),
    ("min_idle",
     lambda s: s.keyed and s.min_idle > 0,
     "0 with keyed=True: which keys to keep ready cannot be known"),
    ("min_idle",
     lambda s: s.max_size is not None and s.min_idle > s.max_size,
     "at most max_size ({s.max_size})"),
    ("max_holders",
     lambda s: s.max_holders > 1 and not s.keyed,
     "1, or more with keyed=True"),
    ("max_holders",
     lambda s: s.max_holders > 1 and s.reset is not None,
     "1 with a reset hook: it would reset what others still hold"),
    ("max_lifetime",
     lambda s: s.max_lifetime < s.create_timeout,
     "at least create_timeout ({s.create_timeout} s)"),
    ("check_on",
     lambda s: bool(s.check_on) and s.check is None,
     "left out or empty without a check hook"),
    ("close",
     lambda s: s.close is not None and callable_kind(s.factory) in SELF_CLOSING,
     "left out: the factory closes what it made, after its yield"),
    _off_thread("factory"),
    _off_thread("close"),
    _off_thread("check"),
    _off_thread("reset"),
    _off_thread("on_acquire"),
)  # fmt: skip


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
            nearest = difflib.get_close_matches(field, RULES, n=1, cutoff=0)[0]
            message = f"{_of(name)}: unknown field {shown(field)}; the nearest is {nearest!r}"
            raise InvalidSpec(message)
    for field in ("name", "factory"):
        if field not in fields and not (field == "name" and names):
            raise invalid(name, field, "given", "nothing")


def stored_value(name: object, field: str, value: object) -> object:
    """Return `value` as the spec stores it. Raises `InvalidSpec` when its rule refuses it."""
    stored = RULES[field](value)
    if isinstance(stored, Refusal):
        raise invalid(name, field + stored.part, stored.allowed, stored.got or shown(value))
    return stored


def check_contradictions(spec: Any) -> None:
    """Raise `InvalidSpec` when two fields, each valid by itself, cannot both hold."""
    for field, found, allowed in CONTRADICTIONS:
        if found(spec):
            raise invalid(spec.name, field, allowed.format(s=spec), shown(getattr(spec, field)))


def invalid(name: object, field: str, allowed: str, got: str) -> InvalidSpec:
    """Return the error of one field of the spec called `name`."""
    return InvalidSpec(f"{_of(name)}: {field} must be {allowed}; got {got}")


def _of(name: object) -> str:
    # A name that is refused may be a URL with a password in it.
    return "ResourceSpec" if isinstance(type_name(name), Refusal) else f"ResourceSpec {name!r}"
