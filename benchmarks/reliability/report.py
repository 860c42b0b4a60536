"""The comparison as Markdown: the table, where ours is not best, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.contenders import Contender
from benchmarks.reliability.cases import CASES
from benchmarks.reliability.figures import Figure
from benchmarks.reliability.pools import OURS, POOLS, REAL_TIME, configuration
from benchmarks.reliability.run import Figures

_ABSENT = Figure("-", None)
_INTRODUCTION = """# Reliability

What a pool does when things go wrong: the same scripted cases against ours and its peers, from one
run. Written by the command; only the table of that run is here.

    make compare-reliability
"""
_METHOD = """## How it is measured

Every pool talks to the same fake server, whose connections are opened, dropped, checked and cleaned
as each case says; where a driver is part of the pool (psycopg_pool, asyncpg, SQLAlchemy) its own
connection class or dialect stands on that server. So the pools are measured, not the drivers or a
network. Each case runs against each pool in a process of its own, stopped after two minutes
("hangs"). Time is virtual: the loop's clock, and `time.monotonic` with it, jumps to the next timer
when nothing else is left to do, so seconds are exact and are the pool's own; jitter is seeded. A
borrower who waits 60 s for nothing is "never" served.

`python -m benchmarks.reliability --real` runs the same in real time; it takes some minutes.
"""


class Comparison(msgspec.Struct, frozen=True):
    """One run."""

    machine: dict[str, str]
    versions: dict[str, str]
    missing: dict[str, str]
    figures: Figures
    real: bool


# What the reader should know of a row in which ours may not be best.
_REASONS = {
    "5. the next in the queue is served after a failed creation": (
        "ours pauses 0.1 s after a failed creation (`backoff`), and then serves both; there the "
        "first borrower got the error"
    ),
    "6. all of 8 borrowers served after all 8 died": (
        "ours opens at most `max_opening` at once, by default 4; there all 8 at once"
    ),
    "19. the same with default settings": (
        "ours opens at most `max_opening` at once, by default 4; there always one at a time"
    ),
}


def measures() -> list[str]:
    """Return the rows of the table, by the number of their case."""
    rows = [measure for case in CASES for measure in case.measures]
    return sorted(rows, key=lambda row: int(row.partition(".")[0]))


def worse(figures: Figures) -> list[tuple[str, list[Contender]]]:
    """Return each measure in which ours is not best or equal, and the pools that are better."""
    found: list[tuple[str, list[Contender]]] = []
    for measure in measures():
        ours = figures[OURS.key, measure].badness
        better = [
            pool
            for pool in POOLS
            if ours is not None
            and (other := figures.get((pool.key, measure), _ABSENT).badness) is not None
            and other < ours
        ]
        if better:
            found.append((measure, better))
    return found


def render(comparison: Comparison) -> str:
    """Return the document."""
    lines = [
        _INTRODUCTION,
        *_header(comparison),
        "",
        *_table(comparison.figures),
        "",
        *_notes(comparison),
        _METHOD,
        *_scripts(),
        "",
        *_configurations(),
    ]
    return "\n".join(lines) + "\n"


def _header(comparison: Comparison) -> Iterator[str]:
    machine = comparison.machine
    yield f"{machine['python']}, {machine['system']}."
    yield ", ".join(f"{name} {version}" for name, version in comparison.versions.items()) + "."


def _table(figures: Figures) -> Iterator[str]:
    rows = [["", *(pool.title for pool in POOLS)]]
    for measure in measures():
        cells = [figures.get((pool.key, measure), _ABSENT).text for pool in POOLS]
        rows.append([measure, *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        yield f"| {' | '.join(cells)} |"


def _notes(comparison: Comparison) -> Iterator[str]:
    for key, reason in comparison.missing.items():
        yield f"- {_title(key)} was not there: {reason}."
    if comparison.real:
        yield "- This run was in real time, so seconds have the noise of the machine in them."
    for (key, case), reason in REAL_TIME.items():
        yield f"- {_title(key)}, {case}: in real time, because {reason}."
    for measure, better in worse(comparison.figures):
        reason = _REASONS.get(measure, "no reason is known")
        yield f'- Not best in "{measure}". Better: {_titles(better)}; {reason}.'
    yield ""


def _scripts() -> Iterator[str]:
    for case in CASES:
        yield f"- **{case.title.removesuffix('.')}.** {case.script}"


def _configurations() -> Iterator[str]:
    yield "## What each pool was configured with"
    yield ""
    for pool in POOLS:
        yield f"- **{pool.title}**: {configuration(pool)}"


def _title(key: str) -> str:
    return _titles(pool for pool in POOLS if pool.key == key)


def _titles(pools: Sequence[Contender] | Iterator[Contender]) -> str:
    return ", ".join(pool.title for pool in pools)
