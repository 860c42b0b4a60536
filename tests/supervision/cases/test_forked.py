"""A forked child has none of its parent's loops: there, what runs in the parent refuses all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORK = """
import asyncio, os
from pepperpy_resources import Actor, ChildSpec, Supervisor, handles
from pepperpy_resources.errors import ActorDead, ForkedProcess

class Echo(Actor):
    def on_stop(self):
        print("stopped in", os.getpid(), flush=True)

    @handles(str)
    def echo(self, message):
        return message

spec = ChildSpec("echo", Echo)
supervisor = Supervisor([spec, ChildSpec("below", Supervisor([spec]))], name="top")

async def answer(work):
    try:
        return await asyncio.wait_for(work, 5)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

async def asked(path):
    return await supervisor.child(path).ask("hello")

async def kill():
    supervisor.child("echo").kill()

async def child():
    calls = [asked("echo"), asked("below/echo"), supervisor.start_child(spec), supervisor.wait(),
             supervisor.which_children(), supervisor.terminate_child("echo")]
    for work in calls:
        print("child:", await answer(work), flush=True)
    print("tell:", supervisor.child("echo").tell("hello"))
    print("stop:", await answer(supervisor.stop()))
    print("start:", await answer(supervisor.start()))
    print("kill:", await answer(kill()))
    print(repr(supervisor), supervisor.tree().status, flush=True)
    async with Supervisor([spec], name="new") as new:
        print("new:", await new.child("echo").ask("works"), flush=True)

def in_child():
    asyncio.run(child())
    os._exit(0)

async def main():
    async with supervisor:
        print("parent", os.getpid(), flush=True)
        pid = os.fork()
        if not pid:
            asyncio.events._set_running_loop(None)
            in_child()
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
        print("parent goes on:", await asked("below/echo"), flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_16_a_forked_child_is_told_so_and_the_parent_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    told = [line for line in lines if line.startswith("child:")]
    assert len(told) == 6
    assert all("ForkedProcess" in line and "make one after the fork" in line for line in told)
    assert "tell: False" in lines
    assert "stop: None" in lines
    assert [line for line in lines if line.startswith("start: UsageError")] != []
    assert [line for line in lines if line.startswith("kill: WrongLoop")] != []
    assert "<Supervisor 'top' forked, 2 specs> forked" in lines
    assert "new: works" in lines
    parent = lines[0].split()[1]
    assert "parent goes on: hello" in lines
    stops = [line.split()[-1] for line in lines if line.startswith("stopped in")]
    assert len(stops) == 3
    assert stops[0] != parent  # of the one that was made there
    assert stops[1:] == [parent, parent]
