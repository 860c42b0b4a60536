"""The machine: one event in, a list of effects out.

Deterministic and total over its events: anything it raises is a bug of ours, and the actor that
owns it then builds a new one from its ledger (`Restore`); a crashed machine is never reused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pepperpy_resources.core import borrowing, operating, outcomes, restoring, upkeep
from pepperpy_resources.core import events as on
from pepperpy_resources.core.budget import tell_budget
from pepperpy_resources.core.effects import Effect
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.core.settle import relieve

# event -> what it means to the pool; each handler ends with the settle rule on what it touched.
HANDLERS: dict[type[on.Event], Callable[[Pool, Any], None]] = {
    on.Acquire: borrowing.acquire,
    on.Cancel: borrowing.cancel,
    on.Release: borrowing.release,
    on.Discard: borrowing.discard,
    on.Opened: outcomes.opened,
    on.OpenFailed: outcomes.open_failed,
    on.CheckPassed: outcomes.check_passed,
    on.CheckFailed: outcomes.check_failed,
    on.ResetDone: outcomes.reset_done,
    on.Closed: outcomes.closed,
    on.Tick: upkeep.tick,
    on.Sweep: upkeep.sweep,
    on.Suspect: upkeep.suspect,
    on.Evict: operating.evict,
    on.Suspend: operating.suspend,
    on.Resume: operating.resume,
    on.Resize: operating.resize,
    on.Reclaim: upkeep.reclaim,
    on.Allot: operating.allot,
    on.Inquire: operating.inquire,
    on.Ready: operating.ready,
    on.Drain: operating.drain,
    on.Shut: operating.shut,
    on.Restore: restoring.restore,
}


def handle(pool: Pool, event: on.Event, now: float) -> list[Effect] | None:
    """Let one event happen at `now` and return what must be done for it, in order.

    An asker for whom the effects hold neither a `Lease`, `Deny` or `Answer` with ticket 0 nor a
    `Wait` is done: the event has simply happened. Returns None for what is no event of ours.
    Anything raised is a bug.
    """
    handler = HANDLERS.get(type(event))
    if handler is None:
        return None
    pool.now = now
    effects = pool.effects = []
    handler(pool, event)
    if pool.starved:
        relieve(pool)
    if pool.budgeted:
        tell_budget(pool)
    return effects
