"""What both halves of `make mutants` say: lines as they come, complaints to fail with."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = "pepperpy_resources.core"
JOBS = int(os.environ.get("JOBS") or os.cpu_count() or 1)


def say(*lines: str) -> None:
    """Print at once, for whoever watches a long run."""
    print(*lines, sep="\n", flush=True)
