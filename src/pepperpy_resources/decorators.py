"""`managed_resource`: an async method or function that is handed a leased resource."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypedDict, TypeVar, cast, overload

from pepperpy_resources._checks import as_seconds
from pepperpy_resources.errors import UsageError

if TYPE_CHECKING:
    from pepperpy_resources.default import DefaultResourceManager

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_calls = itertools.count(1)


class LeaseOptions(TypedDict, total=False):
    """What is passed on to `lease`."""

    timeout: float | None
    priority: int
    discard: bool


@overload
def managed_resource(
    resource_type: str,
    *,
    id: Callable[..., str] | None = None,
    timeout: float | timedelta | None = None,
    priority: int | None = None,
    discard: bool = False,
) -> Callable[
    [Callable[Concatenate[S, Any, P], Awaitable[R]]], Callable[Concatenate[S, P], Awaitable[R]]
]: ...
@overload
def managed_resource(
    resource_type: str,
    *,
    id: Callable[..., str] | None = None,
    manager: DefaultResourceManager,
    timeout: float | timedelta | None = None,
    priority: int | None = None,
    discard: bool = False,
) -> Callable[[Callable[Concatenate[Any, P], Awaitable[R]]], Callable[P, Awaitable[R]]]: ...
def managed_resource(
    resource_type: str,
    *,
    id: Callable[..., str] | None = None,  # noqa: A002 - the design's name, keyword-only
    manager: DefaultResourceManager | None = None,
    timeout: float | timedelta | None = None,
    priority: int | None = None,
    discard: bool = False,
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    """Lease a resource for each call and pass it as the first argument after `self`.

    The method's object has `resource_manager`; with `manager=` it decorates functions, which take
    the resource first. `id` makes the part of the resource id after the ":" from the arguments of
    the call. Without it a pooled type needs none, and a keyed type gets a fresh id whose resource
    is discarded on return. `timeout` (seconds), `priority` and `discard` are those of
    `DefaultResourceManager.lease`. Raises `UsageError` at decoration for anything but an async def
    and for a `timeout` that is none; the call raises as `lease` does, and a failed acquire releases
    nothing.
    """
    name: Any = resource_type
    if not isinstance(name, str) or not name:
        raise UsageError(
            'managed_resource takes the name of a resource type: @managed_resource("db"), with '
            "parentheses"
        )

    options: LeaseOptions = {"timeout": as_seconds(timeout), "discard": discard}
    if priority is not None:
        options["priority"] = priority

    def decorate(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        if not inspect.iscoroutinefunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise UsageError(f"managed_resource needs an async def; {name} is none")
        lead = 0 if manager is not None else 1  # arguments before the resource

        @functools.wraps(function)
        async def managed(*args: Any, **kwargs: Any) -> Any:
            owner = manager if manager is not None else manager_of(function, args)
            key = id(*args, **kwargs) if id is not None else None
            async with _leased(owner, resource_type, key, options) as resource:
                return await function(*args[:lead], resource, *args[lead:], **kwargs)

        return managed

    return decorate


def manager_of(function: Callable[..., Any], args: tuple[Any, ...]) -> DefaultResourceManager:
    """Return the manager of the object a method is called on, or raise `UsageError`."""
    found = getattr(args[0], "resource_manager", None) if args else None
    if found is None or not hasattr(found, "is_keyed"):
        raise UsageError(
            f"{function.__qualname__} is decorated with managed_resource: its object needs a "
            "DefaultResourceManager as self.resource_manager, or give managed_resource manager="
        )
    return cast("DefaultResourceManager", found)


def _leased(
    manager: DefaultResourceManager,
    resource_type: str,
    key: str | None,
    options: LeaseOptions,
) -> AbstractAsyncContextManager[Any]:
    if key is not None:
        return manager.lease(f"{resource_type}:{key}", **options)
    if manager.is_keyed(resource_type):
        # An id of this call's own; nobody will ask for it again.
        once: LeaseOptions = {**options, "discard": True}
        return manager.lease(f"{resource_type}:call-{next(_calls)}", **once)
    return manager.lease(resource_type, **options)
