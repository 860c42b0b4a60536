"""The tree of a user's supervisors and actors: what each field says, and when it says it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from pepperpy_resources.observe.node import Exit, Node, Turn
from pepperpy_resources.observe.tree import steadily
from pepperpy_resources.supervision import (
    Actor,
    Backoff,
    ChildSpec,
    Intensity,
    Restart,
    Supervisor,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.kit import outcome, settled


class Work(msgspec.Struct, frozen=True):
    """Take so long."""

    seconds: float = 3600.0


class Fail(msgspec.Struct, frozen=True):
    """Raise."""


class Finish(msgspec.Struct, frozen=True):
    """End by itself."""


class Call(msgspec.Struct, frozen=True):
    """Ask somebody else to work."""

    whom: Any


class Worker(Actor):
    """Does what it is told."""

    @handles(Work)
    async def work(self, message: Work) -> str:
        await asyncio.sleep(message.seconds)
        return "done"

    @handles(Fail)
    def fail(self, _: Fail) -> None:
        raise ConnectionError("lost")

    @handles(Finish)
    def finish(self, _: Finish) -> None:
        self.stop(reason="it is done")

    @handles(Call)
    async def call(self, message: Call) -> Any:
        return await message.whom.ask(Work())


class SlowToStart(Worker):
    async def on_start(self) -> None:
        await asyncio.sleep(10)


class SlowToStop(Worker):
    async def on_stop(self) -> None:
        await asyncio.sleep(4)


class NeverUp(Worker):
    def on_start(self) -> None:
        raise RuntimeError("no such port")


def at(tree: Node, path: str) -> Node:
    (found,) = [node for node in tree.walk() if node.path == path]
    return found


def statuses(tree: Node) -> dict[str, str]:
    return {node.path: node.status for node in tree.walk()}


def scenario(main: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test on virtual time."""

    def test() -> None:
        run(main())

    test.__name__ = main.__name__
    test.__qualname__ = main.__qualname__
    return test


@scenario
async def test_the_children_in_the_order_of_their_start() -> None:
    inner = Supervisor(
        [ChildSpec("z", Worker), ChildSpec("a", SlowToStop)], strategy="rest_for_one"
    )
    top = Supervisor(
        [ChildSpec("one", Worker), ChildSpec("sub", inner), ChildSpec("two", Worker)], name="app"
    )
    assert top.tree() == Node("app", "Supervisor", "new")
    async with top:
        await asyncio.sleep(1.5)
        seen = [(x.path, x.kind, x.status, x.strategy) for x in top.tree().walk()]
        assert seen == [
            ("app", "Supervisor", "running", "one_for_one"),
            ("app/one", "Worker", "running", ""),
            ("app/sub", "Supervisor", "running", "rest_for_one"),
            ("app/sub/z", "Worker", "running", ""),
            ("app/sub/a", "SlowToStop", "running", ""),
            ("app/two", "Worker", "running", ""),
        ]
        one = at(top.tree(), "app/one")
        assert one == Node("app/one", "Worker", "running", uptime=1.5, incarnation=1, messages=1)
        app = at(top.tree(), "app")
        assert (app.children_restarts, app.children_restarts_left) == (0, 3)
        assert (app.restarts, app.restarts_left) == (0, None)
    tree = top.tree()
    assert set(statuses(tree).values()) == {"stopped"}
    assert {node.uptime for node in tree.walk()} == {0.0}


@scenario
async def test_75_busy_then_stuck_with_the_message_and_the_time() -> None:
    async with Supervisor([ChildSpec("w", Worker, stuck_after=3.0)], name="app") as top:
        top.child("w").tell(Work(5.0))
        await asyncio.sleep(1)
        worker = at(top.tree(), "app/w")
        assert (worker.status, worker.current) == ("busy", Turn("Work", 1.0))
        await asyncio.sleep(1.5)
        assert at(top.tree(), "app/w").status == "busy"
        await asyncio.sleep(0.5)
        worker = at(top.tree(), "app/w")
        assert (worker.status, worker.current) == ("stuck", Turn("Work", 3.0))
        assert "   └─" not in worker.render()
        assert worker.render().splitlines()[1] == "   handles Work for 3.000 s"
        await asyncio.sleep(2.5)
        worker = at(top.tree(), "app/w")
        assert (worker.status, worker.current) == ("running", None)


