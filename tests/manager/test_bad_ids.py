"""Ids, keywords and timeouts that are wrong: the error says what to do, and nothing is lost."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import (
    InvalidResourceId,
    KeywordsRefused,
    LeaseIdInUse,
    NotLeased,
    ResourceError,
    UnknownResourceType,
    UsageError,
)
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, ticks, usable

Call = Callable[[DefaultResourceManager, Any], Awaitable[Any]]


async def acquire(manager: DefaultResourceManager, resource_id: Any) -> None:
    await manager.acquire(resource_id)


async def lease(manager: DefaultResourceManager, resource_id: Any) -> None:
    async with manager.lease(resource_id):
        raise AssertionError("it was leased")


async def release(manager: DefaultResourceManager, resource_id: Any) -> None:
    await manager.release(resource_id)


def refused(call: Call, argument: Any, error: type[ResourceError], *words: str) -> None:
    """See the call refused with these words, and the pool as whole as before."""

    async def main() -> None:
        backend = Backend()
        keyed = backend.spec("agent", keyed=True)
        async with serving(backend.spec("db", max_size=2), backend.spec("database"), keyed) as m:
            with pytest.raises(error) as caught:
                await call(m, argument)
            assert isinstance(caught.value, UsageError)
            for word in words:
                assert word in str(caught.value)
            assert backend.opened == 0
            assert dict(m.resources) == {}
            assert m.cell("db").incarnation == 1
            await usable(m, "db", 2)
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("call", [acquire, lease, release])
@pytest.mark.parametrize(
    ("resource_id", "words"),
    [
        ("dbb:1", ("'dbb'", "known: agent, database, db", "did you mean 'db'?")),
        ("databse:1", ("did you mean 'database'?",)),
        ("redis:1", ("'redis' is no declared resource type", "known: agent, database, db")),
        ("DB:1", ("'DB'",)),
        (" db:1", ("' db'",)),
        ("unheard", ("'unheard'",)),
    ],
)
def test_an_unknown_type_names_the_known_and_the_nearest(
    call: Call, resource_id: str, words: tuple[str, ...]
) -> None:
    refused(call, resource_id, UnknownResourceType, *words)


def test_no_nearest_type_is_made_up() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            with pytest.raises(UnknownResourceType) as caught:
                await manager.acquire("redis:1")
            assert "did you mean" not in str(caught.value)

    run(main())


@pytest.mark.parametrize("call", [acquire, lease, release])
@pytest.mark.parametrize(
    ("resource_id", "words"),
    [
        ("", ("''", "'type:name'")),
        (":", ("':'", "'type:name'")),
        (":1", ("':1'", "'type:name'")),
        ("  ", ("'type:name'",)),
        (None, ("NoneType", "'type:name'")),
        (7, ("int", "'type:name'")),
        (b"db:1", ("bytes", "'type:name'")),
        (["db:1"], ("list", "'type:name'")),
    ],
    ids=repr,
)
def test_a_malformed_id_is_refused(call: Call, resource_id: Any, words: tuple[str, ...]) -> None:
    refused(call, resource_id, InvalidResourceId, *words)


@pytest.mark.parametrize("resource_id", ["db", "db:"])
def test_a_bare_type_names_no_lease(resource_id: str) -> None:
    words = (f"'{resource_id}' names no lease", 'lease("db")', 'acquire("db:<name>")')
    refused(acquire, resource_id, InvalidResourceId, *words)


@pytest.mark.parametrize("resource_id", ["agent", "agent:"])
@pytest.mark.parametrize("call", [acquire, lease])
def test_a_bare_keyed_type_names_no_resource(call: Call, resource_id: str) -> None:
    refused(call, resource_id, InvalidResourceId, resource_id, 'acquire("agent:<name>")')


def test_a_bare_keyed_type_is_not_told_to_lease_without_an_id() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            with pytest.raises(InvalidResourceId) as caught:
                await manager.acquire("agent")
            assert "needs no id" not in str(caught.value)

    run(main())


@pytest.mark.parametrize("resource_id", ["db", "db:", "db:never"])
def test_a_release_of_what_is_not_leased_is_refused(resource_id: str) -> None:
    refused(release, resource_id, UsageError, resource_id)
    refused(release, "db:never", NotLeased, "'db:never' is not leased", "never acquired")


def test_a_double_release_is_refused() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=1)) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a")
            with pytest.raises(NotLeased, match="released before; release once"):
                await manager.release("db:a")
            with pytest.raises(NotLeased):
                await manager.release("db:a", discard=True)
            # The first release counted, the others did nothing to the slot.
            await usable(manager, "db", 1)
            assert backend.opened == 1

    run(main())


def test_a_bare_release_cannot_hit_a_lease_block() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=1)) as manager:
            async with manager.lease("db") as fake:
                for resource_id in ("db", "db:"):
                    with pytest.raises(UsageError):
                        await manager.release(resource_id)
                assert (await manager.monitor())["active_resources"] == 1
            await usable(manager, "db", 1)
            assert fake.closes == 0

    run(main())


def test_an_id_that_is_leased_names_its_holder_age_and_place() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=2)) as manager:
            await manager.acquire("db:report", owner="nightly")
            await asyncio.sleep(12)
            for call in (acquire, lease):
                with pytest.raises(LeaseIdInUse) as caught:
                    await call(manager, "db:report")
                text = str(caught.value)
                assert "'db:report' held for 12 s by nightly" in text
                assert "test_bad_ids.py:" in text
                assert "choose another id" in text
                assert 'lease("db")' in text
            # Refused at once, although there was room; and the holder is untouched.
            assert backend.opened == 1
            await manager.release("db:report")
            await manager.acquire("db:report")

    run(main())


def test_an_id_that_is_queued_is_in_use_too() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=1)) as manager:
            await manager.acquire("db:holder")
            waiter = asyncio.ensure_future(manager.acquire("db:a"))
            await ticks(1)
            with pytest.raises(LeaseIdInUse, match="'db:a' is queued"):
                await manager.acquire("db:a")
            with pytest.raises(NotLeased):
                await manager.release("db:a")
            await manager.release("db:holder")
            await waiter
            await manager.release("db:a")
            await usable(manager, "db", 1)

    run(main())


def test_a_task_is_named_as_the_holder_of_a_lease_block() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", max_size=2)) as manager:

            async def borrower() -> None:
                async with manager.lease("db:report"):
                    await asyncio.sleep(60)

            task = asyncio.create_task(borrower(), name="the-reporter")
            await asyncio.sleep(2)
            with pytest.raises(LeaseIdInUse, match="held for 2 s by task 'the-reporter'"):
                await manager.acquire("db:report")
            task.cancel()

    run(main())


# -- keywords, priority, timeouts


def test_a_pooled_type_takes_no_keywords() -> None:
    async def with_keywords(manager: DefaultResourceManager, _: Any) -> None:
        await manager.acquire("db:a", host="secret-host", port=1)

    words = ("'db' is a pooled type", "host, port", "keyed=True")
    refused(with_keywords, None, KeywordsRefused, *words)

    async def lease_with_keywords(manager: DefaultResourceManager, _: Any) -> None:
        manager.lease("db", host="secret-host")

    refused(lease_with_keywords, None, KeywordsRefused, "'db' is a pooled type", "host")


def test_the_values_of_refused_keywords_are_not_shown() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db")) as manager:
            with pytest.raises(KeywordsRefused) as caught:
                await manager.acquire("db:a", password="hunter2")
            assert "hunter2" not in str(caught.value)

    run(main())


BAD_TIMEOUTS = [-1, -0.001, math.nan, -math.inf, timedelta(seconds=-1), "2", True, [1], 1j]


@pytest.mark.parametrize("timeout", BAD_TIMEOUTS, ids=repr)
@pytest.mark.parametrize("how", ["acquire", "lease", "handle", "wait_ready", "stop", "remove_type"])
def test_a_bad_timeout_is_refused(how: str, timeout: Any) -> None:
    async def call(manager: DefaultResourceManager, _: Any) -> None:
        if how == "acquire":
            await manager.acquire("db:a", timeout=timeout)
        elif how == "lease":
            manager.lease("db", timeout=timeout)
        elif how == "handle":
            await manager.type(Backend().spec("db")).acquire("a", timeout=timeout)
        else:
            arguments = ("db",) if how == "remove_type" else ()
            await getattr(manager, how)(*arguments, timeout=timeout)

    refused(call, None, UsageError, "timeout=", "seconds or a timedelta, >= 0", "None")


@pytest.mark.parametrize("interval", BAD_TIMEOUTS, ids=repr)
def test_a_bad_cleanup_interval_is_refused(interval: Any) -> None:
    with pytest.raises(UsageError, match="cleanup_interval"):
        DefaultResourceManager(cleanup_interval=interval)


@pytest.mark.parametrize("pattern", [5, b"db:*", ["db:*"]], ids=repr)
def test_a_bad_cleanup_pattern_is_refused(pattern: Any) -> None:
    async def call(manager: DefaultResourceManager, argument: Any) -> None:
        await manager.cleanup(argument)

    refused(call, pattern, UsageError, "pattern", type(pattern).__name__)
