"""A scripted history on virtual time, and the figures it must leave; worked out by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import Backoff, ResourceMetrics
from pepperpy_resources.errors import AcquireTimeout, LeaseIdInUse, OpenFailedError
from pepperpy_resources.testing import crash, run
from tests.observe.scraping import Samples, buckets, samples, value
from tests.supervision.kit import Fleet, Thing, serving, settled

DB = {"manager": "m", "resource_type": "db"}


class Slow(Fleet):
    """Opens in 0.2 s; the next opening, reset or close fails when told so."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()

    def fail(self, hook: str) -> None:
        if hook in self.failing:
            self.failing.remove(hook)
            raise ConnectionError(hook)

    async def open(self, *_: Any, **__: Any) -> Thing:
        self.fail("open")
        await asyncio.sleep(0.2)
        return await super().open()

    async def clean(self, thing: Thing) -> None:
        self.fail("reset")
        await super().clean(thing)

    async def close(self, thing: Thing) -> None:
        await super().close(thing)
        self.fail("close")


def split(seen: Samples, name: str, label: str) -> dict[str, float]:
    """Return the values of one family of type db by one label."""
    return {
        dict(labels)[label]: n
        for (sample, labels), n in seen.items()
        if sample == name and set(DB.items()) < labels and n
    }


def test_the_figures_of_a_scripted_history() -> None:
    async def main() -> None:
        fleet, registry = Slow(), CollectorRegistry()
        spec = fleet.spec(
            max_size=1,
            reset=fleet.clean,
            is_connection_error=lambda error: isinstance(error, EOFError),
            backoff=Backoff(attempts=1),
        )
        async with serving(
            spec, metrics=ResourceMetrics(registry), name="m", cleanup_interval=1000.0
        ) as manager:
            await manager.acquire("db:a")  # opened in 0.2 s: waits 0.2
            await asyncio.sleep(2)
            with pytest.raises(LeaseIdInUse):
                await manager.acquire("db:a")  # refused
            await manager.release("db:a")  # used 2 s
            await settled()
            await manager.acquire("db:b")  # idle: waits 0
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:c", timeout=0.5)  # timeout
            cancelled = asyncio.create_task(manager.acquire("db:d"))
            await settled()
            cancelled.cancel()  # cancelled
            waiting = asyncio.create_task(manager.acquire("db:e"))
            await asyncio.sleep(3)
            seen = samples(registry)
            assert value(seen, "pepperpy_active_resources", **DB) == 1
            assert value(seen, "pepperpy_waiting_acquires", **DB) == 1
            assert value(seen, "pepperpy_resource_limit", **DB) == 1
            assert split(seen, "pepperpy_resources", "state") == {"leased": 1}
            await manager.release("db:b")  # used 3.5 s
            await waiting  # waited 3 s
            fleet.failing.add("reset")
            await manager.release("db:e")  # used 0 s; the reset fails: closed as broken
            await settled()
            fleet.failing.add("open")
            with pytest.raises(OpenFailedError):
                await manager.acquire("db:f")  # error
            await asyncio.sleep(1)  # the backoff
            with pytest.raises(EOFError):
                async with manager.lease("db"):  # opened: waits 0.2; used 0 s
                    raise EOFError
            await settled()
            async with manager.lease("db"):  # opened: waits 0.2; used 0 s
                pass
            await settled()
            fleet.failing.add("close")
            await manager.cleanup()  # closed by the call
            seen = samples(registry)

        assert split(seen, "pepperpy_acquires_total", "outcome") == {
            "ok": 5,
            "timeout": 1,
            "cancelled": 1,
            "refused": 1,
            "error": 1,
        }
        assert split(seen, "pepperpy_resource_errors_total", "operation") == {
            "open": 1,
            "reset": 1,
            "use": 1,
            "close": 1,
        }
        assert value(seen, "pepperpy_resources_opened_total", **DB) == 3
        assert split(seen, "pepperpy_resources_closed_total", "reason") == {
            "broken": 2,
            "cleanup": 1,
        }
        assert split(seen, "pepperpy_cleanup_runs_total", "trigger") == {"call": 1}
        assert split(seen, "pepperpy_resources", "state") == {}
        assert value(seen, "pepperpy_active_resources", **DB) == 0
        assert value(seen, "pepperpy_stale_events_total", **DB) == 0
        # 0; 0.2 0.2 0.2; 3
        assert buckets(seen, "pepperpy_resource_acquisition_seconds", **DB) == {
            "1e-05": 1,
            "0.0001": 1,
            "0.001": 1,
            "0.005": 1,
            "0.01": 1,
            "0.05": 1,
            "0.1": 1,
            "0.5": 4,
            "1.0": 4,
            "5.0": 5,
            "10.0": 5,
            "+Inf": 5,
        }
        name = "pepperpy_resource_acquisition_seconds"
        assert value(seen, f"{name}_sum", **DB) == pytest.approx(3.6)
        assert value(seen, f"{name}_count", **DB) == 5
        # 0 0 0; 2 3.5
        used = buckets(seen, "pepperpy_resource_use_seconds", **DB)
        assert (used["1e-05"], used["1.0"], used["5.0"], used["+Inf"]) == (3, 3, 5, 5)
        assert value(seen, "pepperpy_resource_use_seconds_sum", **DB) == pytest.approx(5.5)
        opened = buckets(seen, "pepperpy_resource_open_seconds", **DB)
        assert (opened["0.1"], opened["0.5"], opened["+Inf"]) == (0, 3, 3)
        assert value(seen, "pepperpy_resource_open_seconds_sum", **DB) == pytest.approx(0.6)

    run(main())


