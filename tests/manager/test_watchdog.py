"""The watchdog: an inline hook that blocks the loop is named while it still does (law 4)."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.actors import watchdog
from pepperpy_resources.actors.watchdog import Watchdog, guard, position
from pepperpy_resources.testing import run
from tests.helpers import serving

SOON = 20.0  # seconds of real time something that takes a tenth of one may take here


class Warned(logging.Handler):
    """Hears what the watchdog says, and lets the hook go that waits for it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []
        self.heard = threading.Lock()  # released when something was said
        self.heard.acquire()

    def emit(self, record: logging.LogRecord) -> None:
        if "blocked the event loop" in record.msg:
            self.records.append(record)
            self.heard.release()

    def block(self) -> None:
        """Block until the watchdog has spoken; fails if it does not."""
        # A lock's own method, so that no frame but this one is on top of the stack.
        assert self.heard.acquire(timeout=SOON), "the watchdog said nothing"


@pytest.fixture
def warned() -> Iterator[Warned]:
    handler = Warned()
    logger = logging.getLogger("pepperpy_resources")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


def dogs() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "pepperpy-watchdog"}


def gone(threads: set[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(SOON)
    return not any(thread.is_alive() for thread in threads)


def hooks(blocking: str, block: Callable[[], None]) -> dict[str, Any]:
    """Return plain def hooks, one of which blocks in its first call."""
    left = [blocking]

    def hook(name: str) -> None:
        if name in left:
            left.remove(name)
            block()

    def connect() -> object:
        hook("open")
        return object()

    return {
        "factory": connect,
        "check": lambda _: hook("check"),
        "reset": lambda _: hook("reset"),
        "close": lambda _: hook("close"),
        "on_acquire": lambda _: hook("on_acquire"),
        "fresh_for": 0,
    }


@pytest.mark.parametrize("hook", ["open", "check", "reset", "close", "on_acquire"])
def test_a_hook_that_blocks_the_loop_is_named_once_while_it_does(hook: str, warned: Warned) -> None:
    async def main() -> None:
        spec = ResourceSpec("db", max_size=1, **hooks(hook, warned.block))
        async with serving(spec) as manager:
            for number in range(3):
                await manager.acquire(f"db:{number}")
                await manager.release(f"db:{number}")
                await asyncio.sleep(0.01)  # no longer fresh: the next has it checked

    asyncio.run(main())
    (record,) = warned.records
    line = Warned.block.__code__.co_firstlineno + 3
    where = f"{__file__}:{line} in Warned.block"
    text = record.getMessage()
    assert text.startswith(f"{hook} of db#1 has blocked the event loop for 0.")
    assert f"s and still does, at {where}: " in text
    assert "set offload=True in the spec of 'db'" in text
    assert record.levelno == logging.WARNING
    assert record.threadName == "pepperpy-watchdog"


def test_the_seconds_are_real_even_where_the_loop_s_are_not(warned: Warned) -> None:
    async def main() -> None:
        async with serving(ResourceSpec("db", **hooks("open", warned.block))) as manager:
            await manager.acquire("db:a")

    run(main())
    (record,) = warned.records
    args: Any = record.args
    assert 0.1 < args[2] < SOON


def test_each_call_is_named_anew(warned: Warned) -> None:
    async def main() -> None:
        def connect() -> object:
            warned.block()
            return object()

        async with serving(ResourceSpec("db", factory=connect)) as manager:
            await manager.acquire("db:a")
            await manager.acquire("db:b")

    asyncio.run(main())
    names = [record.getMessage().partition(" has")[0] for record in warned.records]
    assert names == ["open of db#1", "open of db#2"]


def test_entering_and_leaving_a_generator_are_its_factory_s_and_are_watched(
    warned: Warned,
) -> None:
    async def main() -> None:
        def connect() -> Iterator[str]:
            warned.block()
            yield "resource"
            warned.block()

        spec: ResourceSpec[str] = ResourceSpec("db", factory=connect)
        async with serving(spec) as manager:
            await manager.acquire("db:a")

    asyncio.run(main())
    names = [record.getMessage().partition(" has")[0] for record in warned.records]
    assert names == ["open of db#1", "close of db#1"]


def test_a_hook_that_fails_after_it_blocked_is_over_all_the_same(warned: Warned) -> None:
    async def main() -> None:
        def check(_: object) -> None:
            warned.block()
            raise ValueError

        spec: ResourceSpec[object] = ResourceSpec("db", factory=object, check=check, fresh_for=0)
        async with serving(spec) as manager:
            async with manager.lease("db"):
                pass
            await asyncio.sleep(0.01)
            async with manager.lease("db"):
                root = manager._root
                assert root is not None
                assert root.watchdog.over is root.watchdog.latest

    asyncio.run(main())
    assert len(warned.records) == 1


@pytest.mark.parametrize("broken", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_log_that_raises_does_not_end_the_watchdog(
    broken: type[BaseException], warned: Warned
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        if "blocked the event loop" in record.msg:
            warned.heard.release()
            raise broken
        return True

    async def main() -> None:
        def connect() -> object:
            warned.block()
            return object()

        before = dogs()
        async with serving(ResourceSpec("db", factory=connect)) as manager:
            await manager.acquire("db:a")
            (dog,) = dogs() - before
            await manager.acquire("db:b")
            assert dog.is_alive()

    logger = logging.getLogger("pepperpy_resources")
    logger.addFilter(refuse)
    try:
        asyncio.run(main())
    finally:
        logger.removeFilter(refuse)


# -- the thread


def test_there_is_one_thread_a_manager_and_it_ends_with_it() -> None:
    async def main() -> None:
        before = dogs()
        first: ResourceSpec[object] = ResourceSpec("first", factory=object)
        second: ResourceSpec[object] = ResourceSpec("second", factory=object)
        third: ResourceSpec[object] = ResourceSpec("third", factory=object)
        async with serving(first, second) as manager:
            manager.add_type(third)
            for name in ("first", "second", "third"):
                await manager.acquire(f"{name}:a")
            started = dogs() - before
            assert [thread.daemon for thread in started] == [True]
        assert gone(started)

    asyncio.run(main())


def test_there_is_none_where_no_inline_hook_is_plain() -> None:
    async def main() -> None:
        async def connect() -> object:
            return object()

        async def look(_: object) -> None:
            pass

        before = dogs()
        names = ("async", "offload", "bound")
        specs = [
            ResourceSpec("async", factory=connect, check=look, reset=look, close=look),
            ResourceSpec("offload", offload=True, **hooks("none", lambda: None)),
            ResourceSpec("bound", thread_bound=True, **hooks("none", lambda: None)),
        ]
        async with serving(*specs) as manager:
            for name in names:
                for _ in range(2):
                    async with manager.lease(name, discard=True):
                        pass
            assert dogs() == before
            plain: ResourceSpec[object] = ResourceSpec("plain", factory=connect, check=id)
            manager.add_type(plain)
            async with manager.lease("plain"):
                pass
            assert dogs() == before  # its one plain hook has not been called yet
            await asyncio.sleep(0.6)  # half a second: no longer fresh
            async with manager.lease("plain"):
                pass
            assert len(dogs() - before) == 1

    asyncio.run(main())


def test_it_ends_with_a_manager_that_was_dropped_while_it_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "AWAKE", 0.0)
    before = dogs()

    async def main() -> weakref.ref[DefaultResourceManager]:
        manager = DefaultResourceManager([ResourceSpec("db", factory=object)])
        await manager.start()
        await manager.acquire("db:a")
        root = manager._root
        assert root is not None
        while not root.watchdog.asleep:  # noqa: ASYNC110 - its thread brings it about
            await asyncio.sleep(0.001)
        for cell in root.host.cells:
            if cell.actor is not None:
                cell.actor.unregister()  # nobody else tidies up after a manager like this one
        return weakref.ref(manager)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        dropped = asyncio.run(main())
        (dog,) = dogs() - before
        gc.collect()
    assert dropped() is None
    assert gone({dog})


def test_a_process_without_a_thread_to_spare_runs_its_hooks_unwatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        async with serving(ResourceSpec("db", factory=object)) as manager:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                await manager.acquire("db:a")
            await manager.acquire("db:b")
            assert (await manager.monitor())["types"]["db"]["errors"]["open"] == 0

    asyncio.run(main())


# -- when it looks, when it sleeps: the whole life of the thread, on this one


LOOK = 1 / 16  # seconds, in place of the real one: exact as a float


class Wake:
    """In a queue's place: each `get` is one look further on a clock that only it moves."""

    def __init__(self, *script: Callable[[], None]) -> None:
        self.script = list(script)
        self.timeouts: list[float | None] = []
        self.now = 100.0

    def get(self, timeout: float | None = None) -> None:
        self.timeouts.append(timeout)
        self.now += timeout or 3600.0
        self.script.pop(0)()
        if timeout is not None:
            raise Empty

    def put(self, _: None) -> None:
        pass


def lone() -> Watchdog:
    """Return a watchdog that starts no thread: it takes this one for its own."""
    dog = Watchdog()
    dog._thread = threading.current_thread()
    return dog


def watch(monkeypatch: pytest.MonkeyPatch, dog: Watchdog, wake: Any) -> list[float | None]:
    """Let the thread's function run its course; return how long each sleep was to be at most."""
    monkeypatch.setattr(watchdog, "LOOK", LOOK)
    monkeypatch.setattr(watchdog, "monotonic", lambda: wake.now)
    guard(weakref.ref(dog), wake)
    timeouts: list[float | None] = wake.timeouts
    return timeouts


def nothing() -> None:
    pass


def test_a_short_hook_is_not_named_and_a_long_one_is_once_it_is_long(
    monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    dog = lone()
    told: list[int] = []

    def look() -> None:
        told.append(len(warned.records))

    wake: Any = Wake(look, look, look, look, look, dog.end)
    monkeypatch.setattr(watchdog, "monotonic", lambda: wake.now)
    dog.run("db", "check", 7, lambda: watch(monkeypatch, dog, wake))
    # 1/16 s is no tenth of a second; 2/16 are, and it is named then, and once.
    assert told == [0, 0, 1, 1, 1]
    (record,) = warned.records
    assert record.getMessage().startswith("check of db#7 has blocked the event loop for 0.125 s")


def test_it_sleeps_without_waking_up_once_no_hook_has_been_called_for_a_second(
    monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    dog = lone()

    def short() -> None:
        dog.run("db", "check", 1, nothing)

    # A call; 17 looks until it is more than a second ago; asleep until, an hour later, there is
    # another call; the same again.
    wake: Any = Wake(short, *[nothing] * 17, short, *[nothing] * 17, dog.end)
    timeouts = watch(monkeypatch, dog, wake)
    assert timeouts == [LOOK, *[LOOK] * 17, None, *[LOOK] * 17, None]
    assert not warned.records


def test_a_hook_that_hangs_for_ever_is_named_and_then_slept_over(
    monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    dog = lone()
    wake: Any = Wake(*[nothing] * 17, dog.end)
    monkeypatch.setattr(watchdog, "monotonic", lambda: wake.now)
    dog.run("db", "open", 0, lambda: watch(monkeypatch, dog, wake))
    assert wake.timeouts == [*[LOOK] * 17, None]
    (record,) = warned.records
    assert record.getMessage().startswith("open of db has")  # no slot was known


def test_it_does_not_fall_asleep_over_a_call_that_begins_as_it_does() -> None:
    dog = lone()
    seen = dog.latest
    assert (dog.may_sleep(seen), dog.asleep) == (True, True)
    dog.run("db", "check", 1, nothing)
    assert dog.asleep is False  # roused
    assert (dog.may_sleep(seen), dog.asleep) == (False, False)


def test_a_call_that_ends_while_it_is_looked_at_is_not_blamed_for_where_the_loop_is_then(
    monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    dog = lone()

    def ends_meanwhile(_: int) -> str:
        dog.over = dog.latest
        return "elsewhere"

    wake: Any = Wake(nothing, nothing, nothing, dog.end)
    monkeypatch.setattr(watchdog, "position", ends_meanwhile)
    monkeypatch.setattr(watchdog, "monotonic", lambda: wake.now)
    dog.run("db", "check", 1, lambda: watch(monkeypatch, dog, wake))
    assert not warned.records


def test_a_thread_that_is_gone_has_no_place() -> None:
    thread = threading.Thread(target=nothing)
    thread.start()
    thread.join()
    assert thread.ident is not None
    assert position(thread.ident) == "an unknown place"
