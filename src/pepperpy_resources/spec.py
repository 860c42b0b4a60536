"""`ResourceSpec`: everything a program says about one resource type, validated once.

A spec is frozen. Durations may be given as `timedelta` or seconds and are stored as float
seconds. Every mistake raises `InvalidSpec` where the spec is made, naming the field, the value
given and what is allowed (the tables are in `_rules.py` and `_contradictions.py`). Names of the
design that are not built yet are refused, never ignored.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, Unpack, overload

import msgspec

from pepperpy_resources._callables import describe, may_close_itself
from pepperpy_resources._contradictions import check_budgets, check_contradictions
from pepperpy_resources._rules import check_call, stored_value
from pepperpy_resources.core.policy import Backoff, Budget, Intensity, Policy
from pepperpy_resources.errors import DuplicateResourceType, InvalidSpec

if TYPE_CHECKING:
    # With a default a spec whose resource type nothing tells is ResourceSpec[Any].
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Backoff", "Budget", "Intensity", "ResourceSpec", "Seconds", "resource_spec"]

Seconds = float | timedelta
Hook = Callable[[T], object]  # a def, or an async def that is awaited


class _SpecMeta(msgspec.StructMeta):
    # A Struct may define neither __init__ nor __new__, and msgspec's own raises TypeError for
    # an unknown keyword. Hidden from type checkers, which know the constructor from the fields.
    if not TYPE_CHECKING:

        def __call__(cls, *names: object, **fields: Any) -> object:  # noqa: N805 - a metaclass
            check_call(names, fields)
            return super().__call__(*names, **fields)


class _Named(msgspec.Struct, frozen=True):
    name: str  # by itself, because only this field may be given by position


class ResourceSpec(_Named, Generic[T], metaclass=_SpecMeta, frozen=True, kw_only=True):
    """One resource type: how to make, check and end its resources, and its limits.

    `name` is the part of a resource id before the first ":". `factory` makes one resource: an
    async def, a def, an async or plain generator function with one `yield`, or a function that
    makes a context manager. An awaitable is awaited. Without a `close` hook a context manager is
    entered, and left to close, if its class derives from contextlib's abstract ones (those of
    `@contextmanager` do; a sqlite3 connection, whose `with` is a transaction, does not). A keyed
    type's factory takes the resource id, and the keywords of `acquire`.

    Durations are a `timedelta` or seconds. Raises `InvalidSpec` for every value, name or
    combination that is not allowed.

    Hooks take the resource and are def or async def:
        close: ends it. check: raises or returns False when it is bad; every other result is good.
        reset: runs on return, before the next borrower. on_acquire: runs in the borrower's task;
        a failure discards the resource and the next is tried. is_connection_error: takes an
        exception and says whether the other side is gone, which retires the whole generation.
        on_exception: what `lease()` left by an exception does: "reset", "discard" or "keep".
        None: "reset" with a reset hook; without one "keep", and "discard" for a cancellation or
        another BaseException.
    Limits:
        max_size: resources at most (None for no limit: keyed, or a budget). min_idle: kept
        ready. max_opening: creations at once. keyed: one resource per id, made by
        `factory(resource_id, **keywords)`. max_holders: of one keyed resource at once.
        budget: `Budget(name, limit)`, at most `limit` resources of all types that name it.
        order: "lifo" or "fifo" hand-out; waiting acquires of one priority are always served in
        their order.
    Waiting:
        acquire_timeout: seconds, 0 for not at all, math.inf for ever. max_waiting: queue limit.
        max_queue_delay: seconds; a queue that stands longer is shed (None: never). priority: of
        acquires that name none, -9..9. ageing: seconds of waiting that count as one priority more.
    Deadlines of the hooks:
        create_timeout, check_timeout, reset_timeout, close_timeout.
    Health:
        check_on: of "acquire" and "return"; {"acquire"} where there is a check. fresh_for: not
        checked if opened, checked, reset or given back within it; 0 checks whatever comes from a
        borrower, unless it was reset. keepalive: an idle resource is checked in the background
        once it was not known to be good for so long (None: never).
    Retirement:
        idle_timeout, max_lifetime; a lifetime is up to lifetime_jitter (a fraction) shorter.
        max_uses: leases of one resource before it is closed (None: no limit).
    Leases:
        max_hold: a lease held longer is overdue (None: never). on_overdue: "report", or "revoke",
        which ends the lease besides. borrow_stack: "line", "full" or "off", how much a lease
        remembers of where it was taken.
    Failure:
        backoff: pauses after failed creations, from the second in a row on; the first is tried
        again at once. restart: crashes of the supervising actor until the type is parked.
    Readiness:
        required: `wait_ready` waits for this type. depends_on: names of the types it needs, which
        start before it and stop after it.
    Where:
        offload: plain def hooks run on threads. thread_bound: always on the one of their resource.
    """

    factory: Callable[..., object]

    close: Hook[T] | None = None
    check: Hook[T] | None = None
    reset: Hook[T] | None = None
    on_acquire: Hook[T] | None = None
    is_connection_error: Callable[[BaseException], bool] | None = None

    on_exception: Literal["keep", "reset", "discard"] | None = None

    max_size: int | None = 10
    min_idle: int = 0
    max_opening: int = 4
    keyed: bool = False
    max_holders: int = 1
    budget: Budget | None = None

    order: Literal["lifo", "fifo"] = "lifo"
    acquire_timeout: Seconds = 30.0
    max_waiting: int | None = None
    max_queue_delay: Seconds | None = None
    priority: int = 0
    ageing: Seconds = 1.0

    create_timeout: Seconds = 30.0
    check_timeout: Seconds = 5.0
    reset_timeout: Seconds = 5.0
    close_timeout: Seconds = 5.0

    # Stored as a frozenset: {"acquire"} where there is a check hook, unless given.
    check_on: Iterable[str] | None = None
    fresh_for: Seconds = 0.5
    keepalive: Seconds | None = None

    idle_timeout: Seconds = 600.0
    max_lifetime: Seconds = 1800.0
    lifetime_jitter: float = 0.25
    max_uses: int | None = None

    max_hold: Seconds | None = None
    on_overdue: Literal["report", "revoke"] = "report"
    borrow_stack: Literal["line", "full", "off"] = "line"

    backoff: Backoff = Backoff()
    restart: Intensity = Intensity()

    required: bool = True
    depends_on: Iterable[str] = ()  # stored as a tuple without duplicates

    offload: bool = False
    thread_bound: bool = False

    def __post_init__(self) -> None:
        """Validate and normalise every field, then what holds between fields."""
        for field in self.__struct_fields__:
            stored = stored_value(self.name, field, getattr(self, field))
            msgspec.structs.force_setattr(self, field, stored)
        if self.check_on is None:
            moments: frozenset[str] = frozenset({"acquire"} if self.check else ())
            msgspec.structs.force_setattr(self, "check_on", moments)
        check_contradictions(self)

    def policy(self) -> Policy:
        """Return what the pool core needs: the same numbers, in seconds, without callables."""
        same = set(Policy.__struct_fields__).intersection(self.__struct_fields__)
        numbers: dict[str, Any] = {field: getattr(self, field) for field in same}
        for field in same:
            if numbers[field] is None:  # of the fields the core knows that means no limit
                numbers[field] = math.inf
        if self.max_size is None and self.budget is not None:
            numbers["max_size"] = self.budget.limit  # what all types may have, one may have
        return Policy(
            **numbers,
            has_check=self.check is not None,
            has_reset=self.reset is not None,
            has_close=self.close is not None or may_close_itself(self.factory),
            check_on_acquire="acquire" in (self.check_on or ()),
            check_on_return="return" in (self.check_on or ()),
            budgeted=self.budget is not None,
        )

    def __repr__(self) -> str:
        """Return the name, the factory and what differs from the defaults; no contents."""
        fields = ", ".join(f"{field}={text}" for field, text in self.__rich_repr__())
        return f"ResourceSpec({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return each field that differs from its default, and its value without contents."""
        required = len(self.__struct_fields__) - len(self.__struct_defaults__)
        defaults = (None,) * required + self.__struct_defaults__
        changed: list[tuple[str, Any]] = []
        for field, default in zip(self.__struct_fields__, defaults, strict=True):
            value = getattr(self, field)
            if callable(value):
                changed.append((field, describe(value)))
            elif value not in (default, frozenset()):
                changed.append((field, repr(value)))
        return changed


