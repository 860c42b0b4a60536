"""The thread that answers on this process's sockets: one for all, none before somebody inspects.

It reads one line from each client, answers with one line and hangs up. Nothing a client does, or
does not do, keeps the thread or another client waiting: no call here blocks but the one that waits
for something to happen, and each client has a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import msgspec

from pepperpy_resources.actors.host import describe
from pepperpy_resources.clock import monotonic
from pepperpy_resources.observe.loops import Watched, look_at
from pepperpy_resources.observe.node import as_json
from pepperpy_resources.observe.sockets import listen
from pepperpy_resources.observe.view import VERSION, Refusal, Request, View

log = logging.getLogger("pepperpy_resources")

DEADLINE = 5.0  # seconds a client has to send its request, and again to take the answer
LONGEST = 4096  # bytes of a request
MOST = 64  # clients at once; who comes then is turned away
CHUNK = 1 << 16
PAUSE = 0.05  # seconds, where no file can be opened, until the next client is tried
# A program may have SIGPIPE end it, which is not for whoever looks to bring about.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

_request = msgspec.json.Decoder(Request)


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
        self.deadline = monotonic() + DEADLINE
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

    def write(self) -> bool:
        """Send what the socket takes; return whether that was all."""
        self.answer = self.answer[self.socket.send(self.answer[:CHUNK], NO_SIGNAL) :]
        return not self.answer


class Server:
    """The sockets of one process and the thread that serves them.

    `listeners` and `thread` change under the lock; all else is the thread's own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.listeners: dict[Path, Listener] = {}
        self.thread: threading.Thread | None = None
        self.selector = selectors.DefaultSelector()
        self.clients: dict[socket.socket, Client] = {}
        self.asked: list[Client] = []
        self.pause = threading.Event()  # never set
        self._todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        self._woken.setblocking(False)
        self.selector.register(self._woken, selectors.EVENT_READ, self.wake_up)

    def add(self, path: Path, watched: Watched) -> None:
        """Show something at this path from now on; raises `UsageError` where that cannot be."""
        with self.lock:
            listener = self.listeners.get(path)
            if listener is None:
                listener = self.listeners[path] = Listener(path)
                self._do(lambda: self.register(listener))
            listener.watched.append(watched)
            if self.thread is None:
                self.thread = threading.Thread(
                    target=self.serve, name="pepperpy-inspect", daemon=True
                )
                self.thread.start()

    def remove(self, path: Path, watched: Watched) -> None:
        """Show it no more; the file is gone when this returns, unless something else is shown."""
        with self.lock:
            listener = self.listeners.get(path)
            if listener is None or watched not in listener.watched:
                return
            listener.watched.remove(watched)
            if not listener.watched:
                del self.listeners[path]
                listener.remove_file()
                self._do(lambda: self.unregister(listener))

    def remove_files(self) -> None:
        """Leave no file behind when the program ends."""
        for listener in self.listeners.values():
            listener.remove_file()

    def abandon(self) -> None:
        """Give back what a forked child has inherited; the parent's goes on."""
        # Closed only: taking them out of the selector would take them out of the parent's, too.
        for listener in self.listeners.values():
            listener.socket.close()
        for end in (*self.clients, self._waking, self._woken):
            end.close()
        self.selector.close()

    def _do(self, work: Callable[[], None]) -> None:
        self._todo.put(work)
        with contextlib.suppress(BlockingIOError):  # so full that it will wake up anyway
            self._waking.send(b"\0")

    # -- the thread

    def serve(self) -> None:
        """Answer until nothing is shown any more: the whole life of the thread."""
        while not self.idle():
            for key, _ in self.selector.select(self.patience()):
                key.data()
            self.expire()
            self.answer_all()

    def idle(self) -> bool:
        """Tell whether to end: nobody is there and nothing is shown."""
        with self.lock:
            if self.listeners or self.clients or not self._todo.empty():
                return False
            self.thread = None
            return True

    def patience(self) -> float | None:
        """Return the seconds until the next client's deadline."""
        if not self.clients:
            return None
        return max(0.0, min(client.deadline for client in self.clients.values()) - monotonic())

    def wake_up(self) -> None:
        """Do what other threads have asked for."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(CHUNK)
        while not self._todo.empty():
            self._todo.get()()

    def register(self, listener: Listener) -> None:
        """Begin to accept clients."""
        self.selector.register(listener.socket, selectors.EVENT_READ, lambda: self.accept(listener))

    def unregister(self, listener: Listener) -> None:
        """Accept no more clients; those that are there are still served."""
        self.selector.unregister(listener.socket)
        listener.socket.close()

    def accept(self, listener: Listener) -> None:
        """Take one client in."""
        try:
            connection, _ = listener.socket.accept()
        except BlockingIOError:  # it has gone again
            return
        except OSError:  # there are no more files to be had, perhaps
            self.pause.wait(PAUSE)
            return
        if len(self.clients) >= MOST:
            connection.close()
            return
        connection.setblocking(False)
        client = self.clients[connection] = Client(connection, listener)
        self.selector.register(
            connection, selectors.EVENT_READ, lambda: self.guarded(client, self.read)
        )

    def guarded(self, client: Client, work: Callable[[Client], None]) -> None:
        """Work for one client; whatever goes wrong ends that client and nothing else."""
        try:
            work(client)
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self.drop(client)
        except Exception:
            log.exception("a client of the inspection was not served")
            self.drop(client)

    def read(self, client: Client) -> None:
        """Read on; note a complete request."""
        line = client.read()
        if line is None:
            return
        self.selector.unregister(client.socket)
        try:
            _request.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text = "too long" if len(line) > LONGEST else str(error)
            self.reply(client, line_of(Refusal(f'no request ({text}): send {{"get":"tree"}}')))
        else:
            self.asked.append(client)

    def answer_all(self) -> None:
        """Answer all who have asked; those of one socket get the same, looked at once."""
        asked, self.asked = self.asked, []
        answers: dict[Listener, bytes] = {}
        for client in asked:
            listener = client.listener
            if listener not in answers:
                answers[listener] = self.answer(listener)
            self.guarded(client, partial(self.reply, answer=answers[listener]))

    def answer(self, listener: Listener) -> bytes:
        """Return what is there to see, or why it cannot be told; forget what is no more."""
        for gone in [each for each in listener.watched if each.gone]:
            self.remove(listener.path, gone)
        try:
            return line_of(listener.answer())
        except Exception as error:
            log.exception("the view could not be taken")
            return line_of(Refusal(f"the view could not be taken: {describe(error)}"))

    def reply(self, client: Client, answer: bytes) -> None:
        """Begin to send an answer."""
        client.answer = memoryview(answer)
        client.deadline = monotonic() + DEADLINE
        self.selector.register(
            client.socket, selectors.EVENT_WRITE, lambda: self.guarded(client, self.write)
        )

    def write(self, client: Client) -> None:
        """Send on; hang up when all is sent."""
        if client.write():
            self.drop(client)

    def expire(self) -> None:
        """Hang up on who is too slow."""
        now = monotonic()
        for client in [c for c in self.clients.values() if c.deadline <= now]:
            self.drop(client)

    def drop(self, client: Client) -> None:
        """Hang up."""
        self.clients.pop(client.socket, None)
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(client.socket)
        client.socket.close()


def line_of(answer: View | Refusal) -> bytes:
    """Return one line of JSON."""
    return as_json(answer) + b"\n"
