"""Stop: twice at once, from inside a turn, while a child is killed or crashes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from pepperpy_resources.errors import UsageError
from pepperpy_resources.supervision import Actor, ChildSpec, Supervisor, handles
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    Play,
    Script,
    Stubborn,
    now,
    outcome,
    phases,
    running,
    settled,
)

SLOW_END = 3.0  # seconds


async def started(script: Script, names: str, **fields: Any) -> Supervisor:
    supervisor = Supervisor(script.children(names, **fields))
    await supervisor.start()
    script.take()
    return supervisor


def test_16_a_second_stop_waits_for_the_first_and_a_third_returns_at_once() -> None:
    script = Script()
    script.on_stop["a"] = [SLOW_END]

    async def main() -> None:
        supervisor = await started(script, "ab")
        began = now()
        first = asyncio.create_task(supervisor.stop())
        await asyncio.sleep(1)
        await asyncio.gather(supervisor.stop(), supervisor.stop(), first)
        assert now() == began + SLOW_END
        await supervisor.stop()
        assert now() == began + SLOW_END
        assert script.log == ["stop b", "stop a"]

    run(main())


def test_16_a_second_stop_can_shorten_the_first_and_not_lengthen_it() -> None:
    script = Script()

    async def main() -> None:
        supervisor = await started(script, "ab", shutdown=100)
        for name in "ab":
            supervisor.child(name).tell(Play([FOREVER]))
        await settled()
        began = now()
        first = asyncio.create_task(supervisor.stop())
        await asyncio.sleep(1)
        await asyncio.gather(supervisor.stop(timeout=2), supervisor.stop(timeout=50))
        assert now() == began + 3
        await first
        assert (await supervisor.wait()).kind == "killed"

    run(main())


def test_16_a_cancelled_stop_goes_on() -> None:
    script = Script()
    script.on_stop["b"] = [SLOW_END]

    async def main() -> None:
        supervisor = await started(script, "ab")
        began = now()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(supervisor.stop(), 1)
        assert (await supervisor.wait()).kind == "shutdown"
        assert now() == began + SLOW_END
        assert script.log == ["stop b", "stop a"]

    run(main())


def test_16_a_stop_with_no_time_kills_all_at_once() -> None:
    script = Script()

    async def main() -> None:
        supervisor = await started(script, "ab", shutdown=100)
        supervisor.child("a").tell(Play([Stubborn(60)]))
        await settled()
        began = now()
        await supervisor.stop(timeout=0)
        assert now() == began
        await asyncio.sleep(60)
        assert "stop a" not in script.log

    run(main())


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True])
def test_16_a_senseless_timeout_is_refused_and_stops_nothing(timeout: Any) -> None:
    script = Script()

    async def main() -> None:
        supervisor = await started(script, "a")
        with pytest.raises(UsageError, match="timeout="):
            await supervisor.stop(timeout)
        assert await phases(supervisor) == {"a": "up"}
        await supervisor.stop()

    run(main())


class StopAll(msgspec.Struct, frozen=True):
    """Stop this supervisor, with this timeout."""

    supervisor: Supervisor
    timeout: float | None = None


class Stopper(Actor):
    """Stops its own supervisor from inside a turn, in both kinds of turn."""

    def __init__(self, script: Script, *, in_hook: bool = False) -> None:
        super().__init__()
        self.script = script
        self.in_hook = in_hook
        self.task: asyncio.Task[None] | None = None

    async def on_stop(self) -> None:
        if self.in_hook:
            await self.script.supervisor.stop()  # type: ignore[attr-defined]
        self.script.log.append("stop stopper")

    @handles(StopAll)
    async def stop_all(self, message: StopAll) -> str:
        await message.supervisor.stop(message.timeout)
        await asyncio.sleep(1)  # it has a turn to finish
        self.script.log.append("turn over")
        return "told"


class SyncStopper(Stopper):
    @handles(StopAll)
    def stop_all(self, message: StopAll) -> str:  # type: ignore[override]
        self.task = asyncio.get_running_loop().create_task(message.supervisor.stop(message.timeout))
        self.script.log.append("turn over")
        return "told"


@pytest.mark.parametrize("kind", [Stopper, SyncStopper])
def test_17_a_stop_from_inside_a_turn_begins_when_that_turn_has_ended(kind: type[Stopper]) -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a"), ChildSpec("b", kind, args=(script,)), script.child("c")]
        supervisor = Supervisor(children)
        await supervisor.start()
        answer = supervisor.child("b").ask(StopAll(supervisor))
        assert (await supervisor.wait()).kind == "shutdown"
        assert await answer == "told"

    run(main())
    stops = [line for line in script.log if not line.startswith("start")]
    if kind is Stopper:  # c has nothing to wait for
        assert stops == ["stop c", "turn over", "stop stopper", "stop a"]
    else:
        assert stops == ["turn over", "stop c", "stop stopper", "stop a"]


def test_17_its_timeout_holds_for_the_turn_that_said_so_too() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor([ChildSpec("b", Stopper, args=(script,), shutdown=100)])
        await supervisor.start()
        began = now()
        answer = supervisor.child("b").ask(StopAll(supervisor, 0.5))
        assert (await supervisor.wait()).kind == "killed"
        assert now() == began + 0.5
        assert "killed" in str(await outcome(answer))

    run(main())
    assert script.log == []


def test_17_a_stop_from_inside_on_stop_changes_nothing() -> None:
    script = Script()

    async def main() -> None:
        child = ChildSpec("b", Stopper, args=(script,), kwargs={"in_hook": True})
        supervisor = Supervisor([script.child("a"), child])
        script.supervisor = supervisor  # type: ignore[attr-defined]
        await supervisor.start()
        began = now()
        await supervisor.stop()
        assert now() == began

    run(main())
    assert script.log == ["start a", "stop stopper", "stop a"]


def test_17_a_turn_of_another_supervisors_actor_waits_for_the_stop() -> None:
    script = Script()
    script.on_stop["a"] = [SLOW_END]

    async def main() -> None:
        other = await started(script, "a")
        async with running([ChildSpec("b", Stopper, args=(script,))]) as supervisor:
            began = now()
            assert await supervisor.child("b").ask(StopAll(other)) == "told"
            assert now() == began + SLOW_END + 1
            assert (await other.wait()).kind == "shutdown"

    run(main())


def test_18_a_child_killed_while_its_supervisor_waits_for_it_is_not_waited_for_longer() -> None:
    script = Script()
    script.on_stop["b"] = [FOREVER]

    async def main() -> None:
        supervisor = await started(script, "abc", shutdown=50)
        child, began = supervisor.child("b"), now()
        end = child.watch()
        stop = asyncio.create_task(supervisor.stop())
        await asyncio.sleep(2)
        assert script.log == ["stop c"]
        child.kill()
        await stop
        assert now() == began + 2
        assert (await end).exit.kind == "killed"
        assert (await supervisor.wait()).kind == "shutdown"
        assert script.log == ["stop c", "stop a"]

    run(main())


def test_18_so_is_one_that_crashes_meanwhile() -> None:
    script = Script()

    async def main() -> None:
        supervisor = await started(script, "abc", shutdown=50)
        supervisor.child("b").tell(Play([2.0, Boom("late")]))
        await settled()
        began = now()
        await supervisor.stop()
        assert now() == began + 2
        assert script.log == ["stop c", "stop a"]  # b has no orderly end

    run(main())
