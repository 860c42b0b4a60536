"""Start: in order, each acknowledged; the first failure stops those started, in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pykka  # noqa: TID253 - the registry is what is looked at
import pytest

from pepperpy_resources.errors import InvalidSpec, StartFailed
from pepperpy_resources.supervision import Actor, ChildSpec, Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    Script,
    Stubborn,
    incarnations,
    now,
    outcome,
    phases,
    running,
    settled,
)


def test_01_a_supervisor_without_children_starts_and_stops_clean() -> None:
    async def main() -> None:
        async with running() as supervisor:
            assert await supervisor.which_children() == []
        assert "stopped" in repr(supervisor)

    run(main())


def test_01_children_start_in_order_and_are_up_when_start_returns() -> None:
    script = Script()
    script.on_start["a"] = [3.0]

    async def main() -> None:
        async with running(script.children("bac")) as supervisor:
            assert script.take() == ["start b", "start a", "start c"]
            assert await phases(supervisor) == {"b": "up", "a": "up", "c": "up"}
            assert incarnations(supervisor) == {"b": 1, "a": 1, "c": 1}
        assert script.log == ["stop c", "stop a", "stop b"]

    run(main())


@pytest.mark.parametrize("position", [0, 1, 2])
def test_02_a_failed_start_stops_those_before_it_in_reverse_and_names_child_and_cause(
    position: int,
) -> None:
    script, error = Script(), Boom("no database")
    script.on_start["bac"[position]] = [error]

    async def main() -> None:
        supervisor = Supervisor(script.children("bac"))
        with pytest.raises(StartFailed, match="no database") as caught:
            await supervisor.start()
        assert repr("bac"[position]) in str(caught.value)
        assert caught.value.__cause__ is error

    run(main())
    started = list("bac"[:position])
    assert script.log == [f"start {n}" for n in started] + [f"stop {n}" for n in started[::-1]]


def test_02_the_first_start_is_not_tried_again() -> None:
    script = Script()
    script.on_start["a"] = [Boom("once")]  # a second try would succeed

    async def main() -> None:
        supervisor = Supervisor([script.child("a"), script.child("b")], intensity=None)
        with pytest.raises(StartFailed, match="once"):
            await supervisor.start()
        assert (await supervisor.wait()).kind == "failure"

    run(main())
    assert script.log == []


def test_02_a_failed_start_below_stops_everything_above_and_names_the_whole_way() -> None:
    script, error = Script(), Boom("deep")
    script.on_start["d"] = [error]
    inner = Supervisor(script.children("cd"))
    middle = Supervisor([script.child("b"), ChildSpec("inner", inner)])

    async def main() -> None:
        supervisor = Supervisor([script.child("a"), ChildSpec("middle", middle), script.child("e")])
        with pytest.raises(StartFailed, match="deep") as caught:
            await supervisor.start()
        told = str(caught.value)
        assert told.index("'middle'") < told.index("'inner'") < told.index("'d'")
        assert caught.value.__cause__ is error

    run(main())
    assert script.log == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


def test_02_who_failed_to_stop_in_time_does_not_hide_who_failed_to_start() -> None:
    script = Script()
    script.on_stop["a"] = [Stubborn(60.0)]
    script.on_start["b"] = [Boom("b's")]

    async def main() -> None:
        began = now()
        supervisor = Supervisor(script.children("ab", shutdown=2))
        with pytest.raises(StartFailed, match=r"'b'.*b's"):
            await supervisor.start()
        assert now() == began + 2
        await asyncio.sleep(60)  # until the stubborn one has ended

    run(main())
    assert script.log == ["start a", "stop a"]


class Odd(BaseException):
    pass


def fails_in_init(error: BaseException) -> type[Actor]:
    class InInit(Actor):
        def __init__(self) -> None:
            super().__init__()
            raise error

    return InInit


def fails_before_init(error: BaseException) -> type[Actor]:
    class BeforeInit(Actor):
        def __init__(self) -> None:
            raise error

    return BeforeInit


def fails_in_on_start(error: BaseException) -> type[Actor]:
    class InStart(Actor):
        def on_start(self) -> None:
            raise error

    return InStart


def fails_after_await(error: BaseException) -> type[Actor]:
    class AfterAwait(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1)
            raise error

    return AfterAwait


Fails = Callable[[BaseException], type[Actor]]
PLACES = [fails_before_init, fails_in_init, fails_in_on_start, fails_after_await]


async def assert_start_fails(failing: type[Actor], error: BaseException) -> None:
    script, before = Script(), pykka.ActorRegistry.get_all()
    supervisor = Supervisor([script.child("a"), ChildSpec("b", failing), script.child("c")])
    raised = await outcome(supervisor.start())
    assert isinstance(raised, StartFailed)
    assert raised.__cause__ is error
    assert "'b'" in str(raised)
    assert script.log == ["start a", "stop a"]
    assert pykka.ActorRegistry.get_all() == before


@pytest.mark.parametrize(
    ("place", "error"),
    [
        *[(place, error) for place in PLACES for error in (Boom("x"), MemoryError())],
        *[(place, StopIteration()) for place in PLACES if place is not fails_after_await],
    ],
)
def test_03_a_start_that_raises_is_a_start_failure_and_leaves_no_zombie(
    place: Fails, error: Exception
) -> None:
    run(assert_start_fails(place(error), error))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [Odd("x"), asyncio.CancelledError(), GeneratorExit()])
def test_04_so_is_a_start_that_raises_a_base_exception(place: Fails, error: BaseException) -> None:
    run(assert_start_fails(place(error), error))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_04_what_ends_programs_still_does_and_leaves_no_zombie(
    place: Fails, error: BaseException
) -> None:
    script, before = Script(), pykka.ActorRegistry.get_all()

    async def main() -> None:
        async with running([script.child("a"), ChildSpec("b", place(error)), script.child("c")]):
            raise AssertionError("it has started")

    with pytest.raises(type(error)):
        run(main())
    assert script.log[0] == "start a"
    assert "start c" not in script.log
    assert pykka.ActorRegistry.get_all() == before


@pytest.mark.parametrize(
    ("step", "later"),
    [(FOREVER, []), (3.0, []), (Stubborn(60.0), ["start b"])],
)
def test_05_a_start_that_takes_longer_than_its_deadline_has_failed(
    step: float, later: list[str]
) -> None:
    script = Script()
    script.on_start["b"] = [step]

    async def main() -> None:
        began = now()
        supervisor = Supervisor(script.children("abc", start_timeout=2.5))
        with pytest.raises(StartFailed, match=r"'b'.*did not start within 2\.5 s"):
            await supervisor.start()
        assert now() == began + 2.5
        assert script.take() == ["start a", "stop a"]
        await asyncio.sleep(60)  # until the stubborn one has ended, which nobody hears of
        assert (await supervisor.wait()).kind == "failure"

    run(main())
    assert script.log == later


def test_05_a_start_within_its_deadline_is_in_time() -> None:
    script = Script()
    script.on_start["a"] = [2.4]

    async def main() -> None:
        async with running(script.children("a", start_timeout=2.5)):
            await asyncio.sleep(10)
            assert script.take() == ["start a"]

    run(main())


def test_06_two_children_of_one_id_are_refused() -> None:
    script = Script()
    with pytest.raises(InvalidSpec, match="ChildSpec 'a': id must be given once"):
        Supervisor(script.children("aba"))


def test_06_the_same_id_below_another_supervisor_is_another_child() -> None:
    script = Script()
    below = Supervisor(script.children("a"))

    async def main() -> None:
        async with running(
            [script.child("a"), ChildSpec("b", below), ChildSpec("c", below)]
        ) as top:
            await settled()
            assert [top.child(path).path for path in ("a", "b/a", "c/a")] == [
                "top/a", "top/b/a", "top/c/a",
            ]  # fmt: skip

    run(main())
