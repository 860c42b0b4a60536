"""The specification's own validation and interface, as written (issue 2, item 5)."""

from __future__ import annotations

import asyncio
import inspect
import time
from datetime import timedelta
from typing import Any

import pytest

from pepperpy_resources import (
    DefaultResourceManager,
    Record,
    ResourceManager,
    managed_resource,
)
from pepperpy_resources.testing import run


async def validation() -> None:
    manager = DefaultResourceManager()
    await manager.start()
    resource = await manager.acquire("test:1")
    assert resource is not None
    assert "test:1" in manager._resources
    await manager.cleanup()
    assert "test:1" not in manager._resources
    metrics = await manager.monitor()
    assert "active_resources" in metrics
    assert "resource_errors" in metrics
    await manager.stop()


def test_the_validation_runs_as_written_in_under_a_second() -> None:
    began = time.perf_counter()
    asyncio.run(validation())
    assert time.perf_counter() - began < 1.0


def test_the_figures_of_the_validation_are_true() -> None:
    async def main() -> None:
        async with DefaultResourceManager() as manager:
            assert (await manager.monitor())["active_resources"] == 0
            await manager.acquire("test:1")
            await manager.acquire("test:2")
            await manager.acquire("other:1")
            figures = await manager.monitor()
            assert figures["active_resources"] == 3
            assert figures["resource_errors"] == 0
            assert set(manager._resources) == {"test:1", "test:2", "other:1"}
            await manager.release("test:1")
            assert (await manager.monitor())["active_resources"] == 2
            # A keyed resource stays listed while it is idle, and goes with cleanup.
            assert "test:1" in manager._resources
            await manager.cleanup("test:*")
            assert set(manager._resources) == {"other:1"}

    run(main())


@pytest.mark.parametrize(
    ("method", "signature"),
    [
        ("acquire", "(self, resource_id: 'str', **kwargs: 'Any') -> 'Any'"),
        ("release", "(self, resource_id: 'str') -> 'None'"),
        ("cleanup", "(self, pattern: 'str | None' = None) -> 'None'"),
        ("monitor", "(self) -> 'dict[str, Any]'"),
    ],
)
def test_the_interface_is_verbatim(method: str, signature: str) -> None:
    abstract = getattr(ResourceManager, method)
    assert str(inspect.signature(abstract)) == signature
    assert method in ResourceManager.__abstractmethods__
    assert inspect.iscoroutinefunction(abstract)


@pytest.mark.parametrize("method", ["acquire", "release", "cleanup", "monitor"])
def test_the_default_manager_accepts_every_call_the_interface_allows(method: str) -> None:
    assert issubclass(DefaultResourceManager, ResourceManager)
    default = getattr(DefaultResourceManager, method)
    assert inspect.iscoroutinefunction(default)
    ours = inspect.signature(default).parameters
    for name, parameter in inspect.signature(getattr(ResourceManager, method)).parameters.items():
        assert ours[name].kind is parameter.kind
        assert ours[name].default == parameter.default
    # What we add has a default: a caller who knows only the interface never notices.
    added = [
        parameter
        for name, parameter in ours.items()
        if name not in inspect.signature(getattr(ResourceManager, method)).parameters
    ]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in added)
    assert all(parameter.default is not parameter.empty for parameter in added)


def test_the_interface_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ResourceManager()  # type: ignore[abstract]


def test_the_cleanup_interval_is_five_minutes_unless_given() -> None:
    parameter = inspect.signature(DefaultResourceManager).parameters["cleanup_interval"]
    assert parameter.default == timedelta(minutes=5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DefaultResourceManager(timedelta(seconds=20)),
        lambda: DefaultResourceManager(cleanup_interval=timedelta(seconds=20)),
        lambda: DefaultResourceManager(cleanup_interval=20),
    ],
    ids=["first positional", "keyword", "seconds"],
)
def test_the_cleanup_interval_is_kept(make: Any) -> None:
    async def main() -> None:
        async with make() as manager:
            await manager.acquire("test:1")
            await asyncio.sleep(130)
            # One sweep each 18 to 20 s: six in 120 s, and the seventh at 126 s at the earliest.
            assert (await manager.monitor())["cleanup_runs"] in (6, 7)

    run(main())


def test_a_record_has_the_id_and_the_keywords_it_was_acquired_with() -> None:
    async def main() -> None:
        async with DefaultResourceManager() as manager:
            record = await manager.acquire("agent:writer", model="small", tools=["search"])
            assert isinstance(record, Record)
            assert record.resource_id == "agent:writer"
            assert record.model == "small"
            assert record.tools == ["search"]
            await manager.release("agent:writer")
            assert await manager.acquire("agent:writer") is record

    run(main())


def test_a_method_gets_the_resource_from_its_object_s_manager() -> None:
    class Service:
        def __init__(self, manager: DefaultResourceManager) -> None:
            self.resource_manager = manager

        @managed_resource("database")
        async def query(self, database: Any, text: str) -> tuple[Any, str]:
            return database, text

    async def main() -> None:
        async with DefaultResourceManager() as manager:
            database, text = await Service(manager).query("SELECT 1")
            assert database.resource_id.startswith("database:")
            assert text == "SELECT 1"
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


def test_the_manager_is_a_context_manager_that_starts_and_stops() -> None:
    async def main() -> None:
        manager = DefaultResourceManager()
        async with manager as entered:
            assert entered is manager
            await manager.acquire("test:1")
        assert dict(manager._resources) == {}

    run(main())
