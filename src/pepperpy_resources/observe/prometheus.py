"""The Prometheus collector: one per registry, for any number of managers.

A custom collector and not direct instruments: an observe costs more than half an acquire, gauges
and counters of one scrape agree, and nothing is computed while nobody scrapes. One consequence:
nothing appears in prometheus_client's multiprocess mode; there, one process is one target.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pepperpy_resources.actors.metrics import ManagerFigures
from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.clock import monotonic
from pepperpy_resources.core.counters import BUCKETS
from pepperpy_resources.core.snapshot import Figures
from pepperpy_resources.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from pepperpy_resources.default import DefaultResourceManager

log = logging.getLogger("pepperpy_resources")

SCRAPE_DEADLINE = 1.0  # seconds a scrape waits for a loop that may be stuck
MOST_TYPES = 100  # labels per manager; the rest is summed up as "other"

OTHER = "other"
TYPE = ["manager", "resource_type"]


class ResourceMetrics(Collector):
    """Exports the figures of every manager added to it to one Prometheus registry.

    Raises `UsageError` if the registry has one already: get that with `ResourceMetrics.of`.
    """

    _by_registry: ClassVar[weakref.WeakKeyDictionary[CollectorRegistry, ResourceMetrics]] = (
        weakref.WeakKeyDictionary()
    )
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._managers: dict[str, weakref.ref[DefaultResourceManager]] = {}
        self._last: dict[str, ManagerFigures] = {}
        self._labels: dict[str, set[str]] = {}  # types that have a label of their own, by manager
        with self._lock:
            if registry in self._by_registry:
                raise UsageError(
                    "this registry has a collector already: use ResourceMetrics.of(registry)"
                )
            registry.register(self)
            self._by_registry[registry] = self

    @classmethod
    def of(cls, registry: CollectorRegistry = REGISTRY) -> ResourceMetrics:
        """Return the registry's collector, made on first use."""
        with cls._lock:
            known = cls._by_registry.get(registry)
            return known if known is not None else cls(registry)

    def add(self, manager: DefaultResourceManager) -> None:
        """Export a manager from now on; raises `UsageError` if its name is taken."""
        with self._lock:
            known = self._managers.get(manager.name)
            if known is not None and known() not in (None, manager):
                raise UsageError(
                    f"a running manager is named {manager.name!r} already in this registry: "
                    "give each its own name="
                )
            self._managers[manager.name] = weakref.ref(manager)

    def remove(self, manager: DefaultResourceManager) -> None:
        """Export it no more."""
        with self._lock:
            known = self._managers.get(manager.name)
            if known is not None and known() is manager:
                del self._managers[manager.name]
                self._last.pop(manager.name, None)
                self._labels.pop(manager.name, None)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: skips the registry's collection at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family, from one snapshot per manager; callable from any thread.

        A manager whose loop does not answer within a second is shown by its last snapshot, and by
        `pepperpy_scrape_stale`.
        """
        asked = [(name, self._ask(manager)) for name, manager in self._alive()]
        deadline = monotonic() + SCRAPE_DEADLINE
        scraped = [self._scraped(name, reply, deadline) for name, reply in asked]
        yield from families(scraped, self._labels)

    def _alive(self) -> list[tuple[str, DefaultResourceManager]]:
        with self._lock:
            managers = [(name, ref()) for name, ref in self._managers.items()]
        return [(name, manager) for name, manager in managers if manager is not None]

    def _ask(self, manager: DefaultResourceManager) -> Reply[ManagerFigures] | None:
        try:
            return manager.figures()
        except ResourceError:  # not started yet, or forked
            return None

    def _scraped(self, name: str, reply: Reply[ManagerFigures] | None, deadline: float) -> Scraped:
        """Return the manager's figures, or the last known ones if its loop does not answer."""
        try:
            if reply is not None:
                self._last[name] = reply.get(timeout=max(0.0, deadline - monotonic()))
                return name, self._last[name], True
        except ResourceError as error:  # stuck, restarting, or just ended
            log.debug("no fresh figures of %s: %s", name, error)
        return name, self._last.get(name), False


