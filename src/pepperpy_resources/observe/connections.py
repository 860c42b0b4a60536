"""A socket that shows trees, and who has connected to it."""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from pepperpy_resources.clock import monotonic
from pepperpy_resources.observe.loops import Watched, look_at
from pepperpy_resources.observe.sockets import listen
from pepperpy_resources.observe.view import VERSION, View

DEADLINE = 5.0  # seconds a client has to send its request, and again to take the answer
LONGEST = 4096  # bytes of a request
CHUNK = 1 << 16
# A program may have SIGPIPE end it, which is not for whoever looks to bring about.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class Listener:
    """One socket and what is shown there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watched: list[Watched] = []
        self.socket = listen(path)
        seen = path.lstat()
        self._file = (seen.st_dev, seen.st_ino)

    def remove_file(self) -> None:
        """Remove the socket's file, if it is still ours."""
        with contextlib.suppress(OSError):
            seen = self.path.lstat()
            if (seen.st_dev, seen.st_ino) == self._file:
                self.path.unlink()

    def answer(self) -> View:
        """Return what is there to see now."""
        taken = datetime.now(UTC).isoformat(timespec="milliseconds")
        return View(VERSION, os.getpid(), taken, look_at(tuple(self.watched)))


class Client:
    """One connection: what it has sent, and what is left of its answer."""

    def __init__(self, connection: socket.socket, listener: Listener) -> None:
        self.socket = connection
        self.listener = listener
        self.deadline = monotonic() + DEADLINE  # to have sent a request, or taken the answer
        self.sent = b""
        self.answer = memoryview(b"")

    def read(self) -> bytes | None:
        """Return the line it has sent, None while it is not complete; raises EOFError, OSError."""
        chunk = self.socket.recv(LONGEST)
        self.sent += chunk
        line, newline, _ = self.sent.partition(b"\n")
        if newline or len(self.sent) > LONGEST:
            return line
        if not chunk:
            if not self.sent:
                raise EOFError
            return line
        return None

    def give(self, answer: bytes) -> None:
        """Have this sent."""
        self.answer = memoryview(answer)
        self.deadline = monotonic() + DEADLINE

    def write(self) -> bool:
        """Send what the socket takes; return whether that was all."""
        self.answer = self.answer[self.socket.send(self.answer[:CHUNK], NO_SIGNAL) :]
        return not self.answer
