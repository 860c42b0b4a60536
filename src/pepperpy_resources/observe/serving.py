"""The thread that answers on this process's sockets: one for all, none before somebody inspects.

It reads one line from each client, answers with one line and hangs up. Nothing a client does, or
does not do, keeps the thread or another client waiting: no call here blocks but the one that waits
for something to happen, and each client has a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import msgspec

from pepperpy_resources.actors.host import describe
from pepperpy_resources.clock import monotonic
from pepperpy_resources.observe.connections import (
    CHUNK,
    LONGEST,
    NO_SIGNAL,
    Client,
    Listener,
)
from pepperpy_resources.observe.loops import Watched
from pepperpy_resources.observe.node import as_json
from pepperpy_resources.observe.view import Refusal, Request, View

log = logging.getLogger("pepperpy_resources")

MOST = 64  # clients at once; who comes then is turned away
PAUSE = 0.05  # seconds, where no file can be opened, until the next client is tried

_request = msgspec.json.Decoder(Request)


class Server:
    """The sockets of one process and the thread that serves them, while there are any.

    What other threads change (`listeners`, `thread`, `wake`) changes under the lock; all else is
    the thread's own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.listeners: dict[Path, Listener] = {}
        self.thread: threading.Thread | None = None
        self.wake: tuple[socket.socket, socket.socket] | None = None  # one end wakes the other
        self.todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.selector: selectors.DefaultSelector  # while there is a thread
        self.clients: dict[socket.socket, Client] = {}
        self.asked: list[Client] = []
        self.pause = threading.Event()  # never set

    def add(self, path: Path, watched: Watched) -> None:
        """Show something at this path from now on; raises `UsageError` where that cannot be."""
        with self.lock:
            listener = self.listeners.get(path)
            if listener is None:
                listener = Listener(path)
                self.order(partial(self.register, listener))
                self.listeners[path] = listener
            listener.watched.append(watched)

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
                self.order(partial(self.unregister, listener))

    def order(self, work: Callable[[], None]) -> None:
        """Have the thread do this, which is started if need be; the caller has the lock."""
        end = self.begin() if self.wake is None else self.wake[0]
        self.todo.put(work)
        with contextlib.suppress(BlockingIOError):  # so full that it wakes up anyway
            end.send(b"\0", NO_SIGNAL)

    def begin(self) -> socket.socket:
        """Start the thread; return what wakes it."""
        one, other = socket.socketpair()
        one.setblocking(False)
        other.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(other, selectors.EVENT_READ, partial(self.wake_up, other))
        self.thread = threading.Thread(target=self.serve, name="pepperpy-inspect", daemon=True)
        self.thread.start()
        self.wake = one, other
        return one

    def remove_files(self) -> None:
        """Leave no file behind when the program ends."""
        for listener in self.listeners.values():
            listener.remove_file()

    def abandon(self) -> None:
        """Give back what a forked child has inherited; the parent's goes on."""
        # Closed only: taking them out of the selector would take them out of the parent's, too.
        for listener in self.listeners.values():
            listener.socket.close()
        for end in (*self.clients, *(self.wake or ())):
            end.close()
        if self.wake is not None:
            self.selector.close()
        self.lock = threading.Lock()  # the old one may have been held, by a thread that is not here
        self.listeners = {}  # so that what is closed here changes nothing there

    # -- the thread

    def serve(self) -> None:
        """Answer until nothing is shown any more: the whole life of the thread."""
        while not self.ended():
            for key, _ in self.selector.select(self.patience()):
                key.data()
            self.expire()
            self.answer_all()

    def ended(self) -> bool:
        """End where nothing is shown and nobody is there; tell whether that is so."""
        with self.lock:
            if self.listeners or self.clients or not self.todo.empty():
                return False
            for end in self.wake or ():
                end.close()
            self.selector.close()
            self.thread = self.wake = None
            return True

    def patience(self) -> float | None:
        """Return the seconds until the next client's deadline."""
        if not self.clients:
            return None
        return max(0.0, min(client.deadline for client in self.clients.values()) - monotonic())

    def wake_up(self, end: socket.socket) -> None:
        """Do what other threads have asked for."""
        with contextlib.suppress(BlockingIOError):
            end.recv(CHUNK)
        while not self.todo.empty():
            self.todo.get()()

    def register(self, listener: Listener) -> None:
        """Begin to accept clients."""
        self.selector.register(listener.socket, selectors.EVENT_READ, lambda: self.accept(listener))

    def unregister(self, listener: Listener) -> None:
        """Accept no more clients; those that are there are still served."""
        self.selector.unregister(listener.socket)
        listener.socket.close()

    def accept(self, listener: Listener) -> None:
        """Take in who has come: all of them, so that they are answered together."""
        try:
            while True:
                self.take_in(listener, listener.socket.accept()[0])
        except BlockingIOError:
            return
        except OSError:  # there are no more files to be had, perhaps
            self.pause.wait(PAUSE)

    def take_in(self, listener: Listener, connection: socket.socket) -> None:
        """Wait for a client's request, unless there are too many."""
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
        client.give(answer)
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