@scenario
async def test_whom_it_waits_for() -> None:
    children = [ChildSpec("a", Worker), ChildSpec("b", Worker), ChildSpec("c", Worker)]
    async with Supervisor(children, name="app") as top:
        top.child("a").tell(Call(top.child("b")))
        await asyncio.sleep(1)
        tree = top.tree()
        assert at(tree, "app/a").waiting_on == ["app/b"]
        assert at(tree, "app/a").status == "busy"
        assert (at(tree, "app/b").waiting_on, at(tree, "app/c").waiting_on) == ([], [])
        assert "n1 -> n2 [style=dashed" in tree.to_dot()


@scenario
async def test_the_mailbox() -> None:
    async with Supervisor([ChildSpec("w", Worker, max_mailbox=3)], name="app") as top:
        worker = top.child("w")
        worker.tell(Work(10.0))
        await asyncio.sleep(1)
        worker.tell(Work(1.0))
        await asyncio.sleep(2)
        worker.tell(Work(1.0))
        await asyncio.sleep(0.5)
        seen = at(top.tree(), "app/w")
        assert (seen.mailbox, seen.mailbox_high, seen.oldest) == (2, 2, 2.5)
        worker.tell(Work(1.0))
        assert not worker.tell(Work(1.0))  # it holds three
        asked = asyncio.create_task(outcome(worker.ask(Work(1.0), timeout=0.5)))
        await asked
        seen = at(top.tree(), "app/w")
        assert (seen.mailbox, seen.mailbox_high, seen.dead_letters) == (3, 3, 1)
        await asyncio.sleep(20)
        seen = at(top.tree(), "app/w")
        assert (seen.mailbox, seen.mailbox_high, seen.oldest) == (0, 3, 0.0)
        assert seen.messages == 5  # its start, and four to work on


@scenario
async def test_an_answer_that_came_too_late_is_counted() -> None:
    async with Supervisor([ChildSpec("w", Worker)], name="app") as top:
        await outcome(top.child("w").ask(Work(2.0), timeout=1.0))
        await asyncio.sleep(2)
        assert at(top.tree(), "app/w").late_replies == 1


@scenario
async def test_a_restart_and_what_is_left_of_the_budget() -> None:
    async with Supervisor([ChildSpec("w", Worker)], name="app") as top:
        await asyncio.sleep(7)
        top.child("w").tell(Fail())
        await asyncio.sleep(2)
        tree = top.tree()
        worker = at(tree, "app/w")
        assert (worker.status, worker.restarts, worker.incarnation) == ("running", 1, 2)
        assert worker.restarts_left is None  # it is the supervisor's
        assert worker.uptime == 2.0
        error = "ConnectionError: lost"
        assert worker.last_exit == Exit("failure", 2.0, error=error, message="Fail")
        assert (tree.children_restarts, tree.children_restarts_left) == (1, 2)
        assert (
            tree.render()
            .splitlines()[0]
            .startswith("Supervisor app [running]  one_for_one  children restarted 1 (left 2)")
        )
        await asyncio.sleep(4)  # the failure is older than the period
        assert top.tree().children_restarts_left == 3


