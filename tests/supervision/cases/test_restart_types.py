"""Restart types: who comes back after which end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pepperpy_resources.errors import ChildRefused
from pepperpy_resources.supervision import ChildHandle, ExitKind, Intensity, Restart, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    End,
    Fail,
    Play,
    Say,
    Script,
    incarnations,
    outcome,
    phases,
    running,
    settled,
)

End_ = Callable[[ChildHandle], object]

# what ends a child without its supervisor's doing, and how that counts
NORMAL: dict[str, End_] = {
    "normal": lambda child: child.tell(End()),
    "normal after a turn that awaits": lambda child: (child.tell(Play([1.0])), child.tell(End())),
}
SHUTDOWN: dict[str, End_] = {
    "shutdown": lambda child: child.tell(End(ExitKind.SHUTDOWN)),
    "asked to stop": lambda child: child.stop(),
}
FAILURE: dict[str, End_] = {
    "failure": lambda child: child.tell(Fail(Boom("no"))),
    "failure in an async turn": lambda child: child.tell(Play([1.0, Boom("no")])),
    "killed": lambda child: child.kill(),
    "killed in an async turn": lambda child: (
        child.tell(Play([FOREVER])),
        asyncio.get_running_loop().call_later(0.5, child.kill),
    ),
}
EVERY = {**NORMAL, **SHUTDOWN, **FAILURE}


async def end(supervisor: Supervisor, how: End_, name: str = "a") -> None:
    """End the child, and let that take its second."""
    how(supervisor.child(name))
    script = supervisor.child("bystander")
    await script.ask(Play([2.0]))
    await settled()


def family(script: Script, restart: str) -> Supervisor:
    children = [script.child("a", restart=restart), script.child("bystander")]
    return Supervisor(children, name="top", intensity=Intensity(1, 60.0))


@pytest.mark.parametrize("how", EVERY.values(), ids=EVERY)
def test_27_permanent_after_any_end_is_restarted(how: End_) -> None:
    script = Script()

    async def main() -> None:
        async with family(script, "permanent") as supervisor:
            handle = supervisor.child("a")
            await end(supervisor, how)
            assert incarnations(supervisor) == {"a": 2, "bystander": 1}
            assert await phases(supervisor) == {"a": "up", "bystander": "up"}
            assert await handle.ask(Say("hello")) == "hello"
            assert script.log.count("start a") == 2

    run(main())


@pytest.mark.parametrize("how", EVERY.values(), ids=EVERY)
def test_27_any_end_of_a_permanent_child_costs_a_restart_of_the_budget(how: End_) -> None:
    script = Script()

    async def main() -> None:
        async with family(script, "permanent") as supervisor:
            await end(supervisor, how)
            how(supervisor.child("a"))
            exit_ = await supervisor.wait()
            assert exit_.kind is ExitKind.FAILURE
            assert "'a' failed more than 1 times in 60 s" in exit_.reason

    run(main())


@pytest.mark.parametrize("how", [*NORMAL.values(), *SHUTDOWN.values()], ids=[*NORMAL, *SHUTDOWN])
def test_28_transient_after_normal_or_shutdown_stays_down_and_can_be_restarted_by_hand(
    how: End_,
) -> None:
    script = Script()

    async def main() -> None:
        async with family(script, "transient") as supervisor:
            for n in range(3):  # it costs nothing of the budget of 1
                await end(supervisor, how)
                assert await phases(supervisor) == {"a": "down", "bystander": "up"}
                assert incarnations(supervisor)["a"] == n + 1
                handle = await supervisor.restart_child("a")
                assert await handle.ask(Say(n)) == n
                assert await phases(supervisor) == {"a": "up", "bystander": "up"}
            (info, _) = await supervisor.which_children()
            assert info.restarts == 0

    run(main())


@pytest.mark.parametrize("how", FAILURE.values(), ids=FAILURE)
def test_29_transient_after_failure_is_restarted(how: End_) -> None:
    script = Script()

    async def main() -> None:
        async with family(script, "transient") as supervisor:
            await end(supervisor, how)
            assert incarnations(supervisor) == {"a": 2, "bystander": 1}
            assert await phases(supervisor) == {"a": "up", "bystander": "up"}

    run(main())


@pytest.mark.parametrize("how", EVERY.values(), ids=EVERY)
def test_30_temporary_is_never_restarted_its_spec_is_gone_and_its_id_can_be_used_again(
    how: End_,
) -> None:
    script = Script()

    async def main() -> None:
        async with family(script, "temporary") as supervisor:
            handle = supervisor.child("a")
            for _ in range(3):  # it costs nothing of the budget of 1
                await end(supervisor, how)
                assert await phases(supervisor) == {"bystander": "up"}
                for order in (supervisor.restart_child, supervisor.delete_child):
                    refused = await outcome(order("a"))
                    assert isinstance(refused, ChildRefused)
                    assert refused.why == "not_found"
                assert handle.tell(Say("too late")) is False
                other = await supervisor.start_child(script.child("a", restart="temporary"))
                assert await other.ask(Say("new")) == "new"
                handle = other
            assert await phases(supervisor) == {"bystander": "up", "a": "up"}

    run(main())


def test_30_a_temporary_child_that_is_terminated_is_gone_too() -> None:
    script = Script()

    async def main() -> None:
        async with family(script, "temporary") as supervisor:
            await supervisor.terminate_child("a")
            assert await phases(supervisor) == {"bystander": "up"}
            await supervisor.start_child(script.child("a"))  # of another kind now
            await end(supervisor, NORMAL["normal"])
            assert await phases(supervisor) == {"bystander": "up", "a": "up"}

    run(main())


def test_30_the_incarnations_of_an_id_that_is_used_again_are_not_mixed_up() -> None:
    # The end of the first is still on its way when the second has the id.
    script = Script()

    async def main() -> None:
        async with family(script, "temporary") as supervisor:
            for _ in range(3):
                handle = supervisor.child("a")
                handle.kill()
                handle = await supervisor.start_child(script.child("a", restart="temporary"))
                await settled()
                assert await handle.ask(Say("here")) == "here"
            assert await phases(supervisor) == {"bystander": "up", "a": "up"}

    run(main())


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_31_a_temporary_bystander_of_a_group_restart_is_stopped_and_not_restarted(
    strategy: str,
) -> None:
    script = Script()

    async def main() -> None:
        children = [
            script.child("a"),
            script.child("t", restart="temporary"),
            script.child("z"),
        ]
        async with running(children, strategy=strategy, intensity=Intensity(2, 60.0)) as top:
            script.take()
            top.child("a").tell(Fail(Boom("no")))
            await settled()
            assert script.take() == ["stop z", "stop t", "start a", "start z"]
            assert await phases(top) == {"a": "up", "z": "up"}
            assert top.tree().children_restarts_left == 1  # it cost nothing
            await top.start_child(script.child("t", restart=Restart.TEMPORARY))
            top.child("t").tell(Fail(Boom("no")))  # no failure of the group either
            await settled()
            assert await phases(top) == {"a": "up", "z": "up"}
            assert incarnations(top)["z"] == 2

    run(main())
