"""What the demo prints, as text: headings, aligned tables, figures, the verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TextIO

_RULE = 88  # characters

Cells = Sequence[str]


@dataclass(frozen=True)
class Criterion:
    """One thing that must be true for the demo to succeed, and the evidence."""

    claim: str
    held: bool
    evidence: str


@dataclass(frozen=True)
class Paint:
    """Colours, or none."""

    colour: bool

    def bold(self, text: str) -> str:
        """Return the text in bold."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Return the text faint."""
        return self._paint("2", text)

    def good(self, text: str) -> str:
        """Return the text in green."""
        return self._paint("32", text)

    def bad(self, text: str) -> str:
        """Return the text in red."""
        return self._paint("31", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def use_colour(stream: TextIO, *, refused: bool) -> bool:
    """Say whether to colour: only on a terminal, and not against NO_COLOR or the user's word."""
    return not refused and not os.environ.get("NO_COLOR") and stream.isatty()


def heading(title: str, paint: Paint) -> str:
    """Return a section's heading, after an empty line."""
    return f"\n{paint.bold(title)} {paint.dim('-' * (_RULE - len(title) - 1))}"


def table(rows: Sequence[Cells], *, header: Cells = (), indent: str = "  ") -> str:
    """Return rows in aligned columns: the first to the left, the last as it is, others right."""
    every = [*([header] if header else []), *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(every[0]))]
    if header:
        every.insert(1, ["-" * width for width in widths])
    return "\n".join(
        (indent + "  ".join(_align(row, column, widths) for column in range(len(row)))).rstrip()
        for row in every
    )


def _align(row: Cells, column: int, widths: Sequence[int]) -> str:
    return row[column].ljust(widths[0]) if column == 0 else row[column].rjust(widths[column])


def facts(rows: Sequence[tuple[str, str]], indent: str = "  ") -> str:
    """Return names and what is said about each, in two columns to the left."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{indent}{name.ljust(width)}  {said}" for name, said in rows)


def verdict(criteria: Sequence[Criterion], paint: Paint) -> str:
    """Return one line per criterion."""
    width = max(len(criterion.claim) for criterion in criteria)
    return "\n".join(
        f"  {paint.good('ok  ') if one.held else paint.bad('FAIL')}  "
        f"{one.claim.ljust(width)}  {paint.dim(one.evidence)}"
        for one in criteria
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed (nearest rank); 0 if empty."""
    if not values:
        return 0.0
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def size(count: float) -> str:
    """Return a number of bytes in MB."""
    return f"{count / 1e6:,.1f} MB"
