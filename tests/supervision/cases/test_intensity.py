"""Intensity: how many restarts within which time, and what follows one more failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.supervision import (
    Backoff,
    ChildSpec,
    Exit,
    ExitKind,
    Intensity,
    Supervisor,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Player,
    Script,
    incarnations,
    now,
    outcome,
    phases,
    running,
    settled,
)

AT_ONCE: dict[str, Any] = {"backoff": None}


async def crash(supervisor: Supervisor, name: str) -> None:
    supervisor.child(name).tell(Fail(Boom(name)))
    await settled()


async def given_up(supervisor: Supervisor) -> Exit:
    """Return how it ended, which it has by now."""
    async with asyncio.timeout(0.001):
        return await supervisor.wait()


@pytest.mark.parametrize("permitted", [1, 2, 5])
def test_40_as_many_restarts_as_permitted_pass_and_one_more_failure_escalates(
    permitted: int,
) -> None:
    script = Script()

    async def main() -> None:
        flags = {"intensity": Intensity(permitted, 10.0), **AT_ONCE}
        async with running(script.children("abc"), **flags) as top:
            for n in range(permitted):
                await crash(top, "abc"[n % 3])  # all together have this budget
            assert await phases(top) == dict.fromkeys("abc", "up")
            script.take()
            await crash(top, "b")
            assert script.take() == ["stop c", "stop a"]  # in reverse order
            exit_ = await given_up(top)
            assert exit_.kind is ExitKind.FAILURE
            assert f"'b' failed more than {permitted} times in 10 s" in exit_.reason
            assert isinstance(exit_.error, Boom)
            assert top.tree().status == "failed"

    run(main())


@pytest.mark.parametrize(("pause", "escalates"), [(10.0, True), (10.001, False)])
def test_40_the_edge_of_the_window_belongs_to_it(pause: float, *, escalates: bool) -> None:
    script = Script()

    async def main() -> None:
        flags = {"intensity": Intensity(2, 10.0), **AT_ONCE}
        async with running(script.children("ab"), **flags) as top:
            await crash(top, "a")
            await crash(top, "a")
            await asyncio.sleep(pause)
            await crash(top, "a")
            assert top.tree().status == ("failed" if escalates else "running")

    run(main())


def test_41_crashes_spaced_wider_than_the_period_never_escalate() -> None:
    script = Script()

    async def main() -> None:
        flags = {"intensity": Intensity(1, 10.0), **AT_ONCE}
        async with running(script.children("ab"), **flags) as top:
            for n in range(50):
                await crash(top, "ab"[n % 2])
                await asyncio.sleep(10.001)
            assert incarnations(top) == {"a": 26, "b": 26}

    run(main())


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_42_intensity_zero_escalates_at_the_first_failure(strategy: str) -> None:
    script = Script()

    async def main() -> None:
        async with running(
            script.children("abc"), intensity=Intensity(0, 10.0), strategy=strategy
        ) as top:
            script.take()
            await crash(top, "b")
            assert script.take() == ["stop c", "stop a"]
            assert (await given_up(top)).kind is ExitKind.FAILURE

    run(main())


def test_43_a_restart_that_fails_counts() -> None:
    script = Script()

    async def main() -> None:
        flags = {"intensity": Intensity(3, 10.0), **AT_ONCE}
        async with running(script.children("ab"), **flags) as top:
            script.take()
            script.on_start["a"] = [Boom(f"attempt {n}") for n in range(1, 9)]
            await crash(top, "a")
            # the crash, and three attempts: the fourth failure
            exit_ = await given_up(top)
            assert str(exit_.error) == "attempt 3"
            assert script.take() == ["stop b"]
            assert len(script.on_start["a"]) == 5

    run(main())


def test_43_a_start_by_hand_that_fails_is_its_askers_trouble_and_counts_for_nothing() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab"), intensity=Intensity(0, 10.0)) as top:
            await top.terminate_child("a")
            script.on_start["a"] = [Boom("no"), Boom("no")]
            for _ in range(2):
                with pytest.raises(Exception, match="no"):
                    await top.restart_child("a")
            await top.restart_child("a")
            assert await phases(top) == {"a": "up", "b": "up"}

    run(main())


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_44_a_group_counts_once(strategy: str) -> None:
    script = Script()

    async def main() -> None:
        flags = {"intensity": Intensity(2, 10.0), "strategy": strategy, **AT_ONCE}
        async with running(script.children("abcdef"), **flags) as top:
            for left in (1, 0):
                await crash(top, "a")
                assert top.tree().children_restarts_left == left
            assert await phases(top) == dict.fromkeys("abcdef", "up")
            await crash(top, "a")
            assert (await given_up(top)).kind is ExitKind.FAILURE

    run(main())


def test_45_the_budget_left_and_the_time_of_the_next_restart_are_visible() -> None:
    script = Script()

    async def main() -> None:
        flags: dict[str, Any] = {
            "intensity": Intensity(3, 10.0),
            "backoff": Backoff(min=4.0, factor=2.0, max=60.0, jitter=0.0),
        }
        async with running(script.children("ab"), **flags) as top:
            assert top.tree().children_restarts_left == 3
            await crash(top, "a")  # the first is restarted at once
            (a, b) = top.tree().children
            assert (a.status, a.restarts, a.restart_in) == ("running", 1, None)
            assert (b.status, b.restarts) == ("running", 0)
            assert top.tree().children_restarts_left == 2
            await crash(top, "a")
            await asyncio.sleep(1)
            (a, b) = top.tree().children
            assert (a.status, a.restarts, a.restart_in) == ("backing-off", 2, 3.0)
            assert top.tree().children_restarts_left == 1
            assert await phases(top) == {"a": "waiting", "b": "up"}
            await asyncio.sleep(3)
            await settled()
            assert await phases(top) == {"a": "up", "b": "up"}
            assert top.tree().children_restarts_left == 1
            await asyncio.sleep(6)  # the edge of the window
            assert top.tree().children_restarts_left == 1
            await asyncio.sleep(0.001)
            assert top.tree().children_restarts_left == 3

    run(main())


def test_45_so_is_the_budget_of_each_child_where_it_has_its_own() -> None:
    script = Script()

    async def main() -> None:
        flags: dict[str, Any] = {
            "intensity": Intensity(1, 10.0),
            "budget_scope": "child",
            "revive_after": 30.0,
            **AT_ONCE,
        }
        async with running(script.children("ab"), **flags) as top:
            assert top.tree().children_restarts_left is None
            await crash(top, "a")
            (a, b) = top.tree().children
            assert (a.restarts_left, b.restarts_left) == (0, 1)
            await crash(top, "a")
            (a, b) = top.tree().children
            assert (a.status, a.restart_in, b.status) == ("failed", 30.0, "running")
            await asyncio.sleep(30)
            await settled()
            (a, b) = top.tree().children
            assert (a.status, a.restarts_left, a.restart_in) == ("running", 1, None)

    run(main())


class Doomed(Player):
    """Crashes right after each successful start."""

    async def on_start(self) -> None:
        await super().on_start()
        self.handle.tell(Fail(Boom("again")))


@pytest.mark.parametrize("pause", [None, Backoff(min=0.5, factor=1.0, max=0.5, jitter=0.0)])
def test_46_a_child_that_crashes_right_after_each_successful_start_escalates(
    pause: Backoff | None,
) -> None:
    script = Script()

    async def main() -> None:
        flags = {"intensity": Intensity(3, 10.0), "backoff": pause}
        async with running([ChildSpec("a", Doomed, args=(script,))], **flags) as top:
            began = now()
            assert (await top.wait()).kind is ExitKind.FAILURE
            assert script.log == ["start a"] * 4
            assert now() - began == (0 if pause is None else 1.0)

    run(main())


@pytest.mark.parametrize(("outer", "inner"), [(0, 0), (0, 3), (2, 0), (1, 2), (3, 3)])
def test_47_nested_intensities_multiply_then_the_outer_escalates(outer: int, inner: int) -> None:
    script = Script()

    async def main() -> None:
        doomed = ChildSpec("a", Doomed, args=(script,))
        nested = Supervisor([doomed], intensity=Intensity(inner, 10.0), backoff=None)
        children = [ChildSpec("inner", nested), script.child("other")]
        top = Supervisor(children, intensity=Intensity(outer, 10.0), backoff=None, name="top")
        await outcome(top.start())  # with no budget at all it fails before "other" is up
        exit_ = await top.wait()
        assert exit_.kind is ExitKind.FAILURE
        assert f"'inner' failed more than {outer} times" in exit_.reason
        assert script.log.count("start a") == (inner + 1) * (outer + 1)
        assert script.log.count("start other") == 1
        assert script.log[-1] == "stop other"

    run(main())


def test_47_three_deep() -> None:
    script = Script()

    async def main() -> None:
        spec = ChildSpec("a", Doomed, args=(script,))
        for name, permitted in (("low", 1), ("middle", 2), ("high", 1)):
            nested = Supervisor([spec], intensity=Intensity(permitted, 10.0), backoff=None)
            spec = ChildSpec(name, nested)
        top = Supervisor([spec], intensity=Intensity(0, 10.0), name="top")
        await outcome(top.start())
        assert (await top.wait()).kind is ExitKind.FAILURE
        assert script.log == ["start a"] * (2 * 3 * 2 * 1)

    run(main())


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_48_the_escalated_supervisor_is_restarted_with_its_initial_children(restart: Any) -> None:
    script = Script()

    async def main() -> None:
        nested = Supervisor(script.children("ab"), intensity=Intensity(0, 10.0))
        children = [ChildSpec("inner", nested, restart=restart), script.child("other")]
        async with running(children) as top:
            inner = top.supervisor("inner")
            await inner.start_child(script.child("added"))
            added = inner.child("added")
            await inner.terminate_child("b")
            await inner.delete_child("b")
            script.take()
            await crash(top, "inner/a")
            assert script.take() == ["stop added", "start a", "start b"]
            assert await phases(top) == {"inner": "up", "other": "up"}
            assert await phases(top, "inner") == {"a": "up", "b": "up"}  # by the same handle
            assert incarnations(top)["inner"] == 2
            assert incarnations(top)["other"] == 1
            assert added.tell("anybody there") is False

    run(main())


def test_48_a_temporary_supervisor_that_escalates_is_gone() -> None:
    script = Script()

    async def main() -> None:
        nested = Supervisor(script.children("ab"), intensity=Intensity(0, 10.0))
        children = [ChildSpec("inner", nested, restart="temporary"), script.child("other")]
        async with running(children) as top:
            await crash(top, "inner/a")
            assert await phases(top) == {"other": "up"}

    run(main())
