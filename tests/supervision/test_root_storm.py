"""Case 73 at random: types crash, are parked, revived, added and removed while the root crashes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pepperpy_resources import Budget, DefaultResourceManager, Intensity
from pepperpy_resources.errors import (
    AcquireTimeout,
    ManagerStopped,
    ResourceError,
    SupervisorCrashed,
    TypeParked,
    UnknownResourceType,
)
from pepperpy_resources.messages import Describe
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import Fleet, in_thread, outcome, restarts, serving, settled

NAMES = [f"t{n}" for n in range(4)]
SPACED = 2.0  # seconds between two crashes of the root, whose budget is 3 in 5 s
EXPECTED = (TypeParked, SupervisorCrashed, AcquireTimeout, UnknownResourceType, ManagerStopped)


class Storm:
    """Does things at random to a manager, and counts what it did to the root."""

    def __init__(self, manager: DefaultResourceManager, fleet: Fleet, seed: int) -> None:
        self.manager = manager
        self.fleet = fleet
        self.random = random.Random(seed)
        self.root_crashes = 0
        self.root_at = 0.0
        self.gone: set[str] = set()
        self.work: list[asyncio.Task[Any]] = []

    def later(self, work: Awaitable[Any]) -> None:
        self.work.append(asyncio.ensure_future(outcome(work)))

    def type(self, name: str, **fields: Any) -> Any:
        return self.fleet.spec(
            name,
            max_size=2,
            min_idle=self.random.choice([0, 1]),
            restart=Intensity(self.random.choice([0, 1, 3]), 5.0),
            budget=self.random.choice([None, Budget("shared", 6)]),
            **fields,
        )

    def pick(self) -> str:
        return self.random.choice([name for name in NAMES if name not in self.gone])

    async def borrow(self, name: str, seconds: float) -> None:
        async with self.manager.lease(name, timeout=40) as thing:
            assert (thing.holders, thing.closed) == (0, 0)
            thing.holders += 1
            await asyncio.sleep(seconds)
            thing.holders -= 1

    # -- what is done

    def crash_type(self) -> None:
        crash(self.manager, self.pick())

    def crash_system(self) -> None:
        crash(self.manager, self.random.choice(["janitor", "metrics"]))

    def crash_root(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self.root_at >= SPACED:
            self.root_at = now
            self.root_crashes += 1
            crash(self.manager, "root")

    def crash_in_a_burst(self) -> None:
        """Have the crashes fall anywhere in a slice of turns."""
        handle, several = self.manager.actor(self.pick()), self.random.randrange(70)

        def burst() -> None:
            for _ in range(several):
                handle.tell(Describe())
            self.crash_type()

        in_thread(burst)
        for deed in self.random.sample([self.crash_root, self.revive], self.random.randrange(2)):
            deed()

    def revive(self) -> None:
        self.manager.revive(self.pick())

    def lease(self) -> None:
        self.later(self.borrow(self.pick(), self.random.choice([0.0, 0.5, 10.0])))

    def remove(self) -> None:
        if len(self.gone) < len(NAMES) - 1:
            name = self.pick()
            self.gone.add(name)
            self.later(self.remove_and_add(name, self.random.choice([0.0, 1.0, 40.0])))

    async def remove_and_add(self, name: str, timeout: float) -> None:
        await self.manager.remove_type(name, timeout)
        for _ in range(self.random.randrange(3)):
            await asyncio.sleep(0)
        self.manager.add_type(self.type(name))
        self.gone.remove(name)

    async def rage(self, deeds: int) -> None:
        kinds: list[Callable[[], None]] = [
            *[self.crash_type] * 3, self.crash_system, self.crash_root, self.crash_in_a_burst,
            self.revive, *[self.lease] * 4, self.remove,
        ]  # fmt: skip
        for _ in range(deeds):
            self.random.choice(kinds)()
            pause = self.random.choice([None, 0.0, 0.0, 0.1, 1.0, 7.0])
            if pause is not None:
                await asyncio.sleep(pause)


@pytest.mark.parametrize("seed", range(25))
def test_73_whatever_comes_together_only_injected_crashes_end_the_root(seed: int) -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec("first"), cleanup_interval=3.0, stop=5.0) as manager:
            storm = Storm(manager, fleet, seed)
            for name in NAMES:
                manager.add_type(storm.type(name))
            await storm.rage(120)
            await settled()
            assert restarts(manager)["root"] == storm.root_crashes
            async with asyncio.timeout(200):
                await asyncio.gather(*storm.work)
            errors = [task.result() for task in storm.work if task.result() is not None]
            assert [error for error in errors if not isinstance(error, EXPECTED)] == []
            assert all(isinstance(error, ResourceError) for error in errors)
            await asyncio.sleep(70)  # whoever was parked is revived
            await settled()
            assert {node.status for node in manager.tree().walk()} == {"running"}
            for name in NAMES:
                ids = [f"{name}:after-{n}" for n in range(2)]
                things = [await manager.acquire(each, timeout=1) for each in ids]
                assert len(set(things)) == 2
                for each in ids:
                    await manager.release(each)
            assert restarts(manager)["root"] == storm.root_crashes
            # stop amid crashes
            for path in storm.random.sample(["root", *NAMES], 3):
                crash(manager, path)
        fleet.assert_all_closed_once()

    run(main())
