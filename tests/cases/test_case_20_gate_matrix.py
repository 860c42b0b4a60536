"""Case 20: every mixture of hooks that work, fail, dawdle or hang: nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.actors.pool import ResourceSupervisor
from pepperpy_resources.core import states
from pepperpy_resources.core.pool import Pool
from pepperpy_resources.errors import ResourceError
from pepperpy_resources.testing import run
from tests.helpers import NEVER, STUBBORN, Backend, Fake, Step, Ticks, serving, ticks, usable

GATES = ("open", "check", "reset", "close", "on_acquire")
WAYS = ("ok", "error", "slow", "never")
SIZE = 3
TASKS = 8
DEADLINE = 0.05  # of every hook, in seconds; an acquire has less than two of them
ABORT = 0.12

LIMITS: dict[str, Any] = {
    "max_size": SIZE,
    "min_idle": 1,
    "check_on": {"acquire", "return"},
    "fresh_for": 0,
    "create_timeout": DEADLINE,
    "check_timeout": DEADLINE,
    "reset_timeout": DEADLINE,
    "close_timeout": DEADLINE,
    "backoff": Backoff(min=0.01, max=0.04),
}
STEPS: dict[str, Step] = {"ok": 0.0, "error": ValueError("scripted"), "slow": 0.02}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of hooks fail here, and each of them is logged."""
    caplog.set_level(logging.CRITICAL, "pepperpy_resources")


class Gated(Backend):
    """A backend with a script for `on_acquire` too."""

    async def on_acquire(self, fake: Fake) -> None:
        await self.play("on_acquire")

    def gated(self, name: str = "db", **fields: Any) -> ResourceSpec[Fake]:
        hooks = ("check", "reset", "on_acquire")
        return self.spec(name, *hooks, **LIMITS, **fields)


class Crowd:
    """Eight tasks that borrow with tiny timeouts until they are aborted."""

    def __init__(self, manager: DefaultResourceManager, name: str) -> None:
        self.manager = manager
        self.name = name
        self.served = 0

    async def run(self) -> None:
        tasks = [asyncio.ensure_future(self.borrow(number)) for number in range(TASKS)]
        await asyncio.sleep(ABORT)
        for task in tasks:
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(end, asyncio.CancelledError)

    async def borrow(self, number: int) -> None:
        for turn in itertools.count():
            try:
                await (self.by_id if number % 2 else self.by_lease)(number, turn)
            except (ResourceError, ValueError):
                await asyncio.sleep(0.03)  # what fails at once would let no time pass
            self.look()

    async def by_lease(self, number: int, turn: int) -> None:
        async with self.manager.lease(self.name, timeout=0.01 * (number + 1)) as fake:
            await self.use(fake)
            if turn % 5 == 4:
                raise ValueError("the borrower's own")

    async def by_id(self, number: int, turn: int) -> None:
        resource_id = f"{self.name}:{number}-{turn}"
        fake = await self.manager.acquire(resource_id, timeout=0.01 * (number + 1))
        try:
            await self.use(fake)
        finally:
            await self.manager.release(resource_id, discard=turn % 5 == 4)

    async def use(self, fake: Fake) -> None:
        fake.holders += 1
        try:
            assert fake.holders == 1
            assert fake.closes == 0
            await asyncio.sleep(0.005)
            assert fake.holders == 1
            assert fake.closes == 0
            self.served += 1
        finally:
            fake.holders -= 1

    def look(self) -> None:
        pool = pool_of(self.manager, self.name)
        assert pool.size <= SIZE
        assert len(pool.slots) - pool.counts[states.ABANDONED] == pool.size


def pool_of(manager: DefaultResourceManager, name: str) -> Pool:
    actor = manager.cell(name).actor
    assert isinstance(actor, ResourceSupervisor)
    return actor.pool


async def assert_nothing_lost(manager: DefaultResourceManager, name: str) -> None:
    """Every slot is there and serves, and nobody waits."""
    await usable(manager, name, SIZE)
    figures = (await manager.monitor())["types"][name]
    assert (figures["active"], figures["waiting"]) == (0, 0)
    assert manager.cell(name).incarnation == 1