class SpecFields(TypedDict, Generic[T], total=False):
    """The fields of `ResourceSpec` other than name, factory and close, for `resource_spec`."""

    check: Hook[T] | None
    reset: Hook[T] | None
    on_acquire: Hook[T] | None
    is_connection_error: Callable[[BaseException], bool] | None
    on_exception: Literal["keep", "reset", "discard"] | None
    max_size: int | None
    min_idle: int
    max_opening: int
    keyed: bool
    max_holders: int
    budget: Budget | None
    order: Literal["lifo", "fifo"]
    acquire_timeout: Seconds
    max_waiting: int | None
    max_queue_delay: Seconds | None
    priority: int
    ageing: Seconds
    create_timeout: Seconds
    check_timeout: Seconds
    reset_timeout: Seconds
    close_timeout: Seconds
    check_on: Iterable[str] | None
    fresh_for: Seconds
    keepalive: Seconds | None
    idle_timeout: Seconds
    max_lifetime: Seconds
    lifetime_jitter: float
    max_uses: int | None
    max_hold: Seconds | None
    on_overdue: Literal["report", "revoke"]
    borrow_stack: Literal["line", "full", "off"]
    backoff: Backoff
    restart: Intensity
    required: bool
    depends_on: Iterable[str]
    offload: bool
    thread_bound: bool


