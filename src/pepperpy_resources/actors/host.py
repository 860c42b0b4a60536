"""Where actors live: one `Host` per manager and loop, one `Cell` per actor.

A cell is what stays when an actor is restarted: its path, its two lanes, its figures, and the
current incarnation. Handles point at cells, never at an incarnation.

`Cell.deliver` is the only way in. It runs the turn at once if that is safe (this is the loop's
thread, no turn is on the stack, nothing is queued before it) and queues the message otherwise.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from pepperpy_resources.actors.reply import Failure, Promise, Reply
from pepperpy_resources.actors.watching import DeadLetters, Down, Watch
from pepperpy_resources.clock import now_of
from pepperpy_resources.core.kinship import Exit, ExitKind
from pepperpy_resources.errors import ActorDead, WrongLoop

if TYPE_CHECKING:
    from pepperpy_resources.actors.base import LoopActor
    from pepperpy_resources.actors.turn import Turn

ENDS_PROGRAMS = (KeyboardInterrupt, SystemExit)

log = logging.getLogger("pepperpy_resources")

SLICE = 64  # turns run before the loop gets a chance to do something else

# What `deliver` is given instead of a reply by the façade: "return the answer, or a `Promise` if
# it is not there yet". It spares the reply of every acquire that is served at once.
ASK: Any = object()

# What a turn returns when the answer comes later, to the reply it was given.
LATER: Any = object()

# What `deliver` returns for a tell that has become a dead letter.
REFUSED: Any = object()

# A queued message: what, who asked, and when it was queued.
Letter = tuple[Any, "Reply[Any] | Promise | None", float]


def kind_of(message: object) -> type[Any]:
    """Return the message's type; isinstance would look at its `__class__`, which may raise."""
    return type(message)


def describe(error: BaseException) -> str:
    """Return the error's type and text, whatever its `__str__` does."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return type(error).__name__


def current_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs on this thread, None if none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def say(
    loop: asyncio.AbstractEventLoop,
    text: str,
    *args: object,
    level: int = logging.WARNING,
    error: BaseException | None = None,
) -> None:
    """Log from a plain callback: filters and handlers are user code, which no turn may run."""
    if not loop.is_closed():
        loop.call_soon(functools.partial(log.log, level, text, *args, exc_info=error))


def raise_outside(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """Let a KeyboardInterrupt or SystemExit end the program, from outside any turn."""

    def reraise() -> None:
        raise error

    if isinstance(error, ENDS_PROGRAMS):
        loop.call_soon(reraise)


class Host:
    """Runs the turns of one manager's actors on one event loop, one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = now_of(loop)
        self.thread = get_ident()  # where the loop runs
        self.free = self.thread  # 0 while a turn is on the stack
        self.is_running = loop.is_running
        self.ready: deque[Cell] = deque()  # one entry per queued message, of any cell
        self.scheduled = False
        self.cells: dict[Cell, None] = {}  # of those that may be sent something
        self.on_host_stop: Callable[[], None] = lambda: None  # someone outside stopped an actor
        self.dead_letters = DeadLetters(self)
        self.abandoned = 0  # tasks of killed turns that have not ended yet

    def is_current_thread(self) -> bool:
        """Tell whether the caller runs on this host's loop right now."""
        return get_ident() == self.thread and self.is_running()

    def schedule(self) -> None:
        """See to it that the queued messages are handled soon; callable from any thread."""
        if self.scheduled and not self.loop.is_closed():
            return
        self.scheduled = True
        if self.is_current_thread():
            self.loop.call_soon(self.drain)
            return
        try:
            self.loop.call_soon_threadsafe(self.drain)
        except RuntimeError:  # the loop is closed: nothing will ever be handled again
            self.scheduled = False
            self.refuse_all()

    def say(self, text: str, *args: object) -> None:
        """Log from a plain callback of the loop; callable from any thread."""
        if not self.thread:  # forked: a word to the loop would wake the parent
            return
        try:
            self.loop.call_soon_threadsafe(functools.partial(log.warning, text, *args))
        except RuntimeError:  # the loop is closed
            return

    def refuse_all(self) -> None:
        """Answer every queued question, for a loop that has ended."""
        self.ready.clear()
        for cell in tuple(self.cells):
            cell.refuse_queued()
            cell.forsaken(cell.loop_ended(None))
            cell.tell_watchers()

    def forked(self, error: BaseException) -> None:
        """Serve nobody from now on: this is a forked child, and the loop is its parent's."""
        self.thread = self.free = 0  # the ident of no thread
        for cell in tuple(self.cells):
            cell.actor, cell.turn = None, cell.enqueue
            cell.epitaph = lambda _: Failure(error)

    def drain(self) -> None:
        """Handle a bounded slice of what is queued."""
        self.scheduled = False
        if self.thread != get_ident():  # the loop goes on in another thread than before
            self.thread = self.free = get_ident()
        for _ in range(SLICE):
            if not self.ready:
                return
            self.ready.popleft().turn_queued()
        self.schedule()


