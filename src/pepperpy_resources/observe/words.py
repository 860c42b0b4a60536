"""Words for people: durations, text that is safe on a terminal, colours."""

from __future__ import annotations

from typing import Literal

LONGEST = 300  # characters of a text that came from elsewhere: an error may quote a whole request

Tone = Literal["", "bad", "warn", "good", "dim", "bold"]

_CODES: dict[Tone, str] = {"bad": "1;31", "warn": "33", "good": "32", "dim": "2", "bold": "1"}

# How a status is shown; every other is plain.
TONES: dict[str, Tone] = {
    "failed": "bad",
    "stuck": "bad",
    "restarting": "warn",
    "backing-off": "warn",
    "starting": "warn",
    "stopping": "warn",
    "running": "good",
    "busy": "good",
    "stopped": "dim",
}


def paint(text: str, tone: Tone, *, colour: bool = True) -> str:
    """Return the text in the colour of its tone, or as it is."""
    return f"\x1b[{_CODES[tone]}m{text}\x1b[0m" if colour and tone else text


def clean(text: str, longest: int = LONGEST) -> str:
    r"""Return the text on one line, without what would move a terminal's cursor, and not too long.

    An id or an error may hold anything: `\x1b[2J` clears the screen of whoever looks.
    """
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def escaped(character: str) -> str:
    r"""Return an unprintable character as Python writes it, such as `\n`."""
    return character.encode("unicode_escape").decode()


def span(seconds: float, digits: int = 1) -> str:
    """Return a duration in the two units that suit it; below a minute with so many digits."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{max(0.0, seconds):.{digits}f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
