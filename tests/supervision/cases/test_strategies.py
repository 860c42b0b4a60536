"""Strategies: who is restarted with a child that failed, in which order."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.supervision import (
    ChildSpec,
    ExitKind,
    Intensity,
    Supervisor,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Player,
    Say,
    Script,
    Stubborn,
    incarnations,
    now,
    phases,
    running,
    settled,
)

UP = dict.fromkeys("abcd", "up")


async def crash(supervisor: Supervisor, name: str) -> None:
    supervisor.child(name).tell(Fail(Boom(name)))
    await settled()


@pytest.mark.parametrize("name", "abcd")
def test_32_one_for_one_changes_only_the_failed_childs_incarnation(name: str) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("abcd")) as top:
            script.take()
            await crash(top, name)
            assert script.take() == [f"start {name}"]
            assert incarnations(top) == {**dict.fromkeys("abcd", 1), name: 2}
            assert await phases(top) == UP

    run(main())


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("a", ["stop d", "stop c", "stop b", "start a", "start b", "start c", "start d"]),
        ("b", ["stop d", "stop c", "start b", "start c", "start d"]),
        ("d", ["start d"]),
    ],
)
def test_33_rest_for_one_keeps_the_earlier_ones(name: str, log: list[str]) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("abcd"), strategy="rest_for_one") as top:
            script.take()
            await crash(top, name)
            assert script.take() == log
            kept = {each: 1 for each in "abcd" if each < name}
            assert incarnations(top) == {**dict.fromkeys("abcd", 2), **kept}
            assert await phases(top) == UP

    run(main())


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("a", ["stop d", "stop c", "stop b"]),
        ("b", ["stop d", "stop c", "stop a"]),
        ("d", ["stop c", "stop b", "stop a"]),
    ],
)
def test_34_one_for_all_replaces_all(name: str, stops: list[str]) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("abcd"), strategy="one_for_all") as top:
            script.take()
            await crash(top, name)
            assert script.take() == [*stops, *(f"start {each}" for each in "abcd")]
            assert incarnations(top) == dict.fromkeys("abcd", 2)
            assert await phases(top) == UP

    run(main())


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_34_a_group_waits_for_each_stop_and_each_start(strategy: str) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("abc"), strategy=strategy) as top:
            script.take()
            script.on_stop |= {"b": [2.0], "c": [1.0]}
            script.on_start |= {"a": [3.0], "b": [4.0]}
            await crash(top, "a")
            seen: list[tuple[float, list[str]]] = []
            for _ in range(11):
                await asyncio.sleep(1)
                await settled()
                seen.append((len(seen) + 1, script.take()))
            assert [(at, log) for at, log in seen if log] == [
                (1, ["stop c"]),
                (3, ["stop b"]),
                (6, ["start a"]),
                (10, ["start b", "start c"]),
            ]

    run(main())


def test_34_two_failures_at_once_make_one_restart_of_the_group() -> None:
    script = Script()

    async def main() -> None:
        flags = {"strategy": "one_for_all", "intensity": Intensity(1, 60.0)}
        async with running(script.children("abcd"), **flags) as top:
            script.take()
            top.child("b").tell(Fail(Boom("b")))
            top.child("d").tell(Fail(Boom("d")))
            await settled()
            # d was about to be stopped for b's sake when it failed: it had to end anyway
            assert await phases(top) == UP
            assert script.take()[-4:] == ["start a", "start b", "start c", "start d"]
            assert top.tree().children_restarts == 1

    run(main())


def test_35_one_for_all_where_another_child_refuses_to_start_is_tried_again_as_a_whole() -> None:
    script = Script()

    async def main() -> None:
        flags = {"strategy": "one_for_all", "intensity": Intensity(3, 60.0), "backoff": None}
        async with running(script.children("abc"), **flags) as top:
            script.take()
            script.on_start["b"] = [Boom("not yet"), Boom("not yet")]
            await crash(top, "c")
            assert script.take() == [
                *["stop b", "stop a"],
                *["start a", "stop a"],  # b refuses
                *["start a", "stop a"],  # and again
                *["start a", "start b", "start c"],
            ]
            assert await phases(top) == dict.fromkeys("abc", "up")
            assert top.tree().children_restarts_left == 0  # the crash and two refusals

    run(main())


def test_35_the_first_child_of_the_group_refuses() -> None:
    script = Script()

    async def main() -> None:
        flags = {"strategy": "one_for_all", "intensity": Intensity(2, 60.0), "backoff": None}
        async with running(script.children("abc"), **flags) as top:
            script.take()
            script.on_start["a"] = [Boom("not yet")]
            await crash(top, "c")
            assert script.take() == ["stop b", "stop a", "start a", "start b", "start c"]
            assert top.tree().children_restarts_left == 0

    run(main())


def test_36_rest_for_one_retries_from_the_refusing_child_only() -> None:
    script = Script()

    async def main() -> None:
        flags = {"strategy": "rest_for_one", "intensity": Intensity(3, 60.0), "backoff": None}
        async with running(script.children("abcd"), **flags) as top:
            script.take()
            script.on_start["c"] = [Boom("not yet"), Boom("not yet")]
            await crash(top, "b")
            assert script.take() == ["stop d", "stop c", "start b", "start c", "start d"]
            assert await phases(top) == UP
            assert incarnations(top) == {"a": 1, "b": 2, "c": 4, "d": 2}
            assert top.tree().children_restarts_left == 0

    run(main())


@pytest.mark.parametrize(
    ("strategy", "stopped", "comes_back"),
    [("one_for_all", "a", True), ("one_for_all", "c", True), ("rest_for_one", "c", True),
     ("rest_for_one", "a", False), ("one_for_one", "c", False)],
)  # fmt: skip
def test_37_hand_stopped_children_come_back_in_a_group_restart(
    strategy: str, stopped: str, *, comes_back: bool
) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("abc"), strategy=strategy) as top:
            handle = top.child(stopped)
            await top.terminate_child(stopped)
            await crash(top, "b")
            phase = "up" if comes_back else "down"
            assert await phases(top) == {**dict.fromkeys("abc", "up"), stopped: phase}
            if comes_back:
                assert await handle.ask(Say("back")) == "back"

    run(main())


def test_37_so_do_transient_ones_that_were_done() -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a"), script.child("b", restart="transient")]
        async with running(children, strategy="one_for_all") as top:
            top.child("b").stop()
            await settled()
            assert await phases(top) == {"a": "up", "b": "down"}
            await crash(top, "a")
            assert await phases(top) == {"a": "up", "b": "up"}

    run(main())


def dynamic(script: Script, **fields: object) -> list[ChildSpec]:
    return [ChildSpec("w", Player, args=(script,), **fields)]  # type: ignore[arg-type]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_38_of_a_dynamic_type_one_is_replaced_and_the_others_are_untouched(restart: str) -> None:
    script = Script()

    async def main() -> None:
        children = dynamic(script, restart=restart)
        async with running(children, strategy="simple_one_for_one") as top:
            assert await phases(top) == {}
            for _ in range(3):
                await top.start_child()
            await top.start_child(child_id="w-4")
            assert await phases(top) == dict.fromkeys(["w-1", "w-2", "w-3", "w-4"], "up")
            script.take()
            await crash(top, "w-2")
            if restart == "temporary":
                assert script.take() == []
                assert incarnations_up(top) == {"w-1": 1, "w-3": 1, "w-4": 1}
            else:
                assert script.take() == ["start w-2"]
                assert incarnations(top) == {"w-1": 1, "w-2": 2, "w-3": 1, "w-4": 1}
            fresh = await top.start_child()
            assert fresh.path == "top/w-5"

    run(main())


def incarnations_up(top: Supervisor) -> dict[str, int]:
    """Leave out those that are gone and still shown."""
    return {name: number for name, number in incarnations(top).items() if number}


class Echo(Player):
    """Says what it was made with."""

    def __init__(self, script: Script, *args: object, **kwargs: object) -> None:
        super().__init__(script)
        self.note(f"made with {args} {kwargs}")


def test_38_each_is_made_anew_with_its_own_arguments() -> None:
    script = Script()

    async def main() -> None:
        children = [ChildSpec("w", Echo, args=(script, 1), kwargs={"x": 1})]
        async with running(children, strategy="simple_one_for_one") as top:
            await top.start_child(2, y=2)
            await top.start_child(3, x=3)
            script.take()
            await crash(top, "w-2")
            await crash(top, "w-1")
            assert [line for line in script.take() if "made" in line] == [
                "made with (1, 3) {'x': 3}",
                "made with (1, 2) {'x': 1, 'y': 2}",
            ]

    run(main())


def test_38_its_budget_is_shared() -> None:
    script = Script()

    async def main() -> None:
        flags = {"strategy": "simple_one_for_one", "intensity": Intensity(2, 60.0)}
        async with running(dynamic(script), **flags) as top:
            for _ in range(3):
                await top.start_child()
            for name in ("w-1", "w-2"):
                await crash(top, name)
            assert top.tree().children_restarts_left == 0
            await crash(top, "w-3")
            assert (await top.wait()).kind is ExitKind.FAILURE

    run(main())


def test_39_the_children_of_a_dynamic_type_stop_at_once_under_one_deadline() -> None:
    script = Script()

    async def main() -> None:
        children = dynamic(script, shutdown=5.0)
        async with running(children, strategy="simple_one_for_one") as top:
            for n in range(100):
                await top.start_child()
                script.on_stop[f"w-{n + 1}"] = [4.0]
            began = now()
            await top.stop()
            assert now() == began + 4
            assert sum(line.startswith("stop") for line in script.log) == 100

    run(main())


def test_39_who_ignores_it_is_killed_at_that_one_deadline() -> None:
    script = Script()

    async def main() -> None:
        children = dynamic(script, shutdown=5.0)
        top = Supervisor(children, strategy="simple_one_for_one", name="top")
        await top.start()
        for n in range(10):
            await top.start_child()
            script.on_stop[f"w-{n + 1}"] = [Stubborn(20.0) if n % 2 else 1.0]
        began = now()
        await top.stop()
        assert now() == began + 5
        assert sum(line.startswith("stop") for line in script.log) == 5
        await asyncio.sleep(20)  # the abandoned tasks end

    run(main())
