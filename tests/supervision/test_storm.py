"""Crashes at random moments under load: nothing lost, every lease exclusive, everyone served."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, Intensity, ResourceSpec
from pepperpy_resources.actors import performer
from pepperpy_resources.actors import pool as pool_actor
from pepperpy_resources.core import machine
from pepperpy_resources.core.events import Restore
from pepperpy_resources.errors import AcquireTimeout, SupervisorCrashed
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import SHORT_WAYS, Boom, Fleet, Thing, fallen, serving, totals

TASKS, ROUNDS, SLOTS = 50, 6, 5


class Weather:
    """Decides by its seed what fails and how long things take."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.raging = True
        self.crashes = 0

    def strikes(self, chance: float) -> bool:
        if self.raging and self.random.random() < chance:
            self.crashes += 1
            return True
        return False

    def brew(self, patch: pytest.MonkeyPatch) -> None:
        """Let any turn crash: before the machine, after it, and before any effect."""
        handlers: dict[Any, Any] = machine.HANDLERS
        effects: dict[Any, Any] = performer.PERFORM
        for table in (handlers, effects):
            for kind, real in tuple(table.items()):
                if kind is not Restore:
                    patch.setitem(table, kind, self.fatal(real))
        for name in SHORT_WAYS.values():
            patch.setattr(pool_actor, name, self.fatal(getattr(pool_actor, name)))

    def fatal(self, real: Any) -> Any:
        def call(*args: Any) -> Any:
            if self.strikes(0.015):
                raise Boom("before")
            result = real(*args)
            if self.strikes(0.015):
                raise Boom("after")
            return result

        return call


class Stormy(Fleet):
    """Hooks that take time and sometimes fail."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self.random = weather.random

    async def open(self, *args: Any, **kwargs: Any) -> Thing:
        await asyncio.sleep(self.random.random() * 0.1)
        if self.random.random() < 0.05:
            raise ConnectionError("refused")
        return await super().open(*args, **kwargs)

    async def check(self, thing: Thing) -> None:
        await super().check(thing)
        assert not thing.holders
        await asyncio.sleep(self.random.random() * 0.01)
        assert not thing.holders
        if self.random.random() < 0.05:
            raise ConnectionError("gone")

    async def clean(self, thing: Thing) -> None:
        assert not thing.holders
        await super().clean(thing)
        await asyncio.sleep(self.random.random() * 0.01)
        assert not thing.holders

    async def close(self, thing: Thing) -> None:
        await super().close(thing)
        await asyncio.sleep(self.random.random() * 0.05)


async def borrow(manager: DefaultResourceManager, key: str, weather: Weather) -> int:
    """Borrow ROUNDS times, now and then cancelled; return how often it was served."""
    served = 0
    while served < ROUNDS:
        try:
            async with asyncio.timeout(weather.random.choice([0.05, 5.0, 500.0])):
                async with manager.lease(key) as thing:
                    assert (thing.holders, thing.closed) == (0, 0)
                    thing.holders += 1
                    try:
                        await asyncio.sleep(weather.random.random() * 0.05)
                        assert (thing.holders, thing.closed) == (1, 0)
                    finally:
                        thing.holders -= 1
                    served += 1
        except (SupervisorCrashed, AcquireTimeout):
            continue
        except TimeoutError:
            continue
    return served


def spec_of(kind: str, fleet: Stormy) -> ResourceSpec[Thing]:
    fields: dict[str, Any] = {"max_size": SLOTS, "check": fleet.check, "fresh_for": 0.02}
    if kind == "keyed":
        fields["keyed"] = True
    else:
        fields["reset"] = fleet.clean
    return fleet.spec(
        restart=Intensity(10**6, 5.0), idle_timeout=0.5, backoff=Backoff(max=1.0), **fields
    )


@pytest.mark.parametrize("kind", ["pooled", "keyed"])
@pytest.mark.parametrize("seed", range(15))
def test_67_a_storm_of_crashes(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weather = Weather(seed)
    random.seed(seed)  # the jitter of the clock module, too: a failing seed fails again

    async def main() -> None:
        fleet = Stormy(weather)
        async with serving(spec_of(kind, fleet), cleanup_interval=0.3, stop=30) as manager:
            weather.brew(monkeypatch)
            seen = totals(manager)

            async def storm() -> None:
                nonlocal seen
                root_at = 0.0
                while True:
                    await asyncio.sleep(weather.random.random() * 0.2)
                    path = weather.random.choice(["db", "db", "janitor", "metrics", "root"])
                    if path == "root":
                        if asyncio.get_running_loop().time() - root_at < 2:
                            continue  # its budget is 3 in 5 s
                        root_at = asyncio.get_running_loop().time()
                        if weather.random.random() < 0.5:
                            crash(manager, "db")
                    crash(manager, path)
                    now = totals(manager)
                    assert fallen(seen, now) == {}
                    seen = now

            storming = asyncio.create_task(storm())
            keys = [f"db:{n % 8}" if kind == "keyed" else "db" for n in range(TASKS)]
            async with asyncio.timeout(3600):
                served = await asyncio.gather(*(borrow(manager, key, weather) for key in keys))
            assert served == [ROUNDS] * TASKS
            assert not storming.done()
            storming.cancel()
            assert weather.crashes > 5
            # After the storm every slot is free again: as many leases as slots, at once.
            weather.raging = False
            await asyncio.sleep(60)
            assert len(fleet.live()) <= SLOTS
            ids = [f"db:after-{n}" for n in range(SLOTS)]
            things = [await manager.acquire(name, timeout=30) for name in ids]
            assert len({thing.number for thing in things}) == SLOTS
            for name in ids:
                await manager.release(name)
        fleet.assert_all_closed_once()

    run(main())
