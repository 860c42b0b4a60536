"""Who is told what happens: listeners are user code, so they run in callbacks outside any turn.

Watching changes nothing (law 12): while nobody listens to a type, its pool's modes do not hold
`WATCHED`, and no turn does anything for a watcher. What is told is delivered by one callback of the
loop per batch, in order.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self

from pepperpy_resources._callables import describe
from pepperpy_resources.actors.host import Host, raise_outside, say
from pepperpy_resources.actors.resource_event import ResourceEvent, What
from pepperpy_resources.core.pool import WATCHED
from pepperpy_resources.errors import WrongLoop

if TYPE_CHECKING:
    from pepperpy_resources.actors.type_state import TypeState

Listener = Callable[[ResourceEvent], object]


class Subscription:
    """One listener, from `subscribe` to `cancel`; a `with` block cancels it at its end."""

    __slots__ = ("_context", "_failures", "_listener", "_watchers", "types")

    def __init__(self, watchers: Watchers, listener: Listener, types: Iterable[str]) -> None:
        self.types = frozenset(types)  # empty: all
        self._watchers: Watchers | None = watchers
        self._listener = listener
        # The subscriber's, and not of the borrower in whose task a turn happens to run.
        self._context = contextvars.copy_context()
        self._failures: set[type[BaseException]] = set()  # logged already

    def __repr__(self) -> str:
        types = ", ".join(sorted(self.types)) or "all types"
        state = "active" if self.active else "cancelled"
        return f"<Subscription of {describe(self._listener)} to {types}, {state}>"

    @property
    def active(self) -> bool:
        """Whether the listener is still called."""
        return self._watchers is not None

    def cancel(self) -> None:
        """Never call the listener again, not even with what has happened already; idempotent.

        Raises `WrongLoop` from another thread than the manager's loop runs on.
        """
        if self._watchers is not None:
            self._watchers.remove(self)
            self._watchers = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def wants(self, name: str) -> bool:
        """Tell whether this type is listened to."""
        return not self.types or name in self.types

    def call(self, event: ResourceEvent, host: Host) -> None:
        """Call the listener, if it is to hear of this; whatever it raises ends here (law 9).

        An error is logged once of each kind: a listener that always fails must not flood the log.
        """
        if not self.active or not self.wants(event.resource_type):
            return
        try:
            self._context.run(self._listener, event)
        except BaseException as error:
            if type(error) not in self._failures:
                self._failures.add(type(error))
                text = "the event listener %s failed; this kind of error is logged once"
                say(host.loop, text, describe(self._listener), error=error)
            raise_outside(host.loop, error)


class Watchers:
    """All the subscriptions of one manager, and what they have not been told yet."""

    def __init__(self) -> None:
        # Replaced, never changed: what is told goes to those who had subscribed by then.
        self._subscriptions: tuple[Subscription, ...] = ()
        self._untold: list[tuple[ResourceEvent, tuple[Subscription, ...]]] = []
        self._host: Host | None = None
        self._types: Mapping[str, TypeState] = {}

    def serve(self, host: Host, types: Mapping[str, TypeState]) -> None:
        """Watch the types that live, or will live, on this host."""
        self._host, self._types = host, types

    def add(self, listener: Listener, types: Iterable[str]) -> Subscription:
        """Call the listener with what happens from now on."""
        self._check_thread()
        subscription = Subscription(self, listener, types)
        self._replace((*self._subscriptions, subscription))
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Call this listener no more."""
        self._check_thread()
        self._replace(tuple(s for s in self._subscriptions if s is not subscription))

    def wants(self, name: str) -> bool:
        """Tell whether anybody listens to this type."""
        return any(subscription.wants(name) for subscription in self._subscriptions)

    def tell(self, events: list[ResourceEvent]) -> None:
        """Have the listeners called with these events, soon and outside any turn."""
        host = self._host
        if not events or host is None:
            return
        if not self._untold:
            host.loop.call_soon(self._deliver, host)
        self._untold += [(event, self._subscriptions) for event in events]

    def tell_of_type(
        self, name: str, what: What, error: BaseException | None = None, reason: str | None = None
    ) -> None:
        """Tell what happened to a whole type, if anybody listens to it."""
        if self._host is not None and name in self._types and self.wants(name):
            at = self._types[name].now()
            event = ResourceEvent(at=at, resource_type=name, what=what, error=error, reason=reason)
            self.tell([event])

    def _deliver(self, host: Host) -> None:
        untold, self._untold = self._untold, []
        for event, subscriptions in untold:
            for subscription in subscriptions:
                subscription.call(event, host)

    def _replace(self, subscriptions: tuple[Subscription, ...]) -> None:
        """Set who listens, and have the turns of exactly their types tell of it."""
        self._subscriptions = subscriptions
        for name, state in self._types.items():
            self.set_mode(name, state)

    def set_mode(self, name: str, state: TypeState) -> None:
        """Let the type's current machine leave effects to be seen, or take its short way."""
        if self.wants(name):
            state.pool.modes.add(WATCHED)
        else:
            state.pool.modes.discard(WATCHED)

    def _check_thread(self) -> None:
        host = self._host
        if host is not None and host.is_running() and not host.is_current_thread():
            raise WrongLoop(
                f"subscribe and cancel on the thread of the manager's loop {host.loop!r}, from "
                "elsewhere by loop.call_soon_threadsafe(...)"
            )
