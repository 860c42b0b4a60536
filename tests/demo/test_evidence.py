"""The figures and the verdict: each thing that can be lost fails its own criterion."""

from __future__ import annotations

from typing import Any

import pytest

from pepperpy_resources.demo.evidence import (
    Evidence,
    FaultCount,
    fault_rows,
    figure_rows,
    judge,
)


def evidence(**different: Any) -> Evidence:
    """Return the evidence of a run in which nothing was lost, but for what is different."""
    values: dict[str, Any] = {
        "connections": 8,
        "seconds": 10.0,
        "leases": 1000,
        "queries": 2000,
        "waits": [0.1] * 98 + [2.0, 3.0],
        "retries": {"a broken connection": 3, "a failed connect": 1},
        "replaced": 5,
        "interrupted": 4,
        "restarts": 2,
        "faults": [FaultCount("lease leaked", 3, 3), FaultCount("close hangs", 1, 1)],
        "opened": 20,
        "closed": 20,
        "closed_twice": 0,
        "usable": 8,
        "descriptors_before": 8,
        "descriptors_after": 0,
        "logged": {"warning": 7},
    }
    return Evidence(**values | different)


def failed(judged: Evidence) -> dict[str, str]:
    return {one.claim: one.evidence for one in judge(judged) if not one.held}


def test_nothing_lost_fails_nothing() -> None:
    assert failed(evidence()) == {}
    assert evidence().lost == 0


@pytest.mark.parametrize(
    ("different", "claim", "shown"),
    [
        (
            {"wrong": ["x"]},
            "every query was answered right",
            "2,000 compared with the oracle, 1 differ",
        ),
        ({"queries": 0}, "every query was answered right", "0 compared with the oracle, 0 differ"),
        ({"closed": 19}, "every connection opened was closed, once", "20 opened, 19 closed"),
        (
            {"closed_twice": 2},
            "every connection opened was closed, once",
            "20 opened, 20 closed, 2 twice",
        ),
        (
            {"descriptors_after": 1},
            "no file descriptor of the database is left",
            "8 open under load, 1 at the end",
        ),
        (
            {"descriptors_before": 0},
            "no file descriptor of the database is left",
            "0 open under load, 0 at the end",
        ),
        (
            {"usable": 7},
            "every place in the pool is still usable",
            "7 of 8 leased at once after the load",
        ),
        (
            {"misused": ["x"]},
            "no connection was lent to two, or after it was spoilt",
            "1,000 leases looked at, 1 wrong",
        ),
        (
            {"faults": [FaultCount("lease leaked", 3, 3), FaultCount("close hangs", 0, 0)]},
            "every kind of fault was injected",
            "1 of 2 kinds, 3 faults",
        ),
        (
            {"faults": [FaultCount("lease leaked", 3, 2)]},
            "every fault was survived",
            "2 of 3 faults",
        ),
        ({"unexplained": ["x"]}, "no error but those of the faults", "4 explained, 1 not"),
    ],
)
def test_each_loss_fails_its_own_criterion(
    different: dict[str, Any], claim: str, shown: str
) -> None:
    assert failed(evidence(**different)) == {claim: shown}


def test_where_descriptors_cannot_be_listed_the_verdict_says_so() -> None:
    judged = evidence(descriptors_before=None, descriptors_after=None)
    assert failed(judged) == {}
    assert "not checked: this system has no /proc/self/fd" in {
        one.evidence for one in judge(judged)
    }
    assert judged.lost == 0


@pytest.mark.parametrize(
    ("different", "lost"),
    [
        ({"closed": 18}, 2),
        ({"descriptors_after": 3}, 3),
        ({"closed": 18, "descriptors_after": 2}, 2),  # the same two, seen from both sides
        ({"usable": 5}, 3),
        ({"closed": 18, "usable": 6}, 4),
    ],
)
def test_lost_resources_are_open_ones_and_missing_places(
    different: dict[str, Any], lost: int
) -> None:
    assert evidence(**different).lost == lost


def test_the_figures() -> None:
    assert figure_rows(evidence()) == [
        ("leases", "1,000"),
        ("leases per second", "100"),
        ("queries answered", "2,000"),
        ("wrong answers", "0"),
        ("wait for a lease, p50", "100.0 ms"),
        ("wait for a lease, p99", "2.00 s"),
        ("connections opened", "20"),
        ("connections closed", "20"),
        ("borrowers cancelled and replaced", "5"),
        ("queries interrupted", "4"),
        ("supervisor restarts", "2"),
        ("faults injected", "4"),
        ("faults survived", "4"),
        ("asked again after a broken connection", "3"),
        ("asked again after a failed connect", "1"),
        ("library log records, warning", "7"),
        ("resources lost", "0"),
    ]


def test_the_faults_by_kind_and_in_all() -> None:
    assert fault_rows(evidence()) == [
        ("lease leaked", "3", "3"),
        ("close hangs", "1", "1"),
        ("all", "4", "4"),
    ]
