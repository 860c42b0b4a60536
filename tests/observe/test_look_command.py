"""`pepperpy-resources tree` and `top`: which program, what they print, and how they fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pepperpy_resources import cli
from pepperpy_resources.errors import NoView, UsageError
from pepperpy_resources.observe import client, command
from pepperpy_resources.observe.inspection import inspect
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.sockets import listen
from pepperpy_resources.observe.view import LoopState, Source, View
from tests.observe.looking import SOON, loop_in_thread, short_folder

Loop = asyncio.AbstractEventLoop
TREE = Node(
    "shop",
    "Supervisor",
    "running",
    children=[Node("shop/a", "Worker", "failed"), Node("shop/b", "Worker", "busy", mailbox=3)],
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the commands look for programs in one folder alone."""
    with short_folder() as folder:
        monkeypatch.setattr(client, "folders", lambda: iter([folder, Path("/no/such/folder")]))
        yield folder


@pytest.fixture
def shop(folder: Path) -> Iterator[Path]:
    """Show a shop as the process 17."""
    with loop_in_thread() as loop, inspect("shop", loop, lambda: TREE, folder / "17.sock") as it:
        yield it.path


def err(capsys: pytest.CaptureFixture[str], line: str, status: int = 1) -> str:
    """Run a command that fails; return the one sentence it says."""
    assert cli.main(line.split()) == status
    out, told = capsys.readouterr()
    assert out == ""
    assert told.count("\n") == 1
    return told.removesuffix("\n")


# -- which program


