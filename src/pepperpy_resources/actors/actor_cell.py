"""The place of a user's actor: its turns may await, one at a time, each in a task of its own.

Everything the actor's own code does is started from callbacks of the loop, never inside whoever
sends it a message, and in the actor's own context. Control messages are obeyed beside a turn that
awaits. An actor that does not end is killed: its task is cancelled and the incarnation abandoned,
whether or not the task ever ends.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

import msgspec

from pepperpy_resources.actors.base import Begin, Crash, HostStop, InjectedCrash
from pepperpy_resources.actors.host import (
    ASK,
    ENDS_PROGRAMS,
    LATER,
    REFUSED,
    SLICE,
    Cell,
    Host,
    describe,
    kind_of,
    raise_outside,
    say,
)
from pepperpy_resources.actors.reply import Failure, Promise, Reply
from pepperpy_resources.actors.turn import TURN, Turn
from pepperpy_resources.actors.watching import Down
from pepperpy_resources.core.kinship import Exit, ExitKind
from pepperpy_resources.errors import ActorDead, MailboxFull

if TYPE_CHECKING:
    from pepperpy_resources.actors.actor import Actor
    from pepperpy_resources.actors.base import LoopActor

# A turn cancelled by nobody of ours is cancelled because its loop ends, and one that raises what
# ends programs ends it itself: its supervisor and the log hear of it this many seconds later, if
# ever. As long as every task there is is being cancelled, they hear of it after twice that, and so
# on, unless the supervisor asks.
AFTERLIFE = 0.1
KEPT_REPLIES = 32  # replies kept for later turns, before the answered ones among them are dropped


class StopNow(msgspec.Struct, frozen=True):
    """End after the turn that runs, or in the user lane after everything before it.

    It is for one incarnation: to any other it is of no concern (law 8).
    """

    exit: Exit
    incarnation: int


class OnStop(msgspec.Struct, frozen=True):
    """The last turn of an incarnation: runs `on_stop`."""

    exit: Exit


class Raised:
    """What a turn raised, passed on as a value: a task must not let it out to the loop."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


