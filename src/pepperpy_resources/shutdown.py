"""Draining, shutting and evicting several resource types at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Any

from pepperpy_resources.actors.host import say
from pepperpy_resources.actors.owners import report_unreturned
from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.core import dependencies, states
from pepperpy_resources.core.events import Drain, Event, Evict, Shut
from pepperpy_resources.errors import ActorDead

GRACE = 0.05  # seconds beyond the close deadline, which the core keeps exactly


class Patience:
    """How long a stop waits for leases; a second, less patient stop shortens the first."""

    def __init__(self) -> None:
        self.spent = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []

    def limit(self, seconds: float) -> None:
        """Be out of patience in `seconds`, or earlier if that was said before."""
        if seconds <= 0:
            self.spent.set()
        elif seconds < math.inf:
            timer = asyncio.get_running_loop().call_later(seconds, self.spent.set)
            self._timers.append(timer)

    def end(self) -> None:
        """Leave no timer behind."""
        while self._timers:
            self._timers.pop().cancel()


async def drain_and_shut(types: Sequence[TypeState], patience: Patience, ignoring: object) -> None:
    """Wait for leases while there is patience, then end them and close everything.

    From the first moment on nobody is served. A type is shut only after those that depend on it,
    because their close hooks may use what they leased of it, and give it back. So beyond the
    patience it takes one close deadline for each layer of types, at most.
    """
    for state in types:
        state.ending = True
    by_name = {state.spec.name: state for state in types}
    needs = {
        name: [need for need in state.depends_on if need in by_name]
        for name, state in by_name.items()
    }
    drains = {
        name: asyncio.ensure_future(until_answered(state, Drain(ignoring)))
        for name, state in by_name.items()
    }
    spent = asyncio.ensure_future(patience.spent.wait())
    shuts: dict[str, asyncio.Future[None]] = {}
    for name in reversed(dependencies.order(needs)):
        # What it depends on is perhaps not drained before it is shut. Other types are left alone
        # until all are drained, for the sake of leases that nobody waits for.
        awaited = [drains[name]] if needs[name] else list(drains.values())
        users = [shuts[user] for user in dependencies.dependents(needs, name)]
        shuts[name] = asyncio.ensure_future(shut_in_turn(by_name[name], awaited, spent, users))
    try:
        await asyncio.gather(*shuts.values())
    finally:
        patience.end()
        await cancelled([*shuts.values(), *drains.values(), spent])


async def shut_in_turn(
    state: TypeState,
    drains: Sequence[asyncio.Future[Any]],
    spent: asyncio.Future[Any],
    users: Sequence[asyncio.Future[Any]],
) -> None:
    """Shut a type once these are drained, or patience is spent, and all its users are shut."""
    while not spent.done() and (left := [drain for drain in drains if not drain.done()]):
        await asyncio.wait([*left, spent], return_when=asyncio.FIRST_COMPLETED)
    for drain in drains:
        drain.cancel()
    if users:
        await asyncio.wait(users)
    await shut(state)


async def shut(state: TypeState) -> None:
    """End every lease of a type and close everything, within its close deadline."""
    report_unreturned(state)
    await ask_all([state], Shut(), state.policy.close_timeout + GRACE)
    if state.cell.actor is None:  # crashed once too often to be shut in order
        state.give_up()
        await state.hooks.finish(state.policy.close_timeout)
    left = state.pool.counts[states.ABANDONED]
    if left:
        say(state.loop, "%s: %d hooks ignored their deadlines", state.policy.name, left)


async def evict_all(types: Sequence[TypeState], event: Evict) -> None:
    """Evict everywhere and wait until the idle ones are closed, at most one close deadline."""
    await ask_all(types, event, longest_close(types) + GRACE)


def longest_close(types: Iterable[TypeState]) -> float:
    """Return the longest close deadline, in seconds."""
    return max((state.policy.close_timeout for state in types), default=0.0)


async def ask_all(types: Sequence[TypeState], event: Event, timeout: float | None) -> None:
    """Ask every type the same thing; return when all have answered, or time is up."""
    asked = [asyncio.ensure_future(until_answered(state, event)) for state in types]
    if not asked:
        return
    try:
        await asyncio.wait(asked, timeout=timeout)
    finally:
        await cancelled(asked)


async def cancelled(work: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel what has not ended of this, and wait until it has."""
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def until_answered(state: TypeState, event: Event) -> None:
    """Ask again if the supervisor crashes over the question: it is restarted, or parked."""
    for _ in range(state.spec.restart.restarts + 2):
        if state.cell.epitaph is not None:
            return
        reply: Reply[Any] = Reply(state.cell)
        state.cell.ask(event, reply)
        try:
            await reply
        except ActorDead:
            continue
        return
