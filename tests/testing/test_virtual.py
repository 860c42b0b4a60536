"""The virtual-time loop: hours in milliseconds, and real threads and sockets still served."""

import asyncio
import contextlib
import socket
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pepperpy_resources.testing.virtual import START, VirtualTimeLoop, run

HOUR = 3600.0


def the_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def best_of_three(make: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """Return the shortest of three real durations, so that a busy machine cannot fail a test."""
    durations: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        run(make())
        durations.append(time.perf_counter() - began)
    return min(durations)


def test_an_hour_of_sleep_takes_no_time() -> None:
    async def main() -> None:
        await asyncio.sleep(HOUR)
        assert asyncio.get_running_loop().time() == START + HOUR

    assert best_of_three(main) < 0.2


def test_a_clock_far_in_the_future_still_fires_its_timers() -> None:
    # After 194 days floats are coarser than asyncio's clock resolution: see `_RESOLUTION`.
    async def main() -> None:
        for _ in range(1000):
            await asyncio.sleep(24 * HOUR)
        await asyncio.wait_for(asyncio.sleep(1), timeout=2)
        fired = asyncio.Event()
        asyncio.get_running_loop().call_later(0, fired.set)
        await fired.wait()
        elapsed = asyncio.get_running_loop().time() - START
        assert elapsed == pytest.approx(1000 * 24 * HOUR + 1, abs=1e-3)

    assert best_of_three(main) < 1.0


def test_a_sleep_longer_than_asyncio_ever_waits_ends_on_time() -> None:
    # asyncio never asks the selector for more than a day at once, so this takes several jumps.
    async def main() -> float:
        await asyncio.sleep(10 * 24 * HOUR)
        return asyncio.get_running_loop().time()

    assert run(main()) == START + 10 * 24 * HOUR


def test_the_clock_stands_still_while_anything_is_ready() -> None:
    async def main() -> float:
        timer = asyncio.get_running_loop().call_later(1e-6, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        timer.cancel()
        return asyncio.get_running_loop().time()

    assert run(main()) == START == 1000.0


def test_timers_fire_in_order_of_time_then_of_making() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []

        def fire(name: str) -> None:
            fired.append((name, loop.time() - START))

        loop.call_later(30, fire, "third")
        loop.call_later(10, fire, "first")
        loop.call_later(20, fire, "second")
        loop.call_at(START + 5, fire, "before all")
        loop.call_at(START - 5, fire, "overdue")
        await asyncio.sleep(60)
        return fired

    assert run(main()) == [
        ("overdue", 0.0),
        ("before all", 5.0),
        ("first", 10.0),
        ("second", 20.0),
        ("third", 30.0),
    ]


def test_wait_for_and_timeout_expire_at_their_virtual_moment() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        moments: list[float] = []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), timeout=90)
        moments.append(loop.time())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HOUR):
                await loop.create_future()
        moments.append(loop.time())
        async with asyncio.timeout(HOUR):
            await asyncio.sleep(1)
        moments.append(loop.time())
        return moments

    assert run(main()) == [START + 90, START + 90 + HOUR, START + 91 + HOUR]


def test_cancelled_timers_do_not_move_the_clock() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for handle in [loop.call_later(delay, lambda: None) for delay in (1, 5, 50, 500)]:
            handle.cancel()
        async with asyncio.timeout(HOUR):
            await asyncio.sleep(7)
        return loop.time()

    assert run(main()) == START + 7


def test_nested_gather_takes_as_long_as_its_longest_branch() -> None:
    async def nap(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time() - START

    async def main() -> tuple[list[list[float]], float]:
        inner = [asyncio.gather(nap(1), nap(HOUR)), asyncio.gather(nap(2), nap(3))]
        naps = [list(pair) for pair in await asyncio.gather(*inner)]
        return naps, asyncio.get_running_loop().time()

    assert run(main()) == ([[1.0, HOUR], [2.0, 3.0]], START + HOUR)


def test_with_no_timer_the_loop_waits_for_a_call_from_a_real_thread() -> None:
    async def main() -> tuple[str, float]:
        loop = the_loop()
        answer: asyncio.Future[str] = loop.create_future()
        asked = threading.Event()

        def other_thread() -> None:
            assert asked.wait(10)
            loop.call_soon_threadsafe(answer.set_result, "from a thread")

        thread = threading.Thread(target=other_thread)
        thread.start()
        loop.call_soon(asked.set)
        result = await answer
        thread.join(10)
        return result, loop.time()

    assert run(main()) == ("from a thread", START)


def test_a_call_that_has_arrived_goes_before_a_jump() -> None:
    async def main() -> tuple[str, float]:
        loop = the_loop()
        answer: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(answer.set_result, "first")
        )
        thread.start()
        thread.join(10)
        async with asyncio.timeout(1):
            return await answer, loop.time()

    assert run(main()) == ("first", START)


def test_real_work_waits_for_the_executor_and_not_for_the_timer() -> None:
    async def main() -> tuple[str, float]:
        loop = the_loop()
        at_work = threading.Event()
        finish = threading.Event()

        def work() -> str:
            at_work.set()
            assert finish.wait(10)
            return "done"

        with loop.real_work():
            async with asyncio.timeout(1):
                pending = loop.run_in_executor(None, work)
                assert at_work.wait(10)
                # The helper lets the work end only after the loop has had to wait for it.
                loop.call_soon(threading.Timer(0.05, finish.set).start)
                return await pending, loop.time()

    assert run(main()) == ("done", START)


