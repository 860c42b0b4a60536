"""`python -m benchmarks.reliability`: runs the cases, prints the table, writes the document."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import why_missing
from benchmarks.reliability.pools import OURS, POOLS
from benchmarks.reliability.report import Comparison, render, worse
from benchmarks.reliability.run import run
from benchmarks.results import machine, versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 if a peer is better with --assert, 2 for a wrong option."""
    options = _parser().parse_args(arguments)
    missing = {
        pool.key: reason for pool in POOLS if (reason := why_missing(pool, None)) is not None
    }
    present = [pool for pool in POOLS if pool.key not in missing]

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        figures = asyncio.run(run(present, real=options.real, progress=progress))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    comparison = Comparison(machine(), versions(POOLS), missing, figures, options.real)
    document = render(comparison)
    print(document)
    if options.write is not None:
        options.write.write_text(document, encoding="utf-8")
    return 1 if options.check and worse(figures) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability",
        description=f"Run the same cases against {', '.join(pool.title for pool in POOLS)}.",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document there too")
    parser.add_argument(
        "--real", action="store_true", help="in real time: slower, and as noisy as the machine"
    )
    parser.add_argument(
        "--assert",
        dest="check",
        action="store_true",
        help=f"exit with 1 where {OURS.title} is not best or equal",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
