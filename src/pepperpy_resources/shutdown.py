"""Draining, shutting and evicting several resource types at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.core import states
from pepperpy_resources.core.events import Drain, Event, Evict, Shut
from pepperpy_resources.errors import ActorDead

log = logging.getLogger("pepperpy_resources")

GRACE = 1.0  # seconds beyond the close deadline, which the core keeps exactly


async def drain_and_shut(types: Sequence[TypeState], timeout: float, ignoring: object) -> None:
    """Wait for leases at most `timeout` seconds, then end them and close everything."""
    await ask_all(types, Drain(ignoring), timeout)
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


async def ask_all(types: Sequence[TypeState], event: Event, timeout: float) -> None:
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