def test_monitor_equals_the_scrape() -> None:
    async def main() -> None:
        fleet, registry = Slow(), CollectorRegistry()
        async with serving(
            fleet.spec(reset=fleet.clean), metrics=ResourceMetrics(registry), name="m"
        ) as manager:
            fleet.failing.add("reset")
            async with manager.lease("db"):
                await asyncio.sleep(1)
            await manager.acquire("db:a")
            crash(manager, "db")
            await manager.cleanup("nothing")
            monitored, seen = await manager.monitor(), samples(registry)
            assert monitored["active_resources"] == 1
            assert monitored["resource_errors"] == 1
            assert monitored["cleanup_runs"] == 1
            assert monitored["restarts"] == 1
            db = monitored["types"]["db"]
            assert db["active"] == value(seen, "pepperpy_active_resources", **DB)
            assert db["opened"] == value(seen, "pepperpy_resources_opened_total", **DB) == 2
            for key, name, label in (
                ("acquires", "pepperpy_acquires_total", "outcome"),
                ("errors", "pepperpy_resource_errors_total", "operation"),
                ("closed", "pepperpy_resources_closed_total", "reason"),
                ("slots", "pepperpy_resources", "state"),
            ):
                mine = {each: n for each, n in db[key].items() if n}
                assert mine == split(seen, name, label)
            assert db["mean_use"] == pytest.approx(1)
            assert db["mean_open"] == pytest.approx(0.2)

    run(main())


def test_counters_go_on_over_a_crash_and_a_restart() -> None:
    async def main() -> None:
        fleet, registry = Slow(), CollectorRegistry()
        async with serving(fleet.spec(), metrics=ResourceMetrics(registry), name="m") as manager:
            before: Samples = {}
            for _ in range(6):
                async with manager.lease("db"):
                    pass
                crash(manager, "db")
                crash(manager, "metrics")
                await asyncio.sleep(2.6)  # within the budget
                seen = samples(registry)
                for key, n in before.items():
                    if key[0].endswith(("_total", "_bucket", "_count", "_sum")):
                        assert seen[key] >= n, key
                before = seen
            assert value(before, "pepperpy_acquires_total", outcome="ok", **DB) == 6
            restarts = "pepperpy_supervisor_restarts_total"
            assert value(before, restarts, manager="m", supervisor="db") == 6
            assert value(before, restarts, manager="m", supervisor="metrics") == 6

    run(main())


@pytest.mark.parametrize("first", ["t0", "other"])
def test_beyond_a_hundred_types_the_rest_is_other(first: str) -> None:
    # Specification mode makes a type of whatever stands before the colon. One named "other"
    # must not become a second series of that name.
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(metrics=ResourceMetrics(registry), name="m") as manager:
            names = [first] + [f"t{n}" for n in range(1, 130)]
            for name in names:
                await manager.acquire(f"{name}:1")
            for name in names[110:]:
                await manager.release(f"{name}:1")
            seen = samples(registry)
            active = {
                dict(labels)["resource_type"]: n
                for (sample, labels), n in seen.items()
                if sample == "pepperpy_active_resources"
            }
            assert len(active) <= 101
            assert sum(active.values()) == 110
            ok = {
                dict(labels)["resource_type"]: n
                for (sample, labels), n in seen.items()
                if sample == "pepperpy_acquires_total" and ("outcome", "ok") in labels
            }
            assert sum(ok.values()) == 130
            if first == "t0":
                assert (active["other"], ok["other"]) == (10, 30)
                assert active["t99"] == 1
                waits = buckets(
                    seen,
                    "pepperpy_resource_acquisition_seconds",
                    manager="m",
                    resource_type="other",
                )
                assert waits["+Inf"] == 30
            assert (await manager.monitor())["active_resources"] == 110

    run(main())
