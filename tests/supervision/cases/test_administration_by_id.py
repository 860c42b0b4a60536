"""Administration: children are restarted, stopped and deleted by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources.errors import ChildRefused, InvalidSpec, NotStarted, StartFailed
from pepperpy_resources.supervision import (
    ChildSpec,
    Intensity,
    Supervisor,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Say,
    Script,
    now,
    outcome,
    phases,
    running,
    settled,
)
from tests.supervision.cases.orders import CRASH, LONG, crash_into_backoff, refused

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
            await asyncio.sleep(49)
            assert (await phases(supervisor))["b"] == "waiting"  # nothing was made sooner
            await asyncio.sleep(1)
            await settled()
            assert (await phases(supervisor))["b"] == "up"

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
