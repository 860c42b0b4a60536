"""Counts steps instead of time: a claim like "O(1)" then holds on any machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(call: Callable[[], Any]) -> int:
    """Return how many lines of Python one call executes."""
    count = 0

    def trace(_frame: FrameType, what: str, _value: Any) -> Any:
        nonlocal count
        count += what == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
