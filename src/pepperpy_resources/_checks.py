"""The vocabulary of the field rules: what a name, a whole number, a duration, a hook is.

A rule takes a value as given and returns it as it is stored, or a `Refusal`. Rules check
types too, because msgspec does so only when it decodes. A subclass of a plain type (a StrEnum,
an IntEnum, numpy's float64) is stored as the plain type, read by the plain type's own methods.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple, cast

import msgspec

from pepperpy_resources._callables import FactoryKind, callable_kind, describe
from pepperpy_resources.errors import UsageError


class Refusal(NamedTuple):
    """Why a value is refused: what is allowed, and how the value is shown ("" = as it is)."""

    allowed: str
    got: str = ""
    part: str = ""  # a field inside the value, with its dot
    cause: BaseException | None = None


DURATION = "seconds or a timedelta"

Rule = Callable[[object], object]

_FORBIDDEN = ":*?[]"  # ":" ends the type in a resource id; the others are cleanup patterns
_SHOWN = 60  # characters of a given string that an error repeats
_SHOWN_ITEMS = 3
_MOST_ITEMS = 1000  # of a list that is given
_SHOWN_BITS = 64


def type_name(value: object) -> object:
    """Rule of a resource type's name."""
    allowed = f"a printable word without whitespace or any of {_FORBIDDEN} and not led by '#'"
    text = str.__str__(value) if isinstance(value, str) else ""
    for at, char in enumerate(text):
        if char in _FORBIDDEN or char.isspace() or not char.isprintable() or text[0] == "#":
            # Only up to the mistake: a name with ":" may be a URL with a password in it.
            return Refusal(allowed, shown(text[: at + 1]) + ("..." if text[at + 1 :] else ""))
    return text or Refusal(allowed)


def optional(rule: Rule, *, none: str) -> Rule:
    """Make a rule that takes None too; `none` says what it means."""

    def either(value: object) -> object:
        if value is None:
            return None
        stored = rule(value)
        if isinstance(stored, Refusal) and not stored.part:
            return stored._replace(allowed=f"{stored.allowed} or None ({none})")
        return stored

    return either


def whole(least: int, most: int | None = None, *, none: str = "") -> Rule:
    """Make the rule of an int from `least` to `most`; `none` says what None means if allowed."""
    allowed = f"an int >= {least} " + ("(below 2**63)" if most is None else f"and <= {most}")
    limit = 2**63 - 1 if most is None else most

    def rule(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool):
            return Refusal(allowed)
        number = int.__int__(value)
        return number if least <= number <= limit else Refusal(allowed)

    return optional(rule, none=none) if none else rule


def ratio(allowed: str, fits: Callable[[float], bool]) -> Rule:
    """Make the rule of a number without unit, stored as a float."""

    def rule(value: object) -> object:
        number = _as_number(value)
        return number if fits(number) else Refusal(allowed)

    return rule


def seconds(*, zero: str = "", forever: str = "", none: str = "") -> Rule:
    """Make the rule of a duration; the arguments say what 0, inf and None mean if allowed."""
    allowed = f"{DURATION}, {f'>= 0 (0 = {zero})' if zero else '> 0'}"
    allowed += f", math.inf = {forever}" if forever else ", finite"

    def rule(value: object) -> object:
        if isinstance(value, timedelta):
            given = timedelta.total_seconds(value)
        else:
            given = _as_number(value)
        above = given > 0 or (given == 0 and bool(zero))
        return given if above and (forever or given < math.inf) else Refusal(allowed)

    return optional(rule, none=none) if none else rule


def one_of(*words: str, none: str = "") -> Rule:
    """Make the rule of a string out of `words`; `none` says what None means if allowed."""
    allowed = " or ".join(repr(word) for word in words)

    def rule(value: object) -> object:
        text = str.__str__(value) if isinstance(value, str) else None
        return text if text in words else Refusal(allowed)

    return optional(rule, none=none) if none else rule


def flag(value: object) -> object:
    """Rule of a bool."""
    return value if isinstance(value, bool) else Refusal("True or False")


def hook(allowed: str, *kinds: FactoryKind, optional: bool = True) -> Rule:
    """Make the rule of a callable of one of these kinds (none given: of any kind)."""

    def rule(value: object) -> object:
        if value is None and optional:
            return None
        if not callable(value):  # by type only: a string here may be a URL with a password
            return Refusal(allowed, "None" if value is None else _by_type(value))
        return value if not kinds or callable_kind(value) in kinds else Refusal(allowed)

    return rule