def survive(mixture: tuple[str, ...], never: Ticks) -> None:
    """Let a crowd loose on hooks that behave like this, then see that nothing is lost."""
    ways = dict(zip(GATES, mixture, strict=True))

    async def main() -> int:
        backend = Gated(**{gate: ({"never": never} | STEPS)[way] for gate, way in ways.items()})
        if ways["on_acquire"] == "never":  # in the borrower's own task, which has to end
            backend.usual["on_acquire"] = NEVER
        async with serving(backend.gated()) as manager:
            crowd = Crowd(manager, "db")
            await crowd.run()
            backend.usual.clear()  # everything works again
            backend.let_go.set()
            await asyncio.sleep(4 * DEADLINE)
            await assert_nothing_lost(manager, "db")
        await ticks(5)
        backend.assert_all_closed()
        return crowd.served

    served = run(main())
    # Only where something always fails or hangs on the way in is nobody ever served.
    shut = {"error", "never"}.intersection((ways["open"], ways["on_acquire"]))
    assert bool(served) != bool(shut), ways


@pytest.mark.parametrize("check", WAYS)
@pytest.mark.parametrize("factory", WAYS)
def test_nothing_is_lost_whatever_the_hooks_do(factory: str, check: str) -> None:
    for rest in itertools.product(WAYS, repeat=3):
        survive((factory, check, *rest), NEVER)


@pytest.mark.parametrize("factory", ["ok", "never"])
def test_nothing_is_lost_with_hooks_that_ignore_their_cancellation(factory: str) -> None:
    for rest in itertools.product(("ok", "never"), repeat=4):
        survive((factory, *rest), STUBBORN)


# -- the same with plain hooks, on threads, in real time


class OnThreads:
    """The same gates as plain functions; what never ends, ends when it is let go."""

    def __init__(self, ways: dict[str, str]) -> None:
        self.ways = ways
        self.let_go = threading.Event()
        self.fakes: list[Fake] = []

    def play(self, gate: str) -> None:
        way = self.ways.get(gate, "ok")
        if way == "error":
            raise ValueError("scripted")
        if way == "slow":
            time.sleep(0.005)
        elif way == "never":
            self.let_go.wait(30)

    def connect(self) -> Fake:
        self.play("open")
        self.fakes.append(Fake(len(self.fakes) + 1))
        return self.fakes[-1]

    def close(self, fake: Fake) -> None:
        fake.closes += 1
        self.play("close")

    def hook(self, gate: str) -> Callable[[Fake], None]:
        return lambda fake: self.play(gate)

    def spec(self, name: str, **fields: Any) -> ResourceSpec[Fake]:
        hooks: dict[str, Any] = {gate: self.hook(gate) for gate in ("check", "reset", "on_acquire")}
        return ResourceSpec(
            name, factory=self.connect, close=self.close, **hooks, **LIMITS, **fields
        )


def one_gate_at_a_time() -> list[tuple[str, ...]]:
    ways = [["ok"] * len(GATES) for _ in range(2 * len(GATES))]
    for number, mixture in enumerate(ways):
        mixture[number // 2] = ("error", "slow")[number % 2]
    return [tuple(mixture) for mixture in ways]


@pytest.mark.parametrize("where", ["offload", "thread_bound"])
@pytest.mark.parametrize("part", range(4))
def test_nothing_is_lost_with_hooks_on_threads(part: int, where: str) -> None:
    mixtures = [*itertools.product(("ok", "never"), repeat=len(GATES)), *one_gate_at_a_time()]
    mixtures += [("error",) * len(GATES), ("slow",) * len(GATES)]
    backends = [OnThreads(dict(zip(GATES, ways, strict=True))) for ways in mixtures[part::4]]
    fields: dict[str, Any] = {where: True}

    async def main() -> None:
        names = [f"db{number}" for number in range(len(backends))]
        specs = [backend.spec(n, **fields) for n, backend in zip(names, backends, strict=True)]
        async with serving(*specs) as manager:
            await asyncio.gather(*[Crowd(manager, name).run() for name in names])
            for backend in backends:
                backend.ways.clear()
                backend.let_go.set()
            await asyncio.gather(*[assert_nothing_lost(manager, name) for name in names])
            # A busy machine is given its time: what a loop still does when it ends is cut off.
            await manager.cleanup()
            while any(pool_of(manager, name).slots for name in names):
                await ticks(1)

    asyncio.run(main())
    for backend in backends:
        assert [fake for fake in backend.fakes if fake.closes != 1] == []
