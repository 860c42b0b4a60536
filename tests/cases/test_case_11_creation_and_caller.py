"""Case 11: a creation is not tied to its caller, and a backend that is down meets no storm."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import Backoff, ResourceSpec
from pepperpy_resources.errors import BackendDown
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, ticks, timed


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


def test_a_thousand_tickets_meet_a_backend_that_is_down() -> None:
    async def main() -> None:
        opening, most, calls = 0, 0, 0

        async def connect() -> Fake:
            nonlocal opening, most, calls
            calls += 1
            opening += 1
            most = max(most, opening)
            try:
                await asyncio.sleep(0.1)
            finally:
                opening -= 1
            raise ConnectionError("refused")

        spec: ResourceSpec[Fake] = ResourceSpec(
            "db", factory=connect, max_size=500, max_opening=4, acquire_timeout=30
        )
        async with serving(spec) as manager:
            crowd = [manager.acquire(f"db:{number}") for number in range(1000)]
            ends = await asyncio.gather(*[timed(acquire) for acquire in crowd])
            assert {type(error) for _, error in ends} == {BackendDown}
            assert {round(seconds, 3) for seconds, _ in ends} == {30.0}
            assert most == 4
            # Four at first; then one after another, pausing 0.1 s to 10 s, doubled, give or take
            # a fifth: 0.8, 1.6, 3.2, 6.4, 10, 10 after the four failures that came together.
            assert 4 + 4 <= calls <= 4 + 7

    run(main())


def test_a_closing_resource_counts_until_it_is_closed() -> None:
    async def main() -> None:
        backend = Backend(close=2.0)
        async with serving(backend.spec(max_size=2)) as manager:
            await manager.acquire("db:a")
            await manager.acquire("db:b")
            await manager.release("db:a", discard=True)
            seconds, fake = await timed(manager.acquire("db:c"))
            assert seconds == pytest.approx(2.0)  # the third is not opened beside the closing one
            assert isinstance(fake, Fake)
            assert fake.number == 3

    run(main())
