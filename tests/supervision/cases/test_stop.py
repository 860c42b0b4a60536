"""Stop: in reverse, each within its deadline, then killed; nobody keeps a supervisor waiting."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import ActorDead
from pepperpy_resources.supervision import Actor, ChildSpec, ExitKind, Intensity, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    End,
    Fail,
    Play,
    Script,
    Stubborn,
    now,
    running,
    settled,
)


def test_08_an_obedient_child_ends_within_its_shutdown() -> None:
    script = Script()
    script.on_stop["a"] = [4.9]

    async def main() -> None:
        supervisor = Supervisor(script.children("a", shutdown=5))
        await supervisor.start()
        child, began = supervisor.child("a"), now()
        end = child.watch()
        await supervisor.stop()
        assert now() == began + 4.9
        assert (await end).exit.kind == "shutdown"

    run(main())
    assert script.log == ["start a", "stop a"]


def test_08_a_turn_is_finished_before_the_stop() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            answer = supervisor.child("a").ask(Play([1.0]))
            await settled()
        assert await answer == "played"

    run(main())
    assert script.log == ["start a", "stop a"]


@pytest.mark.parametrize("where", ["turn", "on_stop"])
@pytest.mark.parametrize("step", [FOREVER, Stubborn(60.0)])
def test_09_a_child_that_ignores_the_stop_is_killed_at_its_deadline(
    where: str, step: float
) -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("abc", shutdown=2))
        await supervisor.start()
        ends = {name: supervisor.child(name).watch() for name in "abc"}
        if where == "turn":
            supervisor.child("b").tell(Play([step]))
            await settled()
        else:
            script.on_stop["b"] = [step]
        began = now()
        await supervisor.stop()
        assert now() == began + 2  # c and a took no time
        exits = {name: (await end).exit for name, end in ends.items()}
        assert [exits[name].kind for name in "abc"] == ["shutdown", "killed", "shutdown"]
        assert "did not end within 2 s" in exits["b"].reason
        assert script.take() == ["start a", "start b", "start c", "stop c", "stop a"]
        await asyncio.sleep(60)  # until the stubborn one has ended

    run(main())


def test_09_each_child_has_its_own_deadline_one_after_the_other() -> None:
    script = Script()

    async def main() -> None:
        children = [
            script.child(name, shutdown=at) for name, at in zip("abc", (1, 2, 4), strict=True)
        ]
        supervisor = Supervisor(children)
        await supervisor.start()
        for name in "abc":
            supervisor.child(name).tell(Play([FOREVER]))
        await settled()
        began = now()
        await supervisor.stop()
        assert now() == began + 7

    run(main())


def test_10_brutal_kill_asks_nobody_and_cancels_what_runs() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("a", shutdown=0))
        await supervisor.start()
        child, began = supervisor.child("a"), now()
        end, answer = child.watch(), child.ask(Play([FOREVER]))
        await settled()
        await supervisor.stop()
        assert now() == began
        assert (await end).exit.kind == "killed"
        with pytest.raises(ActorDead, match="killed"):
            await answer

    run(main())
    assert script.log == ["start a"]  # no on_stop


def test_10_brutal_kill_of_one_that_ignores_its_cancellation_too() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor(script.children("a", shutdown=0))
        await supervisor.start()
        supervisor.child("a").tell(Play([Stubborn(60)]))
        await settled()
        began = now()
        await supervisor.stop()
        assert now() == began
        await asyncio.sleep(60)

    run(main())


def test_11_a_child_with_endless_shutdown_is_waited_for() -> None:
    script = Script()
    script.on_stop["a"] = [86400.0]

    async def main() -> None:
        supervisor = Supervisor(script.children("a", shutdown=float("inf")))
        await supervisor.start()
        began = now()
        await supervisor.stop()
        assert now() == began + 86400

    run(main())
    assert script.log == ["start a", "stop a"]


def test_11_a_supervisor_below_is_waited_for_though_its_children_take_longer_than_a_worker() -> (
    None
):
    script = Script()
    script.on_stop["b"] = [100.0]
    below = Supervisor(script.children("b", shutdown=200))

    async def main() -> None:
        supervisor = Supervisor([script.child("a"), ChildSpec("below", below)])
        await supervisor.start()
        began = now()
        await supervisor.stop()
        assert now() == began + 100

    run(main())
    assert script.log == ["start a", "start b", "stop b", "stop a"]


def test_11_a_supervisor_below_with_a_deadline_is_killed_with_all_its_children() -> None:
    script = Script()
    script.on_stop["b"] = [100.0]
    below = Supervisor(script.children("bc"))

    async def main() -> None:
        supervisor = Supervisor([script.child("a"), ChildSpec("below", below, shutdown=3)])
        await supervisor.start()
        end = supervisor.child("below/b").watch()
        began = now()
        await supervisor.stop()
        assert now() == began + 3
        assert (await end).exit.kind == "killed"

    run(main())
    assert script.log == ["start a", "start b", "start c", "stop c", "stop a"]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (End(ExitKind.NORMAL), "normal", ""),
        (End(ExitKind.SHUTDOWN), "shutdown", ""),
        (Fail(Boom("own fault")), "failure", "Boom: own fault"),
    ],
)
def test_12_who_ends_by_itself_while_the_supervisor_stops_keeps_its_own_reason(
    restart: str, message: object, kind: str, reason: str
) -> None:
    script = Script()
    script.on_stop["c"] = [1.0]  # the supervisor waits for it when a and b end

    async def main() -> None:
        supervisor = Supervisor(
            [*script.children("ab", restart=restart), script.child("c")], intensity=Intensity(0)
        )
        await supervisor.start()
        ends = {name: supervisor.child(name).watch() for name in "abc"}
        stop = asyncio.create_task(supervisor.stop())
        await settled()
        began = now()
        supervisor.child("a").tell(message)
        await settled()
        supervisor.child("b").tell(message)
        await stop
        assert now() == began + 1
        exits = {name: (await end).exit for name, end in ends.items()}
        assert [(exits[name].kind, exits[name].reason) for name in "ab"] == [(kind, reason)] * 2
        assert exits["c"].kind == "shutdown"
        assert (await supervisor.wait()).kind == "shutdown"

    run(main())
    assert [line for line in script.log if line.startswith("start")] == [
        "start a", "start b", "start c",
    ]  # fmt: skip


def test_12_who_fails_in_its_stop_keeps_its_own_reason_and_holds_up_nobody() -> None:
    script = Script()
    script.on_stop["b"] = [Boom("in stop")]

    async def main() -> None:
        supervisor = Supervisor(script.children("abc"))
        await supervisor.start()
        end = supervisor.child("b").watch()
        await supervisor.stop()
        exit_ = (await end).exit
        assert (exit_.kind, exit_.message) == ("failure", "on_stop")
        assert (await supervisor.wait()).kind == "shutdown"

    run(main())
    assert script.log == ["start a", "start b", "start c", "stop c", "stop a"]


def test_12_the_end_is_when_it_ended_not_when_it_was_told() -> None:
    class Slow(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(4.0)

    async def main() -> None:
        below = ChildSpec("below", Supervisor([ChildSpec("slow", Slow)]))
        async with Supervisor([ChildSpec("slow", Slow), below]) as supervisor:
            began = asyncio.get_running_loop().time()
            for name in ("slow", "below"):
                await supervisor.terminate_child(name)
            ends = [child.exit for child in await supervisor.which_children()]
            assert [end.at - began for end in ends if end is not None] == [4.0, 8.0]

    run(main())