# Without `close` a context manager is entered, so the resource is what entering it gives; the
# overloads that take `close` come last and take a context manager for the resource itself. Type
# checkers see `__enter__`, not base classes: where entering would give something else than the
# object and its class does not derive from contextlib's, give `close` or `ResourceSpec[...]`.
@overload
def resource_spec(
    name: str,
    *,
    factory: Callable[..., AbstractAsyncContextManager[T]],
    **fields: Unpack[SpecFields[T]],
) -> ResourceSpec[T]: ...
@overload
def resource_spec(
    name: str,
    *,
    factory: Callable[..., AbstractContextManager[T]],
    **fields: Unpack[SpecFields[T]],
) -> ResourceSpec[T]: ...
@overload
def resource_spec(
    name: str, *, factory: Callable[..., AsyncIterator[T]], **fields: Unpack[SpecFields[T]]
) -> ResourceSpec[T]: ...
@overload
def resource_spec(
    name: str, *, factory: Callable[..., Iterator[T]], **fields: Unpack[SpecFields[T]]
) -> ResourceSpec[T]: ...
@overload
def resource_spec(
    name: str,
    *,
    factory: Callable[..., Awaitable[T]],
    close: Hook[T] | None = None,
    **fields: Unpack[SpecFields[T]],
) -> ResourceSpec[T]: ...
@overload
def resource_spec(
    name: str,
    *,
    factory: Callable[..., T],
    close: Hook[T] | None = None,
    **fields: Unpack[SpecFields[T]],
) -> ResourceSpec[T]: ...
def resource_spec(name: str, **fields: Any) -> ResourceSpec[Any]:
    """Make a `ResourceSpec` whose resource type is inferred from the factory, of any kind.

    Takes the fields of `ResourceSpec` and returns one. Raises `InvalidSpec` as it does.
    """
    return ResourceSpec(name, **fields)


def specs_by_name(
    specs: Iterable[ResourceSpec[Any]] | None,
) -> dict[str, ResourceSpec[Any]]:
    """Return the specs by name; refuse what is no spec, two of one name, budgets that differ."""
    by_name: dict[str, ResourceSpec[Any]] = {}
    given: Any = specs
    kind = type(specs).__name__
    if isinstance(given, (ResourceSpec, str)) or not isinstance(given, (Iterable, type(None))):
        raise InvalidSpec(f"a list of specs is expected, [spec, ...], not {kind}")
    for spec in specs or ():
        if not isinstance(spec, ResourceSpec):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidSpec(f"a ResourceSpec is expected, not {type(spec).__name__}")
        if spec.name in by_name:
            raise DuplicateResourceType(f"two specs declare {spec.name!r}: give each its own name")
        by_name[spec.name] = spec
    check_budgets(by_name.values())
    return by_name