@scenario
async def test_backing_off_and_when_the_next_restart_is() -> None:
    pause = Backoff(min=8.0, factor=2.0, max=60.0, jitter=0.0)
    async with Supervisor([ChildSpec("w", Worker)], backoff=pause, name="app") as top:
        for _ in range(2):  # the first is restarted at once
            top.child("w").tell(Fail())
            await settled()
        await asyncio.sleep(3)
        worker = at(top.tree(), "app/w")
        assert (worker.status, worker.restart_in, worker.uptime) == ("backing-off", 5.0, 0.0)
        assert top.tree().children_restarts_left is None  # there is no limit
        assert worker.render().splitlines()[0] == (
            "Worker app/w [backing-off]  messages 4  mailbox 0 (high 1)  restarts 2  "
            "next in 5.0 s  incarnation 2"
        )
        await asyncio.sleep(5.5)
        worker = at(top.tree(), "app/w")
        assert (worker.status, worker.restart_in, worker.incarnation) == ("running", None, 3)


@scenario
async def test_one_that_is_given_up_alone_and_when_it_is_tried_again() -> None:
    children = [ChildSpec("w", Worker), ChildSpec("v", Worker)]
    async with Supervisor(
        children, intensity=Intensity(restarts=1, period=60.0), backoff=None,
        budget_scope="child", revive_after=30.0, name="app",
    ) as top:  # fmt: skip
        top.child("w").tell(Fail())
        await settled()
        tree = top.tree()
        assert (at(tree, "app/w").restarts_left, at(tree, "app/v").restarts_left) == (0, 1)
        assert tree.children_restarts_left is None
        top.child("w").tell(Fail())
        await asyncio.sleep(10)
        tree = top.tree()
        worker = at(tree, "app/w")
        assert (worker.status, worker.restart_in) == ("failed", 20.0)
        assert at(tree, "app/v").status == "running"
        await asyncio.sleep(21)
        assert at(top.tree(), "app/w").status == "running"


@scenario
async def test_a_start_that_takes_its_time() -> None:
    children = [ChildSpec("w", SlowToStart), ChildSpec("v", Worker)]
    top = Supervisor(children, name="app")
    starting = asyncio.create_task(top.start())
    await asyncio.sleep(4)
    tree = top.tree()
    assert statuses(tree) == {"app": "starting", "app/w": "starting", "app/v": "starting"}
    assert [node.kind for node in tree.walk()] == ["Supervisor", "SlowToStart", "Worker"]
    assert at(tree, "app/w").current == Turn("on_start", 4.0)
    assert at(tree, "app/v") == Node("app/v", "Worker", "starting")
    await starting
    top.child("w").tell(Fail())
    await asyncio.sleep(1)
    assert at(top.tree(), "app/w").status == "restarting"
    await top.stop()


@scenario
async def test_a_stop_that_takes_its_time() -> None:
    children = [ChildSpec("w", SlowToStop), ChildSpec("v", SlowToStop)]
    top = Supervisor(children, name="app")
    await top.start()
    stopping = asyncio.create_task(top.stop())
    await asyncio.sleep(1)
    tree = top.tree()
    assert statuses(tree) == {"app": "stopping", "app/w": "running", "app/v": "stopping"}
    assert at(tree, "app/v").current == Turn("on_stop", 1.0)
    await asyncio.sleep(4)
    tree = top.tree()
    assert statuses(tree) == {"app": "stopping", "app/w": "stopping", "app/v": "stopped"}
    end = at(tree, "app/v").last_exit
    assert end is not None
    assert (end.kind, end.reason) == ("shutdown", "told by its supervisor")
    await stopping
    assert set(statuses(top.tree()).values()) == {"stopped"}


@scenario
async def test_one_that_was_killed_says_why() -> None:
    async with Supervisor([ChildSpec("w", SlowToStop, shutdown=2.0)], name="app") as top:
        await top.terminate_child("w")
        await asyncio.sleep(1)
        worker = at(top.tree(), "app/w")
        assert (worker.status, worker.last_exit) == (
            "stopped", Exit("killed", 1.0, "did not end within 2 s"),
        )  # fmt: skip


