"""In which context an actor's code runs, and on which kinds of loops."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.supervision import Actor, ChildSpec, Down, Supervisor, handles
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, Fail, Play, Say, Script, outcome, running, settled

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Look(msgspec.Struct, frozen=True):
    """Answer with what the variable says."""


class LookLater(msgspec.Struct, frozen=True):
    """The same in an async turn, after a pause."""


class Become(msgspec.Struct, frozen=True):
    """Set the variable."""

    name: str


class Self(Actor):
    """Says what the variable says."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.log.append(f"__init__: {who.get()}")

    async def on_start(self) -> None:
        await asyncio.sleep(0)
        self.log.append(f"on_start: {who.get()}")

    def on_stop(self) -> None:
        self.log.append(f"on_stop: {who.get()}")

    def on_failure(self, *_: Any) -> None:
        self.log.append(f"on_failure: {who.get()}")

    @handles(Look)
    def look(self, _: Look) -> str:
        return who.get()

    @handles(LookLater)
    async def look_later(self, _: LookLater) -> str:
        await asyncio.sleep(1.0)
        return await asyncio.create_task(self.in_task())

    async def in_task(self) -> str:
        return who.get()

    @handles(Become)
    async def become(self, message: Become) -> None:
        who.set(message.name)

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise message.error


class Born(Self):
    """Has a name from its start on."""

    async def on_start(self) -> None:
        await super().on_start()
        who.set(f"born {self.cell.incarnation}")


def test_context_of_all_of_an_actors_code_is_that_of_start_and_not_the_askers() -> None:
    log: list[str] = []

    async def main() -> None:
        who.set("starter")
        async with running([ChildSpec("a", Self, args=(log,))]) as supervisor:
            who.set("asker")
            a = supervisor.child("a")
            assert await a.ask(Look()) == "starter"
            assert await a.ask(LookLater()) == "starter"
            await supervisor.start_child(ChildSpec("b", Self, args=(log,)))
            a.tell(Fail(Boom()))
            await settled()
        assert log == [
            "__init__: starter", "on_start: starter",
            "__init__: starter", "on_start: starter",
            "on_failure: starter", "__init__: starter", "on_start: starter",
            "on_stop: starter", "on_stop: starter",
        ]  # fmt: skip
        assert who.get() == "asker"

    run(main())


def test_context_asked_from_threads_and_from_other_actors_is_its_own() -> None:
    log: list[str] = []

    class Asks(Actor):
        @handles(Say)
        async def ask(self, message: Say) -> Any:
            who.set("another actor")
            return await message.text.ask(Look())

    async def main() -> None:
        who.set("starter")
        children = [ChildSpec("a", Self, args=(log,)), ChildSpec("b", Asks)]
        async with running(children) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            assert await b.ask(Say(a)) == "starter"
            assert await a.ask(Look()) == "starter"
            who.set("thread")
            assert await asyncio.to_thread(lambda: a.ask(Look()).get(timeout=10)) == "starter"

    asyncio.run(main())


def test_context_set_by_a_hook_is_seen_by_the_same_incarnation_only() -> None:
    log: list[str] = []

    async def main() -> None:
        async with running([ChildSpec("a", Born, args=(log,))]) as supervisor:
            a = supervisor.child("a")
            assert await a.ask(Look()) == "born 1"
            assert await a.ask(LookLater()) == "born 1"
            await a.ask(Become("somebody"))
            assert await a.ask(Look()) == "somebody"
            assert who.get() == "nobody"
            a.tell(Fail(Boom()))
            assert await a.ask(Look()) == "born 2"
            b = await supervisor.start_child(ChildSpec("b", Self, args=(log,)))
            await b.ask(Become("somebody"))
            b.tell(Fail(Boom()))
            assert await b.ask(Look()) == "nobody"

    run(main())


def test_context_of_a_supervisor_started_inside_a_turn_belongs_to_its_own_actors() -> None:
    # Else the turn's end, or its circle, would be taken for theirs.
    log: list[str] = []
    inner: list[Supervisor] = []

    class Founder(Actor):
        @handles(Say)
        async def found(self, _: Say) -> None:
            who.set("founder")
            inner.append(Supervisor([ChildSpec("a", Self, args=(log,))]))
            await inner[0].start()
            assert await inner[0].child("a").ask(LookLater()) == "founder"

        @handles(Down)
        def down(self, _: Down) -> None:
            """Hear of it."""

    async def main() -> None:
        async with running([ChildSpec("founder", Founder)]) as supervisor:
            await supervisor.child("founder").ask(Say("go"))
            assert await inner[0].child("a").ask(LookLater()) == "founder"
            await inner[0].stop()

    run(main())


# -- loops of other kinds


def recording(made: list[str]) -> Callable[..., Any]:
    """Return a task factory that notes whose coroutines it is given."""

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **options)

    return factory


@pytest.mark.parametrize("kind", ["recording", *(["eager"] if sys.version_info >= (3, 12) else [])])
def test_no_task_factory_runs_an_actors_code_inside_who_sends_to_it(kind: str) -> None:
    script, made = Script(), list[str]()

    async def main() -> None:
        eager = getattr(asyncio, "eager_task_factory", None)
        asyncio.get_running_loop().set_task_factory(eager if kind == "eager" else recording(made))
        async with running([script.child("a")], backoff=None) as supervisor:
            a = supervisor.child("a")
            script.take()
            played = a.ask(Play([0.0]))
            a.tell(Say("hello"))
            a.tell(Fail(Boom()))
            assert script.log == []  # nothing has run yet
            assert await played == "played"
            await settled()
            assert script.log == ["a: hello", "start a"]
            a.kill()
            assert script.log == ["a: hello", "start a"]
            await settled()
        assert script.log == ["a: hello", "start a", "start a", "stop a"]

    run(main())
    assert not [name for name in made if name.startswith("Player")]


def test_supervision_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="it is no dependency")
    script = Script()

    async def main() -> None:
        children = [script.child("a"), script.child("b", shutdown=0.05)]
        async with running(children, backoff=None) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            a.tell(Fail(Boom()))
            assert await a.ask(Say("again")) == "again"
            assert await asyncio.to_thread(lambda: a.ask(Say("thread")).get(timeout=10)) == "thread"
            assert await asyncio.wait_for(a.ask(Play([0.01])), 10) == "played"
            b.tell(Play([60.0]))
            error = asyncio.ensure_future(outcome(b.ask(Say("never"))))
            await asyncio.sleep(0.01)
            manager = DefaultResourceManager([ResourceSpec("db", factory=object)])
            async with manager, manager.lease("db"):
                pass
            await supervisor.terminate_child("b")
            assert "killed" in str(await error)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert script.log == ["start a", "start b", "start a", "a: again", "a: thread", "stop a"]
