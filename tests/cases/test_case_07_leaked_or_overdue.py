"""Case 7: a lease whose owner has ended is reclaimed, one held for too long is reported."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.errors import NotLeased, UsageError
from pepperpy_resources.messages import Acquire, Release
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, settled, ticks, timed, usable

HERE = Path(__file__).name


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [text for record in caplog.records if words in (text := record.getMessage())]


async def figures(manager: DefaultResourceManager, name: str = "db") -> dict[str, Any]:
    found: dict[str, Any] = (await manager.monitor())["types"][name]
    return found


async def leaky(manager: DefaultResourceManager, lasting: float = 0) -> None:
    """Enter a block and end without leaving it."""
    await manager.lease("db").__aenter__()
    await asyncio.sleep(lasting)


async def forgetful(manager: DefaultResourceManager, resource_id: str) -> None:
    """Acquire for oneself and end without a release."""
    await manager.acquire(resource_id, owner=asyncio.current_task())


# -- the owner has ended


@pytest.mark.parametrize("stack", ["line", "full"])
@pytest.mark.parametrize("how", ["lease", "acquire"])
def test_who_waits_gets_what_an_ended_task_left_behind(
    how: str, stack: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, borrow_stack=stack)) as manager:
            work = leaky(manager) if how == "lease" else forgetful(manager, "db:lost")
            await asyncio.create_task(work, name="careless")
            seconds, fake = await timed(manager.acquire("db:next", timeout=1))
            assert isinstance(fake, Fake)
            assert seconds == 0.0  # nobody who must wait waits for the janitor
            assert fake.number == 2  # what the task left half-way is not handed over
            assert (await figures(manager))["leaked"] == 1
            assert (await figures(manager))["closed"]["leaked"] == 1
            await asyncio.sleep(1000)
        backend.assert_all_closed()

    run(main())
    (text,) = said(caplog, " leaked: ")  # once, however often it is looked for
    assert "task 'careless' ended without releasing it" in text
    assert HERE in text
    assert ("in leaky" if how == "lease" else "in forgetful") in text


def test_the_janitor_finds_it_where_nobody_waits() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2), cleanup_interval=10) as manager:
            held: Fake = await manager.acquire("db:held")  # no owner: nobody can tell
            await asyncio.create_task(leaky(manager, lasting=5))  # nobody has had to wait since
            await asyncio.sleep(10)
            await settled()
            assert [fake.closes for fake in backend.fakes] == [0, 1]
            assert (await figures(manager))["leaked"] == 1
            assert manager.resources["db:held"] is held

    run(main())


@pytest.mark.parametrize("owner", [None, "a name", "a task"])
def test_only_a_task_of_one_s_own_can_be_seen_to_end(owner: str | None) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1), cleanup_interval=1) as manager:
            holder = asyncio.current_task() if owner == "a task" else owner

            async def borrow() -> None:  # the task that acquires is not the one that holds
                await manager.acquire("db:a", owner=holder)

            await asyncio.create_task(borrow())
            await asyncio.sleep(100)
            assert (await figures(manager))["leaked"] == 0
            await manager.release("db:a")
            assert await manager.acquire("db:b", timeout=0) is backend.fakes[0]

    run(main())


def test_the_late_release_of_a_reclaimed_lease_is_a_no_op_once() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await asyncio.create_task(forgetful(manager, "db:lost"))
            await manager.acquire("db:next", timeout=1)
            stale = manager.cell("db").actor.pool.counters  # type: ignore[union-attr]
            assert stale.stale == 0
            await manager.release("db:lost")
            assert stale.stale == 1
            with pytest.raises(NotLeased):
                await manager.release("db:lost")
            assert (await figures(manager))["active"] == 1  # that of the next one

    run(main())


# -- held too long


async def slow_report(manager: DefaultResourceManager, seconds: float) -> None:
    async with manager.lease("db"):
        await crunch(seconds)


async def crunch(seconds: float) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("stack", ["line", "full"])
def test_a_lease_held_too_long_is_reported_once_with_both_stacks(
    stack: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_hold=10, borrow_stack=stack)) as manager:
            work = slow_report(manager, 100)
            task = asyncio.create_task(work, name="nightly")
            await asyncio.sleep(9.99)
            assert said(caplog, "max_hold") == []
            await asyncio.sleep(0.02)
            assert len(said(caplog, "max_hold")) == 1
            await task
            assert (await figures(manager))["overdue"] == 1
            assert await manager.acquire("db:next", timeout=0) is backend.fakes[0]  # it was kept
            await manager.release("db:next")

    run(main())
    (text,) = said(caplog, "max_hold")
    assert "held by task 'nightly' for 10 s (max_hold=10)" in text
    taken, standing = text.split("its holder is at:")
    assert f"{HERE}" in taken
    assert "in slow_report" in taken
    assert "await crunch(seconds)" in standing
    assert "await asyncio.sleep(seconds)" in standing


def test_a_lease_given_back_in_time_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, max_hold=10)) as manager:
            for _ in range(5):
                await slow_report(manager, 9.9)
            await asyncio.sleep(100)
            assert (await figures(manager))["overdue"] == 0

    run(main())
    assert said(caplog, "max_hold") == []


def test_an_overdue_lease_is_revoked_where_the_spec_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=1, max_hold=10, on_overdue="revoke")
        async with serving(spec) as manager:
            await manager.acquire("db:slow")
            slow: Fake = manager.resources["db:slow"]
            counters = manager.cell("db").actor.pool.counters  # type: ignore[union-attr]
            seconds, fake = await timed(manager.acquire("db:next"))
            assert seconds == pytest.approx(10.0)
            assert fake is backend.fakes[1]
            assert slow.closes == 1  # its holder may still be at work on it
            assert list(manager.resources) == ["db:next"]
            await manager.release("db:slow")  # too late: nothing happens
            assert counters.stale == 1
            assert list(manager.resources) == ["db:next"]
            found = await figures(manager)
            assert (found["overdue"], found["closed"]["overdue"]) == (1, 1)
            await manager.release("db:next")
            await usable(manager, "db", 1)
        backend.assert_all_closed()

    run(main())
    (text,) = said(caplog, "max_hold")
    assert "it is revoked" in text


def test_a_block_whose_lease_was_revoked_is_left_without_a_fuss() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "reset", max_size=1, max_hold=10, on_overdue="revoke")
        async with serving(spec) as manager:
            task = asyncio.create_task(slow_report(manager, 15))
            await asyncio.sleep(11)
            async with manager.lease("db") as fake:
                await task
                await settled()
                assert fake.number == 2
                assert fake.closes == 0  # the late end did not reach the later lease
            await ticks(5)
            assert backend.calls["reset"] == 1
        backend.assert_all_closed()

    run(main())


def test_a_shared_resource_is_closed_when_the_last_of_its_holders_returns() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(
            "model", keyed=True, max_holders=2, max_size=2, max_hold=10, on_overdue="revoke"
        )
        async with serving(spec) as manager:
            model = manager.lease("model:big")
            await model.__aenter__()
            await asyncio.sleep(6)
            async with manager.lease("model:big") as fake:
                await asyncio.sleep(5)  # the first is overdue, the second not yet
                assert fake.closes == 0
                assert "model:big" not in manager.resources  # but nobody gets it any more
            await settled()
            assert fake.closes == 1
            await model.__aexit__(None, None, None)
        backend.assert_all_closed()

    run(main())


def test_a_keyed_type_that_revokes_takes_no_bare_acquire() -> None:
    # A late release by id could hit the lease of whoever has the id by then.
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("agent", keyed=True, max_hold=10, on_overdue="revoke")
        async with serving(spec) as manager:
            with pytest.raises(UsageError, match="use lease"):
                await manager.acquire("agent:a")
            lease = await manager.actor("agent").ask(Acquire("agent:a"))
            await asyncio.sleep(10.1)
            async with manager.lease("agent:a", timeout=1) as fake:
                await manager.actor("agent").ask(Release("agent:a", lease.epoch))
                await settled()
                assert fake.number == 2
                assert fake.closes == 0

    run(main())