@scenario
async def test_76_a_child_that_is_gone_stays_visible_for_a_minute_with_its_reason() -> None:
    children = [
        ChildSpec("t", Worker, restart=Restart.TEMPORARY),
        ChildSpec("u", Worker, restart=Restart.TEMPORARY),
        ChildSpec("w", Worker),
    ]
    async with Supervisor(children, name="app") as top:
        top.child("t").tell(Finish())
        top.child("u").tell(Fail())
        await asyncio.sleep(30)
        tree = top.tree()
        assert [node.path for node in tree.children] == ["app/w", "app/t", "app/u"]
        gone, failed = tree.children[1:]
        assert gone == Node(
            "app/t", "Child", "stopped", last_exit=Exit("normal", 30.0, "it is done")
        )
        assert (failed.status, failed.last_exit) == (
            "failed", Exit("failure", 30.0, error="ConnectionError: lost", message="Fail"),
        )  # fmt: skip
        await top.start_child(ChildSpec("t", Worker))  # the id is in use again
        assert [node.path for node in top.tree().children] == ["app/w", "app/t", "app/u"]
        assert at(top.tree(), "app/t").status == "running"
        await asyncio.sleep(31)
        assert [node.path for node in top.tree().children] == ["app/w", "app/t"]


@scenario
async def test_of_many_that_are_gone_the_last_hundred_are_shown() -> None:
    template = ChildSpec("job", Worker, restart=Restart.TEMPORARY)
    async with Supervisor([template], strategy="simple_one_for_one", name="app") as top:
        for _ in range(103):
            (await top.start_child()).tell(Finish())
        await settled()
        paths = [node.path for node in top.tree().children]
        assert (len(paths), paths[0], paths[-1]) == (100, "app/job-4", "app/job-103")


@scenario
async def test_a_supervisor_that_gave_up_and_one_that_waits_to_be_restarted() -> None:
    inner = Supervisor([ChildSpec("w", Worker)], intensity=Intensity(0, 5.0), backoff=None)
    pause = Backoff(min=8.0, factor=1.0, max=8.0, jitter=0.0)
    top = Supervisor([ChildSpec("sub", inner), ChildSpec("v", Worker)], backoff=pause,
                     intensity=Intensity(2, 60.0), name="app")  # fmt: skip
    await top.start()
    for _ in range(2):  # the first is restarted at once
        top.child("sub/w").tell(Fail())
        await settled()
    await asyncio.sleep(2)
    tree = top.tree()
    assert statuses(tree) == {
        "app": "running", "app/sub": "backing-off", "app/sub/w": "stopped", "app/v": "running",
    }  # fmt: skip
    sub = at(tree, "app/sub")
    assert (sub.restarts, sub.restart_in, sub.incarnation) == (2, 6.0, 2)
    assert sub.last_exit == Exit(
        "failure", 2.0, "child 'w' failed more than 0 times in 5 s: ConnectionError: lost",
        "ConnectionError: lost", "Fail",
    )  # fmt: skip
    await asyncio.sleep(7)
    assert set(statuses(top.tree()).values()) == {"running"}
    top.child("sub/w").tell(Fail())
    await top.wait()
    tree = top.tree()
    assert (tree.status, at(tree, "app/v").status) == ("failed", "stopped")
    assert tree.last_exit is not None
    assert "child 'sub' failed more than 2 times in 60 s" in tree.last_exit.reason


@scenario
async def test_a_group_that_goes_down_together() -> None:
    children = [ChildSpec("w", Worker), ChildSpec("v", SlowToStop)]
    async with Supervisor(children, strategy="one_for_all", name="app") as top:
        top.child("w").tell(Fail())
        await asyncio.sleep(1)
        assert statuses(top.tree()) == {
            "app": "running", "app/w": "restarting", "app/v": "stopping",
        }  # fmt: skip
        await asyncio.sleep(4)
        assert set(statuses(top.tree()).values()) == {"running"}


