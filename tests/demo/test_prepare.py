"""The first phase: what it makes and what it says about it."""

from __future__ import annotations

import itertools
from io import StringIO
from pathlib import Path

import pytest

from pepperpy_resources.demo.corpus import Question
from pepperpy_resources.demo.prepare import NoSourcesError, prepare
from pepperpy_resources.demo.report import Paint
from pepperpy_resources.demo.screen import Screen


@pytest.fixture
def screen() -> Screen:
    return Screen(StringIO(), StringIO(), Paint(colour=False))


def said(screen: Screen) -> str:
    assert isinstance(screen.out, StringIO)
    return screen.out.getvalue()


def test_the_database_and_the_oracle_are_made_and_described(screen: Screen, tmp_path: Path) -> None:
    oracle = prepare(tmp_path / "data", ["json"], screen, lambda: 0.0)
    assert (tmp_path / "data").stat().st_size > 0
    assert Question("file", "json/decoder.py") in oracle
    assert "left out  0 files that are no valid Python on purpose\n" in said(screen)
    assert f"oracle    {len(oracle):,} answers, computed from the sources" in said(screen)


def test_what_there_was_no_time_for_is_said(screen: Screen, tmp_path: Path) -> None:
    clock = itertools.count(0.0, 6.0)  # 6 s a look: the start, the first file, then too late
    oracle = prepare(tmp_path / "data", ["json"], screen, lambda: next(clock))
    assert Question("file", "json/__init__.py") in oracle
    assert "; 4 after 10 s, the test suite being last\n" in said(screen)


def test_without_sources_nothing_is_made(screen: Screen, tmp_path: Path) -> None:
    with pytest.raises(NoSourcesError, match="no source file of the standard library"):
        prepare(tmp_path / "data", ["no_such_package"], screen, lambda: 0.0)
    assert not (tmp_path / "data").exists()
