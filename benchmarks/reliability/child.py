"""One case against one pool, in a process of its own: `python -m benchmarks.reliability.child`.

Prints the figures as JSON, one line, and ends at once, whatever the pool still has running: one
that hangs is killed by who started this process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Sequence

import msgspec

from benchmarks.reliability.cases import CASES
from benchmarks.reliability.pools import POOLS, opener
from pepperpy_resources.testing import VirtualTimeLoop


def main(arguments: Sequence[str]) -> None:
    """Run the case against the pool, both by key; "real" or "virtual" names the clock."""
    case, key, clock = arguments
    logging.disable()  # pools log what the case does to them
    warnings.simplefilter("ignore")
    random.seed(6)  # the jitter of backoffs is the same in every run
    loop = asyncio.new_event_loop() if clock == "real" else VirtualTimeLoop()
    if clock != "real":
        # Two peers read `time.monotonic` for deadlines that they then wait for on the loop. It has
        # to be replaced before they are imported: they keep the function.
        time.monotonic = loop.time
    open_pool = opener(next(pool for pool in POOLS if pool.key == key))
    run = next(each.run for each in CASES if each.key == case)
    loop.set_exception_handler(lambda _loop, _context: None)  # what a pool forgot to retrieve
    asyncio.set_event_loop(loop)
    figures = loop.run_until_complete(run(open_pool))
    sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
