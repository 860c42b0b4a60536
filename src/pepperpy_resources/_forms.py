"""How the fields of a `ResourceSpec` are written in TOML: `FORMS`, and what a form makes of it.

A form takes the value of the file and returns the one to give to the field's rule, or a
`Refusal`. What it does not know it leaves as it is, for the rule to refuse.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any, cast

import msgspec

from pepperpy_resources._checks import DURATION, Refusal, nearest, shown
from pepperpy_resources.core.policy import Backoff, Intensity

Form = Callable[[Any], object]

TOML_DURATION = 'seconds or an ISO 8601 duration such as "PT0.5S"'
_PATH = "an import path, 'package.module:attribute'"
_LONGEST_PATH = 500


def duration(written: object) -> object:
    """Form of a duration: seconds as a number, or ISO 8601, or "inf"."""
    if not isinstance(written, str):
        return written
    if written == "inf":
        return math.inf
    try:
        return msgspec.convert(written, timedelta)
    except msgspec.ValidationError as failure:
        return Refusal(f"{DURATION} ({failure})")


def count(written: object) -> object:
    """Form of a number that may have no limit, which is None in Python."""
    return None if written in ("inf", math.inf) else written


def limit(written: object) -> object:
    """Form of a duration that may have no limit, which is None in Python."""
    return count(duration(written))


def imported(written: object) -> object:
    """Form of a callable: its import path. The module is imported."""
    if not isinstance(written, str):
        return Refusal(_PATH)
    module_name, colon, attributes = written.partition(":")
    words = [*module_name.split("."), *attributes.split(".")]
    if not colon or len(written) > _LONGEST_PATH or not all(word.isidentifier() for word in words):
        return Refusal(_PATH, _safe_start(written))
    module = _module(module_name)
    return module if isinstance(module, Refusal) else _attribute(module, attributes)


def _safe_start(written: str) -> str:
    # Only up to the mistake or the first ":": this may be a URL with a password in it.
    words = written.partition(":")[0].split(".")
    end = 0
    for word in words:
        if not word.isidentifier():
            break
        end += len(word) + 1
    start = written[: max(end, 1)]
    return shown(start) + ("..." if len(written) > len(start) else "")


def _module(name: str) -> ModuleType | Refusal:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001 - a module is the user's code, and may exit
        why = f"it raised {type(failure).__name__}"
        if isinstance(failure, ModuleNotFoundError) and failure.name:
            why = f"there is no module {failure.name!r}"
        return Refusal(f"{_PATH}, of a module that can be imported: {why}", cause=failure)


def _attribute(module: ModuleType, path: str) -> object:
    found: Any = module
    done = module.__name__
    for word in path.split("."):
        try:
            found = getattr(found, word)
        except Exception as failure:  # noqa: BLE001 - a module's __getattr__ is the user's code
            return Refusal(f"{_PATH}: {_missing(found, done, word, failure)}", cause=failure)
        done += f".{word}"
    return found


def _missing(owner: object, name: str, word: str, failure: Exception) -> str:
    if not isinstance(failure, AttributeError):
        return f"{word!r} of {name} raised {type(failure).__name__}"
    try:
        likely = nearest(word, dir(owner))
    except Exception:  # noqa: BLE001 - its __dir__ is the user's code
        likely = "unknown"
    return f"{name} has no {word!r}; the nearest is {likely}"


def _table(kind: type[msgspec.Struct], forms: Mapping[str, Form]) -> Form:
    """Make the form of a Struct: a table of its fields."""
    fields = kind.__struct_fields__

    def form(written: object) -> object:
        if not isinstance(written, dict):
            return Refusal(f"a table of {', '.join(fields)}")
        values: dict[str, Any] = {}
        for field, value in cast("dict[str, object]", written).items():
            if field not in fields:
                likely = nearest(field, fields)
                return Refusal(
                    f"a table of {', '.join(fields)}",
                    f"unknown field {shown(field)}, the nearest is {likely}",
                )
            result = forms[field](value) if field in forms else value
            if isinstance(result, Refusal):
                return result._replace(part=f".{field}")
            values[field] = result
        return kind(**values)

    return form


HOOKS = ("factory", "close", "check", "reset", "on_acquire", "is_connection_error")
LIMITS = ("max_queue_delay", "keepalive", "max_hold")
COUNTS = ("max_size", "max_waiting", "max_uses")
DURATIONS = (
    "acquire_timeout", "ageing", "create_timeout", "check_timeout", "reset_timeout",
    "close_timeout", "fresh_for", "idle_timeout", "max_lifetime",
)  # fmt: skip

# A field that is not here is written as it is given in Python; `budget` is known to the file only.
FORMS: dict[str, Form] = {
    **dict.fromkeys(HOOKS, imported),
    **dict.fromkeys(DURATIONS, duration),
    **dict.fromkeys(LIMITS, limit),
    **dict.fromkeys(COUNTS, count),
    "backoff": _table(Backoff, {"min": duration, "max": duration, "attempts": count}),
    "restart": _table(Intensity, {"period": duration}),
}
