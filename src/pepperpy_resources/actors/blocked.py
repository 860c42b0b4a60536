"""Which task cannot go on before another has ended, read from what asyncio keeps.

asyncio does not say so itself, hence this looks at the done-callbacks that its own `await`,
`gather`, `wait`, `wait_for`, `shield` and `TaskGroup` leave at a future. What it does not recognise
it takes for no wait at all.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any


def is_blocked_by(waiting: asyncio.Task[Any], future: asyncio.Future[Any]) -> bool:
    """Tell whether a task waits, perhaps through other tasks, for this future to be done."""
    todo, seen = [future], set[int]()
    while todo:
        each = todo.pop()
        if each is waiting:
            return True
        if id(each) not in seen:
            seen.add(id(each))
            for callback, *_ in getattr(each, "_callbacks", None) or ():
                todo.extend(woken_by(callback))
    return False


def woken_by(callback: Any) -> Iterator[asyncio.Future[Any]]:
    """Give the futures that go on only after this callback of asyncio's own."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):  # it awaits the future itself
        yield owner
    elif isinstance(owner, asyncio.TaskGroup):
        yield from futures(getattr(owner, "_parent_task", None))
    elif isinstance(callback, functools.partial):  # `wait_for`, before Python 3.12
        if is_asyncio(callback.func):
            yield from futures(*callback.args)
    elif is_asyncio(callback):
        kept = [cell.cell_contents for cell in callback.__closure__ or ()]
        if asyncio.FIRST_COMPLETED not in kept:  # else another may end the wait
            yield from futures(*kept)


def is_asyncio(function: Any) -> bool:
    """Tell whether it is a plain function of asyncio."""
    module = str(getattr(function, "__module__", ""))
    return hasattr(function, "__closure__") and module.partition(".")[0] == "asyncio"


def futures(*values: Any) -> Iterator[asyncio.Future[Any]]:
    """Give the futures among these."""
    for value in values:
        if isinstance(value, asyncio.Future):
            yield value
