"""Actors for the contract tests: one driven by hand, one on a thread; and a guard around them."""

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pykka
from pykka._envelope import Envelope

SECONDS = 10.0  # no test waits this long unless pykka has changed

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


@contextmanager
def nothing_left_behind() -> Generator[None]:
    """Fail the test that leaves a thread or a registered actor to the tests after it."""
    threads, refs = set(threading.enumerate()), set(pykka.ActorRegistry.get_all())
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), f"left behind: {thread}"
    assert set(pykka.ActorRegistry.get_all()) <= refs


class HandInbox:
    """Remembers what was put and by which thread; nobody waits behind it."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope[Any]] = []
        self.threads: list[threading.Thread] = []

    def put(self, envelope: Envelope[Any], /) -> None:
        self.envelopes.append(envelope)
        self.threads.append(threading.current_thread())

    def get(self) -> Envelope[Any]:
        return self.envelopes.pop(0)

    def empty(self) -> bool:
        return not self.envelopes


class HandFuture(pykka.Future[Any]):
    """Remembers what is done to it and never waits: `get()` of nothing raises `pykka.Timeout`."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []  # of each get()
        self.hooks: list[Callable[[float | None], Any]] = []
        self.values: list[Any] = []
        self.errors: list[BaseException] = []

    def get(self, *, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        if self.hooks:
            return self.hooks[0](timeout)
        if self.errors:
            raise self.errors[0]
        if self.values:
            return self.values[0]
        raise pykka.Timeout

    def set(self, value: Any = None) -> None:
        self.values.append(value)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        error = (exc_info or sys.exc_info())[1]
        assert error is not None
        self.errors.append(error)

    def set_get_hook(self, func: Callable[[float | None], Any]) -> None:
        self.hooks.append(func)


class HandActor(pykka.Actor):
    """Has no thread: a turn runs when the test calls `turn()`."""

    actor_inbox: HandInbox

    @staticmethod
    def _create_actor_inbox() -> HandInbox:
        return HandInbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return HandFuture()

    def _start_actor_loop(self) -> None:
        """Start nothing."""

    def turn(self) -> None:
        envelope = self.actor_inbox.get()
        answer = self._handle_receive(envelope.message)
        if envelope.reply_to is not None:
            envelope.reply_to.set(answer)


@dataclass
class Log:
    """What an actor on a thread leaves to the test; the actor itself is gone when it has ended."""

    events: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    busy: threading.Event = field(default_factory=threading.Event)  # it has begun to wait
    gate: threading.Event = field(default_factory=threading.Event)  # it may go on

    def wait_at_gate(self) -> None:
        self.busy.set()
        assert self.gate.wait(SECONDS)

    def join(self) -> None:
        """Wait until the actor's thread, its teardown included, has ended."""
        for thread in self.threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


class Worker(pykka.ThreadingActor):
    """Logs each message and hook; raises a message that is an exception; waits at "wait"."""

    use_daemon_thread = True  # a changed pykka must not keep the test run from ending

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.threads.append(threading.current_thread())

    def on_receive(self, message: Any) -> str:
        if isinstance(message, BaseException):
            raise message
        if message == "wait":
            self.log.wait_at_gate()
        self.log.events.append(message)
        return f"did {message}"

    def on_stop(self) -> None:
        self.log.events.append("on_stop")

    def on_failure(self, *_exc_info: object) -> None:
        self.log.events.append("on_failure")
