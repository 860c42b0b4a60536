"""`python -m benchmarks.supervision`: what supervision costs. Interleaved rounds, medians."""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, NamedTuple

import pykka  # noqa: TID253 - a peer: one thread an actor

from benchmarks.results import machine, versions
from pepperpy_resources import (
    Actor,
    ChildSpec,
    DefaultResourceManager,
    Supervisor,
    handles,
    resource_spec,
)
from pepperpy_resources.actors.host import Cell, Host
from pepperpy_resources.actors.pool import ResourceSupervisor
from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.actors.type_state import TypeState
from pepperpy_resources.actors.watchdog import Watchdog
from pepperpy_resources.actors.watchers import Watchers
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import Acquire, Release

ACTORS = 1000
CYCLES = 5000
GROUPS, MEMBERS = 100, 99  # 100 supervisors of 99 actors, and the one above them


class Limit(NamedTuple):
    """What a figure must stay below, in its own unit."""

    title: str
    unit: str
    most: float


TREE = Limit("tree() of 10,001 nodes", "ms", 50.0)
SENT = Limit("  messages it sent", "", 0.5)
START = Limit("1000 actors started, each once the one before is up", "ms", 60.0)
THREADS = Limit("  the same of pykka's ThreadingActor", "ms", float("inf"))
RESTART = Limit("restart of one child, without its own start", "ms", 1.0)
LEASE = Limit("acquire and release of an idle slot, supervised : alone", "×", 1.05)


class Idle(Actor):
    """Does nothing."""

    started = 0.0

    def on_start(self) -> None:
        """Note when."""
        Idle.started = time.perf_counter()

    @handles(str)
    def fail(self, _message: str) -> None:
        """Crash."""
        raise ValueError


class Thread(pykka.ThreadingActor):
    """The same as a thread."""


async def tree(rounds: int) -> dict[Limit, list[float]]:
    """Time pictures of a big tree, and count what they sent to it."""
    groups = [
        ChildSpec(f"g{n}", Supervisor([ChildSpec(f"a{m}", Idle) for m in range(MEMBERS)]))
        for n in range(GROUPS)
    ]
    async with Supervisor(groups) as supervisor:
        before = sum(node.messages for node in supervisor.tree().walk())
        seconds = [timed(supervisor.tree) for _ in range(rounds)]
        sent = sum(node.messages for node in supervisor.tree().walk()) - before
    return {TREE: [each * 1e3 for each in seconds], SENT: [float(sent)]}


async def start() -> dict[Limit, list[float]]:
    """Time the start of many actors, on the loop and as threads."""
    supervisor = Supervisor([ChildSpec(f"a{n}", Idle) for n in range(ACTORS)])
    gc.collect()  # nobody pays for another one's garbage
    began = time.perf_counter()
    await supervisor.start()
    ours = time.perf_counter() - began
    await supervisor.stop()
    gc.collect()
    began = time.perf_counter()
    refs = [Thread.start() for _ in range(ACTORS)]
    threads = time.perf_counter() - began
    for ref in refs:
        ref.stop(block=False)
    while any(ref.is_alive() for ref in refs):  # noqa: ASYNC110 - threads, and not ours
        await asyncio.sleep(0.01)
    return {START: [ours * 1e3], THREADS: [threads * 1e3]}


async def restart() -> dict[Limit, list[float]]:
    """Time from the message that crashes a child to the first line of its next incarnation."""
    async with Supervisor([ChildSpec("a", Idle)], intensity=None, backoff=None) as supervisor:
        child = supervisor.child("a")
        times: list[float] = []
        for _ in range(20):
            began = time.perf_counter()
            child.tell("fail")
            await asyncio.sleep(0)
            while Idle.started < began:  # noqa: ASYNC110 - as soon as it is there
                await asyncio.sleep(0)
            times.append((Idle.started - began) * 1e3)
    return {RESTART: [median(times)]}


async def lease() -> dict[Limit, list[float]]:
    """Time the same messages to a type below a root, and to one that stands alone."""
    spec = resource_spec("db", factory=object, close=lambda _: None)
    loop = asyncio.get_running_loop()
    state = TypeState(spec, loop, contextvars.copy_context(), {}, Watchdog())
    host = Host(loop)
    state.watchers = Watchers()
    state.watchers.serve(host, {"db": state})
    state.cell = alone = Cell(host, "db", lambda _cell, _exit: None)
    ResourceSupervisor.launch(alone, state)
    while host.ready:
        host.drain()
    async with DefaultResourceManager([spec]) as manager:
        supervised = manager.cell("db")
        for cell in (alone, supervised):
            first: Reply[Lease] = Reply(cell)
            cell.ask(Acquire("db:a"), first)
            await first
            cell.deliver(Release("db:a"))
        times = {cell: [] for cell in (alone, supervised)}  # type: dict[Cell, list[float]]
        for _ in range(10):
            for cell, seconds in times.items():
                gc.collect()
                seconds.append(timed(lambda cell=cell: cycles(cell)))
    ratios = [a / b for a, b in zip(times[supervised], times[alone], strict=True)]
    return {LEASE: [median(ratios)]}


def cycles(cell: Cell) -> None:
    """Acquire and release, over and over."""
    lease: object = None
    deliver, acquire, release = cell.deliver, Acquire("db:a"), Release("db:a")
    for _ in range(CYCLES):
        lease = deliver(acquire, None)
        deliver(release, None)
    if not isinstance(lease, Lease):
        raise TypeError(f"the slot was not idle: {lease!r}")


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds this takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def measure(rounds: int) -> dict[Limit, list[float]]:
    """Return the figures of all rounds."""
    found: dict[Limit, list[float]] = {}
    parts: list[Callable[[], Awaitable[dict[Limit, list[float]]]]] = [start, restart, lease]
    for number in range(rounds):
        for part in parts:
            for limit, figures in (await part()).items():
                found.setdefault(limit, []).extend(figures)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return {**await tree(rounds), **found}


def main() -> int:
    """Print the figures; return 1 if one is above its limit and `--assert` was given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.supervision")
    parser.add_argument("--rounds", type=int, default=7, help="(%(default)s)")
    parser.add_argument("--assert", dest="check", action="store_true", help="exit 1 above a limit")
    options = parser.parse_args()
    found = asyncio.run(measure(max(1, options.rounds)))
    where = machine()
    print(f"{where['python']}, {where['processor']}, load {where['load']}, ", end="")
    print(", ".join(f"{name} {text}" for name, text in versions(()).items()))
    width = max(len(limit.title) for limit in found)
    for limit, figures in found.items():
        spread = f"{min(figures):.3f}..{max(figures):.3f}"
        most = "" if limit.most == float("inf") else f"limit {limit.most:g}"
        figure = f"{median(figures):9.3f} {limit.unit:<2}"
        print(f"{limit.title:<{width}}  {figure}  {spread:>17}  {most}")
    broken = [limit for limit, figures in found.items() if median(figures) > limit.most]
    return int(options.check and bool(broken))


if __name__ == "__main__":
    sys.exit(main())
