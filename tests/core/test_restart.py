"""How often a child may fail before it is given up: OTP's intensity, by hand."""

from __future__ import annotations

from pepperpy_resources.core.policy import Intensity
from pepperpy_resources.core.restart import RestartLog


def test_so_many_restarts_within_the_period_pass_and_one_more_gives_up() -> None:
    log = RestartLog(Intensity(restarts=3, period=5.0))
    assert [log.permits(now) for now in (0.0, 1.0, 2.0, 3.0)] == [True, True, True, False]
    assert log.total == 3


def test_failures_leave_the_window_after_the_period_and_not_at_it() -> None:
    log = RestartLog(Intensity(restarts=1, period=5.0))
    assert log.permits(0.0)
    assert log.left(5.0) == 0  # the edge belongs to the window
    assert log.left(5.1) == 1
    assert log.permits(5.1)
    assert not log.permits(10.1)


def test_a_failure_that_was_not_answered_counts_as_well() -> None:
    log = RestartLog(Intensity(restarts=1, period=5.0))
    log.permits(0.0)
    assert not log.permits(4.0)
    assert not log.permits(8.0)  # the one at 4 is still in the window
    assert log.left(8.0) == 0
    assert log.left(13.0) == 0
    assert log.left(13.1) == 1
    assert log.permits(13.1)


def test_no_restarts_at_all() -> None:
    log = RestartLog(Intensity(restarts=0, period=5.0))
    assert not log.permits(0.0)
    assert log.total == 0


def test_a_new_life_forgets_the_failures_but_not_the_total() -> None:
    log = RestartLog(Intensity(restarts=1, period=5.0))
    log.permits(0.0)
    log.permits(1.0)
    log.clear()
    assert log.left(1.0) == 1
    assert log.permits(1.0)
    assert log.total == 2
