"""Case 12, auto-shutdown: the end of significant children ends their supervisor, if it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pepperpy_resources.supervision import ChildSpec, ExitKind, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, End, Fail, Script, phases, running, settled

NORMAL, SHUTDOWN = End(ExitKind.NORMAL), End(ExitKind.SHUTDOWN)
CRASH = Fail(Boom("x"))


def three(script: Script, restart: str) -> list[ChildSpec]:
    """Return a and b, significant, and c, which is not."""
    significant = script.children("ab", restart=restart, significant=True)
    return [*significant, script.child("c", restart="temporary")]


@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("end", [NORMAL, SHUTDOWN])
def test_12_with_any_significant_the_first_of_them_to_end_ends_the_supervisor(
    restart: str, end: End
) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(three(script, restart), auto_shutdown="any_significant")
        await supervisor.start()
        supervisor.child("a").tell(end)
        exit_ = await supervisor.wait()
        assert (exit_.kind, "'a'" in exit_.reason) == ("shutdown", True)

    run(main())
    assert script.log[3:] == ["stop a", "stop c", "stop b"]


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_12_with_all_significant_the_last_of_them_to_end_does(restart: str) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(three(script, restart), auto_shutdown="all_significant")
        await supervisor.start()
        supervisor.child("a").tell(NORMAL)
        await settled()
        assert (await phases(supervisor))["b"] == "up"
        supervisor.child("b").tell(NORMAL)
        assert (await supervisor.wait()).kind == "shutdown"

    run(main())
    assert script.log[3:] == ["stop a", "stop b", "stop c"]


@pytest.mark.parametrize(
    ("auto_shutdown", "ended"),
    [("never", "c"), ("any_significant", "c"), ("all_significant", "c"), ("all_significant", "a")],
)
def test_12_the_end_of_others_does_not(auto_shutdown: str, ended: Sequence[str]) -> None:
    script = Script()

    async def main() -> None:
        children = (
            script.children("abc", restart="transient")
            if auto_shutdown == "never"
            else three(script, "transient")
        )
        async with running(children, auto_shutdown=auto_shutdown) as supervisor:
            for name in ended:
                supervisor.child(name).tell(NORMAL)
            await asyncio.sleep(100)
            assert (await phases(supervisor))["b"] == "up"

    run(main())


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
def test_12_a_transient_one_that_fails_is_restarted_instead(auto_shutdown: str) -> None:
    script = Script()
    child = script.child("a", restart="transient", significant=True)

    async def main() -> None:
        async with running([child], auto_shutdown=auto_shutdown) as supervisor:
            supervisor.child("a").tell(CRASH)
            await settled()
            assert await phases(supervisor) == {"a": "up"}

    run(main())
    assert script.log == ["start a", "start a", "stop a"]


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
def test_12_a_temporary_one_that_fails_ends_it(auto_shutdown: str) -> None:
    script = Script()
    child = script.child("a", restart="temporary", significant=True)

    async def main() -> None:
        supervisor = Supervisor([child, script.child("b")], auto_shutdown=auto_shutdown)
        await supervisor.start()
        supervisor.child("a").tell(CRASH)
        assert (await supervisor.wait()).kind == "shutdown"

    run(main())
    assert script.log == ["start a", "start b", "stop b"]


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_12_one_that_is_stopped_by_hand_does_not_end_it(auto_shutdown: str, restart: str) -> None:
    script = Script()
    child = script.child("a", restart=restart, significant=True)

    async def main() -> None:
        async with running([child, script.child("b")], auto_shutdown=auto_shutdown) as supervisor:
            await supervisor.terminate_child("a")
            await asyncio.sleep(100)
            assert (await phases(supervisor))["b"] == "up"

    run(main())


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_12_one_that_goes_down_with_its_group_does_not_end_it(
    auto_shutdown: str, restart: str
) -> None:
    script = Script()
    children = [script.child("a", restart=restart, significant=True), script.child("b")]

    async def main() -> None:
        flags = {"auto_shutdown": auto_shutdown, "strategy": "one_for_all"}
        async with running(children, **flags) as supervisor:
            supervisor.child("b").tell(CRASH)
            await asyncio.sleep(100)
            back = {"a": "up", "b": "up"} if restart == "transient" else {"b": "up"}
            assert await phases(supervisor) == back

    run(main())


def test_12_a_supervisor_that_ended_so_ended_normally_to_the_one_above() -> None:
    script = Script()
    below = Supervisor(
        [script.child("a", restart="transient", significant=True)], auto_shutdown="any_significant"
    )

    async def main() -> None:
        async with running([ChildSpec("below", below, restart="transient")]) as supervisor:
            supervisor.child("below/a").tell(NORMAL)
            await asyncio.sleep(100)
            info = (await supervisor.which_children())[0]
            assert (info.phase, info.restarts) == ("down", 0)
            await supervisor.restart_child("below")  # with the children it was made with
            assert await phases(supervisor, "below") == {"a": "up"}

    run(main())
    assert script.log == ["start a", "stop a", "start a", "stop a"]
