"""Who holds leases and what has become of them: ended owners, deadlocks, and how to say so.

An owner is whatever a borrower gave; only tasks can be asked whether they have ended. Nothing here
changes anything. Reports are made in plain callbacks: stacks and logging are no turn's business.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable, Sequence
from types import CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any

import msgspec

from pepperpy_resources.actors.host import log, say
from pepperpy_resources.actors.refusals import is_task, owner_name, where
from pepperpy_resources.core import states
from pepperpy_resources.core.deadlock import Crowd, stuck
from pepperpy_resources.core.effects import Lease

if TYPE_CHECKING:
    from pepperpy_resources.actors.ledger import Ledger
    from pepperpy_resources.actors.type_state import TypeState

AT_ONCE = 1000  # leases looked at in one turn; a type with more has its others looked at later
LOOK_EVERY = 1.0  # seconds between two looks, while acquires wait; without any, sweeps look
LOOK_SELDOMER = 1 / 16  # of what the oldest has waited already: who waits for days costs nothing

DEEPEST = 30  # innermost frames of a holder that are shown
# Where a coroutine or generator stands, and what it waits for.
STEPS = {CoroutineType: ("cr_frame", "cr_await"), GeneratorType: ("gi_frame", "gi_yieldfrom")}

BUSY = (states.OPENING, states.CHECKING, states.RESETTING, states.CLOSING)


class Look(msgspec.Struct, frozen=True):
    """Look for leases whose owner has ended, and for deadlocks; a type tells itself."""


class OwnerWatch:
    """Looks through the leases of one type for owners that have ended, a bounded part at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._left: list[int] = []

    def ended(self) -> tuple[int, ...]:
        """Return the epochs of leases whose owner has ended, among the next ones looked at."""
        leases = self._ledger.leases
        if not self._left:
            self._left = list(leases)
            self._left.reverse()  # what is taken off the end costs nothing, however many are left
        looked = self._left[: -AT_ONCE - 1 : -1]
        del self._left[-AT_ONCE:]
        return tuple(epoch for epoch in looked if epoch in leases and has_ended(leases[epoch]))


def has_ended(lease: Lease) -> bool:
    """Tell whether the lease's owner is a task that has ended."""
    owner = lease.acquire.owner
    # By the class, not the object: a subclass's own `done` would be user code inside a turn.
    return is_task(owner) and asyncio.Task.done(owner)  # pyright: ignore[reportUnknownMemberType]


def deadlocked(types: Iterable[TypeState]) -> set[str]:
    """Return the pooled types whose every holder waits, directly or not, for another of them."""
    return stuck({state.policy.name: crowd(state) for state in types if is_full(state)})


def is_full(state: TypeState) -> bool:
    """Tell whether only a release can serve those who wait for this type."""
    pool = state.pool
    if pool.keyed or not pool.tickets or pool.idle:
        return False
    if len(pool.leases) > AT_ONCE or len(pool.tickets) > AT_ONCE:
        return False  # too many to look through
    return pool.size >= pool.max_size and not any(pool.counts[busy] for busy in BUSY)


def crowd(state: TypeState) -> Crowd:
    """Return who holds and who waits, by identity; a holder that is no task is unknown."""
    owners = [lease.owner for lease in state.pool.leases.values()]
    waiters = {id(ticket.event.owner) for ticket in state.pool.tickets.values()}
    holders = [id(owner) if is_task(owner) else None for owner in owners]
    return Crowd(holders, waiters - {id(None)})


def report_overdue(state: TypeState, lease: Lease, age: float, *, revoked: bool) -> None:
    """Say that a lease is held too long: where it was taken, and where its holder is now."""
    outcome = "it is revoked" if revoked else "nothing is done about it (on_overdue='report')"
    text = "%s: lease %r is held by %s for %.3g s (max_hold=%g); %s%s%s"
    log.warning(
        text,
        state.policy.name,
        lease.resource_id,
        owner_name(lease.owner),
        age,
        state.policy.max_hold,
        outcome,
        taken_at(lease),
        standing_at(lease.owner),
    )


def report_leaked(state: TypeState, lease: Lease, age: float) -> None:
    """Say that a lease was reclaimed, and where it had been taken."""
    text = "%s: lease %r leaked: %s ended without releasing it after %.3g s; it is reclaimed%s"
    owner = owner_name(lease.owner)
    log.warning(text, state.policy.name, lease.resource_id, owner, age, taken_at(lease))


def report_unreturned(state: TypeState) -> None:
    """Say which leases a stop has waited for in vain, and where they were taken."""
    ignoring, leases = state.pool.ignoring, list(state.ledger.leases.values())
    held = [lease for lease in leases if ignoring is None or lease.owner is not ignoring]
    if held and state.policy.has_close:
        text = "%s: %d leases were not given back before the stop and are ended now:%s"
        say(state.loop, text, state.policy.name, len(held), "".join(entangled(held)))


def report_deadlock(names: set[str], types: Iterable[TypeState]) -> None:
    """Say which leases and acquires wait for each other."""
    states_of = [state for state in types if state.policy.name in names]
    lines = [line for state in states_of for line in entangled(list(state.pool.leases.values()))]
    text = (
        "deadlock in %s: every holder is itself waiting, so only a time-out will free anything; "
        "acquire what you need at once, or in one order everywhere:%s"
    )
    log.warning(text, ", ".join(sorted(names)), "".join(lines))


def entangled(leases: Sequence[Lease], most: int = 5) -> list[str]:
    """Return for each lease, at most so many, who has it, from where, and what it does now."""
    lines = [
        f"\n  {owner_name(lease.owner)} holds {lease.resource_id!r}{taken_at(lease)}"
        f"{standing_at(lease.owner)}"
        for lease in leases[:most]
    ]
    more = len(leases) - len(lines)
    return [*lines, f"\n  and {more} more"] if more > 0 else lines


def taken_at(lease: Lease) -> str:
    """Return where a lease was taken, as the spec's borrow_stack kept it."""
    site = where(lease.site)
    if not site:
        return ""
    return f"\nacquired at:\n{site}" if "\n" in site else f"\nacquired at {site}"


def standing_at(owner: Any) -> str:
    """Return the stack of a task that has not ended, "" for anything else."""
    if not is_task(owner) or owner.done():
        return ""
    lines: list[str] = []
    for frame in frames_of(owner)[-DEEPEST:]:
        lines += traceback.format_list(traceback.extract_stack(frame, limit=1))
    return f"\nits holder is at:\n{''.join(lines)}".rstrip() if lines else ""


def frames_of(task: asyncio.Task[Any]) -> list[FrameType]:
    """Return where a task stands, outermost first.

    The task itself tells only the outermost frame of a coroutine that is suspended.
    """
    frames: list[FrameType] = []
    step: Any = task.get_coro()
    while (names := STEPS.get(step.__class__)) is not None:
        frame, step = getattr(step, names[0]), getattr(step, names[1])
        if frame is not None:
            frames.append(frame)
    return frames or task.get_stack()
