"""Who may scrape, from where, and what a scrape does when the loop does not answer."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pykka  # noqa: TID253 - the registry is what is looked at
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from pepperpy_resources import DefaultResourceManager, ResourceMetrics
from pepperpy_resources.errors import UsageError
from pepperpy_resources.testing import run
from tests.observe.scraping import Samples, samples, text, value
from tests.supervision.kit import Fleet, in_thread, serving


def test_two_managers_in_one_registry() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        metrics = ResourceMetrics(registry)
        one = DefaultResourceManager([Fleet().spec()], metrics=metrics, name="one")
        two = DefaultResourceManager(
            [Fleet().spec(), Fleet().spec("llm")], metrics=metrics, name="two"
        )
        await one.start()
        await two.start()
        await one.acquire("db:a")
        await two.acquire("llm:a")
        active = {
            tuple(sorted(dict(labels).values())): n
            for (sample, labels), n in samples(registry).items()
            if sample == "pepperpy_active_resources"
        }
        assert active == {("db", "one"): 1, ("db", "two"): 0, ("llm", "two"): 1}
        await two.stop(timeout=0)
        assert 'manager="two"' not in text(registry)
        assert 'manager="one"' in text(registry)
        await one.stop(timeout=0)
        assert "manager=" not in text(registry)

    run(main())


def test_two_managers_share_the_process_registry_by_default() -> None:
    async def main() -> None:
        one = DefaultResourceManager([Fleet().spec()], name="default-one")
        two = DefaultResourceManager([Fleet().spec()], name="default-two")
        async with one, two:
            for name in ("default-one", "default-two"):
                assert REGISTRY.get_sample_value("pepperpy_scrape_stale", {"manager": name}) == 0

    run(main())


def test_managers_get_names_of_their_own() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        metrics = ResourceMetrics(registry)
        started = serving(Fleet().spec(), metrics=metrics), serving(Fleet().spec(), metrics=metrics)
        async with started[0] as one, started[1] as two:
            assert one.name != two.name

    run(main())


def test_a_registry_has_one_collector() -> None:
    registry = CollectorRegistry()
    metrics = ResourceMetrics.of(registry)
    assert ResourceMetrics.of(registry) is metrics
    with pytest.raises(UsageError, match=r"ResourceMetrics\.of\(registry\)"):
        ResourceMetrics(registry)
    assert ResourceMetrics.of(CollectorRegistry()) is not metrics
    assert list(metrics.describe()) == []


def test_it_lives_beside_other_metrics() -> None:
    registry = CollectorRegistry()
    Counter("pepperpy_tasks", "Somebody else's.", registry=registry)
    ResourceMetrics(registry)
    assert "pepperpy_tasks_total" in text(registry)


def test_a_name_that_is_taken_is_refused_and_nothing_is_half_started() -> None:
    async def main() -> None:
        metrics = ResourceMetrics(CollectorRegistry())
        async with serving(Fleet().spec(), metrics=metrics, name="m") as manager:
            alive = set(pykka.ActorRegistry.get_all())
            fleet = Fleet()
            second = DefaultResourceManager([fleet.spec(min_idle=2)], metrics=metrics, name="m")
            with pytest.raises(UsageError, match="named 'm' already"):
                await second.start()
            started = set(pykka.ActorRegistry.get_all()) - alive
            status = second.tree().status
            await asyncio.sleep(1)
            live = fleet.live()
            await second.stop()
            assert (started, live) == (set(), [])
            assert status != "running"
            assert manager.tree().status == "running"
            await manager.acquire("db:a")
        async with serving(Fleet().spec(), metrics=metrics, name="m"):
            pass  # the name is free again

    run(main())


def test_a_manager_that_was_collected_is_exported_no_more() -> None:
    registry = CollectorRegistry()
    metrics = ResourceMetrics(registry)
    manager = DefaultResourceManager([Fleet().spec()], metrics=metrics, name="m")
    metrics.add(manager)
    del manager
    gc.collect()
    assert "manager=" not in text(registry)


def test_scrape_on_the_loops_own_thread_and_from_another() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry), name="m") as manager:
            await manager.acquire("db:a")
            here = samples(registry)
            there = await asyncio.to_thread(samples, registry)
            name = {"manager": "m", "resource_type": "db"}
            for seen in (here, there):
                assert value(seen, "pepperpy_active_resources", **name) == 1
                assert value(seen, "pepperpy_scrape_stale", manager="m") == 0

    asyncio.run(main())


def test_a_stuck_loop_yields_the_last_snapshot_and_says_so() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry), name="m") as manager:
            name = {"manager": "m", "resource_type": "db"}
            await manager.acquire("db:a")
            samples(registry)
            await manager.acquire("db:b")
            scraped: list[tuple[float, Samples]] = []

            def scrape() -> None:
                began = time.monotonic()
                seen = flat_once(registry)
                scraped.append((time.monotonic() - began, seen))

            in_thread(scrape)  # the loop stands still meanwhile
            took, seen = scraped[0]
            assert 0.9 < took < 2
            assert value(seen, "pepperpy_scrape_stale", manager="m") == 1
            assert value(seen, "pepperpy_active_resources", **name) == 1  # as of the last scrape
            await asyncio.sleep(0)
            fresh = samples(registry)
            assert value(fresh, "pepperpy_scrape_stale", manager="m") == 0
            assert value(fresh, "pepperpy_active_resources", **name) == 2

    def flat_once(registry: CollectorRegistry) -> Samples:
        found: dict[Any, float] = {}
        for family in registry.collect():
            for sample in family.samples:
                found[sample.name, frozenset(sample.labels.items())] = sample.value
        return found

    asyncio.run(main())


def test_a_loop_that_was_stuck_from_the_first_scrape_says_so_too() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry), name="m"):
            stale: list[float | None] = []
            in_thread(
                lambda: stale.append(
                    registry.get_sample_value("pepperpy_scrape_stale", {"manager": "m"})
                )
            )
            assert stale == [1]

    asyncio.run(main())


def test_a_scrape_changes_nothing() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry)) as manager:
            await manager.acquire("db:a")
            before = manager.cell("db").messages
            first = text(registry)
            for _ in range(5):
                manager.tree()
                await manager.monitor()
                assert text(registry) == first
            assert manager.cell("db").messages == before

    run(main())
