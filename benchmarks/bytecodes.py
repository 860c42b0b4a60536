"""Executed bytecodes of one cycle by function: a measure that no noise of the machine moves."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

from benchmarks.contenders import FLOOR, Contender, Setting, Worker, load

_PACKAGE = "pepperpy_resources."
_WARM_UP = 200  # cycles: more than the interpreter needs to specialise


async def profile(contender: Contender, setting: Setting) -> str:
    """Return the table of one cycle of the contender, and how it stands to the floor's."""
    counts = await count(contender, setting)
    floor = (await count(FLOOR, setting)).total()
    return "\n".join(_lines(contender, counts, floor))


async def count(contender: Contender, setting: Setting) -> Counter[str]:
    """Return the bytecodes that one cycle without contention executes, by function."""
    async with load(contender)(setting) as worker:
        await worker(0, _WARM_UP, False)
        await _traced(worker, 1)  # Python 3.12 counts a function's bytecodes from its second run
        one, two = await _traced(worker, 1), await _traced(worker, 2)
    return two - one  # without what the worker does before and after its loop


async def _traced(worker: Worker, cycles: int) -> Counter[str]:
    counts: Counter[str] = Counter()

    def on_event(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "opcode":
            counts[_name(frame)] += 1
        return on_event

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return on_event

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        await worker(0, cycles, False)
    finally:
        sys.settrace(before)
    return counts


def _name(frame: FrameType) -> str:
    module = str(frame.f_globals.get("__name__", "?"))
    return f"{module.removeprefix(_PACKAGE)}.{frame.f_code.co_qualname}"


def _lines(contender: Contender, counts: Counter[str], floor: int) -> Iterator[str]:
    yield f"{contender.title}: bytecodes executed by one cycle without contention"
    for name, number in counts.most_common():
        yield f"{number:>6}  {name}"
    total = counts.total()
    yield f"{total:>6}  in all, {total / floor:.2f} × the {floor} of {FLOOR.title}"
