"""One line that shows how far something is: redrawn in place on a terminal, else now and then."""

from __future__ import annotations

import shutil
from typing import TextIO

_WIDTH = 12  # characters of the bar: the whole line goes into 80
_PLAIN_LINES = 4  # for the whole, where nothing can be redrawn


class Progress:
    """A progress bar on a text stream.

    On a terminal the line is redrawn in place; elsewhere a plain line is written every quarter.
    """

    def __init__(self, stream: TextIO, label: str) -> None:
        """Draw on `stream`; `label` says what goes on."""
        self._stream = stream
        self._label = label
        self._live = stream.isatty()
        self._shown = ""
        self._plain = [quarter / _PLAIN_LINES for quarter in range(1, _PLAIN_LINES + 1)]

    def show(self, fraction: float, text: str = "") -> None:
        """Show that this fraction (0 to 1) is done; `text` goes behind the bar."""
        fraction = min(max(fraction, 0.0), 1.0)
        line = f"{self._label} {bar(fraction)} {fraction:4.0%}  {text}".rstrip()
        if self._live:
            # A line that wraps cannot be redrawn in place.
            self._redraw(line[: shutil.get_terminal_size().columns - 1])
        elif self._plain and fraction >= self._plain[0]:
            self._plain = [quarter for quarter in self._plain if quarter > fraction]
            print(line, file=self._stream, flush=True)

    def count(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        step = max(1, total // 100)
        if done % step == 0 or done == total:
            self.show(done / total if total else 1.0, f"{done:,} of {total:,}")

    def clear(self) -> None:
        """Take the line away, where it was drawn in place."""
        if self._live:
            self._redraw("")
            self._stream.write("\r")
            self._stream.flush()

    def _redraw(self, line: str) -> None:
        if line == self._shown:
            return
        # Spaces over what the last line had more than this one.
        self._stream.write("\r" + line.ljust(len(self._shown)))
        self._stream.flush()
        self._shown = line


def bar(fraction: float) -> str:
    """Return the bar itself, for a fraction from 0 to 1."""
    full = round(fraction * _WIDTH)
    return "[" + "#" * full + "." * (_WIDTH - full) + "]"
