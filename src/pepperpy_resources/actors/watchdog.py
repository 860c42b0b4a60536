"""Names the inline hook that blocks the event loop, while it still does (law 4).

No deadline can stop a plain def hook that runs on the loop, and nothing on the loop could tell of
it: the actors, the timers and the log all wait behind it. So a thread looks, every `LOOK` seconds
while such hooks are called, and sleeps without waking up once none has been for `AWAKE` seconds.
It starts with the first such call, and ends with its manager, stopped or merely dropped.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import get_ident
from typing import TypeVar

import msgspec

from pepperpy_resources.clock import monotonic

T = TypeVar("T")

log = logging.getLogger("pepperpy_resources")

AFTER = 0.1  # seconds a hook may block the loop before it is named
LOOK = 0.05  # seconds between two looks
AWAKE = 1.0  # seconds after the last call in which there may soon be another


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call of an inline hook: whose, on which thread, since when. Keeps nothing alive."""

    type_name: str
    hook: str
    slot: int  # 0: unknown
    thread: int
    began: float


NONE = Call("", "", 0, 0, -math.inf)


class Watchdog:
    """What the loop tells of its inline hooks, and where one thread reads it.

    Each attribute has one writer, the loop's thread, but for `asleep`, which both write: the loop
    writes `latest` and then reads `asleep`, the other thread writes `asleep` and then reads
    `latest`, so one of them always sees that there is something to look at.
    """

    def __init__(self) -> None:
        self.latest = NONE  # the call that was begun last
        self.over = NONE  # the call that ended last: `latest` itself while none runs
        self.asleep = True
        self.ended = False
        # Its put() may run inside any other code of this thread, as a weakref's callback does.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, type_name: str, hook: str, slot: int, call: Callable[[], T]) -> T:
        """Call an inline hook; it is named if it blocks."""
        self.latest = latest = Call(type_name, hook, slot, get_ident(), monotonic())
        if self.asleep:
            self._rouse()
        try:
            return call()
        finally:
            self.over = latest

    def _rouse(self) -> None:
        self.asleep = False
        if self._thread is None and not self.ended:
            wake = self._wake
            watched = weakref.ref(self, lambda _: wake.put(None))
            self._thread = threading.Thread(
                target=guard, args=(watched, wake), name="pepperpy-watchdog", daemon=True
            )
            with contextlib.suppress(RuntimeError):  # no more threads: hooks go on unwatched
                self._thread.start()
        self._wake.put(None)

    def may_sleep(self, seen: Call) -> bool:
        """Tell the thread that it may sleep until it is roused: nothing came after this call."""
        self.asleep = True
        if self.latest is not seen:
            self.asleep = False
        return self.asleep

    def end(self) -> None:
        """End the thread, soon."""
        self.ended = True
        self._wake.put(None)


def guard(watched: weakref.ref[Watchdog], wake: SimpleQueue[None]) -> None:
    """Look until the watchdog has ended or is gone: the whole life of its thread."""
    named = NONE
    timeout: float | None = LOOK
    while True:
        with contextlib.suppress(Empty):
            wake.get(timeout=timeout)
        watchdog = watched()
        if watchdog is None or watchdog.ended:
            return
        call, where = watchdog.latest, None
        age = monotonic() - call.began
        waiting = call is not named and call is not watchdog.over
        if waiting and age > AFTER:
            named, where = call, position(call.thread)
            if call is watchdog.over:  # it has just ended, and that was elsewhere
                where = None
        idle = not waiting and age > AWAKE
        timeout = None if idle and watchdog.may_sleep(call) else LOOK
        del watchdog  # not kept alive while we log or wait
        if where is not None:
            say(call, age, where)


def position(thread: int) -> str:
    """Return where a thread is, as `file:line in function`; no values, which may be secret."""
    # Private by its name, but documented, and the only way to see another thread's frame.
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    frame = frames.pop(thread, None)
    if frame is None:
        return "an unknown place"
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"


def say(call: Call, age: float, where: str) -> None:
    """Log it from here, because the loop is stuck; whatever the log's handlers raise."""
    name = f"{call.type_name}#{call.slot}" if call.slot else call.type_name
    with contextlib.suppress(BaseException):
        log.warning(
            "%s of %s has blocked the event loop for %.3f s and still does, at %s: nothing else "
            "runs meanwhile; set offload=True in the spec of %r to run its plain def hooks on "
            "threads",
            call.hook,
            name,
            age,
            where,
            call.type_name,
        )
