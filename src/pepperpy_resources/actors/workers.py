"""Threads for sync hooks: daemon threads that are reused, and replaced when one hangs.

Not a `ThreadPoolExecutor`: its threads are joined when the interpreter exits, so that one hook
that hangs would keep the whole program from ending.

The number of threads needs no limit of its own. A slot has at most two at work, a hook that hangs
and the close that overtakes it (and an on_acquire for each further holder of a shared one), and it
is not gone before they end. The core opens nothing more while `max_size` slots are abandoned, so
there are never more than `2 * max_size - 1` of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any

_numbers = itertools.count(1)

Job = tuple[Callable[..., Any], Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]


class Worker:
    """One daemon thread that runs one call after another."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name=f"{name}-{next(_numbers)}", daemon=True
        )
        self._thread.start()

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Queue a call; its result arrives in a future of the running loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        # In the caller's context, as asyncio.to_thread does it.
        self._jobs.put((contextvars.copy_context().run, call, loop, future))
        return future

    def stop(self) -> None:
        """End the thread after the calls that are queued."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            run, call, loop, future = job
            value, error = None, None
            try:
                value = run(call)
            except BaseException as caught:
                error = caught
            try:
                loop.call_soon_threadsafe(_settle, future, value, error)
            except RuntimeError:
                return  # the loop has ended, and with it everyone who waits
            del job, run, call, future, value, error  # keep nothing alive while idle


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # a future refuses it
        error = RuntimeError(f"the hook raised {error!r}")
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


class Workers:
    """The threads of one resource type."""

    def __init__(self, name: str) -> None:
        self._name = f"pepperpy-{name}"
        self._idle: list[Worker] = []
        self._at_work: dict[asyncio.Future[Any], Worker] = {}
        self._forsaken: dict[asyncio.Future[Any], Worker] = {}
        self._stopped = False

    @property
    def abandoned(self) -> int:
        """How many threads are at work on a call that nobody waits for any more."""
        return len(set(self._forsaken.values()))

    def bind(self) -> Worker:
        """Return a thread for one resource alone."""
        return Worker(self._name)

    def submit(self, call: Callable[[], Any], bound: Worker | None = None) -> asyncio.Future[Any]:
        """Run the call on the thread its resource is bound to, or on one nobody else uses."""
        worker = bound or (self._idle.pop() if self._idle else Worker(self._name))
        future = worker.submit(call)
        self._at_work[future] = worker
        future.add_done_callback(self._over if bound is None else self._forget)
        return future

    def forsake(self, call: asyncio.Future[Any]) -> None:
        """Count the thread of this call as abandoned, for as long as the call takes."""
        if call in self._at_work and not call.done():
            self._forsaken[call] = self._at_work[call]

    def _over(self, call: asyncio.Future[Any]) -> None:
        # Given back when the call is over, not when the caller stops waiting for it: a thread
        # that hangs is never handed out again.
        worker = self._forget(call)
        if self._stopped:
            worker.stop()
        else:
            self._idle.append(worker)

    def _forget(self, call: asyncio.Future[Any]) -> Worker:
        if not call.cancelled():
            call.exception()  # seen: who waited for it may be gone, and asyncio would report it
        self._forsaken.pop(call, None)
        return self._at_work.pop(call)

    def stop(self) -> None:
        """End the threads: the idle ones now, the others when their call is over."""
        self._stopped = True
        while self._idle:
            self._idle.pop().stop()
