"""What only looks like a circle of questions is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.testing import run
from tests.supervision.cases.askers import (
    Answer,
    Do,
    Early,
    Keep,
    after,
    askers,
    asks,
    eagerly,
    nothing,
    set_eager,
)
from tests.supervision.cases.kit import running, settled


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
