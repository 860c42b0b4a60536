"""The control lane goes before user messages, however many are queued."""

from __future__ import annotations

import asyncio

from pepperpy_resources.errors import ActorDead
from pepperpy_resources.supervision import (
    Actor,
    ChildCount,
    ChildSpec,
    CountChildren,
    Reply,
    Supervisor,
    SupervisorHandle,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    Play,
    Say,
    Script,
    outcome,
    running,
    settled,
)

BACKLOG = 10_000


async def last_exit(supervisor: Supervisor) -> tuple[str, str]:
    """Return how the only child's last incarnation ended."""
    (info,) = await supervisor.which_children()
    assert info.exit is not None
    return info.exit.kind.value, info.exit.reason


def test_60_stop_overtakes_ten_thousand_messages_which_the_next_incarnation_handles() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([1.0]))
            await settled()
            for number in range(BACKLOG):
                a.tell(Say(number))
            a.stop()
            await asyncio.sleep(1.0)
            await settled(BACKLOG // 64 + 10)
            assert script.log[:3] == ["start a", "stop a", "start a"]
            assert script.log[3:] == [f"a: {number}" for number in range(BACKLOG)]
            assert await last_exit(supervisor) == ("shutdown", "asked to stop")

    run(main())


def test_60_kill_overtakes_ten_thousand_messages_and_the_turn_that_runs() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            fatal = a.ask(Play([FOREVER]))
            await settled()
            for number in range(BACKLOG):
                a.tell(Say(number))
            a.kill()
            error = await outcome(fatal)
            assert isinstance(error, ActorDead)
            assert "killed" in str(error)
            assert await last_exit(supervisor) == ("killed", "killed")
            await settled(BACKLOG // 64 + 10)
            assert script.log[:2] == ["start a", "start a"]  # on_stop is not for the killed
            assert script.log[2:] == [f"a: {number}" for number in range(BACKLOG)]

    run(main())


def test_60_a_supervisor_hears_of_a_crash_before_the_questions_queued_before_it() -> None:
    asked: list[Reply[ChildCount]] = []

    class Curious(Actor):
        @handles(SupervisorHandle)
        def ask(self, supervisor: SupervisorHandle) -> None:
            asked.extend(supervisor.ask(CountChildren()) for _ in range(BACKLOG))
            raise Boom

    async def main() -> None:
        async with running([ChildSpec("a", Curious)]) as supervisor:
            supervisor.child("a").tell(supervisor.handle)
            await settled()
            assert (await asked[0]).active == 0  # it was up when it asked
            assert (await asked[-1]).active == 1

    run(main())
