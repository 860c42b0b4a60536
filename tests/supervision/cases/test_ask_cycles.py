"""Questions in a circle are reported with the path."""

from __future__ import annotations

from typing import Any

import pytest

from pepperpy_resources.errors import AskCycle
from pepperpy_resources.testing import run
from tests.supervision.cases.askers import (
    WAYS,
    Answer,
    Do,
    Keep,
    Way,
    after,
    askers,
    asks,
    eagerly,
    nothing,
    set_eager,
)
from tests.supervision.cases.kit import now, outcome, running, settled

ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


async def answered_at_once(question: Any) -> Any:
    """Return the answer, or the error, to a question that no time is needed for."""
    began = now()
    answer = await outcome(question)
    assert now() == began
    return answer


def assert_circle(answer: object, circle: str) -> None:
    """Fail unless the answer reports this circle; whose question closed it depends on the way."""
    assert isinstance(answer, AskCycle), answer
    names = circle.split(" -> ")
    begins = [" -> ".join([*names[n:], *names[:n], names[n]]) for n in range(len(names))]
    assert str(answer).partition(": ")[0] in begins
    assert "LATER" in str(answer)  # and what to do


@ways
@eagerly
def test_cycle_of_one_that_asks_itself(way: Way, *, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("a")) as supervisor:
            a = supervisor.child("a")
            answer = await answered_at_once(a.ask(Do(asks(a, nothing, way))))
            assert_circle(answer, "top/a")
            assert await a.ask(Do(nothing)) == "done"  # it lives on

    run(main())


@ways
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@eagerly
def test_cycle_of_two(way: Way, *, first: bool, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            back = asks(a, nothing, None if first else way)
            answer = await answered_at_once(a.ask(Do(asks(b, back, way if first else None))))
            assert_circle(answer, "top/a -> top/b")

    run(main())


@ways
@eagerly
def test_cycle_of_three(way: Way, *, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("abc")) as supervisor:
            a, b, c = (supervisor.child(name) for name in "abc")
            circle = asks(b, asks(c, asks(a, nothing, way), way), way)
            answer = await answered_at_once(a.ask(Do(circle)))
            assert_circle(answer, "top/a -> top/b -> top/c")

    run(main())


def test_cycle_closed_by_a_question_that_is_still_queued() -> None:
    async def main() -> None:
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            busy = b.ask(Do(after(1.0, asks(a))))
            await settled()
            assert await a.ask(Do(asks(b))) == "done"  # queued at b, whose turn asks a
            assert_circle(await outcome(busy), "top/a -> top/b")

    run(main())


def test_cycle_through_supervisors_names_the_whole_path() -> None:
    from pepperpy_resources.supervision import ChildSpec, Supervisor  # noqa: PLC0415

    async def main() -> None:
        children = [ChildSpec("in", Supervisor(askers("a"))), *askers("b")]
        async with running(children) as supervisor:
            a, b = supervisor.child("in/a"), supervisor.child("b")
            answer = await answered_at_once(a.ask(Do(asks(b, asks(a)))))
            assert_circle(answer, "top/in/a -> top/b")

    run(main())


def test_cycle_that_is_not_handled_crashes_who_would_have_closed_it() -> None:
    from pepperpy_resources.errors import ActorDead  # noqa: PLC0415

    async def main() -> None:
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            kept = b.ask(Keep())
            answer = await answered_at_once(a.ask(Do(lambda: outcome(b.ask(Answer(asks(a)))))))
            assert isinstance(answer, ActorDead)
            assert_circle(answer.__cause__, "top/a -> top/b")
            assert await kept == "answered"

    run(main())
