"""Children added and restarted by hand; the words of refusal are OTP's."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.policy import Intensity
from tests.core.families import Home, home, parked, waiting

# -- start_child


def test_a_child_is_added_at_the_end_and_its_asker_told_when_it_is_up() -> None:
    family = home("b")
    assert family.start("a", "T1") == ["launch a 1"]
    assert family.up("a") == ["answer T1: a"]
    assert list(family.phases) == ["b", "a"]
    assert family.stop() == ["tell a 1"]


def test_a_start_by_hand_that_fails_is_the_asker_s_trouble_and_leaves_no_spec() -> None:
    family = home("a", intensity=Intensity(restarts=0))
    family.start("b", "T1")
    assert family.crash("b") == ["answer T1: b refused failure", "drop b failure"]
    assert family.phases == {"a": "up 1"}
    assert family.start("b", "T2") == ["launch b 2"]


def test_nobody_needs_to_ask_for_it() -> None:
    family = home()
    assert family.start("a", None) == ["launch a 1"]
    assert family.up("a") == []


@pytest.mark.parametrize("family", [home("a"), waiting()], ids=["running", "restarting"])
def test_starting_what_runs_or_is_about_to_is_refused(family: Home) -> None:
    before = family.phases
    assert family.start("a") == ["answer T: already_started"]
    assert family.phases == before


def test_starting_what_is_starting_or_stopping_is_refused() -> None:
    family = home()
    family.start("a", "T1")
    assert family.start("a", "T2") == ["answer T2: already_started"]
    family.up("a")
    family.terminate("a")
    assert family.start("a", "T3") == ["answer T3: already_started"]


def test_starting_what_is_down_or_given_up_is_refused_because_its_spec_is_there() -> None:
    family = home("a")
    family.terminate("a")
    family.ends("a")
    assert family.start("a") == ["answer T: already_present"]
    assert parked().start("a") == ["answer T: already_present"]


def test_an_added_child_is_restarted_as_those_of_the_beginning() -> None:
    family = home()
    family.start("a")
    family.up("a")
    assert family.crash("a") == ["launch a 2"]
    assert family.crash("a") == ["launch a 3"]  # a restart that fails is no first start
    assert family.up("a") == []
    assert family["a"].restarts == 2


def test_children_added_at_the_same_time_do_not_wait_for_each_other() -> None:
    family = home()
    assert family.start("a", "A") == ["launch a 1"]
    assert family.start("b", "B") == ["launch b 1"]
    assert family.up("b") == ["answer B: b"]
    assert family.up("a") == ["answer A: a"]


def test_a_child_added_during_the_first_start_waits_for_its_turn_and_may_fail() -> None:
    family = Home("a")
    family.send(on.Begin())
    assert family.start("b", "B") == []
    assert family.up("a") == ["launch b 1"]
    told = family.crash("b")
    assert told == ["answer B: b refused failure", "drop b failure", "all up"]


# -- restart_child


def test_a_child_that_is_down_is_restarted_by_hand() -> None:
    family = home("a", "b")
    family.terminate("a")
    family.ends("a")
    assert family.restart("a", "T1") == ["launch a 2"]
    assert family.up("a") == ["answer T1: a"]
    assert family["a"].restarts == 0  # nothing has failed


def test_a_restart_by_hand_that_fails_keeps_the_spec_and_costs_nothing() -> None:
    family = home("a", intensity=Intensity(restarts=0))
    family.terminate("a")
    family.ends("a")
    family.restart("a", "T1")
    assert family.crash("a") == ["answer T1: a refused failure"]
    assert family.phases == {"a": "down 2"}
    assert family.restart("a", "T2") == ["launch a 3"]


@pytest.mark.parametrize("order", ["restart", "delete"])
def test_what_runs_is_neither_restarted_nor_deleted(order: str) -> None:
    family = home("a")
    assert getattr(family, order)("a") == ["answer T: running"]
    family.terminate("a")
    assert getattr(family, order)("a") == ["answer T: running"]  # until it has stopped
    assert family.ends("a") == ["answer T: a"]
    family.restart("a")
    assert getattr(family, order)("a", "T2") == ["answer T2: running"]  # it is starting


@pytest.mark.parametrize("order", ["restart", "delete"])
def test_what_is_about_to_come_up_is_neither_restarted_nor_deleted(order: str) -> None:
    assert getattr(waiting(), order)("a") == ["answer T: restarting"]
    group = home("a", "b", strategy="one_for_all")
    group.crash("a")
    assert getattr(group, order)("a") == ["answer T: restarting"]  # b is being stopped


@pytest.mark.parametrize("order", ["restart", "terminate", "delete"])
def test_what_is_not_there_is_not_found(order: str) -> None:
    assert getattr(home("a"), order)("z") == ["answer T: not_found"]


def test_it_makes_no_difference_whether_anybody_waits_for_the_answer() -> None:
    family = home("a", intensity=Intensity(restarts=0))
    family.terminate("a")
    family.ends("a")
    assert family.restart("a", None) == ["launch a 2"]
    assert family.crash("a") == []
    assert family.phases == {"a": "down 2"}
    assert family.start("b", None) == ["launch b 1"]
    assert family.crash("b") == ["drop b failure"]
    assert family.restart("a", None) == ["launch a 3"]
    assert family.up("a") == []
    assert family.crash("a") == ["all down failure"]  # this time it was up


def test_a_parked_child_whose_restart_by_hand_fails_is_parked_once_more() -> None:
    family = parked()
    family.now = 7.0
    family.restart("a", "T1")
    assert family.crash("a") == ["answer T1: a refused failure", "park a failure"]
    assert family.armed == 37.0
    family.terminate("a")
    family.restart("a", "T2")
    assert family.crash("a") == ["answer T2: a refused failure"]  # nobody gave that one up
    assert family.phases["a"] == "down 3"


def test_a_child_that_was_parked_and_has_been_up_since_is_not_parked_for_a_failed_start() -> None:
    family = parked()
    family.restart("a")
    family.up("a")
    family.terminate("a")
    family.ends("a")
    family.restart("a")
    assert family.crash("a") == ["answer T: a refused failure"]


def test_a_parked_child_is_restarted_by_hand_with_its_whole_budget() -> None:
    family = parked()
    assert family.armed == 30.0
    assert family.restart("a", "T1") == ["launch a 2"]
    assert family.left("a") == 0
    assert family.up("a") == ["answer T1: a"]
    assert family.crash("a") == ["park a failure"]
