"""Case 13: another loop, a forked child, an exit: told at once, never left waiting."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import WrongLoop
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, settled, usable

Call = Callable[[DefaultResourceManager], Coroutine[Any, Any, Any]]


async def add_type(manager: DefaultResourceManager) -> None:
    manager.add_type(Backend().spec("more"))


CALLS: dict[str, Call] = {
    "acquire": lambda manager: manager.acquire("db:b"),
    "lease": lambda manager: manager.lease("db").__aenter__(),
    "release": lambda manager: manager.release("db:a"),
    "handle": lambda manager: manager.type(Backend().spec("db")).acquire("b"),
    "cleanup": lambda manager: manager.cleanup(),
    "wait_ready": lambda manager: manager.wait_ready(),
    "add_type": add_type,
    "remove_type": lambda manager: manager.remove_type("db"),
    "start": lambda manager: manager.start(),
    "stop": lambda manager: manager.stop(),
}


def on_another_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> BaseException | None:
    """Run the call on a loop of its own on another thread; return what it raised."""
    caught: list[BaseException] = []

    async def attempt() -> None:
        try:
            await asyncio.wait_for(work(), 1)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(attempt()))
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return caught[0] if caught else None


@pytest.mark.parametrize("call", CALLS)
def test_another_loop_is_refused_at_once_and_told_what_to_do(call: str) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=2)) as manager:
            await manager.acquire("db:a")
            # The loop's own thread is blocked meanwhile: an answer from here would never come.
            error = on_another_loop(lambda: CALLS[call](manager))
            assert isinstance(error, WrongLoop)
            assert str(error).count("Loop") >= 2  # both are named
            assert "manager.actor(" in str(error)
            await settled()
            await manager.release("db:a")
            await usable(manager, "db", 2)
            assert set(manager.resources) == set()
        backend.assert_all_closed()

    run(main())


def test_figures_and_tree_may_be_looked_at_from_any_thread() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            await manager.acquire("db:a")
            texts: list[str] = []
            figures: list[int] = []

            def look() -> None:
                texts.append(manager.tree().render())
                figures.append(len(manager.figures().get(timeout=10).types))

            thread = threading.Thread(target=look)
            thread.start()
            while thread.is_alive():  # noqa: ASYNC110 - nothing tells of its end
                await asyncio.sleep(0)
            assert "db" in texts[0]
            assert figures == [1]

    run(main())


def test_a_block_of_another_loop_leaves_the_lease_to_its_own() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=1)) as manager:
            context = manager.lease("db")
            error = on_another_loop(context.__aenter__)
            assert isinstance(error, WrongLoop)
            await usable(manager, "db", 1)

    run(main())


# -- a forked child

FORK = """
import asyncio, os, sys
from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import ForkedProcess

async def connect():
    return object()

def close(_):
    print("closed", os.getpid())

manager = DefaultResourceManager([ResourceSpec("db", factory=connect, close=close)])

async def lease():
    async with manager.lease("db"):
        pass

async def attempt(make):
    try:
        await make()
    except ForkedProcess as error:
        return str(error)
    return "nothing"

def child():
    calls = [lambda: manager.acquire("db:b"), lambda: manager.release("db:a"), lease,
             manager.cleanup, manager.monitor, manager.start, lambda: manager.remove_type("db")]
    for make in calls:
        work = attempt(make)
        try:
            work.send(None)
        except StopIteration as stop:
            print("child:", stop.value, flush=True)
        else:
            print("child: it waits", flush=True)
    os._exit(0)

async def main():
    async with manager:
        await manager.acquire("db:a")
        print("parent", os.getpid(), flush=True)
        pid = os.fork()
        if not pid:
            child()
        os.waitpid(pid, 0)
        await manager.release("db:a")
        async with manager.lease("db"):
            print("parent goes on", flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_told_so_and_the_parent_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    told = [line for line in lines if line.startswith("child:")]
    assert len(told) == 7
    assert all("make one after the fork" in line for line in told)
    parent = lines[0].split()[1]
    assert "parent goes on" in lines
    assert [line for line in lines if line.startswith("closed")] == [f"closed {parent}"]


# -- an exit without stop()

UNSTOPPED = """
import asyncio
from pepperpy_resources import DefaultResourceManager, ResourceSpec

async def main():
    manager = DefaultResourceManager([ResourceSpec("db", factory=object, min_idle=1)])
    await manager.start()
    await manager.acquire("db:a")

asyncio.run(main())
print("over")
"""


def test_a_manager_that_was_never_stopped_warns_and_does_not_delay_the_exit() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", UNSTOPPED],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == "over\n"
    assert "ResourceWarning: <DefaultResourceManager" in done.stderr
    assert "was never stopped" in done.stderr
    assert "Traceback" not in done.stderr
