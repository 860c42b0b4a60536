"""The commands that look at a running program: `pepperpy-resources tree` and `top`.

Exit status: 0; 1 when there is no program to look at, with one sentence on stderr; 2 for a wrong
command line. Ctrl-C ends `top` with 0, because that is how one leaves it.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOWrapper
from threading import Event
from typing import TextIO

from pepperpy_resources.clock import monotonic
from pepperpy_resources.errors import ResourceError
from pepperpy_resources.observe.client import look
from pepperpy_resources.observe.report import as_text, dot_of, filtered, json_of, trees, troubles
from pepperpy_resources.observe.top import ORDERS, rows, table
from pepperpy_resources.observe.view import View
from pepperpy_resources.observe.words import Tone, clean, paint

TREE = "show the supervision tree of a running program"
TOP = "show the actors of a running program in a table that refreshes"
MORE = "The program must let itself be looked at: manager.inspect()."

SHORTEST, LONGEST = 0.1, 3600.0  # seconds between two tables
STEP = 0.25  # seconds

HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
CLEAR, HIDE_CURSOR, SHOW_CURSOR = "\x1b[2J", "\x1b[?25l", "\x1b[?25h"


def add_tree(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tree`."""
    add_target(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--dot", action="store_true", help="as a graph for Graphviz")
    parser.set_defaults(run=run, show=show_tree)


def add_top(parser: argparse.ArgumentParser) -> None:
    """Add the options of `top`."""
    add_target(parser)
    parser.add_argument(
        "--interval",
        type=interval,
        default=1.0,
        metavar="S",
        help="seconds between two tables (default %(default)s)",
    )
    parser.add_argument(
        "--sort",
        choices=ORDERS,
        default="mailbox",
        help="what comes first: the most of it (default %(default)s)",
    )
    times = parser.add_mutually_exclusive_group()
    times.add_argument("--once", action="store_const", const=1, dest="count", help="one table")
    times.add_argument("--count", type=count, metavar="N", help="so many tables, then end")
    parser.set_defaults(run=run, show=show_top)


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add what both commands take."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="PID|PATH",
        help="which program: its process id, or its socket (default: the only one there is)",
    )
    parser.add_argument("--filter", metavar="GLOB", help="only actors whose path matches")
    parser.add_argument("--no-color", action="store_true", help="no colours, as with NO_COLOR set")


def interval(text: str) -> float:
    """Return the seconds between two tables; raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {SHORTEST:g} to {LONGEST:g}"
        )
    return seconds


def count(text: str) -> int:
    """Return how many tables; raises ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run one of the two commands; return the exit status."""
    out = sys.stdout
    if isinstance(out, TextIOWrapper):  # one that cannot write "└" shall write "?"
        out.reconfigure(errors="replace")
    try:
        arguments.show(arguments)
        out.flush()
    except ResourceError as error:
        print(f"pepperpy-resources {arguments.command}: {clean(str(error), 1000)}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as with `| head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return 0


def show_tree(arguments: argparse.Namespace) -> None:
    """Print the tree once."""
    view = filtered(look(arguments.target), arguments.filter)
    if arguments.json:
        print(json_of(view))
    elif arguments.dot:
        print(dot_of(view))
    else:
        print(as_text(view, colour=colours(arguments)))


def show_top(arguments: argparse.Namespace) -> None:
    """Print tables until Ctrl-C, or as many as are wanted."""
    show = redraw if sys.stdout.isatty() else append
    left = arguments.count or math.inf
    try:
        with hidden_cursor(sys.stdout):
            while True:
                show(look(arguments.target), arguments)
                left -= 1
                if left <= 0:
                    return
                rest(arguments.interval)
    except KeyboardInterrupt:
        print()


def rest(seconds: float) -> None:
    """Wait, in steps: a Ctrl-C that comes just before a wait begins does not end that wait."""
    never, until = Event(), monotonic() + seconds
    while (left := until - monotonic()) > 0:
        never.wait(min(left, STEP))


def redraw(view: View, arguments: argparse.Namespace) -> None:
    """Draw a table over the last one, as large as the terminal."""
    size = shutil.get_terminal_size()
    lines = screen(view, arguments, size.columns, size.lines - 1)
    text = "".join(f"{line}{CLEAR_LINE}\n" for line in lines)
    sys.stdout.write(f"{HOME}{text}{CLEAR_BELOW}")
    sys.stdout.flush()


def append(view: View, arguments: argparse.Namespace) -> None:
    """Print a table below the last one, whole and plain."""
    print("\n".join(screen(view, arguments, 0, 0)), end="\n\n", flush=True)


def screen(view: View, arguments: argparse.Namespace, width: int, height: int) -> list[str]:
    """Return the lines of one table, with what is wrong above it; 0 is no limit."""
    colour = colours(arguments)
    nodes = rows(trees(view), arguments.sort, arguments.filter)
    title = f"process {view.pid} at {view.taken}: {len(nodes)} nodes, by {arguments.sort}"
    above = [paint(title[: width or None], "bold", colour=colour)]
    told: dict[tuple[Tone, str], list[str]] = {}  # once for all that share a loop
    for source in view.sources:
        for trouble in troubles(source):
            told.setdefault(trouble, []).append(source.name)
    for (tone, text), names in told.items():
        line = clean(f"! {', '.join(names)}: {text}")
        above.append(paint(line[: width or None], tone, colour=colour))
    room = max(2, height - len(above)) if height else 0
    return [*above, *table(nodes, width, room, colour=colour)]


def colours(arguments: argparse.Namespace) -> bool:
    """Say whether to colour: only on a terminal, and not against NO_COLOR or the user's word."""
    return not arguments.no_color and not os.environ.get("NO_COLOR") and sys.stdout.isatty()


@contextmanager
def hidden_cursor(stream: TextIO) -> Generator[None]:
    """Clear the terminal and hide its cursor for a block; do nothing where there is none."""
    if not stream.isatty():
        yield
        return
    stream.write(CLEAR + HIDE_CURSOR)
    try:
        yield
    finally:
        stream.write(SHOW_CURSOR)
        stream.flush()