Scraped = tuple[str, ManagerFigures | None, bool]
"""A manager's name, its figures if any are known, and whether they are of this scrape."""


def families(scraped: list[Scraped], labels: dict[str, set[str]]) -> Iterator[Metric]:
    """Turn snapshots into metric families."""
    stale = GaugeMetricFamily(
        "pepperpy_scrape_stale", "1 when the loop did not answer the scrape.", labels=["manager"]
    )
    for manager, _, fresh in scraped:
        stale.add_metric([manager], 0 if fresh else 1)
    yield stale
    rows = [
        ([manager, label], figure)
        for manager, figures, _ in scraped
        if figures is not None
        for label, figure in labelled(figures.types, labels.setdefault(manager, set()))
    ]
    yield from gauges(rows)
    yield from counters(rows)
    yield from histograms(rows)
    yield from supervisors(scraped, labels)


Rows = list[tuple[list[str], Figures]]


def labelled(types: tuple[Figures, ...], own: set[str]) -> list[tuple[str, Figures]]:
    """Return each type with its label; beyond the limit they are summed up as one.

    A type that once has a label of its `own` keeps it, and one that has not never gets one: its
    figures would leave the sum, and a counter would go backwards.
    """
    rows: list[tuple[str, Figures]] = []
    rest: list[Figures] = []
    for figure in types:
        name = figure.resource_type
        if name != OTHER and (name in own or len(own) < MOST_TYPES):
            own.add(name)
            rows.append((name, figure))
        else:
            rest.append(figure)
    return [*rows, (OTHER, total(rest))] if rest else rows


def gauges(rows: Rows) -> Iterator[Metric]:
    """What goes up and down."""
    active = GaugeMetricFamily("pepperpy_active_resources", "Leased now.", labels=TYPE)
    slots = GaugeMetricFamily("pepperpy_resources", "Slots by state.", labels=[*TYPE, "state"])
    limit = GaugeMetricFamily("pepperpy_resource_limit", "max_size.", labels=TYPE)
    waiting = GaugeMetricFamily("pepperpy_waiting_acquires", "Queued acquires.", labels=TYPE)
    for labels, figure in rows:
        active.add_metric(labels, figure.active)
        limit.add_metric(labels, figure.limit)
        waiting.add_metric(labels, figure.waiting)
        for state, count in figure.slots.items():
            slots.add_metric([*labels, state], count)
    yield from (active, slots, limit, waiting)


def counters(rows: Rows) -> Iterator[Metric]:
    """What only goes up."""
    acquires = CounterMetricFamily(
        "pepperpy_acquires", "Acquires by how they ended.", labels=[*TYPE, "outcome"]
    )
    errors = CounterMetricFamily(
        "pepperpy_resource_errors", "Failures by operation.", labels=[*TYPE, "operation"]
    )
    opened = CounterMetricFamily("pepperpy_resources_opened", "Resources made.", labels=TYPE)
    closed = CounterMetricFamily(
        "pepperpy_resources_closed", "Resources closed, by why.", labels=[*TYPE, "reason"]
    )
    cleanups = CounterMetricFamily(
        "pepperpy_cleanup_runs", "Sweeps and explicit cleanups.", labels=[*TYPE, "trigger"]
    )
    stale = CounterMetricFamily(
        "pepperpy_stale_events", "Messages that came too late to matter.", labels=TYPE
    )
    overdue = CounterMetricFamily(
        "pepperpy_leases_overdue", "Leases held longer than max_hold.", labels=TYPE
    )
    leaked = CounterMetricFamily(
        "pepperpy_leases_leaked", "Leases whose owner ended without a release.", labels=TYPE
    )
    for labels, figure in rows:
        opened.add_metric(labels, figure.opened)
        stale.add_metric(labels, figure.stale)
        overdue.add_metric(labels, figure.overdue)
        leaked.add_metric(labels, figure.leaked)
        split = (
            (acquires, figure.acquires),
            (errors, figure.errors),
            (closed, figure.closed),
            (cleanups, figure.cleanups),
        )
        for family, counts in split:
            for label, count in counts.items():
                family.add_metric([*labels, label], count)
    yield from (acquires, errors, opened, closed, cleanups, stale, overdue, leaked)


