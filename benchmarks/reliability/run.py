"""Runs every case against every pool, each pair in a process of its own with a deadline."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.contenders import Contender
from benchmarks.reliability.cases import CASES, Case
from benchmarks.reliability.figures import HANGS, NEVER, Figure
from benchmarks.reliability.pools import REAL_TIME

DEADLINES = {True: 300.0, False: 120.0}  # real seconds a process has in real, virtual time

# By pool and measure.
Figures = dict[tuple[str, str], Figure]


async def run(
    pools: Sequence[Contender], *, real: bool, progress: Callable[[str], None]
) -> Figures:
    """Return the figures of every pool in every case; `progress` is told what is done."""
    figures: Figures = {}
    # In real time nearly all of a case is waiting.
    turns = asyncio.Semaphore(8 if real else os.cpu_count() or 1)
    pairs = [(case, pool) for case in CASES for pool in pools]
    done = 0

    async def one(case: Case, pool: Contender) -> None:
        nonlocal done
        async with turns:
            found = await _in_a_process(case, pool, real=real)
        for measure, figure in zip(case.measures, found, strict=True):
            figures[pool.key, measure] = figure
        done += 1
        progress(f"{done} of {len(pairs)}: {case.key}, {pool.title}")

    await asyncio.gather(*[one(case, pool) for case, pool in pairs])
    return figures


async def _in_a_process(case: Case, pool: Contender, *, real: bool) -> list[Figure]:
    clock = "real" if real or (pool.key, case.key) in REAL_TIME else "virtual"
    module = "benchmarks.reliability.child"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, case.key, pool.key, clock),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), DEADLINES[real])
    except TimeoutError:
        return [HANGS] * len(case.measures)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        said = err.decode(errors="replace").strip().splitlines() or ["no message"]
        return [Figure(f"failed: {said[-1]}", NEVER)] * len(case.measures)
    return msgspec.json.decode(out, type=list[Figure])
