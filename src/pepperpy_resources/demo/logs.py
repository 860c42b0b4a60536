"""What the library logs while the demo breaks things: counted and kept, not printed."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager

_KEPT = 20  # of the last records


class LogTally(logging.Handler):
    """Counts log records by level and keeps the last ones as text."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.last: deque[str] = deque(maxlen=_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Count one record."""
        self.counts[record.levelname.lower()] += 1
        self.last.append(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def tallied_logs(name: str) -> Generator[LogTally]:
    """Within the block, tally the records of that logger instead of passing them on."""
    logger = logging.getLogger(name)
    tally = LogTally()
    propagate = logger.propagate
    logger.addHandler(tally)
    logger.propagate = False
    try:
        yield tally
    finally:
        logger.propagate = propagate
        logger.removeHandler(tally)
