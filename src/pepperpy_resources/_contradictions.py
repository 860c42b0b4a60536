"""The table of rules between fields of a `ResourceSpec`, and between the specs of a manager."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pepperpy_resources._callables import PLAIN, SELF_CLOSING, callable_kind, takes
from pepperpy_resources._checks import shown
from pepperpy_resources._rules import invalid, unreadable
from pepperpy_resources.core.policy import Budget

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
     lambda s: s.max_size is None and not s.keyed and s.budget is None,
     "an int >= 1, or None with keyed=True or a budget"),
    ("min_idle",
     lambda s: s.keyed and s.min_idle > 0,
     "0 with keyed=True: which keys to keep ready cannot be known"),
    ("min_idle",
     lambda s: s.max_size is not None and s.min_idle > s.max_size,
     "at most max_size ({s.max_size})"),
    ("min_idle",
     lambda s: s.budget is not None and s.min_idle > s.budget.limit,
     "at most budget.limit ({s.budget.limit})"),
    ("max_holders",
     lambda s: s.max_holders > 1 and not s.keyed,
     "1, or more with keyed=True"),
    ("max_holders",
     lambda s: s.max_holders > 1 and s.reset is not None,
     "1 with a reset hook: it would reset what others still hold"),
    ("on_exception",
     lambda s: s.on_exception == "reset" and s.reset is None,
     "'keep', 'discard' or None without a reset hook"),
    ("on_exception",
     lambda s: s.on_exception == "keep" and s.reset is not None,
     "'reset', 'discard' or None with a reset hook, which runs whenever a resource comes back"),
    ("max_queue_delay",
     lambda s: s.max_queue_delay is not None and s.max_queue_delay >= s.acquire_timeout,
     "less than acquire_timeout ({s.acquire_timeout} s): acquires would time out first"),
    ("keepalive",
     lambda s: s.keepalive is not None and s.check is None,
     "None without a check hook"),
    ("keepalive",
     lambda s: (s.keepalive or 0) >= s.max_lifetime,
     "less than max_lifetime ({s.max_lifetime} s): it would be closed first"),
    ("keepalive",
     lambda s: s.min_idle == 0 and (s.keepalive or 0) >= s.idle_timeout,
     "less than idle_timeout ({s.idle_timeout} s) with min_idle=0: it would be closed first"),
    ("on_overdue",
     lambda s: s.on_overdue == "revoke" and s.max_hold is None,
     "'report' without max_hold, as no lease is ever overdue"),
    ("depends_on",
     lambda s: s.name in s.depends_on,
     "without the type's own name"),
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


def check_contradictions(spec: Any) -> None:
    """Raise `InvalidSpec` when two fields, each valid by itself, cannot both hold."""
    for field, found, allowed in CONTRADICTIONS:
        try:
            is_found = found(spec)
        except Exception as failure:
            raise unreadable(spec.name, field, failure) from failure
        if is_found:
            raise invalid(spec.name, field, allowed.format(s=spec), shown(getattr(spec, field)))


def check_budgets(specs: Iterable[Any]) -> None:
    """Raise `InvalidSpec` when specs that name one budget cannot share it.

    They give different limits, or what they keep ready is more than the limit.
    """
    budgets: dict[str, Budget] = {}
    kept: dict[str, int] = {}
    for spec in specs:
        if spec.budget is None:
            continue
        name, limit = spec.budget.name, spec.budget.limit
        shared = budgets.setdefault(name, spec.budget)
        if limit != shared.limit:
            allowed = f"{shared.limit} as in the other specs that name {name!r}"
            raise invalid(spec.name, "budget.limit", allowed, str(limit))
        others = kept.get(name, 0)
        kept[name] = others + spec.min_idle
        if kept[name] > limit:
            allowed = (
                f"at most {limit - others}: budget {name!r} has limit {limit},"
                f" of which other types keep {others} ready"
            )
            raise invalid(spec.name, "min_idle", allowed, str(spec.min_idle))