@pytest.mark.parametrize("target", ["", "17", "PATH"])
def test_the_only_program_one_by_its_number_one_by_its_socket(
    target: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["tree", target.replace("PATH", str(shop))] if target else ["tree"]
    assert cli.main(line) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"shop in process {os.getpid()} at \S+", heading)
    assert lines == [
        "! shop/a is failed",
        "Supervisor shop [running]",
        "├─ Worker shop/a [failed]",
        "└─ Worker shop/b [busy]  mailbox 3 (oldest 0.000 s, high 0)",
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("which", ["tree", "top"])
def test_no_program(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert err(capsys, which) == (
        f"pepperpy-resources {which}: no program can be looked at: call manager.inspect() in the "
        "one you mean"
    )


def test_several_programs(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen(shop.with_name("3.sock")):
        assert err(capsys, "tree") == (
            "pepperpy-resources tree: several programs can be looked at: 17, 3; name one of them"
        )
        assert cli.main(["tree", "17"]) == 0


@pytest.mark.usefixtures("shop")
def test_another_program_than_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert err(capsys, "tree 18") == (
        "pepperpy-resources tree: no program 18 can be looked at; those that can: 17"
    )


@pytest.mark.usefixtures("folder")
def test_a_path_where_nothing_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert err(capsys, "tree /no/such.sock") == (
        "pepperpy-resources tree: no program answers at /no/such.sock: No such file or directory"
    )


def test_a_path_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/" + "x" * 200
    assert err(capsys, f"tree {path}") == (
        f"pepperpy-resources tree: no program answers at {path}: AF_UNIX path too long"
    )


def test_somebody_else_s_program(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    else:
        shop.chmod(0)
    try:
        told = err(capsys, f"tree {shop}")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    assert told == (
        f"pepperpy-resources tree: permission denied: {shop} belongs to another user, who alone "
        "may look"
    )


def test_a_folder_that_is_not_one_s_own_is_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody may make a folder in /tmp that is named like ours, with a socket that lies."""
    foreign = folder / "foreign"
    foreign.mkdir(mode=0o777)
    foreign.chmod(0o777)
    with loop_in_thread() as loop, inspect("x", loop, lambda: TREE, folder / "17.sock"):
        monkeypatch.setattr(client, "folders", lambda: iter([foreign]))
        assert "may be written in by others (mode 777)" in err(capsys, "tree")
        monkeypatch.setattr(client, "folders", lambda: iter([foreign, folder]))
        assert cli.main(["tree"]) == 0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "it hung up: too many look at it, or it ends"),
        (b"hello\n", "it is not one of pepperpy-resources"),
        (b"\xff\n", "it is not one of pepperpy-resources"),
        (b'{"version":2,"trees":[]}\n', "it speaks version 2 of the protocol, this command 1"),
        (b'{"version":1,"pid":"x"}\n', "it is not one of pepperpy-resources"),
        (b'{"error":"no: \\u001b[2J"}\n', "no: \\x1b[2J"),
    ],
)
def test_what_answers_something_else(
    answer: bytes, problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "17.sock"

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        told = err(capsys, f"tree {path}")
        thread.join(SOON)
    assert told == (
        f"pepperpy-resources tree: the program at {path} cannot be looked at: {problem}"
    )


def test_a_system_without_such_sockets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    assert "needs Unix-domain sockets" in err(capsys, "tree 17")


# -- what `tree` prints


@pytest.mark.usefixtures("shop")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tree", "--json"]) == 0
    view = msgspec.json.decode(capsys.readouterr().out, type=View)
    assert [source.tree for source in view.sources] == [TREE]


@pytest.mark.usefixtures("shop")
def test_dot(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tree", "--dot"]) == 0
    assert capsys.readouterr().out == TREE.to_dot() + "\n"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("form", ["", "--json", "--dot"])
def test_the_filter(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tree", "--filter", "*/b", *form.split()]) == 0
    text = capsys.readouterr().out
    assert "shop/b" in text
    assert "shop/a" not in text


def test_ctrl_c_ends_tree_as_it_ends_any_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> View:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "look", interrupted)
    assert cli.main(["tree"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


# -- what `top` prints


@pytest.mark.usefixtures("shop")
def test_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--once"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"process {os.getpid()} at \S+: 3 nodes, by mailbox", heading)
    assert lines == [
        "PATH    STATUS   UP  RESTARTS  MAILBOX  OLDEST  BUSY  LEASED  WAITING  TROUBLE",
        "shop/b  busy                         3   0.0 s",
        "shop    running",
        "shop/a  failed",
        "",
    ]


@pytest.mark.usefixtures("shop")
def test_the_order_and_the_filter(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--once", "--sort", "path", "--filter", "shop/*"]) == 0
    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert heading.endswith(": 2 nodes, by path")
    assert [line.split()[0] for line in lines if line] == ["shop/a", "shop/b"]


@pytest.mark.usefixtures("shop")
def test_several_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--count", "3", "--interval", "0.1"]) == 0
    assert capsys.readouterr().out.count("PATH ") == 3


def test_what_is_wrong_stands_above_the_table_once_for_all_that_share_a_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = LoopState("stuck", 2.5, ["x.py:1 in f"])
    view = View(
        1, 42, "today",
        [Source("a", stuck, TREE), Source("b", stuck, None, "E: no"),
         Source("c", LoopState("closed"), None)],
    )  # fmt: skip
    monkeypatch.setattr(command, "look", lambda _: view)
    assert cli.main(["top", "--once", "--filter", "nosuch"]) == 0
    assert capsys.readouterr().out.splitlines()[:-2] == [
        "process 42 at today: 0 nodes, by mailbox",
        "! a, b: loop: stuck for >= 2.50 s",
        "! a, b:   at x.py:1 in f",
        "! b: the tree could not be built: E: no",
        "! c: loop: closed",
    ]


def test_a_program_that_ends_ends_top(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, looks = client.look, iter(range(2))

    def look(target: str | None) -> View:
        if next(looks, None) is None:
            shop.unlink()
        return real(target)

    monkeypatch.setattr(command, "look", look)
    assert cli.main(["top", str(shop), "--interval", "0.1"]) == 1
    out, told = capsys.readouterr()
    assert out.count("PATH ") == 2
    assert told == (
        f"pepperpy-resources top: no program answers at {shop}: No such file or directory\n"
    )


def test_ctrl_c_is_how_one_leaves_top(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> View:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "look", interrupted)
    assert cli.main(["top"]) == 0
    assert capsys.readouterr().err == ""


@contextlib.contextmanager
def on_terminal(*line: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command with a terminal of 40 by 6 characters as its output; yields its other end."""
    ours, its = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "pepperpy_resources", *line],
            stdin=its, stdout=its, stderr=its,
            env={**os.environ, "COLUMNS": "40", "LINES": "6", "NO_COLOR": "", **environment},
        ) as running:  # fmt: skip
            os.close(its)
            try:
                yield running, ours
            finally:
                running.kill()
    finally:
        os.close(ours)


def until(end: int, text: str) -> str:
    """Read from a terminal until this is there, or the program has ended."""
    seen = b""
    with contextlib.suppress(OSError):  # as a terminal says that nobody writes any more
        while text.encode() not in seen and (chunk := os.read(end, 4096)):
            seen += chunk
    return seen.decode()


def test_on_a_terminal_each_table_is_drawn_over_the_last_and_fits(shop: Path) -> None:
    nodes = [Node(f"n{n}", "Worker", "failed" if n == 0 else "running") for n in range(9)]
    tree = Node("z", "S", "running", children=nodes)
    with (
        loop_in_thread() as loop,
        inspect("z", loop, lambda: tree, shop.with_name("z.sock")) as shown,
        on_terminal(
            "top", str(shown.path), "--count", "2", "--interval", "0.1", "--sort", "path"
        ) as (running, end),
    ):
        text = until(end, "never said")
        assert running.wait(SOON) == 0
    assert text.startswith("\x1b[2J\x1b[?25l\x1b[H")
    assert text.endswith("\x1b[J\x1b[?25h")
    _, *screens = text.split("\x1b[H")
    assert len(screens) == 2
    for screen in screens:
        lines = [line for line in screen.split("\r\n") if "\x1b[K" in line]
        plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
        assert max(map(len, plain)) == 40
        assert [line.split()[0] for line in plain] == ["process", "PATH", "n0", "n1", "…"]
        assert plain[-1] == "… and 8 more"
        assert lines[2].startswith("\x1b[1;31mn0")


@pytest.mark.parametrize(
    ("line", "environment"),
    [(["--no-color"], {}), ([], {"NO_COLOR": "1"})],
)
def test_without_colour_on_a_terminal(
    line: list[str], environment: dict[str, str], shop: Path
) -> None:
    with on_terminal("tree", str(shop), *line, **environment) as (_, end):
        assert "\x1b" not in until(end, "never said")
    with on_terminal("tree", str(shop)) as (_, end):
        assert "\x1b[1;31m[failed]\x1b[0m" in until(end, "never said")


def test_ctrl_c_leaves_the_terminal_as_it_was(shop: Path) -> None:
    with on_terminal("top", str(shop), "--interval", "3600") as (running, end):
        until(end, "\x1b[J")
        running.send_signal(signal.SIGINT)
        assert "\x1b[?25h" in until(end, "\x1b[?25h")
        assert running.wait(SOON) == 0
        assert "Traceback" not in until(end, "never said")


def test_a_reader_that_has_seen_enough_is_no_error(shop: Path) -> None:
    """As in `pepperpy-resources top | head`."""
    line = [sys.executable, "-m", "pepperpy_resources", "top", str(shop), "--interval", "0.1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(SOON) == 0
        assert running.stderr.read() == b""


def test_an_output_that_cannot_draw_a_tree_gets_question_marks(shop: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pepperpy_resources", "tree", str(shop)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, check=False, timeout=50,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == (b"", 0)
    assert b"?? Worker shop/b [busy]" in done.stdout


# -- a wrong command line


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("tree --json --dot", "argument --dot: not allowed with argument --json"),
        ("tree --sort path", "unrecognized arguments: --sort"),
        ("top --sort size", "argument --sort: invalid choice: 'size'"),
        (
            "top --interval 0",
            "argument --interval: '0' is not a number of seconds from 0.1 to 3600",
        ),
        (
            "top --interval x",
            "argument --interval: 'x' is not a number of seconds from 0.1 to 3600",
        ),
        ("top --interval nan", "'nan' is not a number of seconds"),
        ("top --count 0", "argument --count: '0' is not a number from 1 on"),
        ("top --count -1", "argument --count: '-1' is not a number from 1 on"),
        ("top --once --count 2", "argument --count: not allowed with argument --once"),
        ("tree 1 2", "unrecognized arguments: 2"),
    ],
)
def test_a_wrong_command_line(
    line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(line.split())
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("which", ["tree", "top"])
def test_help(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([which, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "The program must let itself be looked at: manager.inspect()." in " ".join(text.split())
    assert "--filter GLOB" in text


# -- from Python


def test_looking_from_python(shop: Path) -> None:
    (source,) = client.look(str(shop)).sources
    assert source.tree == TREE


@pytest.mark.usefixtures("folder")
def test_what_is_wrong_is_an_error_of_the_package() -> None:
    wrong: Any = client.look
    with pytest.raises(NoView, match="no program can be looked at"):
        wrong()
    assert not issubclass(NoView, UsageError)
