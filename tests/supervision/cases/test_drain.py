"""A stop that handles the backlog first."""

from __future__ import annotations

import asyncio
from typing import Any

from pepperpy_resources.errors import ActorDead
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


def test_15_drain_handles_what_is_queued_first_and_refuses_what_comes_after() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a", drain=True)]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([1.0]))
            for number in range(3):
                a.tell(Say(number))
            ending = asyncio.ensure_future(supervisor.terminate_child("a"))
            await settled()
            late = a.ask(Say("late"))
            await ending
            assert isinstance(await outcome(late), ActorDead)
        assert script.log == ["start a", "a: 0", "a: 1", "a: 2", "stop a"]

    run(main())


def test_15_drain_lasts_no_longer_than_shutdown_and_loses_no_message_unseen() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a", drain=True, shutdown=2.0)]) as supervisor:
            a, began = supervisor.child("a"), now()
            asked = [a.ask(Play([1.5])) for _ in range(3)]
            a.tell(Say("never"))
            await settled()
            await supervisor.terminate_child("a")
            assert now() - began == 2.0
            answers = [await outcome(reply) for reply in asked]
            assert answers[0] == "played"
            assert [type(answer) for answer in answers[1:]] == [ActorDead, ActorDead]
            assert [letter.message for letter in supervisor.dead_letters()] == [Say("never")]

    run(main())


def test_15_drain_broken_off_by_a_crash_leaves_no_stop_to_the_next_incarnation() -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a"), script.child("b", drain=True)]
        flags: dict[str, Any] = {"strategy": "one_for_all", "backoff": None}
        async with running(children, **flags) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            b.tell(Play([1.0, Boom("in its drain")]))
            b.tell(Say("kept"))
            a.tell(Fail(Boom("the cause")))  # stops b, which drains
            await asyncio.sleep(5)
            assert incarnations(supervisor) == {"a": 2, "b": 2}
            assert script.log == ["start a", "start b", "start a", "start b", "b: kept"]

    run(main())
