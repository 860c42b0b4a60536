"""What can be known of a factory or a hook without calling it."""

import functools
import io
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack

import pytest

from pepperpy_resources._callables import callable_kind, describe, may_close_itself
from pepperpy_resources.spec import ResourceSpec
from tests.spec_kit import (
    async_context,
    async_generator,
    connect,
    context,
    generator,
    make,
)


class Maker:
    def __call__(self) -> str:
        return ""

    async def connect(self) -> str:
        return ""


class AsyncMaker:
    async def __call__(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("factory", "closes"),
    [
        (connect, False),  # awaited; what it gives is the resource
        (str, False),
        (io.BytesIO, False),  # merely has __exit__
        (ExitStack, True),
        (AsyncExitStack, True),
        (make, True),  # might return a context manager
        (async_generator, True),
        (context, True),
    ],
)
def test_there_may_be_something_to_close_without_a_close_hook(
    factory: Callable[..., object], *, closes: bool
) -> None:
    assert may_close_itself(factory) is closes
    assert ResourceSpec("db", factory=factory).policy().has_close is closes


@pytest.mark.parametrize(
    ("factory", "kind"),
    [
        (connect, "coroutine"),
        (functools.partial(functools.partial(connect)), "coroutine"),
        (AsyncMaker(), "coroutine"),
        (Maker().connect, "coroutine"),
        (async_generator, "async_generator"),
        (generator, "generator"),
        (async_context, "async_context"),
        (context, "context"),
        (functools.partial(context), "context"),
        (str, "class"),
        (make, "function"),
        (Maker(), "function"),
        (functools.lru_cache(make), "function"),
        (len, "function"),
        (lambda: connect(""), "function"),
    ],
)
def test_the_kind_of_a_factory_is_told_without_calling_it(
    factory: Callable[..., object], kind: str
) -> None:
    assert callable_kind(factory) == kind


@pytest.mark.parametrize(
    ("factory", "text"),
    [
        (make, "tests.spec_kit.make"),
        (len, "len"),
        (str, "str"),
        ("secret".join, "str.join"),
        (Maker, f"{__name__}.Maker"),
        (Maker(), f"<{__name__}.Maker object>"),
        (Maker().connect, f"{__name__}.Maker.connect"),
        (functools.partial(make, "secret"), "partial(tests.spec_kit.make)"),
        (context, "tests.spec_kit.generator"),
    ],
)
def test_a_callable_is_named_without_what_it_holds(
    factory: Callable[..., object], text: str
) -> None:
    assert describe(factory) == text