async def contained(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what the work returns, or a `Raised`."""
    try:
        return await work
    except BaseException as error:
        return Raised(error)


class ActorCell(Cell):
    """A cell whose actor's turns are run by callbacks and tasks of the loop."""

    actor: Actor | None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, host: Host, path: str, context: Context) -> None:
        super().__init__(host, path, lambda _cell, _exit: None)
        self.limit: int | None = None  # messages the user lane holds
        self._base_context = context
        self._context = context.copy()  # the incarnation's own
        self._make: Callable[[], object] | None = None  # what is to be started soon
        self._pumping = False
        self._ending: Exit | None = None  # why it ends after the current turn
        self._untold: Callable[[], object] | None = None  # tells of an end that may be the loop's
        self._later: list[Reply[Any] | Promise] = []  # kept by the actor for later turns
        self._zombies: set[asyncio.Task[Any]] = set()  # asyncio holds tasks weakly
        self.forsaken = self._forsake

    # -- in

    def deliver(self, message: Any, reply: Any = None) -> Any:
        """Queue one message; returns as `Cell.deliver`, and `REFUSED` for a dead letter."""
        return self.enqueue(message, reply)

    def enqueue(self, message: Any, reply: Any) -> Any:
        """Queue a message, unless `limit` messages are queued already."""
        if self.limit is None or len(self.user) < self.limit or self.epitaph is not None:
            return super().enqueue(message, reply)
        if reply is None:
            self.host.dead_letters.add(self, message, f"its mailbox holds {self.limit} already")
            return REFUSED
        full = Failure(
            MailboxFull(
                f"{self.path} has {self.limit} messages waiting, its max_mailbox: ask less often, "
                "raise the limit, or let more actors share the work"
            )
        )
        if reply is ASK:
            return full
        reply.resolve(full)
        return LATER

    def notice(self, message: Any) -> None:
        """Queue what must not be lost, however full the mailbox is."""
        super().enqueue(message, None)

    def announce(self) -> None:
        """See to it that the pump runs soon; callable from any thread."""
        if self.actor is None or self._pumping:
            return
        self._pumping = True
        loop = self.host.loop
        if self.host.is_current_thread():
            loop.call_soon(self._pump)
            return
        try:
            loop.call_soon_threadsafe(self._pump)
        except RuntimeError:  # the loop is closed: nothing will ever be handled again
            self._pumping = False
            self.host.refuse_all()

    def _pump(self) -> None:
        """Handle a bounded slice of what is queued, control lane first."""
        self._pumping = False  # first: what is queued from now on announces itself
        for _ in range(SLICE):
            if self.actor is None:
                return
            if self.control:
                self._obey(self.control.popleft()[0])
            elif self.current is not None or not self.user:
                return
            else:
                message, reply, _ = self.user.popleft()
                self._handle(message, reply)
        self.announce()

    def _obey(self, message: Any) -> None:
        if isinstance(message, Begin) and self.actor is not None:
            self._run(message, None, self.actor.on_start)
        elif isinstance(message, StopNow):
            self._stop_now(message)
        elif isinstance(message, HostStop):
            self.host.on_host_stop()

    def _stop_now(self, message: StopNow) -> None:
        if message.incarnation != self.incarnation:
            return
        turn = self.current
        if turn is not None and kind_of(turn.message) is Begin and not turn.has_returned():
            self.kill(message.exit)  # a start is broken off, not waited for
        else:
            self.stop_after_turn(message.exit)

    def _handle(self, message: Any, reply: Any) -> None:
        actor = self.actor
        kind = kind_of(message)
        if kind is StopNow:
            self._stop_now(message)
        elif kind is Down and message.watch.over:
            return  # the watch was cancelled meanwhile
        elif kind is Crash:
            turn = self.current = Turn(self, message, reply, self.host.now())
            self._failed(turn, InjectedCrash("a crash was injected"))
        elif actor is not None:
            if kind is Down:
                message.watch.cancel()
            self._run(message, reply, functools.partial(actor.receive, message, reply))

    # -- turns

    def _run(self, message: Any, reply: Any, call: Callable[[], Any]) -> None:
        """Begin a turn; a coroutine it returns goes on in a task."""
        turn = self.current = Turn(self, message, reply, self.host.now())
        self.messages += 1
        try:
            answer = self._context.run(self._call, turn, call)
        except BaseException as error:
            self._failed(turn, error)
            return
        if self.current is not turn:  # killed by its own code
            if is_coroutine(answer):
                answer.close()
        elif is_coroutine(answer):
            # Not loop.create_task: an eager task factory would run it here.
            name = f"{self.path}:{type(message).__name__}"
            turn.task = asyncio.Task(
                contained(answer), loop=self.host.loop, name=name, context=self._context
            )
            turn.task.add_done_callback(functools.partial(self._finished, turn, answer))
        else:
            self._over(turn, answer)

    def _call(self, turn: Turn, call: Callable[[], Any]) -> Any:
        """Run the user's code; our own actors' turns wait until it returns (law 2)."""
        TURN.set(turn)
        host = self.host
        before, host.free = host.free, 0
        try:
            return call()
        finally:
            host.free = before
            if host.ready:
                host.schedule()

    def _finished(
        self, turn: Turn, work: Coroutine[Any, Any, Any], task: asyncio.Task[Any]
    ) -> None:
        """Take the result of a turn that awaited."""
        work.close()  # cancelled before it began, it would complain of never having been awaited
        outcome = Raised(asyncio.CancelledError()) if task.cancelled() else task.result()
        if isinstance(outcome, Raised):
            self._failed(turn, outcome.error)
        elif self.current is turn:  # else abandoned: see `kill`
            self._over(turn, outcome)
        self.announce()

    def _over(self, turn: Turn, answer: Any) -> None:
        turn.over, self.current = True, None
        if answer is LATER and turn.reply is not None:
            self._keep(turn.reply)
        self.answered(turn.reply, answer)
        kind = kind_of(turn.message)
        if kind is Begin:
            self.status = "running"
            self.on_started(self)
        elif kind is OnStop:
            self._depart(turn.message.exit)
            return
        if self._ending is not None:
            self._end_incarnation(self._ending)

    def _keep(self, reply: Reply[Any] | Promise) -> None:
        if isinstance(reply, Reply):
            reply.kept = True
        self._later.append(reply)
        if len(self._later) > KEPT_REPLIES and len(self._later) & (len(self._later) - 1) == 0:
            self._later = [kept for kept in self._later if kept.pending]

    def _failed(self, turn: Turn, error: BaseException) -> None:
        """End the incarnation whose turn raised; its supervisor decides what follows."""
        if self.current is not turn:  # killed before, perhaps by its own code
            raise_outside(self.host.loop, error)
            return
        turn.over, self.current = True, None
        actor, kind = self.actor, phase_of(turn.message)
        self.answered(turn.reply, Failure(self.crash_error(error)))
        exit_ = Exit(ExitKind.FAILURE, describe(error), error, kind, self.host.now())
        ends = isinstance(error, ENDS_PROGRAMS)
        ends = ends or (isinstance(error, asyncio.CancelledError) and turn.task is not None)
        ends = ends and self._ending is None  # else its supervisor waits to hear of it
        loop = self.host.loop
        tell = functools.partial(say, loop, "%s crashed in %s", self.path, kind, error=error)
        if not ends:
            tell()
        if actor is not None and kind_of(turn.message) not in (Begin, OnStop):
            self._tell_failure(actor, error)
        raise_outside(self.host.loop, error)
        self._depart(exit_, tell if ends else None)

    def _tell_failure(self, actor: Actor, error: BaseException) -> None:
        """Run pykka's `on_failure`; what it raises is logged."""
        try:
            self._context.run(actor.on_failure, type(error), error, error.__traceback__)
        except BaseException as raised:
            say(self.host.loop, "on_failure of %s failed", self.path, error=raised)
            raise_outside(self.host.loop, raised)

    # -- life

    def launch(self, make: Callable[[], object]) -> None:
        """Start an incarnation soon: `make` is the user's code, so no turn of ours runs it."""
        self._make = make
        self.status = "starting" if self.incarnation == 0 else "restarting"
        self.host.loop.call_soon(self._made, make)

    def _made(self, make: Callable[[], object]) -> None:
        if self._make is not make:  # taken back meanwhile
            return
        self._context = self._base_context.copy()
        try:
            self._context.run(make)
        except BaseException as error:
            raise_outside(self.host.loop, error)
            now = self.host.now()
            exit_ = Exit(ExitKind.FAILURE, describe(error), error, "__init__", now)
            if self._make is make:  # else it has killed itself before
                self._not_made(exit_)
        else:
            self._make = None
            self._pump()

    def _not_made(self, exit_: Exit) -> None:
        self._make = None
        self._unwatch()
        self.last_exit, self.status = exit_, "stopped"
        self.on_exit(self, exit_)

    def adopt(self, actor: Actor) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make this incarnation the current one; it begins with `on_start`."""
        if self._make is None:  # it has killed itself in its __init__
            self.control.popleft()  # its Begin
            actor.unregister()
            return
        status = self.status
        self._ending = self.current = None
        super().adopt(cast("LoopActor", actor))
        self.turn, self.status = self.enqueue, status

    def resume(self) -> None:
        """Do nothing: who has made the actor runs the pump."""

    def stop_after_turn(self, exit_: Exit) -> None:
        """End after the turn that runs, or now."""
        if self._ending is not None or self.actor is None:
            return
        self._ending = exit_
        if self.current is None:
            self._end_incarnation(exit_)

    def stop_after_queue(self, exit_: Exit) -> None:
        """End after everything that is queued now, however full the mailbox is."""
        self.notice(StopNow(exit_, self.incarnation))

    def _end_incarnation(self, exit_: Exit) -> None:
        if self.actor is not None:
            self.status = "stopping"
            self._run(OnStop(exit_), None, self.actor.on_stop)

    def kill(self, exit_: Exit) -> None:
        """End without asking: cancel what runs, and wait for nothing."""
        if self._make is not None:
            self._not_made(exit_)
            return
        if self._untold is not None:
            self._tell_of_end(self._untold, 0.0)
            return
        turn, self.current = self.current, None
        if turn is not None:
            turn.over = True
            dead = Failure(ActorDead(f"{self.path} was killed: {exit_.reason}"))
            self.answered(turn.reply, dead)
            self._abandon(turn.task)
        self._depart(exit_)

    def _forsake(self, answer: Failure) -> None:
        """Answer whoever waits for a turn that will not go on, or for a later one."""
        turn = self.current
        promised = [reply for reply in tuple(self._later) if reply.pending]
        for reply in promised if turn is None else [*promised, turn.reply]:
            self.answered(reply, answer)

    def _abandon(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None and not task.done():
            self._zombies.add(task)
            self.host.abandoned += 1
            task.add_done_callback(self._buried)
            task.cancel()

    def _buried(self, task: asyncio.Task[Any]) -> None:
        self._zombies.discard(task)
        self.host.abandoned -= 1

    def leave(self, exit_: Exit) -> None:
        """Take the incarnation out; it watches nobody any more."""
        super().leave(exit_)
        self._unwatch()

    def _unwatch(self) -> None:
        for watch in tuple(self.watching):
            watch.cancel()

    def refuse(self, message: Any, reply: Reply[Any] | Promise | None) -> None:
        """Answer a message nobody will handle; what is ours, and of no use now, is no letter."""
        kind = kind_of(message)
        if not (kind is StopNow or (kind is Down and message.watch.over)):
            super().refuse(message, reply)

    def _depart(self, exit_: Exit, log: Callable[[], None] | None = None) -> None:
        """Take the incarnation out; whoever was promised an answer by it is told.

        `log`: what is still to be said of it, where the loop may be about to end.
        """
        if self.actor is None:
            return
        self.leave(exit_)
        later, self._later = self._later, []
        for reply in later:
            reply.resolve(Failure(dead_error(self)))  # no late answer, if nobody waits any more
        self.status = "stopped"
        on_exit = functools.partial(self.on_exit, self, exit_)
        if log is None:
            on_exit()
            return
        self._untold = functools.partial(in_turn, log, on_exit)
        self.host.loop.call_later(AFTERLIFE, self._tell_of_end, self._untold, AFTERLIFE)

    def _tell_of_end(self, tell: Callable[[], object], waited: float) -> None:
        """Tell of an end, once, unless it is the loop's."""
        if self._untold is not tell:
            return
        if waited and is_ending(self.host.loop):
            self.host.loop.call_later(2 * waited, self._tell_of_end, tell, 2 * waited)
            return
        self._untold = None
        tell()

    def close(self, status: str) -> None:
        """Serve nobody from now on: what is queued and what comes is refused."""
        self.end(status, lambda message: Failure(dead_error(self, message)))


def dead_error(cell: Cell, message: Any = None) -> ActorDead:
    """Return what askers of an actor that has ended are told: how it ended."""
    exit_ = cell.last_exit
    how = "it was never started" if exit_ is None else f"{exit_.kind}: {exit_.reason}"
    error = ActorDead(f"{cell.path} is not running ({how.rstrip(': ')})", message)
    error.__cause__ = None if exit_ is None else exit_.error
    return error


def in_turn(*calls: Callable[[], object]) -> None:
    """Call one after the other."""
    for call in calls:
        call()


def is_ending(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether every task there is is being cancelled, as at the end of `asyncio.run`."""
    tasks = asyncio.all_tasks(loop)
    return bool(tasks) and all(task.cancelling() for task in tasks)


def is_coroutine(answer: Any) -> bool:
    """Tell whether a turn's answer is a coroutine, without asking the answer itself."""
    return issubclass(type(answer), Coroutine)


def phase_of(message: Any) -> str:
    """Return what the turn was: a hook's name, or the message's type."""
    kind = kind_of(message)
    if kind is Begin:
        return "on_start"
    return "on_stop" if kind is OnStop else kind.__name__
