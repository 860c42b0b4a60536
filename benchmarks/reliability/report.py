"""The comparison as Markdown: the table, where ours is not best or trades, how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

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


class Trade(NamedTuple):
    """A row in which ours chose a middle, and what it would be with the other setting."""

    by_default: str
    instead: str
    text: str  # with places for the two figures


# Rows that ask opposite things of one setting: they show what it does, not which pool is better.
TRADES = (
    Trade(
        "6. all of 8 borrowers served after all 8 died, default settings",
        "6. all of 8 borrowers served after all 8 died, 8 creations at once",
        "After the outage of case 6, `max_opening=4` replaces the 8 dead resources in two rounds: "
        "all 8 borrowers are served after {}. `max_opening=8` needs one round: {}.",
    ),
    Trade(
        "19. resources made for 50 borrowers, default settings",
        "19. resources made for 50 borrowers, one creation at a time",
        "In the spike of case 19, `max_opening=4` begins 4 creations for those who wait, though "
        "the 5 resources that are there serve everybody before one of them is done: {} resources "
        "were made. `max_opening=1` begins one: {}.",
    ),
)
_TRADES = """## Where ours trades

How many creations may run at once? Many end an outage sooner; few keep a spike from opening what
nobody needs a moment later. Ours has a setting for it, `max_opening`; its default of 4 is a middle
and so the best at neither. From the same run:
"""


def measures() -> list[str]:
    """Return the rows of the comparison, by the number of their case."""
    elsewhere = {TRADES[0].by_default, TRADES[0].instead, TRADES[1].by_default}
    rows = [row for case in CASES for row in case.measures if row not in elsewhere]
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
        *_table(comparison.figures, measures()),
        "",
        *_notes(comparison),
        *_trades(comparison.figures),
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


def _table(figures: Figures, measures: Sequence[str]) -> Iterator[str]:
    rows = [["", *(pool.title for pool in POOLS)]]
    for measure in measures:
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
        yield f'- Not best in "{measure}". Better: {_titles(better)}.'
    yield ""


def _trades(figures: Figures) -> Iterator[str]:
    yield _TRADES
    for trade in TRADES:
        ours = [figures.get((OURS.key, row), _ABSENT).text for row in trade[:2]]
        yield f"- {trade.text.format(*ours)}"
    yield ""
    yield from _table(figures, [trade.by_default for trade in TRADES])
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
