"""Administration: children are added, started, stopped, deleted, listed and counted by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources.errors import ChildRefused, InvalidSpec, NotStarted, StartFailed
from pepperpy_resources.supervision import (
    Backoff,
    ChildCount,
    ChildSpec,
    Intensity,
    Supervisor,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    End,
    Fail,
    Say,
    Script,
    now,
    outcome,
    phases,
    running,
    settled,
)

CRASH = Fail(Boom("x"))
LONG = Backoff(min=50, max=100, jitter=0)


async def refused(work: Awaitable[Any]) -> str:
    """Return OTP's word for why an order was refused."""
    with pytest.raises(ChildRefused) as caught:
        await work
    return caught.value.why


async def crash_into_backoff(supervisor: Supervisor, name: str) -> None:
    """Let a child fail twice: the first restart is made at once."""
    for _ in range(2):
        supervisor.child(name).tell(CRASH)
        await settled()
    assert (await phases(supervisor))[name] == "waiting"


# -- start_child


def test_19_starting_a_child_whose_id_runs_is_refused_and_changes_nothing() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab")) as supervisor:
            script.take()
            with pytest.raises(ChildRefused, match="'a'.*runs: use another id") as caught:
                await supervisor.start_child(script.child("a", restart="temporary"))
            assert caught.value.why == "already_started"
            assert script.log == []
            assert await supervisor.child("a").ask(Say("me")) == "me"

    run(main())


@pytest.mark.parametrize("phase", ["starting", "waiting", "stopping"])
def test_19_a_child_that_is_about_to_run_or_to_end_counts_as_running(phase: str) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a", shutdown=9), backoff=LONG) as supervisor:
            if phase == "starting":
                script.on_start["a"] = [20.0]
                supervisor.child("a").tell(CRASH)
            elif phase == "waiting":
                await crash_into_backoff(supervisor, "a")
            else:
                script.on_stop["a"] = [5.0]
                task = asyncio.create_task(supervisor.terminate_child("a"))
            await settled()
            assert (await phases(supervisor))["a"] == phase
            assert await refused(supervisor.start_child(script.child("a"))) == "already_started"
            if phase == "stopping":
                await task

    run(main())


def test_20_starting_a_child_whose_id_is_stopped_is_refused() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab")) as supervisor:
            await supervisor.terminate_child("a")
            with pytest.raises(
                ChildRefused, match=r"restart_child\(\) or delete_child\(\)"
            ) as caught:
                await supervisor.start_child(script.child("a"))
            assert caught.value.why == "already_present"

    run(main())


def test_20_so_it_is_when_it_ended_by_itself_or_was_parked() -> None:
    script = Script()

    async def main() -> None:
        flags: dict[str, Any] = {"budget_scope": "child", "intensity": Intensity(0)}
        async with running(script.children("ab", restart="transient"), **flags) as supervisor:
            supervisor.child("a").tell(End())
            supervisor.child("b").tell(CRASH)
            await settled()
            assert await phases(supervisor) == {"a": "down", "b": "parked"}
            for name in "ab":
                answer = await refused(supervisor.start_child(script.child(name)))
                assert answer == "already_present"

    run(main())


def test_20_an_id_is_free_again_once_its_child_is_deleted_or_temporary_and_ended() -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a"), script.child("b", restart="temporary")]
        async with running(children) as supervisor:
            await supervisor.terminate_child("a")
            await supervisor.delete_child("a")
            supervisor.child("b").tell(End())
            await settled()
            script.take()
            for name in "ba":
                await supervisor.start_child(script.child(name))
            assert script.take() == ["start b", "start a"]
            assert await phases(supervisor) == {"b": "up", "a": "up"}

    run(main())


