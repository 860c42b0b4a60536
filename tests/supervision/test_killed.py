"""Killed at an awkward moment: no incarnation is left behind, none comes to life afterwards."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import msgspec
import pytest

from pepperpy_resources.errors import ActorDead, StartFailed
from pepperpy_resources.supervision import (
    Actor,
    ChildSpec,
    Restart,
    Supervisor,
    TerminateChild,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, Fail, Player, Script, now, phases, running, settled


def test_who_is_about_to_be_made_is_not_made_once_its_supervisor_is_killed() -> None:
    async def main() -> None:
        script = Script()
        below = Supervisor([script.child("a")])
        async with running([ChildSpec("below", below, restart=Restart.TEMPORARY)]) as top:
            handle = top.supervisor("below")
            await handle.terminate_child("a")
            script.take()
            order = asyncio.create_task(handle.restart_child("a"))
            await asyncio.sleep(0)  # the order is carried out: a is made in the next round
            handle.kill()
            with pytest.raises(ActorDead):
                await order
            await settled()
            assert script.log == []

    run(main())


def test_a_supervisor_killed_between_two_incarnations_stays_as_it_is() -> None:
    async def main() -> None:
        script = Script()
        below = Supervisor([script.child("a")])
        async with running([ChildSpec("below", below)]) as top:
            handle = top.supervisor("below")
            handle.kill()
            await settled()
            handle.kill()
            await settled()
            assert handle.status == "backing-off"
            handle.kill()
            assert handle.status == "backing-off"
            await asyncio.sleep(1)
            assert handle.status == "running"

    run(main())


class Rash(Player):
    """Does something in its `__init__`, in its first incarnation only."""

    def __init__(self, script: Script, deeds: list[Callable[[], object]]) -> None:
        super().__init__(script)
        self.note("make")
        while deeds:
            deeds.pop()()


@pytest.mark.parametrize("then", ["goes on", "fails"])
def test_killed_in_its_own_init_it_is_not_started(then: str) -> None:
    async def main() -> None:
        script = Script()
        deeds: list[Callable[[], object]] = []
        spec = ChildSpec("a", Rash, args=(script, deeds))
        async with running([spec]) as top:
            handle = top.child("a")
            await top.terminate_child("a")
            script.take()
            if then == "fails":
                deeds.append(lambda: fail(Boom("afterwards")))
            deeds.append(handle.kill)
            with pytest.raises(StartFailed, match="killed"):
                await top.restart_child("a")
            await settled()
            assert script.take() == ["make"]
            await top.restart_child("a")
            assert script.take() == ["make", "start a"]

    run(main())


def test_stopped_by_an_order_from_its_own_init_it_is_not_started() -> None:
    async def main() -> None:
        script = Script()
        deeds: list[Callable[[], object]] = []
        spec = ChildSpec("a", Rash, args=(script, deeds), shutdown=60)
        async with running([spec]) as top:
            await top.terminate_child("a")
            script.take()
            deeds.append(lambda: top.handle.tell(TerminateChild("a")))
            before = now()
            with pytest.raises(StartFailed, match="told by its supervisor"):
                await top.restart_child("a")
            await settled()
            assert script.log == ["make"]
            assert await phases(top) == {"a": "down"}
            assert now() == before

    run(main())


def fail(error: BaseException) -> None:
    raise error


class Quit(msgspec.Struct, frozen=True):
    """Kill yourself with this, and end the program all the same."""

    kill: Callable[[], None]


class QuitLater(Quit, frozen=True):
    """The same in a turn that awaits."""


class Quitter(Actor):
    @handles(Quit)
    def quit(self, message: Quit) -> None:
        message.kill()
        raise SystemExit(5)

    @handles(QuitLater)
    async def quit_later(self, message: Quit) -> None:
        message.kill()
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            raise SystemExit(5) from None


@pytest.mark.parametrize("kind", [Quit, QuitLater])
def test_a_program_is_ended_by_code_that_was_killed_before(kind: type[Quit]) -> None:
    async def main() -> None:
        async with running([ChildSpec("a", Quitter)]) as top:
            handle = top.child("a")
            handle.tell(kind(handle.kill))
            await asyncio.sleep(1)

    with pytest.raises(SystemExit, match="5"):
        run(main())


def test_the_start_that_took_too_long_is_what_is_said_of_its_end() -> None:
    async def main() -> None:
        script = Script()
        async with running([script.child("a", start_timeout=2, shutdown=7)]) as top:
            handle = top.child("a")
            script.on_start["a"] = [math.inf]
            handle.tell(Fail(Boom("first")))
            await settled()
            down = await handle.watch()
            assert down.exit.reason == "did not start within 2 s"

    run(main())
