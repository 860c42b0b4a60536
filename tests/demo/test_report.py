"""What the report prints."""

from __future__ import annotations

from io import StringIO

import pytest

from pepperpy_resources.demo.report import (
    Criterion,
    Paint,
    duration,
    facts,
    heading,
    percentile,
    size,
    table,
    use_colour,
    verdict,
)

PLAIN = Paint(colour=False)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_is_aligned() -> None:
    rows = [("broken", "7", "7"), ("a supervisor crash", "12", "9")]
    assert table(rows, header=("fault", "injected", "survived")).splitlines() == [
        "  fault               injected  survived",
        "  ------------------  --------  --------",
        "  broken                     7         7",
        "  a supervisor crash        12         9",
    ]


def test_a_table_needs_no_header() -> None:
    assert table([("a", "1"), ("bcd", "10")], indent="") == "a     1\nbcd  10"


def test_facts_are_in_two_columns_to_the_left() -> None:
    assert facts([("read", "12 files"), ("database", "3 MB")]) == (
        "  read      12 files\n  database  3 MB"
    )


def test_a_heading_is_ruled_to_the_same_width_whatever_its_title() -> None:
    assert heading("Figures", PLAIN) == "\nFigures " + "-" * 80
    assert heading("Faults", PLAIN) == "\nFaults " + "-" * 81


def test_the_verdict_says_what_held_and_on_what_evidence() -> None:
    criteria = [
        Criterion("all closed", held=True, evidence="3 opened, 3 closed"),
        Criterion("all answers right", held=False, evidence="1 differs"),
    ]
    assert verdict(criteria, PLAIN).splitlines() == [
        "  ok    all closed         3 opened, 3 closed",
        "  FAIL  all answers right  1 differs",
    ]


def test_colours_are_around_the_words_and_nowhere_without_colour() -> None:
    paint = Paint(colour=True)
    assert paint.good("ok") == "\x1b[32mok\x1b[0m"
    assert paint.bad("FAIL") == "\x1b[31mFAIL\x1b[0m"
    assert paint.bold("a") == "\x1b[1ma\x1b[0m"
    assert paint.dim("a") == "\x1b[2ma\x1b[0m"
    assert PLAIN.good("ok") + PLAIN.bad("b") + PLAIN.bold("c") + PLAIN.dim("d") == "okbcd"


def test_colour_needs_a_terminal_and_nobody_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert use_colour(Terminal(), refused=False)
    assert not use_colour(Terminal(), refused=True)
    assert not use_colour(StringIO(), refused=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour(Terminal(), refused=False)
    monkeypatch.setenv("NO_COLOR", "")  # https://no-color.org: only when not empty
    assert use_colour(Terminal(), refused=False)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, 10.0), (50, 20.0), (51, 30.0), (75, 30.0), (99, 40.0), (100, 40.0)],
)
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([30.0, 10.0, 40.0, 20.0], percent) == expected


def test_nothing_has_the_percentile_zero() -> None:
    assert percentile([], 99) == 0.0


def test_durations_and_sizes_are_in_units_that_suit_them() -> None:
    assert [duration(0.00021), duration(0.0714), duration(1.5)] == ["0.2 ms", "71.4 ms", "1.50 s"]
    assert [size(31_525_224), size(2_000_000_000)] == ["31.5 MB", "2,000.0 MB"]
