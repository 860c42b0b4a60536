"""Who is served when: nobody barges, nothing free is forgotten (cases 4, 5, 19)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, Ticks, now, serving, ticks, timed

WAITERS = 30


class Gone(Exception):
    """The other side is gone."""


def is_gone(error: BaseException) -> bool:
    return isinstance(error, Gone)


# -- case 4: barging


@pytest.mark.parametrize("hooks", [(), ("reset",)], ids=["plain", "reset"])
def test_waiters_are_served_in_the_order_of_their_arrival(hooks: tuple[str, ...]) -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(2))
        arrived: list[int] = []
        served: list[int] = []
        async with serving(backend.spec("db", *hooks, max_size=1)) as manager:

            async def borrower(number: int) -> None:
                arrived.append(number)
                async with manager.lease("db"):
                    served.append(number)
                    await ticks(1)

            await manager.acquire("db:holder")
            crowd = [asyncio.ensure_future(borrower(number)) for number in range(WAITERS)]
            await ticks(2)
            await manager.release("db:holder")
            for number in range(WAITERS, 2 * WAITERS):  # newcomers, one a tick
                crowd.append(asyncio.ensure_future(borrower(number)))
                await ticks(1)
            await asyncio.gather(*crowd)
        assert arrived == list(range(2 * WAITERS))
        inversions = sum(a > b for at, a in enumerate(served) for b in served[at:])
        assert inversions == 0
        assert len(served) == 2 * WAITERS

    run(main())


def test_whoever_gives_back_goes_to_the_end_of_the_queue() -> None:
    async def main() -> None:
        backend = Backend()
        served: list[str] = []
        async with serving(backend.spec(max_size=1)) as manager:

            async def greedy(name: str) -> None:
                for _ in range(10):
                    async with manager.lease("db"):
                        served.append(name)

            await asyncio.gather(greedy("a"), greedy("b"), greedy("c"))
        assert served == ["a", "b", "c"] * 10

    run(main())


def test_an_acquire_that_does_not_wait_never_overtakes_the_queue() -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(1))
        async with serving(backend.spec("db", "reset", max_size=1)) as manager:
            await manager.acquire("db:holder")
            first = asyncio.ensure_future(manager.acquire("db:first"))
            await ticks(1)
            await manager.release("db:holder")
            with pytest.raises(TimeoutError):
                await manager.acquire("db:barger", timeout=0)
            await first

    run(main())


# -- case 5: freed capacity wakes somebody, whatever freed it

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


@pytest.mark.parametrize("size", [1, 2], ids=["full", "with room"])
def test_a_failed_check_serves_its_ticket_within_one_creation(size: int) -> None:
    async def main() -> None:
        backend = Backend(open=CREATION)
        backend.next("check", ValueError("stale"))
        async with serving(backend.spec("db", "check", max_size=size)) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a")
            await asyncio.sleep(10)  # not fresh any more
            seconds, fake = await timed(manager.acquire("db:b"))
            assert fake is backend.fakes[1]
            assert seconds == pytest.approx(CREATION)

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


# -- case 19: a spike


@pytest.mark.parametrize(("max_opening", "most"), [(1, 6), (4, 9)], ids=["one", "default"])
def test_a_spike_does_not_fill_the_pool(max_opening: int, most: int) -> None:
    async def main() -> None:
        backend = Backend(open=0.150)
        spec = backend.spec(max_size=50, min_idle=5, max_opening=max_opening)
        async with serving(spec) as manager:
            await manager.wait_ready(10)
            assert backend.opened == 5

            async def borrower() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(0.002)

            began = now()
            await asyncio.gather(*[borrower() for _ in range(50)])
            # Ten rounds of five: what comes back beats what is being made.
            assert now() - began == pytest.approx(0.020)
            await asyncio.sleep(1)
            assert backend.opened <= most

    run(main())


def test_a_creation_is_not_tied_to_the_caller_it_was_started_for() -> None:
    # Case 11: creation takes longer than any caller waits; the resource arrives and is used.
    async def main() -> None:
        backend = Backend(open=0.050)
        async with serving(backend.spec(max_size=1)) as manager:
            for number in range(4):
                with pytest.raises(TimeoutError):
                    await manager.acquire(f"db:{number}", timeout=0.010)
            await asyncio.sleep(0.011)
            await manager.acquire("db:late", timeout=0)
            assert backend.calls["open"] == 1

    run(main())


def test_a_backend_that_is_down_is_probed_by_one_and_then_taken_up_slowly() -> None:
    # Case 11: no connect storm, neither while it is down nor when it comes back.
    async def main() -> None:
        opening, most = 0, 0
        down = True

        async def connect() -> Fake:
            nonlocal opening, most
            opening += 1
            most = max(most, opening)
            await asyncio.sleep(1.0)
            opening -= 1
            if down:
                raise ConnectionError("refused")
            return Fake(1)

        pause = Backoff(min=0.5, factor=1.0, jitter=0.0)
        spec: ResourceSpec[Fake] = ResourceSpec(
            "db", factory=connect, max_size=50, max_opening=4, backoff=pause
        )
        async with serving(spec) as manager:
            crowd = [
                asyncio.ensure_future(timed(manager.acquire(f"db:{number}", timeout=25)))
                for number in range(40)
            ]
            await asyncio.sleep(1.1)
            assert most == 4  # the first ones; all failed
            most = 0
            await asyncio.sleep(8)
            assert most == 1  # one prober
            down = False
            await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
            await ticks(5)
            assert opening == 2  # one worked: two, then four
            await asyncio.sleep(1.05)
            assert opening == 4
            await asyncio.gather(*crowd)
            assert most == 4

    run(main())
