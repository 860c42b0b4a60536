"""The actors are pykka's: registry, refs and proxies work, and a host's own are left alone (63)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pykka  # noqa: TID253 - the actors are pykka's
import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.actors.janitor import Janitor
from pepperpy_resources.actors.pool import ResourceSupervisor
from pepperpy_resources.errors import ClosedError
from pepperpy_resources.messages import Acquire, Describe, Release
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import SECONDS, Fleet, outcome, private, serving, settled


def ref_of(manager: DefaultResourceManager, name: str = "db") -> pykka.ActorRef[Any]:
    actor: Any = manager.cell(name).actor
    ref: pykka.ActorRef[Any] = actor.actor_ref
    return ref


def test_the_registry_knows_them_while_they_live() -> None:
    async def main() -> None:
        before = set(pykka.ActorRegistry.get_all())
        async with serving(Fleet().spec(), Fleet().spec("llm")) as manager:
            names = sorted(
                ref.actor_class.__name__ for ref in set(pykka.ActorRegistry.get_all()) - before
            )
            assert names == [
                "Janitor",
                "MetricsActor",
                "ResourceSupervisor",
                "ResourceSupervisor",
                "RootSupervisor",
            ]
            assert len(pykka.ActorRegistry.get_by_class(ResourceSupervisor)) == 2
            old = ref_of(manager)
            assert old.is_alive()
            crash(manager, "db")
            await settled()
            assert not old.is_alive()  # a ref is one incarnation's; a handle is not
            with pytest.raises(pykka.ActorDeadError):
                old.tell(Describe())
            assert ref_of(manager).is_alive()
            assert len(pykka.ActorRegistry.get_by_class(ResourceSupervisor)) == 2
        assert set(pykka.ActorRegistry.get_all()) == before

    run(main())


def test_a_ref_takes_tell_and_ask() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            async with manager.lease("db"):
                pass
            ref = ref_of(manager)
            lease: Any = ref.ask(Acquire("db:a"))  # idle: answered inside the call
            assert lease.resource is fleet.things[0]
            ref.tell(Release("db:a", lease.epoch))
            reply: Any = ref.ask(Acquire("db:b"), block=False)
            assert (await reply).resource is fleet.things[0]
            described: Any = await asyncio.to_thread(ref.ask, Describe(), timeout=SECONDS)
            assert [lease.resource_id for lease in described.leases] == ["db:b"]
            await manager.release("db:b")

    asyncio.run(main())


def test_a_proxy_reads_an_attribute() -> None:
    async def main() -> None:
        async with serving(Fleet().spec()) as manager:
            proxy = ref_of(manager).proxy()
            ledger: Any = proxy.ledger
            assert await ledger is manager._exits["db"].state.ledger
            assert manager.cell("db").incarnation == 1

    run(main())


def test_a_stopped_actor_means_stop_of_the_manager_at_once_and_no_restart() -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec()], metrics=private())
        await manager.start()
        await manager.acquire("db:a")
        stopping: Any = ref_of(manager, "janitor").stop(block=False)
        assert await stopping is True  # answered at once, on the loop itself
        await settled()
        assert isinstance(await outcome(manager.acquire("db:b")), ClosedError)
        await manager.stop()  # waits for the one that is under way
        assert [thing.closed for thing in fleet.things] == [1]
        await manager.release("db:a")
        assert pykka.ActorRegistry.get_by_class(Janitor) == []

    run(main())


def test_stop_overtakes_a_backlog_of_ten_thousand() -> None:
    async def main() -> None:
        fleet = Fleet()
        manager = DefaultResourceManager([fleet.spec()], metrics=private())
        await manager.start()
        await settled()
        handle, ref = manager.actor("db"), ref_of(manager)

        def work() -> None:
            for _ in range(10_000):
                handle.tell(Describe())
            ref.stop(block=True)

        await asyncio.to_thread(work)
        await settled(3)
        assert manager.tree().status in {"stopping", "stopped"}
        await manager.stop()

    asyncio.run(main())


class HostActor(pykka.ThreadingActor):
    """An actor of the program around us."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return f"host: {message}"


def test_a_hosts_own_actors_outlive_our_stop_and_our_crashes() -> None:
    host = HostActor.start()
    try:

        async def main() -> None:
            async with serving(Fleet().spec()) as manager:
                for path in ("db", "janitor", "metrics", "root"):
                    crash(manager, path)
                await settled()

        run(main())
        assert host.ask("still here", timeout=SECONDS) == "host: still here"
    finally:
        host.stop(timeout=SECONDS)


PROGRAM = """
    import asyncio, sys, threading, time
    import pykka
    from pepperpy_resources import DefaultResourceManager, ResourceSpec

    class HostActor(pykka.ThreadingActor):
        def on_receive(self, message):
            return message

    closed = []

    async def make():
        return object()

    async def main(where):
        host = HostActor.start()
        spec = ResourceSpec("db", factory=make, close=lambda thing: closed.append(thing))
        manager = DefaultResourceManager([spec])
        await manager.start()
        await manager.acquire("db:a")
        began = time.monotonic()
        if where == "loop":
            pykka.ActorRegistry.stop_all(timeout=5)
        elif where == "thread":
            await asyncio.to_thread(pykka.ActorRegistry.stop_all, timeout=5)
        else:
            await asyncio.to_thread(pykka.ActorRegistry.stop_all, block=False)
        await manager.stop()
        assert time.monotonic() - began < 4, "it hung, or waited for the lease"
        assert len(closed) == 1, closed
        while host.is_alive():
            await asyncio.sleep(0.01)
        assert pykka.ActorRegistry.get_all() == []
        print("well", where)

    asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("where", ["loop", "thread", "thread, without waiting"])
def test_stop_all_from_a_host_neither_hangs_nor_fights(where: str) -> None:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"well {where}\n", "")
