"""The base class of a user's own actors on the loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import pykka

from pepperpy_resources.actors.actor_cell import ActorCell
from pepperpy_resources.actors.base import PROXY, LoopActor
from pepperpy_resources.actors.host import kind_of
from pepperpy_resources.actors.reply import Promise, Reply
from pepperpy_resources.actors.turn import running_turn
from pepperpy_resources.actors.watching import Watch
from pepperpy_resources.core.kinship import Exit, ExitKind
from pepperpy_resources.errors import UsageError

if TYPE_CHECKING:
    from threading import Event
    from types import TracebackType

    from pepperpy_resources.actors.handle import ActorHandle

Ending = ExitKind | Literal["normal", "shutdown"]
F = TypeVar("F", bound=Callable[..., Any])

# Where the actor that is being made will live: pykka's `start()` passes on the class's own
# arguments only.
PLACE: ContextVar[ActorCell] = ContextVar("pepperpy_resources_place")

_MARK = "__pepperpy_handles__"

NO_HANDLER: Any = pykka.Actor.on_receive


def handles(*kinds: type[Any]) -> Callable[[F], F]:
    """Mark a method, `def` or `async def`, as the handler of messages of these types.

    It is called with the message; what it returns is the answer to an ask. Raises `UsageError`
    for what is no type.
    """
    for kind in kinds:
        if not isinstance(kind, type):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(f"handles({kind!r}) is refused: it takes the types of messages")
    if not kinds:
        raise UsageError("handles() is refused: name the types of messages, handles(Add)")

    def mark(method: F) -> F:
        setattr(method, _MARK, kinds)
        return method

    return mark


if TYPE_CHECKING:

    class OnLoop:
        """What a loop actor is, as type checkers are to see it here.

        pykka's hooks return None, which would forbid everybody an `async def on_start`.
        """

        actor_ref: pykka.ActorRef[Any]
        actor_stopped: Event
        unregister: Callable[[], None]
        unknown: Callable[[Any, Any], Any]
        _handle_receive: Callable[[Any], Any]
        start: ClassVar[Callable[..., pykka.ActorRef[Any]]]

        def __init__(self, cell: ActorCell) -> None: ...
        def on_receive(self, message: Any) -> Any:
            """Handle a message that no method is marked for."""

else:
    OnLoop = LoopActor


class Actor(OnLoop):
    """An actor on the event loop whose turns may await; started and restarted by a `Supervisor`.

    Messages are handled one at a time, in the order they came, by the methods marked with
    `handles`; `on_start` and `on_stop` may be overridden, `def` or `async def`, and `on_failure`
    as in pykka, `def`. What a handler raises ends this incarnation, asked or told: the asker gets
    `ActorDead` with the error as its cause, and the supervisor decides. To refuse without ending,
    return a `Failure`. To answer in a later turn, keep `self.reply` and return `LATER`.
    """

    cell: ActorCell

    def __init__(self) -> None:
        place = PLACE.get(None)
        if place is None:
            raise UsageError(
                f"{type(self).__name__} is made by its supervisor: "
                f"Supervisor([ChildSpec('name', {type(self).__name__})])"
            )
        super().__init__(place)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if inspect.iscoroutinefunction(cls.on_failure):
            raise UsageError(f"{cls.__name__}.on_failure must be a plain def: nothing waits for it")
        cls.handlers = {
            kind: name
            for base in reversed(cls.__mro__)
            for name, method in vars(base).items()
            for kind in getattr(method, _MARK, ())
        }

    handlers: ClassVar[dict[type[Any], str]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    # -- hooks: a subclass may make the first two `async def`

    def on_start(self) -> Any:
        """Prepare, before the first message; raising fails the start."""

    def on_stop(self) -> Any:
        """Clean up, after the last message of an orderly end; not called after a crash."""

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clean up after a turn that raised."""

    # -- for its own code

    @property
    def path(self) -> str:
        """Where it lives: the ids of its supervisors and its own, with a slash between them."""
        return self.cell.path

    @property
    def handle(self) -> ActorHandle:
        """Its own handle, to give to others."""
        from pepperpy_resources.actors.handle import ActorHandle  # noqa: PLC0415 - they know us

        return ActorHandle(self.cell)

    @property
    def reply(self) -> Reply[Any] | Promise | None:
        """Where the answer to the message of this turn goes; None if it was told, not asked."""
        turn = running_turn()
        return None if turn is None or turn.cell is not self.cell else turn.reply

    def stop(self, kind: Ending = ExitKind.NORMAL, reason: str = "") -> None:
        """End after this turn, of its own accord; `on_stop` runs before.

        A permanent child is restarted all the same. Nothing, once this incarnation has ended.
        Raises `UsageError` for a kind that only others can decide: to fail, raise.
        """
        if kind not in (ExitKind.NORMAL, ExitKind.SHUTDOWN):
            raise UsageError(f"stop(kind={kind!r}) is refused: it takes 'normal' or 'shutdown'")
        cell = self.cell
        if cell.actor is self:
            cell.stop_after_turn(Exit(ExitKind(kind), reason, at=cell.host.now()))

    def watch(self, target: ActorHandle) -> Watch:
        """Have a `Down` message sent here, once, when the target's incarnation ends.

        While it is being restarted: the next one's; at once if it has ended for good.
        `watch.cancel()` takes it back, a notice that is queued already included; so does the end
        of this incarnation.
        """
        watch = target.watch_for(self.cell)
        if self.actor_stopped.is_set():  # code of an earlier incarnation that goes on
            watch.cancel()
        return watch

    def tell_later(self, delay: float, message: Any) -> Callable[[], None]:
        """Send itself a message after `delay` seconds, unless this incarnation has ended by then.

        Returns what takes it back.
        """
        cell = self.cell

        def send() -> None:
            if cell.actor is self:
                cell.deliver(message)

        return cell.host.loop.call_later(delay, send).cancel

    # -- inside

    def receive(self, message: Any, reply: Any) -> Any:
        """Handle one message by the method for its type."""
        of = kind_of(message)
        for kind in of.__mro__:
            name = self.handlers.get(kind)
            if name is not None:
                return getattr(self, name)(message)
        if issubclass(of, PROXY):
            return self._handle_receive(message)
        if type(self).on_receive is not NO_HANDLER:
            return self.on_receive(message)
        return self.unknown(message, reply)

    @classmethod
    def launch(cls, cell: ActorCell, *args: Any, **kwargs: Any) -> pykka.ActorRef[Any]:
        """Start an incarnation in this cell."""
        token = PLACE.set(cell)
        try:
            return cls.start(*args, **kwargs)
        finally:
            PLACE.reset(token)
