"""A forked child has none of its parent's loops: managers that run there refuse everything."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What runs and can be told that it is in a forked child now."""

    def forked(self) -> None:
        """Refuse everything from now on."""


running: weakref.WeakSet[Forkable] = weakref.WeakSet()


def _after_fork() -> None:
    for manager in tuple(running):
        manager.forked()


if hasattr(os, "register_at_fork"):  # not on Windows, where there is no fork
    os.register_at_fork(after_in_child=_after_fork)
