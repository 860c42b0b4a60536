"""Scrapes as a Prometheus server sees them: text, parsed by the reference parser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

# prometheus_client leaves these two without annotations.
PARSE: Callable[[str], Any] = parse_openmetrics
FORMAT: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def text(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def families(registry: CollectorRegistry) -> dict[str, Any]:
    return {family.name: family for family in parse_text(text(registry))}


def samples(registry: CollectorRegistry) -> Samples:
    """Return every sample of the text format; the OpenMetrics one must have the same."""
    plain = flat(parse_text(text(registry)))
    assert flat(PARSE(FORMAT(registry).decode())) == plain
    return plain


def flat(parsed: Any) -> Samples:
    found: Samples = {}
    for family in parsed:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"the same series twice: {key}"
            found[key] = sample.value
    return found


def value(seen: Samples, name: str, **labels: str) -> float:
    return seen[name, frozenset(labels.items())]


def buckets(seen: Samples, name: str, **labels: str) -> dict[str, float]:
    """Return a histogram's cumulative buckets."""
    found = {}
    for (sample, given), n in seen.items():
        if sample == f"{name}_bucket" and set(labels.items()) < given:
            found[dict(given)["le"]] = n
    return found