def test_20_a_child_that_does_not_come_up_is_not_kept_and_nobody_else_notices() -> None:
    script, error = Script(), Boom("no")
    script.on_start["c"] = [error]

    async def main() -> None:
        async with running(script.children("ab"), intensity=Intensity(0)) as supervisor:
            script.take()
            with pytest.raises(StartFailed, match=r"'c'.*Boom: no") as caught:
                await supervisor.start_child(script.child("c"))
            assert caught.value.__cause__ is error
            assert await phases(supervisor) == {"a": "up", "b": "up"}
            assert script.log == []
            await supervisor.start_child(script.child("c"))
            assert script.log == ["start c"]

    run(main())


def test_20_a_start_by_hand_has_its_deadline_too() -> None:
    script = Script()
    script.on_start["a"] = [FOREVER]

    async def main() -> None:
        async with running() as supervisor:
            began = now()
            with pytest.raises(StartFailed, match="did not start within 2 s"):
                await supervisor.start_child(script.child("a", start_timeout=2))
            assert now() == began + 2
            assert await phases(supervisor) == {}

    run(main())


# -- restart_child


def test_21_restarting_a_child_by_hand_starts_one_that_is_down() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab")) as supervisor:
            await supervisor.terminate_child("a")
            handle = supervisor.child("a")
            assert await supervisor.restart_child("a") == handle  # the handle stays
            assert await handle.ask(Say("back")) == "back"

    run(main())
    assert script.log[2:5] == ["stop a", "start a", "a: back"]


def test_21_it_is_refused_for_one_that_runs_waits_or_is_not_there() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab"), backoff=LONG) as supervisor:
            await crash_into_backoff(supervisor, "b")
            assert await refused(supervisor.restart_child("a")) == "running"
            assert await refused(supervisor.restart_child("b")) == "restarting"
            assert await refused(supervisor.restart_child("c")) == "not_found"
            began = now()
            while (await phases(supervisor))["b"] != "up":
                await asyncio.sleep(1)
            assert now() == began + 50  # nothing was made sooner

    run(main())


def test_21_a_restart_that_fails_leaves_the_child_down() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab"), intensity=Intensity(0)) as supervisor:
            await supervisor.terminate_child("a")
            script.on_start["a"] = [Boom("no")]
            with pytest.raises(StartFailed, match="'a'"):
                await supervisor.restart_child("a")
            assert await phases(supervisor) == {"a": "down", "b": "up"}
            await supervisor.restart_child("a")

    run(main())


def test_21_a_restart_by_hand_costs_no_budget() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a"), intensity=Intensity(1, 1000)) as supervisor:
            for _ in range(5):
                await supervisor.terminate_child("a")
                await supervisor.restart_child("a")
            supervisor.child("a").tell(CRASH)
            await settled()
            assert await phases(supervisor) == {"a": "up"}

    run(main())


# -- delete_child


def test_22_deleting_a_child_drops_the_spec_of_one_that_is_down() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab")) as supervisor:
            await supervisor.terminate_child("a")
            await supervisor.delete_child("a")
            assert await phases(supervisor) == {"b": "up"}
            with pytest.raises(ChildRefused, match="has no child 'a'; it has 'b'"):
                supervisor.child("a")
            assert await refused(supervisor.restart_child("a")) == "not_found"

    run(main())


def test_22_it_is_refused_for_one_that_runs_waits_or_is_not_there() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab"), backoff=LONG) as supervisor:
            await crash_into_backoff(supervisor, "b")
            assert await refused(supervisor.delete_child("a")) == "running"
            assert await refused(supervisor.delete_child("b")) == "restarting"
            assert await refused(supervisor.delete_child("c")) == "not_found"
            assert list(await phases(supervisor)) == ["a", "b"]

    run(main())


# -- terminate_child


def test_23_terminating_a_child_stops_it_and_keeps_its_spec() -> None:
    script = Script()
    script.on_stop["a"] = [3.0]

    async def main() -> None:
        async with running(script.children("abc")) as supervisor:
            began = now()
            await supervisor.terminate_child("a")
            assert now() == began + 3
            await asyncio.sleep(100)
            assert await phases(supervisor) == {"a": "down", "b": "up", "c": "up"}
            assert script.log[3:] == ["stop a"]

    run(main())


