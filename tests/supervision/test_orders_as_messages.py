"""Orders sent as messages, with `tell` and `ask`."""

from __future__ import annotations

import asyncio
import math

from pepperpy_resources.supervision import RestartChild, TerminateChild
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Script, phases, running, settled


class Word(str):
    """An id whose comparison is somebody's code."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise AssertionError("no turn runs a user's code")

    __eq__ = str.__eq__


def test_an_id_of_another_kind_of_str_is_read_as_the_plain_one() -> None:
    async def main() -> None:
        async with running([Script().child("a")]) as top:
            assert await top.handle.ask(TerminateChild(Word("a"))) == "a"
            assert await top.handle.ask(RestartChild(Word("a"))) == "a"

    run(main())


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
