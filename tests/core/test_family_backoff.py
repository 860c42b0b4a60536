"""How long a child that failed waits before it is started again."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperpy_resources.core.policy import Backoff
from tests.core.families import Home, home, kin

STEADY = Backoff(min=1.0, factor=2.0, max=8.0, jitter=0.0)


def pauses(family: Home, count: int, chance: float = 0.5) -> list[float]:
    """Let the only child fail so often, each time before it is up; return how long it waited."""
    found: list[float] = []
    for _ in range(count):
        before = family.now
        told = family.crash("a", chance=chance)
        if not told:
            told = family.tick()
        assert told == [f"launch a {family['a'].number}"]
        found.append(family.now - before)
    return found


def test_the_first_restart_is_at_once_then_the_pauses_double_up_to_the_longest() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    assert pauses(family, 7) == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_by_default_they_go_from_a_tenth_of_a_second_to_ten_give_or_take_a_fifth() -> None:
    family = home("a", backoff=Backoff(), intensity=None)
    found = pauses(family, 10, chance=0.0)
    expected = [0.0, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 8.0, 8.0]
    assert found == pytest.approx(expected)


@given(
    shortest=st.floats(0.01, 5.0),
    factor=st.floats(1.0, 4.0),
    longest=st.floats(5.0, 60.0),
    jitter=st.floats(0.0, 0.9),
    chance=st.floats(0.0, 1.0, exclude_max=True),
)
def test_every_pause_is_within_the_jitter_of_its_step(
    shortest: float, factor: float, longest: float, jitter: float, chance: float
) -> None:
    plan = Backoff(min=shortest, factor=factor, max=longest, jitter=jitter)
    family = home("a", backoff=plan, intensity=None)
    first, *rest = pauses(family, 8, chance)
    assert first == 0.0
    step = shortest
    for pause in rest:
        assert step * (1 - jitter) <= pause * 1.000001
        assert pause <= step * (1 + jitter) * 1.000001
        step = min(longest, step * factor)


def test_a_healthy_stretch_as_long_as_the_longest_pause_begins_anew() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    pauses(family, 3)
    family.up("a", at=100.0)
    assert family.crash("a", at=108.0) == ["launch a 5"]
    assert pauses(family, 2) == [1.0, 2.0]


def test_a_stretch_that_is_too_short_does_not() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    pauses(family, 3)
    family.up("a", at=100.0)
    assert pauses(family, 1) == [4.0]
    family.up("a", at=200.0)
    family.crash("a", at=207.9)
    assert family["a"].due == 215.9


def test_time_in_which_it_was_not_up_is_no_healthy_stretch() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    pauses(family, 2)
    family.tick(at=50.0)  # it takes long to start, and fails
    assert pauses(family, 1) == [2.0]


def test_time_in_which_it_was_stopped_for_its_group_is_no_healthy_stretch() -> None:
    family = home("z", "a", strategy="one_for_all", backoff=STEADY, intensity=None)
    family.crash("a")
    family.ends("z")
    family.up("z")
    family.up("a", at=10.0)
    family.crash("z")
    family.ends("a", at=11.0)  # up for a second
    family.up("z", at=30.0)
    assert family.crash("a") == ["tell z 3"]
    assert family["a"].due == 31.0  # the second failure in a row


def test_a_stop_for_the_group_does_not_take_the_healthy_stretch_before_it_away() -> None:
    family = home("z", "a", strategy="one_for_all", backoff=STEADY, intensity=None)
    family.crash("a")
    family.ends("z")
    family.up("z")
    family.up("a", at=10.0)
    family.crash("z")
    family.ends("a", at=18.0)
    family.up("z", at=19.0)
    family.crash("a")
    assert family["a"].failures == 1


def test_a_restart_by_hand_begins_anew() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    pauses(family, 4)
    family.terminate("a")
    family.ends("a")
    family.restart("a")
    family.up("a")
    assert pauses(family, 2) == [0.0, 1.0]


def test_children_count_their_failures_apart() -> None:
    family = home("a", "b", backoff=STEADY, intensity=None)
    pauses(family, 3)
    assert family.crash("b") == ["launch b 2"]


def test_with_both_a_backoff_and_an_intensity_both_hold() -> None:
    family = home("a", backoff=STEADY)
    assert pauses(family, 3) == [0.0, 1.0, 2.0]
    assert family.crash("a", at=4.0) == ["all down failure"]


# -- one timer


def test_there_is_one_call_for_whatever_is_due_first() -> None:
    family = home("a", "b", backoff=STEADY, intensity=None)
    family.crash("a")
    family.crash("a")
    assert family.armed == 1.0
    family.crash("b", at=0.5)
    family.crash("b")
    assert family.armed == 1.0
    assert len(family.family.deadlines) == 2
    assert family.tick() == ["launch a 3"]
    assert family.armed == 1.5
    family.terminate("b")
    assert family.armed == 31.0  # a's start
    family.up("a")
    assert family.armed == math.inf
    assert len(family.family.deadlines) == 0


def test_a_call_is_asked_for_again_though_it_is_for_the_same_time() -> None:
    moment = 1e-9  # makes no difference to a clock that shows so much:
    plan = Backoff(min=moment, jitter=0.0, attempts=1)
    family = home(kin("a", start_timeout=moment), backoff=plan, intensity=None)
    family.crash("a", at=1e9)
    assert family.armed == 1e9
    family.armed = math.inf  # that call comes
    assert family.tick(at=1e9) == ["launch a 2"]
    assert family.armed == 1e9
    assert family.tick() == ["kill a 2"]


def test_a_call_that_has_come_is_not_taken_back() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    family.stop(at=1.0)
    family.armed = 0.0
    assert family.tick(at=6.0) == ["kill a 1"]
    assert family.armed == 0.0  # nothing more was said of it


def test_a_tick_before_its_time_changes_nothing() -> None:
    family = home("a", backoff=STEADY, intensity=None)
    family.stop(at=1.0)
    family.armed = 0.0
    assert family.tick(at=5.9) == []
    assert family.armed == 0.0


def test_a_herd_of_a_thousand_spreads() -> None:
    names = [f"n{number}" for number in range(1000)]
    family = home(*names, backoff=Backoff(min=10.0, jitter=0.5), intensity=None)
    chances = random.Random(52)
    for name in names * 2:
        family.crash(name, at=0.0, chance=chances.random())
    launched: list[float] = []
    while family.armed < 20.0:  # the deadlines of the starts come later
        told = family.tick()
        launched += [family.now] * len(told)
    assert len(launched) == 1000
    assert 5.0 <= min(launched) < 5.2
    assert 14.8 < max(launched) < 15.0
    seconds = [sum(second <= at < second + 1 for at in launched) for second in range(5, 15)]
    assert min(seconds) > 60  # 100 on average
    assert max(seconds) < 140
