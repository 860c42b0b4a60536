"""`monitor()`: the figures of a manager as plain data."""

from __future__ import annotations

from typing import Any

from pepperpy_resources.actors.metrics import ManagerFigures
from pepperpy_resources.core.snapshot import Figures


def summary(figures: ManagerFigures) -> dict[str, Any]:
    """Return totals, and the same for each type under `types`; durations in seconds."""
    types = {figure.resource_type: type_summary(figure) for figure in figures.types}
    return {
        "active_resources": sum(figure.active for figure in figures.types),
        "resource_errors": sum(sum(figure.errors.values()) for figure in figures.types),
        "cleanup_runs": sum(sum(figure.cleanups.values()) for figure in figures.types),
        "waiting": sum(figure.waiting for figure in figures.types),
        "restarts": sum(supervisor.restarts for supervisor in figures.supervisors),
        "types": types,
    }


def type_summary(figure: Figures) -> dict[str, Any]:
    """Return one type's figures."""
    return {
        "active": figure.active,
        "slots": {state: n for state, n in figure.slots.items() if n},
        "limit": figure.limit,
        "waiting": figure.waiting,
        "oldest_lease_age": figure.oldest_lease_age,
        "acquires": figure.acquires,
        "errors": figure.errors,
        "opened": figure.opened,
        "closed": figure.closed,
        "overdue": figure.overdue,
        "leaked": figure.leaked,
        "mean_wait": mean(figure.wait_seconds),
        "mean_use": mean(figure.use_seconds),
        "mean_open": mean(figure.open_seconds),
    }


def mean(histogram: tuple[tuple[int, ...], float]) -> float:
    """Return the mean of what a histogram has seen; 0 if nothing."""
    counts, total = histogram
    return total / max(1, sum(counts))
