"""A listener that takes down what it is told, in short words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pepperpy_resources import DefaultResourceManager, ResourceEvent
from pepperpy_resources.testing.virtual import START

FIELDS = ("resource_id", "slot", "epoch", "ticket", "seconds", "reason", "error")
SIGNS = {"slot": "#", "epoch": "e", "ticket": "t", "seconds": "s="}


def word(event: ResourceEvent) -> str:
    """Say an event in short: when (since the start), what, and what else is known."""
    parts = [f"{event.at - START:g}", str(event.what)]
    for name in FIELDS:
        value = getattr(event, name)
        if isinstance(value, BaseException):
            value = type(value).__name__
        if isinstance(value, float):
            value = f"{value:g}"
        if value is not None:
            parts.append(f"{SIGNS.get(name, '')}{value}")
    return " ".join(parts)


class Notes:
    """What one listener was told."""

    def __init__(self) -> None:
        self.events: list[ResourceEvent] = []

    def __call__(self, event: ResourceEvent) -> None:
        self.events.append(event)

    def take(self) -> list[str]:
        """Return what was told since the last time, in short."""
        words = [word(event) for event in self.events]
        self.events.clear()
        return words

    def kinds(self) -> list[str]:
        """Return what kinds of events were told since the last time."""
        kinds = [str(event.what) for event in self.events]
        self.events.clear()
        return kinds


@contextmanager
def noting(manager: DefaultResourceManager, *types: str) -> Iterator[Notes]:
    """Take down what happens while the block runs."""
    notes = Notes()
    with manager.subscribe(notes, *types):
        yield notes
