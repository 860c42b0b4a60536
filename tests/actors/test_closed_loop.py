"""An event loop that ends under the actors: every question is answered, nobody hangs (law 5)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pykka  # noqa: TID253 - actors of a dead loop are taken out by hand
import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.actors.reply import Reply
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
        del cell
        manager._status = "stopped"  # else it warns, rightly, when it is collected


def test_asked_when_the_loop_has_closed() -> None:
    with abandoned() as (loop, manager):
        loop.close()
        for _ in range(2):
            with pytest.raises(ActorDead, match="loop"):
                manager.actor("db").ask(Describe()).get(timeout=SECONDS)
        manager.actor("db").tell(Describe())


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


def test_awaited_on_another_loop_while_its_own_stands_still_and_then_closes() -> None:
    async def awaiting(reply: Reply[Any]) -> Any:
        return await reply

    with abandoned() as (loop, manager), ThreadPoolExecutor() as pool:
        reply = manager.actor("db").ask(Describe())
        answer = pool.submit(asyncio.run, awaiting(reply))
        assert wait([answer], timeout=0.1).not_done
        loop.close()
        with pytest.raises(ActorDead, match="loop"):
            answer.result(SECONDS)


def test_asked_while_the_actor_is_down_and_the_loop_closes() -> None:
    with abandoned() as (loop, manager):
        handle = manager.actor("db")
        crash(manager, "db")
        loop.close()
        with pytest.raises(ActorDead):
            handle.ask(Describe()).get(timeout=2)


def ask_until_refused(manager: DefaultResourceManager, started: threading.Event) -> BaseException:
    """Ask again and again; return the error that ends it."""
    handle = manager.actor("db")
    while True:
        reply = handle.ask(Describe())
        started.set()
        try:
            reply.get(timeout=SECONDS)
        except BaseException as error:
            return error


async def asked_while_it_stops() -> list[Future[BaseException]]:
    """Run a manager that four threads ask, and stop it; return what they will be told."""
    manager, started = (
        DefaultResourceManager([Fleet().spec()], metrics=private()),
        threading.Event(),
    )
    pool = ThreadPoolExecutor(4)
    async with manager:
        told = [pool.submit(ask_until_refused, manager, started) for _ in range(4)]
        await asyncio.to_thread(started.wait, SECONDS)
    pool.shutdown(wait=False)
    return told


def test_threads_that_ask_while_the_manager_stops_and_the_loop_ends_are_all_answered() -> None:
    for _ in range(20):
        for told in asyncio.run(asked_while_it_stops()):
            assert isinstance(told.result(SECONDS), ClosedError)
