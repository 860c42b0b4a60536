"""What an `ask` returns: awaitable on any loop, `.get()` on any other thread, answered once."""

from __future__ import annotations

import asyncio
import functools
import math
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
import pykka

from pepperpy_resources.actors.turn import running_turn
from pepperpy_resources.clock import monotonic
from pepperpy_resources.errors import ActorDead, AskTimeout, ResourceError, WouldBlock

if TYPE_CHECKING:
    from types import TracebackType

    from pepperpy_resources.actors.host import Cell

T = TypeVar("T")
M = TypeVar("M")
J = TypeVar("J")
R = TypeVar("R")

# One lock for all replies: it is held for a few instructions, and one each would cost more to make
# than all their uses of it together.
_lock = threading.Lock()

CLOSED_LOOP_CHECK = 0.5  # seconds between two looks whether the actors' loop has been closed

PENDING, ANSWERED, TAKEN, WITHDRAWN = "pending", "answered", "taken", "withdrawn"


class Failure:
    """An answer that is an error."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Promise(msgspec.Struct, eq=False):
    """The answer that a façade call on the actors' own loop waits for: a value or a `Failure`.

    `future` is a plain one of the loop, not a subclass, which tasks await three times as slowly.
    """

    future: asyncio.Future[Any]
    ticket: int = 0  # the number it waits under

    @property
    def withdrawn(self) -> bool:
        """True once nobody waits for the answer any more."""
        return self.future.cancelled()

    @property
    def pending(self) -> bool:
        """True until it is answered or withdrawn."""
        return not self.future.done()

    def resolve(self, answer: Any) -> bool:
        """Answer; return False if nobody can take it any more."""
        future = self.future
        if future.done():
            return False
        future.set_result(answer)
        return True


class Reply(pykka.Future[T], Generic[T]):
    """The answer to one question, now or later.

    `await reply` works on any event loop; `reply.get(timeout=)` blocks any thread but the one the
    actor lives on. Cancelling the await, or running out of `timeout`, withdraws the question: an
    acquire that is withdrawn gives its slot back.
    """

    # Class attributes stand in for what most replies never need, and for pykka's __init__: a
    # reply is made for every acquire that has to wait.
    ticket = 0  # the number it waits under, once it does
    kept = False  # for a later turn
    _state = PENDING
    _answer: Any = None
    _waiters: tuple[asyncio.Future[None], ...] = ()
    _event: threading.Event | None = None
    _threads = 0  # how many threads wait in get()
    _special = False  # awaiting it takes more than waiting for the answer: the four below
    _deadline: float | None = None
    _get_hook: Any = None
    _derivation: tuple[Callable[..., Any], tuple[pykka.Future[Any], ...]] | None = None

    def __init__(self, cell: Cell | None = None, timeout: float | None = None) -> None:
        self.cell = cell
        if timeout is not None:
            self._deadline = monotonic() + timeout
            self._special = True

    def __repr__(self) -> str:
        return f"<Reply {self._state}>"

    def __del__(self) -> None:
        # Dropped before anybody took the answer: a lease in it would be held by nobody for ever.
        if self._state is not ANSWERED or self.cell is None:
            return
        # In the middle of anything, since the collector may run anywhere: perhaps inside a turn,
        # or under the lock. So it takes no lock, which nobody else could want here, and only
        # leaves word.
        self._state = WITHDRAWN
        with suppress(RuntimeError):  # the loop is closed
            self.cell.host.loop.call_soon_threadsafe(self.cell.withdrawn, self, self._answer)

    @property
    def withdrawn(self) -> bool:
        """True once nobody waits for the answer any more."""
        return self._state is WITHDRAWN

    @property
    def taken(self) -> bool:
        """True once somebody has the answer."""
        return self._state is TAKEN

    # -- the answering side

    def resolve(self, answer: Any) -> bool:
        """Answer with a value or a `Failure`; return False if nobody can take it any more."""
        with _lock:
            if self._state is not PENDING:
                return False
            self._state = ANSWERED
            self._answer = answer
        self._wake()
        return True

    @property
    def pending(self) -> bool:
        """True until it is answered or withdrawn."""
        return self._state is PENDING

    def _wake(self) -> None:
        """Let everyone see that the state has changed."""
        if self._event is not None:
            self._event.set()
        for waiter in self._waiters:
            wake(waiter)

    def set(self, value: Any = None) -> None:
        """Answer with a value (pykka's interface), or with a `Failure`.

        It is counted as late if nobody waits any more, or if the asker was told meanwhile that the
        actor had ended. Raises `queue.Full` if answered before.
        """
        if self.resolve(value):
            return
        answer = self._answer
        told = type(answer) is Failure and isinstance(answer.error, ActorDead)
        if self._state is not WITHDRAWN and not told:
            raise queue.Full
        if self.cell is not None:
            self.cell.late_replies += 1

    def set_exception(
        self,
        exc_info: tuple[Any, BaseException | None, TracebackType | None] | None = None,
    ) -> None:
        """Answer with an error (pykka's interface); raises `queue.Full` if answered before."""
        kind, error, _ = exc_info or sys.exc_info()
        self.set(Failure(error or ActorDead(f"the actor answered with {kind!r} and no error")))

    # -- the asking side

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the answer, blocking this thread for at most `timeout` seconds.

        Raises the error that was answered; `AskTimeout` when time is up, which withdraws the
        question unless others still wait for it; `WouldBlock` on the actor's own thread while there
        is no answer.
        """
        if self._derivation is not None:
            return self._derived_get(timeout)
        if self._get_hook is not None:
            return self._get_hook(timeout)
        if self._state is PENDING:
            self._block(timeout)
        return self._take()

    def _block(self, timeout: float | None) -> None:
        if self.cell is not None and self.cell.host.is_current_thread():
            raise WouldBlock(
                "get() of an unanswered reply on the actors' own thread would wait for ever; "
                "await the reply instead"
            )
        limits = [timeout] if timeout is not None else []
        if self._deadline is not None:
            limits.append(max(0.0, self._deadline - monotonic()))
        limit = min(limits, default=math.inf)
        with _lock:
            self._event = self._event or threading.Event()
            if self._state is not PENDING:
                self._event.set()
            self._threads += 1
        answered = self._answered_within(limit)
        with _lock:
            self._threads -= 1
        if not answered and self._abandon():
            raise self._out_of_time(limit)

    def _answered_within(self, limit: float) -> bool:
        """Wait for the answer; a loop that closes meanwhile will never give one."""
        event, waited = self._event, 0.0
        while event is not None and waited < limit:
            step = min(CLOSED_LOOP_CHECK, limit - waited)
            if event.wait(step):
                return True
            waited += step
            if self.cell is not None and self.cell.host.loop.is_closed():
                self.cell.host.refuse_all()
        return event is None or event.is_set()

    def __await__(self) -> Generator[Any, None, T]:
        if self._special:
            return self._await_special().__await__()
        return self.wait()

    def wait(self) -> Generator[Any, None, T]:
        """Wait for the answer itself, however long it takes."""
        if self._state is PENDING:
            waiter = asyncio.get_running_loop().create_future()
            with _lock:
                pending = self._state is PENDING
                if pending:
                    self._waiters += (waiter,)
            if pending:
                try:
                    self._look_after(waiter)
                    yield from self.awaited(waiter)
                except BaseException:
                    self._leave(waiter)
                    raise
        return self._take()

    def _look_after(self, waiter: asyncio.Future[None]) -> None:
        """Look from time to time whether the actors' own loop, if it is another, has closed."""
        if self.cell is None or waiter.done():
            return
        own, here = self.cell.host.loop, waiter.get_loop()
        if own.is_closed():
            self.cell.host.refuse_all()
        elif own is not here:
            here.call_later(CLOSED_LOOP_CHECK, self._look_after, waiter)

    def awaited(self, waiter: asyncio.Future[None]) -> Generator[Any, None, None]:
        """Wait; the turn that does is known to wait for it, so that cycles are found."""
        turn = running_turn()
        if turn is None:
            yield from waiter
            return
        wait = turn.waits_for(self, waiter)
        try:
            yield from waiter
        finally:
            turn.waits.remove(wait)

    async def _await_special(self) -> T:
        if self._derivation is not None:
            return cast("T", await self._derived_await())
        if self._get_hook is not None:
            # A hook of pykka's own (ref.stop): the reply behind it is answered at once here.
            return cast("T", self.get(timeout=0))
        left = max(0.0, (self._deadline or 0.0) - monotonic())
        try:
            async with asyncio.timeout(left):
                return await Plainly(self.wait)
        except TimeoutError as error:
            if isinstance(error, ResourceError):
                raise
            raise self._out_of_time(left) from None

    def _take(self) -> T:
        with _lock:
            if self._state is ANSWERED:
                self._state = TAKEN
            answer = self._answer
        if type(answer) is Failure:
            raise answer.error
        return cast("T", answer)

    def _out_of_time(self, limit: float) -> AskTimeout:
        path = self.cell.path if self.cell is not None else "the actor"
        return AskTimeout(
            f"{path} did not answer within {limit:g} s and the question is withdrawn: everything "
            "is in use, or the loop is stuck; manager.tree() shows which"
        )

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        with _lock:
            self._waiters = tuple(other for other in self._waiters if other is not waiter)
        self._abandon()

    def _abandon(self) -> bool:
        """Give up waiting: the question is withdrawn if nobody else waits for it.

        Returns False if it has been answered, and the answer taken, before.
        """
        if self._waiters or self._threads:
            return True
        return self.withdraw()

    def withdraw(self) -> bool:
        """Take the question back; return False if its answer was taken before."""
        with _lock:
            before = self._state
            if before in (TAKEN, WITHDRAWN):
                return before is WITHDRAWN
            self._state = WITHDRAWN
            answer = self._answer
            if before is PENDING:
                self._answer = Failure(AskTimeout("the question was withdrawn"))
        self._wake()
        if self.cell is not None:
            self.cell.withdrawn(self, answer)
        return True

    # -- derived replies: pykka's would block the loop when awaited

    def derive(self, apply: Callable[..., Any], *others: pykka.Future[Any]) -> Any:
        """Return a reply whose answer is made of others', when somebody asks for it."""
        derived: Reply[Any] = Reply(self.cell)
        derived._derivation = apply, (self, *others)
        derived._special = True
        return derived

    def _derived_get(self, timeout: float | None) -> Any:
        apply, sources = self._derivation or (identity, ())
        taken = [source for source in sources if is_taken(source)]
        try:
            return apply(*[source.get(timeout=timeout) for source in sources])
        except BaseException:
            forsake_all(sources, taken)
            raise

    async def _derived_await(self) -> Any:
        apply, sources = self._derivation or (identity, ())
        taken = [source for source in sources if is_taken(source)]
        try:
            return apply(*[await source for source in sources])
        except BaseException:
            forsake_all(sources, taken)
            raise

    def forsake(self) -> None:
        """Take the question back, or undo the answer that was taken by nobody else."""
        if not self.withdraw() and self.cell is not None:
            self.cell.withdrawn(self, self._answer)

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Compute the answer when it is asked for (pykka's interface)."""
        self._get_hook = func
        self._special = True

    def map(self, func: Callable[[T], M]) -> pykka.Future[M]:
        """Return a reply whose answer is `func` of this one's."""
        return cast("pykka.Future[M]", self.derive(func))

    def filter(
        self: pykka.Future[Iterable[J]], func: Callable[[J], bool]
    ) -> pykka.Future[Iterable[J]]:
        """Return a reply with only the items that pass `func`."""

        def passing(items: Iterable[J]) -> list[J]:
            return [item for item in items if func(item)]

        return cast("pykka.Future[Iterable[J]]", cast("Reply[Any]", self).derive(passing))

    def join(self, *futures: pykka.Future[Any]) -> pykka.Future[Iterable[Any]]:
        """Return a reply with the list of all the answers."""
        return cast("pykka.Future[Iterable[Any]]", self.derive(lambda *all_: list(all_), *futures))

    def reduce(
        self: pykka.Future[Iterable[J]], func: Callable[[R, J], R], *args: R
    ) -> pykka.Future[R]:
        """Return a reply with the items folded by `func`."""

        def folded(items: Iterable[J]) -> R:
            return functools.reduce(func, items, *args)

        return cast("pykka.Future[R]", cast("Reply[Any]", self).derive(folded))


class Plainly(Generic[T]):
    """Makes an awaitable of a generator method."""

    def __init__(self, start: Callable[[], Generator[Any, None, T]]) -> None:
        self._start = start

    def __await__(self) -> Generator[Any, None, T]:
        return self._start()


def identity(value: Any) -> Any:
    """Return the value."""
    return value


def is_taken(source: pykka.Future[Any]) -> bool:
    """Tell whether somebody has the answer of this reply already."""
    return isinstance(source, Reply) and source.taken


def forsake_all(sources: Iterable[pykka.Future[Any]], taken: list[pykka.Future[Any]]) -> None:
    """Take back what a derived reply asked for and will not pass on; others' answers stay."""
    for source in sources:
        if isinstance(source, Reply) and source not in taken:
            source.forsake()


def wake(waiter: asyncio.Future[None]) -> None:
    """Complete a future from whatever thread the answer comes from."""
    loop = waiter.get_loop()
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - exported by asyncio for this
        if not waiter.done():
            waiter.set_result(None)
        return
    try:
        loop.call_soon_threadsafe(_complete, waiter)
    except RuntimeError:
        return  # that loop is closed: nobody waits there any more


def _complete(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
