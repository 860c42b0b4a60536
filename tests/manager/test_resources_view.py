"""`manager.resources`: what is leased or kept, by id; read-only, and no second bookkeeping."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, Ticks, serving, settled, ticks


def test_a_pooled_type_lists_its_named_leases() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=3)) as manager:
            view = manager.resources
            assert isinstance(view, Mapping)
            assert len(view) == 0
            a = await manager.acquire("db:a")
            b = await manager.acquire("db:b")
            async with manager.lease("db"):
                assert dict(view) == {"db:a": a, "db:b": b}  # a lease without id has no name
            assert len(view) == 2
            assert view["db:a"] is a
            await manager.release("db:a")
            assert list(view) == ["db:b"]
            assert "db:a" not in view
            assert view.get("db:a") is None

    run(main())


def test_a_keyed_type_lists_every_resource_it_keeps() -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(5))
        async with serving(backend.spec("agent", "reset", keyed=True)) as manager:
            fake = await manager.acquire("agent:a")
            await manager.release("agent:a")
            assert manager.resources["agent:a"] is fake  # while it is reset
            await settled()
            assert manager.resources["agent:a"] is fake  # and idle
            await manager.cleanup("agent:a")
            assert dict(manager.resources) == {}

    run(main())


@pytest.mark.parametrize(
    "resource_id", ["db:never", "db", "db:", "", ":", "redis:1", "nowhere"], ids=repr
)
def test_what_is_not_there_is_a_key_error(resource_id: str) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager, manager.lease("db"):
            assert resource_id not in manager.resources
            with pytest.raises(KeyError):
                manager.resources[resource_id]

    run(main())


def test_what_is_being_made_closed_or_waited_for_is_not_listed() -> None:
    async def main() -> None:
        backend = Backend(open=Ticks(5), close=NEVER)
        spec = backend.spec("agent", keyed=True, max_size=2, close_timeout=1)
        async with serving(spec) as manager:
            waiter = asyncio.ensure_future(manager.acquire("agent:a"))
            await ticks(3)
            assert dict(manager.resources) == {}  # it is made
            await waiter
            queued = asyncio.ensure_future(manager.acquire("agent:a"))
            await ticks(3)
            assert list(manager.resources) == ["agent:a"]
            queued.cancel()
            await manager.release("agent:a", discard=True)
            assert dict(manager.resources) == {}  # it is closed
            await settled()
            assert dict(manager.resources) == {}

    run(main())


def test_the_view_cannot_be_changed() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            view: Any = manager.resources
            await manager.acquire("db:a")
            with pytest.raises(TypeError):
                view["db:b"] = object()
            with pytest.raises(TypeError):
                del view["db:a"]
            with pytest.raises(AttributeError):
                manager.resources = {}  # type: ignore[misc]
            assert list(view) == ["db:a"]

    run(main())


def test_a_view_is_always_of_this_moment_and_can_be_walked_while_things_change() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=10), Backend().spec("more")) as manager:
            view = manager.resources
            for number in range(10):
                await manager.acquire(f"db:{number}")
            seen = []
            for resource_id in view:
                seen.append(resource_id)
                await manager.release(resource_id)
            assert len(seen) >= 1
            assert set(view) == {f"db:{n}" for n in range(10)} - set(seen)
        assert dict(view) == {}

    run(main())


def test_the_view_s_repr_shows_a_count_and_no_contents() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            await manager.acquire("db:customer-4711")
            assert repr(manager.resources) == "<1 resources>"
            assert "4711" not in repr(manager)

    run(main())


def test_the_specification_s_name_is_the_same_view() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            await manager.acquire("db:a")
            assert dict(manager._resources) == dict(manager.resources)

    run(main())
