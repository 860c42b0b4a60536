"""Cases 2 and 16: a start that is stopped, cancelled, repeated or too late leaves nobody behind."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import NotStarted, StartFailed, UsageError
from pepperpy_resources.supervision import ChildSpec, Intensity, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, Fail, Script, incarnations, now, outcome, settled

SLOW_END = 3.0  # seconds


def test_16_a_stop_before_the_start_is_the_end_of_it() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("a"))
        await supervisor.stop()
        await supervisor.stop()
        with pytest.raises(UsageError, match="was stopped already: make a new one"):
            await supervisor.start()
        with pytest.raises(NotStarted):
            await supervisor.wait()

    run(main())
    assert script.log == []


def test_16_a_supervisor_starts_once() -> None:
    script = Script()
    script.on_start["a"] = [1.0]

    async def main() -> None:
        supervisor = Supervisor(script.children("a"))
        first = asyncio.create_task(supervisor.start())
        await settled()
        with pytest.raises(UsageError, match="was started already: make a new one"):
            await supervisor.start()
        await first
        with pytest.raises(UsageError, match="was started already"):
            await supervisor.start()
        await supervisor.stop()
        with pytest.raises(UsageError, match="was started already"):
            await supervisor.start()

    run(main())
    assert script.log == ["start a", "stop a"]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_16_a_stop_while_it_starts_breaks_the_start_off(position: int) -> None:
    script, names = Script(), "abc"
    script.on_start[names[position]] = [50.0]

    async def main() -> None:
        supervisor = Supervisor(script.children(names))
        start = asyncio.create_task(supervisor.start())
        began = now()
        await asyncio.sleep(1)
        await supervisor.stop()
        assert now() == began + 1
        with pytest.raises(StartFailed):
            await start
        assert (await supervisor.wait()).kind == "shutdown"

    run(main())
    up = list(names[:position])
    assert script.log == [f"start {n}" for n in up] + [f"stop {n}" for n in up[::-1]]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_16_a_cancelled_start_stops_what_was_started_in_order(position: int) -> None:
    script, names = Script(), "abc"
    script.on_start[names[position]] = [50.0]
    script.on_stop["a"] = [SLOW_END]

    async def main() -> None:
        supervisor = Supervisor(script.children(names))
        began = now()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(supervisor.start(), 1)
        assert now() == began + 1 + (SLOW_END if position else 0)
        assert (await supervisor.wait()).kind == "shutdown"

    run(main())
    up = list(names[:position])
    assert script.log == [f"start {n}" for n in up] + [f"stop {n}" for n in up[::-1]]


@pytest.mark.parametrize("ticks", range(12))
def test_16_a_start_cancelled_at_any_tick_leaves_nobody_behind(ticks: int) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(
            [*script.children("ab"), ChildSpec("s", Supervisor(script.children("cd")))]
        )
        start = asyncio.create_task(supervisor.start())
        for _ in range(ticks):
            await asyncio.sleep(0)
        start.cancel()
        await asyncio.wait([start])
        await supervisor.stop()
        started_names = [line[-1] for line in script.log if line.startswith("start")]
        stopped_names = [line[-1] for line in script.log if line.startswith("stop")]
        assert stopped_names == started_names[::-1]

    run(main())  # and the guard of all tests looks for actors


@pytest.mark.parametrize("ticks", range(1, 12))
def test_02_a_failing_start_cancelled_at_any_tick_leaves_nobody_behind(ticks: int) -> None:
    script = Script()
    script.on_start["c"] = [Boom("no")]

    async def main() -> None:
        supervisor = Supervisor(script.children("abc"))
        start = asyncio.create_task(supervisor.start())
        for _ in range(ticks):
            await asyncio.sleep(0)
        start.cancel()
        assert isinstance(await outcome(start), (asyncio.CancelledError, StartFailed))
        await supervisor.wait()

    run(main())  # and the guard of all tests looks for what asyncio reports


@pytest.mark.parametrize("ticks", range(12))
@pytest.mark.parametrize("restart", ["temporary", "permanent"])
def test_18_a_supervisor_killed_at_any_tick_of_a_restart_leaves_nobody_behind(
    ticks: int, restart: str
) -> None:
    script = Script()
    below = Supervisor(script.children("xy"))

    async def main() -> None:
        child = ChildSpec("s", below, restart=restart)  # type: ignore[arg-type]
        async with Supervisor([child], name="top") as supervisor:
            supervisor.child("s/x").tell(Fail(Boom("x")))
            for _ in range(ticks):
                await asyncio.sleep(0)
            supervisor.child("s").kill()
            await settled()
            expected = {"s", "s/x", "s/y"} if restart == "permanent" else {"s"}
            assert set(incarnations(supervisor)) == expected
            statuses = [node.status for node in supervisor.tree().walk()]
            back = ["running"] * 4
            assert statuses == (back if restart == "permanent" else ["running", "failed"])

    run(main())


@pytest.mark.parametrize("ticks", range(12))
@pytest.mark.parametrize("timeout", [None, 0])
def test_16_a_stop_at_any_tick_of_the_start_leaves_nobody_behind(
    ticks: int, timeout: float | None
) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(
            [*script.children("ab"), ChildSpec("s", Supervisor(script.children("cd")))]
        )
        start = asyncio.create_task(supervisor.start())
        for _ in range(ticks):
            await asyncio.sleep(0)
        began = now()
        await supervisor.stop(timeout)
        assert now() == began
        await outcome(start)
        script.take()
        await asyncio.sleep(100)
        assert script.log == []  # nobody starts afterwards

    run(main())


def test_16_a_failed_start_can_be_stopped_and_waited_for() -> None:
    script = Script()
    script.on_start["a"] = [Boom("no")]

    async def main() -> None:
        supervisor = Supervisor(script.children("a"))
        with pytest.raises(StartFailed):
            await supervisor.start()
        await supervisor.stop()
        exit_ = await supervisor.wait()
        assert (exit_.kind, "Boom: no" in exit_.reason) == ("failure", True)
        assert "failed" in repr(supervisor)

    run(main())


def test_16_a_supervisor_that_gave_up_can_be_stopped_and_waited_for() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("ab"), intensity=Intensity(0))
        await supervisor.start()
        wait = asyncio.create_task(supervisor.wait())
        supervisor.child("a").tell(Fail(Boom("hopeless")))
        exit_ = await wait
        assert (exit_.kind, "Boom: hopeless" in exit_.reason) == ("failure", True)
        await asyncio.gather(supervisor.stop(), supervisor.stop(timeout=0))
        assert await supervisor.wait() == exit_
        assert "failed" in repr(supervisor)

    run(main())
    assert script.log == ["start a", "start b", "stop b"]
