"""From a denial of the core to an error a person can act on."""

from __future__ import annotations

import asyncio
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from pepperpy_resources.core import states
from pepperpy_resources.core.effects import Deny, Lease, Why
from pepperpy_resources.core.events import Acquire
from pepperpy_resources.core.queueing import INTERVAL
from pepperpy_resources.errors import (
    AcquireTimeout,
    BackendDown,
    KeywordsRefused,
    LeaseIdInUse,
    ManagerStopped,
    NotLeased,
    OpenFailedError,
    Overloaded,
    QueueFull,
    ResourceError,
    TypeSuspended,
)

if TYPE_CHECKING:
    from pepperpy_resources.core.pool import Pool


# Leases or tickets that are too many to be looked through for one error: as many as time out in one
# turn may each be looked for among as many.
MANY = 200

ASYNCIO_EVENTS = asyncio.events.__file__


def refusal(pool: Pool, deny: Deny, asked: Any = None) -> ResourceError:
    """Return the error for a denial of what was `asked`, with the last failure as its cause."""
    error = BUILDERS[deny.why](pool, deny)
    if deny.why in WAITED and isinstance(asked, Acquire):
        error.args = (f"{error}{entanglement(pool, asked)}",)
    if isinstance(deny.error, BaseException):
        error.__cause__ = deny.error
    return error


def standing(pool: Pool) -> str:
    """Return the pool's state in one line: slots by state, queue, oldest lease."""
    slots = {"idle": len(pool.idle), "leased": pool.leased}
    slots.update({str(state): n for state, n in pool.counts.items() if n})
    states_now = ", ".join(f"{n} {state}" for state, n in slots.items())
    text = f"{states_now} of at most {pool.max_size:g}; {len(pool.tickets)} waiting"
    oldest = next(iter(pool.leases.values()), None)
    return text if oldest is None else f"{text}; oldest lease {holder(pool, oldest)}"


def holder(pool: Pool, lease: Lease) -> str:
    """Return who holds a lease, since when and from where."""
    text = f"{lease.resource_id!r} held for {pool.now - lease.since:.3g} s"
    if lease.owner is not None:
        text += f" by {owner_name(lease.owner)}"
    site = where(lease.site)
    return f"{text}, acquired at {site}" if site else text


def is_task(owner: object) -> TypeGuard[asyncio.Task[Any]]:
    """Tell whether an owner is a task, by its class: `__class__` may be user code, or lie."""
    return issubclass(type(owner), asyncio.Task)


def owner_name(owner: Any) -> str:
    """Return how to call an owner: a task by its name, a str as it is, anything else by type.

    Called in turns, which run no user code: a subclass is asked by the base class's own methods.
    """
    if owner is None:
        return "an unnamed owner"
    if is_task(owner):
        name = asyncio.Task.get_name(owner)  # pyright: ignore[reportUnknownMemberType]
        return f"task {name!r}"
    if issubclass(type(owner), str):
        return str.__str__(owner)
    return f"a {type(owner).__name__}"


def where(site: Any) -> str:
    """Return the place an acquire was called from, as `file:line in function`."""
    if type(site) is str:
        return site
    if not (type(site) is tuple and list(map(type, site)) == [CodeType, int]):  # pyright: ignore[reportUnknownArgumentType]
        return ""  # None, or something that an ask(Acquire(site=...)) brought along
    code, instruction = cast("tuple[CodeType, int]", site)
    if code.co_filename == ASYNCIO_EVENTS:  # acquire() ran in a task of its own: nobody awaits it
        return ""
    lines = [line for start, end, line in code.co_lines() if start <= instruction < end]
    return f"{code.co_filename}:{lines[0] if lines else '?'} in {code.co_name}"


def timed_out(pool: Pool, deny: Deny) -> ResourceError:
    """Tell an exhausted pool from one whose resources cannot be made."""
    text = f"no {pool.name!r} resource became free in time: {standing(pool)}"
    if pool.counts[states.ABANDONED] >= pool.max_size > 0:
        hint = "Too many hooks ignore their deadlines: find the hook that hangs"
    elif deny.error is not None:
        cause = type(deny.error).__name__
        hint = f"Creations fail with {cause} (see the cause): mend what the factory connects to"
    elif pool.max_size < pool.cap:
        hint = "Its budget gives it no more: hold leases for less time, or raise the budget's limit"
    else:
        hint = "Hold leases for less time, raise max_size, or wait longer (acquire_timeout)"
    kind = AcquireTimeout if deny.error is None else BackendDown
    return kind(f"{text}. {hint}.")


