"""Stop: of a child that waits for its restart, before a backlog or after it."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import ActorDead
from pepperpy_resources.supervision import Backoff, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Play,
    Say,
    Script,
    now,
    outcome,
    phases,
    running,
    settled,
)


@pytest.mark.parametrize("group", ["one_for_one", "one_for_all", "rest_for_one"])
def test_13_a_stop_while_a_child_is_in_its_backoff_does_not_wait_for_it(group: str) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(
            script.children("abc"), strategy=group, backoff=Backoff(min=50, max=100, jitter=0)
        )
        await supervisor.start()
        for _ in range(2):  # the first restart is made at once
            supervisor.child("b").tell(Fail(Boom("x")))
            await settled()
        assert (await phases(supervisor))["b"] == "waiting"
        script.take()
        began = now()
        await supervisor.stop()
        assert now() == began
        await asyncio.sleep(200)
        running_then = "ca" if group == "one_for_one" else "a"
        assert script.log == [f"stop {name}" for name in running_then]

    run(main())


def test_13_a_stop_while_a_child_is_restarting_breaks_its_start_off() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("ab"))
        await supervisor.start()
        script.on_start["b"] = [20.0]
        supervisor.child("b").tell(Fail(Boom("x")))
        await settled()
        assert (await phases(supervisor))["b"] == "starting"
        began = now()
        await supervisor.stop()
        assert now() == began

    run(main())
    assert script.log == ["start a", "start b", "stop a"]


def test_14_a_stop_overtakes_a_backlog_of_10_000_messages() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("a"))
        await supervisor.start()
        child = supervisor.child("a")
        busy = child.ask(Play([1.0]))
        answers = [child.ask(Say(number)) for number in range(10_000)]
        began = now()
        await supervisor.stop()
        assert now() == began + 1  # the turn that ran is finished
        assert await busy == "played"
        assert {type(await outcome(answer)) for answer in answers} == {ActorDead}
        assert script.log == ["start a", "stop a"]

    run(main())


def test_15_a_draining_child_handles_its_backlog_first() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("a", drain=True))
        await supervisor.start()
        child = supervisor.child("a")
        busy = child.ask(Play([1.0]))
        answers = [child.ask(Say(number)) for number in range(1000)]
        stop = asyncio.create_task(supervisor.stop())
        await settled()
        late = child.ask(Say("late"))
        await stop
        assert await busy == "played"
        assert [await answer for answer in answers] == list(range(1000))
        with pytest.raises(ActorDead):
            await late

    run(main())
    assert script.log == ["start a", *[f"a: {number}" for number in range(1000)], "stop a"]


def test_15_a_drain_that_takes_longer_than_shutdown_is_killed() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("a", drain=True, shutdown=2.5))
        await supervisor.start()
        child, began = supervisor.child("a"), now()
        answers = [child.ask(Play([1.0])) for _ in range(5)]
        await supervisor.stop()
        assert now() == began + 2.5
        done = [await outcome(answer) for answer in answers]
        assert done[:2] == ["played", "played"]
        assert [type(error) for error in done[2:]] == [ActorDead] * 3

    run(main())


@pytest.mark.parametrize("limit", [1, 3])
def test_15_a_full_mailbox_is_drained_too(limit: int) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a", drain=True, max_mailbox=limit)) as supervisor:
            child = supervisor.child("a")
            answers = [child.ask(Say(number)) for number in range(limit)]
        assert [await answer for answer in answers] == list(range(limit))

    run(main())