def histograms(rows: Rows) -> Iterator[Metric]:
    """How long things took, in seconds."""
    wait = HistogramMetricFamily(
        "pepperpy_resource_acquisition_seconds", "Wait for a lease.", labels=TYPE
    )
    use = HistogramMetricFamily("pepperpy_resource_use_seconds", "Length of leases.", labels=TYPE)
    opening = HistogramMetricFamily(
        "pepperpy_resource_open_seconds", "Length of creations.", labels=TYPE
    )
    for labels, figure in rows:
        for family, (counts, total_seconds) in (
            (wait, figure.wait_seconds),
            (use, figure.use_seconds),
            (opening, figure.open_seconds),
        ):
            family.add_metric(labels, cumulative(counts), total_seconds)
    yield from (wait, use, opening)


def supervisors(scraped: list[Scraped], own: dict[str, set[str]]) -> Iterator[Metric]:
    """The actors themselves."""
    labels = ["manager", "supervisor"]
    restarts = CounterMetricFamily("pepperpy_supervisor_restarts", "Restarts.", labels=labels)
    up = GaugeMetricFamily("pepperpy_supervisor_up", "1 while serving.", labels=labels)
    mailbox = GaugeMetricFamily(
        "pepperpy_mailbox_messages", "Queued messages.", labels=["manager", "actor"]
    )
    for manager, figures, _ in scraped:
        for actor in figures.supervisors if figures is not None else ():
            if not actor.path.startswith(":") and actor.path not in own[manager]:
                continue  # a type without a label of its own
            row = [manager, actor.path.lstrip(":")]
            restarts.add_metric(row, actor.restarts)
            up.add_metric(row, 1 if actor.up else 0)
            mailbox.add_metric(row, actor.mailbox)
    yield from (restarts, up, mailbox)


def cumulative(counts: tuple[int, ...]) -> list[tuple[str, float]]:
    """Return Prometheus's cumulative buckets of plain ones."""
    bounds = [*(repr(bound) for bound in BUCKETS), "+Inf"]
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip(bounds, counts, strict=True):
        below += count
        buckets.append((bound, below))
    return buckets


def total(types: list[Figures]) -> Figures:
    """Sum up figures of several types."""
    return Figures(
        resource_type=OTHER,
        active=sum(f.active for f in types),
        slots=added([f.slots for f in types]),
        limit=sum(f.limit for f in types),
        waiting=sum(f.waiting for f in types),
        oldest_lease_age=max(f.oldest_lease_age for f in types),
        acquires=added([f.acquires for f in types]),
        errors=added([f.errors for f in types]),
        opened=sum(f.opened for f in types),
        closed=added([f.closed for f in types]),
        cleanups=added([f.cleanups for f in types]),
        stale=sum(f.stale for f in types),
        overdue=sum(f.overdue for f in types),
        leaked=sum(f.leaked for f in types),
        wait_seconds=merged([f.wait_seconds for f in types]),
        use_seconds=merged([f.use_seconds for f in types]),
        open_seconds=merged([f.open_seconds for f in types]),
    )


def added(counts: list[dict[str, int]]) -> dict[str, int]:
    """Add dicts of counts with the same keys."""
    return {key: sum(count[key] for count in counts) for key in counts[0]}


def merged(parts: list[tuple[tuple[int, ...], float]]) -> tuple[tuple[int, ...], float]:
    """Add histograms."""
    counts = tuple(sum(column) for column in zip(*(part[0] for part in parts), strict=True))
    return counts, sum(part[1] for part in parts)
