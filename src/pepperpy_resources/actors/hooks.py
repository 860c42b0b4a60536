"""Runs the user's hooks, as tasks beside the actors; outcomes go back as messages (law 4).

A hook runs in the context copied at `start()`. Whatever it raises, `CancelledError` and
`GeneratorExit` included, is that hook's failure and nothing else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from pepperpy_resources._callables import callable_kind
from pepperpy_resources.actors.host import ENDS_PROGRAMS, describe, raise_outside, say
from pepperpy_resources.actors.ledger import Entry, Run
from pepperpy_resources.actors.watchdog import Watchdog
from pepperpy_resources.actors.workers import Worker, Workers
from pepperpy_resources.clock import chance
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import OpenFailedError

if TYPE_CHECKING:
    from pepperpy_resources.spec import ResourceSpec

# A hook cancelled by nobody of ours is cancelled because its loop ends, and one that raises what
# ends programs ends it itself: what would follow from its failure (a new creation, say) must not
# be started there. If the loop lives on, it follows after this many seconds.
AFTERLIFE = 0.1

REMEMBERED = 5  # failures of hooks


class Hooks:
    """The hooks of one resource type, and the tasks they run in."""

    def __init__(
        self,
        spec: ResourceSpec[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        report: Callable[[on.Outcome], Any],
        watchdog: Watchdog,
    ) -> None:
        self.spec = spec
        self.workers = Workers(spec.name)
        # For the tree: when, which hook, why.
        self.last_errors: deque[tuple[float, str, str]] = deque(maxlen=REMEMBERED)
        self._loop = loop
        self._context = context
        self._report = report
        self._watchdog = watchdog
        self._plain = plain_hooks(spec)
        self._keyed = spec.keyed
        self._close_timeout = spec.policy().close_timeout
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly

    # -- what the performer asks for

    def open(self, entry: Entry) -> None:
        """Make the resource of this slot; reports `Opened` or `OpenFailed`."""
        run = Run("open", entry.number)
        self._start(entry, run, self._open(entry, run))

    def check(self, entry: Entry) -> None:
        """Check the resource; reports `CheckPassed` or `CheckFailed`."""
        run = Run("check", entry.number)
        self._start(entry, run, self._check(entry, run))

    def reset(self, entry: Entry) -> None:
        """Reset the resource; reports `ResetDone`."""
        run = Run("reset", entry.number)
        work = self._call(run, entry.worker, self.spec.reset, entry.resource)
        self._start(entry, run, work)

    def close(self, entry: Entry) -> None:
        """Cancel what runs on the slot and close its resource; reports `Closed`."""
        self.cancel(entry)
        run = Run("close", entry.number, before=entry.run)
        self._start(entry, run, self._close(entry, run))

    def cancel(self, entry: Entry) -> None:
        """Cancel the hook that runs on the slot; its outcome is still reported."""
        run = entry.run
        if run is not None and run.task is not None:
            run.stopped = True
            if run.thread is None:
                run.task.cancel()
            else:  # it cannot be cancelled, only waited for
                self.workers.forsake(run.thread)

    async def on_acquire(self, entry: Entry | None, resource: Any) -> None:
        """Run the on_acquire hook in the caller's own task."""
        run = Run("on_acquire", 0 if entry is None else entry.number)
        worker = entry.worker if entry is not None else None
        if entry is not None:
            entry.guests.append(run)
        try:
            await self._call(run, worker, self.spec.on_acquire, resource)
        finally:
            left = run.running()
            if left is not None:  # on its thread, and its borrower waits no longer
                self.workers.forsake(left)
            elif entry is not None:
                entry.guests.remove(run)

    def is_lost(self, error: BaseException) -> bool:
        """Ask the spec whether this error means that the other side is gone.

        Nothing the predicate raises, not even the error itself, gets out: a lease waits to be
        given back behind this call.
        """
        predicate = self.spec.is_connection_error
        if predicate is None:
            return False
        try:
            return bool(predicate(error))
        except BaseException as raised:  # contained, see above
            if raised is not error:
                say(self._loop, "is_connection_error of %r failed", self.spec.name, error=raised)
                raise_outside(self._loop, raised)
            return False

    async def finish(self, timeout: float) -> None:
        """Wait for the hooks that run, at most `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout)

    # -- the hooks themselves

    def _in_thread(self, hook: Callable[..., Any]) -> bool:
        return (self.spec.offload or self.spec.thread_bound) and not is_async(hook)

    async def _call(
        self,
        run: Run,
        worker: Worker | None,
        hook: Callable[..., Any] | None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if hook is None:
            return None
        call = functools.partial(hook, *args, **kwargs)
        if worker is not None or self._in_thread(hook):
            run.thread = self.workers.submit(call, worker)
            value = await asyncio.shield(run.thread)
            run.thread = None
            if run.stopped and inspect.iscoroutine(value):
                value.close()  # given up while its thread ran
                raise asyncio.CancelledError
        elif run.hook in self._plain:
            value = self._watchdog.run(self.spec.name, run.hook, run.slot, call)
        else:
            value = call()
        return await value if inspect.isawaitable(value) else value

    async def _open(self, entry: Entry, run: Run) -> None:
        if self.spec.thread_bound:
            entry.worker = self.workers.bind()
        args = (entry.key,) if self._keyed else ()
        factory = as_factory(self.spec.factory)
        self._check_arguments(args, entry.arguments or {})
        made = await self._call(run, entry.worker, factory, *args, **(entry.arguments or {}))
        enter = self.spec.close is None and callable_kind(self.spec.factory) != "coroutine"
        if enter and declares(made, contextlib.AbstractAsyncContextManager):
            await self._keep(entry, made)
        elif enter and declares(made, contextlib.AbstractContextManager):
            entry.resource = await self._call(run, entry.worker, made.__enter__)
            leave = functools.partial(made.__exit__, None, None, None)
            entry.closer = lambda run: self._call(run, entry.worker, leave)
        else:
            entry.resource = made
            entry.closer = lambda run: self._call(run, entry.worker, self.spec.close, made)
        if entry.resource is None:
            closer, entry.closer = entry.closer, None
            if made is not None and closer is not None:
                await closer(run)  # a context manager that was entered is left
            raise OpenFailedError(
                f"the factory of {self.spec.name!r} returned None; it must return the resource"
            )

    def _check_arguments(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Fail at once, and not after a backoff, where the factory cannot be called like this."""
        try:
            inspect.signature(self.spec.factory).bind(*args, **keywords)
        except ValueError:
            return  # a builtin without a signature: calling it will tell
        except TypeError as error:
            raise OpenFailedError(
                f"the factory of {self.spec.name!r} is called with {len(args)} arguments and the "
                f"keywords ({', '.join(keywords)}), which it does not take: {error}"
            ) from None

    async def _keep(self, entry: Entry, made: contextlib.AbstractAsyncContextManager[Any]) -> None:
        """Enter a context manager in a task of its own, which parks there and leaves it."""
        keeper = Keeper(made)
        task = self._task(keeper.run(), f"{self.spec.name}:keep#{entry.number}")
        try:
            entry.resource = await asyncio.shield(keeper.entered)
        except asyncio.CancelledError:
            keeper.entered.cancel()
            await end(task)
            raise

        async def leave(_: Run) -> None:
            keeper.leave.set()
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                await end(task)  # the slot is not gone while its keeper lives
                raise

        entry.closer = leave

    async def _check(self, entry: Entry, run: Run) -> None:
        if await self._call(run, entry.worker, self.spec.check, entry.resource) is False:
            raise CheckReturnedFalse("the check hook returned False")

    async def _close(self, entry: Entry, run: Run) -> None:
        busy = older(entry, run)
        if busy:
            # Two hooks on one resource at once are a last resort.
            try:
                await asyncio.wait(busy, timeout=self._close_timeout / 2)
            except asyncio.CancelledError:
                if not run.stopped:
                    raise  # the loop ends
                # The loop stood still past the deadline. Closed all the same, and given up anew.
                self._loop.call_later(self._close_timeout, self.cancel, entry)
        if entry.closer is not None:
            closer, entry.closer = entry.closer, None  # closed exactly once
            await closer(run)

    # -- tasks and outcomes

    def _task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        # Not loop.create_task: an eager task factory would run user code inside the turn.
        task = asyncio.Task(work, loop=self._loop, name=name, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _start(self, entry: Entry, run: Run, work: Coroutine[Any, Any, Any]) -> None:
        run.task = self._task(work, f"{self.spec.name}:{run.hook}#{entry.number}")
        entry.run = run
        run.task.add_done_callback(functools.partial(self._done, entry, run))

    def _done(self, entry: Entry, run: Run, task: asyncio.Task[Any]) -> None:
        if entry.run is not run:
            failure_of(task)  # overtaken by a close, which reports for both; seen, so not logged
            return
        if run.hook == "close" and (busy := older(entry, run)):
            # The slot is not gone while an older hook of it still runs: else slots that are made,
            # hang and are closed would leave any number of threads behind.
            busy.pop().add_done_callback(lambda _: self._done(entry, run, task))
            return
        entry.run = None
        error = failure_of(task)
        outcome = self._outcome(entry, run, error)
        if (task.cancelled() and not run.stopped) or isinstance(error, ENDS_PROGRAMS):
            self._loop.call_later(AFTERLIFE, self._report, outcome)
        else:
            self._report(outcome)

    def _outcome(self, entry: Entry, run: Run, error: BaseException | None) -> on.Outcome:
        number, hook = entry.number, run.hook
        if error is not None:
            # What we cancelled ended so because its deadline had passed, or because we stop.
            text = "cancelled by us, out of time" if run.stopped else describe(error)
            self.last_errors.append((self._loop.time(), hook, text))
            say(self._loop, "%s of %s#%d failed: %s", hook, self.spec.name, number, text)
        if entry.worker is not None and (hook == "close" or (hook == "open" and error is not None)):
            entry.worker.stop()
            entry.worker = None
        if hook == "open":
            if error is None:
                return on.Opened(number, entry.resource, chance())
            fatal = isinstance(error, OpenFailedError)
            return on.OpenFailed(number, error, chance(), fatal)
        if hook == "close":
            return on.Closed(number, error)
        lost = error is not None and self.is_lost(error)
        if hook == "reset":
            return on.ResetDone(number, error, lost)
        return on.CheckPassed(number) if error is None else on.CheckFailed(number, error, lost)


def older(entry: Entry, close: Run) -> set[asyncio.Future[Any]]:
    """Return what still runs of the hooks that this close overtakes."""
    runs = entry.guests if close.before is None else [close.before, *entry.guests]
    return {work for run in runs if (work := run.running()) is not None}


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended, however long that takes."""
    task.cancel()
    await asyncio.wait({task})
    failure_of(task)  # seen, so that asyncio does not report it


class CheckReturnedFalse(Exception):
    """A check hook said that the resource is bad."""


class Keeper:
    """Holds one async context manager open between two events."""

    def __init__(self, manager: contextlib.AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self.entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.leave = asyncio.Event()

    async def run(self) -> None:
        """Enter, park, leave: all in one task, because cancel scopes insist on it."""
        try:
            async with self._manager as resource:
                self.entered.set_result(resource)
                await self.leave.wait()
        except BaseException as error:
            if not self.entered.done():
                self.entered.set_exception(error)
                return
            raise


def is_async(hook: Callable[..., Any]) -> bool:
    """Tell whether calling this hook runs its body on the loop."""
    return callable_kind(hook) in ("coroutine", "async_generator", "async_context")


def plain_hooks(spec: ResourceSpec[Any]) -> frozenset[str]:
    """Return the hooks whose body runs where they are called: on the loop, unless offloaded."""
    hooks = {
        "open": spec.factory,
        "check": spec.check,
        "reset": spec.reset,
        # Without a hook, what the factory made is left.
        "close": spec.factory if spec.close is None else spec.close,
        "on_acquire": spec.on_acquire,
    }
    return frozenset(
        name for name, hook in hooks.items() if hook is not None and not is_async(hook)
    )


def as_factory(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return the factory, made into one of context managers if it is a bare generator."""
    kind = callable_kind(factory)
    if kind == "async_generator":
        return contextlib.asynccontextmanager(factory)
    return contextlib.contextmanager(factory) if kind == "generator" else factory


def declares(made: Any, manager: type[Any]) -> bool:
    """Tell whether an object's class was written to be this kind of context manager.

    Many resources merely have `__enter__` (a sqlite3 connection's is a transaction, a lock's
    takes the lock): entering those would be wrong, so only classes that name the abstract class
    among their bases count, as contextlib's own decorators do.
    """
    return manager in type(made).__mro__


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a finished task ended with, None if it ended well."""
    if task.cancelled():
        return asyncio.CancelledError("the hook was cancelled")
    return task.exception()
