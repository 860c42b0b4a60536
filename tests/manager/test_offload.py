"""Plain def hooks on threads: `offload`, `thread_bound`, and threads that hang (case 16)."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.observe.node import TypeNode
from tests.helpers import serving

SOON = 20.0  # seconds of real time something that takes milliseconds may take here


class Recorder:
    """Plain def hooks that note the thread each ran on."""

    def __init__(self) -> None:
        self.threads: list[tuple[str, object, threading.Thread]] = []
        self.opened = 0

    def note(self, hook: str, resource: object) -> None:
        self.threads.append((hook, resource, threading.current_thread()))

    def connect(self) -> object:
        resource = object()
        self.opened += 1
        self.note("open", resource)
        return resource

    def check(self, resource: object) -> None:
        self.note("check", resource)

    def reset(self, resource: object) -> None:
        self.note("reset", resource)

    def close(self, resource: object) -> None:
        self.note("close", resource)

    def welcome(self, resource: object) -> None:
        self.note("on_acquire", resource)

    def spec(self, name: str = "db", **fields: Any) -> ResourceSpec[Any]:
        return ResourceSpec(
            name, factory=self.connect, close=self.close, check=self.check, reset=self.reset,
            on_acquire=self.welcome, fresh_for=0, **fields,
        )  # fmt: skip

    def of(self, hook: str) -> list[threading.Thread]:
        return [thread for name, _, thread in self.threads if name == hook]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread brings about; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 - a thread brings it about
        await asyncio.sleep(0.001)


async def lease_some(manager: DefaultResourceManager) -> None:
    async def borrower() -> None:
        for _ in range(4):
            async with manager.lease("db"):
                await asyncio.sleep(0.002)

    await asyncio.gather(*[borrower() for _ in range(6)])
    await asyncio.sleep(0.01)  # now the idle ones must be checked
    async with manager.lease("db"):
        pass


def test_without_offload_hooks_run_on_the_loop() -> None:
    async def main() -> None:
        recorder = Recorder()
        async with serving(recorder.spec(max_size=3)) as manager:
            await lease_some(manager)
        assert {thread for _, _, thread in recorder.threads} == {threading.current_thread()}
        assert {hook for hook, _, _ in recorder.threads} == {
            "open", "check", "reset", "close", "on_acquire",
        }  # fmt: skip

    asyncio.run(main())


def test_offloaded_hooks_run_on_daemon_threads_named_after_their_type() -> None:
    async def main() -> None:
        recorder = Recorder()
        async with serving(recorder.spec(max_size=3, offload=True)) as manager:
            await lease_some(manager)
        for hook in ("open", "reset", "close", "on_acquire"):
            for thread in recorder.of(hook):
                assert thread is not threading.current_thread()
                assert thread.name.startswith("pepperpy-db-")
                assert thread.daemon
        # They are reused: 24 leases with three hooks each need no more threads than hooks at once.
        assert len({thread for _, _, thread in recorder.threads}) <= 6 + 3
        threads = {thread for _, _, thread in recorder.threads}
        await until(lambda: not any(thread.is_alive() for thread in threads))

    asyncio.run(main())


def test_a_thread_bound_resource_lives_on_one_thread() -> None:
    async def main() -> None:
        recorder = Recorder()
        async with serving(recorder.spec(max_size=3, thread_bound=True)) as manager:
            await lease_some(manager)
            async with manager.lease("db", discard=True):
                pass
        homes: dict[int, set[threading.Thread]] = {}
        for _, resource, thread in recorder.threads:
            homes.setdefault(id(resource), set()).add(thread)
        assert recorder.opened == 3
        assert all(len(threads) == 1 for threads in homes.values())
        assert len(set.union(*homes.values())) == 3  # and each on one of its own
        assert threading.current_thread() not in set.union(*homes.values())
        threads = set.union(*homes.values())
        await until(lambda: not any(thread.is_alive() for thread in threads))

    asyncio.run(main())


def test_a_generator_is_entered_and_left_off_the_loop() -> None:
    async def main() -> None:
        threads: list[threading.Thread] = []

        def connect() -> Iterator[str]:
            threads.append(threading.current_thread())
            yield "resource"
            threads.append(threading.current_thread())

        spec: ResourceSpec[str] = ResourceSpec("db", factory=connect, offload=True)
        async with serving(spec) as manager:
            assert await manager.acquire("db:a") == "resource"
        assert len(threads) == 2
        assert threading.current_thread() not in threads

    asyncio.run(main())


def test_async_hooks_stay_on_the_loop_when_others_are_offloaded() -> None:
    async def main() -> None:
        here: list[threading.Thread] = []
        there: list[threading.Thread] = []

        async def connect() -> object:
            here.append(threading.current_thread())
            return object()

        def close(_: object) -> None:
            there.append(threading.current_thread())

        spec: ResourceSpec[object] = ResourceSpec("db", factory=connect, close=close, offload=True)
        async with serving(spec) as manager:
            await manager.acquire("db:a")
        assert here == [threading.current_thread()]
        assert there[0].name.startswith("pepperpy-db-")

    asyncio.run(main())


# -- failures on threads


@pytest.mark.parametrize(
    "make",
    [ValueError, asyncio.CancelledError, GeneratorExit, StopIteration, MemoryError, RecursionError],
)
def test_what_is_raised_on_a_thread_is_that_hook_s_failure(make: type[BaseException]) -> None:
    async def main() -> None:
        closed: list[object] = []
        tries = 0

        def connect() -> object:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise make
            return object()

        spec: ResourceSpec[object] = ResourceSpec(
            "db", factory=connect, close=closed.append, offload=True, max_size=1
        )
        async with serving(spec) as manager:
            await manager.acquire("db:a", timeout=SOON)
            assert tries == 2
            figures = await manager.monitor()
            assert figures["types"]["db"]["errors"]["open"] == 1
            assert figures["restarts"] == 0
        assert len(closed) == 1

    asyncio.run(main())


def test_a_hanging_thread_is_abandoned_and_replaced() -> None:
    async def main() -> None:
        let_go = threading.Event()
        opened: list[threading.Thread] = []
        closed: list[object] = []

        def connect() -> object:
            opened.append(threading.current_thread())
            if len(opened) == 1:
                let_go.wait(SOON)
            return object()

        spec: ResourceSpec[object] = ResourceSpec(
            "db",
            factory=connect,
            close=closed.append,
            offload=True,
            max_size=2,
            create_timeout=0.05,
        )
        async with serving(spec) as manager:
            try:
                began = time.perf_counter()
                await manager.acquire("db:a", timeout=SOON)
                assert time.perf_counter() - began < SOON / 2
                assert opened[0].is_alive()
                assert opened[1] is not opened[0]
                assert "1 abandoned" in manager.tree().render()
                assert "abandoned threads: 1" in manager.tree().render()
                # Its late resource is closed, and nobody ever got it.
                let_go.set()
                await until(lambda: len(closed) == 1)
                assert "abandoned" not in manager.tree().render()
            finally:
                let_go.set()
        assert len(closed) == 2

    asyncio.run(main())


def test_no_more_than_max_size_hanging_threads_are_left_behind() -> None:
    async def main() -> None:
        let_go = threading.Event()
        opened: list[threading.Thread] = []

        def connect() -> object:
            opened.append(threading.current_thread())
            let_go.wait(SOON)
            return object()

        spec: ResourceSpec[object] = ResourceSpec(
            "db", factory=connect, offload=True, max_size=2, create_timeout=0.02
        )
        async with serving(spec) as manager:
            try:
                with pytest.raises(TimeoutError, match="hooks ignore their deadlines"):
                    await manager.acquire("db:a", timeout=1.0)
                assert len(opened) == 2
            finally:
                let_go.set()

    asyncio.run(main())


HANGING = [
    ("open",),
    ("check",),
    ("reset",),
    ("close",),
    ("on_acquire",),
    ("check", "close"),
    ("reset", "close"),
    ("on_acquire", "close"),
]


def node_of(manager: DefaultResourceManager, name: str) -> TypeNode:
    nodes = manager.tree().children[0].children
    (found,) = [n.resources for n in nodes if n.path == name and n.resources is not None]
    return found


@pytest.mark.parametrize("bound", [False, True], ids=["offload", "thread_bound"])
@pytest.mark.parametrize("hanging", HANGING, ids="+".join)
def test_whichever_hooks_hang_their_threads_are_counted_and_bounded(
    hanging: tuple[str, ...], *, bound: bool
) -> None:
    async def main() -> None:
        let_go = threading.Event()
        hung: set[threading.Thread] = set()

        def hook(name: str) -> None:
            if name in hanging:
                hung.add(threading.current_thread())
                let_go.wait(SOON)
                hung.discard(threading.current_thread())

        def connect() -> object:
            hook("open")
            return object()

        spec: ResourceSpec[object] = ResourceSpec(
            "db", factory=connect, check=lambda _: hook("check"), reset=lambda _: hook("reset"),
            close=lambda _: hook("close"), on_acquire=lambda _: hook("on_acquire"),
            max_size=2, fresh_for=0, offload=not bound, thread_bound=bound, create_timeout=0.05,
            check_timeout=0.05, reset_timeout=0.05, close_timeout=0.05,
            backoff=Backoff(min=0.01, max=0.01),
        )  # fmt: skip
        async with serving(spec) as manager:
            try:
                refused = ""
                for number in range(60):
                    try:
                        await manager.acquire(f"db:{number}", timeout=0.2)
                        await manager.release(f"db:{number}", discard=hanging == ("close",))
                        await asyncio.sleep(0.01)  # now an idle one must be checked
                    except TimeoutError as error:
                        refused = str(error)
                    if "hooks ignore their deadlines" in refused:
                        break
                else:
                    pytest.fail(f"it still makes threads: {len(hung)} hang")
                # At most 2 * max_size - 1 slots, each with a hook and the close it waits for.
                assert 2 <= len(hung) <= 6
                await until(lambda: node_of(manager, "db").abandoned_threads == len(hung))
                assert f"abandoned threads: {len(hung)}" in manager.tree().render()
                let_go.set()
                await until(lambda: not hung)
                await until(lambda: not node_of(manager, "db").abandoned_threads)
                await until(lambda: "abandoned" not in node_of(manager, "db").slots)
                await manager.acquire("db:well", timeout=SOON)  # it lives
            finally:
                let_go.set()

    asyncio.run(main())


def test_a_resource_whose_on_acquire_hangs_is_gone_when_that_has_ended() -> None:
    async def main() -> None:
        let_go = threading.Event()
        told: list[str] = []

        def welcome(_: object) -> None:
            let_go.wait(SOON)
            told.append("welcomed")

        def close(_: object) -> None:
            told.append("closed")

        spec: ResourceSpec[object] = ResourceSpec(
            "db", factory=object, on_acquire=welcome, close=close, offload=True, max_size=1,
            close_timeout=0.05,
        )  # fmt: skip
        async with serving(spec) as manager:
            try:
                with pytest.raises(TimeoutError):
                    await manager.acquire("db:a", timeout=0.05)
                await until(lambda: bool(told))
                assert told == ["closed"]  # half its deadline was spent on waiting for the other
                await until(lambda: node_of(manager, "db").slots == {"abandoned": 1})
                assert node_of(manager, "db").abandoned_threads == 1
                let_go.set()
                await until(lambda: not node_of(manager, "db").slots)
                assert told == ["closed", "welcomed"]
                assert node_of(manager, "db").abandoned_threads == 0
            finally:
                let_go.set()

    asyncio.run(main())


def test_a_sqlite_connection_that_insists_on_its_thread_has_its_way() -> None:
    async def main() -> None:
        closed: list[sqlite3.Connection] = []

        def close(connection: sqlite3.Connection) -> None:
            connection.close()
            closed.append(connection)

        spec: ResourceSpec[sqlite3.Connection] = ResourceSpec(
            "db",
            factory=lambda: sqlite3.connect(":memory:", check_same_thread=True),
            check=lambda connection: connection.execute("SELECT 1").fetchone() == (1,),
            reset=lambda connection: connection.rollback(),
            on_acquire=lambda connection: connection.execute("PRAGMA foreign_keys = ON"),
            close=close,
            thread_bound=True,
            max_size=3,
            fresh_for=0,
        )
        async with serving(spec) as manager:
            await lease_some(manager)
            async with manager.lease("db", discard=True) as connection:
                with pytest.raises(sqlite3.ProgrammingError, match="same thread"):
                    connection.execute("SELECT 1")
            await until(lambda: len(closed) == 1)
            figures = (await manager.monitor())["types"]["db"]
            assert set(figures["errors"].values()) == {0}
            assert figures["opened"] == 3
        assert len(closed) == 3

    asyncio.run(main())


def test_a_hanging_thread_of_one_type_does_not_hold_another_up() -> None:
    async def main() -> None:
        let_go = threading.Event()

        def hang(_: object) -> None:
            let_go.wait(SOON)

        stuck: ResourceSpec[object] = ResourceSpec(
            "stuck", factory=object, close=hang, offload=True, close_timeout=0.05
        )
        well: ResourceSpec[object] = ResourceSpec("well", factory=object, offload=True)
        async with serving(stuck, well) as manager:
            try:
                for number in range(5):
                    await manager.acquire(f"stuck:{number}")
                    await manager.release(f"stuck:{number}", discard=True)
                for number in range(5):
                    await manager.acquire(f"well:{number}", timeout=SOON)
            finally:
                let_go.set()

    asyncio.run(main())


EXIT = """
import asyncio, threading, time
from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.observe.node import TypeNode

