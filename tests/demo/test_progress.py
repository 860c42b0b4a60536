"""The progress line, on a terminal and elsewhere."""

from __future__ import annotations

from io import StringIO

import pytest

from pepperpy_resources.demo.progress import Progress, bar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(("fraction", "full"), [(0.0, 0), (0.5, 6), (1.0, 12)])
def test_the_bar_is_as_full_as_the_fraction(fraction: float, full: int) -> None:
    assert bar(fraction) == "[" + "#" * full + "." * (12 - full) + "]"


def test_a_terminal_line_is_redrawn_in_place_and_taken_away() -> None:
    stream = Terminal()
    progress = Progress(stream, "reading")
    progress.show(0.5, "500 done")
    progress.show(0.5, "500 done")  # nothing new, nothing written
    progress.show(1.0, "ok")
    progress.clear()
    half = f"reading [{'#' * 6}{'.' * 6}]  50%  500 done"
    whole = f"reading [{'#' * 12}] 100%  ok      "
    assert len(half) == len(whole)
    assert stream.getvalue() == f"\r{half}\r{whole}\r{' ' * (len(whole) - 6)}\r"


def test_a_fraction_beyond_the_whole_is_the_whole() -> None:
    stream = Terminal()
    Progress(stream, "reading").show(1.7)
    assert stream.getvalue() == f"\rreading [{'#' * 12}] 100%"


def test_elsewhere_a_plain_line_is_written_every_quarter() -> None:
    stream = StringIO()
    progress = Progress(stream, "reading")
    for done in range(1, 201):
        progress.count(done, 200)
    progress.clear()
    assert [line.split("]")[1] for line in stream.getvalue().splitlines()] == [
        "  25%  50 of 200",
        "  50%  100 of 200",
        "  75%  150 of 200",
        " 100%  200 of 200",
    ]


def test_a_jump_over_quarters_writes_one_line() -> None:
    stream = StringIO()
    progress = Progress(stream, "reading")
    progress.show(0.9)
    progress.show(0.95)
    progress.show(1.0)
    assert [line.split("]")[1] for line in stream.getvalue().splitlines()] == ["  90%", " 100%"]


def test_nothing_to_count_is_done() -> None:
    stream = StringIO()
    Progress(stream, "reading").count(0, 0)
    assert "100%  0 of 0" in stream.getvalue()


def test_a_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    Progress(stream, "reading").show(0.5, "500 of 1,000")
    assert stream.getvalue() == "\rreading [######...."
