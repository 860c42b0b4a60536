"""A question that races an end, or comes after it, is answered all the same."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import ActorDead, ResourceError
from pepperpy_resources.supervision import ChildHandle, ChildSpec, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    End,
    Fail,
    Play,
    Say,
    Script,
    now,
    outcome,
    running,
    settled,
)

TICKS = 30


async def ticks(count: int) -> None:
    """Let the loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def end(supervisor: Supervisor, how: str) -> None:
    """End the child, or all."""
    a = supervisor.child("a")
    if how == "stop":
        await supervisor.stop()
    elif how == "terminate":
        await supervisor.terminate_child("a")
    elif how == "kill":
        a.kill()
    else:
        a.tell(Fail(Boom("crash")) if how == "crash" else End())


# -- 55


@pytest.mark.parametrize("how", ["stop", "kill", "terminate", "crash", "end"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_55_an_ask_that_races_an_end_is_answered_at_every_tick(how: str, kind: str) -> None:
    script = Script()

    async def main() -> None:
        message = Say("hello") if kind == "sync" else Play([0.0, 0.0])
        for ask_first in (True, False):
            for tick in range(TICKS):
                supervisor = Supervisor([script.child("a")])
                await supervisor.start()
                a = supervisor.child("a")
                replies = []
                if ask_first:
                    replies.append(a.ask(message))
                    await ticks(tick)
                ending = asyncio.ensure_future(end(supervisor, how))
                if not ask_first:
                    await ticks(tick)
                    replies.append(a.ask(message))
                async with asyncio.timeout(60):
                    for reply in replies:
                        answer = await outcome(reply)
                        good = answer in {"hello", "played"} if isinstance(answer, str) else False
                        assert good or isinstance(answer, ActorDead), answer
                    await ending
                    await supervisor.stop()
                answer = await outcome(a.ask(message))
                assert isinstance(answer, ActorDead)

    run(main())


@pytest.mark.parametrize("tick", range(TICKS))
def test_55_an_order_that_races_the_stop_of_its_supervisor_is_answered(tick: int) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor([script.child("a")])
        await supervisor.start()
        handle = supervisor.handle
        stopping = asyncio.ensure_future(supervisor.stop())
        await ticks(tick)
        async with asyncio.timeout(60):
            started = await outcome(handle.start_child(script.child("b")))
            assert isinstance(started, (ResourceError, ChildHandle))
            assert isinstance(
                await outcome(handle.terminate_child("a")), (ResourceError, type(None))
            )
            await stopping

    run(main())


# -- 56


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("stop", "shutdown: told by its supervisor"),
        ("crash", "failure: Boom: crash"),
        ("end", "normal"),
        ("kill", "killed: killed"),
    ],
)
def test_56_an_ask_to_a_gone_actor_fails_at_once_with_how_it_ended(how: str, said: str) -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a", restart="temporary")]) as supervisor:
            a, began = supervisor.child("a"), now()
            await end(supervisor, how if how != "stop" else "terminate")
            await settled()
            reply = a.ask(Say("anyone?"))
            assert not reply.pending  # without going round the loop
            error = await outcome(reply)
            assert isinstance(error, ActorDead)
            assert said in str(error)
            assert "top/a" in str(error)
            assert error.message == Say("anyone?")
            assert a.tell(Say("anyone?")) is False
            assert now() == began

    run(main())


def test_56_asked_through_a_handle_whose_whole_tree_is_gone() -> None:
    script = Script()

    async def main() -> None:
        async with running([ChildSpec("in", Supervisor([script.child("a")]))]) as supervisor:
            handles_ = [supervisor.handle, supervisor.child("in"), supervisor.child("in/a")]
        for handle in handles_:
            error = await outcome(handle.ask(Say("anyone?")))
            assert isinstance(error, ActorDead)
            assert "shutdown" in str(error)

    run(main())
