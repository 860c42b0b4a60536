"""The run: load the pool, inject the faults, stop, judge.

Bounded in every phase: reading by its budget, everything after it by `MOST_SECONDS`.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec, resource_spec
from pepperpy_resources.demo.connection import Connection, open_descriptors
from pepperpy_resources.demo.corpus import Oracle
from pepperpy_resources.demo.database import Database
from pepperpy_resources.demo.evidence import Evidence, FaultCount, fault_rows, figure_rows, judge
from pepperpy_resources.demo.faults import Injector
from pepperpy_resources.demo.load import TYPE, Load
from pepperpy_resources.demo.logs import tallied_logs
from pepperpy_resources.demo.options import MOST_SECONDS, Options
from pepperpy_resources.demo.plan import Kind, Planned, plan_faults
from pepperpy_resources.demo.prepare import prepare
from pepperpy_resources.demo.report import table, verdict
from pepperpy_resources.demo.screen import Screen
from pepperpy_resources.errors import ResourceError
from pepperpy_resources.observe.node import Node

_CLOSE_TIMEOUT = 0.5  # short, because the demo waits for closes that hang
_FINISH_TIMEOUT = 5.0  # for the leases under way when the load is over
_SETTLE_TIMEOUT = 3.0  # for the pool to get over the last faults
_STOP_TIMEOUT = 2.0
_REDRAW = 0.1
_LOOK_AGAIN = 0.02
_MOST_SHOWN = 20  # of each kind of thing that went wrong


def run(options: Options, screen: Screen) -> bool:
    """Run the demo and print its report; return whether nothing was lost.

    Raises NoSourcesError, sqlite3.Error and OSError when the database file cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="pepperpy-resources-demo-") as folder:
        path = Path(folder).resolve() / "stdlib.sqlite3"
        screen.section("Real data")
        oracle = prepare(path, options.packages, screen, time.monotonic)
        try:
            evidence = asyncio.run(load_and_stop(options, path, oracle, screen))
        except TimeoutError:
            screen.say(screen.paint.bad(f"FAILED: not over after {MOST_SECONDS:g} s."))
            return False
    return report(evidence, screen)


async def load_and_stop(options: Options, path: Path, oracle: Oracle, screen: Screen) -> Evidence:
    """Run the load with its faults on the database file, then stop; return the evidence.

    Raises TimeoutError when that is not over after `MOST_SECONDS`.
    """
    complaints: list[str] = []  # what tasks and callbacks of nobody in particular ended with
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(f"{context['message']}: {context.get('exception')!r}")
    )
    database = Database(path, 2 * options.connections + 8)
    with tallied_logs("pepperpy_resources") as logs:
        async with asyncio.timeout(MOST_SECONDS):
            evidence = await _Demo(options, database, oracle, screen).run()
    # A future that nobody awaited complains of its error when it is collected: now, not later.
    gc.collect()
    evidence.unexplained = [*evidence.unexplained, *complaints]
    evidence.logged = dict(logs.counts)
    evidence.last_logged = list(logs.last)
    return evidence


def report(evidence: Evidence, screen: Screen) -> bool:
    """Print the figures and the verdict; return whether nothing was lost."""
    screen.section("Figures")
    screen.say(table(figure_rows(evidence)))
    screen.section("Faults")
    screen.say(table(fault_rows(evidence), header=("fault", "injected", "survived")))
    screen.section("Verdict")
    criteria = judge(evidence)
    screen.say(verdict(criteria, screen.paint))
    failed = [criterion.claim for criterion in criteria if not criterion.held]
    if failed:
        _explain(evidence, screen)
        line = f"FAILED, this does not hold: {'; '.join(failed)}."
        screen.say("\n" + screen.paint.bad(screen.paint.bold(line)))
    else:
        survived = sum(fault.survived for fault in evidence.faults)
        line = f"Nothing was lost: {evidence.queries:,} right answers through {survived} faults."
        screen.say("\n" + screen.paint.good(screen.paint.bold(line)))
    return not failed


def _explain(evidence: Evidence, screen: Screen) -> None:
    """Print what went wrong, as far as it was noted."""
    screen.section("What went wrong")
    for noted in (evidence.wrong, evidence.misused, evidence.unexplained, evidence.last_logged):
        for line in noted[:_MOST_SHOWN]:
            screen.say(f"  {line}")
        if len(noted) > _MOST_SHOWN:
            screen.say(f"  ... and {len(noted) - _MOST_SHOWN:,} more")


