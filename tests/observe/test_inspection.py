"""The server: what it answers, whom it keeps waiting (nobody), and what is left of it (nothing)."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from pepperpy_resources.errors import UsageError
from pepperpy_resources.observe import connections, loops, serving
from pepperpy_resources.observe.client import look
from pepperpy_resources.observe.inspection import inspect
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.view import LoopState, Refusal, Source, View
from tests.observe.looking import (
    SOON,
    loop_in_thread,
    no_thread_is_left,
    raw,
    shop,
    short_folder,
    shown,
    threads,
)

Loop = asyncio.AbstractEventLoop


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def loop() -> Iterator[Loop]:
    with loop_in_thread() as loop:
        yield loop


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Begin and end each test without the thread."""
    no_thread_is_left()
    yield
    no_thread_is_left()


def big(count: int) -> Node:
    return Node("big", "S", "running", children=[Node(f"w-{n}", "W", "busy") for n in range(count)])


# -- what it answers


def test_one_line_in_one_line_out(folder: Path, loop: Loop) -> None:
    with shown(folder, loop) as inspection:
        answer = raw(inspection.path, b'{"get":"tree"}\n')
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1
        view = msgspec.json.decode(answer, type=View)
        assert (view.version, view.pid) == (1, os.getpid())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", view.taken)
        assert view.sources == [Source("shop", LoopState("running"), shop())]
        assert look(str(inspection.path)).sources == view.sources


@pytest.mark.parametrize(
    "sent",
    [
        b'{"get":"tree"}\n{"get":"tree"}\n',
        b'{"get":"tree","from":"the future"}\n',
        b' {"get" : "tree"} \r\n',
    ],
)
def test_what_else_is_sent_does_not_matter(sent: bytes, folder: Path, loop: Loop) -> None:
    with shown(folder, loop) as inspection:
        assert msgspec.json.decode(raw(inspection.path, sent), type=View).sources[0].tree == shop()


def test_a_request_may_end_with_the_connection(folder: Path, loop: Loop) -> None:
    with shown(folder, loop) as inspection:
        answer = raw(inspection.path, b'{"get":"tree"}', end=True)
        assert msgspec.json.decode(answer, type=View).sources[0].tree == shop()


GARBAGE = [
    (b"\n", "truncated"),
    (b"tree\n", "malformed"),
    (b"[]\n", "Expected `object`"),
    (b"{}\n", "missing required field `get`"),
    (b'{"get":"secrets"}\n', "Invalid enum value 'secrets'"),
    (b'{"get":1}\n', "Expected `str`"),
    (b"\xff\xfe\x00\n", "malformed"),
    (b'{"get":"\xff"}\n', ""),
    (b"x" * 4097, "too long"),
    (b"x" * 1_000_000, "too long"),
    (b"[" * 4000 + b"\n", ""),
    (b"GET / HTTP/1.1\r\n", "malformed"),
]


@pytest.mark.parametrize(("sent", "why"), GARBAGE)
def test_garbage_is_refused_and_the_next_is_served(
    sent: bytes, why: str, folder: Path, loop: Loop
) -> None:
    with shown(folder, loop) as inspection:
        refusal = msgspec.json.decode(raw(inspection.path, sent), type=Refusal)
        assert refusal.error.startswith("no request (")
        assert refusal.error.endswith('): send {"get":"tree"}')
        assert why in refusal.error
        assert look(str(inspection.path)).sources[0].tree == shop()


def test_who_says_nothing_gets_nothing(folder: Path, loop: Loop) -> None:
    with shown(folder, loop) as inspection:
        assert raw(inspection.path, b"", end=True) == b""
        assert look(str(inspection.path)).sources[0].tree == shop()


def test_several_trees_at_one_socket(folder: Path, loop: Loop) -> None:
    path = folder / "s"
    with inspect("one", loop, shop, path), inspect("two", loop, lambda: big(1), path):
        assert [source.name for source in look(str(path)).sources] == ["one", "two"]
        (thread,) = threads()
        assert thread.daemon
    assert not path.exists()


def test_several_sockets_and_one_thread(folder: Path, loop: Loop) -> None:
    with inspect("one", loop, shop, folder / "a"), inspect("two", loop, shop, folder / "b"):
        assert look(str(folder / "a")).sources[0].name == "one"
        assert look(str(folder / "b")).sources[0].name == "two"
        assert len(threads()) == 1


# -- whom it keeps waiting


