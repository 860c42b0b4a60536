"""Interleaved rounds: every contender once per round and workload, in a rotating order."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from benchmarks.contenders import Contender, Setting, Worker, load


class Workload(NamedTuple):
    """So many tasks at once, each holding for one pass of the loop or not at all."""

    title: str
    tasks: int
    hold: bool


WORKLOADS = (
    Workload("1 task, no hold", tasks=1, hold=False),
    Workload("8 tasks, yield", tasks=8, hold=True),
    Workload("200 tasks, yield", tasks=200, hold=True),
)

# Seconds per cycle, one figure per round, by contender and workload.
Seconds = dict[tuple[Contender, Workload], list[float]]


async def measure(
    contenders: Sequence[Contender],
    setting: Setting,
    *,
    rounds: int,
    cycles: int,
    progress: Callable[[int], None],
) -> Seconds:
    """Return the seconds per cycle of each round.

    `cycles` is the number of each measurement, shared by the tasks of the workload. `progress`
    is told how many rounds are done.
    """
    seconds: Seconds = {(each, workload): [] for each in contenders for workload in WORKLOADS}
    async with AsyncExitStack() as stack:
        workers = {
            each: await stack.enter_async_context(load(each)(setting)) for each in contenders
        }
        await _warm_up(workers, cycles)
        for number in range(rounds):
            progress(number)
            # Whoever runs first or after a certain other one has no advantage for good.
            turn = number % len(contenders)
            order = [*contenders[turn:], *contenders[:turn]]
            for workload in WORKLOADS:
                for each in order:
                    figure = await _time(workers[each], workload, cycles)
                    seconds[each, workload].append(figure)
        progress(rounds)
    return seconds


async def _warm_up(workers: dict[Contender, Worker], cycles: int) -> None:
    # Fills the pools, and lets the interpreter specialise their code.
    for worker in workers.values():
        for workload in WORKLOADS:
            await _time(worker, workload, max(1, cycles // 10))


async def _time(worker: Worker, workload: Workload, cycles: int) -> float:
    tasks, hold = workload.tasks, workload.hold
    each = max(1, cycles // tasks)
    gc.collect()  # nobody pays for another one's garbage; during the run the collector is on
    if tasks == 1:
        started = time.perf_counter()
        await worker(0, each, hold)
    else:
        started = time.perf_counter()
        await asyncio.gather(*[worker(task, each, hold) for task in range(tasks)])
    return (time.perf_counter() - started) / (each * tasks)
