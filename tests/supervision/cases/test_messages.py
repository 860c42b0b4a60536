"""What becomes of messages over a restart: none is lost; late answers are counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.errors import ActorDead, AskTimeout
from pepperpy_resources.supervision import (
    Backoff,
    Intensity,
    Reply,
    Supervisor,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Play,
    Say,
    Script,
    incarnations,
    now,
    outcome,
    running,
    settled,
)


def late_replies(supervisor: Supervisor) -> int:
    """Return how many answers of the child nobody waited for."""
    (child,) = supervisor.tree().children
    return child.late_replies


# -- 53


@pytest.mark.parametrize("asked", [False, True], ids=["told", "asked"])
def test_53_tells_keep_their_order_over_a_restart_and_the_fatal_one_is_not_replayed(
    *, asked: bool
) -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            for number in range(3):
                a.tell(Say(number))
            fatal = a.ask(Fail(Boom("fatal"))) if asked else a.tell(Fail(Boom("fatal")))
            for number in range(3, 6):
                a.tell(Say(number))
            await settled()
            a.tell(Say(6))
            await settled()
            before, after = script.log[:4], script.log[4:]
            assert before == ["start a", "a: 0", "a: 1", "a: 2"]
            assert after == ["start a", "a: 3", "a: 4", "a: 5", "a: 6"]
            assert incarnations(supervisor) == {"a": 2}
            assert supervisor.dead_letters() == []
            if isinstance(fatal, Reply):
                error = await outcome(fatal)
                assert isinstance(error, ActorDead)
                assert isinstance(error.__cause__, Boom)
                assert "fatal" in str(error)

    run(main())


def test_53_tells_sent_while_it_waits_for_its_restart_are_handled_in_order_after_it() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")], backoff=Backoff(min=2, jitter=0)) as supervisor:
            a, began = supervisor.child("a"), now()
            a.tell(Fail(Boom()))
            a.tell(Fail(Boom()))  # after the second it waits
            a.tell(Say("queued"))
            await settled()
            assert a.status == "backing-off"
            assert a.tell(Say("while it waits")) is True
            assert await a.ask(Say("and asked")) == "and asked"
            assert now() - began == 2.0
            assert script.log == [
                "start a", "start a", "start a", "a: queued", "a: while it waits", "a: and asked",
            ]  # fmt: skip

    run(main())


def test_53_an_async_turn_that_crashes_keeps_the_queue_too() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([1.0, Boom("late")]))
            await settled()
            for number in range(3):
                a.tell(Say(number))
            await asyncio.sleep(2)
            assert script.log == ["start a", "start a", "a: 0", "a: 1", "a: 2"]

    run(main())


def test_53_a_group_restart_keeps_the_queues_of_all() -> None:
    script = Script()

    async def main() -> None:
        children = script.children("ab")
        async with running(children, strategy="one_for_all") as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            b.tell(Play([1.0]))
            await settled()
            for number in range(3):
                b.tell(Say(number))
            a.tell(Fail(Boom()))
            await asyncio.sleep(2)
            assert script.log == [
                "start a", "start b", "stop b", "start a", "start b", "b: 0", "b: 1", "b: 2",
            ]  # fmt: skip

    run(main())


# -- 54


def test_54_asks_queued_at_the_crash_are_answered_by_the_next_incarnation() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            fatal = a.ask(Fail(Boom()))
            queued = [a.ask(Say(number)) for number in range(100)]
            assert isinstance(await outcome(fatal), ActorDead)
            assert await asyncio.gather(*queued) == list(range(100))

    run(main())


@pytest.mark.parametrize("ending", ["temporary", "gave up", "terminated while waiting"])
def test_54_asks_queued_where_there_is_no_next_incarnation_are_told_and_given_back(
    ending: str,
) -> None:
    script, error = Script(), Boom("the last")

    async def main() -> None:
        fields: dict[str, Any] = {"restart": "temporary"} if ending == "temporary" else {}
        flags: dict[str, Any] = {"backoff": Backoff(min=2, jitter=0), "intensity": None}
        if ending == "gave up":
            flags = {"intensity": Intensity(0), "backoff": None}
        async with running([script.child("a", **fields)], **flags) as supervisor:
            a = supervisor.child("a")
            for _ in range(2 if ending == "terminated while waiting" else 1):
                a.tell(Fail(error))
            queued = [a.ask(Say(number)) for number in range(3)]
            a.tell(Say("told"))
            await settled()
            if ending == "terminated while waiting":
                await supervisor.terminate_child("a")
            for number, reply in enumerate(queued):
                told = await outcome(reply)
                assert isinstance(told, ActorDead)
                assert told.message == Say(number)
                assert told.__cause__ is error
                assert "failure: Boom: the last" in str(told)
            assert [letter.message for letter in supervisor.dead_letters()] == [Say("told")]

    run(main())


# -- 57


def test_57_a_late_reply_is_counted_and_harms_nobody() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            with pytest.raises(AskTimeout):
                await a.ask(Play([2.0]), timeout=0.0)
            assert late_replies(supervisor) == 0
            await asyncio.sleep(3)
            assert late_replies(supervisor) == 1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(a.ask(Play([2.0])), 1.0)
            await asyncio.sleep(2)
            assert late_replies(supervisor) == 2
            assert await a.ask(Say("well")) == "well"
            assert late_replies(supervisor) == 2
            assert incarnations(supervisor) == {"a": 1}

    run(main())


def test_57_a_question_withdrawn_while_it_is_queued_is_asked_all_the_same() -> None:
    # It cannot be taken out of the queue; what its turn answers is late.
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([2.0]))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(a.ask(Say("too late")), 1.0)
            await asyncio.sleep(2)
            assert script.log == ["start a", "a: too late"]
            assert late_replies(supervisor) == 1

    run(main())
