"""Whatever a hook raises is that hook's failure; only what ends programs ends them (law 9)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pepperpy_resources import Backoff, ResourceSpec
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, settled, ticks, usable

BAD: list[Callable[[], BaseException]] = [
    lambda: ValueError("plain"),
    asyncio.CancelledError,
    GeneratorExit,
    lambda: MemoryError("huge"),
    RecursionError,
    StopIteration,
    StopAsyncIteration,
    lambda: BaseException("rude"),
    lambda: ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    asyncio.TimeoutError,
]
NAMES = [type(make()).__name__ for make in BAD]


class Unspeakable(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("make", [*BAD, Unspeakable], ids=[*NAMES, "Unspeakable"])
@pytest.mark.parametrize("hook", ["open", "check", "reset", "close"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_whatever_a_hook_raises_is_that_hook_s_failure(
    hook: str, make: Callable[[], BaseException], *, late: bool
) -> None:
    async def main() -> None:
        backend = Backend()
        armed = True

        def hook_of(name: str) -> Any:
            plain = backend.connect if name == "open" else getattr(backend, name)

            async def hooked(*arguments: Any) -> Any:
                nonlocal armed
                value = await plain(*arguments) if name != "open" else None
                if name == hook and armed:
                    armed = False
                    if late:
                        await ticks(2)
                    raise make()
                return await plain() if name == "open" else value

            return hooked

        spec: ResourceSpec[Fake] = ResourceSpec(
            "db", factory=hook_of("open"), check=hook_of("check"), reset=hook_of("reset"),
            close=hook_of("close"), max_size=1, backoff=Backoff(min=0.1, max=0.1),
        )  # fmt: skip
        async with serving(spec) as manager:
            for number in range(3):
                await manager.acquire(f"db:{number}", timeout=5)
                await manager.release(f"db:{number}", discard=hook == "close")
                await asyncio.sleep(1)
            assert not armed
            await usable(manager, "db", 1)
            figures = await manager.monitor()
            assert figures["types"]["db"]["errors"][hook] == 1
            assert figures["restarts"] == 0
            assert figures["active_resources"] == 0
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("make", BAD, ids=NAMES)
def test_whatever_on_acquire_raises_the_slot_is_back(make: Callable[[], BaseException]) -> None:
    async def main() -> None:
        backend = Backend()
        armed = True

        async def welcome(fake: Fake) -> None:
            nonlocal armed
            await ticks(1)
            if armed:
                armed = False
                raise make()

        async with serving(backend.spec(max_size=1, on_acquire=welcome)) as manager:
            task = asyncio.ensure_future(manager.acquire("db:a"))
            await asyncio.wait({task})
            # In the borrower's own task an exception is a failed try, anything more is its own.
            ends_the_borrower = not isinstance(make(), Exception)
            if task.cancelled() or task.exception() is not None:
                assert ends_the_borrower or isinstance(make(), StopIteration)
            else:
                assert not ends_the_borrower
                await manager.release("db:a")
            await settled()
            await usable(manager, "db", 1)
            assert manager.cell("db").incarnation == 1
        backend.assert_all_closed()

    run(main())


# -- the two that end programs still do (cases 62, 66)

ENDING = """
import asyncio, sys
from pepperpy_resources import DefaultResourceManager, ResourceSpec

hook, late, offload = sys.argv[1], sys.argv[2] == "late", sys.argv[3] == "offload"
called = opened = closed = 0

def bad(name):
    if name == hook:
        raise ENDING

async def pause():
    if late:
        await asyncio.sleep(0.01)

async def connect():
    global called, opened
    called += 1
    await pause()
    bad("open")
    opened += 1
    return object()

async def close(_):
    global closed
    closed += 1
    await pause()
    bad("close")

async def check(_):
    await pause()
    bad("check")

async def reset(_):
    await pause()
    bad("reset")

async def welcome(_):
    await pause()
    bad("on_acquire")

def offloaded(_):
    bad("check")

async def main():
    spec = ResourceSpec("db", factory=connect, close=close, reset=reset, on_acquire=welcome,
                        check=offloaded if offload else check, fresh_for=0, offload=offload)
    async with DefaultResourceManager([spec]) as manager:
        for _ in range(3):
            async with manager.lease("db", discard=hook == "close"):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
    print("went on")

try:
    asyncio.run(main())
except (KeyboardInterrupt, SystemExit) as error:
    print("ended by", type(error).__name__, "opened", opened, "closed", closed,
          "called", called)
"""


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize(
    ("hook", "when", "where"),
    [
        ("open", "at once", "loop"),
        ("open", "late", "loop"),
        ("check", "late", "loop"),
        ("check", "at once", "offload"),
        ("reset", "at once", "loop"),
        ("close", "late", "loop"),
        ("on_acquire", "late", "loop"),
    ],
)
def test_keyboard_interrupt_and_system_exit_end_the_program(
    hook: str, when: str, where: str, error: str
) -> None:
    program = ENDING.replace("raise ENDING", f"raise {error}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, hook, when, where],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    words = done.stdout.split()
    assert words[:3] == ["ended", "by", error], done.stdout + done.stderr
    opened, closed, called = int(words[4]), int(words[6]), int(words[8])
    assert opened == closed  # what there was has been closed on the way out
    if hook == "open":
        assert called == 1  # its failure leads to no other try
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


# -- the loop ends under a manager that was not stopped

ENDED = """
import asyncio, sys
from pepperpy_resources import DefaultResourceManager, ResourceSpec

stuck = sys.argv[1]
calls = []

async def play(hook):
    calls.append(hook)
    if hook == stuck and (hook != "open" or len(calls) > 1):
        await asyncio.sleep(3600)

async def connect():
    await play("open")
    return object()

async def close(_):
    await play("close")

async def reset(_):
    await play("reset")

async def check(_):
    await play("check")

async def main():
    hooks = {} if stuck == "open" else {stuck: globals()[stuck]}
    spec = ResourceSpec("db", factory=connect, max_size=2, fresh_for=0, **{"close": close, **hooks})
    manager = DefaultResourceManager([spec])
    await manager.start()
    await manager.acquire("db:held")
    waiting.append(asyncio.ensure_future(manager.acquire("db:a")))
    await asyncio.sleep(0.05)
    if stuck != "open":
        await manager.release("db:a", discard=stuck == "close")
        for number in range(5):
            waiting.append(asyncio.ensure_future(manager.acquire(f"db:{number}")))
    await asyncio.sleep(0.05)
    print(calls)

waiting = []
asyncio.run(main())
print([task.cancelled() for task in waiting[-5:]])
print(calls)
"""


@pytest.mark.parametrize("hook", ["open", "check", "reset", "close"])
def test_a_loop_that_ends_cancels_the_hooks_and_starts_nothing_new(hook: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", ENDED, hook],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, waiting, after = done.stdout.splitlines()
    assert hook in before
    assert after == before
    assert "False" not in waiting
    # Said by the manager itself, and no task or coroutine of its is complained about.
    assert "was never stopped" in done.stderr
    assert done.stderr.count("Warning") == done.stderr.count("ResourceWarning") == 1
    assert "destroyed" not in done.stderr
    assert "Traceback" not in done.stderr
