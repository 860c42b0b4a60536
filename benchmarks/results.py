"""What the figures say: medians, ratios against the floor of the same round, and the limits."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.contenders import ACQUIRE, CONTENDERS, FLOOR, Contender
from benchmarks.measure import WORKLOADS, Seconds, Workload

# acquire/release costs at most so many times the floor.
LIMITS = {WORKLOADS[0]: 6.0, WORKLOADS[2]: 1.8}


class Figure(msgspec.Struct, frozen=True):
    """One contender at one workload; the ratios are those of each round against the floor."""

    contender: str
    workload: str
    microseconds: float  # median
    ratio: float  # median
    ratio_min: float
    ratio_max: float


class Results(msgspec.Struct, frozen=True):
    """Everything that is printed, and what `--json` writes."""

    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    cycles: int
    missing: dict[str, str]
    figures: list[Figure]


def figure(seconds: Seconds, contender: Contender, workload: Workload) -> Figure:
    """Return the medians and the spread of one contender at one workload."""
    own = seconds[contender, workload]
    ratios = [a / b for a, b in zip(own, seconds[FLOOR, workload], strict=True)]
    return Figure(
        contender=contender.key,
        workload=workload.title,
        microseconds=median(own) * 1e6,
        ratio=median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
    )


def verdicts(figures: Iterable[Figure]) -> list[tuple[str, bool]]:
    """Return a line for each limit of acquire/release, and whether it is kept."""
    ratios = {(each.contender, each.workload): each for each in figures}
    lines: list[tuple[str, bool]] = []
    for workload, limit in LIMITS.items():
        one = ratios[ACQUIRE.key, workload.title]
        kept = one.ratio <= limit
        line = (
            f"{'kept' if kept else 'BROKEN'}: acquire/release at {workload.title}: "
            f"{one.ratio:.2f} × LifoQueue ({one.ratio_min:.2f}..{one.ratio_max:.2f}), "
            f"limit {limit} ×"
        )
        lines.append((line, kept))
    return lines


def machine() -> dict[str, str]:
    """Return where this runs; the load says how busy others keep it."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
        "traced": "yes: a debugger or coverage slows this run" if sys.gettrace() else "no",
    }


def versions(contenders: Iterable[Contender] = CONTENDERS) -> dict[str, str]:
    """Return the versions of ours, of what it stands on and of the contenders' packages."""
    names = ["pepperpy-resources", "pykka", "msgspec"]
    names += [name for each in contenders for name in each.packages]
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere the platform module knows
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
