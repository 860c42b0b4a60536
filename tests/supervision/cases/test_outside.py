"""Other loops and threads, a loop that ends, a supervisor nobody holds: told at once, no hang."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pykka  # noqa: TID253 - the registry is what is looked at
import pytest

from pepperpy_resources.errors import ActorDead, WrongLoop
from pepperpy_resources.supervision import ChildHandle, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Play,
    Say,
    Script,
    phases,
    running,
    settled,
)

SECONDS = 30.0  # nothing takes so long, unless it hangs

Call = Callable[[Supervisor], Coroutine[Any, Any, Any]]


async def kill(supervisor: Supervisor) -> None:
    supervisor.child("a").kill()


REFUSED: dict[str, Call] = {
    "stop": lambda supervisor: supervisor.stop(),
    "stop at once": lambda supervisor: supervisor.stop(timeout=0),
    "wait": lambda supervisor: supervisor.wait(),
    "kill": kill,
}


async def elsewhere(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run it on a loop of its own in another thread, and return its result or its error."""
    found: list[Any] = []

    async def attempt() -> None:
        try:
            found.append(await asyncio.wait_for(work(), SECONDS))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(attempt()))
    thread.start()
    while thread.is_alive():  # noqa: ASYNC110 - nothing tells of its end
        await asyncio.sleep(0)
    return found[0]


@pytest.mark.parametrize("call", REFUSED)
def test_16_from_another_loop_a_stop_is_refused_at_once_and_told_what_to_do(call: str) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            error = await elsewhere(lambda: REFUSED[call](supervisor))
            assert isinstance(error, WrongLoop)
            assert str(error).count("Loop") >= 2  # both are named
            assert "tell() and ask()" in str(error)
            await settled()
            assert await phases(supervisor) == {"a": "up"}
        assert await elsewhere(supervisor.stop) is None  # there is nothing left to stop
        assert (await elsewhere(supervisor.wait)).kind == "shutdown"

    run(main())
    assert script.log == ["start a", "stop a"]


def test_19_orders_and_questions_work_from_another_loop() -> None:
    script = Script()

    async def order(supervisor: Supervisor) -> list[Any]:
        child = await supervisor.start_child(script.child("b"))
        answer = await child.ask(Say("from afar"))
        await supervisor.terminate_child("b")
        await supervisor.restart_child("b")
        await supervisor.terminate_child("b")
        await supervisor.delete_child("b")
        child.stop()
        return [answer, await supervisor.which_children(), await supervisor.count_children()]

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            answer, children, count = await elsewhere(lambda: order(supervisor))
            assert answer == "from afar"
            assert [info.id for info in children] == ["a"]
            assert count.specs == 1
            assert supervisor.tree().status == "running"

    run(main())
    assert script.log == [
        "start a", "start b", "b: from afar", "stop b", "start b", "stop b", "stop a",
    ]  # fmt: skip


def test_16_a_supervisor_whose_loop_is_over_is_refused_by_the_next() -> None:
    script, kept = Script(), list[Supervisor]()

    async def first() -> Supervisor:
        supervisor = Supervisor(script.children("a"))
        await supervisor.start()
        return supervisor

    async def second() -> None:
        for call in REFUSED.values():
            with pytest.raises(WrongLoop, match=r"one Supervisor for each asyncio\.run"):
                await call(kept[0])
        for order in (
            lambda: kept[0].start_child(script.child("b")),
            lambda: kept[0].terminate_child("a"),
            kept[0].which_children,
        ):
            with pytest.raises(ActorDead, match="loop"):
                await asyncio.wait_for(order(), SECONDS)
        assert kept[0].child("a").tell(Say("x")) is False

    before = pykka.ActorRegistry.get_all()
    kept.append(run(first()))
    run(second())
    forget(kept, before)
    assert script.log == ["start a"]


