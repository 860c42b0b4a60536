"""Loops that end under a supervisor that was never stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pykka  # noqa: TID253 - actors of a dead loop are taken out by hand

from pepperpy_resources.supervision import ChildSpec, Supervisor


@contextmanager
def abandoned(
    children: Iterable[ChildSpec],
) -> Iterator[tuple[asyncio.AbstractEventLoop, Supervisor]]:
    """Start a supervisor on a loop that nobody runs any more, and never stop it."""
    before = set(pykka.ActorRegistry.get_all())
    loop = asyncio.new_event_loop()
    supervisor = Supervisor(children, name="top")
    loop.run_until_complete(supervisor.start())
    try:
        yield loop, supervisor
    finally:
        loop.close()
        supervisor._require_cell().actor = (
            None  # that it warns when it is collected is not told here
        )
        for ref in set(pykka.ActorRegistry.get_all()) - before:
            pykka.ActorRegistry.unregister(ref)