def test_23_terminating_a_stopped_one_is_fine_and_one_that_is_not_there_is_not() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            for _ in range(3):
                await supervisor.terminate_child("a")
            assert await refused(supervisor.terminate_child("b")) == "not_found"
            assert script.take() == ["start a", "stop a"]

    run(main())


def test_23_terminating_twice_at_once_waits_for_the_one_end() -> None:
    script = Script()
    script.on_stop["a"] = [3.0]

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            began = now()
            await asyncio.gather(*(supervisor.terminate_child("a") for _ in range(3)))
            assert now() == began + 3

    run(main())


def test_23_one_that_waits_for_its_restart_does_not_come_back() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab"), backoff=LONG) as supervisor:
            await crash_into_backoff(supervisor, "b")
            await supervisor.terminate_child("b")
            script.take()
            await asyncio.sleep(500)
            assert await phases(supervisor) == {"a": "up", "b": "down"}
            assert script.log == []
            await supervisor.delete_child("b")

    run(main())


def test_23_a_temporary_one_is_gone_with_its_spec() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a", restart="temporary")) as supervisor:
            await supervisor.terminate_child("a")
            assert await phases(supervisor) == {}
            assert await refused(supervisor.terminate_child("a")) == "not_found"

    run(main())


def test_23_one_that_is_still_starting_is_broken_off_and_its_starter_is_told() -> None:
    script = Script()
    script.on_start["a"] = [50.0]

    async def main() -> None:
        async with running() as supervisor:
            began = now()
            start = asyncio.create_task(outcome(supervisor.start_child(script.child("a"))))
            await asyncio.sleep(1)
            await supervisor.terminate_child("a")
            assert isinstance(await start, StartFailed)
            assert now() == began + 1
            assert script.log == []

    run(main())


# -- the others


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
            await supervisor.restart_child("b") if False else None
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


Order = Callable[[Supervisor, ChildSpec], Awaitable[Any]]
ORDERS: dict[str, Order] = {
    "start": lambda supervisor, spec: supervisor.start_child(spec),
    "restart": lambda supervisor, spec: supervisor.restart_child("a"),
    "terminate": lambda supervisor, spec: supervisor.terminate_child("a"),
    "delete": lambda supervisor, spec: supervisor.delete_child("a"),
    "which": lambda supervisor, spec: supervisor.which_children(),
    "count": lambda supervisor, spec: supervisor.count_children(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_23_before_the_start_orders_are_refused(order: str) -> None:
    async def main() -> None:
        supervisor = Supervisor()
        with pytest.raises(NotStarted, match="async with"):
            await ORDERS[order](supervisor, Script().child("b"))

    run(main())


@pytest.mark.parametrize("order", ["start", "restart", "terminate", "delete"])
def test_23_while_it_stops_orders_are_refused(order: str) -> None:
    script = Script()
    script.on_stop["a"] = [3.0]

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            stop = asyncio.create_task(supervisor.stop())
            await settled()
            assert await refused(ORDERS[order](supervisor, script.child("b"))) == "stopping"
            await stop
        assert script.log == ["start a", "stop a"]

    run(main())


def test_19_what_cannot_be_a_child_is_refused() -> None:
    script = Script()
    significant = script.child("b", restart="transient", significant=True)

    async def main() -> None:
        async with running(script.children("a")) as supervisor:
            for given, said in (
                (None, "not NoneType"), ("b", "not str"), (Supervisor(), "not Supervisor"),
                (significant, "significant must be False where"),
            ):  # fmt: skip
                with pytest.raises(InvalidSpec, match=said):
                    await supervisor.start_child(given)
            assert await phases(supervisor) == {"a": "up"}

    run(main())