def test_twenty_at_once_all_get_everything(folder: Path, loop: Loop) -> None:
    tree = big(3000)
    gate = threading.Barrier(20)

    def client(path: Path) -> Node | None:
        gate.wait(SOON)
        return look(str(path)).sources[0].tree

    with shown(folder, loop, lambda: tree) as inspection, ThreadPoolExecutor(20) as pool:
        for seen in pool.map(client, [inspection.path] * 20):
            assert seen == tree


def test_who_asks_together_gets_the_same_picture(folder: Path) -> None:
    """So a hundred who watch cost the loop as much as one."""
    built: list[int] = []
    building, hold = threading.Event(), threading.Event()

    def build() -> Node:
        built.append(1)
        building.set()
        hold.wait(SOON)
        return shop()

    idle = asyncio.new_event_loop()  # so it is the server's thread that builds, and is held up
    clients = [socket.socket(socket.AF_UNIX) for _ in range(11)]
    with shown(folder, idle, build) as inspection:
        for client in clients:
            client.settimeout(SOON)
            client.connect(str(inspection.path))
            client.sendall(b'{"get":"tree"}\n')
            assert building.wait(SOON)
        hold.set()
        for client in clients:
            assert client.recv(1) == b"{"
            client.close()
    assert len(built) == 2  # for the first, and for those who came meanwhile
    idle.close()


def test_the_silent_and_the_slow_keep_nobody_waiting(
    folder: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DEADLINE", 0.5)
    with shown(folder, loop, lambda: big(20_000)) as inspection:
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        silent, half, deaf = clients
        for client in clients:
            client.settimeout(SOON)
            client.connect(str(inspection.path))
        half.sendall(b'{"get":')
        deaf.sendall(b'{"get":"tree"}\n')  # and does not take the answer
        tree = look(str(inspection.path)).sources[0].tree
        assert tree is not None
        assert len(tree.children) == 20_000
        assert silent.recv(1) == b""  # hung up on
        assert half.recv(1) == b""
        until = time.monotonic() + SOON
        while inspection._server.clients and time.monotonic() < until:
            time.sleep(0.01)
        received = b""
        while chunk := deaf.recv(1 << 20):
            received += chunk
        assert 0 < len(received) < 1_000_000  # what was under way, of some six million bytes
        for client in clients:
            client.close()


def test_one_who_takes_the_answer_slowly_gets_all_of_it(folder: Path, loop: Loop) -> None:
    with (
        shown(folder, loop, lambda: big(5000)) as inspection,
        socket.socket(socket.AF_UNIX) as slow,
    ):
        slow.settimeout(SOON)
        slow.connect(str(inspection.path))
        slow.sendall(b'{"get":"tree"}\n')
        received = b""
        while chunk := slow.recv(1000):
            received += chunk
        tree = msgspec.json.decode(received, type=View).sources[0].tree
        assert tree is not None
        assert len(tree.children) == 5000


def test_who_leaves_before_the_answer_disturbs_nobody(folder: Path, loop: Loop) -> None:
    with shown(folder, loop, lambda: big(5000)) as inspection:
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(inspection.path))
                client.sendall(b'{"get":"tree"}\n')
        assert look(str(inspection.path)).sources[0].tree == big(5000)


