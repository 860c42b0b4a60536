"""Where a thread is: which calls are shown, and how many."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType

import pytest

from pepperpy_resources.observe import stacks
from pepperpy_resources.observe.stacks import places, stack, task_on, turn_on

HERE = __file__


def deep(calls: int) -> FrameType:
    return deep(calls - 1) if calls else sys._getframe()


def frames_of(calls: int) -> list[FrameType]:
    """Return so many frames of one function, each called by the next."""
    return list(stacks.callers(deep(calls)))[: calls + 1]


def test_the_innermost_six_calls_are_shown() -> None:
    line = deep.__code__.co_firstlineno + 1
    assert places(frames_of(3)) == [f"{HERE}:{line} in deep"] * 4
    assert places(frames_of(9)) == [f"{HERE}:{line} in deep"] * 6


def test_calls_of_ours_are_shown_only_where_there_are_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stacks, "OURS", HERE)
    assert len(places(frames_of(2))) == 3
    there = [*frames_of(2), *list(stacks.callers(sys._getframe()))[1:3]]
    shown = places(there)
    assert len(shown) == 2
    assert not any(place.startswith(HERE) for place in shown)


def test_a_thread_that_is_not_there_is_nowhere() -> None:
    assert stack(None) == []
    assert stack(-1) == []
    assert places([]) == []
    assert turn_on([]) == ("", "")


def test_below_a_callback_of_the_loop_nothing_is_shown() -> None:
    seen: list[list[FrameType]] = []

    async def main() -> None:
        seen.append(list(stacks.callers(sys._getframe())))
        assert task_on(asyncio.get_running_loop()) == "Task-main"

    async def named() -> None:
        await asyncio.create_task(main(), name="Task-main")

    asyncio.run(named())
    assert [frame.f_code.co_name for frame in seen[0]] == ["main"]
    loop = asyncio.new_event_loop()
    assert task_on(loop) == ""
    loop.close()
