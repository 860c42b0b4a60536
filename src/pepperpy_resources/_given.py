"""How the spec of a child or of a supervisor is checked: its names, each field, then all together.

Whatever is given may be the user's code, which raises when it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pepperpy_resources._checks import Refusal, Rule, nearest, shown
from pepperpy_resources.errors import InvalidSpec

# A rule between fields: the field to blame, what may not be, what is allowed instead.
Contradiction = tuple[str, Callable[[Any], bool], str]

SECRET = ("args", "kwargs")  # fields whose values no error shows


def check_names(
    given: Sequence[object], keywords: Collection[str], first: Sequence[str], known: Iterable[str]
) -> None:
    """Refuse a construction with names no field has, or without those that come first.

    `given` is given by position. Raises `InvalidSpec`.
    """
    for name in keywords:
        if name not in known:
            raise InvalidSpec(
                f"ChildSpec: unknown field {shown(name)}; the nearest is {nearest(name, known)}"
            )
    if len(given) > len(first):
        text = f"ChildSpec: only {' and '.join(first)} may be given by position; got"
        raise InvalidSpec(f"{text} {len(given)} values")
    for at, name in enumerate(first):
        if at < len(given) and name in keywords:
            raise invalid("ChildSpec", name, "given once", "it by position and by keyword")
        if at >= len(given) and name not in keywords:
            raise invalid("ChildSpec", name, "given", "nothing")


def check_fields(spec: msgspec.Struct, rules: Mapping[str, Rule], of: str) -> None:
    """Check and normalise each field by its rule; raises `InvalidSpec`."""
    for field, rule in rules.items():
        msgspec.structs.force_setattr(spec, field, checked(getattr(spec, field), rule, of, field))


def checked(given: object, rule: Rule, of: str, field: str) -> object:
    """Return a value as its rule stores it; raises `InvalidSpec`."""
    try:
        stored = rule(given)
    except Exception as failure:  # its __class__, its __iter__ are the user's code
        got = f"one that raised {type(failure).__name__}"
        raise invalid(of, field, "a value that can be looked at", got) from failure
    if isinstance(stored, Refusal):
        raise invalid(of, field + stored.part, stored.allowed, stored.got or shown(given))
    return stored


def check_together(spec: Any, contradictions: Iterable[Contradiction], of: str) -> None:
    """Refuse fields that are valid each by itself and cannot both hold; raises `InvalidSpec`."""
    for field, found, allowed in contradictions:
        if found(spec):
            got = "some" if field in SECRET else shown(getattr(spec, field))
            raise invalid(of, field, allowed, got)


def invalid(of: str, field: str, allowed: str, got: str) -> InvalidSpec:
    """Return the error of one field."""
    return InvalidSpec(f"{of}: {field} must be {allowed}; got {got}")
