"""The supervision tree as data, text and JSON."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import msgspec

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.observe.node import Exit, Node, TicketNode
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import Fleet, outcome, private, serving, settled


def line_here() -> int:
    """Return the line of the caller."""
    return sys._getframe(1).f_lineno


def walk(node: Node) -> list[Node]:
    return [node, *(below for child in node.children for below in walk(child))]


class Scene:
    """Two types: db with two leases, a waiter and a crash, llm with one key and a failed check."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.reporter_line = 0
        self.batch_line = 0

    async def report(self, manager: DefaultResourceManager) -> None:
        self.reporter_line = line_here() + 1
        async with manager.lease("db"):
            await asyncio.sleep(3600)

    async def batch(self, manager: DefaultResourceManager) -> None:
        self.batch_line = line_here() + 1
        await manager.acquire("db:b", owner="nightly batch")

    async def set(self, manager: DefaultResourceManager) -> list[asyncio.Task[Any]]:
        reporter = asyncio.create_task(self.report(manager), name="reporter")
        await settled()
        crash(manager, "db")
        await asyncio.sleep(1)
        await self.batch(manager)
        await asyncio.sleep(0.25)
        waiter = asyncio.create_task(outcome(manager.acquire("db:c")))
        await manager.acquire("llm:small")
        await manager.release("llm:small")
        await asyncio.sleep(0.25)
        return [reporter, waiter]


def specs(fleet: Fleet) -> list[Any]:
    return [fleet.spec("db", max_size=2), fleet.spec("llm", keyed=True, max_size=None)]


async def ended(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_nodes_in_the_order_of_their_start() -> None:
    async def main() -> None:
        scene = Scene()
        async with serving(*specs(scene.fleet), name="app") as manager:
            tasks = await scene.set(manager)
            tree = manager.tree()
            assert [(node.path, node.kind, node.status) for node in walk(tree)] == [
                ("app", "ResourceManager", "running"),
                ("root", "RootSupervisor", "running"),
                ("metrics", "MetricsActor", "running"),
                ("db", "ResourceSupervisor", "running"),
                ("llm", "ResourceSupervisor", "running"),
                ("janitor", "Janitor", "running"),
            ]
            db, llm = walk(tree)[3:5]
            assert (db.restarts, db.restarts_left, db.incarnation) == (1, 2, 2)
            error = "InjectedCrash: a crash was injected"
            assert db.last_exit == Exit("failure", 1.5, error=error, message="Crash")
            assert db.uptime == 1.5
            assert (llm.restarts, llm.restarts_left, llm.last_exit) == (0, 3, None)
            assert db.mailbox == 0
            assert db.resources is not None
            assert (db.resources.max_size, db.resources.slots) == (2, {"leased": 2})
            assert (db.resources.opened, db.resources.closed, db.resources.acquired) == (2, 0, 2)
            assert (db.resources.waiting, db.resources.oldest_wait) == (1, 0.25)
            assert db.resources.leased == 2
            assert db.resources.queue == [TicketNode("db:c", 0.25, 29.75, "")]
            held = [
                (lease.resource_id, lease.age, lease.owner, lease.site)
                for lease in db.resources.leases
            ]
            assert held == [
                (
                    "db",
                    1.5,
                    "task 'reporter'",
                    f"{__file__}:{scene.reporter_line} in report",
                ),
                ("db:b", 0.5, "nightly batch", f"{__file__}:{scene.batch_line} in batch"),
            ]
            assert llm.resources is not None
            assert (llm.resources.max_size, llm.resources.slots) == (None, {"idle": 1})
            await ended(tasks)

    run(main())


def golden(scene: Scene) -> str:
    return f"""\
ResourceManager app [running]
└─ RootSupervisor root [running]  one_for_one  children restarted 1  messages N  up 1.5 s
   ├─ MetricsActor metrics [running]  messages N  restarts 0 (left 3)  up 1.5 s
   ├─ ResourceSupervisor db [running]  messages N  restarts 1 (left 2)  incarnation 2  up 1.5 s
   │     slots: 2 leased (at most 2); opened 2, closed 0
   │     leases granted: 2; waiting: 1 (oldest 0.250 s)
   │     lease db 1.500 s by task 'reporter' at {__file__}:{scene.reporter_line} in report
   │     lease db:b 0.500 s by nightly batch at {__file__}:{scene.batch_line} in batch
   │     waits db:c 0.250 s, gives up in 29.750 s
   │     last exit: failure 1.5 s ago: InjectedCrash: a crash was injected in Crash
   ├─ ResourceSupervisor llm [running]  messages N  restarts 0 (left 3)  up 1.5 s
   │     slots: 1 idle (no limit); opened 1, closed 0
   │     leases granted: 1; waiting: 0
   └─ Janitor janitor [running]  messages N  restarts 0 (left 3)  up 1.5 s"""


def test_the_text() -> None:
    async def main() -> None:
        scene = Scene()
        async with serving(*specs(scene.fleet), name="app") as manager:
            tasks = await scene.set(manager)
            tree = manager.tree()
            shown = re.sub(r"messages \d+", "messages N", tree.render())
            assert shown == golden(scene)
            assert str(tree) == tree.render()
            fewer = tree.render(leases=1)
            assert "lease db:b" not in fewer
            assert "… and 1 more leases" in fewer
            await ended(tasks)

    run(main())


def test_json_there_and_back() -> None:
    async def main() -> None:
        scene = Scene()
        async with serving(*specs(scene.fleet), name="app") as manager:
            tasks = await scene.set(manager)
            tree = manager.tree()
            assert msgspec.json.decode(tree.to_json(), type=Node) == tree
            plain = msgspec.json.decode(tree.to_json())
            assert plain["children"][0]["children"][1]["resources"]["slots"] == {"leased": 2}
            await ended(tasks)

    run(main())


def test_before_the_start_and_after_the_stop() -> None:
    async def main() -> None:
        manager = DefaultResourceManager([Fleet().spec()], name="app", metrics=private())
        assert manager.tree().render() == "ResourceManager app [new]"
        await manager.start()
        await manager.stop()
        tree = manager.tree()
        assert tree.status == "stopped"
        assert {node.status for node in walk(tree)} == {"stopped"}
        assert msgspec.json.decode(tree.to_json(), type=Node) == tree

    run(main())


def test_a_parked_type_and_a_failing_factory_show_why() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise ConnectionRefusedError("db.example:5432")

        fleet = Fleet()
        from_fail = fleet.spec("db")
        broken = type(from_fail)("web", factory=fail)
        async with serving(from_fail, broken, name="app") as manager:
            await outcome(manager.acquire("web:a", timeout=0.05))
            for _ in range(4):
                crash(manager, "db")
                await settled()
            text = manager.tree().render()
            assert "ResourceSupervisor db [failed]" in text
            assert "restarts 3 (left -1)" not in text
            assert "restarts 3 (left 0)" in text
            assert "last error: open: ConnectionRefusedError: db.example:5432" in text

    run(main())


def test_it_can_be_had_from_a_thread_while_the_loop_stands_still() -> None:
    async def main() -> None:
        scene = Scene()
        async with serving(*specs(scene.fleet), name="app") as manager:
            tasks = await scene.set(manager)
            async with asyncio.timeout(10):
                loop = asyncio.get_running_loop()
                with loop.real_work():  # type: ignore[attr-defined]
                    there = await asyncio.to_thread(manager.tree)
            assert [node.path for node in walk(there)] == [
                node.path for node in walk(manager.tree())
            ]
            await ended(tasks)

    run(main())
