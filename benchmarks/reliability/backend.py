"""The server that every pool of the comparison talks to: fake, and as slow or broken as told.

A resource is a connection to it. When the server drops its connections, each knows at once, as a
socket does: a check of a dead one fails without a round trip. What a step costs is a `Pause`:
passes of the loop where a case cancels at every pass, seconds where it measures time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

Pause = Callable[[], Awaitable[None]]


class ConnectionLostError(ConnectionError):
    """The server is gone, or has dropped this connection."""


def ticks(number: int) -> Pause:
    """Return what yields to the loop so many times."""

    async def pause() -> None:
        for _ in range(number):
            await asyncio.sleep(0)

    return pause


def seconds(number: float) -> Pause:
    """Return what waits so many seconds of the loop's time."""
    return lambda: asyncio.sleep(number)


class Resource:
    """One connection, as the server sees it."""

    def __init__(self, number: int) -> None:
        """Open and alive, used by nobody."""
        self.number = number
        self.alive = True  # False: the server dropped it, or the pool closed it
        self.used_by = 0
        self.on_lost: Callable[[], None] | None = None  # for a driver that hears of the loss

    def __repr__(self) -> str:
        return f"<resource {self.number}{'' if self.alive else ', dead'}>"


class Backend:
    """Makes resources, and what the hooks of a pool call."""

    def __init__(self, *, opening: Pause, round_trip: Pause) -> None:
        """Be healthy, with no connection open."""
        self.opening = opening
        self.round_trip = round_trip
        self.made = 0
        self.open: set[Resource] = set()
        self.failing = 0  # so many creations to come fail, after their usual time
        self.hanging = 0  # so many resets to come never return

    async def connect(self) -> Resource:
        """Make a resource; raises `ConnectionLostError` if this creation is to fail."""
        await self.opening()
        if self.failing:
            self.failing -= 1
            raise ConnectionLostError("the server refuses the connection")
        self.made += 1
        resource = Resource(self.made)
        self.open.add(resource)
        return resource

    async def ping(self, resource: Resource) -> None:
        """Ask the server something; raises `ConnectionLostError` at once on a dead resource."""
        if not resource.alive:
            raise ConnectionLostError(f"{resource!r}: this connection is closed")
        await self.round_trip()

    async def check(self, resource: Resource) -> bool:
        """Tell whether the resource is alive."""
        try:
            await self.ping(resource)
        except ConnectionLostError:
            return False
        return True

    async def reset(self, resource: Resource) -> None:
        """Clean the resource; never returns if this reset is to hang."""
        if self.hanging:
            self.hanging -= 1
            await asyncio.get_running_loop().create_future()
        await self.ping(resource)

    async def use(self, resource: Resource) -> None:
        """Work with the resource, as its borrower; an assertion fails if two do at once."""
        assert not resource.used_by, f"{resource!r} has two borrowers"
        resource.used_by += 1
        try:
            await self.ping(resource)
        finally:
            resource.used_by -= 1

    async def close(self, resource: Resource) -> None:
        """Close the resource; a second time does nothing."""
        self.close_now(resource)

    def close_now(self, resource: Resource) -> None:
        """Close the resource without waiting."""
        resource.alive = False
        self.open.discard(resource)

    def drop(self, resources: Iterable[Resource] | None = None) -> None:
        """Drop these connections, or all, as a server does that is restarted."""
        for resource in list(self.open if resources is None else resources):
            resource.alive = False
            self.open.discard(resource)
            if resource.on_lost is not None:
                resource.on_lost()
