"""KeyboardInterrupt and SystemExit from an actor's code still end the program."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENDING = """
import asyncio, sys
from pepperpy_resources import Actor, ChildSpec, Supervisor, handles

hook, late = sys.argv[1], sys.argv[2] == "late"
log = []

def bad(name):
    if name == hook:
        raise ENDING

async def pause():
    if late:
        await asyncio.sleep(0.01)

class Bad(Actor):
    def __init__(self):
        super().__init__()
        bad("__init__")

    async def on_start(self):
        await pause()
        bad("on_start")

    async def on_stop(self):
        await pause()
        bad("on_stop")

    def on_failure(self, *_):
        bad("on_failure")

    if late:
        @handles(str)
        async def handle(self, message):
            await pause()
            self.turn_of(message)
    else:
        @handles(str)
        def handle(self, message):
            self.turn_of(message)

    def turn_of(self, message):
        log.append(message)
        bad("handler")
        if hook == "on_failure":
            raise ValueError

class Good(Actor):
    def on_stop(self):
        log.append("good stopped")

async def main():
    async with Supervisor([ChildSpec("good", Good), ChildSpec("bad", Bad)]) as supervisor:
        supervisor.child("bad").tell("one")
        await asyncio.sleep(0.05)
        supervisor.child("bad").stop()
        await asyncio.sleep(5)
    print("went on")

try:
    asyncio.run(main())
except (KeyboardInterrupt, SystemExit) as error:
    print("ended by", type(error).__name__, log)
"""


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize(
    ("hook", "when"),
    [
        ("handler", "at once"),
        ("handler", "late"),
        ("__init__", "at once"),
        ("on_start", "at once"),
        ("on_start", "late"),
        ("on_stop", "late"),
        ("on_failure", "at once"),
    ],
)
def test_62_keyboard_interrupt_and_system_exit_end_the_program(
    hook: str, when: str, error: str
) -> None:
    program = ENDING.replace("raise ENDING", f"raise {error}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, hook, when],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    log = [] if hook in {"__init__", "on_start"} else ["one"]
    assert done.stdout == f"ended by {error} {[*log, 'good stopped']}\n", done.stderr
    assert "Traceback" not in done.stderr
    assert "never" not in done.stderr
