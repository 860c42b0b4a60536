"""Cases 1 and 3: an acquire is cancelled.

3 slots, at first none open; a creation takes 20 passes of the loop, a round trip 1. 400 times a
task that leases is cancelled, after 0 to 25 passes in turn. In the first 26 rounds nobody else
is there; then three other borrowers came first, who hold for 0 to 14 passes. A cancel is swallowed
if `cancel()` returned True while the task was still acquiring and the task went on to the end.
The storm ends early when a borrower gets nothing for 60 s. Usable is what three borrowers
then have in hand at one moment.
"""

from __future__ import annotations

import asyncio

from benchmarks.reliability.backend import Backend, ticks
from benchmarks.reliability.figures import Figure, count, slots
from benchmarks.reliability.pools import Opener, Pool, Shape
from benchmarks.reliability.scene import PATIENCE, borrow, ended, pass_loop, together

MEASURES = (
    "1. usable slots after 400 cancelled acquires",
    "3. cancels of an acquire that were swallowed",
)

SIZE = 3
ROUNDS = 400
PASSES = 26  # of the loop: 0 to 25


async def run(open_pool: Opener) -> list[Figure]:
    """Return what the measures say."""
    backend = Backend(opening=ticks(20), round_trip=ticks(1))
    pool = await open_pool(backend, Shape(size=SIZE, min_idle=0))
    rounds = cancelled = swallowed = 0
    for number in range(ROUNDS):
        rounds += 1
        others = 0 if number < PASSES else SIZE
        hold = number // PASSES - 1
        crowd = [asyncio.ensure_future(borrow(pool, backend, hold)) for _ in range(others)]
        while_acquiring, survived = await _cancel_one(pool, backend, number % PASSES)
        cancelled += while_acquiring
        swallowed += while_acquiring and survived
        if crowd and (await asyncio.wait(crowd, timeout=PATIENCE))[1]:
            break
    usable = len(await together(pool, SIZE))
    note = "" if rounds == ROUNDS else f" after {rounds}"
    return [slots(usable, SIZE, note), count(swallowed, f"{swallowed} of {cancelled}")]


async def _cancel_one(pool: Pool, backend: Backend, passes: int) -> tuple[bool, bool]:
    """Cancel a task that leases; tell whether it was acquiring, and whether it went on."""
    acquiring = True

    async def victim() -> None:
        nonlocal acquiring
        async with pool.lease() as lent:
            acquiring = False
            await backend.use(pool.resource(lent))

    task = asyncio.ensure_future(victim())
    await pass_loop(passes)
    was_acquiring = task.cancel() and acquiring
    await ended(task)
    return was_acquiring, task.done() and not task.cancelled()
