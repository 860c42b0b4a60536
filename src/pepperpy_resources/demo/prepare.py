"""The first phase: read the standard library, compute the oracle, write the database file."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from pepperpy_resources.demo.corpus import (
    Corpus,
    Oracle,
    build_oracle,
    find_sources,
    library_root,
    read_corpus,
)
from pepperpy_resources.demo.database import build_database
from pepperpy_resources.demo.report import size
from pepperpy_resources.demo.screen import Screen

READING_BUDGET = 10.0  # seconds


class NoSourcesError(Exception):
    """There is nothing to build the database of."""


def prepare(
    path: Path, packages: Collection[str], screen: Screen, now: Callable[[], float]
) -> Oracle:
    """Write the database file at `path` and return the oracle of what is in it.

    `packages` keeps only these top-level modules and packages of the standard library; empty keeps
    all. `now` is a clock in seconds. Raises NoSourcesError when no file could be read (a Python
    may come without the sources of its library), sqlite3.Error and OSError.
    """
    root = library_root()
    reading = screen.progress("reading")
    corpus = read_corpus(
        root,
        find_sources(root, packages),
        now=now,
        budget=READING_BUDGET,
        on_progress=reading.count,
    )
    reading.clear()
    if not corpus.files:
        raise NoSourcesError(f"no source file of the standard library was found in {root}")
    oracle = build_oracle(corpus.files)
    started = now()
    writing = screen.progress("writing")
    build_database(path, corpus.files, writing.count)
    writing.clear()
    written = size(path.stat().st_size)
    screen.facts(
        [
            *_facts(corpus),
            ("database", f"SQLite {sqlite3.sqlite_version}, {written} in {now() - started:.1f} s"),
            ("oracle", f"{len(oracle):,} answers, computed from the sources"),
        ]
    )
    return oracle


def _facts(corpus: Corpus) -> list[tuple[str, str]]:
    taken = f"{len(corpus.files):,} files, {size(corpus.size)}, {corpus.definition_count:,}"
    left_out = f"{corpus.unreadable:,} files that are no valid Python on purpose"
    if corpus.left_out:
        left_out += f"; {corpus.left_out:,} after {READING_BUDGET:g} s, the test suite being last"
    return [
        ("sources", f"standard library of Python {platform.python_version()}, {corpus.root}"),
        ("read", f"{taken} top-level definitions, in {corpus.seconds:.1f} s"),
        ("left out", left_out),
    ]
