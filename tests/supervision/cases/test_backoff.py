"""Backoff: the pauses before restarts."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperpy_resources.supervision import Actor, Backoff, ChildSpec, Intensity, handles
from pepperpy_resources.testing import VirtualTimeLoop, run
from tests.supervision.cases.kit import Boom, Fail, Script, now, outcome, phases, running, settled

FULLY = 0.001  # seconds a life may end early for what floats round off


class Mortal(Actor):
    """Notes when it starts, and fails after the next of its lives, in seconds."""

    def __init__(self, starts: list[float], lives: Iterator[float]) -> None:
        super().__init__()
        self.starts = starts
        self.lives = lives

    def on_start(self) -> None:
        self.starts.append(now())
        life = next(self.lives, None)
        if life is not None:
            self.tell_later(life, Fail(Boom("its time has come")))

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise message.error


def pauses(backoff: Backoff, lives: list[float]) -> list[float]:
    """Return the seconds from each failure to the start that follows it."""
    starts: list[float] = []

    async def main() -> None:
        children = [ChildSpec("a", Mortal, args=(starts, iter(lives)))]
        async with running(children, backoff=backoff):
            await asyncio.sleep(1e6)

    run(main())
    ends = [start + life for start, life in zip(starts, lives, strict=False)]
    return [start - end for start, end in zip(starts[1:], ends, strict=True)]


@given(
    least=st.floats(0.01, 100),
    factor=st.floats(1, 10),
    most=st.floats(1, 10),
    jitter=st.floats(0, 0.99),
    failures=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_49_the_first_is_none_then_min_doubling_up_to_the_cap_with_jitter_within_bounds(
    least: float, factor: float, most: float, jitter: float, failures: int
) -> None:
    backoff = Backoff(min=least, factor=factor, max=least * most, jitter=jitter)
    seen = pauses(backoff, [0.0] * failures)
    assert seen[0] == 0
    for n, pause in enumerate(seen[1:]):
        base = min(least * most, least * factor**n)
        assert abs(pause - base) <= base * jitter + 1e-6, n


def test_49_by_hand() -> None:
    backoff = Backoff(min=0.5, factor=2.0, max=3.0, jitter=0.0)
    assert pauses(backoff, [0.0] * 7) == [0, 0.5, 1, 2, 3, 3, 3]


def test_49_the_default_begins_with_none_and_a_tenth_of_a_second() -> None:
    starts: list[float] = []

    async def main() -> None:
        children = [ChildSpec("a", Mortal, args=(starts, itertools.repeat(0.0)))]
        async with running(children) as top:
            await top.wait()  # 3 restarts in 5 s

    run(main())
    first, second, third = (b - a for a, b in itertools.pairwise(starts))
    assert first == 0
    assert 0.08 <= second <= 0.12
    assert 0.16 <= third <= 0.24


def test_49_jitter_is_drawn_anew_each_time() -> None:
    random.seed(49)
    seen = pauses(Backoff(min=10.0, factor=1.0, max=10.0, jitter=0.5), [0.0] * 20)
    assert len(set(seen[1:])) == 19
    assert min(seen[1:]) < 8
    assert max(seen[1:]) > 12


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        ([0, 0, 0, 8, 0, 0], [0, 1, 2, 0, 1, 2]),  # healthy for the longest pause: anew
        ([0, 0, 0, 8 - FULLY, 0], [0, 1, 2, 4, 8]),  # not quite
        ([0, 0, 0, 4, 4, 4], [0, 1, 2, 4, 8, 8]),  # short lives do not add up
        ([100, 100, 100], [0, 0, 0]),
    ],
)
def test_50_a_healthy_stretch_without_a_failure_resets_it(
    lives: list[float], expected: list[float]
) -> None:
    seen = pauses(Backoff(min=1.0, factor=2.0, max=8.0, jitter=0.0), lives)
    assert seen == pytest.approx(expected, abs=1e-6)


def test_50_the_time_that_a_start_takes_is_no_health() -> None:
    script = Script()

    async def main() -> None:
        flags = {"backoff": Backoff(min=1.0, factor=2.0, max=8.0, jitter=0.0)}
        async with running([script.child("a")], **flags) as top:
            script.on_start["a"] = [20.0, 20.0, 20.0]
            for pause in (0, 1, 2):
                top.child("a").tell(Fail(Boom("no")))
                await settled()
                assert await phases(top) == {"a": "waiting" if pause else "starting"}
                await asyncio.sleep(pause + 20)
                await settled()
                assert await phases(top) == {"a": "up"}

    run(main())


def test_50_a_restart_by_hand_begins_anew() -> None:
    script = Script()

    async def main() -> None:
        flags = {"backoff": Backoff(min=10.0, jitter=0.0)}
        async with running([script.child("a")], **flags) as top:
            top.child("a").tell(Fail(Boom("no")))
            await settled()
            top.child("a").tell(Fail(Boom("no")))
            await settled()
            assert await phases(top) == {"a": "waiting"}
            await top.terminate_child("a")  # it can be stopped while it waits
            await top.restart_child("a")
            top.child("a").tell(Fail(Boom("no")))
            await settled()
            assert await phases(top) == {"a": "up"}

    run(main())


class TimerCounting(VirtualTimeLoop):
    """Knows every timer that is still to come."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        timer: asyncio.TimerHandle = super().call_at(*args, **kwargs)
        self.timers.append(timer)
        return timer

    def pending(self) -> int:
        return sum(not each.cancelled() and each.when() > self.time() for each in self.timers)


