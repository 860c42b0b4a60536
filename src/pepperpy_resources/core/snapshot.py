"""Immutable pictures of a pool, for people and scrapers; taking one changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from pepperpy_resources.core import states
from pepperpy_resources.core.counters import Counters
from pepperpy_resources.core.events import shown
from pepperpy_resources.core.pool import DRAINING, SUSPENDED, Pool


class LeaseView(msgspec.Struct, frozen=True):
    """One live lease. `age` is in seconds; `owner` and `site` are as the borrower gave them."""

    resource_id: str
    epoch: int
    slot: int
    age: float
    owner: Any
    site: Any

    def __repr__(self) -> str:
        return shown(self)


class TicketView(msgspec.Struct, frozen=True):
    """One queued acquire. `age` and `left` (until its deadline) are in seconds."""

    resource_id: str
    age: float
    left: float
    owner: Any

    def __repr__(self) -> str:
        return shown(self)


class PoolSnapshot(msgspec.Struct, frozen=True):
    """One resource type at one moment."""

    name: str
    max_size: float  # its own
    permits: float  # its budget's; inf without one
    slots: dict[str, int]
    leases: tuple[LeaseView, ...]
    tickets: tuple[TicketView, ...]
    opened: int
    closed: int
    acquired: int
    generation: int
    draining: bool
    suspended: bool
    overdue: int
    leaked: int


def snapshot(pool: Pool, now: float) -> PoolSnapshot:
    """Return the pool as it stands at `now`; costs one step per lease and ticket."""
    return PoolSnapshot(
        name=pool.name,
        max_size=pool.cap,
        permits=pool.permits,
        slots=slots_by_state(pool),
        leases=tuple(
            LeaseView(x.resource_id, x.epoch, x.slot, now - x.since, x.owner, x.site)
            for x in tuple(pool.leases.values())
        ),
        tickets=tuple(
            TicketView(t.event.resource_id, now - t.since, t.deadline - now, t.event.owner)
            for t in tuple(pool.tickets.values())
        ),
        opened=pool.counters.opened,
        closed=sum(pool.counters.closed.values()),
        acquired=pool.counters.acquired,
        generation=pool.generation,
        draining=DRAINING in pool.modes,
        suspended=SUSPENDED in pool.modes,
        overdue=pool.counters.overdue,
        leaked=pool.counters.leaked,
    )


def slots_by_state(pool: Pool) -> dict[str, int]:
    """Return how many slots are in each state; every slot once."""
    counts = {str(state): n for state, n in pool.counts.items() if state is not states.GONE}
    return {"idle": len(pool.idle), "leased": pool.leased, **counts}


class Figures(msgspec.Struct, frozen=True):
    """What a scrape needs of one resource type: a copy of its counters and its gauges."""

    resource_type: str
    active: int
    slots: dict[str, int]
    limit: float
    waiting: int
    oldest_lease_age: float  # seconds; 0 without leases
    acquires: dict[str, int]
    errors: dict[str, int]
    opened: int
    closed: dict[str, int]
    cleanups: dict[str, int]
    stale: int
    overdue: int
    leaked: int
    wait_seconds: tuple[tuple[int, ...], float]
    use_seconds: tuple[tuple[int, ...], float]
    open_seconds: tuple[tuple[int, ...], float]


def figures(pool: Pool, now: float) -> Figures:
    """Return a copy of the type's figures; costs the same however large the pool is."""
    counters: Counters = pool.counters
    oldest = next(iter(pool.leases.values()), None)
    immediate = counters.acquired - sum(counters.wait_seconds.counts)
    return Figures(
        resource_type=pool.name,
        active=len(pool.leases),
        slots=slots_by_state(pool),
        limit=pool.max_size,
        waiting=len(pool.tickets),
        oldest_lease_age=now - oldest.since if oldest is not None else 0.0,
        acquires={"ok": counters.acquired, **counters.acquires},
        errors=dict(counters.errors),
        opened=counters.opened,
        closed=dict(counters.closed),
        cleanups=dict(counters.cleanups),
        stale=counters.stale,
        overdue=counters.overdue,
        leaked=counters.leaked,
        wait_seconds=counters.wait_seconds.copy(immediate),
        use_seconds=counters.use_seconds.copy(),
        open_seconds=counters.open_seconds.copy(),
    )


def find_slot(pool: Pool, resource_id: str) -> int | None:
    """Return the slot this id names: a pooled type's live lease, a keyed type's resource."""
    if pool.keyed:
        lane = pool.lanes.get(resource_id)
        slot = lane.slot if lane is not None else None
        return slot.number if slot is not None and slot.state in LISTED else None
    lease = pool.named.get(resource_id)
    if lease is None or pool.slots[lease.slot].state is not states.LEASED:
        return None
    return lease.slot


def listed_ids(pool: Pool) -> list[str]:
    """Return every id that `find_slot` finds."""
    ids = pool.lanes if pool.keyed else pool.named
    return [name for name in tuple(ids) if name and find_slot(pool, name) is not None]


LISTED = (states.IDLE, states.LEASED, states.CHECKING, states.RESETTING)