def forget(kept: list[Supervisor], before: list[Any]) -> None:
    """Let go of a supervisor that was never stopped: it says so, once."""

    def let_go() -> None:
        kept.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"Supervisor .* was never stopped") as warned:
        let_go()
    assert len(warned) == 1
    for ref in pykka.ActorRegistry.get_all():
        if ref not in before:
            pykka.ActorRegistry.unregister(ref)


@pytest.mark.parametrize("busy", [False, True])
def test_16_one_that_nobody_holds_is_collected_with_its_actors_and_says_so(*, busy: bool) -> None:
    script, kept = Script(), list[Supervisor]()
    before = pykka.ActorRegistry.get_all()
    dead: list[weakref.ref[Any]] = []

    async def main() -> None:
        supervisor = Supervisor(script.children("ab"))
        await supervisor.start()
        kept.append(supervisor)
        dead.extend(weakref.ref(supervisor.child(name)._cell.actor) for name in "ab")
        if busy:
            supervisor.child("a").tell(Say("x"))
            await settled()
        del supervisor
        forget(kept, before)
        await settled()
        assert [ref() for ref in dead] == [None, None]

    run(main())


def test_16_a_handle_keeps_the_whole_tree_alive() -> None:
    script = Script()

    async def main() -> None:
        handles: list[ChildHandle] = []

        async def start() -> None:
            supervisor = Supervisor(script.children("ab"))
            await supervisor.start()
            handles.append(supervisor.child("b"))
            handles.append(supervisor.handle)

        await start()
        gc.collect()
        assert await handles[0].ask(Say("still here")) == "still here"
        handles[1].stop()
        await settled()
        handles.clear()
        gc.collect()

    run(main())
    assert script.log == ["start a", "start b", "b: still here", "stop b", "stop a"]


def test_16_a_stopped_one_is_collected_without_a_word() -> None:
    script = Script()

    async def main() -> weakref.ref[Supervisor]:
        async with running(script.children("ab")) as supervisor:
            await supervisor.child("a").ask(Say("x"))
        return weakref.ref(supervisor)

    gone = run(main())
    gc.collect()
    assert gone() is None


def test_16_one_that_could_not_be_made_is_collected_without_a_word() -> None:
    with pytest.raises(TypeError):
        Supervisor(3, 4)  # type: ignore[call-arg, arg-type]
    gc.collect()


@pytest.mark.parametrize("step", [1.0, FOREVER])
def test_16_a_loop_that_ends_with_a_running_supervisor_hangs_nowhere_and_says_nothing(
    step: float, caplog: pytest.LogCaptureFixture
) -> None:
    script, kept = Script(), list[Supervisor]()
    before = pykka.ActorRegistry.get_all()

    async def main() -> None:
        supervisor = Supervisor(script.children("ab"))
        await supervisor.start()
        kept.append(supervisor)
        supervisor.child("a").tell(Play([step]))
        await settled()

    run(main())
    assert caplog.records == []
    forget(kept, before)
    assert script.log == ["start a", "start b"]


UNSTOPPED = """
import asyncio
from pepperpy_resources import Actor, ChildSpec, Supervisor, handles

class Busy(Actor):
    async def on_start(self):
        print("start")

    def on_stop(self):
        print("stop")

    @handles(str)
    async def wait(self, message):
        await asyncio.sleep(3600)

async def main():
    supervisor = Supervisor([ChildSpec("busy", Busy)], name="left")
    await supervisor.start()
    supervisor.child("busy").tell("x")
    await asyncio.sleep(0.01)

asyncio.run(main())
print("over")
"""


def test_16_a_program_that_ends_without_a_stop_is_warned_and_not_delayed() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", UNSTOPPED],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == "start\nover\n"
    assert done.stderr.count("ResourceWarning: <Supervisor 'left' running") == 1
    assert "was never stopped" in done.stderr
    assert "Traceback" not in done.stderr
    assert "never awaited" not in done.stderr
    assert "was destroyed" not in done.stderr
