"""The interface every resource manager implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class ResourceManager(ABC):
    """Leases resources by id. `DefaultResourceManager` is the implementation."""

    @abstractmethod
    async def acquire(self, resource_id: str, **kwargs: Any) -> Any:
        """Return the resource, leased to the caller until `release`."""

    @abstractmethod
    async def release(self, resource_id: str) -> None:
        """Give the resource back."""

    @abstractmethod
    async def cleanup(self, pattern: str | None = None) -> None:
        """Take the resources that match out now; None takes all."""

    @abstractmethod
    async def monitor(self) -> dict[str, Any]:
        """Return the figures of this moment."""
