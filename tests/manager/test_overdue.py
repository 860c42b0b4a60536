"""A lease held for longer than max_hold: said once, with both stacks; ended where it is to be."""

from __future__ import annotations

import asyncio
import logging

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import DefaultResourceManager, ResourceMetrics
from pepperpy_resources.errors import NotLeased, UsageError
from pepperpy_resources.messages import Acquire, Release
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled, timed
from tests.observe.scraping import samples, value
from tests.observe.watching import noting


def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "max_hold" in record.msg]


async def stand_here() -> None:
    await asyncio.sleep(100.0)


async def hold(manager: DefaultResourceManager, name: str = "db") -> None:
    async with manager.lease(name):
        await stand_here()


@pytest.mark.parametrize("stack", ["line", "full", "off"])
def test_it_is_said_once_where_it_was_taken_and_where_its_holder_is_now(
    stack: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        backend, registry = Backend(), CollectorRegistry()
        spec = backend.spec(max_hold=5.0, borrow_stack=stack)
        async with serving(spec, metrics=ResourceMetrics(registry), name="m") as manager:
            holder = asyncio.create_task(hold(manager), name="slow")
            with noting(manager) as notes:
                await asyncio.sleep(4.999)
                assert texts(caplog) == []
                await asyncio.sleep(50.0)
                assert notes.take()[-1] == "5 overdue db #1 e1 s=5"
            assert backend.live == 1
            assert (await manager.monitor())["types"]["db"]["overdue"] == 1
            labels = {"manager": "m", "resource_type": "db"}
            assert value(samples(registry), "pepperpy_leases_overdue_total", **labels) == 1
            assert "leases overdue: 1, leaked: 0" in manager.tree().render()
            await holder  # it went on undisturbed
            assert backend.live == 1

    with caplog.at_level(logging.WARNING):
        run(main())
    (text,) = texts(caplog)
    assert text.startswith(
        "db: lease 'db' is held by task 'slow' for 5 s (max_hold=5); "
        "nothing is done about it (on_overdue='report')"
    )
    taken, standing = text.split("\nits holder is at:\n")
    assert ("acquired at" in taken) == (stack != "off")
    if stack == "line":
        assert "test_overdue.py:" in taken
        assert taken.endswith(" in hold")
    assert ("async with manager.lease" in taken) == (stack == "full")
    assert "in stand_here" in standing or "in hold" in standing


def test_an_owner_that_is_no_task_has_no_second_stack(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_hold=5.0)) as manager:
            await manager.acquire("db:a")
            await manager.acquire("db:b", owner="job 7")
            await asyncio.sleep(6.0)

    run(main())
    first, second = texts(caplog)
    assert "held by an unnamed owner" in first
    assert "held by job 7" in second
    assert "its holder is at" not in first + second


def test_revoked_it_serves_the_next_and_the_late_release_is_harmless_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=1, max_hold=5.0, on_overdue="revoke")
        async with serving(spec) as manager:
            with noting(manager) as notes:
                await manager.acquire("db:a")
                waiting = asyncio.create_task(timed(manager.acquire("db:b")))
                seconds, fake = await waiting
                assert seconds == pytest.approx(5.0)
                assert fake is backend.fakes[1]
                assert backend.fakes[0].closes == 1
                kinds = notes.kinds()
                assert kinds.index("overdue") < kinds.index("revoked") < kinds.index("closing")
            await manager.release("db:a")
            assert "db:b" in manager.resources
            with pytest.raises(NotLeased):
                await manager.release("db:a")
            await manager.release("db:b")
            assert (await manager.monitor())["types"]["db"]["closed"]["overdue"] == 1

    run(main())
    (text,) = texts(caplog)
    assert "it is revoked" in text


def test_a_block_whose_lease_was_revoked_is_left_in_peace() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=1, max_hold=5.0, on_overdue="revoke")
        async with serving(spec) as manager:
            slow = asyncio.create_task(hold(manager))
            await asyncio.sleep(99.0)
            await manager.acquire("db:next", timeout=0.1)
            await slow
            assert "db:next" in manager.resources

    run(main())


def test_a_keyed_type_that_revokes_takes_blocks_and_epochs_but_no_bare_acquire() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(keyed=True, max_hold=5.0, on_overdue="revoke")
        async with serving(spec) as manager:
            for work in (manager.acquire("db:a"), manager.type(spec).acquire("a")):
                with pytest.raises(UsageError, match=r"use lease\('db:a'\)"):
                    await work
            assert backend.opened == 0
            handle = manager.actor("db")
            first = await handle.ask(Acquire("db:a"))
            second = await handle.ask(Acquire("db:a", timeout=9.0))
            handle.tell(Release("db:a", first.epoch))  # too late: it is the other's by now
            await settled()
            assert "db:a" in manager.resources
            assert second.resource.closes == 0
            handle.tell(Release("db:a", second.epoch))
            async with manager.lease("db:a"):
                await asyncio.sleep(1.0)

    run(main())


@pytest.mark.parametrize("after", [3.0, 7.0])
def test_a_crash_makes_it_neither_said_twice_nor_forgotten(
    after: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_hold=5.0)) as manager:
            await manager.acquire("db:a")
            await asyncio.sleep(after)
            crash(manager, "db")
            await asyncio.sleep(10.0)
            assert (await manager.monitor())["types"]["db"]["overdue"] == 1

    run(main())
    assert len(texts(caplog)) == 1
