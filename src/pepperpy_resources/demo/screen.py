"""Where the demo prints: results to one stream, progress to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from pepperpy_resources.demo.progress import Progress
from pepperpy_resources.demo.report import Paint, facts, heading


@dataclass(frozen=True)
class Screen:
    """The two streams and the colours."""

    out: TextIO
    progress_stream: TextIO
    paint: Paint

    def say(self, text: str = "") -> None:
        """Print lines of the report."""
        print(text, file=self.out, flush=True)

    def section(self, title: str) -> None:
        """Print a heading."""
        self.say(heading(title, self.paint))

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names and what is said about each."""
        self.say(facts(rows))

    def progress(self, label: str) -> Progress:
        """Return a new progress line."""
        return Progress(self.progress_stream, label)
