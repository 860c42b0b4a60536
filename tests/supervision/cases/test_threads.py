"""Messages from other threads, also when the loop ends under those who wait."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from pepperpy_resources.errors import ActorDead, ResourceError, WouldBlock
from pepperpy_resources.supervision import (
    LATER,
    Actor,
    ActorHandle,
    ChildSpec,
    StartWith,
    Supervisor,
    TerminateChild,
    handles,
)
from tests.supervision.cases.endings import abandoned
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Play,
    Say,
    Script,
    incarnations,
    outcome,
    running,
    settled,
)

SECONDS = 10.0  # no thread waits this long, unless something hangs
THREADS, EACH = 8, 300


class Numbered(msgspec.Struct, frozen=True):
    """The so many-eth message of a thread."""

    thread: int
    number: int


class Clerk(Actor):
    """Notes what comes, and from which thread of ours it is handled."""

    def __init__(self, seen: dict[int, list[int]]) -> None:
        super().__init__()
        self.seen = seen
        self.at_work = 0

    @handles(Numbered)
    async def note(self, message: Numbered) -> int:
        assert self.at_work == 0, "a turn beside a turn"
        self.at_work += 1
        self.seen[message.thread].append(message.number)
        if message.number % 50 == 0:
            await asyncio.sleep(0)
        self.at_work -= 1
        return message.number

    @handles(str)
    def keep(self, _: str) -> Any:
        return LATER

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise message.error


# -- 61


@pytest.mark.parametrize("crashes", [0, 3])
def test_61_eight_threads_fifo_per_thread_and_all_answered(crashes: int) -> None:
    seen: dict[int, list[int]] = defaultdict(list)
    loop_thread: list[int] = []

    async def main() -> None:
        loop_thread.append(threading.get_ident())
        spec = ChildSpec("a", Clerk, args=(seen,))
        async with running([spec], backoff=None) as supervisor:
            a = supervisor.child("a")

            def work(thread: int) -> list[Any]:
                replies = []
                for number in range(EACH):
                    if number % 3:
                        assert a.tell(Numbered(thread, number))
                    else:
                        replies.append(a.ask(Numbered(thread, number)))
                return [reply.get(timeout=SECONDS) for reply in replies]

            threads = [asyncio.to_thread(work, thread) for thread in range(THREADS)]
            working = asyncio.gather(*threads)
            for _ in range(crashes):
                await asyncio.sleep(0.002)
                a.tell(Fail(Boom("in the middle")))
            for answers in await working:
                assert answers == list(range(0, EACH, 3))
            await settled()
            assert incarnations(supervisor) == {"a": crashes + 1}
            assert supervisor.dead_letters() == []

    asyncio.run(main())
    assert dict(seen) == {thread: list(range(EACH)) for thread in range(THREADS)}


def test_61_eight_threads_order_about_a_supervisor_and_all_are_answered() -> None:
    script = Script()

    async def main() -> None:
        flags: dict[str, Any] = {"strategy": "simple_one_for_one"}
        async with running([script.child("a")], **flags) as supervisor:
            handle = supervisor.handle

            def work() -> list[str]:
                names = []
                for _ in range(20):
                    name: str = handle.ask(StartWith()).get(timeout=SECONDS)
                    names.append(name)
                    handle.ask(TerminateChild(name)).get(timeout=SECONDS)
                return names

            threads = await asyncio.gather(*(asyncio.to_thread(work) for _ in range(THREADS)))
            names = [name for each in threads for name in each]
            assert len(set(names)) == THREADS * 20
            assert await supervisor.which_children() == []

    asyncio.run(main())


def test_61_threads_that_ask_while_it_stops_are_all_answered() -> None:
    script = Script()

    def ask_until_refused(a: ActorHandle, started: threading.Event) -> BaseException:
        while True:
            reply = a.ask(Say("again"))
            started.set()
            try:
                assert reply.get(timeout=SECONDS) == "again"
            except ResourceError as error:
                return error

    async def main(pool: ThreadPoolExecutor) -> list[Future[BaseException]]:
        started = threading.Event()
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            told = [pool.submit(ask_until_refused, a, started) for _ in range(4)]
            await asyncio.to_thread(started.wait, SECONDS)
        return told

    for _ in range(10):
        with ThreadPoolExecutor(4) as pool:
            for told in asyncio.run(main(pool)):
                assert isinstance(told.result(SECONDS), ActorDead)


def test_61_get_in_a_turn_is_refused_at_once() -> None:
    class Blocks(Actor):
        @handles(ActorHandle)
        def block(self, other: ActorHandle) -> str:
            reply = other.ask(Say("hello"))
            try:
                reply.get(timeout=SECONDS)
            except WouldBlock as error:
                return str(error)
            return "it did not"

    script = Script()

    async def main() -> None:
        children = [script.child("a"), ChildSpec("b", Blocks)]
        async with running(children) as supervisor:
            said = await supervisor.child("b").ask(supervisor.child("a"))
            assert "await the reply" in said

    asyncio.run(main())


# -- the loop ends


def test_61_threads_are_told_that_the_loop_has_ended_under_what_they_asked() -> None:
    script = Script()
    children = [
        script.child("queued"),
        ChildSpec("later", Clerk, args=({},)),
        script.child("busy"),
        ChildSpec("in", Supervisor([script.child("slow")])),
    ]
    script.on_stop["slow"] = [100.0]
    with abandoned(children) as (loop, supervisor):
        asked = [
            supervisor.child("later").ask("keep this"),
            supervisor.child("busy").ask(Play([100.0])),
            supervisor.child("in").ask(TerminateChild("slow")),
        ]
        loop.run_until_complete(settled())
        asked.append(supervisor.child("queued").ask(Say("never handled")))
        assert all(reply.pending for reply in asked)
        with ThreadPoolExecutor(len(asked)) as pool:
            waiting = [pool.submit(reply.get, timeout=SECONDS) for reply in asked]
            cancel_all(loop)
            loop.close()
            for each in waiting:
                error = each.exception(SECONDS)
                assert isinstance(error, ActorDead), error
                assert "loop" in str(error)


def test_61_sent_when_the_loop_has_ended() -> None:
    script = Script()
    with abandoned([script.child("a")]) as (loop, supervisor):
        a = supervisor.child("a")
        loop.close()
        for _ in range(2):
            with pytest.raises(ActorDead, match="loop"):
                a.ask(Say("anyone?")).get(timeout=SECONDS)
            assert a.tell(Say("anyone?")) is False
            with pytest.raises(ActorDead, match="loop"):
                supervisor.handle.ask(TerminateChild("a")).get(timeout=SECONDS)
        a.stop()


def test_61_awaited_on_a_loop_of_another_thread() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")

            async def other() -> list[Any]:
                return [await a.ask(Say(number)) for number in range(10)]

            def work() -> list[Any]:
                return asyncio.run(other())

            assert await asyncio.to_thread(work) == list(range(10))
            assert isinstance(await outcome(a.ask(Fail(Boom()))), ActorDead)

    asyncio.run(main())


def cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """Drop the tasks of a loop that is about to be closed, without letting them run."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
