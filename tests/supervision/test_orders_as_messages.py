"""Orders sent as messages, with `tell` and `ask`: what is wrong with them harms nobody but them."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from pepperpy_resources.errors import UsageError
from pepperpy_resources.supervision import (
    ChildSpec,
    DeleteChild,
    RestartChild,
    StartChild,
    StartWith,
    Strategy,
    Supervisor,
    TerminateChild,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Script, phases, running, settled


class Word(str):
    """An id whose comparison is somebody's code."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise AssertionError("no turn runs a user's code")

    __eq__ = str.__eq__


BAD_IDS: list[Any] = [["a"], None, {}]


@pytest.mark.parametrize("order", [RestartChild, TerminateChild, DeleteChild])
@pytest.mark.parametrize("name", BAD_IDS, ids=["a list", "None", "a dict"])
def test_an_id_that_is_no_str_is_refused_and_nobody_crashes(order: Any, name: Any) -> None:
    async def main() -> None:
        async with running([Script().child("a")]) as top:
            with pytest.raises(UsageError, match=f"id must be a str; got {type(name).__name__}"):
                await top.handle.ask(order(name))
            assert top.handle.tell(order(name))
            await settled()
            assert await phases(top) == {"a": "up"}

    run(main())


def test_an_id_of_another_kind_of_str_is_read_as_the_plain_one() -> None:
    async def main() -> None:
        async with running([Script().child("a")]) as top:
            assert await top.handle.ask(TerminateChild(Word("a"))) == "a"
            assert await top.handle.ask(RestartChild(Word("a"))) == "a"

    run(main())


def test_what_is_no_spec_is_refused_and_nobody_crashes() -> None:
    async def main() -> None:
        wrong: Any = 5
        async with running([Script().child("a")]) as top:
            with pytest.raises(UsageError, match="a ChildSpec is expected, not int"):
                await top.handle.ask(StartChild(wrong))
            assert top.handle.tell(StartChild(wrong))
            await settled()
            assert await phases(top) == {"a": "up"}

    run(main())


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"args": 5}, "args must be a tuple; got a int"),
    ({"args": "abc"}, "args must be a tuple; got a str"),
    ({"kwargs": 5}, "kwargs must be a dict with str keys; got a int"),
    ({"kwargs": {1: 2}}, "kwargs must be a dict with str keys; got a dict with others"),
    ({"id": ["x"]}, "id must be a printable word"),
    ({"id": "a/b"}, "id must be a printable word"),
]


@pytest.mark.parametrize(("fields", "why"), WRONG)
def test_wrong_arguments_of_a_dynamic_child_are_refused_where_they_are_given(
    fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        StartWith(**fields)


def test_the_arguments_of_a_dynamic_child_are_read_by_who_gives_them() -> None:
    given = iter([1, 2])
    asked = StartWith(given, {"b": 3}, "x")  # type: ignore[arg-type]
    assert asked.args == (1, 2)
    assert list(given) == []


def test_a_stop_by_order_that_was_told_and_not_asked_can_be_cut_short() -> None:
    async def main() -> None:
        script = Script()
        script.on_stop["a"] = [math.inf]
        async with running([script.child("a", shutdown=math.inf), script.child("b")]) as top:
            assert top.handle.tell(TerminateChild("a"))
            await settled()
            assert await phases(top) == {"a": "stopping", "b": "up"}
            await asyncio.wait_for(top.stop(timeout=1), 2)
            assert script.log == ["start a", "start b", "stop b"]

    run(main())


def test_a_dynamic_child_is_started_by_message() -> None:
    async def main() -> None:
        script = Script()
        spec = ChildSpec("a", script.child("a").actor, args=(script,))
        async with Supervisor([spec], strategy=Strategy.SIMPLE_ONE_FOR_ONE, name="top") as top:
            assert await top.handle.ask(StartWith()) == "a-1"
            assert await top.handle.ask(StartWith(id="b")) == "b"
            assert await phases(top) == {"a-1": "up", "b": "up"}

    run(main())