def counting(test: Callable[[TimerCounting], Any]) -> None:
    """Run a test that counts timers."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TimerCounting)
        await test(loop)

    run(main(), loop_factory=TimerCounting)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_51_no_more_than_one_timer_for_each_child(strategy: str) -> None:
    script = Script()
    names = [f"c{n}" for n in range(20)]

    async def test(loop: TimerCounting) -> None:
        flags = {"strategy": strategy, "backoff": Backoff(min=1.0, max=5.0)}
        async with running(script.children(names), **flags) as top:
            assert loop.pending() == 0  # all is well: nothing to wait for
            for _ in range(30):
                for name in names[::3]:
                    top.child(name).kill()
                await settled()
                assert loop.pending() <= len(names)
                await asyncio.sleep(0.3)
                assert loop.pending() <= len(names)
        assert loop.pending() == 0

    counting(test)


def test_51_none_is_left_of_a_child_that_is_stopped_while_it_waits() -> None:
    script = Script()

    async def test(loop: TimerCounting) -> None:
        async with running(script.children("ab"), backoff=Backoff(min=10.0, max=10.0)) as top:
            for name in "aabb":
                top.child(name).kill()
                await settled()
            assert await phases(top) == {"a": "waiting", "b": "waiting"}
            assert 1 <= loop.pending() <= 2
            await top.terminate_child("a")
            await top.terminate_child("b")
            assert loop.pending() == 0
            await asyncio.sleep(100)
            assert await phases(top) == {"a": "down", "b": "down"}
            await top.delete_child("a")
            assert await phases(top) == {"b": "down"}

    counting(test)


def test_52_a_herd_of_a_thousand_children_spreads() -> None:
    random.seed(52)
    starts: list[float] = []

    async def main() -> None:
        lives = itertools.chain(itertools.repeat(5.0, 1000), itertools.repeat(0.0, 1000))
        children = [ChildSpec(f"c{n}", Mortal, args=(starts, lives)) for n in range(1000)]
        flags = {"backoff": Backoff(min=10.0, max=10.0, jitter=0.5)}
        async with running(children, **flags) as top:
            began = now()
            await asyncio.sleep(5 + 1)
            # All have failed twice, and come back between 5 and 15 seconds after that.
            assert len(starts) == 2000
            assert (await top.count_children()).active == 0
            await asyncio.sleep(14)
            assert (await top.count_children()).active == 1000
            back = [start - began - 5 for start in starts[2000:]]
            assert len(back) == 1000
            assert min(back) >= 5
            assert max(back) <= 15
            a_second = Counter(int(each) for each in back)
            assert {int(each) for each in back} == set(range(5, 15))
            assert all(50 < number < 150 for number in a_second.values())  # 100, give or take

    run(main())


def test_52_with_a_backoff_and_an_intensity_both_hold() -> None:
    script = Script()

    async def main() -> None:
        flags = {"backoff": Backoff(min=1.0, factor=1.0, max=1.0, jitter=0.0),
                 "intensity": Intensity(2, 60.0)}  # fmt: skip
        async with running([script.child("a")], **flags) as top:
            for _ in range(3):
                top.child("a").kill()
                await asyncio.sleep(1)
                await settled()
            assert "more than 2 times" in (await top.wait()).reason
            assert isinstance(await outcome(top.which_children()), Exception)

    run(main())


def test_52_with_a_backoff_alone_restarts_are_not_limited() -> None:
    assert len(pauses(Backoff(min=0.01, max=0.01), [0.0] * 500)) == 500
