"""`load_specs`: the specs that a TOML file declares.

A table `[types.NAME]` holds the fields of one `ResourceSpec`, `[budgets.NAME]` one `Budget`. What
TOML has no value for is written in another form (`_forms.py`); then the tables that check a spec
made in Python check it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import msgspec

from pepperpy_resources._checks import DURATION, Refusal, nearest, shown, type_name, whole
from pepperpy_resources._contradictions import check_budgets
from pepperpy_resources._forms import COUNTS, FORMS, HOOKS, LIMITS, TOML_DURATION, Form
from pepperpy_resources._rules import RULES, check_call, invalid
from pepperpy_resources.core.policy import Budget
from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.spec import ResourceSpec

__all__ = ["load_specs"]


class SpecFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it is written: the name of a type or of a budget -> its table."""

    types: dict[str, Any] = {}
    budgets: dict[str, Any] = {}


def load_specs(path: str | os.PathLike[str]) -> list[ResourceSpec[Any]]:
    """Return the specs that the TOML file at `path` declares, in their order.

    Fields are named, and mean, what they do in `ResourceSpec`. Factories and hooks are import
    paths, "package.module:attribute"; the modules are imported now. Durations are seconds or ISO
    8601 ("PT0.5S", "PT5M", "P1D"). `inf` stands for math.inf, and for the None of a number without
    a limit. `budget` names a table [budgets.NAME] with a `limit`; `backoff` and `restart` are
    tables.

    Raises `InvalidSpec`, which names the file, the type, the field, the value and what is
    allowed: where the file cannot be read, is no TOML (with line and column), declares no type
    or a name that nothing has; where an import fails (its error is the cause); and for all that
    `ResourceSpec` refuses.
    """
    try:
        file = os.fsdecode(path)
    except TypeError:
        raise InvalidSpec(f"path must be a str or an os.PathLike; got {shown(path)}") from None
    try:
        return _specs(_tables(_text(file)))
    except InvalidSpec as refusal:
        raise InvalidSpec(f"{file}: {refusal}") from refusal.__cause__


def _text(file: str) -> str:
    try:
        # "-sig": a byte order mark, which some editors write, is no part of the text.
        with open(file, encoding="utf-8-sig") as stream:  # noqa: PTH123 - a Path drops a last "/"
            return stream.read()
    except OSError as failure:
        raise InvalidSpec(f"it cannot be read: {failure.strerror}") from failure
    except UnicodeDecodeError as failure:
        raise InvalidSpec(f"it must be UTF-8; got {failure.reason}") from failure
    except ValueError as failure:
        raise InvalidSpec(f"it cannot be read: {failure}") from failure  # NUL in the path


def _tables(text: str) -> SpecFile:
    """Return the tables of the file; anything else at its top is refused."""
    content = _decoded(text)
    known = SpecFile.__struct_fields__
    for name, table in content.items():
        if name not in known:
            likely = nearest(name, known)
            raise InvalidSpec(
                f"unknown table {shown(name)}; the nearest is {likely}"
                " (a file holds [types.NAME] and [budgets.NAME])"
            )
        if not isinstance(table, dict):
            raise InvalidSpec(f"{name} must be tables [{name}.NAME]; got {shown(table)}")
    if not content.get("types"):
        raise InvalidSpec("it must declare a type, [types.NAME]; got none")
    return SpecFile(**content)


def _decoded(text: str) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", msgspec.toml.decode(text))
    except RecursionError as failure:
        raise InvalidSpec("it must be TOML; got arrays or tables nested too deeply") from failure
    except (msgspec.DecodeError, ValueError) as failure:  # ValueError: an int of 5000 digits
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        problem = str(failure).replace("at end of document", f"at line {line}, column {column}")
        raise InvalidSpec(f"it must be TOML; got {problem}") from failure


def _specs(file: SpecFile) -> list[ResourceSpec[Any]]:
    budgets = {name: _budget(name, table) for name, table in file.budgets.items()}

    def budget(written: object) -> object:
        if isinstance(written, str) and written in budgets:
            return budgets[written]
        likely = nearest(written, budgets) if isinstance(written, str) else "nothing"
        return Refusal(f"the name of a table [budgets.NAME]; the nearest is {likely}")

    forms = {**FORMS, "budget": budget}
    specs = [_spec(name, table, forms) for name, table in file.types.items()]
    check_budgets(specs)
    return specs


def _budget(name: str, table: object) -> Budget:
    named = type_name(name)
    if isinstance(named, Refusal):
        raise InvalidSpec(
            f"a budget's name must be {named.allowed}; got {named.got or shown(name)}"
        )
    if not isinstance(table, dict):
        raise InvalidSpec(f"budget {name!r} must be a table with a limit; got {shown(table)}")
    fields = cast("dict[str, object]", table)
    for field in fields:
        if field != "limit":
            raise InvalidSpec(f"budget {name!r}: unknown field {shown(field)}; it has only 'limit'")
    stored = whole(1)(fields.get("limit"))
    if isinstance(stored, Refusal):
        got = shown(fields["limit"]) if fields else "nothing"
        raise InvalidSpec(f"budget {name!r}: limit must be {stored.allowed}; got {got}")
    return Budget(name, cast("int", stored))


def _spec(name: str, table: object, forms: Mapping[str, Form]) -> ResourceSpec[Any]:
    named = type_name(name)
    if isinstance(named, Refusal):
        raise invalid(name, "name", named.allowed, named.got or shown(name))
    if not isinstance(table, dict):
        raise InvalidSpec(f"type {name!r} must be a table of fields; got {shown(table)}")
    written = cast("dict[str, object]", table)
    if "name" in written:
        raise invalid(name, "name", "left out: it is the table's", shown(written["name"]))
    check_call((name,), written)
    fields: dict[str, Any] = {}
    for field, value in written.items():
        form = forms.get(field)
        given = form(value) if form else value
        stored = given if isinstance(given, Refusal) else RULES[field](given)
        if isinstance(stored, Refusal):
            _refuse(name, field, value, given, stored)
        fields[field] = stored
    return ResourceSpec(name, **fields)


def _refuse(name: str, field: str, written: object, given: object, why: Refusal) -> NoReturn:
    """Raise the refusal of a field in the words of TOML, with the value as it is in the file."""
    number = field in {*LIMITS, *COUNTS} or why.part
    allowed = why.allowed.replace(DURATION, TOML_DURATION).replace("math.inf", "inf")
    allowed = allowed.replace("True or False", "true or false")
    allowed = allowed.replace("None", "inf" if number else "left out")
    as_written = shown(written)
    part = why.part.removeprefix(".")
    parts = cast("dict[str, object]", written) if isinstance(written, dict) else {}
    got = shown(parts[part]) if part in parts else why.got or as_written
    if field in HOOKS and given is not why:
        got = f"{as_written}, which is {why.got or shown(given)}"
    raise invalid(name, field + why.part, allowed, got) from why.cause
