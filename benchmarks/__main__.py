"""`python -m benchmarks`: measures, prints the table, and can check the limits."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.bytecodes import profile
from benchmarks.contenders import (
    ACQUIRE,
    CONTENDERS,
    FLOOR,
    OURS,
    CannotOpenError,
    Contender,
    Setting,
    why_missing,
)
from benchmarks.measure import WORKLOADS, measure
from benchmarks.report import render
from benchmarks.results import Results, figure, machine, verdicts, versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 if a limit is broken with --assert, 2 for a wrong option."""
    options = _parser().parse_args(arguments)
    try:
        return _measured(options)
    except CannotOpenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def _measured(options: argparse.Namespace) -> int:
    setting = Setting(dsn=options.dsn)
    if options.profile is not None:
        contender = next(each for each in OURS if each.key == options.profile)
        print(asyncio.run(profile(contender, setting)))
        return 0
    results = _run(options, setting)
    print(render(results))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    if not options.check:
        return 0
    lines = verdicts(results.figures)
    print("", *[line for line, _ in lines], sep="\n")
    return 0 if all(kept for _, kept in lines) else 1


def _run(options: argparse.Namespace, setting: Setting) -> Results:
    wanted = _chosen(options)
    reasons = {each.key: why_missing(each, setting.dsn) for each in wanted}
    missing = {key: reason for key, reason in reasons.items() if reason is not None}
    present = [each for each in wanted if each.key not in missing]

    def progress(done: int) -> None:
        line = f"{len(present)} contenders, round {done} of {options.rounds} done"
        if sys.stderr.isatty():
            print(f"\r{line}", end="\n" if done == options.rounds else "", file=sys.stderr)
        else:
            print(line, file=sys.stderr)

    started_on = machine()  # before the load is our own
    seconds = asyncio.run(
        measure(present, setting, rounds=options.rounds, cycles=options.cycles, progress=progress)
    )
    return Results(
        machine=started_on,
        versions=versions(wanted),
        rounds=options.rounds,
        cycles=options.cycles,
        missing=missing,
        figures=[figure(seconds, each, load) for each in present for load in WORKLOADS],
    )


def _chosen(options: argparse.Namespace) -> list[Contender]:
    if options.only is None:
        return list(CONTENDERS)
    # Every ratio needs the floor, and the limits are those of acquire/release.
    keys = {*options.only, FLOOR.key} | ({ACQUIRE.key} if options.check else set())
    return [each for each in CONTENDERS if each.key in keys]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=f"Measure {_names(CONTENDERS)} in one process."
    )
    add = parser.add_argument
    add("--rounds", type=_count, default=11, help="interleaved rounds (%(default)s)")
    add("--cycles", type=_count, default=20_000, help="of each measurement (%(default)s)")
    add("--only", type=_keys, metavar="A,B", help="only these, and always the floor")
    add("--dsn", help="a PostgreSQL for psycopg_pool; it opens 10 connections")
    add("--json", type=_writable, metavar="FILE", help="write the results there too")
    add(
        "--assert",
        dest="check",
        action="store_true",
        help="exit with 1 if acquire/release costs too many times the floor",
    )
    add(
        "--profile",
        nargs="?",
        const=ACQUIRE.key,
        choices=[each.key for each in OURS],
        help="instead, count the bytecodes that one cycle executes (acquire)",
    )
    return parser


def _names(contenders: Sequence[Contender]) -> str:
    return ", ".join(each.key for each in contenders)


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _keys(text: str) -> list[str]:
    keys = text.split(",")
    known = {each.key for each in CONTENDERS}
    for key in keys:
        if key not in known:
            raise argparse.ArgumentTypeError(f"{key!r} is none of {_names(CONTENDERS)}")
    return keys


def _writable(text: str) -> Path:
    path = Path(text)
    try:
        path.open("a").close()  # found out now, not after the run
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {text!r}: {error.strerror}") from None
    return path


if __name__ == "__main__":
    sys.exit(main())
