"""What an answer can be: a value, a refusal, or the promise of a later one."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pepperpy_resources.errors import ActorDead, AskTimeout
from pepperpy_resources.supervision import LATER, Actor, ChildSpec, Failure, Supervisor, handles
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    incarnations,
    now,
    outcome,
    running,
    settled,
)


class Keep(msgspec.Struct, frozen=True):
    """Answer later."""


class Answer(msgspec.Struct, frozen=True):
    """Answer the oldest that is kept."""

    value: Any


class Refuse(msgspec.Struct, frozen=True):
    """Be refused."""

    error: Exception


class Count(msgspec.Struct, frozen=True):
    """Get the numbers below this, one by one."""

    below: int


class Clerk(Actor):
    """Keeps questions and answers them when told to."""

    def on_start(self) -> None:
        self.kept: list[Any] = []

    @handles(Keep)
    def keep(self, _: Keep) -> Any:
        self.kept.append(self.reply)
        return LATER

    @handles(Answer)
    async def answer(self, message: Answer) -> bool:
        reply = self.kept.pop(0)
        withdrawn: bool = reply.withdrawn
        reply.set(message.value)
        return withdrawn

    @handles(Refuse)
    def refuse(self, message: Refuse) -> Failure:
        return Failure(message.error)

    @handles(Fail)
    async def fail(self, message: Fail) -> None:
        raise message.error

    @handles(Count)
    def count(self, message: Count) -> Iterator[int]:
        return (number for number in range(message.below))

    @handles(str)
    async def refuse_async(self, _: str) -> Failure:
        await asyncio.sleep(1.0)
        return Failure(Boom("after a while"))


CLERK = [ChildSpec("a", Clerk)]


def late_replies(supervisor: Supervisor) -> int:
    (child,) = supervisor.tree().children
    return child.late_replies


# -- later


def test_later_answers_come_from_later_turns_in_any_order() -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            first, second = a.ask(Keep()), a.ask(Keep())
            await settled()
            assert first.pending
            assert second.pending
            a.tell(Answer(1))
            assert await first == 1
            assert second.pending
            a.tell(Answer(Failure(Boom("no"))))
            assert isinstance(await outcome(second), Boom)
            assert incarnations(supervisor) == {"a": 1}
            assert late_replies(supervisor) == 0

    run(main())


@pytest.mark.parametrize("how", ["crash", "kill", "stop", "terminate"])
def test_later_answers_that_will_not_come_are_told_so(how: str) -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            kept = [a.ask(Keep()) for _ in range(100)]
            await settled()
            a.tell(Answer("in time"))
            await settled()
            began = now()
            if how == "crash":
                a.tell(Fail(Boom("of something else")))
            elif how == "kill":
                a.kill()
            elif how == "stop":
                a.stop()
            else:
                await supervisor.terminate_child("a")
            answers = [await outcome(reply) for reply in kept]
            assert now() == began
            assert answers[0] == "in time"
            assert {type(answer) for answer in answers[1:]} == {ActorDead}
            words = {
                "crash": "failure: Boom: of something else",
                "kill": "killed",
                "stop": "shutdown: asked to stop",
                "terminate": "shutdown: told by its supervisor",
            }
            assert words[how] in str(answers[1])

    run(main())


def test_57_later_answer_to_a_question_that_was_withdrawn_is_counted() -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            with pytest.raises(AskTimeout):
                await a.ask(Keep(), timeout=0.0)
            assert await a.ask(Answer("late")) is True  # the actor can see that nobody waits
            assert late_replies(supervisor) == 1
            assert incarnations(supervisor) == {"a": 1}

    run(main())


def test_57_later_answer_of_an_incarnation_that_has_ended_is_counted() -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            kept = a.ask(Keep())
            await settled()
            old: Any = a._cell.actor
            a.kill()
            assert isinstance(await outcome(kept), ActorDead)
            await settled()
            old.kept[0].set("from the dead")  # as a task that it has left behind might do
            assert late_replies(supervisor) == 1

    run(main())


def test_later_answered_twice_is_the_actors_mistake() -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            kept = a.ask(Keep())
            await settled()
            actor: Any = a._cell.actor
            (reply,) = actor.kept
            reply.set(1)
            with pytest.raises(queue.Full):
                reply.set(2)
            assert await kept == 1

    run(main())


def test_later_returned_for_a_tell_promises_nothing() -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            a.tell(Keep())
            await settled()
            actor: Any = a._cell.actor
            assert actor.kept == [None]
            assert actor.reply is None  # outside any turn

    run(main())


# -- refusals


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_failure_that_is_returned_refuses_and_the_actor_lives_on(kind: str) -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a = supervisor.child("a")
            message = Refuse(Boom("not today")) if kind == "sync" else "wait"
            error = await outcome(a.ask(message))
            assert isinstance(error, Boom)  # itself, not the cause of another
            a.tell(message)
            await asyncio.sleep(2)
            assert incarnations(supervisor) == {"a": 1}
            assert (await supervisor.which_children())[0].restarts == 0

    run(main())


@pytest.mark.parametrize("told", [True, False], ids=["told", "asked"])
def test_what_a_handler_raises_ends_it_told_or_asked(*, told: bool) -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            a, error = supervisor.child("a"), Boom("fatal")
            if told:
                a.tell(Fail(error))
                await settled()
            else:
                answer = await outcome(a.ask(Fail(error)))
                assert isinstance(answer, ActorDead)
                assert answer.__cause__ is error
            await settled()
            assert incarnations(supervisor) == {"a": 2}

    run(main())


def test_an_answer_that_is_a_generator_is_handed_over_and_not_run() -> None:
    async def main() -> None:
        async with running(CLERK) as supervisor:
            numbers = await supervisor.child("a").ask(Count(3))
            assert list(numbers) == [0, 1, 2]

    run(main())
