"""Durations, and text from elsewhere that must not take over a terminal."""

from __future__ import annotations

import pytest

from pepperpy_resources.observe.words import clean, paint, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (-0.5, "0.0 s"),  # a clock that was read twice
        (0.25, "0.2 s"),
        (59.9, "59.9 s"),
        (60.0, "1 min 0 s"),
        (125.7, "2 min 5 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (86399.0, "23 h 59 min"),
        (86400.0, "1 d 0 h"),
        (1_000_000.0, "11 d 13 h"),
    ],
)
def test_a_duration_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_duration_with_more_digits() -> None:
    assert span(0.25, 3) == "0.250 s"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("db:report-7", "db:report-7"),
        ("größer × 2", "größer × 2"),
        ("one\ntwo\r\t", "one\\ntwo\\r\\t"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),  # the same in one character
        ("a\u202eb", "a\\u202eb"),  # writes backwards from here on
        ("\udcff", "\\udcff"),  # a byte of a file name that is no text
    ],
)
def test_what_would_move_the_cursor_is_written_out(given: str, text: str) -> None:
    assert clean(given) == text


def test_a_long_text_is_cut() -> None:
    assert clean("x" * 300) == "x" * 300
    assert clean("x" * 301) == "x" * 299 + "…"
    assert clean("abcdef", 4) == "abc…"


def test_colour() -> None:
    assert paint("text", "bad") == "\x1b[1;31mtext\x1b[0m"
    assert paint("text", "bad", colour=False) == "text"
    assert paint("text", "") == "text"
