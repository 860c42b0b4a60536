"""A stop or a failure beside it at every tick of a start: what was begun is undone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.supervision import Actor, ChildSpec, Intensity, Supervisor, handles
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, Fail, Play, Script, outcome, running, settled

TICKS = 8


class Holder(Actor):
    """Takes hold of something when it starts, and lets go when it stops or is broken off."""

    def __init__(self, held: list[str]) -> None:
        super().__init__()
        self.held = held

    async def on_start(self) -> None:
        self.held.append("hold")
        try:
            for _ in range(TICKS):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.held.remove("hold")
            raise

    @handles(Play)
    async def work(self, _message: Play) -> None:
        await asyncio.sleep(1)

    async def on_stop(self) -> None:
        self.held.remove("hold")


@pytest.mark.parametrize("way", ["stop", "terminate", "sibling fails", "start cancelled"])
def test_08_what_a_start_has_taken_hold_of_is_let_go_at_every_tick(way: str) -> None:
    held: list[str] = []
    script = Script()

    async def main(tick: int) -> None:
        spec = ChildSpec("holder", Holder, args=(held,))
        flags: dict[str, Any] = {"strategy": "one_for_all", "intensity": Intensity(0, 1.0)}
        if way == "start cancelled":
            top = Supervisor([spec], **flags)
            start = asyncio.create_task(top.start())
            await ticks(tick)
            start.cancel()
            await outcome(start)
        else:
            async with running(script.children("a"), **flags) as top:
                starting = asyncio.create_task(outcome(top.start_child(spec)))
                await ticks(tick)
                if way == "terminate":
                    await outcome(top.terminate_child("holder"))
                elif way == "sibling fails":
                    top.child("a").tell(Fail(Boom("no")))
                    await settled()
            await starting
        await top.stop()
        await settled()
        assert held == [], tick

    for tick in range(3 * TICKS):
        run(main(tick))


def test_18_a_turn_that_is_killed_at_any_tick_leaves_no_warning_behind() -> None:
    held: list[str] = []

    async def main(tick: int) -> None:
        async with running([ChildSpec("holder", Holder, args=(held,))]) as top:
            reply = top.child("holder").ask(Play([1.0]))
            await ticks(tick)
            top.child("holder").kill()
            await outcome(reply)

    for tick in range(TICKS):
        run(main(tick))


async def ticks(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
