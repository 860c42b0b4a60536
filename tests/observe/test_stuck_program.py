"""Real programs that hang, looked at from outside with the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from pepperpy_resources import cli
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.view import Source, View
from tests.observe.looking import short_folder

HEAD = """
import asyncio, sys, time
from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.supervision import Actor, ChildSpec, Supervisor, handles
PASSWORD = "hunter2-correct-horse"

def hang(card):
    print("it hangs", flush=True)
    time.sleep(50)
"""

HOOK = """
def check(connection):
    hang(PASSWORD)

async def main():
    spec = ResourceSpec("db", factory=object, reset=check)
    async with DefaultResourceManager([spec], name="shop") as manager:
        with manager.inspect(sys.argv[1]):
            async with manager.lease("db"):
                pass
            await asyncio.sleep(50)

asyncio.run(main())
"""

TURN = """
class Payer(Actor):
    def __init__(self, password):
        super().__init__()
        self.password = password

    @handles(str)
    def pay(self, card):
        hang(card)

    @handles(bytes)
    async def pay_later(self, card):
        hang(card)

async def main(message):
    spec = ChildSpec("payer", Payer, args=(PASSWORD,), stuck_after=0.01)
    async with Supervisor([spec, ChildSpec("other", Payer, args=("",))], name="shop") as top:
        with top.inspect(sys.argv[1]):
            top.child("payer").tell(message)
            await asyncio.sleep(50)

"""


@contextmanager
def program(code: str) -> Iterator[tuple[subprocess.Popen[str], Path, Path]]:
    """Run a program until it hangs; yields it, its file and its socket."""
    with short_folder() as folder:
        script, path = folder / "program.py", folder / "s.sock"
        script.write_text(HEAD + code)
        with subprocess.Popen(
            [sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True
        ) as running:
            try:
                assert running.stdout is not None
                assert running.stdout.readline() == "it hangs\n"
                yield running, script, path
            finally:
                running.kill()


def line_of(script: Path, text: str) -> int:
    (number,) = [n for n, line in enumerate(script.read_text().splitlines(), 1) if text in line]
    return number


def tree_of(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, Source]:
    """Return what `tree` prints, and what it prints as JSON."""
    assert cli.main(["tree", str(path)]) == 0
    text = capsys.readouterr().out
    assert cli.main(["tree", str(path), "--json"]) == 0
    (source,) = msgspec.json.decode(capsys.readouterr().out, type=View).sources
    assert "hunter2" not in text
    assert "pepperpy_resources/actors" not in text  # what runs the hook or the turn says nothing
    assert "hunter2" not in msgspec.json.encode(source).decode()
    return text, source


def at(source: Source, path: str) -> Node:
    assert source.tree is not None
    (found,) = [node for node in source.tree.walk() if node.path == path]
    return found


def test_a_hook_that_blocks_the_loop(capsys: pytest.CaptureFixture[str]) -> None:
    with program(HOOK) as (running, script, path):
        text, source = tree_of(path, capsys)
        heading, stuck, first, second = text.splitlines()[:4]
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
        assert re.fullmatch(rf"shop in process {running.pid} at {stamp}", heading)
        assert re.fullmatch(r"! loop: stuck for >= \d+\.\d\d s, in task db:reset#1", stuck)
        assert first == f"!   at {script}:{line_of(script, 'time.sleep(50)')} in hang"
        assert second == f"!   at {script}:{line_of(script, 'hang(PASSWORD)')} in check"
        assert "ResourceSupervisor db [running]" in text
        assert "slots: 1 resetting" in text
        assert source.loop.stuck > 0.25
        before = source.loop.stuck
        assert tree_of(path, capsys)[1].loop.stuck > before


@pytest.mark.parametrize(
    ("message", "kind", "who"),
    [
        ("PASSWORD", "str", "in shop/payer handling str"),
        ("PASSWORD.encode()", "bytes", "in task shop/payer:bytes"),
    ],
)
def test_75_an_actor_whose_turn_blocks_the_loop(
    message: str, kind: str, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with program(f"{TURN}asyncio.run(main({message}))") as (_, script, path):
        text, source = tree_of(path, capsys)
        lines = text.splitlines()
        assert re.fullmatch(rf"! loop: stuck for >= \d+\.\d\d s, {who}", lines[1])
        assert lines[2] == f"!   at {script}:{line_of(script, 'time.sleep(50)')} in hang"
        assert "! shop/payer is stuck" in lines
        assert "Payer shop/payer [stuck]" in text
        payer, other = at(source, "shop/payer"), at(source, "shop/other")
        assert (payer.status, other.status) == ("stuck", "running")
        assert payer.current is not None
        assert payer.current.message == kind
        assert payer.current.elapsed > 0.25
        assert cli.main(["top", str(path), "--once", "--sort", "busy"]) == 0
        table = capsys.readouterr().out
        assert "! shop: loop: stuck for >= " in table
        rows = [line.split() for line in table.splitlines()]
        headings = rows.index(["PATH", "STATUS", "UP", "RESTARTS", "MAILBOX", "OLDEST", "BUSY",
                               "LEASED", "WAITING", "TROUBLE"])  # fmt: skip
        assert rows[headings + 1][:2] == ["shop/payer", "stuck"]
        assert kind in rows[headings + 1]


def test_a_program_that_is_stopped_does_not_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pepperpy_resources.observe.client.DEADLINE", 0.3)
    with program(HOOK) as (running, _, path):
        os.kill(running.pid, 19)  # SIGSTOP
        assert cli.main(["tree", str(path)]) == 1
        assert capsys.readouterr().err == (
            f"pepperpy-resources tree: the program at {path} did not answer within 0.3 s: it is "
            "stopped, or something in it holds the interpreter's lock\n"
        )
        os.kill(running.pid, 18)
        assert cli.main(["tree", str(path)]) == 0


def test_a_program_that_was_killed_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    with program(HOOK) as (running, _, path):
        running.kill()
        running.wait()
        assert path.exists()
        assert cli.main(["tree", str(path)]) == 1
        assert capsys.readouterr().err == (
            f"pepperpy-resources tree: no program answers at {path}: Connection refused\n"
        )