class Cell:
    """The stable place of one actor: lanes, figures, and the current incarnation."""

    current: Turn | None = None  # of an actor whose turns may await
    stuck_after = 1.0  # seconds after which a turn that still runs is called stuck

    def __init__(
        self,
        host: Host,
        path: str,
        on_exit: Callable[[Cell, Exit], None],
        on_started: Callable[[Cell], None] = lambda _: None,
    ) -> None:
        self.host = host
        host.cells[self] = None
        self.path = path
        self.on_exit = on_exit  # an incarnation has ended by itself
        self.on_started = on_started
        self.actor: LoopActor | None = None
        self.turn: Callable[[Any, Any], Any] = self.enqueue  # the actor's, while there is one
        self.control: deque[Letter] = deque()
        self.user: deque[Letter] = deque()
        # Set once nobody will serve this cell again: message -> its answer.
        self.epitaph: Callable[[Any], Any] | None = None
        # Answers those who wait for a later event, once there will be none.
        self.forsaken: Callable[[Failure], None] = lambda _: None
        self.undo: Callable[[Reply[Any] | Promise, Any], Any] = nothing_to_undo
        self.status = "starting"
        self.incarnation = 0
        self.since = host.now()  # when the current incarnation began
        self.messages = 0  # delivered, ever
        self.depth_high = 0  # the longest the user lane has been
        self.dead_letters = 0
        self.late_replies = 0  # answers that nobody waited for any more
        self.last_exit: Exit | None = None
        self.watches: dict[Watch, None] = {}  # of others, of this one
        self.watching: dict[Watch, None] = {}  # of the current incarnation, of others

    def __repr__(self) -> str:
        return f"<Cell {self.path} {self.status} incarnation={self.incarnation}>"

    def deliver(self, message: Any, reply: Any = None) -> Any:
        """Hand over one message: run its turn now if that is safe, else queue it.

        `reply` is None for a tell, a `Reply` for an ask, or `ASK`. Returns the answer, or `LATER`
        if the reply will have it; for `ASK` a `Promise` stands for an answer that is not there yet,
        and the call must come from the host's loop (`WrongLoop` otherwise).
        """
        host = self.host
        # Thread and running, not "the running loop": asking for that costs a getpid() before 3.12.
        if get_ident() != host.free or host.ready or not host.is_running():
            return self.enqueue(message, reply)
        self.messages += 1
        host.free = 0
        try:
            answer = self.turn(message, reply)
        except BaseException as error:
            answer = self.crashed(message, reply, error)
        host.free = host.thread
        if host.ready:
            host.drain()  # what the turn itself sent
        return answer

    def inform(self, message: Any) -> None:
        """Deliver a message that nobody misses where the actor has ended, or is given up."""
        if self.epitaph is None:
            self.deliver(message)

    def ask(self, message: Any, reply: Reply[Any]) -> None:
        """Deliver a question whose answer goes to this reply."""
        reply.cell = self
        self.answered(reply, self.deliver(message, reply))

    def answered(self, reply: Reply[Any] | Promise | None, answer: Any) -> None:
        """Pass a turn's answer on, if one was asked for and is there."""
        if reply is None or answer is LATER:
            return
        if not reply.resolve(answer):
            self.late_replies += 1
            self.withdrawn(reply, answer)

    def enqueue(self, message: Any, reply: Any) -> Any:
        """Queue a message in the user lane; returns what `deliver` returns."""
        answer: Any = LATER
        if reply is ASK:
            if not self.host.is_current_thread():
                raise self.wrong_loop()
            answer = reply = Promise(self.host.loop.create_future())
        if self.epitaph is not None or self.host.loop.is_closed():
            self.refuse(message, reply)
            return REFUSED if reply is None else answer
        self.user.append((message, reply, self.host.now()))
        self.depth_high = max(self.depth_high, len(self.user))
        self.announce()
        self.refuse_if_ended()  # while we queued, if we are in another thread
        return answer

    def notice(self, message: Any) -> None:
        """Deliver what must not be lost to a full mailbox."""
        self.deliver(message)

    def control_message(self, message: Any, reply: Reply[Any] | None = None) -> None:
        """Queue a message that goes before all user messages."""
        self.control.append((message, reply, self.host.now()))
        self.announce()

    def announce(self) -> None:
        """Tell the host that this cell has one more message."""
        if self.actor is not None:  # else they wait for the next incarnation: see `adopt`
            self.host.ready.append(self)
            if self.host.free:
                self.host.schedule()

    def turn_queued(self) -> None:
        """Handle the next queued message, control lane first; called by the host."""
        lane = self.control or self.user
        if self.actor is None or not lane:
            return
        message, reply, _ = lane.popleft()
        self.messages += 1
        self.host.free = 0
        try:
            answer = self.turn(message, reply)
        except BaseException as error:
            answer = self.crashed(message, reply, error)
        self.host.free = self.host.thread
        self.answered(reply, answer)

    # -- life

    def adopt(self, actor: LoopActor) -> None:
        """Make this incarnation the current one; what was queued meanwhile is its own now."""
        self.actor = actor
        self.turn = actor.turn
        self.host.cells[self] = None
        self.incarnation += 1
        self.since = self.host.now()
        self.epitaph = None
        self.status = "running"
        self.resume()

    def resume(self) -> None:
        """See to what is queued already."""
        self.host.ready.extend([self] * (len(self.control) + len(self.user)))
        if self.host.ready and self.host.free:
            self.host.schedule()

    def crashed(self, message: Any, reply: Any, error: BaseException) -> Any:
        """Take a failed incarnation out and tell the supervisor; return the asker's answer."""
        actor, kind = self.actor, type(message).__name__
        exit_ = Exit(ExitKind.FAILURE, describe(error), error, kind, self.host.now())
        self.leave(exit_)
        self.status = "restarting"
        text = "%s crashed in %s"
        say(self.host.loop, text, self.path, kind, level=logging.ERROR, error=error)
        answer: Any = Failure(self.crash_error(error))
        if actor is not None:
            answer = actor.reconcile(message, reply, answer)
        raise_outside(self.host.loop, error)
        self.on_exit(self, exit_)
        return answer

    def crash_error(self, error: BaseException) -> BaseException:
        """Return what the asker of the fatal message is told."""
        dead = ActorDead(f"{self.path} crashed while it handled this message: {describe(error)}")
        dead.__cause__ = error
        return dead

    def end(self, status: str, epitaph: Callable[[Any], Any]) -> None:
        """End for good: every message from now on is answered by `epitaph`."""
        self.leave(Exit(ExitKind.SHUTDOWN, status, at=self.host.now()))
        self.status = status
        self.epitaph = epitaph
        self.tell_watchers()
        self.refuse_queued()
        self.host.cells.pop(self, None)

    def leave(self, exit_: Exit) -> None:
        """Take the current incarnation, if there is one, out of service; watchers are told."""
        actor, self.actor, self.turn = self.actor, None, self.enqueue
        if actor is None:
            return
        self.last_exit = exit_
        actor.unregister()
        self.tell_watchers()

    def tell_watchers(self) -> None:
        """Tell everyone who watches of the last end."""
        exit_ = self.ended_by()
        for watch in tuple(self.watches):  # another thread may add one meanwhile
            if self.watches.pop(watch, watch) is None:
                watch.fire(exit_)

    def watch(self, tell: Callable[[Down], object], watcher: Cell | None = None) -> Watch:
        """Tell, once, when the current incarnation ends, or the next one while there is none.

        At once if there will be none any more.
        """
        watch = Watch(self, tell, watcher)
        if watcher is not None:
            watcher.watching[watch] = None
        self.watches[watch] = None
        if self.epitaph is not None or self.host.loop.is_closed():
            self.tell_watchers()
        return watch

    def ended_by(self) -> Exit:
        """Return how the last incarnation ended."""
        if self.actor is not None:
            return Exit(ExitKind.KILLED, "its event loop has ended", at=self.host.now())
        return self.last_exit or Exit(ExitKind.NORMAL, "never started", at=self.host.now())

    def refuse_if_ended(self) -> None:
        """Refuse what is queued if nobody will ever handle it."""
        if self.epitaph is not None:
            self.refuse_queued()

    def refuse_queued(self) -> None:
        """Answer everything that is still queued; our own control messages are dropped."""
        for lane in (self.control, self.user):
            while True:
                try:
                    message, reply, _ = lane.popleft()
                except IndexError:  # empty, perhaps just emptied by another thread
                    break
                if lane is self.user or reply is not None:
                    self.refuse(message, reply)

    def refuse(self, message: Any, reply: Reply[Any] | Promise | None) -> None:
        """Answer a message nobody will handle; a tell becomes a dead letter."""
        if reply is None:
            self.host.dead_letters.add(self, message, f"it is {self.status}")
            return
        epitaph = self.epitaph or self.loop_ended
        reply.resolve(epitaph(message))

    def loop_ended(self, _: Any) -> Failure:
        """Answer on behalf of an actor whose loop is closed."""
        return Failure(ActorDead(f"the event loop of {self.path} has ended"))

    def wrong_loop(self) -> WrongLoop:
        """Return the error that names both loops."""
        own, other = self.host.loop, current_loop()
        remedy = "make one manager for each asyncio.run()"
        if own.is_running():
            remedy = f"use manager.actor({self.path!r}).ask(...) across loops and threads"
        return WrongLoop(
            f"the manager of {self.path!r} belongs to the loop {own!r} at {id(own):#x} and is "
            f"called from {other!r} at {id(other):#x}: {remedy}"
        )

    def forsake(self, promise: Promise) -> None:
        """Take back a promised answer that its asker will not see."""
        future = promise.future
        answered = future.done() and not future.cancelled()
        future.cancel()
        self.withdrawn(promise, future.result() if answered else None)

    def withdrawn(self, reply: Reply[Any] | Promise, answer: Any) -> None:
        """Undo what a withdrawn question has, or would have, brought about."""
        message = self.undo(reply, answer)
        if message is not None:
            self.deliver(message)


def nothing_to_undo(_reply: Reply[Any] | Promise, _answer: Any) -> Any:
    """Return the message that undoes a withdrawn question: None, for most actors."""
    return None
