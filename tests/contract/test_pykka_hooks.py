"""pykka 4.5: the three extension hooks, and what `tell` and `ask` do with what they return."""

import threading
from collections.abc import Generator
from typing import Any

import pykka
import pytest

from tests.contract.hosted import HandActor, HandFuture, HandInbox, nothing_left_behind


@pytest.fixture(autouse=True)
def _guard() -> Generator[None]:
    with nothing_left_behind():
        yield


def test_an_actor_kind_is_made_of_exactly_three_hooks() -> None:
    # Our loop-hosted kind implements these and nothing else of pykka's machinery (law 1).
    assert pykka.Actor.__abstractmethods__ == {
        "_create_actor_inbox",
        "_create_future",
        "_start_actor_loop",
    }


def test_start_makes_the_inbox_then_registers_then_starts_the_loop_on_the_callers_thread() -> None:
    # Our `_start_actor_loop` binds the actor to the running loop, so it must be called by
    # whoever called `start()`, once everything else is there; `on_start` is then ours to call.
    log: list[object] = []

    class Traced(HandActor):
        @staticmethod
        def _create_actor_inbox() -> HandInbox:
            log.append("inbox")
            return HandInbox()

        def __init__(self) -> None:
            log.append("before super")
            super().__init__()
            log.append("after super")

        def _start_actor_loop(self) -> None:
            registered = pykka.ActorRegistry.get_by_urn(self.actor_urn) is self.actor_ref
            log.extend(["loop", registered, threading.current_thread(), self])

        def on_start(self) -> None:
            log.append("on_start")

    threads = set(threading.enumerate())
    ref = Traced.start()
    try:
        expected = [
            "before super",
            "inbox",
            "after super",
            "loop",
            True,
            threading.current_thread(),
        ]
        assert log[:-1] == expected
        assert isinstance(log[-1], Traced)
        assert ref is log[-1].actor_ref
        assert set(threading.enumerate()) <= threads  # costs no thread
    finally:
        pykka.ActorRegistry.unregister(ref)


def test_a_ref_carries_the_actors_own_inbox_and_stopped_flag() -> None:
    # A ref in user hands goes on working through these two alone: what we put in the inbox's
    # place is what `tell` and `ask` reach, and setting the flag is all that makes a ref dead.
    actor = HandActor()
    assert actor.actor_ref.actor_inbox is actor.actor_inbox
    assert actor.actor_ref.actor_stopped is actor.actor_stopped
    assert actor.actor_ref.is_alive()
    actor.actor_stopped.set()
    assert not actor.actor_ref.is_alive()


def test_tell_puts_an_envelope_without_reply() -> None:
    # "No reply_to" is how our inbox knows a tell.
    actor = HandActor()
    actor.actor_ref.tell("news")
    [envelope] = actor.actor_inbox.envelopes
    assert (envelope.message, envelope.reply_to) == ("news", None)


def test_ask_puts_an_envelope_whose_reply_is_the_future_of_the_hook() -> None:
    # The Reply that our hook made is the very object the asker awaits: nothing wraps it.
    made: list[HandFuture] = []

    class Asked(HandActor):
        @staticmethod
        def _create_future() -> pykka.Future[Any]:
            made.append(HandFuture())
            return made[-1]

    actor = Asked()
    future = actor.actor_ref.ask("question", block=False)
    [envelope] = actor.actor_inbox.envelopes
    assert envelope.message == "question"
    assert made == [envelope.reply_to] == [future]
    assert made[0].timeouts == []  # block=False looks at nothing


def test_a_message_is_put_on_the_senders_thread() -> None:
    # `deliver` runs a turn at once when it is called on the loop's own thread (law 2); it can
    # only tell the thread if pykka calls `put` on the sender's.
    actor = HandActor()
    senders = [
        threading.Thread(target=actor.actor_ref.tell, args=("t",)),
        threading.Thread(target=actor.actor_ref.ask, args=("a",), kwargs={"block": False}),
    ]
    for sender in senders:
        sender.start()
        sender.join()
    assert actor.actor_inbox.threads == senders


def test_a_blocking_ask_is_a_get_of_the_future_with_the_timeout() -> None:
    # So `WouldBlock` raised by our Reply's `get` also stops a blocking ask on the loop (design 6),
    # and its timeout withdraws the question.
    timeouts: list[float | None] = []

    class Answered(HandFuture):
        def get(self, *, timeout: float | None = None) -> Any:
            timeouts.append(timeout)
            return "answer"

    class Asked(HandActor):
        @staticmethod
        def _create_future() -> pykka.Future[Any]:
            return Answered()

    actor = Asked()
    assert actor.actor_ref.ask("a", timeout=2.5) == "answer"
    assert actor.actor_ref.ask("b") == "answer"
    assert timeouts == [2.5, None]


def test_an_ask_of_a_dead_ref_fails_the_future_and_puts_nothing() -> None:
    # pykka calls `set_exception()` bare, inside `except`: our Reply must read `sys.exc_info()`.
    arguments: list[tuple[object, ...]] = []

    class Failed(HandFuture):
        def set_exception(self, *args: Any) -> None:
            arguments.append(args)
            super().set_exception(*args)

    class Asked(HandActor):
        @staticmethod
        def _create_future() -> pykka.Future[Any]:
            return Failed()

    actor = Asked()
    actor.actor_stopped.set()
    future = actor.actor_ref.ask("question", block=False)
    assert isinstance(future, Failed)
    assert [type(error) for error in future.errors] == [pykka.ActorDeadError]
    assert arguments == [()]
    assert actor.actor_inbox.empty()


def test_a_tell_to_a_dead_ref_raises_and_puts_nothing() -> None:
    # Our handles turn this into the package's own ActorDead.
    actor = HandActor()
    actor.actor_stopped.set()
    with pytest.raises(pykka.ActorDeadError):
        actor.actor_ref.tell("news")
    assert actor.actor_inbox.empty()
