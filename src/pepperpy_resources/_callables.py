"""What kind of function a factory or hook is, and how to name it without showing its contents."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Literal

FactoryKind = Literal[
    "coroutine", "async_generator", "generator", "async_context", "context", "class", "function"
]

# These close what they made themselves: after their `yield`, or when they are left.
SELF_CLOSING: tuple[FactoryKind, ...] = ("async_generator", "generator", "async_context", "context")
# Calling these runs them to their end on the calling thread.
PLAIN: tuple[FactoryKind, ...] = ("class", "function")

_MOST_PARTIALS = 100  # around one function; one may be made to wrap itself


def _helper_code(decorator: Any) -> object:
    """Return the code object of the helper that `decorator` puts in a function's place."""
    return decorator(print).__code__


# `functools.wraps` makes the helper look like what it hides: its code is the only exact mark.
_CONTEXT_CODE = _helper_code(contextmanager)
_ASYNC_CONTEXT_CODE = _helper_code(asynccontextmanager)


def callable_kind(hook: Callable[..., object]) -> FactoryKind:
    """Return what a call of `hook` gives, as far as it can be known without calling it.

    `"function"` is a plain def or lambda: its result is the resource, or an awaitable or a
    context manager that gives it. `"class"`: its instance is.
    """
    target = _behind(hook)
    if isinstance(target, type):
        return "class"
    if inspect.iscoroutinefunction(target):
        return "coroutine"
    if inspect.isasyncgenfunction(target):
        return "async_generator"
    if inspect.isgeneratorfunction(target):
        return "generator"
    code = getattr(target, "__code__", None)
    if code is _ASYNC_CONTEXT_CODE:
        return "async_context"
    return "context" if code is _CONTEXT_CODE else "function"


def may_close_itself(factory: Callable[..., object]) -> bool:
    """Return whether what `factory` makes may be entered and left, without a `close` hook.

    That is so of context managers whose class derives from contextlib's abstract ones. An
    undecorated function might return one; only its call would tell, so the answer is True.
    """
    target = _behind(factory)
    if isinstance(target, type):
        bases = target.__mro__
        return AbstractAsyncContextManager in bases or AbstractContextManager in bases
    return callable_kind(factory) != "coroutine"


def takes(hook: Callable[..., object] | None, arguments: int, *, more: bool = False) -> bool:
    """Return whether `hook` can be called with that many arguments, as far as can be known.

    With `more` it may require keywords besides.
    """
    if hook is None:
        return True
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):  # a builtin that does not tell
        return True
    try:
        bind = signature.bind_partial if more else signature.bind
        bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def describe(hook: Callable[..., object]) -> str:
    """Return the qualified name of `hook`: never its arguments, closure or instance."""
    target = _wrapped(hook)
    if target is not hook:
        return f"partial({describe(target)})"
    named: Any = hook if isinstance(hook, type) or inspect.isroutine(hook) else type(hook)
    module, name = getattr(named, "__module__", None), getattr(named, "__qualname__", "?")
    text = name if module in {None, "builtins"} else f"{module}.{name}"
    return text if named is hook else f"<{text} object>"


def _behind(hook: Callable[..., object]) -> Any:
    """Return the function that a call runs: behind partials, or a callable object's method."""
    target = _wrapped(hook)
    if isinstance(target, type) or inspect.isroutine(target):
        return target
    return type(target).__call__


def _wrapped(hook: Callable[..., object]) -> Any:
    target: Any = hook
    for _ in range(_MOST_PARTIALS):
        if not isinstance(target, functools.partial):
            return target
        target = target.func
    raise ValueError("a partial of itself")
