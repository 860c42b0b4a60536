"""An event loop that ends under the actors: every question is answered, nobody hangs (law 5)."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pykka  # noqa: TID253 - actors of a dead loop are taken out by hand
import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import ActorDead, ClosedError
from pepperpy_resources.messages import Acquire, Describe
from pepperpy_resources.testing import crash
from tests.supervision.kit import SECONDS, Fleet, private


@contextmanager
def abandoned() -> Iterator[tuple[asyncio.AbstractEventLoop, DefaultResourceManager]]:
    """Start a manager on a loop that nobody runs any more, and never stop it."""
    loop = asyncio.new_event_loop()
    manager = DefaultResourceManager([Fleet().spec()], metrics=private())
    loop.run_until_complete(manager.start())
    try:
        yield loop, manager
    finally:
        loop.close()
        for cell in [manager.cell(name) for name in ("root", "db", "metrics", "janitor")]:
            if cell.actor is not None:
                pykka.ActorRegistry.unregister(cell.actor.actor_ref)
        with pytest.warns(ResourceWarning, match="was never stopped"):
            del manager, cell
            gc.collect()


def test_asked_when_the_loop_has_closed() -> None:
    with abandoned() as (loop, manager):
        loop.close()
        for _ in range(2):
            with pytest.raises(ActorDead, match="loop"):
                manager.actor("db").ask(Describe()).get(timeout=SECONDS)
        manager.actor("db").tell(Describe())
        del manager


def test_asked_while_the_loop_stands_still_and_then_closes() -> None:
    # The wake-up was accepted and is thrown away by close(): nobody else may wait behind it.
    with abandoned() as (loop, manager):
        handle = manager.actor("db")
        before = handle.ask(Describe())
        loop.close()
        after = handle.ask(Acquire("db:a"))
        for reply in (after, before):
            with pytest.raises(ActorDead, match="loop"):
                reply.get(timeout=2)
        del manager, handle, before, after, reply


def test_asked_while_the_actor_is_down_and_the_loop_closes() -> None:
    with abandoned() as (loop, manager):
        handle = manager.actor("db")
        crash(manager, "db")
        loop.close()
        with pytest.raises(ActorDead):
            handle.ask(Describe()).get(timeout=2)
        del manager, handle


def test_threads_that_ask_while_the_manager_stops_and_the_loop_ends_are_all_answered() -> None:
    answers: list[object] = []
    lock = threading.Lock()
    for _ in range(20):
        manager = DefaultResourceManager([Fleet().spec()], metrics=private())
        started = threading.Event()

        def work(manager: DefaultResourceManager = manager) -> None:
            handle = manager.actor("db")
            while True:
                reply = handle.ask(Describe())
                started.set()
                try:
                    reply.get(timeout=SECONDS)
                except ClosedError as error:
                    with lock:
                        answers.append(error)
                    return
                except BaseException as error:
                    with lock:
                        answers.append(repr(error))
                    return

        async def main(
            manager: DefaultResourceManager = manager, started: threading.Event = started
        ) -> list[threading.Thread]:
            async with manager:
                threads = [threading.Thread(target=work) for _ in range(4)]
                for thread in threads:
                    thread.start()
                while not started.is_set():
                    await asyncio.sleep(0)
            return threads

        for thread in asyncio.run(main()):
            thread.join(SECONDS)
            assert not thread.is_alive()
    assert len(answers) == 80
    assert [answer for answer in answers if not isinstance(answer, ClosedError)] == []
