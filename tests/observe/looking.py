"""Parts of the tests of the view: a folder for sockets, a loop in a thread, nodes, a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pepperpy_resources.observe.inspection import Inspection, inspect
from pepperpy_resources.observe.node import Node

SOON = 10.0  # seconds nothing takes, unless it hangs


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder of our own whose path is short enough for any socket."""
    folder = Path(tempfile.mkdtemp(prefix="view-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run a real loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SOON)
        loop.close()


def shop() -> Node:
    """Return a small tree."""
    return Node("shop", "ResourceManager", "running", children=[Node("db", "Worker", "busy")])


@contextlib.contextmanager
def shown(
    folder: Path, loop: asyncio.AbstractEventLoop, build: Callable[[], Node] = shop
) -> Iterator[Inspection]:
    """Let a tree be looked at."""
    with inspect("shop", loop, build, folder / "s.sock") as inspection:
        yield inspection


def raw(path: Path, sent: bytes, *, end: bool = False) -> bytes:
    """Send bytes, with `end` say that there are no more, and return all that comes back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(SOON)
        client.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(sent)
        if end:
            client.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.recv(1 << 16):
                received += chunk
        return received


def no_thread_is_left() -> None:
    """See the thread end: it does by itself, soon after nothing is shown any more."""
    for thread in threads():
        thread.join(SOON)
    assert threads() == []


def threads() -> list[threading.Thread]:
    """Return the threads that serve views."""
    return [thread for thread in threading.enumerate() if thread.name == "pepperpy-inspect"]
