"""Watch: told exactly once, also of who is gone already; a cancelled watch tells nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.supervision import (
    Actor,
    ActorHandle,
    Backoff,
    ChildSpec,
    Down,
    ExitKind,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.guards import Look, Rest, Unwatch, guard, seen
from tests.supervision.cases.kit import Boom, End, Fail, Say, Script, running, settled


async def twice_failed(target: ActorHandle) -> None:
    """Let it fail twice, so that it waits for its restart."""
    for text in ("first", "second"):
        target.tell(Fail(Boom(text)))
    await settled()
    assert target.status == "backing-off"


def test_watch_tells_an_actor_once_of_an_end_and_of_no_later_one() -> None:
    script, told, error = Script(), list[Down](), Boom("first")

    async def main() -> None:
        async with running([script.child("a"), guard(told)]) as supervisor:
            a, watcher = supervisor.child("a"), supervisor.child("guard")
            watch = await watcher.ask(Look(a))
            assert repr(watch) == "<Watch of top/a>"
            a.tell(Fail(error))
            await settled()
            assert [(down.exit.error, down.exit.message) for down in told] == [(error, "Fail")]
            assert told[0].watch is watch
            assert repr(watch) == "<Watch of top/a, over>"
            assert len(watcher._cell.watching) == 0
            assert seen(told) == [("top/a", 1, ExitKind.FAILURE, "Boom: first")]
            a.tell(Fail(Boom("second")))
            await settled()
        assert told == []

    run(main())


def test_watch_is_told_how_it_ended_for_every_kind_of_end() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        children = [script.child("a"), guard(told)]
        async with running(children, backoff=None, intensity=None) as supervisor:
            a, watcher = supervisor.child("a"), supervisor.child("guard")
            told_kinds: list[str] = []
            for end in (lambda: a.tell(End()), lambda: a.tell(End(ExitKind.SHUTDOWN)), a.kill):
                await watcher.ask(Look(a))
                end()
                await settled()
                told_kinds += [kind.value for _, _, kind, _ in seen(told)]
            assert told_kinds == ["normal", "shutdown", "killed"]
            await watcher.ask(Look(a))
        assert seen(told) == []  # by the order of stops the watcher is gone before

    run(main())


def test_watch_tells_that_the_target_was_stopped_by_its_supervisor() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        async with running([script.child("a"), guard(told)]) as supervisor:
            await supervisor.child("guard").ask(Look(supervisor.child("a")))
            await supervisor.terminate_child("a")
            await settled()
            assert seen(told) == [("top/a", 1, ExitKind.SHUTDOWN, "told by its supervisor")]

    run(main())


def test_watch_of_one_that_has_ended_for_good_tells_at_once_and_once() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        children = [script.child("a", restart="temporary"), guard(told)]
        async with running(children) as supervisor:
            a = supervisor.child("a")
            a.tell(Fail(Boom("gone")))
            await settled()
            for _ in range(2):
                await supervisor.child("guard").ask(Look(a))
                await settled()
                assert seen(told) == [("top/a", 1, ExitKind.FAILURE, "Boom: gone")]
        assert told == []

    run(main())


def test_watch_while_the_target_waits_for_its_restart_tells_of_the_next_end() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        children = [script.child("a"), guard(told)]
        async with running(children, backoff=Backoff(min=2, jitter=0)) as supervisor:
            a, watcher = supervisor.child("a"), supervisor.child("guard")
            await twice_failed(a)
            await watcher.ask(Look(a))
            await asyncio.sleep(5)
            assert told == []
            assert a.status == "running"
            a.tell(Fail(Boom("third")))
            await settled()
            assert seen(told) == [("top/a", 3, ExitKind.FAILURE, "Boom: third")]

    run(main())


def test_watch_is_told_when_the_target_is_not_restarted_after_all() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        children = [script.child("a"), guard(told)]
        async with running(children, backoff=Backoff(min=2, jitter=0)) as supervisor:
            a = supervisor.child("a")
            await twice_failed(a)
            await supervisor.child("guard").ask(Look(a))
            await supervisor.terminate_child("a")
            await settled()
            assert seen(told) == [("top/a", 2, ExitKind.FAILURE, "Boom: second")]

    run(main())


@pytest.mark.parametrize("queued", [False, True], ids=["before the end", "with a notice queued"])
def test_unwatch_tells_nothing_more_not_even_a_queued_notice(*, queued: bool) -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        async with running([script.child("a"), guard(told)]) as supervisor:
            a, watcher = supervisor.child("a"), supervisor.child("guard")
            watch = await watcher.ask(Look(a))
            watcher.tell(Rest(1.0))
            if queued:
                await settled()
                a.tell(Fail(Boom()))
                await settled()
                watch.cancel()
            else:
                watcher.tell(Unwatch())
                await asyncio.sleep(2)
                a.tell(Fail(Boom()))
            await asyncio.sleep(5)
            assert told == []
            assert repr(watch) == "<Watch of top/a, over>"
            assert supervisor.dead_letters() == []

    run(main())


def test_two_watches_of_one_target_are_two_notices() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        async with running([script.child("a"), guard(told)]) as supervisor:
            a, watcher = supervisor.child("a"), supervisor.child("guard")
            first = await watcher.ask(Look(a))
            second = await watcher.ask(Look(a))
            third = await watcher.ask(Look(a))
            second.cancel()
            a.tell(Fail(Boom()))
            await settled()
            assert [down.watch for down in told] == [first, third]

    run(main())


def test_watch_belongs_to_the_incarnation_that_asked_for_it() -> None:
    # Else one that watches in on_start would be told as often as it has been restarted.
    script, told = Script(), list[Down]()

    async def main() -> None:
        async with running([script.child("a")], backoff=None) as supervisor:
            a = supervisor.child("a")
            watcher = await supervisor.start_child(guard(told, a))
            for _ in range(2):
                watcher.tell(Fail(Boom("the watcher")))
            await settled()
            a.tell(Fail(Boom("the target")))
            await settled()
            assert seen(told) == [("top/a", 1, ExitKind.FAILURE, "Boom: the target")]

    run(main())


def test_watch_of_an_ended_incarnation_leaves_no_notice_to_the_next() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        async with running([script.child("a"), guard(told)], backoff=None) as supervisor:
            a, watcher = supervisor.child("a"), supervisor.child("guard")
            await watcher.ask(Look(a))
            watcher.tell(Rest(1.0))
            await settled()
            watcher.tell(Fail(Boom("the watcher")))
            a.tell(Fail(Boom("the target")))  # its notice is queued behind what ends the watcher
            await asyncio.sleep(5)
            assert watcher.status == "running"
            assert told == []
            assert supervisor.dead_letters() == []

    run(main())


def test_watchers_that_are_gone_are_forgotten() -> None:
    script, told = Script(), list[Down]()

    async def main() -> None:
        async with running([script.child("a")], backoff=None) as supervisor:
            a = supervisor.child("a")
            for _ in range(20):
                await supervisor.start_child(guard(told, a, restart="temporary"))
                await supervisor.terminate_child("guard")
            assert len(a._cell.watches) == 0
            a.tell(Fail(Boom()))
            await settled()
            assert told == []
            assert supervisor.dead_letters() == []

    run(main())


def test_watch_notice_comes_after_what_the_target_sent_and_into_a_full_mailbox() -> None:
    log: list[Any] = []

    class Target(Actor):
        @handles(Say)
        def say(self, message: Say) -> None:
            message.text.tell(Say("last words"))
            raise Boom

    class Full(Actor):
        @handles(Look)
        async def look(self, message: Look) -> None:
            self.watch(message.target)
            message.target.tell(Say(self.handle))
            await asyncio.sleep(1)

        @handles(Say, Down)
        def note(self, message: Say | Down) -> None:
            log.append(type(message))

    async def main() -> None:
        children = [ChildSpec("a", Target), ChildSpec("full", Full, max_mailbox=1)]
        async with running(children) as supervisor:
            supervisor.child("full").tell(Look(supervisor.child("a")))
            await asyncio.sleep(5)
            assert log == [Say, Down]
            assert supervisor.dead_letters() == []

    run(main())


def test_an_actor_that_watches_itself_is_not_told() -> None:
    told: list[Down] = []

    async def main() -> None:
        async with running([guard(told)]) as supervisor:
            watcher = supervisor.child("guard")
            await watcher.ask(Look(watcher))
            watcher.tell(Fail(Boom()))
            await settled()
            assert watcher.status == "running"
        assert told == []

    run(main())
