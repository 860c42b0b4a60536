"""Threads for sync hooks: daemon threads that are reused, and replaced when one hangs.

Not a `ThreadPoolExecutor`: its threads are joined when the interpreter exits, so that one hook
that hangs would keep the whole program from ending. A type never has more hooks at work than
slots, so the number of threads needs no limit of its own.
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

Job = tuple[Callable[..., Any], tuple[Any, ...], asyncio.AbstractEventLoop, asyncio.Future[Any]]


class Worker:
    """One daemon thread that runs one call after another."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name=f"{name}-{next(_numbers)}", daemon=True
        )
        self._thread.start()

    def submit(self, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Queue a call; its result arrives in a future of the running loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        # In the caller's context, as asyncio.to_thread does it.
        self._jobs.put((contextvars.copy_context().run, (func, *args), loop, future))
        return future

    def stop(self) -> None:
        """End the thread after the calls that are queued."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            func, args, loop, future = job
            value, error = None, None
            try:
                value = func(*args)
            except BaseException as caught:
                error = caught
            try:
                loop.call_soon_threadsafe(_settle, future, value, error)
            except RuntimeError:
                return  # the loop has ended, and with it everyone who waits
            del job, func, args, future, value, error  # keep nothing alive while idle


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
        self._stopped = False

    def bind(self) -> Worker:
        """Return a thread for one resource alone."""
        return Worker(self._name)

    def submit(self, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run the call on a thread nobody else uses meanwhile."""
        worker = self._idle.pop() if self._idle else Worker(self._name)
        future = worker.submit(func, *args)
        # Given back when the call is over, not when the caller stops waiting for it: a thread
        # that hangs is never handed out again.
        future.add_done_callback(lambda _: self._give_back(worker))
        return future

    def _give_back(self, worker: Worker) -> None:
        if self._stopped:
            worker.stop()
        else:
            self._idle.append(worker)

    def stop(self) -> None:
        """End the threads: the idle ones now, the others when their call is over."""
        self._stopped = True
        while self._idle:
            self._idle.pop().stop()
