"""Case 18: the machine slept, and its clocks say so: what is idle is checked first."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from pepperpy_resources import clock
from pepperpy_resources.actors.janitor import Beat
from pepperpy_resources.testing import VirtualTimeLoop, run
from tests.helpers import Backend, Fake, serving, settled

HOUR = 3600.0
NIGHT = 8 * HOUR


def suspend(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.suspend(seconds)


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "the machine slept" in r.msg]


async def three_idle(manager: Any, *names: str) -> None:
    for name in names:
        for number in range(3):
            await manager.acquire(f"{name}:{number}")
        for number in range(3):
            await manager.release(f"{name}:{number}")


def test_idle_resources_are_checked_before_they_are_used_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Backend(check=2.0)
        # Sweeps come every 5 minutes, and by its own clock no resource needs a check for a day.
        spec = backend.spec("db", "check", fresh_for=24 * HOUR, idle_timeout=24 * HOUR)
        async with serving(spec) as manager:
            await three_idle(manager, "db")
            await asyncio.sleep(90)
            suspend(NIGHT)
            await asyncio.sleep(31)  # the clocks are looked at every minute
            assert backend.calls["check"] == 3  # at once, in the background: max_opening is 4
            fake = await manager.acquire("db:a")
            assert fake.number == 4  # none of the suspects, which may be gone: a new one
            await asyncio.sleep(2.0)
            assert (await manager.acquire("db:b")).number <= 3
            assert backend.calls["check"] == 3
            await asyncio.sleep(24 * HOUR)
            assert backend.calls["close"] == 2  # idle for a day by now, and so to be closed

    run(main())
    assert len(reports(caplog)) == 1
    assert "the machine slept for 28800.0 s" in reports(caplog)[0]
    assert {r.levelno for r in caplog.records if "slept" in r.msg} == {logging.WARNING}


def test_nothing_expires_by_the_time_slept_and_what_fails_its_check_is_replaced() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "check")  # idle_timeout 10 min, max_lifetime 30 min
        async with serving(spec) as manager:
            await three_idle(manager, "db")
            suspend(NIGHT)
            backend.next("check", ConnectionError("gone"))
            await asyncio.sleep(61)
            assert backend.calls["check"] == 3
            assert [fake.closes for fake in backend.fakes].count(1) == 1
            assert backend.live == 2

    run(main())


def test_where_there_is_no_check_it_is_only_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        plain, checked = Backend(), Backend()
        specs = plain.spec("plain"), checked.spec("checked", "check")
        async with serving(*specs) as manager:
            await three_idle(manager, "plain", "checked")
            suspend(NIGHT)
            await asyncio.sleep(61)
            assert (plain.opened, plain.live) == (checked.opened, checked.live) == (3, 3)
            assert (plain.calls["check"], checked.calls["check"]) == (0, 3)
            fake: Fake = await manager.acquire("plain:a")
            assert fake.number <= 3

    run(main())
    assert len(reports(caplog)) == 1  # once, however many types there are


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((), 0),
        ((0.9,), 0),
        ((0.9, 61.0, 0.9, 61.0, 0.9), 0),  # each for itself
        ((0.9, 10.0, 0.9), 1),  # between two looks
        ((1.1,), 1),
        ((2.0, 61.0, 2.0), 2),
    ],
)
def test_a_gap_of_more_than_a_second_between_two_looks_is_reported_once(
    gaps: tuple[float, ...], expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(Backend().spec("db"), cleanup_interval=HOUR):
            for index, seconds in enumerate(gaps):
                if index % 2:
                    await asyncio.sleep(seconds)
                else:
                    suspend(seconds)
            await asyncio.sleep(2 * HOUR)  # that the loop's own clock runs ahead is no gap

    run(main())
    assert len(reports(caplog)) == expected


def test_a_type_that_was_added_since_does_not_make_the_janitor_forget_the_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        first, second = Backend(), Backend()
        async with serving(first.spec("first", "check")) as manager:
            await three_idle(manager, "first")
            await asyncio.sleep(50)
            suspend(NIGHT)
            manager.add_type(second.spec("second"))
            await asyncio.sleep(11)
            assert first.calls["check"] == 3

    run(main())
    assert len(reports(caplog)) == 1


def test_on_a_real_loop_the_machine_s_own_clock_tells(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept = [0.0]
    monkeypatch.setattr(clock, "elapsed", lambda: time.monotonic() + slept[0])

    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", "check")) as manager:
            await three_idle(manager, "db")
            manager.cell("janitor").deliver(Beat())
            await settled()
            assert reports(caplog) == []
            slept[0] = 100.0
            manager.cell("janitor").deliver(Beat())
            await settled()
            assert backend.calls["check"] == 3

    asyncio.run(main())
    (text,) = reports(caplog)
    assert "slept for 100.0 s" in text


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no CLOCK_BOOTTIME here")
def test_elapsed_is_the_clock_that_goes_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock.elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_without_such_a_clock_there_is_never_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    before = time.monotonic()
    assert before <= clock.elapsed() <= time.monotonic()


def test_each_loop_has_the_clock_it_says() -> None:
    virtual, real = VirtualTimeLoop(), asyncio.new_event_loop()
    try:
        assert clock.elapsed_of(virtual) == virtual.elapsed
        assert clock.elapsed_of(real) is clock.elapsed
    finally:
        virtual.close()
        real.close()
