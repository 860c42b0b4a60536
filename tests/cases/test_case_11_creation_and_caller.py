"""Case 11: a creation is not tied to its caller, and a backend that is down meets no storm."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import Backoff, ResourceSpec
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
