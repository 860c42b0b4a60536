"""Factories and hooks that could never be called as the supervisor calls them are refused."""

from typing import Any

import pytest

from pepperpy_resources.errors import InvalidSpec
from tests.spec_kit import build, hook

ONE = "callable with one argument, the resource"


def none() -> bool:
    return True


def two(resource: object, more: object) -> bool:
    return resource is more


def optional(resource: object = None, *more: object) -> bool:
    return resource in more


@pytest.mark.parametrize(
    ("field", "given", "allowed", "others"),
    [
        ("factory", hook, "callable without arguments; a keyed type's takes the resource id", {}),
        ("factory", none, "callable with the resource id, and perhaps keywords of acquire",
         {"keyed": True}),
        *[(field, bad, ONE, {})
          for field in ("close", "check", "reset", "on_acquire") for bad in (none, two)],
        ("is_connection_error", none, "callable with one argument, the exception", {}),
        ("is_connection_error", two, "callable with one argument, the exception", {}),
    ],
)  # fmt: skip
def test_what_cannot_be_called_so_is_refused(
    field: str, given: Any, allowed: str, others: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        build(**others, **{field: given})
    got = f"{__name__}.{given.__name__}" if given is not hook else "tests.spec_kit.hook"
    assert str(refusal.value) == f"ResourceSpec 'db': {field} must be {allowed}; got {got}"


@pytest.mark.parametrize("keyed", [False, True])
def test_optional_arguments_fit_every_call(*, keyed: bool) -> None:
    spec = build(factory=optional, keyed=keyed, check=optional, is_connection_error=optional)
    assert spec.factory is optional


def test_a_keyed_factory_may_need_keywords_of_acquire() -> None:
    assert build(factory=two, keyed=True).factory is two