class _Demo:
    """One run, from the start of the manager to its stop."""

    def __init__(
        self, options: Options, database: Database, oracle: Oracle, screen: Screen
    ) -> None:
        self.database = database
        self._options = options
        self._screen = screen
        self._evidence = Evidence(connections=options.connections)
        self._manager = DefaultResourceManager([self._spec()])
        self._load = Load(self._manager, database, oracle, tasks=options.tasks, seed=options.seed)
        self._injector = Injector(self._manager, database, self._load, Random(options.seed))

    def _spec(self) -> ResourceSpec[Connection]:
        return resource_spec(
            TYPE,
            factory=self.database.connect,
            close=self.database.close,
            check=self.database.check,
            max_size=self._options.connections,
            close_timeout=_CLOSE_TIMEOUT,
            fresh_for=0,  # connections break while in use here, so look before every lease
            backoff=Backoff(min=0.05, max=1.0),
        )

    async def run(self) -> Evidence:
        """Return what the run left to be judged."""
        self._screen.section("Load and faults")
        plan = plan_faults(self._options.seconds, Random(self._options.seed))
        planned = f"{len(plan)} planned with seed {self._options.seed}"
        self._screen.facts(
            [
                ("borrowers", f"{self._options.tasks:,} concurrent tasks"),
                ("pool", f"{self._options.connections:,} connections"),
                ("faults", f"{planned}, and a broken connection for each that needs one"),
                ("load", f"{self._options.seconds:g} s"),
            ]
        )
        try:
            await self._manager.start()
            try:
                await self._load_and_look(plan)
            finally:
                # Not the default of 30 s: a lease that is leaked when the user interrupts never
                # comes back.
                await self._manager.stop(timeout=_STOP_TIMEOUT)
            # A close that the pool gave up on may still be on its way.
            await _until(lambda: not self.database.connections)
        finally:
            self.database.shut_down()
        self._screen.section("Supervision tree after stop")
        self._screen.say(self._manager.tree().render())
        return self._complete_evidence()

    async def _load_and_look(self, plan: Sequence[Planned]) -> None:
        """Load the pool, and note what can only be seen before the stop."""
        seen, loop = self._evidence, asyncio.get_running_loop()
        started = loop.time()
        await self._load_with_faults(plan)
        under_load = self._manager.tree().render()
        seen.descriptors_before = open_descriptors(self.database.path)
        await self._load.finish(_FINISH_TIMEOUT)
        seen.seconds = loop.time() - started
        seen.usable = await self._count_usable()
        await _until(self._injector.all_survived)
        injector = self._injector
        seen.interrupted = injector.interrupted
        seen.faults = [
            FaultCount(kind, injector.count(kind), injector.survived(kind)) for kind in Kind
        ]
        seen.restarts = _restarts(self._manager.tree())
        self._screen.section("Supervision tree under load")
        self._screen.say(under_load)

    def _complete_evidence(self) -> Evidence:
        """Add what is counted all along; called when everything has ended."""
        seen, load, database = self._evidence, self._load, self.database
        seen.leases, seen.queries, seen.waits = load.leases, load.queries, load.waits
        seen.retries, seen.replaced = dict(load.retries), load.replaced
        seen.opened, seen.closed = database.opened, database.closed
        seen.closed_twice = database.closed_twice
        seen.descriptors_after = open_descriptors(database.path)
        seen.wrong, seen.misused, seen.unexplained = load.wrong, load.misused, load.failed
        return seen

    async def _load_with_faults(self, plan: Sequence[Planned]) -> None:
        """Return when the time is over and every fault has been injected; the load goes on."""
        self._load.start()
        injecting = asyncio.create_task(self._injector.run(plan), name="faults")
        try:
            await self._watch()
            await asyncio.wait({injecting}, timeout=_SETTLE_TIMEOUT)
        finally:
            injecting.cancel()
            await asyncio.wait({injecting})

    async def _watch(self) -> None:
        """Show how the load goes until its time is over."""
        loop = asyncio.get_running_loop()
        progress = self._screen.progress("running")
        started = seen_at = loop.time()
        seen = 0
        while (elapsed := loop.time() - started) < self._options.seconds:
            await asyncio.sleep(_REDRAW)
            now, leases, active = loop.time(), self._load.leases, self._load.active
            rate, waiting = (leases - seen) / (now - seen_at), self._load.tasks - active
            seen, seen_at = leases, now
            text = f"{rate:>6,.0f} leases/s, {active:>2} active, {waiting:>3} waiting"
            faults = len(self._injector.happened)
            progress.show(elapsed / self._options.seconds, f"{text}, {faults:>2} faults")
        progress.clear()

    async def _count_usable(self) -> int:
        """Lease as many connections at once as the pool has places; return how many that were."""
        usable = 0
        async with AsyncExitStack() as leases:
            for _ in range(self._options.connections):
                try:
                    connection = await leases.enter_async_context(
                        self._manager.lease(TYPE, timeout=_SETTLE_TIMEOUT)
                    )
                    usable += await self.database.check(connection)
                except (ResourceError, sqlite3.Error) as error:
                    self._load.failed.append(f"leasing every connection at once: {error!r}")
                    break
        return usable


async def _until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds, or when the pool has had its time."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + _SETTLE_TIMEOUT
    # Polled, because what is looked at are plain counts, which tell nobody when they change.
    while loop.time() < give_up and not condition():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_AGAIN)


def _restarts(node: Node) -> int:
    """Return how often actors of this part of the tree were restarted."""
    return node.restarts + sum(_restarts(child) for child in node.children)
