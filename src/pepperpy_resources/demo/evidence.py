"""What a run left to be judged: the demo's own counts, and the tables and the verdict they make.

Pure: a run fills in `Evidence`, everything else here only reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pepperpy_resources.demo.report import Criterion, duration, percentile


@dataclass(frozen=True)
class FaultCount:
    """One kind of fault: how often it was injected, and how often the pool got over it."""

    kind: str
    injected: int
    survived: int


@dataclass(kw_only=True)
class Evidence:
    """The figures of one run."""

    connections: int  # places in the pool
    seconds: float = 0.0  # that the load lasted
    leases: int = 0
    queries: int = 0
    waits: Sequence[float] = ()  # seconds from asking for a lease to having it
    retries: dict[str, int] = field(default_factory=dict[str, int])  # by what explains them
    replaced: int = 0  # borrowers cancelled, another took the place of each
    interrupted: int = 0  # their queries that sqlite3 says were cut in the middle
    restarts: int = 0
    faults: Sequence[FaultCount] = ()
    opened: int = 0
    closed: int = 0
    closed_twice: int = 0
    usable: int = 0  # connections that could be leased all at once when the load was over
    descriptors_before: int | None = None  # open on the database under load; None: not available
    descriptors_after: int | None = None
    wrong: Sequence[str] = ()
    misused: Sequence[str] = ()
    unexplained: Sequence[str] = ()
    logged: dict[str, int] = field(default_factory=dict[str, int])  # by the library, by level
    last_logged: Sequence[str] = ()

    @property
    def lost(self) -> int:
        """Resources lost: never closed, still open in the process, or a place no longer usable."""
        unclosed = max(self.opened - self.closed, self.descriptors_after or 0)
        return unclosed + self.connections - self.usable


def judge(evidence: Evidence) -> list[Criterion]:
    """Return what must be true for "nothing was lost", and whether it is."""
    injected = sum(fault.injected for fault in evidence.faults)
    survived = sum(fault.survived for fault in evidence.faults)
    kinds = sum(fault.injected > 0 for fault in evidence.faults)
    twice = f", {evidence.closed_twice} twice" if evidence.closed_twice else ""
    return [
        Criterion(
            "every query was answered right",
            evidence.queries > 0 and not evidence.wrong,
            f"{evidence.queries:,} compared with the oracle, {len(evidence.wrong):,} differ",
        ),
        Criterion(
            "every connection opened was closed, once",
            evidence.opened == evidence.closed and not evidence.closed_twice,
            f"{evidence.opened:,} opened, {evidence.closed:,} closed{twice}",
        ),
        _descriptors(evidence),
        Criterion(
            "every place in the pool is still usable",
            evidence.usable == evidence.connections,
            f"{evidence.usable} of {evidence.connections} leased at once after the load",
        ),
        Criterion(
            "no connection was lent to two, or after it was spoilt",
            not evidence.misused,
            f"{evidence.leases:,} leases looked at, {len(evidence.misused):,} wrong",
        ),
        Criterion(
            "every kind of fault was injected",
            kinds == len(evidence.faults),
            f"{kinds} of {len(evidence.faults)} kinds, {injected} faults",
        ),
        Criterion(
            "every fault was survived", survived == injected, f"{survived} of {injected} faults"
        ),
        Criterion(
            "no error but those of the faults",
            not evidence.unexplained,
            f"{sum(evidence.retries.values())} explained, {len(evidence.unexplained)} not",
        ),
    ]


def _descriptors(evidence: Evidence) -> Criterion:
    claim = "no file descriptor of the database is left"
    before, after = evidence.descriptors_before, evidence.descriptors_after
    if before is None or after is None:
        return Criterion(claim, True, "not checked: this system has no /proc/self/fd")
    # 0 under load would mean that the check cannot see them: then 0 at the end says nothing.
    return Criterion(
        claim, before > 0 and after == 0, f"{before} open under load, {after} at the end"
    )


def figure_rows(evidence: Evidence) -> list[tuple[str, str]]:
    """Return the figures of the run, each with its name."""
    rate = evidence.leases / evidence.seconds if evidence.seconds else 0.0
    return [
        ("leases", f"{evidence.leases:,}"),
        ("leases per second", f"{rate:,.0f}"),
        ("queries answered", f"{evidence.queries:,}"),
        ("wrong answers", f"{len(evidence.wrong):,}"),
        ("wait for a lease, p50", duration(percentile(evidence.waits, 50))),
        ("wait for a lease, p99", duration(percentile(evidence.waits, 99))),
        ("connections opened", f"{evidence.opened:,}"),
        ("connections closed", f"{evidence.closed:,}"),
        ("borrowers cancelled and replaced", f"{evidence.replaced:,}"),
        ("queries interrupted", f"{evidence.interrupted:,}"),
        ("supervisor restarts", f"{evidence.restarts:,}"),
        ("faults injected", f"{sum(fault.injected for fault in evidence.faults):,}"),
        ("faults survived", f"{sum(fault.survived for fault in evidence.faults):,}"),
        *((f"asked again after {name}", f"{n:,}") for name, n in sorted(evidence.retries.items())),
        *(
            (f"library log records, {name}", f"{n:,}")
            for name, n in sorted(evidence.logged.items())
        ),
        ("resources lost", f"{evidence.lost:,}"),
    ]


def fault_rows(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Return one row per kind of fault, and the sum."""
    rows = [(one.kind, str(one.injected), str(one.survived)) for one in evidence.faults]
    injected = sum(fault.injected for fault in evidence.faults)
    survived = sum(fault.survived for fault in evidence.faults)
    return [*rows, ("all", str(injected), str(survived))]
