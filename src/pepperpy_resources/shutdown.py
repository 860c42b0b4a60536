"""Draining, shutting and evicting several resource types at once."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.core import states
from pepperpy_resources.core.events import Drain, Event, Evict, Shut
from pepperpy_resources.errors import ActorDead

log = logging.getLogger("pepperpy_resources")

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
    """Wait for leases while there is patience, then end them and close everything."""
    drained = asyncio.ensure_future(ask_all(types, Drain(ignoring), None))
    spent = asyncio.ensure_future(patience.spent.wait())
    try:
        await asyncio.wait({drained, spent}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        patience.end()
        drained.cancel()
        spent.cancel()
        await asyncio.gather(drained, spent, return_exceptions=True)
    await ask_all(types, Shut(), longest_close(types) + GRACE)
    for state in types:
        if state.cell.actor is None:  # crashed once too often to be shut in order
            state.give_up()
            await state.hooks.finish(state.policy.close_timeout)
        left = state.pool.counts[states.ABANDONED]
        if left:
            log.warning("%s: %d hooks ignored their deadlines", state.policy.name, left)


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
        for task in asked:
            task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


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
