"""The command line: `pepperpy-resources demo`, `tree` and `top`.

Exit status: 0 when nothing was lost; 1 when something was, or the command could not run; 2 for a
wrong command line; 130 when interrupted, but 0 for `top`, which is left that way.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

_NAME = "pepperpy-resources"
_INTERRUPTED = 130  # what a shell says of a program ended by Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; `argv` is without the program's name.

    Raises SystemExit for --help, --version (0) and a wrong command line (2), as argparse does.
    """
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        return status
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    from pepperpy_resources.observe.command import MORE, TOP, TREE, add_top, add_tree

    parser = argparse.ArgumentParser(
        prog=_NAME, description="An actor-model resource supervisor for asyncio."
    )
    parser.add_argument("--version", action="version", version=f"{_NAME} {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_demo(commands.add_parser("demo", help=_DEMO, description=f"{_DEMO}. {_DEMO_MORE}"))
    for name, what, add in (("tree", TREE, add_tree), ("top", TOP, add_top)):
        add(commands.add_parser(name, help=what, description=f"{what}. {MORE}"))
    return parser


_DEMO = "lease real SQLite connections under load while everything around them breaks"
_DEMO_MORE = (
    "Builds a database of the interpreter's own standard library in a temporary folder, queries it "
    "from hundreds of tasks, injects faults, and counts for itself. Exit status 0 only if nothing "
    "was lost."
)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    from pepperpy_resources.demo.options import LIMITS, Options

    default = Options()
    numbers: list[tuple[str, Callable[[str], float], str]] = [
        ("seconds", float, "how long the load lasts"),
        ("tasks", int, "concurrent borrowers"),
        ("connections", int, "size of the pool"),
    ]
    for name, kind, meaning in numbers:
        low, high = LIMITS[name]
        parser.add_argument(
            f"--{name}",
            type=_between(kind, low, high),
            default=getattr(default, name),
            metavar="N",
            help=f"{meaning}: {low:g} to {high:g} (default %(default)s)",
        )
    parser.add_argument(
        "--seed",
        type=int,
        default=default.seed,
        metavar="N",
        help="of the faults and of the questions asked (default %(default)s)",
    )
    parser.add_argument("--no-color", action="store_true", help="no colours, as with NO_COLOR set")
    parser.set_defaults(run=_demo)
    # For tests: only these top-level modules and packages of the standard library.
    parser.add_argument("--packages", type=_packages, default=(), help=argparse.SUPPRESS)


def _between(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return number

    return parse


def _packages(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in sys.stdlib_module_names:
            raise argparse.ArgumentTypeError(
                f"no package of the standard library is called {name!r}"
            )
    return names


def _demo(arguments: argparse.Namespace) -> int:
    from pepperpy_resources.demo.options import Options
    from pepperpy_resources.demo.prepare import NoSourcesError
    from pepperpy_resources.demo.report import Paint, use_colour
    from pepperpy_resources.demo.run import run
    from pepperpy_resources.demo.screen import Screen

    options = Options(
        seconds=arguments.seconds,
        tasks=arguments.tasks,
        connections=arguments.connections,
        seed=arguments.seed,
        packages=arguments.packages,
    )
    colour = use_colour(sys.stdout, refused=arguments.no_color)
    screen = Screen(sys.stdout, sys.stderr, Paint(colour))
    screen.say(screen.paint.bold(f"{_NAME} {_version()}: the main job, on real SQLite"))
    try:
        return 0 if run(options, screen) else 1
    except (NoSourcesError, OSError, sqlite3.Error) as error:
        print(f"{_NAME} demo: cannot run: {error}", file=sys.stderr)
        return 1


def _version() -> str:
    try:
        return version(_NAME)
    except PackageNotFoundError:
        return "(not installed)"
