"""The stage of case 67: five keys leased, three idle, ten tickets; and what must hold after."""

from __future__ import annotations

import asyncio
from typing import Any

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from tests.supervision.kit import Fleet, Thing, Totals, fallen, outcome, settled, totals

FRESH_FOR = 100.0  # an idle thing that was used so recently is not checked, unless one crashed
LEASED = [f"db:k{n}" for n in range(5)]
IDLE = [f"db:i{n}" for n in range(3)]


def staged_spec(fleet: Fleet, **fields: Any) -> ResourceSpec[Thing]:
    given: dict[str, Any] = {
        "keyed": True,
        "max_size": 50,
        "max_opening": 50,
        "check": fleet.check,
        "reset": fleet.clean,
        "fresh_for": FRESH_FOR,
        "acquire_timeout": 1000.0,
        "lifetime_jitter": 0.0,
    }
    return fleet.spec(**{**given, **fields})


class Stage:
    """Holds LEASED, has IDLE in the pool, and lets two more borrowers wait for each of LEASED."""

    def __init__(self, manager: DefaultResourceManager, fleet: Fleet) -> None:
        self.manager = manager
        self.fleet = fleet
        self.held: dict[str, Thing] = {}
        self.idle: list[Thing] = []
        self.served: list[tuple[str, int]] = []
        self.waiting: list[asyncio.Task[Any]] = []
        self.before: Totals = {}

    async def set(self) -> None:
        for key in LEASED:
            self.held[key] = await self.manager.acquire(key)
        for key in IDLE:
            self.idle.append(await self.manager.acquire(key))
            await self.manager.release(key)
        await settled()
        for turn in range(2):
            for key in LEASED:
                self.waiting.append(asyncio.create_task(outcome(self.borrow(key, turn))))
        await settled()
        self.before = totals(self.manager)

    async def borrow(self, key: str, turn: int) -> None:
        async with self.manager.lease(key) as thing:
            assert not thing.closed
            thing.holders += 1
            self.served.append((key, turn))
            assert thing.holders == 1
            await settled()
            thing.holders -= 1

    async def verify(self, *, crashes: int = 1) -> None:
        """Leases are valid, idle things are checked if it crashed, tickets are served in order."""
        await settled()
        cell = self.manager.cell("db")
        assert (cell.status, cell.incarnation) == ("running", 1 + crashes)
        assert [thing for thing in self.held.values() if thing.closed] == []
        assert self.served == []
        for key in LEASED:
            await self.manager.release(key)  # raises nothing: the lease was still valid
        async with asyncio.timeout(1):  # nothing on the way takes time
            assert await asyncio.gather(*self.waiting) == [None] * len(self.waiting)
        assert sorted(self.served, key=lambda entry: entry[0]) == [
            (key, turn) for key in LEASED for turn in range(2)
        ]
        for key, thing in zip(IDLE, self.idle, strict=True):
            if not thing.closed:
                assert await self.manager.acquire(key) is thing
                assert thing.checked == (1 if crashes else 0)
                await self.manager.release(key)
        await settled()
        assert fallen(self.before, totals(self.manager)) == {}

    async def still_free(self, key: str) -> None:
        """This id can be leased and given back: nobody holds it."""
        await self.manager.acquire(key, timeout=1)
        await self.manager.release(key)

    async def asked(self, message: Any) -> Any:
        """Ask the supervisor; return its answer or the error."""
        return await outcome(self.manager.actor("db").ask(message))