@scenario
async def test_a_start_that_failed_leaves_its_reason() -> None:
    top = Supervisor([ChildSpec("w", Worker), ChildSpec("n", NeverUp)], name="app")
    await outcome(top.start())
    await settled()
    tree = top.tree()
    assert statuses(tree) == {"app": "failed", "app/w": "stopped", "app/n": "stopped"}
    end = at(tree, "app/n").last_exit
    assert end is not None
    assert (end.error, end.message) == ("RuntimeError: no such port", "on_start")


@scenario
async def test_there_and_back_as_json() -> None:
    async with Supervisor([ChildSpec("w", Worker), ChildSpec("v", Worker)], name="app") as top:
        top.child("w").tell(Call(top.child("v")))
        top.child("v").tell(Fail())
        await asyncio.sleep(1)
        tree = top.tree()
        assert msgspec.json.decode(tree.to_json(), type=Node) == tree


# -- nothing happens for the sake of who looks


@scenario
async def test_looking_sends_no_message_and_starts_nothing() -> None:
    inner = Supervisor([ChildSpec(f"w{n}", Worker) for n in range(5)])
    async with Supervisor([ChildSpec("sub", inner), ChildSpec("w", Worker)], name="app") as top:
        await settled()
        loop: Any = asyncio.get_running_loop()
        cells = [top.child(path)._cell for path in ("sub", "sub/w0", "w")]
        host = cells[0].host
        before = [
            [(cell.messages, len(cell.user), len(cell.control)) for cell in cells],
            len(host.ready), asyncio.all_tasks(), len(loop._scheduled), len(loop._ready),
        ]  # fmt: skip
        for _ in range(3):
            tree = top.tree()
            tree.render()
            tree.to_json()
            tree.to_dot()
        after = [
            [(cell.messages, len(cell.user), len(cell.control)) for cell in cells],
            len(host.ready), asyncio.all_tasks(), len(loop._scheduled), len(loop._ready),
        ]  # fmt: skip
        assert after == before


class Secretive(Worker):
    """What it was made with is nobody's business."""

    def __init__(self, password: str) -> None:
        super().__init__()
        self.password = password

    @handles(str)
    async def hold(self, message: str) -> None:
        await asyncio.sleep(len(message) * 1000)


def test_no_argument_no_message_and_no_local_variable_is_shown() -> None:
    secret = "hunter2-correct-horse"

    async def main() -> None:
        spec = ChildSpec("w", Secretive, args=(secret,))
        async with Supervisor([spec], name="app") as top:
            for _ in range(3):
                top.child("w").tell(secret)
            await asyncio.sleep(1)
            tree = top.tree()
            assert at(tree, "app/w").current == Turn("str", 1.0)
            for text in (tree.render(), tree.to_json(), tree.to_dot(), repr(tree)):
                assert secret not in text
                assert re.search("Secretive|app/w", text)
            await top.stop(timeout=0)

    run(main())


@pytest.mark.parametrize("failures", [0, 1, 9, 10])
def test_what_changes_while_it_is_read_is_read_again(failures: int) -> None:
    """As when a thread goes through a dict that the loop adds to."""
    left = [RuntimeError("dictionary changed size during iteration")] * failures
    node = Node("app", "Supervisor", "running")

    def build() -> Node:
        if left:
            raise left.pop()
        return node

    if failures < 10:
        assert steadily(build) is node
    else:
        with pytest.raises(RuntimeError, match="changed size"):
            steadily(build)
    assert left == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_it_can_be_had_from_a_thread(moment: str) -> None:
    async def main() -> None:
        top = Supervisor([ChildSpec("w", Worker)], name="app")
        if moment == "after":
            await top.start()
        with asyncio.get_running_loop().real_work():  # type: ignore[attr-defined]
            tree = await asyncio.to_thread(top.tree)
        assert tree.path == "app"
        assert len(tree.children) == (moment == "after")
        await top.stop()

    run(main())
