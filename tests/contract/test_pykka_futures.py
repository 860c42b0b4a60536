"""pykka 4.5: what its futures do to an event loop that awaits them."""

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from tests.contract.hosted import SECONDS, HandActor, HandFuture, HandInbox, nothing_left_behind

Derive = Callable[[pykka.Future[Any]], pykka.Future[Any]]

DERIVED: dict[str, tuple[Derive, Any]] = {
    "map": (lambda future: future.map(sum), 6),
    "filter": (lambda future: future.filter(lambda n: n > 1), [2, 3]),
    "join": (lambda future: future.join(), [[1, 2, 3]]),
    "reduce": (lambda future: future.reduce(lambda a, b: a * b, 10), 60),
}
each_derived = pytest.mark.parametrize(("derive", "expected"), DERIVED.values(), ids=DERIVED.keys())


@pytest.fixture(autouse=True)
def _guard() -> Generator[None]:
    with nothing_left_behind():
        yield


class LoopFuture(HandFuture):
    """The least that makes a reply awaitable without blocking: `set` and `__await__` anew."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.get_running_loop().create_future()

    def set(self, value: Any = None) -> None:
        super().set(value)
        self.answer.set_result(value)

    def __await__(self) -> Generator[Any, None, Any]:
        return self.answer.__await__()


async def settle() -> None:
    """Give everything that is ready, and what follows from it, its turns on the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


@each_derived
def test_a_derived_future_is_a_bare_one_of_the_same_class_with_a_get_hook(
    derive: Derive, expected: object
) -> None:
    # Our Reply must be constructible without arguments, and its hook is run by `get` only.
    source = HandFuture()
    derived = derive(source)
    assert type(derived) is HandFuture
    assert len(derived.hooks) == 1
    assert source.timeouts == []  # lazy: nothing is asked of the source yet
    source.set([1, 2, 3])
    assert derived.values == []  # nor does its answer reach the derived one
    assert derived.get(timeout=4.0) == expected
    assert source.timeouts == [4.0]


@each_derived
def test_awaiting_a_derived_future_hangs_where_only_await_was_made_anew(
    derive: Derive, expected: object
) -> None:
    # The hook is not consulted by `__await__`: our Reply must re-implement these four as well.
    async def main() -> None:
        source = LoopFuture()
        derived = derive(source)
        source.set([1, 2, 3])
        waiter = asyncio.ensure_future(derived)
        await settle()
        assert await source == [1, 2, 3]
        assert not waiter.done()
        assert derived.get() == expected  # it was there to be had all the time
        waiter.cancel()

    asyncio.run(main())


def test_await_is_one_yield_and_then_a_get_without_deadline() -> None:
    # Nothing tells the loop when to come back, so nothing can wake or cancel the waiter.
    future = HandFuture()
    steps = future.__await__()
    assert next(steps) is None
    assert future.timeouts == []
    future.set("value")
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "value"
    assert future.timeouts == [None]


class ObservedFuture(pykka.ThreadingFuture[Any]):
    """Says when some thread has entered `get()`."""

    def __init__(self, entered: threading.Event | None = None) -> None:
        super().__init__()
        self.entered = entered or threading.Event()
        self.getter: threading.Thread | None = None

    def get(self, *, timeout: float | None = None) -> Any:
        self.getter = threading.current_thread()
        self.entered.set()
        return super().get(timeout=timeout)


@pytest.mark.parametrize("mapped", [False, True], ids=["itself", "mapped"])
def test_awaiting_a_threading_future_blocks_the_whole_loop(*, mapped: bool) -> None:
    # Why a ThreadingActor cannot be awaited, and our actors make futures of their own. The callback
    # reaches the loop before the answer does; only a blocked loop can see them the other way round.
    async def main() -> tuple[list[str], threading.Thread | None]:
        loop = asyncio.get_running_loop()
        future = ObservedFuture()
        order: list[str] = []

        def answer_late() -> bool:
            in_get = future.entered.wait(SECONDS)
            loop.call_soon_threadsafe(order.append, "callback")
            future.set("answer")
            return in_get

        helper = loop.run_in_executor(None, answer_late)
        order.append(await (future.map(str) if mapped else future))
        assert await helper
        await settle()
        return order, future.getter

    assert asyncio.run(main()) == (["answer", "callback"], threading.current_thread())


class SoonInbox(HandInbox):
    """Runs the turn on the loop, two cycles later: as after any backlog."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.order = order

    def put(self, envelope: Envelope[Any], /) -> None:
        super().put(envelope)
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self.order.append, "the stop's turn")


def test_stop_awaited_on_the_actors_own_loop_blocks_the_turn_that_would_answer_it() -> None:
    # A deadlock with pykka's own future, and a reason for an async stop of our own.
    async def main() -> list[str]:
        order: list[str] = []
        entered = threading.Event()

        class Hosted(HandActor):
            @staticmethod
            def _create_actor_inbox() -> HandInbox:
                return SoonInbox(order)

            @staticmethod
            def _create_future() -> pykka.Future[Any]:
                return ObservedFuture(entered)

        actor = Hosted()
        stopping = actor.actor_ref.stop(block=False)
        [envelope] = actor.actor_inbox.envelopes
        assert envelope.reply_to is not None

        def end_the_deadlock(reply: pykka.Future[Any]) -> bool:
            in_get = entered.wait(SECONDS)
            reply.set(None)
            return in_get

        helper = asyncio.get_running_loop().run_in_executor(
            None, end_the_deadlock, envelope.reply_to
        )
        order.append(f"stop said {await stopping}")
        assert await helper
        await settle()
        return order

    assert asyncio.run(main()) == ["stop said True", "the stop's turn"]


def test_stop_awaited_on_the_actors_own_loop_never_completes_even_when_answered() -> None:
    # With a loop future the turn runs, but the converted future only has a get hook: nobody
    # completes what is awaited.
    async def main() -> None:
        class Hosted(HandActor):
            @staticmethod
            def _create_future() -> pykka.Future[Any]:
                return LoopFuture()

        actor = Hosted()
        stopping = actor.actor_ref.stop(block=False)
        waiter = asyncio.ensure_future(stopping)
        actor.turn()
        await settle()
        assert not actor.actor_ref.is_alive()
        assert not waiter.done()
        assert stopping.get() is True
        waiter.cancel()

    asyncio.run(main())
