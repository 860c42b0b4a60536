"""The names, types, labels and buckets that dashboards rely on; written down by hand."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry

from pepperpy_resources import ResourceMetrics
from pepperpy_resources.testing import crash, run
from tests.observe.scraping import buckets, families, samples, text
from tests.supervision.kit import Fleet, serving, settled

TYPE = {"manager", "resource_type"}

# family -> type, labels besides those of the sample's own
EXPECTED: dict[str, tuple[str, set[str]]] = {
    "pepperpy_active_resources": ("gauge", TYPE),
    "pepperpy_resources": ("gauge", TYPE | {"state"}),
    "pepperpy_resource_limit": ("gauge", TYPE),
    "pepperpy_waiting_acquires": ("gauge", TYPE),
    "pepperpy_acquires": ("counter", TYPE | {"outcome"}),
    "pepperpy_resource_errors": ("counter", TYPE | {"operation"}),
    "pepperpy_resources_opened": ("counter", TYPE),
    "pepperpy_resources_closed": ("counter", TYPE | {"reason"}),
    "pepperpy_cleanup_runs": ("counter", TYPE | {"trigger"}),
    "pepperpy_stale_events": ("counter", TYPE),
    "pepperpy_leases_overdue": ("counter", TYPE),
    "pepperpy_leases_leaked": ("counter", TYPE),
    "pepperpy_supervisor_restarts": ("counter", {"manager", "supervisor"}),
    "pepperpy_supervisor_up": ("gauge", {"manager", "supervisor"}),
    "pepperpy_mailbox_messages": ("gauge", {"manager", "actor"}),
    "pepperpy_resource_acquisition_seconds": ("histogram", TYPE | {"le"}),
    "pepperpy_resource_use_seconds": ("histogram", TYPE | {"le"}),
    "pepperpy_resource_open_seconds": ("histogram", TYPE | {"le"}),
    "pepperpy_scrape_stale": ("gauge", {"manager"}),
}

# Every value an enumerated label takes is exported from the beginning, with 0.
ENUMERATED = {
    ("pepperpy_acquires_total", "outcome"): {"ok", "timeout", "cancelled", "refused", "error"},
    ("pepperpy_resource_errors_total", "operation"): {"open", "check", "reset", "close", "use"},
    ("pepperpy_resources_closed_total", "reason"): {
        "idle",
        "lifetime",
        "uses",
        "broken",
        "cleanup",
        "overdue",
        "leaked",
        "resized",
        "shutdown",
    },
    ("pepperpy_cleanup_runs_total", "trigger"): {"janitor", "call"},
    ("pepperpy_resources", "state"): {
        "opening",
        "idle",
        "leased",
        "checking",
        "resetting",
        "closing",
        "detached",
        "abandoned",
    },
}

BOUNDS = [1e-5, 1e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, float("inf")]


def test_names_types_and_labels() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry), name="m"):
            seen = families(registry)
            assert {name: family.type for name, family in seen.items()} == {
                name: kind for name, (kind, _) in EXPECTED.items()
            }
            for name, family in seen.items():
                assert family.documentation.strip()
                labels = set().union(*(sample.labels for sample in family.samples))
                assert labels == EXPECTED[name][1], name
                assert {sample.labels["manager"] for sample in family.samples} == {"m"}

    run(main())


def test_every_enumerated_series_is_there_from_the_beginning() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry)):
            seen = samples(registry)
            for (name, label), values in ENUMERATED.items():
                given = {
                    dict(labels)[label]: n for (sample, labels), n in seen.items() if sample == name
                }
                assert given == dict.fromkeys(values, 0)

    run(main())


def test_supervisors_are_labelled_by_their_paths() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry), name="m") as manager:
            for _ in range(4):
                crash(manager, "db")
                await settled()
            seen = samples(registry)
            up = {
                dict(labels)["supervisor"]: n
                for (sample, labels), n in seen.items()
                if sample == "pepperpy_supervisor_up"
            }
            assert up == {"metrics": 1, "db": 0, "janitor": 1}
            restarts = {
                dict(labels)["supervisor"]: n
                for (sample, labels), n in seen.items()
                if sample == "pepperpy_supervisor_restarts_total"
            }
            assert restarts == {"metrics": 0, "db": 3, "janitor": 0}

    run(main())


def test_buckets() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        async with serving(Fleet().spec(), metrics=ResourceMetrics(registry), name="m"):
            seen = samples(registry)
            for name, (kind, _) in EXPECTED.items():
                if kind == "histogram":
                    found = buckets(seen, name, manager="m", resource_type="db")
                    assert [float(bound) for bound in found] == BOUNDS

    run(main())


def test_promtool_has_no_complaint() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine (Debian: apt-get install prometheus)")

    async def main() -> str:
        registry = CollectorRegistry()
        metrics = ResourceMetrics(registry)
        async with serving(Fleet().spec(), metrics=metrics) as manager, manager.lease("db"):
            return text(registry)

    command = [promtool, "check", "metrics"]
    done = subprocess.run(
        command, input=run(main()), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
