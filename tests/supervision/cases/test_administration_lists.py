"""Administration: children are listed and counted, in the order of their start."""

from __future__ import annotations

import pytest

from pepperpy_resources.supervision import (
    ChildCount,
    ChildSpec,
    Supervisor,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Script,
    phases,
    running,
    settled,
)
from tests.supervision.cases.orders import CRASH, LONG, crash_into_backoff


def test_24_an_added_child_is_listed_counted_and_restarted_like_the_others() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("b")) as supervisor:
            handle = await supervisor.start_child(script.child("a"))
            assert list(await phases(supervisor)) == ["b", "a"]
            assert await supervisor.count_children() == ChildCount(2, 2, 0, 2)
            handle.tell(CRASH)
            await settled()
            info = (await supervisor.which_children())[1]
            assert (info.id, info.phase, info.restarts) == ("a", "up", 1)
            assert info.exit is not None
            assert (info.exit.kind, info.exit.message) == ("failure", "Fail")
            assert [node.path for node in supervisor.tree().children] == ["top/b", "top/a"]

    run(main())
    assert script.log == ["start b", "start a", "start a", "stop a", "stop b"]


def test_24_an_added_supervisor_brings_its_children() -> None:
    script = Script()
    below = Supervisor(script.children("xy"))

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            handle = await supervisor.start_child(ChildSpec("below", below))
            assert handle == supervisor.supervisor("below")
            assert await phases(supervisor, "below") == {"x": "up", "y": "up"}
            await supervisor.supervisor("below").start_child(script.child("z"))
            await supervisor.terminate_child("below")
            await supervisor.restart_child("below")  # with the children it was made with
            assert await phases(supervisor, "below") == {"x": "up", "y": "up"}

    run(main())
    assert script.log == [
        "start a", "start x", "start y", "start z", "stop z", "stop y", "stop x",
        "start x", "start y", "stop y", "stop x", "stop a",
    ]  # fmt: skip


def test_25_the_count_tells_specs_running_children_supervisors_and_workers() -> None:
    script = Script()

    async def main() -> None:
        children = [
            *script.children("abc"),
            ChildSpec("s", Supervisor([script.child("x")])),
            ChildSpec("t", Supervisor()),
        ]
        async with running(children, backoff=LONG) as supervisor:
            assert await supervisor.count_children() == ChildCount(5, 5, 2, 3)
            await supervisor.terminate_child("a")
            await supervisor.terminate_child("s")
            assert await supervisor.count_children() == ChildCount(5, 3, 2, 3)
            await crash_into_backoff(supervisor, "b")
            assert await supervisor.count_children() == ChildCount(5, 2, 2, 3)
            await supervisor.delete_child("s")
            assert await supervisor.count_children() == ChildCount(4, 2, 1, 3)
            await supervisor.delete_child("a")
            assert await supervisor.count_children() == ChildCount(3, 2, 1, 2)

    run(main())


def test_25_an_empty_supervisor_counts_nothing() -> None:
    async def main() -> None:
        async with running() as supervisor:
            assert await supervisor.count_children() == ChildCount(0, 0, 0, 0)

    run(main())


@pytest.mark.parametrize("order", ["zebra", "bca", "91a5", "é1Z_a"])
def test_26_start_order_is_list_order_and_stop_order_its_exact_reverse(order: str) -> None:
    script = Script()

    async def main() -> None:
        ids = [f"{char}{number}" for number, char in enumerate(order)]
        async with running(script.children(ids)) as supervisor:
            assert script.take() == [f"start {name}" for name in ids]
            assert [info.id for info in await supervisor.which_children()] == ids
        assert script.log == [f"stop {name}" for name in reversed(ids)]

    run(main())


def test_26_a_child_added_by_hand_is_the_last_and_one_restarted_keeps_its_place() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("cb")) as supervisor:
            await supervisor.start_child(script.child("a"))
            supervisor.child("c").tell(CRASH)
            await supervisor.terminate_child("b")
            await supervisor.restart_child("b")
            await settled()
            assert list(await phases(supervisor)) == ["c", "b", "a"]
            script.take()
        assert script.log == ["stop a", "stop b", "stop c"]

    run(main())
