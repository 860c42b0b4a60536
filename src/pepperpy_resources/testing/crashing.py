"""Crashes on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pepperpy_resources.actors.base import Crash

if TYPE_CHECKING:
    from pepperpy_resources.default import DefaultResourceManager


def crash(manager: DefaultResourceManager, path: str) -> None:
    """Make the actor at `path` crash in its next turn.

    `path` is a resource type's name, "janitor", "metrics" or "root". Returns before the crash if
    the actor is busy. Raises `UnknownResourceType` for a path that leads nowhere.
    """
    manager.cell(path).deliver(Crash())
