"""pykka 4.5: how an actor stops, what its stop does not do, and who holds it."""

import asyncio
import gc
import inspect
import queue
import threading
from collections.abc import Generator
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from tests.contract.hosted import SECONDS, HandActor, Log, Worker, nothing_left_behind


@pytest.fixture(autouse=True)
def _guard() -> Generator[None]:
    with nothing_left_behind():
        yield


def busy_worker(log: Log) -> pykka.ActorRef[Worker]:
    """Start a worker and return when it waits at the gate, in the turn of its first message."""
    ref = Worker.start(log)
    ref.tell("wait")
    assert log.busy.wait(SECONDS)
    return ref


def test_stop_waits_behind_the_backlog() -> None:
    # Why our stop has a control lane (law 3).
    log = Log()
    ref = busy_worker(log)
    for message in ["one", "two", "three"]:
        ref.tell(message)
    stopping = ref.stop(block=False)
    log.gate.set()
    assert stopping.get(timeout=SECONDS) is True
    log.join()
    assert log.events == ["wait", "one", "two", "three", "on_stop"]


def test_what_stands_behind_the_stop_is_answered_dead_and_a_tell_is_dropped() -> None:
    # The last moment at which pykka answers at all: its teardown empties the inbox once.
    log = Log()
    ref = busy_worker(log)
    stopping = ref.stop(block=False)
    asked = ref.ask("too late", block=False)
    ref.tell("too late as well")
    stopping_again = ref.stop(block=False)
    log.gate.set()
    log.join()
    assert (stopping.get(timeout=0), stopping_again.get(timeout=0)) == (True, True)
    with pytest.raises(pykka.ActorDeadError):
        asked.get(timeout=0)
    assert log.events == ["wait", "on_stop"]


class DoorInbox(queue.Queue[Envelope[Any]]):
    """Holds the message "late" back at the door, between `is_alive()` and the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.at_the_door = threading.Event()
        self.door = threading.Event()

    def put(self, envelope: Envelope[Any], *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        if envelope.message == "late":
            self.at_the_door.set()
            assert self.door.wait(SECONDS)
        super().put(envelope, *args, **kwargs)


@pytest.mark.parametrize("how", ["ask", "tell"])
def test_what_is_put_after_the_teardown_is_never_answered_and_never_refused(how: str) -> None:
    # The race of law 5: `is_alive()` was true, the actor ended, and only then came the `put`.
    # Our inbox must answer (or refuse) after the end as well.
    log = Log()
    inbox = DoorInbox()

    class Late(Worker):
        @staticmethod
        def _create_actor_inbox() -> DoorInbox:
            return inbox

    ref = Late.start(log)
    results: list[Any] = []

    def send() -> None:
        try:
            if how == "ask":
                results.append(ref.ask("late", block=False))
            else:
                ref.tell("late")
                results.append("told")
        except BaseException as error:
            results.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    assert inbox.at_the_door.wait(SECONDS)
    ref.stop()
    log.join()
    inbox.door.set()
    sender.join(SECONDS)
    assert log.events == ["on_stop"]
    assert [envelope.message for envelope in inbox.queue] == ["late"]  # there for ever
    [result] = results
    if how == "tell":
        assert result == "told"  # without a word
    else:
        with pytest.raises(pykka.Timeout):
            result.get(timeout=0)


def test_a_stop_has_no_deadline_its_timeout_only_ends_the_waiting() -> None:
    # A turn that hangs cannot be ended through pykka: our supervisor abandons the incarnation.
    log = Log()
    ref = busy_worker(log)
    ref.tell("next")
    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0)
    assert ref.is_alive()
    assert log.threads[0].is_alive()
    log.gate.set()
    log.join()
    assert log.events == ["wait", "next", "on_stop"]  # and the stop was not withdrawn either


def test_a_ref_has_no_kill() -> None:
    # The whole of a ref: a new way to end an actor would need a place in our law.
    public = {name for name in vars(pykka.ActorRef) if not name.startswith("_")}
    assert public == {"is_alive", "tell", "ask", "stop", "proxy"}
    assert list(inspect.signature(pykka.ActorRef.stop).parameters) == ["self", "block", "timeout"]
    assert list(inspect.signature(pykka.Actor.stop).parameters) == ["self"]


def test_neither_a_ref_nor_the_registry_keeps_the_actor() -> None:
    # Since 4.4.2. A ThreadingActor is kept by its thread; ours has none, so somebody must hold it,
    # or it is gone while its ref still says "alive" and its inbox still takes messages.
    ref = HandActor.start()
    try:
        gc.collect()
        assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
        assert ref.is_alive()
        ref.tell("to nobody")
        assert not ref.actor_inbox.empty()
        with pytest.raises(pykka.ActorDeadError, match="deallocated"):
            ref.proxy()
    finally:
        pykka.ActorRegistry.unregister(ref)


def test_asyncio_does_not_keep_a_task() -> None:
    # Not pykka, but the same trap: a hook task nobody holds vanishes in the middle of its work.
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        reports: list[str] = []
        loop.set_exception_handler(lambda _, context: reports.append(context["message"]))

        async def work() -> None:
            await loop.create_future()

        task = asyncio.create_task(work())
        del task
        await asyncio.sleep(0)
        gc.collect()
        return reports

    assert asyncio.run(main()) == ["Task was destroyed but it is pending!"]
