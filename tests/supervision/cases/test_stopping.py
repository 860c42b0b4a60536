"""Who may end an actor, when, and as what; orders meant for an incarnation end with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.errors import ActorDead, UsageError
from pepperpy_resources.supervision import (
    Actor,
    ActorHandle,
    Backoff,
    ChildSpec,
    ExitKind,
    Restart,
    Supervisor,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    End,
    Fail,
    Play,
    Say,
    Script,
    Stubborn,
    incarnations,
    now,
    outcome,
    phases,
    running,
    settled,
)


async def twice_failed(target: ActorHandle) -> None:
    """Let it fail twice, so that it waits for its restart."""
    for text in ("first", "second"):
        target.tell(Fail(Boom(text)))
    await settled()
    assert target.status == "backing-off"


async def last_exit(supervisor: Supervisor) -> tuple[str, str]:
    """Return how the only child's last incarnation ended."""
    (info,) = await supervisor.which_children()
    assert info.exit is not None
    return info.exit.kind.value, info.exit.reason


# -- of its own accord


@pytest.mark.parametrize("kind", [ExitKind.NORMAL, ExitKind.SHUTDOWN])
def test_28_stop_in_a_turn_ends_after_it_and_says_how(kind: ExitKind) -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a", restart="transient")]
        async with running(children) as supervisor:
            a = supervisor.child("a")
            a.tell(Say("before"))
            answered = a.ask(End(kind))
            after = a.ask(Say("after"))
            assert await answered is None  # the turn itself ends as any other
            error = await outcome(after)
            assert isinstance(error, ActorDead)
            assert error.message == Say("after")
            assert await last_exit(supervisor) == (kind.value, "")
        assert script.log == ["start a", "a: before", "stop a"]

    run(main())


def test_stop_takes_words_and_refuses_kinds_that_others_decide() -> None:
    class Ends(Actor):
        @handles(str)
        def end(self, kind: str) -> str:
            try:
                self.stop(kind, "as I was told")  # type: ignore[arg-type]
            except UsageError as error:
                return str(error)
            return "stopping"

    async def main() -> None:
        async with running([ChildSpec("a", Ends, restart=Restart.TRANSIENT)]) as supervisor:
            a = supervisor.child("a")
            for kind in ("failure", "killed", "later"):
                said = await a.ask(kind)
                assert f"stop(kind={kind!r}) is refused" in said.replace(f"<ExitKind.{kind}>", kind)
                assert "'normal' or 'shutdown'" in said
            assert await a.ask("shutdown") == "stopping"
            await settled()
            assert await last_exit(supervisor) == ("shutdown", "as I was told")

    run(main())


def test_stop_by_code_of_an_ended_incarnation_leaves_the_next_alone() -> None:
    class Leaves(Actor):
        @handles(str)
        def leave(self, _: str) -> None:
            self.task = asyncio.get_running_loop().call_later(1.0, self.stop)
            raise Boom

    async def main() -> None:
        async with running([ChildSpec("a", Leaves)]) as supervisor:
            supervisor.child("a").tell("go")
            await asyncio.sleep(5)
            assert incarnations(supervisor) == {"a": 2}

    run(main())


def test_tell_later_comes_in_time_unless_taken_back_or_its_incarnation_has_ended() -> None:
    log: list[tuple[float, str]] = []

    class Reminds(Actor):
        @handles(Say)
        def remember(self, message: Say) -> None:
            self.tell_later(1.0, "kept")
            self.tell_later(2.0, "taken back")()
            self.tell_later(3.0, f"of incarnation {message.text}")

        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise message.error

        @handles(str)
        def note(self, message: str) -> None:
            log.append((now(), message))

    async def main() -> None:
        async with running([ChildSpec("a", Reminds)]) as supervisor:
            a, began = supervisor.child("a"), now()
            a.tell(Say(1))
            await asyncio.sleep(2.5)
            a.tell(Fail(Boom()))
            await settled()
            a.tell(Say(2))
            await asyncio.sleep(10)
            assert [(at - began, text) for at, text in log] == [
                (1.0, "kept"), (3.5, "kept"), (5.5, "of incarnation 2"),
            ]  # fmt: skip
            assert supervisor.dead_letters() == []

    run(main())


# -- by its handle


def test_handle_stop_is_for_the_incarnation_there_is() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")], backoff=Backoff(min=2, jitter=0)) as supervisor:
            a = supervisor.child("a")
            await twice_failed(a)
            a.stop()
            a.kill()
            await asyncio.sleep(5)
            assert await phases(supervisor) == {"a": "up"}
            assert incarnations(supervisor) == {"a": 3}
            assert await last_exit(supervisor) == ("failure", "Boom: second")

    run(main())


def test_handle_stop_of_a_supervisor_is_for_the_incarnation_there_is() -> None:
    script = Script()

    async def main() -> None:
        inner = Supervisor([script.child("a")], intensity=None, backoff=None)
        children = [ChildSpec("in", inner)]
        async with running(children, backoff=Backoff(min=2, jitter=0)) as supervisor:
            handle = supervisor.child("in")
            for _ in range(2):
                handle.kill()
                await settled()
            assert handle.status == "backing-off"
            handle.stop()
            await asyncio.sleep(5)
            assert incarnations(supervisor) == {"in": 3, "in/a": 3}
            handle.stop()
            await settled()
            (info,) = await supervisor.which_children()
            assert info.exit is not None
            assert info.exit.kind is ExitKind.SHUTDOWN

    run(main())


# -- kill


def test_18_what_a_killed_turn_still_does_concerns_nobody() -> None:
    log: list[Any] = []

    class Deaf(Actor):
        @handles(Play)
        async def play(self, _message: Play) -> str:
            for _ in range(5):
                try:
                    await asyncio.sleep(1.0)
                except asyncio.CancelledError:
                    log.append("cancelled")
            log.append(self.reply)
            self.stop()
            self.tell_later(0.1, Say("from the dead"))
            return "too late"

        @handles(Say)
        async def say(self, message: Say) -> Any:
            await asyncio.sleep(10.0)
            log.append(message.text)
            return message.text

    async def main() -> None:
        async with running([ChildSpec("a", Deaf)]) as supervisor:
            a = supervisor.child("a")
            killed = a.ask(Play([]))
            await settled()
            a.kill()
            assert isinstance(await outcome(killed), ActorDead)
            assert await a.ask(Say("alive")) == "alive"
            assert log == ["cancelled", None, "alive"]
            assert incarnations(supervisor) == {"a": 2}
            await asyncio.sleep(1)
            assert log == ["cancelled", None, "alive"]

    run(main())


def test_killed_actors_that_go_on_are_counted_until_they_end() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([Stubborn(3.0)]))
            await settled()
            a.kill()
            await settled()
            assert await a.ask(Say("next")) == "next"
            assert supervisor.handle._cell.host.abandoned == 1
            await asyncio.sleep(4)
            assert supervisor.handle._cell.host.abandoned == 0

    run(main())
