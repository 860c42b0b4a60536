"""Whose fault it is when a type that needs others cannot serve: the one below that is down."""

from __future__ import annotations

from pepperpy_resources.actors.host import describe
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.errors import ClosedError, ManagerStopped, ResourceError, UsageError


def failure(state: TypeState) -> BaseException | None:
    """Return what a type that is down failed of last, None while it serves."""
    if state.parked is not None:
        return state.parked
    if state.ledger.draining:
        return ManagerStopped(f"{state.spec.name!r} is stopped")
    return creation_failure(state.pool)


def creation_failure(pool: Pool) -> BaseException | None:
    """Return why the last creations failed, unless what was made before them still serves.

    A keyed type is down when no key of it works.
    """
    if pool.idle or (pool.keyed and pool.leased):
        return None
    failing = [lane for lane in tuple(pool.lanes.values()) if lane.failures]
    return max(failing, key=lambda lane: lane.retry_at).error if failing else None


def causes(state: TypeState) -> dict[str, BaseException]:
    """Return the types below this one that are down, and not for want of another one's."""
    found = {name: failure(below) for name, below in state.below.items()}
    down = {name: error for name, error in found.items() if error is not None}
    return {
        name: error
        for name, error in down.items()
        if down.keys().isdisjoint(state.below[name].below)
    }


def blamed(state: TypeState, error: ResourceError) -> ResourceError:
    """Return the error of a type that did not serve; what it needs and is down is named in it.

    Nothing is added to what the caller did wrong, nor to "this is stopping".
    """
    if not state.below or isinstance(error, (UsageError, ClosedError)):
        return error
    down = causes(state)
    if down:
        which = "; and on ".join(f"{n!r}, which is down: {describe(e)}" for n, e in down.items())
        text = f"{str(error).rstrip('.')}. {state.spec.name!r} depends on {which}"
        cause = error.__cause__ or next(iter(down.values()))
        error = type(error)(text)
        error.__cause__ = cause
    return error
