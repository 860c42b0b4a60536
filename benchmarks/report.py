"""The table as text."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contenders import CONTENDERS, FLOOR, Contender
from benchmarks.measure import WORKLOADS
from benchmarks.results import Figure, Results

_CELL = 26
_NAME = max(len(each.title) for each in CONTENDERS)


def render(results: Results) -> str:
    """Return the machine, the versions and the table, one line per contender."""
    return "\n".join([*_header(results), "", *_table(results), "", *_notes(results)])


def _header(results: Results) -> Iterator[str]:
    machine = results.machine
    yield f"{machine['python']}, {machine['system']}"
    yield f"{machine['processor']}, load {machine['load']}, traced: {machine['traced']}"
    yield ", ".join(f"{name} {version}" for name, version in results.versions.items())


def _table(results: Results) -> Iterator[str]:
    figures = {(each.contender, each.workload): each for each in results.figures}
    yield " " * _NAME + "".join(f"  {load.title:>{_CELL}}" for load in WORKLOADS)
    yield " " * _NAME + f"  {'µs':>6}{'×':>6}{'min..max':>{_CELL - 12}}" * len(WORKLOADS)
    for contender in CONTENDERS:
        if contender.key in results.missing:
            yield f"{contender.title:<{_NAME}}  missing: {results.missing[contender.key]}"
        elif (contender.key, WORKLOADS[0].title) in figures:
            row = [figures[contender.key, load.title] for load in WORKLOADS]
            yield f"{contender.title:<{_NAME}}{''.join(_cell(contender, each) for each in row)}"


def _cell(contender: Contender, figure: Figure) -> str:
    low, high = figure.ratio_min, figure.ratio_max
    spread = "" if contender is FLOOR else f"{low:.2f}..{high:.2f}"
    return f"  {figure.microseconds:>6.2f}{figure.ratio:>6.2f}{spread:>{_CELL - 12}}"


def _notes(results: Results) -> Iterator[str]:
    yield "One cycle is acquire, hold (one pass of the loop, where it says yield), release."
    yield f"10 fake resources; {results.rounds} interleaved rounds of {results.cycles} cycles."
    yield "µs: median of the rounds. ×: how many times the floor of the same round, median."