def moments(*words: str) -> Rule:
    """Make the rule of `check_on`, stored as a frozenset; None is left for the spec to fill in."""
    allowed = "a set that holds " + ", ".join(repr(word) for word in words) + " or nothing"

    def rule(value: object) -> object:
        if value is None:
            return None
        stored = _texts(value, one_of(*words), allowed)
        return stored if isinstance(stored, Refusal) else frozenset(stored)

    return rule


def type_names(value: object) -> object:
    """Rule of names of resource types, stored as a tuple in the order given, each once."""
    stored = _texts(value, type_name, "a list of names of resource types")
    return stored if isinstance(stored, Refusal) else tuple(dict.fromkeys(stored))


def _texts(value: object, each: Rule, allowed: str) -> list[str] | Refusal:
    """Return the strings that `value` iterates over, or why one of them is refused."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return Refusal(allowed)
    stored: list[str] = []
    try:
        for item in cast("Iterable[object]", value):
            result = each(item)
            if not isinstance(result, str):
                got = result.got if isinstance(result, Refusal) else ""
                return Refusal(allowed, f"{got or shown(item)} in it")
            stored.append(result)
            if len(stored) > _MOST_ITEMS:  # an iterator may have no end
                return Refusal(allowed, f"more than {_MOST_ITEMS} items")
    except Exception as failure:  # noqa: BLE001 - an iterator is the user's code
        return Refusal(allowed, f"an iterable that raised {type(failure).__name__}")
    return stored


def parts(kind: type[msgspec.Struct], rules: dict[str, Rule]) -> Rule:
    """Make the rule of a value that is itself a Struct; `rules` has one for each field."""

    def rule(value: object) -> object:
        if not isinstance(value, kind):
            return Refusal(f"of type {kind.__name__}")
        stored: dict[str, Any] = {}
        for part, part_rule in rules.items():
            given = getattr(value, part)
            stored[part] = result = part_rule(given)
            if isinstance(result, Refusal):
                return result._replace(part=f".{part}", got=result.got or shown(given))
        return kind(**stored)

    return rule


def shown(value: object) -> str:
    """Return the value for an error: plain data as written, anything else without contents."""
    given = value
    try:
        # Two kinds that fields are stored as. Nested deeper they are shown by type: no recursion.
        if isinstance(value, frozenset | tuple):
            items = cast("Collection[object]", value)
            text = ", ".join(_shown_item(item) for item in islice(items, _SHOWN_ITEMS))
            text += ", ..." if len(items) > _SHOWN_ITEMS else ""
            return f"({text})" if isinstance(value, tuple) else f"{{{text}}}"
        return _shown_item(value)
    except Exception:  # noqa: BLE001 - its __class__, __module__, __repr__ are the user's code
        return _by_type(given)


def _shown_item(value: object) -> str:
    if callable(value):
        return describe(value)
    if isinstance(value, str):
        text = str.__str__(value)
        return repr(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else "")
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"an int of {value.bit_length()} bits"
    if value is None or isinstance(value, int | float | timedelta):
        return repr(value)
    return _by_type(value)


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the one of `words` that is most like `word`, quoted for an error."""
    likely = difflib.get_close_matches(word[:_SHOWN], words, n=1, cutoff=0)
    return repr(likely[0]) if likely else "nothing"


def _by_type(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _as_number(value: object) -> float:
    """Return the value as a float, or NaN, which is in no range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    if isinstance(value, float):
        return float.__float__(value)
    try:
        return int.__float__(value)
    except OverflowError:  # beyond any float
        return math.nan


_TIMEOUT = seconds(zero="do not wait", forever="wait for ever")


def as_seconds(timeout: float | timedelta | None, name: str = "timeout") -> float | None:
    """Return a timeout as seconds; raises `UsageError` for what is none."""
    if timeout is None:
        return None
    stored = _looked_at(_TIMEOUT, timeout)
    if isinstance(stored, Refusal):
        given = shown(timeout)
        raise UsageError(f"{name}={given} is refused: it must be {stored.allowed}, or None")
    assert isinstance(stored, float)  # noqa: S101 - what the rule returns
    return stored


_INTERVAL = seconds(forever="only what the specs ask for")


def as_interval(interval: object, name: str) -> float:
    """Return an interval as seconds; raises `UsageError` for what is none."""
    stored = _looked_at(_INTERVAL, interval)
    if isinstance(stored, Refusal):
        raise UsageError(f"{name}={shown(interval)} is refused: it must be {stored.allowed}")
    assert isinstance(stored, float)  # noqa: S101 - what the rule returns
    return stored


def _looked_at(rule: Rule, value: object) -> object:
    """Return what the rule makes of a value, which may raise when it is looked at."""
    try:
        return rule(value)
    except Exception:  # noqa: BLE001 - its __class__ is the user's code
        return Refusal(f"{DURATION}, that can be looked at")
