"""Case 5: freed capacity wakes who waits, whatever freed it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, ticks, timed


class Gone(Exception):
    """The other side is gone."""


def is_gone(error: BaseException) -> bool:
    return isinstance(error, Gone)


CREATION = 1.0


async def wait_of_a_queued_ticket(
    spec: ResourceSpec[Fake], free: Any
) -> tuple[float, DefaultResourceManager]:
    """Return how long a ticket waits after `free(manager)` has freed the only slot."""
    async with serving(spec) as manager:
        await manager.acquire("db:holder")
        ticket = asyncio.ensure_future(timed(manager.acquire("db:ticket", timeout=60)))
        await ticks(1)
        await free(manager)
        seconds, fake = await ticket
        assert isinstance(fake, Fake)
        await manager.release("db:ticket")
        return seconds, manager


async def discarded(manager: DefaultResourceManager) -> None:
    await manager.release("db:holder", discard=True)


async def released(manager: DefaultResourceManager) -> None:
    await manager.release("db:holder")


async def evicted(manager: DefaultResourceManager) -> None:
    await manager.cleanup("db:holder", force=True)


@pytest.mark.parametrize("free", [discarded, evicted])
@pytest.mark.parametrize("close_fails", [False, True], ids=["closes", "close fails"])
def test_a_closed_slot_serves_the_next_ticket_within_one_creation(
    free: Any, *, close_fails: bool
) -> None:
    async def main() -> None:
        backend = Backend(open=CREATION, close=ValueError("no") if close_fails else 0.0)
        seconds, _ = await wait_of_a_queued_ticket(backend.spec(max_size=1), free)
        assert seconds == pytest.approx(CREATION)
        backend.assert_all_closed()

    run(main())


def test_a_failed_reset_serves_the_next_ticket_within_one_creation() -> None:
    async def main() -> None:
        backend = Backend(open=CREATION)
        backend.next("reset", ValueError("dirty"))
        spec = backend.spec("db", "reset", max_size=1)
        seconds, _ = await wait_of_a_queued_ticket(spec, released)
        assert seconds == pytest.approx(CREATION)
        assert [fake.closes for fake in backend.fakes] == [1, 1]

    run(main())


@pytest.mark.parametrize(
    ("size", "wait"),
    [(1, 0.5 + CREATION), (2, CREATION)],  # a full pool has to close the bad one first
    ids=["full", "with room"],
)
def test_a_failed_check_serves_its_ticket_within_one_creation(size: int, wait: float) -> None:
    async def main() -> None:
        backend = Backend(open=CREATION, close=0.5)
        backend.next("check", ValueError("stale"))
        async with serving(backend.spec("db", "check", max_size=size)) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a")
            await asyncio.sleep(10)  # not fresh any more
            seconds, fake = await timed(manager.acquire("db:b"))
            assert fake is backend.fakes[1]
            assert seconds == pytest.approx(wait)

    run(main())


@pytest.mark.parametrize(("failures", "paused"), [(1, 0.0), (2, 0.25), (3, 0.25 + 0.5)])
def test_failed_creations_serve_their_ticket_after_the_backoff_and_one_creation(
    failures: int, paused: float
) -> None:
    async def main() -> None:
        backend = Backend(open=CREATION)
        refused = ConnectionError("refused")  # at once
        backend.next("open", *[refused] * failures)
        pause = Backoff(min=0.25, jitter=0.0)
        async with serving(backend.spec(max_size=1, backoff=pause)) as manager:
            seconds, fake = await timed(manager.acquire("db:a"))
            assert isinstance(fake, Fake)
            assert seconds == pytest.approx(paused + CREATION)

    run(main())


def test_a_failed_creation_frees_its_place_for_a_return() -> None:
    # The ticket waits for a creation that fails; a resource that comes back serves it at once.
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2, backoff=Backoff(min=50, max=50))) as manager:
            await manager.acquire("db:a")
            refused = ConnectionError("refused")
            backend.next("open", refused, refused)
            ticket = asyncio.ensure_future(timed(manager.acquire("db:b")))
            await asyncio.sleep(3)
            await manager.release("db:a")
            seconds, fake = await ticket
            assert fake is backend.fakes[0]
            assert seconds == pytest.approx(3.0)

    run(main())


def test_an_invalidated_generation_serves_the_tickets_within_one_creation() -> None:
    async def main() -> None:
        backend = Backend(open=CREATION)
        spec = backend.spec(max_size=2, is_connection_error=is_gone)
        async with serving(spec) as manager:

            async def broken() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(5)
                    raise Gone

            async def holder() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(8)

            crowd = [asyncio.ensure_future(work()) for work in (broken, holder)]
            await asyncio.sleep(2)
            tickets = [
                asyncio.ensure_future(timed(manager.acquire(f"db:{number}"))) for number in range(2)
            ]
            await asyncio.gather(*crowd, return_exceptions=True)
            (first, one), (second, two) = await asyncio.gather(*tickets)
            # One slot is free when it is found broken (at 6), one when its holder leaves (at 9).
            assert first == pytest.approx(6 - 2 + CREATION)
            assert second == pytest.approx(9 - 2 + CREATION)
            assert {one, two} == {backend.fakes[2], backend.fakes[3]}
            assert [fake.closes for fake in backend.fakes] == [1, 1, 0, 0]

    run(main())
