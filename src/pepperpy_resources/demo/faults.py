"""The faults: how each kind is injected, and how the demo sees for itself that it was survived.

A fault is recorded only once it has really happened, together with a question about the demo's own
counts that is true when the pool has got over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.demo.connection import Connection
from pepperpy_resources.demo.database import SLOW_QUERIES, Database
from pepperpy_resources.demo.load import TYPE, Load
from pepperpy_resources.demo.plan import Kind, Planned
from pepperpy_resources.testing import crash

T = TypeVar("T")


_LEAKED_FOR = (0.2, 0.8)  # seconds a leaked lease is left alone before it is taken back
_PATIENCE = 3.0  # seconds to wait for the occasion of a fault
_LOOK_AGAIN = 0.002  # seconds between two looks for a query to cancel
_CHOOSY = 0.5  # seconds to wait for a slow query to cancel, before any query will do

_GOOD, _BEST = 1, 3  # what `_cancels_well` says of a borrower waiting for an answer


@dataclass(frozen=True)
class Fault:
    """One fault that happened, and whether the pool has got over it."""

    kind: Kind
    survived: Callable[[], bool]


class Injector:
    """Injects a plan of faults into a running load."""

    def __init__(
        self, manager: DefaultResourceManager, database: Database, load: Load, random: Random
    ) -> None:
        """Inject into the pool of `manager`; what to hit is chosen with `random`."""
        self.happened: list[Fault] = []
        self.interrupted = 0  # queries of cancelled borrowers that were cut in the middle
        self._manager = manager
        self._database = database
        self._load = load
        self._random = random
        self._leaks = 0
        self._inject: dict[Kind, Callable[[], Awaitable[None]]] = {
            Kind.BROKEN: self._break_connection,
            Kind.CANCELLED: self._cancel_borrower,
            Kind.LEAKED: self._leak_lease,
            Kind.CLOSE_HANGS: self._hang_close,
            Kind.CONNECT_FAILS: self._fail_connect,
            Kind.CRASH: self._crash_supervisor,
        }

    def count(self, kind: Kind) -> int:
        """Return how many faults of that kind have happened."""
        return sum(fault.kind is kind for fault in self.happened)

    def survived(self, kind: Kind) -> int:
        """Return how many faults of that kind the pool has got over by now."""
        return sum(fault.kind is kind and fault.survived() for fault in self.happened)

    def all_survived(self) -> bool:
        """Say whether the pool has got over every fault that has happened by now."""
        return all(fault.survived() for fault in self.happened)

    async def run(self, plan: Sequence[Planned]) -> None:
        """Inject the planned faults at their times; return when the last one has happened."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.TaskGroup() as faults:
            for planned in plan:
                await asyncio.sleep(started + planned.at - loop.time())
                faults.create_task(self._run_one(planned.kind), name=f"fault: {planned.kind}")

    async def _run_one(self, kind: Kind) -> None:
        try:
            await self._inject[kind]()
        except Exception as error:  # the pool refused what the fault needs: evidence, like any
            self._load.failed.append(f"injecting {kind}: {error!r}")

    def _note(self, kind: Kind, survived: Callable[[], bool]) -> None:
        self.happened.append(Fault(kind, survived))

    async def _break_connection(self) -> None:
        """Close a sqlite3 connection underneath; over when the pool has closed its resource."""
        whole = [one for one in self._database.connections if not one.broken and not one.spoilt]
        if not whole:
            return
        connection = self._random.choice(sorted(whole, key=lambda one: one.number))
        await self._database.break_underneath(connection)
        self._note(Kind.BROKEN, lambda: connection.closed)

    async def _cancel_borrower(self) -> None:
        """Cancel a task in mid-query; over when it ended cancelled and its connection is closed."""
        connection = await self._in_mid_query()
        if connection is None or connection.asking is None:
            return
        borrower = connection.asking
        connection.spoilt = True
        borrower.cancel("injected by the demo: borrower cancelled in mid-query")
        await asyncio.wait({borrower}, timeout=_PATIENCE)
        self.interrupted += connection.interrupted
        self._note(Kind.CANCELLED, lambda: borrower.cancelled() and connection.closed)

    async def _in_mid_query(self) -> Connection | None:
        """Return a connection whose borrower waits for an answer: best in a slow query."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (waited := loop.time() - started) < _PATIENCE:
            best = max(self._database.connections, key=_cancels_well, default=None)
            if best is not None and _cancels_well(best) >= (_BEST if waited < _CHOOSY else _GOOD):
                return best
            await asyncio.sleep(_LOOK_AGAIN)
        return None

    async def _leak_lease(self) -> None:
        """Acquire by id, never release, take back by force; over when that connection is closed."""
        self._leaks += 1
        resource_id = f"{TYPE}:leak-{self._leaks}"
        connection: Connection = await self._manager.acquire(resource_id)
        connection.spoilt = True
        self._note(Kind.LEAKED, lambda: connection.closed)
        await asyncio.sleep(self._random.uniform(*_LEAKED_FOR))
        await self._manager.cleanup(resource_id, force=True)

    async def _hang_close(self) -> None:
        """Make a close hang; over when that connection has been closed all the same."""
        connection = await self._met(self._database.arm_hang())
        if connection is not None:
            self._note(Kind.CLOSE_HANGS, lambda: connection.closed)

    async def _fail_connect(self) -> None:
        """Make the factory fail; over when a later connect has succeeded."""
        if await self._met(self._database.arm_failure()) is None:
            return
        opened = self._database.opened
        self._note(Kind.CONNECT_FAILS, lambda: self._database.opened > opened)

    async def _met(self, armed: asyncio.Future[T]) -> T | None:
        """Give the pool cause to close and connect; return what met the armed fault, if one did."""
        await self._break_connection()
        await asyncio.wait({armed}, timeout=_PATIENCE)
        if armed.done():
            return armed.result()
        armed.cancel()
        return None

    async def _crash_supervisor(self) -> None:
        """Crash the supervising actor; over when leases are granted again."""
        leases = self._load.leases
        crash(self._manager, TYPE)
        self._note(Kind.CRASH, lambda: self._load.leases > leases + self._load.tasks)


def _cancels_well(connection: Connection) -> int:
    """Rank a connection: is its borrower in mid-query, a slow one, with the thread inside."""
    if connection.question is None or connection.broken or connection.spoilt:
        return 0
    return _GOOD + (connection.question.kind in SLOW_QUERIES) + connection.in_use()
