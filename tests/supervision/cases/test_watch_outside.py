"""Watch from outside the actors, from threads too: a reply that is answered once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import ActorDead, WouldBlock
from pepperpy_resources.supervision import Actor, ChildSpec, Down, ExitKind, handles
from pepperpy_resources.testing import crash, run
from tests.supervision.cases.endings import abandoned
from tests.supervision.cases.guards import Look, guard
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Say,
    Script,
    incarnations,
    outcome,
    running,
    settled,
)

SECONDS = 10.0  # no thread waits this long, unless something hangs


def test_watch_from_outside_answers_across_a_restart_and_at_the_end() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a"), script.child("b")]) as supervisor:
            a = supervisor.child("a")
            notice = a.watch()
            a.tell(Fail(Boom("out")))
            down = await notice
            assert (down.path, down.incarnation, down.exit.reason) == ("top/a", 1, "Boom: out")
            assert (await notice) is down
            await settled()
            last = a.watch()
        down = await last
        assert (down.incarnation, down.exit.kind) == (2, ExitKind.SHUTDOWN)
        gone = await a.watch()  # and of one that has been gone for long
        assert (gone.incarnation, gone.exit.kind) == (2, ExitKind.SHUTDOWN)

    run(main())


def test_watch_of_a_supervisor_tells_how_it_gave_up() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")], intensity=None, backoff=None) as supervisor:
            notice = supervisor.handle.watch()
            await settled()
            assert notice.pending
        down = await notice
        assert (down.path, down.exit.kind) == ("top", ExitKind.SHUTDOWN)

    run(main())


def test_watch_of_a_resource_types_handle_is_told_across_its_crash_and_at_the_stop() -> None:
    async def main() -> None:
        told: list[Down] = []
        spec = ResourceSpec("db", factory=object)
        async with DefaultResourceManager([spec]) as manager:
            handle = manager.actor("db")
            async with running([guard(told)]) as supervisor:
                await supervisor.child("guard").ask(Look(handle))
                notice = handle.watch()
                crash(manager, "db")
                down = await notice
                assert (down.path, down.incarnation, down.exit.kind) == (
                    "db", 1, ExitKind.FAILURE,
                )  # fmt: skip
                await settled()
                assert [(each.path, each.incarnation) for each in told] == [("db", 1)]
                async with manager.lease("db"):
                    pass
            last = handle.watch()
        assert (await last).exit.kind is ExitKind.SHUTDOWN
        assert (await handle.watch()).incarnation == 2

    run(main())


def test_watch_that_nobody_awaits_any_more_is_forgotten() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(a.watch(), 1.0)
            assert len(a._cell.watches) == 0

    run(main())


def test_watch_from_a_thread_and_no_thread_blocks_the_loop() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            with pytest.raises(WouldBlock):
                a.watch().get(timeout=1.0)
            watching = threading.Event()

            def wait() -> Down:
                notice = a.watch()
                watching.set()
                down: Down = notice.get(timeout=SECONDS)
                return down

            told = asyncio.ensure_future(asyncio.to_thread(wait))
            await asyncio.to_thread(watching.wait, SECONDS)
            a.tell(Fail(Boom("out")))
            assert (await told).exit.reason == "Boom: out"

    asyncio.run(main())


def test_watch_from_threads_while_it_crashes_is_told_exactly_once() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")], intensity=None, backoff=None) as supervisor:
            a, done = supervisor.child("a"), threading.Event()

            def watch() -> int:
                times = 0
                while not done.is_set():
                    assert a.watch().get(timeout=SECONDS).path == "top/a"
                    times += 1
                return times

            threads = [asyncio.ensure_future(asyncio.to_thread(watch)) for _ in range(4)]
            for _ in range(200):
                a.tell(Fail(Boom()))
                await asyncio.sleep(0.001)
            done.set()
            while not all(thread.done() for thread in threads):
                a.tell(Fail(Boom()))  # for those who began to watch meanwhile
                await asyncio.sleep(0.001)
            assert all(thread.result() > 0 for thread in threads)
            await asyncio.sleep(0)
            assert len(a._cell.watches) == 0

    asyncio.run(main())


def test_watch_in_a_thread_ends_with_the_loop() -> None:
    script = Script()
    with abandoned([script.child("a")]) as (loop, supervisor):
        a = supervisor.child("a")
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(a.watch().get, timeout=SECONDS)
            loop.close()
            down = told.result(SECONDS)
        assert (down.incarnation, down.exit.kind) == (1, ExitKind.KILLED)
        assert "loop" in down.exit.reason
        assert a.watch().get(timeout=1.0).exit.reason == down.exit.reason


def test_watch_can_be_awaited_by_an_actor_that_is_asked_by_the_one_it_waits_for() -> None:
    # It waits for an end, not for an answer: that is no circle.
    class Waits(Actor):
        @handles(Look)
        async def look(self, message: Look) -> Any:
            return (await message.target.watch()).exit.kind

    class Asks(Actor):
        @handles(Say)
        async def ask(self, message: Say) -> Any:
            return await message.text.ask(Look(self.handle))

    async def main() -> None:
        async with running([ChildSpec("a", Asks), ChildSpec("w", Waits)]) as supervisor:
            a, w = supervisor.child("a"), supervisor.child("w")
            asked = a.ask(Say(w))
            await settled()
            assert asked.pending
            waiting = w.ask(Look(w))  # queued behind the one that waits
            a.kill()
            assert isinstance(await outcome(asked), ActorDead)
            await settled()
            assert waiting.pending  # w lives on
            assert incarnations(supervisor) == {"a": 2, "w": 1}

    run(main())
