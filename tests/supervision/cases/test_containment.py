"""Whatever an actor's code raises ends that actor alone; only what ends programs ends them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pykka  # noqa: TID253 - a host's actors must not notice
import pytest

from pepperpy_resources.errors import ActorDead, StartFailed
from pepperpy_resources.supervision import Actor, ChildSpec, ExitKind, Supervisor, handles
from pepperpy_resources.testing import run
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


class Unspeakable(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Rude(BaseException):
    """No Exception at all."""


BAD: dict[str, Callable[[], BaseException]] = {
    "CancelledError": asyncio.CancelledError,
    "GeneratorExit": GeneratorExit,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "BaseException": Rude,
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    "TimeoutError": TimeoutError,
    "Unspeakable": Unspeakable,
}
bad = pytest.mark.parametrize("make", BAD.values(), ids=BAD)


class Host(pykka.ThreadingActor):
    """An actor of the program around us."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return message


# -- 62, 65, 66


@bad
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "asked"])
def test_62_whatever_a_handler_raises_ends_that_actor_alone(
    make: Callable[[], BaseException], *, late: bool, told: bool
) -> None:
    script, host = Script(), Host.start()

    async def main() -> None:
        async with running(script.children("ab"), backoff=None) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            error = make()
            message = Play([1.0, error]) if late else Fail(error)
            if told:
                a.tell(message)
            else:
                answer = await outcome(a.ask(message))
                assert isinstance(answer, ActorDead)
                assert answer.__cause__ is error or isinstance(answer.__cause__, RuntimeError)
                assert type(error).__name__ in str(answer) or late  # a coroutine may wrap it
            b.tell(Say("during"))
            await asyncio.sleep(2)
            assert await a.ask(Say("again")) == "again"
            assert await b.ask(Say("still")) == "still"
            assert incarnations(supervisor) == {"a": 2, "b": 1}
            (info, _) = await supervisor.which_children()
            assert info.exit is not None
            assert info.exit.kind is ExitKind.FAILURE

    try:
        run(main())
        assert host.ask("here", timeout=10) == "here"
    finally:
        host.stop(timeout=10)


class Hooked(Actor):
    """Raises in one of its hooks."""

    def __init__(self, log: list[str], hook: str, make: Callable[[], BaseException]) -> None:
        super().__init__()
        self.log = log
        self.hook = hook
        self.make = make

    def at(self, hook: str) -> None:
        if hook == self.hook:
            raise self.make()
        self.log.append(f"{hook} {self.path.rpartition('/')[2]}")

    def on_start(self) -> Any:
        self.at("start")

    def on_stop(self) -> Any:
        self.at("stop")


class AsyncHooked(Hooked):
    """The same with hooks that await, for so long."""

    seconds = 0.0

    async def on_start(self) -> None:
        await self.pause()
        self.at("start")

    async def on_stop(self) -> None:
        await self.pause()
        self.at("stop")

    async def pause(self) -> None:
        if self.seconds:
            await asyncio.sleep(self.seconds)


class LateHooked(AsyncHooked):
    """And these only after a while."""

    seconds = 1.0


in_every_way = pytest.mark.parametrize("kind", [Hooked, AsyncHooked, LateHooked])


def hooked(
    kind: type[Hooked], log: list[str], hook: str, make: Callable[[], BaseException]
) -> list[ChildSpec]:
    """Return three children, the second of which fails in that hook."""
    return [ChildSpec(n, kind, args=(log, hook if n == "b" else "", make)) for n in "abc"]


@bad
@in_every_way
def test_62_whatever_on_start_raises_is_a_failed_start_of_that_actor(
    kind: type[Hooked], make: Callable[[], BaseException]
) -> None:
    log: list[str] = []

    async def main() -> None:
        supervisor = Supervisor(hooked(kind, log, "start", make))
        with pytest.raises(StartFailed, match="'b' failed to start"):
            await supervisor.start()

    run(main())
    assert log == ["start a", "stop a"]


@bad
def test_62_whatever_a_constructor_raises_is_a_failed_start(
    make: Callable[[], BaseException],
) -> None:
    class Unborn(Actor):
        def __init__(self) -> None:
            super().__init__()
            raise make()

    async def main() -> None:
        supervisor = Supervisor([ChildSpec("a", Unborn)])
        with pytest.raises(StartFailed, match="'a' failed to start"):
            await supervisor.start()

    run(main())


@bad
@in_every_way
def test_64_whatever_on_stop_raises_the_stop_goes_on(
    kind: type[Hooked], make: Callable[[], BaseException]
) -> None:
    log: list[str] = []

    async def main() -> None:
        async with running(hooked(kind, log, "stop", make)):
            pass

    run(main())
    assert log == ["start a", "start b", "start c", "stop c", "stop a"]


def test_64_an_exception_in_on_stop_makes_the_end_a_failure() -> None:
    script, error = Script(), Boom("cannot close")
    script.on_stop["a"] = [error]

    async def main() -> None:
        children = [script.child("a", restart="transient")]
        async with running(children) as supervisor:
            a = supervisor.child("a")
            notice = a.watch()
            a.stop()  # a shutdown, after which a transient child stays down
            down = await notice
            assert (down.exit.kind, down.exit.error) == (ExitKind.FAILURE, error)
            assert down.exit.message == "on_stop"
            await settled()
            assert incarnations(supervisor) == {"a": 2}
            await supervisor.terminate_child("a")
        assert script.log == ["start a", "start a", "stop a"]

    run(main())


@bad
def test_62_whatever_on_failure_raises_the_restart_goes_on(
    make: Callable[[], BaseException],
) -> None:
    class Clumsy(Actor):
        def on_failure(self, *_: Any) -> None:
            raise make()

        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise message.error

        @handles(Say)
        def say(self, message: Say) -> Any:
            return message.text

    async def main() -> None:
        async with running([ChildSpec("a", Clumsy)]) as supervisor:
            a = supervisor.child("a")
            a.tell(Fail(Boom()))
            assert await a.ask(Say("again")) == "again"
            assert incarnations(supervisor) == {"a": 2}

    run(main())


def test_65_an_error_that_cannot_be_shown_is_named(caplog: pytest.LogCaptureFixture) -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            a.tell(Fail(Unspeakable()))
            await settled()
            (info,) = await supervisor.which_children()
            assert info.exit is not None
            assert info.exit.reason == "Unspeakable"
            assert "Unspeakable" in supervisor.tree().render()
            assert supervisor.tree().to_json()

    run(main())
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "top/a crashed in Fail" in record.getMessage()
    assert "exception str() failed" in caplog.text


def test_66_a_handler_that_really_recurses_without_end_is_restarted() -> None:
    class Deep(Actor):
        @handles(Say)
        def say(self, message: Say) -> Any:
            return self.say(message) if message.text == "down" else message.text

        @handles(Play)
        async def play(self, message: Play) -> Any:
            return await self.play(message)

    async def main() -> None:
        async with running([ChildSpec("a", Deep)]) as supervisor:
            a = supervisor.child("a")
            for message in (Say("down"), Play([])):
                answer = await outcome(a.ask(message))
                assert isinstance(answer, ActorDead)
                assert isinstance(answer.__cause__, RecursionError)
            assert await a.ask(Say("up")) == "up"
            assert incarnations(supervisor) == {"a": 3}

    run(main())