def test_a_fault_of_ours_costs_one_client_and_is_logged(
    folder: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [ValueError("our fault")]
    real = connections.Client.write

    def write(self: connections.Client) -> bool:
        if faults:
            raise faults.pop()
        return real(self)

    monkeypatch.setattr(connections.Client, "write", write)
    with shown(folder, loop) as inspection:
        assert raw(inspection.path, b'{"get":"tree"}\n') == b""
        assert look(str(inspection.path)).sources[0].tree == shop()
    assert "a client of the inspection was not served" in caplog.text
    assert "our fault" in caplog.text


def test_more_than_can_be_served_are_turned_away(
    folder: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST", 2)
    with shown(folder, loop) as inspection:
        here = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for client in here:
            client.connect(str(inspection.path))
        assert raw(inspection.path, b"", end=False) == b""
        for client in here:
            client.settimeout(SOON)
            client.sendall(b'{"get":"tree"}\n')
            assert client.recv(1) == b"{"
            client.close()


def test_no_file_left_to_open_is_no_end(
    folder: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or: accept() fails for a while, as it does then."""
    fails = iter([OSError(24, "Too many open files")] * 3)
    real = socket.socket.accept

    def accept(self: socket.socket) -> tuple[socket.socket, object]:
        for error in fails:
            raise error
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    with shown(folder, loop) as inspection:
        assert look(str(inspection.path)).sources[0].tree == shop()
        assert list(fails) == []


# -- a tree that cannot be built


def test_what_fails_to_build_is_said(folder: Path, loop: Loop) -> None:
    def build() -> Node:
        raise ValueError("no tree today")

    with shown(folder, loop, build) as inspection, inspect("b", loop, shop, inspection.path):
        first, second = look(str(inspection.path)).sources
        assert (first.tree, first.error) == (None, "ValueError: no tree today")
        assert second.tree == shop()


def test_a_tree_that_no_json_can_hold_is_said_and_the_next_is_served(
    folder: Path, loop: Loop
) -> None:
    deep = shop()
    for _ in range(20_000):
        deep = Node("d", "S", "running", children=[deep])
    trees = [shop(), deep]
    with shown(folder, loop, trees.pop) as inspection:
        answer = raw(inspection.path, b'{"get":"tree"}\n')
        assert b"the view could not be taken: RecursionError" in answer
        assert look(str(inspection.path)).sources[0].tree == shop()
    while deep.children:  # from above: to free it all at once would need as deep a stack
        deep = deep.children.pop()


# -- loops that do not come round


def test_a_loop_that_is_closed_or_does_not_run(folder: Path) -> None:
    ended = asyncio.new_event_loop()
    ended.close()
    idle = asyncio.new_event_loop()
    path = folder / "s"
    with inspect("ended", ended, shop, path), inspect("idle", idle, shop, path):
        for _ in range(2):
            assert look(str(path)).sources == [
                Source("ended", LoopState("closed"), shop()),
                Source("idle", LoopState("not running"), shop()),
            ]
        idle.run_until_complete(asyncio.sleep(0))  # it answers late what it was asked
        assert look(str(path)).sources[1].loop == LoopState("not running")
    idle.close()


def test_a_loop_that_is_stuck_and_comes_round_again(folder: Path, loop: Loop) -> None:
    hanging, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        let_go.wait(SOON)

    async def handler() -> None:
        hang()

    with shown(folder, loop) as inspection:
        look(str(inspection.path))  # so it knows the loop's thread
        asyncio.run_coroutine_threadsafe(named(handler(), "payer"), loop)
        assert hanging.wait(SOON)
        (source,) = look(str(inspection.path)).sources
        assert source.tree == shop()  # built past the loop
        assert (source.loop.state, source.loop.task) == ("stuck", "payer")
        assert 0.25 <= source.loop.stuck < SOON
        line = hang.__code__.co_firstlineno
        prefix = r"test_a_loop_that_is_stuck_and_comes_round_again\.<locals>\."
        _, waits, inner, outer, _ = source.loop.where
        assert re.fullmatch(r".*threading\.py:\d+ in Event\.wait", waits)
        assert re.fullmatch(rf"{re.escape(__file__)}:{line + 2} in {prefix}hang", inner)
        assert re.fullmatch(rf"{re.escape(__file__)}:{line + 5} in {prefix}handler", outer)
        first = source.loop.stuck
        (again,) = look(str(inspection.path)).sources
        assert again.loop.stuck > first  # since the first question, over all that look
        let_go.set()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(SOON)
        assert look(str(inspection.path)).sources[0].loop == LoopState("running")


async def named(work: object, name: str) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.set_name(name)
    await work  # type: ignore[misc]


def test_a_stuck_loop_is_waited_for_only_once(
    folder: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "PATIENCE", 0.25)
    let_go = threading.Event()
    built: list[int] = []

    def build() -> Node:
        built.append(threading.get_ident())
        return shop()

    with shown(folder, loop, build) as inspection:
        look(str(inspection.path))
        loop.call_soon_threadsafe(let_go.wait, SOON)
        look(str(inspection.path))
        monkeypatch.setattr(loops, "PATIENCE", 3600.0)  # who waits now, waits for ever
        for _ in range(5):
            assert look(str(inspection.path)).sources[0].loop.state == "stuck"
        let_go.set()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(SOON)
        # What it was asked meanwhile it need not build any more.
        assert len(built) == 7
        assert look(str(inspection.path)).sources[0].loop.state == "running"


# -- what is left of it


def test_closing_removes_the_socket_and_is_idempotent(folder: Path, loop: Loop) -> None:
    inspection = inspect("shop", loop, shop, folder / "s")
    assert repr(inspection) == f"<Inspection of 'shop' at {folder}/s>"
    inspection.close()
    assert not inspection.path.exists()
    inspection.close()
    with inspect("shop", loop, shop, folder / "s"):  # the same again
        assert look(str(folder / "s")).sources[0].tree == shop()


def test_a_socket_that_is_somebody_else_s_by_now_is_left_alone(folder: Path, loop: Loop) -> None:
    with inspect("shop", loop, shop, folder / "s"):
        (folder / "s").unlink()
        (folder / "s").write_text("somebody else's")
    assert (folder / "s").read_text() == "somebody else's"


def test_two_that_show_at_one_path_of_another_program_are_refused(folder: Path, loop: Loop) -> None:
    with inspect("shop", loop, shop, folder / "s"):
        code = f"""
import asyncio
from pepperpy_resources.observe.inspection import inspect
inspect("x", asyncio.new_event_loop(), lambda: None, {str(folder / "s")!r})
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              timeout=50, check=False)  # fmt: skip
        assert "is the socket of a running program: give another path" in done.stderr
        assert look(str(folder / "s")).sources[0].tree == shop()


def test_a_path_that_cannot_be_leaves_nothing_behind(folder: Path, loop: Loop) -> None:
    with pytest.raises(UsageError, match="is too long"):
        inspect("shop", loop, shop, folder / ("x" * 200))
    assert list(folder.iterdir()) == []


def test_a_relative_path_is_where_it_was(
    folder: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with inspect("shop", loop, shop, "s") as inspection:
        assert inspection.path == folder / "s"
        monkeypatch.chdir("/")
    assert list(folder.iterdir()) == []


class Program:
    """Has a tree."""

    def tree(self) -> Node:
        return shop()


def test_what_is_shown_is_not_kept_alive(folder: Path, loop: Loop) -> None:
    program = Program()
    gone = weakref.ref(program)
    inspect("shop", loop, program.tree, folder / "s")  # whose end nobody waits for
    with inspect("other", loop, shop, folder / "s"):
        assert [source.name for source in look(str(folder / "s")).sources] == ["shop", "other"]
        del program
        gc.collect()
        assert gone() is None
        assert [source.name for source in look(str(folder / "s")).sources] == ["other"]


# -- processes


ENDING = """
import asyncio, sys
from pepperpy_resources.observe.inspection import inspect
from pepperpy_resources.observe.node import Node

loop = asyncio.new_event_loop()
inspect("a", loop, lambda: Node("a", "W", "running"), sys.argv[1])
loop.close()
print("shown", flush=True)
"""


def test_a_program_that_ends_takes_its_socket_along(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDING, str(folder / "s")],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("shown\n", "", 0)
    assert list(folder.iterdir()) == []


FORKING = """
import asyncio, os, sys, threading
from pepperpy_resources.observe import inspection
from pepperpy_resources.observe.client import look
from pepperpy_resources.observe.node import Node

def names(path):
    try:
        return [source.name for source in look(path).sources]
    except Exception as error:
        return str(error)

def tree():
    return Node("a", "W", "running")

path = sys.argv[1]
loop = asyncio.new_event_loop()
shown = inspection.inspect("parent", loop, tree, path)
ready, closed = os.pipe(), os.pipe()
loop.close()
lock = shown._server.lock
lock.acquire()  # as the server's thread may have it just now
child = os.fork()
if child:
    lock.release()
else:
    assert [t.name for t in threading.enumerate()] == ["MainThread"]
    print("child sees", names(path), flush=True)
    shown.close()
    print("child has closed", names(path), flush=True)
    with inspection.inspect("child", loop, tree, path + "-child"):
        print("child shows", names(path + "-child"), flush=True)
    os.write(ready[1], b"x")
    os.read(closed[0], 1)
    print("parent has closed", names(path), flush=True)
    sys.exit()  # which does what is registered for the exit
os.read(ready[0], 1)
print("parent shows", names(path), flush=True)
shown.close()
os.write(closed[1], b"x")
os.wait()
print("over", os.listdir(os.path.dirname(path)), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_leaves_the_parent_s_socket_to_the_parent(folder: Path) -> None:
    done = subprocess.run(
        # From Python 3.12 on a fork beside a thread is warned of.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKING,
         str(folder / "s")],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "child sees ['parent']",
        "child has closed ['parent']",
        "child shows ['child']",
        "parent shows ['parent']",
        f"parent has closed no program answers at {folder}/s: No such file or directory",
        "over []",
    ]
