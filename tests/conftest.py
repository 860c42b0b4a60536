"""What holds for every test: it leaves no actor, no thread and no unseen failure behind."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator

import pykka  # noqa: TID253 - the registry is what is looked at
import pytest

JOIN = 10.0  # seconds a thread that was told to end is given


class LoopErrors(logging.Handler):
    """Collects what asyncio reports when nobody looked at a failure."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture(autouse=True)
def loop_errors() -> Iterator[list[str]]:
    """Fail the test that leaves actors, threads that would delay exit, or unseen exceptions.

    A test in which asyncio is meant to report something takes the list, looks, and clears it.
    """
    threads, actors = set(threading.enumerate()), set(pykka.ActorRegistry.get_all())
    errors = LoopErrors()
    logger = logging.getLogger("asyncio")
    logger.addHandler(errors)
    try:
        yield errors.texts
        gc.collect(0)  # a task that nobody awaited reports its exception when it is collected
    finally:
        logger.removeHandler(errors)
    for thread in set(threading.enumerate()) - threads:
        if not thread.daemon:
            thread.join(JOIN)
            assert not thread.is_alive(), f"left behind: {thread}"
    left = set(pykka.ActorRegistry.get_all()) - actors
    for ref in left:
        pykka.ActorRegistry.unregister(ref)  # the next test is not to blame
    assert not left, f"left behind: {left}"
    assert not errors.texts, "asyncio reported: " + "\n".join(errors.texts)