def entanglement(pool: Pool, asked: Acquire) -> str:
    """Say it where a task waits for what it holds itself, or where all holders wait."""
    if asked.owner is None or len(pool.leases) > MANY or len(pool.tickets) > MANY:
        return ""
    leases = list(pool.leases.values())
    own = next((lease for lease in leases if lease.owner is asked.owner), None)
    text = ""
    if own is not None:
        text = f" The same owner waits here and has {holder(pool, own)}: lease once, pass it on."
    waiting = {id(ticket.event.owner) for ticket in pool.tickets.values()} | {id(asked.owner)}
    waiting.discard(id(None))
    # By identity, and not even by truth: an owner is any object of the user's.
    if leases and waiting.issuperset(id(lease.owner) for lease in leases):
        text += " Every holder is itself waiting here: nobody will ever give anything back."
    return text


def suspended(pool: Pool, _: Deny) -> ResourceError:
    """Say that an operator has suspended the type."""
    return TypeSuspended(
        f"{pool.name!r} is suspended and leases nothing: {standing(pool)}. Wait longer, or "
        "resume() it."
    )


def overloaded(pool: Pool, _: Deny) -> ResourceError:
    """Say that the queue was too slow for too long."""
    return Overloaded(
        f"acquires of {pool.name!r} have not been served within max_queue_delay="
        f"{pool.max_queue_delay:g} s for {INTERVAL} times as long, so whoever waits longer is "
        f"refused: {standing(pool)}. Shed load, raise max_size, hold leases for less time, or "
        "raise max_queue_delay."
    )


def queue_full(pool: Pool, _: Deny) -> ResourceError:
    """Say that the queue is at its limit."""
    return QueueFull(
        f"max_waiting={pool.policy.max_waiting:g} acquires already wait for {pool.name!r}: "
        f"{standing(pool)}. Shed load, raise max_size, or raise max_waiting."
    )


def closed(pool: Pool, _: Deny) -> ResourceError:
    """Say that nobody is served any more."""
    return ManagerStopped(
        f"{pool.name!r} is stopping: acquires are refused: {standing(pool)}. Acquire before "
        "stop(), or of a new manager."
    )


def in_use(pool: Pool, deny: Deny) -> ResourceError:
    """Name the holder of an id that was asked for twice."""
    if isinstance(deny.error, Lease):
        state = holder(pool, deny.error)
    elif deny.resource_id in {ticket.event.resource_id for ticket in pool.tickets.values()}:
        state = f"{deny.resource_id!r} is queued"
    else:
        state = f"{deny.resource_id!r} was ended by us and its holder has not released it yet"
    return LeaseIdInUse(
        f"{state}; {pool.name!r} is a pooled type, where an id names one lease: choose another "
        f'id, or use lease("{pool.name}"), which needs none'
    )


def not_leased(_: Pool, deny: Deny) -> ResourceError:
    """Say that there is nothing to release."""
    return NotLeased(
        f"{deny.resource_id!r} is not leased: never acquired, or released before; release once, "
        "with the id that was acquired"
    )


def keywords(_: Pool, deny: Deny) -> ResourceError:
    """Say that the id exists with other keywords; their values may be secret and are not shown."""
    known: list[str] = sorted(cast("dict[str, Any]", deny.error or {}))
    return KeywordsRefused(
        f"{deny.resource_id!r} was built with other keywords ({', '.join(known) or 'none'}); "
        "release and cleanup() it first, or use another id"
    )


def broken(pool: Pool, _: Deny) -> ResourceError:
    """Say that the resource cannot be made."""
    return OpenFailedError(
        f"no {pool.name!r} resource can be made (see the cause): {standing(pool)}. Mend what the "
        "factory connects to."
    )


BUILDERS = {
    Why.TIMEOUT: timed_out,
    Why.QUEUE_FULL: queue_full,
    Why.CLOSED: closed,
    Why.IN_USE: in_use,
    Why.NOT_LEASED: not_leased,
    Why.KEYWORDS: keywords,
    Why.BROKEN: broken,
    Why.OVERLOADED: overloaded,
    Why.SUSPENDED: suspended,
}
WAITED = (Why.TIMEOUT, Why.OVERLOADED)