def hang(_):
    threading.Event().wait()

async def main():
    spec = ResourceSpec("db", factory=object, close=hang, close_timeout=0.05, BOUND)
    async with DefaultResourceManager([spec]) as manager:
        async with manager.lease("db"):
            pass
    hanging = [t.name for t in threading.enumerate() if t.name.startswith("pepperpy-db-")]
    print(len(hanging))

asyncio.run(main())
"""


@pytest.mark.parametrize("field", ["offload=True", "thread_bound=True"])
def test_a_hanging_thread_does_not_delay_the_end_of_the_program(field: str) -> None:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXIT.replace("BOUND", field)],
        capture_output=True, text=True, timeout=SOON, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert time.perf_counter() - began < SOON


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_borrower_does_not_take_the_thread_from_its_resource(*, fails: bool) -> None:
    async def main() -> None:
        inside, let_go = threading.Event(), threading.Event()
        on_it: list[str] = []

        def welcome(_: object) -> None:
            on_it.append("in")
            inside.set()
            let_go.wait(SOON)
            on_it.append("out")
            if fails:  # nobody is left to hear of it, and asyncio must not report that
                raise ValueError("too late")

        def close(_: object) -> None:
            on_it.append("close")

        spec: ResourceSpec[object] = ResourceSpec(
            "db", factory=object, close=close, on_acquire=welcome, thread_bound=True, max_size=1
        )
        async with serving(spec) as manager:
            task = asyncio.ensure_future(manager.acquire("db:a"))
            await until(inside.is_set)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            let_go.set()
            await until(lambda: "close" in on_it)
            assert on_it == ["in", "out", "close"]

    asyncio.run(main())
