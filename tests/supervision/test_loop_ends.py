"""The event loop ends, and the supervisor was not stopped before."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pytest

from pepperpy_resources.errors import ActorDead
from pepperpy_resources.supervision import (
    LATER,
    Actor,
    ChildSpec,
    Exit,
    ExitKind,
    Reply,
    StartChild,
    Supervisor,
    handles,
)
from pepperpy_resources.testing import VirtualTimeLoop, run
from tests.supervision.cases.endings import abandoned
from tests.supervision.cases.kit import now, settled
from tests.supervision.kit import SECONDS


class Work(msgspec.Struct, frozen=True):
    """Work without end; being cancelled takes so many seconds."""

    cleaning: float


class Worker(Actor):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.log.append(f"make {self.path}")

    @handles(Work)
    async def work(self, message: Work) -> None:
        try:
            await asyncio.sleep(math.inf)
        finally:
            await asyncio.sleep(message.cleaning)
            self.log.append(f"{self.path} cleaned")


def workers(log: list[str], **fields: Any) -> Supervisor:
    specs = [ChildSpec(name, Worker, args=(log,), **fields) for name in "ab"]
    return Supervisor(specs, name="top")


async def set_to_work(supervisor: Supervisor) -> None:
    await supervisor.start()
    supervisor.child("a").tell(Work(0))
    supervisor.child("a").tell(Work(0))
    supervisor.child("b").tell(Work(2))
    await settled()


def test_nobody_is_restarted_while_the_others_are_still_cleaning_up() -> None:
    log: list[str] = []
    supervisor = workers(log)
    try:
        run(set_to_work(supervisor))
        assert log == ["make top/a", "make top/b", "top/a cleaned", "top/b cleaned"]
    finally:
        cell = supervisor._require_cell()
        cell.kill(Exit(ExitKind.KILLED))  # which leaves no actor registered


def test_a_supervisor_that_is_stopped_amid_it_all_does_not_wait_for_that() -> None:
    async def main() -> None:
        await set_to_work(supervisor)
        serving.append(asyncio.create_task(serve()))
        await settled()

    async def serve() -> None:
        try:
            await asyncio.sleep(math.inf)
        finally:
            before = now()
            await supervisor.stop()
            log.append(f"stopped after {now() - before:g} s")

    log: list[str] = []
    serving: list[asyncio.Task[None]] = []
    supervisor = workers(log)
    run(main())  # which cancels serve, and the turns of a and b, when main is over
    assert log[2:] == ["top/a cleaned", "top/b cleaned", "stopped after 2 s"]


def test_a_turn_that_was_cancelled_alone_fails_and_its_actor_is_restarted() -> None:
    async def main() -> None:
        log: list[str] = []
        async with workers(log) as supervisor:
            supervisor.child("a").tell(Work(0))
            await settled()
            (turn,) = (task for task in asyncio.all_tasks() if task.get_name() == "top/a:Work")
            turn.cancel()
            await asyncio.sleep(0.2)
            assert log == ["make top/a", "make top/b", "top/a cleaned", "make top/a"]

    run(main())


def test_a_program_that_has_no_other_tasks_restarts_too() -> None:
    log: list[str] = []
    supervisor = workers(log)
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(supervisor.start())
        supervisor.child("a").tell(Work(0))
        loop.run_until_complete(settled())
        (turn,) = asyncio.all_tasks(loop)
        turn.cancel()
        loop.call_later(0.2, loop.stop)
        loop.run_forever()
        assert log == ["make top/a", "make top/b", "top/a cleaned", "make top/a"]
        loop.run_until_complete(supervisor.stop())
    finally:
        loop.close()


class Keeper(Actor):
    @handles(str)
    def keep(self, _message: str) -> Any:
        self.kept = self.reply
        return LATER

    @handles(int)
    async def work(self, _message: int) -> None:
        await asyncio.sleep(math.inf)


class Hanging(Actor):
    async def on_start(self) -> None:
        await asyncio.sleep(math.inf)


ASK: list[Any] = ["kept", 1, StartChild(ChildSpec("hanging", Hanging))]


@pytest.mark.parametrize("message", ASK, ids=["a later turn", "a turn", "an order"])
@pytest.mark.parametrize("where", ["in a thread", "on another loop"])
def test_who_waits_for_an_answer_is_told_when_the_loop_is_closed(message: Any, where: str) -> None:
    with ThreadPoolExecutor() as pool, abandoned([ChildSpec("a", Keeper)]) as (loop, supervisor):
        ordered = isinstance(message, StartChild)
        reply = (supervisor.handle if ordered else supervisor.child("a")).ask(message)
        wait = partial(asyncio.run, awaiting(reply)) if where == "on another loop" else reply.get
        waiting = pool.submit(wait)
        loop.run_until_complete(asyncio.sleep(0.05))
        assert not waiting.done()
        loop.close()
        with pytest.raises(ActorDead, match=r"event loop of .* has ended"):
            waiting.result(SECONDS)
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]


async def awaiting(reply: Reply[Any]) -> Any:
    return await reply
