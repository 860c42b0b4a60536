"""Case 19: a spike does not fill the pool: what comes back beats what is being made."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.testing import run
from tests.helpers import Backend, now, serving


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
