"""Killed at an awkward moment: no incarnation is left behind, none comes to life afterwards."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import ActorDead
from pepperpy_resources.supervision import ChildSpec, Restart, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Script, running, settled


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
