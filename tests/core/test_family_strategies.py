"""Who goes down and comes up with a child that failed, and in which order."""

from __future__ import annotations

import pytest

from pepperpy_resources.core.policy import Backoff, Intensity
from tests.core.families import FAILURE, KILLED, NORMAL, Home, home, kin

ABC = ("a", "b", "c")
PAUSE = Backoff(min=1.0, jitter=0.0, attempts=1)


def test_one_for_one_changes_the_failed_child_s_incarnation_and_no_other() -> None:
    family = home(*ABC)
    assert family.crash("b") == ["launch b 2"]
    assert family.up("b") == []
    assert family.alive == "a1 b2 c1"


def test_one_for_one_children_do_not_wait_for_each_other() -> None:
    family = home(*ABC)
    family.crash("c")
    assert family.crash("a") == ["launch a 2"]
    assert family.up("a") == []
    assert family.up("c") == []


def test_rest_for_one_keeps_the_earlier_ones() -> None:
    family = home("z", *ABC, strategy="rest_for_one")
    assert family.crash("a") == ["tell c 1"]
    assert family.ends("c") == ["tell b 1"]
    assert family.ends("b") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.up("b") == ["launch c 2"]
    assert family.up("c") == []
    assert family.alive == "z1 a2 b2 c2"


def test_one_for_all_replaces_all() -> None:
    family = home(*ABC, strategy="one_for_all")
    assert family.crash("b") == ["tell c 1"]
    assert family.ends("c") == ["tell a 1"]
    assert family.ends("a") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.up("b") == ["launch c 2"]
    assert family.up("c") == []
    assert family.alive == "a2 b2 c2"


def test_one_for_all_stops_the_freshly_restarted_and_tries_the_group_again() -> None:
    family = home(*ABC, strategy="one_for_all", intensity=Intensity(restarts=2))
    family.crash("c")
    family.ends("b")
    assert family.ends("a") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.crash("b") == ["tell a 2"]  # refuses to start: the second failure
    assert family.ends("a") == ["launch a 3"]
    assert family.up("a") == ["launch b 3"]
    assert family.crash("b") == ["tell a 3"]  # the third: one too many
    assert family.ends("a") == ["all down failure"]


def test_rest_for_one_retries_from_the_refusing_child_only() -> None:
    family = home(*ABC, strategy="rest_for_one")
    family.crash("a")
    family.ends("c")
    family.ends("b")
    assert family.up("a") == ["launch b 2"]
    assert family.crash("b") == ["launch b 3"]
    assert family.up("b") == ["launch c 2"]
    assert family.alive == "a2 b3 c2"


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_what_was_stopped_by_hand_or_done_comes_back_with_its_group(strategy: str) -> None:
    family = home("a", "b", kin("c", restart="transient"), strategy=strategy)
    family.terminate("b")
    family.ends("b")
    family.ends("c", NORMAL)
    assert family.crash("a") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.up("b") == ["launch c 2"]


def test_what_was_stopped_by_hand_before_the_failed_one_stays_down() -> None:
    family = home(*ABC, strategy="rest_for_one")
    family.terminate("a")
    family.ends("a")
    family.crash("b")
    family.ends("c")
    family.up("b")
    family.up("c")
    assert family.alive == "b2 c2"


def test_what_ignores_the_group_s_stop_is_killed_and_the_group_goes_on() -> None:
    family = home("a", kin("b", shutdown=2.0), kin("c", shutdown=0.0), strategy="one_for_all")
    assert family.crash("a", at=1.0) == ["kill c 1"]
    assert family.ends("c", KILLED) == ["tell b 1"]
    assert family.armed == 3.0
    assert family.tick() == ["kill b 1"]
    assert family.ends("b", KILLED) == ["launch a 2"]


def test_the_group_waits_for_the_backoff_of_the_one_that_failed() -> None:
    family = home(*ABC, strategy="one_for_all", backoff=PAUSE)
    assert family.crash("b") == ["tell c 1"]
    family.ends("c")
    assert family.ends("a") == ["launch a 2"]  # its turn is before b's
    assert family.up("a") == []
    assert family.tick(at=1.0) == ["launch b 2"]
    assert family.up("b") == ["launch c 2"]


# -- failures on the way


def test_a_failure_while_the_group_goes_down_is_no_further_one() -> None:
    family = home(*ABC, strategy="one_for_all", intensity=Intensity(restarts=1))
    assert family.crash("c") == ["tell b 1"]
    assert family.crash("a") == []  # its turn had not come yet
    assert family.crash("b") == ["launch a 2"]  # instead of stopping
    assert family.family.restarts == 1


def test_a_failure_while_the_group_comes_up_is_a_further_one() -> None:
    family = home(*ABC, strategy="one_for_all")
    family.crash("c")
    family.ends("b")
    family.ends("a")
    assert family.up("a") == ["launch b 2"]
    assert family.crash("a") == ["tell b 2"]
    assert family.ends("b") == ["launch a 3"]
    assert family.family.restarts == 2


def test_terminated_while_its_group_goes_down_a_child_stays_down() -> None:
    family = home(*ABC, strategy="one_for_all")
    family.crash("c")
    assert family.terminate("b", "T") == []
    assert family.ends("b") == ["answer T: b", "tell a 1"]
    assert family.ends("a") == ["launch a 2"]
    assert family.up("a") == ["launch c 2"]


