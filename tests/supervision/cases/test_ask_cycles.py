"""Questions in a circle are reported with the path; what only looks like one is answered."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from pepperpy_resources.errors import AskCycle
from pepperpy_resources.testing import run
from tests.supervision.cases.askers import (
    WAYS,
    Answer,
    Do,
    Early,
    Keep,
    Way,
    after,
    askers,
    asks,
    nothing,
)
from tests.supervision.cases.kit import now, outcome, running, settled

ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
eagerly = pytest.mark.parametrize(
    "eager", [False, *([True] if sys.version_info >= (3, 12) else [])]
)


def set_eager(*, eager: bool) -> None:
    """Let tasks begin inside of whoever makes them."""
    if eager:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))


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


# -- circles


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


# -- no circles


def test_no_cycle_between_two_that_ask_the_same_one() -> None:
    async def main() -> None:
        async with running(askers("abc")) as supervisor:
            a, b, c = (supervisor.child(name) for name in "abc")
            one = a.ask(Do(asks(c, after(1.0, nothing))))
            other = b.ask(Do(asks(c, after(1.0, nothing))))
            answers = await asyncio.gather(one, other)
            assert list(answers) == ["done", "done"]

    run(main())


@eagerly
def test_no_cycle_in_a_diamond(*, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("abcd")) as supervisor:
            a, b, c, d = (supervisor.child(name) for name in "abcd")
            below = asks(d, after(1.0, nothing))

            async def both() -> Any:
                return await asyncio.gather(b.ask(Do(below)), c.ask(Do(below)))

            assert await a.ask(Do(both)) == ["done", "done"]

    run(main())


@eagerly
def test_no_cycle_with_a_task_that_the_turn_does_not_wait_for(*, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            tasks: list[asyncio.Future[Any]] = []

            async def start() -> str:
                tasks.append(asyncio.ensure_future(asks(b, asks(a))()))
                tasks.append(asyncio.ensure_future(asks(a)()))
                tasks[0].add_done_callback(tasks.count)  # which is no wait
                await asyncio.sleep(1.0)
                return "started"

            assert await a.ask(Do(start)) == "started"
            assert await asyncio.gather(*tasks) == ["done", "done"]

    run(main())


@eagerly
def test_no_cycle_with_a_task_whose_turn_has_ended(*, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            tasks: list[asyncio.Future[Any]] = []

            async def start() -> None:
                tasks.append(asyncio.ensure_future(after(1.0, asks(a))()))
                tasks.append(asyncio.ensure_future(asks(b, after(2.0, asks(a)))()))

            await a.ask(Do(start))
            late = a.ask(Do(after(5.0, nothing)))
            assert await asyncio.gather(*tasks, late) == ["done", "done", "done"]

    run(main())


@pytest.mark.parametrize("asked_at", [0.5, 1.5], ids=["still open", "ended"])
@eagerly
def test_no_cycle_with_a_question_that_has_an_alternative(asked_at: float, *, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            tasks: list[asyncio.Future[Any]] = []

            async def either() -> str:
                question = asyncio.ensure_future(asks(b, after(asked_at, asks(a)))())
                other = asyncio.ensure_future(asyncio.sleep(1.0))
                tasks.append(question)
                done, _ = await asyncio.wait({question, other}, return_when=asyncio.FIRST_COMPLETED)
                assert done == {other}
                await asyncio.sleep(1.0)
                return "went on"

            assert await a.ask(Do(either)) == "went on"
            assert await tasks[0] == "done"

    run(main())


def test_no_cycle_with_a_question_that_was_given_up() -> None:
    async def main() -> None:
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")

            async def impatient() -> str:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(b.ask(Do(after(2.0, asks(a)))), 1.0)
                await asyncio.sleep(2.0)
                return "went on"

            assert await a.ask(Do(impatient)) == "went on"

    run(main())


@eagerly
def test_no_cycle_when_the_asker_has_not_seen_its_answer_yet(*, eager: bool) -> None:
    async def main() -> None:
        set_eager(eager=eager)
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")
            first = a.ask(Do(asks(b, after(1.0, nothing))))
            await settled()
            second = b.ask(Do(asks(a)))  # begins as soon as b has answered a
            answers = await asyncio.gather(first, second)
            assert list(answers) == ["done", "done"]

    run(main())


def test_no_cycle_when_the_turn_has_answered_before_it_asks_back() -> None:
    async def main() -> None:
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")

            async def keep() -> Any:
                return await b.ask(Keep())

            first = a.ask(Do(keep))
            await settled()
            second = b.ask(Answer(asks(a)))
            answers = await asyncio.gather(first, second)
            assert list(answers) == ["answered", "done"]

    run(main())


def test_no_cycle_with_an_answer_that_is_promised_for_later() -> None:
    async def main() -> None:
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")

            async def keep() -> Any:
                return await b.ask(Keep())

            first = a.ask(Do(keep))
            await settled()
            second = b.ask(Do(asks(a)))
            await settled()
            keeper: Any = b._cell.actor  # a task of b answers, say
            keeper.kept.pop().set("answered")
            answers = await asyncio.gather(first, second)
            assert list(answers) == ["answered", "done"]

    run(main())


def test_no_cycle_when_the_turn_has_answered_early() -> None:
    async def main() -> None:
        async with running(askers("ab")) as supervisor:
            a, b = supervisor.child("a"), supervisor.child("b")

            async def early() -> Any:
                return await b.ask(Early(asks(a)))

            assert await a.ask(Do(early)) == "early"
            await settled()
            actor: Any = b._cell.actor
            assert actor.kept == ["done"]
            assert b._cell.incarnation == 1

    run(main())
