"""A program around us that has pykka actors of its own: neither disturbs the other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pykka  # noqa: TID253 - the host's actors are pykka's
import pytest

from pepperpy_resources.supervision import ActorHandle, ChildSpec, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, Fail, Script, running

SECONDS = 10.0


def ref_of(handle: ActorHandle) -> pykka.ActorRef[Any]:
    actor: Any = handle._cell.actor
    ref: pykka.ActorRef[Any] = actor.actor_ref
    return ref


class Host(pykka.ThreadingActor):
    """An actor of the program around us."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return f"host: {message}"


def test_63_a_hosts_own_actors_outlive_our_crashes_kills_and_stop() -> None:
    host, script = Host.start(), Script()
    try:

        async def main() -> None:
            inner = Supervisor([script.child("b")], intensity=None)
            async with running([script.child("a"), ChildSpec("in", inner)]) as supervisor:
                supervisor.child("a").tell(Fail(Boom()))
                supervisor.child("a").tell(Fail(asyncio.CancelledError()))
                supervisor.child("in").kill()
                await asyncio.sleep(1)
            stopped = Supervisor([script.child("a")], intensity=None, backoff=None)
            await stopped.start()
            assert ref_of(stopped.child("a")).stop(block=True)
            await stopped.wait()

        run(main())
        assert host.ask("still here", timeout=SECONDS) == "host: still here"
    finally:
        host.stop(timeout=SECONDS)


PROGRAM = """
    import asyncio, sys, time
    import pykka
    from pepperpy_resources import Actor, ChildSpec, Supervisor, handles

    class HostActor(pykka.ThreadingActor):
        def on_receive(self, message):
            return message

    class Ours(Actor):
        @handles(str)
        async def sleep(self, message):
            await asyncio.sleep(100)

    async def main(where):
        host = HostActor.start()
        inner = Supervisor([ChildSpec("b", Ours)])
        supervisor = Supervisor([ChildSpec("a", Ours), ChildSpec("in", inner)])
        await supervisor.start()
        supervisor.child("in/b").tell("sleep")
        await asyncio.sleep(0.01)
        began = time.monotonic()
        if where == "loop":
            pykka.ActorRegistry.stop_all(timeout=5)
        elif where == "thread":
            await asyncio.to_thread(pykka.ActorRegistry.stop_all, timeout=5)
        else:
            await asyncio.to_thread(pykka.ActorRegistry.stop_all, block=False)
        await supervisor.wait()
        await supervisor.stop()
        assert time.monotonic() - began < 4, "it hung, or waited for the turn"
        while host.is_alive():
            await asyncio.sleep(0.01)
        assert pykka.ActorRegistry.get_all() == []
        print("well", where)

    asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("where", ["loop", "thread", "thread, without waiting"])
def test_63_stop_all_of_a_host_neither_hangs_nor_fights(where: str) -> None:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"well {where}\n", "")
