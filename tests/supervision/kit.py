"""A fleet of fake resources that counts for itself, and ways to make an actor crash."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import DefaultResourceManager, ResourceMetrics, ResourceSpec
from pepperpy_resources.actors import performer
from pepperpy_resources.actors import pool as pool_actor
from pepperpy_resources.core import machine
from pepperpy_resources.core.effects import Effect
from pepperpy_resources.core.events import Acquire, Event, Release
from pepperpy_resources.testing import crash

REVIVED_AFTER = 30.0  # seconds a parked type, or other child of the root, is left alone
SECONDS = 10.0  # no test waits this long, unless something hangs


# The two events the actor takes a short way through the machine with, when nobody waits.
SHORT_WAYS: dict[type[Event], str] = {Acquire: "acquire_nowait", Release: "release_nowait"}


class Boom(Exception):
    """What a machine that is made to crash raises."""


class Thing:
    """One resource."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = 0
        self.checked = 0
        self.reset = 0
        self.holders = 0

    def __repr__(self) -> str:
        return f"<Thing {self.number} closed={self.closed} holders={self.holders}>"


class Fleet:
    """Makes things and counts what becomes of them."""

    def __init__(self) -> None:
        self.things: list[Thing] = []

    async def open(self, *_: Any, **__: Any) -> Thing:
        thing = Thing(len(self.things) + 1)
        self.things.append(thing)
        return thing

    async def close(self, thing: Thing) -> None:
        thing.closed += 1

    async def check(self, thing: Thing) -> None:
        assert not thing.closed
        thing.checked += 1

    async def clean(self, thing: Thing) -> None:
        """Be the reset hook."""
        assert not thing.closed
        thing.reset += 1

    def spec(self, name: str = "db", **fields: Any) -> ResourceSpec[Thing]:
        return ResourceSpec(name, factory=self.open, close=self.close, **fields)

    def live(self) -> list[int]:
        return [thing.number for thing in self.things if not thing.closed]

    def closed(self) -> list[int]:
        return [thing.number for thing in self.things if thing.closed]

    def assert_all_closed_once(self) -> None:
        assert [thing for thing in self.things if thing.closed != 1] == []


def private() -> ResourceMetrics:
    """Return a collector of its own for one manager."""
    return ResourceMetrics(CollectorRegistry())


@asynccontextmanager
async def serving(
    *specs: ResourceSpec[Any], stop: float = 0.0, **options: Any
) -> AsyncIterator[DefaultResourceManager]:
    """Run a manager for a block; then wait `stop` seconds for the leases that are left."""
    options.setdefault("metrics", private())
    manager = DefaultResourceManager(specs, **options)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop(timeout=stop)


async def settled(rounds: int = 50) -> None:
    """Let everything happen that takes no time."""
    for _ in range(rounds):
        await asyncio.sleep(0)


def in_thread(work: Callable[[], object]) -> None:
    """Run `work` on another thread while the loop stands still: what it sends is all queued."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()


async def outcome(work: Awaitable[Any]) -> Any:
    """Return the result, or the error."""
    try:
        return await work
    except Exception as error:
        return error


@contextlib.contextmanager
def crashing(
    patch: pytest.MonkeyPatch,
    kind: type[Event],
    *,
    after: bool = False,
    times: int = 1,
    error: BaseException | None = None,
) -> Iterator[list[Event]]:
    """Make the machine raise in the turn of the next events of this kind; yields those events.

    With `after` it raises once the event has happened, and all its effects are lost.
    """
    hit: list[Event] = []

    def fatal(real: Callable[..., Any]) -> Callable[..., Any]:
        def handler(pool: Any, event: Any, *now: Any) -> Any:
            if len(hit) >= times:
                return real(pool, event, *now)
            if after and real(pool, event, *now) is None and now:
                return None  # not the short way: the machine proper is asked next, and crashes
            hit.append(event)
            raise error or Boom(kind.__name__)

        return handler

    with patch.context() as context:
        context.setitem(machine.HANDLERS, kind, fatal(machine.HANDLERS[kind]))
        shortcut = SHORT_WAYS.get(kind)
        if shortcut is not None:
            context.setattr(pool_actor, shortcut, fatal(getattr(pool_actor, shortcut)))
        yield hit


@contextlib.contextmanager
def failing_effect(patch: pytest.MonkeyPatch, kind: type[Effect]) -> Iterator[list[Any]]:
    """Make the performer raise before it carries out the next effect of this kind."""
    real = performer.PERFORM[kind]
    hit: list[Any] = []

    def perform(actor: Any, effect: Any, message: Any, reply: Any) -> Any:
        if hit:
            return real(actor, effect, message, reply)
        hit.append(effect)
        raise Boom(kind.__name__)

    with patch.context() as context:
        context.setitem(performer.PERFORM, kind, perform)
        yield hit


Totals = dict[str, float]


def totals(manager: DefaultResourceManager, name: str = "db") -> Totals:
    """Return every counter of a type: nothing in it may ever go down."""
    counters = manager._exits[name].state.counters
    flat: Totals = {
        "acquired": counters.acquired,
        "opened": counters.opened,
        "stale": counters.stale,
    }
    for split in ("acquires", "errors", "closed", "cleanups"):
        flat |= {f"{split}.{key}": n for key, n in getattr(counters, split).items()}
    for histogram in ("wait_seconds", "use_seconds", "open_seconds"):
        seen = getattr(counters, histogram)
        flat |= {f"{histogram}.{i}": n for i, n in enumerate(seen.counts)}
        flat[f"{histogram}.total"] = seen.total
    return flat


def fallen(before: Totals, after: Totals) -> dict[str, tuple[float, float]]:
    """Return the counters that went backwards."""
    return {key: (n, after[key]) for key, n in before.items() if after[key] < n}


def restarts(manager: DefaultResourceManager) -> dict[str, int]:
    """Return how often each actor of the manager was restarted, the root's own included."""
    (root,) = manager.tree().children
    return {node.path: node.restarts for node in [root, *root.children]}


async def park(manager: DefaultResourceManager, path: str = "db") -> None:
    """Make an actor crash once more than is forgiven."""
    for _ in range(4):
        crash(manager, path)
        await settled()
    assert manager.cell(path).status == "failed"
