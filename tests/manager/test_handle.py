"""The typed handle of one resource type: the same calls without the type's name."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceHandle
from pepperpy_resources.errors import (
    InvalidResourceId,
    KeywordsRefused,
    NotLeased,
    NotStarted,
    UnknownResourceType,
)
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, settled


def test_a_handle_leases_acquires_and_releases() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", max_size=2)
        async with serving(spec) as manager:
            handle = manager.type(spec)
            assert isinstance(handle, ResourceHandle)
            async with handle.lease() as fake:
                assert fake is backend.fakes[0]
                assert dict(manager.resources) == {}
            async with handle.lease("report") as fake:
                assert dict(manager.resources) == {"db:report": fake}
            fake = await handle.acquire("nightly", owner="cron")
            assert dict(manager.resources) == {"db:nightly": fake}
            await handle.release("nightly")
            with pytest.raises(NotLeased, match="'db:nightly'"):
                await handle.release("nightly")
            await handle.acquire("b")
            await handle.release("b", discard=True)
            async with handle.lease(discard=True):
                pass
            await settled()
            assert backend.live == 0

    run(main())


def test_a_key_may_contain_colons() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("file", keyed=True)
        async with serving(spec) as manager:
            fake = await manager.type(spec).acquire("s3://bucket:9000/key")
            assert fake.arguments == ("file:s3://bucket:9000/key",)
            await manager.type(spec).release("s3://bucket:9000/key")
            assert await manager.acquire("file:s3://bucket:9000/key") is fake

    run(main())


def test_a_keyed_handle_passes_keywords_on_and_needs_a_key() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("agent", keyed=True)
        async with serving(spec) as manager:
            handle = manager.type(spec)
            async with handle.lease("writer", model="small") as fake:
                assert fake.keywords == {"model": "small"}
            with pytest.raises(InvalidResourceId):
                async with handle.lease():
                    raise AssertionError
            with pytest.raises(InvalidResourceId):
                await handle.acquire("")

    run(main())


def test_a_pooled_handle_refuses_keywords() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db")
        async with serving(spec) as manager:
            with pytest.raises(KeywordsRefused):
                await manager.type(spec).acquire("a", model="small")

    run(main())


def test_a_handle_may_be_made_before_start_and_outlives_nothing() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db")
        manager = DefaultResourceManager([spec])
        handle = manager.type(spec)
        with pytest.raises(NotStarted):
            await handle.acquire("a")
        async with manager, handle.lease():
            pass
        assert "db" in repr(handle)

    run(main())


def test_add_type_returns_its_handle() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(Backend().spec("other")) as manager:
            handle = manager.add_type(backend.spec("db", max_size=1))

            async def borrow() -> int:
                async with handle.lease(timeout=5) as fake:
                    await asyncio.sleep(0)
                    return fake.number

            assert await asyncio.gather(*[borrow() for _ in range(5)]) == [1] * 5
            with pytest.raises(UnknownResourceType):
                manager.type(Backend().spec("nowhere"))

    run(main())
