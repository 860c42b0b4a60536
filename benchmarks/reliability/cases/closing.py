"""Case 8: the pool is closed.

1 slot; a borrower has it and keeps it for 10 s, another waits for it. Then the pool is closed with
1 s for borrowers, where that can be said. What happens to who waits; when does close return; how
many resources are open then, and once the borrower is gone; does a second close return at once?
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, ConnectionLostError, seconds
from benchmarks.reliability.figures import HANGS, NEVER, Figure, count, lacking
from benchmarks.reliability.pools import Opener, Pool, Shape
from benchmarks.reliability.scene import borrow, ended, now, pass_loop

MEASURES = (
    "8. who waits when the pool is closed",
    "8. close returns",
    "8. resources open when close has returned",
    "8. resources open when the borrower is gone",
    "8. a second close",
)

GIVEN = 1.0  # seconds for borrowers
KEPT = 10.0  # seconds that the borrower takes


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    backend = Backend(opening=seconds(0.1), round_trip=seconds(0.001))
    pool = await open_pool(backend, Shape(size=1, min_idle=1))
    if pool.close is None:
        return [lacking("no close")] * len(MEASURES)
    lent = asyncio.Event()

    async def borrower() -> None:
        async with pool.lease():
            lent.set()
            await asyncio.sleep(KEPT)

    borrowing = asyncio.ensure_future(borrower())
    await lent.wait()
    waiting = asyncio.ensure_future(borrow(pool, backend))
    await asyncio.sleep(0.1)
    begun = now()
    refused_at: list[float] = []
    waiting.add_done_callback(lambda _: refused_at.append(now() - begun))
    returned = await _close(pool)
    left = len(backend.open)
    await ended(borrowing)
    await ended(waiting)
    await pass_loop(50)
    return [
        _fate(waiting, refused_at),
        returned,
        count(left),
        count(len(backend.open)),
        await _close(pool, again=True),
    ]


async def _close(pool: Pool, *, again: bool = False) -> Figure:
    assert pool.close is not None
    begun = now()
    closing = asyncio.ensure_future(_awaited(pool, GIVEN))
    if not await ended(closing):
        return HANGS
    took, error = round(now() - begun, 2), closing.exception()
    said = "" if error is None else f", {type(error).__name__}"
    in_time = took <= (0.0 if again else GIVEN + 1.0) and (error is None or not again)
    return Figure(f"after {took:.2f} s{said}", 0.0 if in_time else took or NEVER)


async def _awaited(pool: Pool, given: float) -> None:
    assert pool.close is not None
    await pool.close(given)


def _fate(task: asyncio.Task[object], ended_at: list[float]) -> Figure:
    if not task.done():
        return Figure("waits for ever", NEVER)
    after = ended_at[0]
    error = task.exception()
    if error is None:
        return Figure(f"served after {after:.1f} s", NEVER)
    if isinstance(error, ConnectionLostError):
        return Figure(f"is given a closed one after {after:.1f} s", NEVER)
    return Figure(f"{type(error).__name__} after {after:.1f} s", round(after, 1))
