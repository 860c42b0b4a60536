"""For tests of programs that use this package: virtual time and injected crashes."""

from __future__ import annotations

from pepperpy_resources.testing.crashing import crash
from pepperpy_resources.testing.virtual import VirtualTimeLoop, run

__all__ = ["VirtualTimeLoop", "crash", "run"]
