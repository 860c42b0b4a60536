"""Where a thread is: places and actors, never values, which may be secret."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from pepperpy_resources.actors import host
from pepperpy_resources.actors.actor_cell import ActorCell, phase_of
from pepperpy_resources.actors.host import Cell

MOST = 6  # calls shown
# What runs turns; each has `self` and `message`. A turn that awaits is known by its task's name.
TURNS = tuple(x.__code__ for x in (Cell.deliver, Cell.turn_queued, ActorCell._run))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
OURS = f"{Path(host.__file__).parent}{os.sep}"  # the actors' room
CALLBACK = asyncio.events.__file__  # below it is the loop itself


def stack(thread: int | None) -> list[FrameType]:
    """Return the calls of a thread up to the loop that made them, innermost first."""
    # Private by its name, but documented, and the only way to see another thread's frame.
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    frame = None if thread is None else frames.get(thread)
    return list(callers(frame))


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that called it, without those of the loop itself."""
    while frame is not None and frame.f_code.co_filename != CALLBACK:
        yield frame
        frame = frame.f_back


def places(frames: list[FrameType]) -> list[str]:
    """Return the innermost of them as `file:line in function`; of ours only if there are no others.

    What runs an actor's turn or a hook is always the same, and says nothing.
    """
    others = [frame for frame in frames if not frame.f_code.co_filename.startswith(OURS)]
    return [
        f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        for frame in (others or frames)[:MOST]
    ]


def turn_on(frames: list[FrameType]) -> tuple[str, str]:
    """Return the path of the actor whose turn is among these calls, and what it handles.

    Both empty if there is none.
    """
    for frame in frames:
        if frame.f_code in TURNS:
            local = frame.f_locals  # these two names alone are looked at
            cell, message = local.get("self"), local.get("message")
            if isinstance(cell, Cell):
                return cell.path.lstrip(":"), phase_of(message)
    return "", ""


def task_on(loop: asyncio.AbstractEventLoop) -> str:
    """Return the name of the task that runs on a loop, "" if none does."""
    task = asyncio.current_task(loop)
    return "" if task is None else task.get_name()
