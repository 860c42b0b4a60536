"""What a user's code may raise where nobody expects it."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import ActorDead
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Fail, Say, Script, running


class Mute(Exception):
    """Cannot be told."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __str__(self) -> str:
        raise self.error


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError(), GeneratorExit()])
def test_an_error_whose_text_raises_is_the_end_of_that_incarnation_alone(
    error: BaseException,
) -> None:
    async def main() -> None:
        script = Script()
        async with running([script.child("a")]) as top:
            with pytest.raises(ActorDead, match=r"this message: Mute$"):
                await top.child("a").ask(Fail(Mute(error)), timeout=5)
            assert await top.child("a").ask(Say("again")) == "again"
            assert script.log == ["start a", "start a", "a: again"]

    run(main())