def test_without_real_work_the_timer_does_not_wait_for_a_thread() -> None:
    async def main() -> float:
        loop = the_loop()
        finish = threading.Event()
        pending = loop.run_in_executor(None, finish.wait, 10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HOUR):
                await asyncio.shield(pending)
        finish.set()
        assert await pending
        return loop.time()

    assert run(main()) == START + HOUR


def test_real_work_nests_and_the_clock_jumps_after_the_last_block() -> None:
    def work() -> None:
        threading.Event().wait(0.02)  # long enough for the loop to jump, if it did

    async def main() -> list[float]:
        loop = the_loop()
        times: list[float] = []
        sleeper = asyncio.create_task(asyncio.sleep(5))
        with loop.real_work():
            with loop.real_work():
                await asyncio.to_thread(work)
                times.append(loop.time())
            await asyncio.to_thread(work)
            times.append(loop.time())
        assert not sleeper.done()
        await sleeper
        times.append(loop.time())
        return times

    assert run(main()) == [START, START, START + 5]


def test_real_work_ends_with_an_exception_too() -> None:
    async def main() -> float:
        loop = the_loop()
        with contextlib.suppress(ValueError), loop.real_work():
            raise ValueError
        await asyncio.sleep(1)
        return loop.time()

    assert run(main()) == START + 1


def test_sockets_are_served_before_the_clock_moves() -> None:
    async def main() -> tuple[bytes, float]:
        loop = the_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            async with asyncio.timeout(1):
                received = asyncio.create_task(loop.sock_recv(right, 100))
                await asyncio.sleep(0)  # so that it is waiting for input when the loop looks
                await loop.sock_sendall(left, b"hello")
                return await received, loop.time()

    assert run(main()) == (b"hello", START)


def test_streams_work_and_a_silent_peer_times_out_in_virtual_time() -> None:
    async def main() -> tuple[bytes, float]:
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=left)
        _, peer = await asyncio.open_connection(sock=right)
        peer.write(b"one line\n")
        line = await reader.readline()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), HOUR)
        for each in (writer, peer):
            each.close()
            await each.wait_closed()
        return line, the_loop().time()

    assert run(main()) == (b"one line\n", START + HOUR)


def test_the_end_of_the_run_waits_for_threads_of_the_default_executor() -> None:
    # From 3.12 the Runner gives them 300 seconds and then warns: virtual seconds must not count.
    # Nor must timers that the program left behind fire meanwhile.
    finish = threading.Event()
    ended = threading.Event()
    fired: list[str] = []

    def work() -> None:
        assert finish.wait(10)
        ended.set()

    async def main() -> None:
        pending = the_loop().run_in_executor(None, work)
        assert not pending.done()
        the_loop().call_later(HOUR, fired.append, "left behind")
        threading.Timer(0.05, finish.set).start()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())
    assert ended.is_set()
    assert fired == []


def test_run_returns_the_result_and_closes_the_loop() -> None:
    loops: list[VirtualTimeLoop] = []

    def factory() -> VirtualTimeLoop:
        loops.append(VirtualTimeLoop())
        return loops[-1]

    async def main() -> bool:
        return the_loop().get_debug()

    assert run(main(), loop_factory=factory) is False
    assert run(main(), loop_factory=factory, debug=True) is True
    assert [loop.is_closed() for loop in loops] == [True, True]


def test_run_passes_on_what_the_coroutine_raises() -> None:
    async def main() -> None:
        await asyncio.sleep(HOUR)
        message = "on purpose"
        raise LookupError(message)

    with pytest.raises(LookupError, match="on purpose"):
        run(main())


def test_two_runs_are_the_same_run() -> None:
    async def main() -> list[tuple[int, float]]:
        loop = asyncio.get_running_loop()
        log: list[tuple[int, float]] = []

        async def worker(number: int) -> None:
            for step in range(1, 6):
                await asyncio.sleep(number * step * 0.1)
                log.append((number, loop.time()))

        async with asyncio.TaskGroup() as group:
            for number in range(1, 6):
                group.create_task(worker(number))
        return log

    first = run(main())
    assert len(first) == 25
    assert first == run(main())


# -- a machine that sleeps


def test_while_the_machine_is_suspended_only_the_elapsed_time_grows() -> None:
    async def main() -> None:
        loop = the_loop()
        assert loop.elapsed() == loop.time() == START
        fired: list[float] = []
        loop.call_later(5, lambda: fired.append(loop.time()))
        loop.suspend(8 * HOUR)
        assert loop.time() == START
        assert loop.elapsed() == START + 8 * HOUR
        await asyncio.sleep(10)
        assert fired == [START + 5]  # timers do not run while the machine sleeps
        loop.suspend(2.5)
        loop.suspend(0)
        assert loop.time() == START + 10
        assert loop.elapsed() == START + 8 * HOUR + 12.5

    run(main())


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf")])
def test_no_machine_is_suspended_for_no_number_of_seconds(seconds: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="suspend takes seconds from 0 on"):
            the_loop().suspend(seconds)
        assert the_loop().elapsed() == START

    run(main())