def test_a_group_that_fails_brings_back_what_is_just_being_terminated() -> None:
    family = home(*ABC, strategy="one_for_all")
    family.terminate("b", "T")
    assert family.crash("a") == ["tell c 1"]
    assert family.ends("b") == ["answer T: b"]
    assert family.ends("c") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]


def test_what_comes_up_when_its_group_goes_down_comes_back_with_it() -> None:
    family = home(*ABC, strategy="one_for_all")
    family.terminate("b")
    family.ends("b")
    family.restart("b", "T")
    assert family.crash("a") == ["tell c 1"]
    assert family.up("b") == ["answer T: b"]  # before its turn to go
    assert family.ends("c") == ["tell b 2"]
    assert family.ends("b") == ["launch a 2"]
    assert family.up("a") == ["launch b 3"]
    assert family.up("b") == ["launch c 2"]


def test_what_is_started_by_hand_when_its_group_goes_down_is_answered_when_it_is_back() -> None:
    family = home("a", strategy="one_for_all")
    family.start("b", "T")
    assert family.crash("a") == ["tell b 1"]
    assert family.ends("b") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.up("b") == ["answer T: b"]


def test_what_is_started_by_hand_waits_for_its_group_and_may_fail_alone() -> None:
    family = home("a", "b", strategy="one_for_all")
    family.crash("a")
    assert family.start("c", "T") == []
    family.ends("b")
    family.up("a")
    assert family.up("b") == ["launch c 1"]
    assert family.crash("c") == ["answer T: c refused failure", "drop c failure"]
    assert family.alive == "a2 b2"


def test_stopped_in_the_middle_of_a_group_restart() -> None:
    family = home(*ABC, strategy="one_for_all")
    family.crash("c")
    assert family.start("d", "T") == []
    assert family.stop("S") == ["answer T: d refused shutdown"]
    assert family.ends("b") == ["tell a 1"]
    assert family.ends("a") == ["all down shutdown", "answer S: shutdown"]


def test_one_that_waits_for_its_backoff_keeps_waiting_when_its_group_fails() -> None:
    family = home(*ABC, strategy="rest_for_one", backoff=PAUSE)
    family.crash("c")
    assert family.crash("b", at=0.5) == []
    assert family["c"].due == 1.0
    assert family.tick(at=1.0) == []  # c's turn comes after b's
    assert family.tick(at=1.5) == ["launch b 2"]
    assert family.up("b") == ["launch c 2"]


# -- children of one spec


def crew() -> Home:
    """Return a supervisor with three children of one spec."""
    family = home(strategy="simple_one_for_one")
    for name in ABC:
        family.start(name)
        family.up(name)
    return family


def test_of_children_of_one_spec_one_is_replaced_and_the_others_are_untouched() -> None:
    family = crew()
    assert family.crash("b") == ["launch b 2"]
    assert family.up("b") == []
    assert family.alive == "a1 b2 c1"


def test_children_of_one_spec_start_together() -> None:
    family = crew()
    assert family.start("d") == ["launch d 1"]
    assert family.start("e") == ["launch e 1"]
    assert family.crash("a") == ["launch a 2"]


def test_children_of_one_spec_are_stopped_together_under_one_deadline() -> None:
    family = crew()
    assert family.stop("S", at=10.0) == ["tell c 1", "tell b 1", "tell a 1"]
    assert family.armed == 15.0
    assert family.ends("b") == ["drop b shutdown"]
    assert family.tick() == ["kill c 1", "kill a 1"]
    assert family.ends("c", KILLED) == ["drop c killed"]
    told = family.ends("a", KILLED)
    assert told == ["drop a killed", "all down shutdown", "answer S: shutdown"]


def test_a_child_of_one_spec_that_is_done_is_forgotten() -> None:
    family = home(strategy="simple_one_for_one")
    family.start(kin("a", restart="transient"))
    family.up("a")
    assert family.ends("a", NORMAL) == ["drop a normal"]


def test_a_child_of_one_spec_is_terminated_for_good_and_not_restarted_or_deleted() -> None:
    family = crew()
    assert family.restart("a") == ["answer T: simple_one_for_one"]
    assert family.delete("a") == ["answer T: simple_one_for_one"]
    assert family.terminate("z") == ["answer T: not_found"]
    assert family.terminate("a") == ["tell a 1"]
    assert family.ends("a") == ["answer T: a", "drop a shutdown"]


def test_a_child_of_one_spec_that_does_not_start_is_forgotten_or_tried_again() -> None:
    family = crew()
    family.start("d", "T")
    assert family.crash("d") == ["answer T: d refused failure", "drop d failure"]
    family.crash("a")
    assert family.ends("a", FAILURE) == ["launch a 3"]


def test_a_child_of_one_spec_is_terminated_in_its_backoff() -> None:
    family = home(strategy="simple_one_for_one", backoff=PAUSE)
    family.start("a")
    family.up("a")
    family.crash("a")
    assert family.terminate("a") == ["drop a failure", "answer T: a"]
    assert family.phases == {}
