"""Who is restarted when it ends by itself, and whose end ends the supervisor."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import Exit, ExitKind
from pepperpy_resources.core.policy import Backoff, Intensity
from tests.core.families import FAILURE, KILLED, NORMAL, SHUTDOWN, Home, home, kin

PAUSE = Backoff(min=1.0, jitter=0.0, attempts=1)


@pytest.mark.parametrize("exit_", [NORMAL, SHUTDOWN, FAILURE, KILLED])
def test_a_permanent_child_is_restarted_however_it_ended(exit_: Exit) -> None:
    family = home("a")
    assert family.ends("a", exit_) == ["launch a 2"]
    assert family["a"].exit is exit_
    assert family["a"].restarts == 1


@pytest.mark.parametrize("exit_", [NORMAL, SHUTDOWN])
def test_a_transient_child_that_was_done_stays_down_until_it_is_restarted_by_hand(
    exit_: Exit,
) -> None:
    family = home(kin("a", restart="transient"), intensity=Intensity(restarts=0))
    assert family.ends("a", exit_) == []
    assert family.phases == {"a": "down 1"}
    assert family.restart("a", "T") == ["launch a 2"]
    assert family.up("a") == ["answer T: a"]


@pytest.mark.parametrize("exit_", [FAILURE, KILLED])
def test_a_transient_child_that_failed_is_restarted(exit_: Exit) -> None:
    family = home(kin("a", restart="transient"))
    assert family.ends("a", exit_) == ["launch a 2"]


@pytest.mark.parametrize("exit_", [NORMAL, SHUTDOWN, FAILURE, KILLED])
def test_a_temporary_child_is_never_restarted_and_its_id_is_free_again(exit_: Exit) -> None:
    family = home(kin("a", restart="temporary"), intensity=Intensity(restarts=0))
    assert family.ends("a", exit_) == [f"drop a {exit_.kind}"]
    assert family.effects == [on.Drop("a", exit_)]
    assert family.phases == {}
    assert family.start("a", "T") == ["launch a 2"]  # numbers never come back


# -- a temporary bystander of a group restart


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_bystander_is_not_restarted_and_costs_nothing(strategy: str) -> None:
    limit = Intensity(restarts=1)
    family = home("a", kin("t", restart="temporary"), "b", strategy=strategy, intensity=limit)
    assert family.crash("a") == ["tell b 1"]
    assert family.ends("b") == ["tell t 1"]
    assert family.ends("t", FAILURE) == ["drop t failure", "launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.up("b") == []
    assert family.phases == {"a": "up 2", "b": "up 2"}
    assert family.family.restarts == 1


def test_a_temporary_bystander_that_is_just_starting_is_not_started_again() -> None:
    family = home("a", strategy="one_for_all")
    family.start(kin("t", restart="temporary"), "T")
    assert family.crash("a") == ["tell t 1"]
    assert family.ends("t") == ["answer T: t refused shutdown", "drop t shutdown", "launch a 2"]
    assert family.up("a") == []


def test_a_temporary_child_before_the_failed_one_stays() -> None:
    family = home(kin("t", restart="temporary"), "a", strategy="rest_for_one")
    assert family.crash("a") == ["launch a 2"]
    assert family.phases == {"t": "up 1", "a": "starting 2"}


def test_a_temporary_child_whose_turn_to_start_has_not_come_is_started_after_the_group() -> None:
    family = home("a", "b", strategy="one_for_all")
    family.crash("a")
    assert family.start(kin("t", restart="temporary"), "T") == []
    assert family.ends("b") == ["launch a 2"]
    family.up("a")
    assert family.crash("b") == ["tell a 2"]
    assert family.ends("a") == ["launch a 3"]
    family.up("a")
    assert family.up("b") == ["launch t 1"]
    assert family.up("t") == ["answer T: t"]


# -- significant children


def pair(when: str, restart: str = "transient", **rest: object) -> Home:
    """Return a family of two significant children between two others."""
    s, t = (kin(name, restart=restart, significant=True) for name in "st")
    return home("a", s, t, "z", auto_shutdown=when, **rest)


def test_any_significant_child_that_is_done_ends_its_supervisor() -> None:
    family = pair("any_significant")
    assert family.ends("s", NORMAL, at=3.0) == ["tell z 1"]
    family.ends("z")
    family.ends("t")
    assert family.ends("a") == ["all down shutdown"]
    reason = "significant child 's' ended"
    assert family.effects == [on.AllDown(Exit(ExitKind.SHUTDOWN, reason, at=3.0))]


def test_all_significant_children_have_to_be_done() -> None:
    family = pair("all_significant")
    assert family.ends("s", NORMAL) == []
    assert family.ends("t", SHUTDOWN) == ["tell z 1"]


def test_by_default_nothing_is_significant_enough() -> None:
    family = pair("never", "temporary")
    family.ends("s", NORMAL)
    assert family.ends("t", FAILURE) == ["drop t failure"]
    assert family.family.mode == "running"


def test_the_end_of_an_insignificant_child_ends_nobody() -> None:
    family = home(kin("a", restart="transient"), auto_shutdown="any_significant")
    assert family.ends("a", NORMAL) == []


def test_a_significant_child_that_is_restarted_ends_nobody() -> None:
    family = pair("any_significant")
    assert family.crash("s") == ["launch s 2"]


def test_a_temporary_significant_child_ends_its_supervisor_even_by_failing() -> None:
    family = pair("any_significant", "temporary")
    assert family.crash("s") == ["drop s failure", "tell z 1"]


@pytest.mark.parametrize("when", ["any_significant", "all_significant"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_what_is_terminated_by_hand_ends_nobody(when: str, restart: str) -> None:
    family = pair(when, restart)
    for name in "st":
        assert family.terminate(name) == [f"tell {name} 1"]
        assert family.ends(name, NORMAL)[0] == "answer T: " + name
    assert family.family.mode == "running"


@pytest.mark.parametrize("when", ["any_significant", "all_significant"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_what_a_sibling_s_group_restart_stops_ends_nobody(when: str, restart: str) -> None:
    family = pair(when, restart, strategy="one_for_all")
    assert family.crash("a") == ["tell z 1"]
    assert family.ends("z") == ["tell t 1"]
    forgotten = {name: [f"drop {name} normal"] if restart == "temporary" else [] for name in "st"}
    assert family.ends("s", NORMAL) == forgotten["s"]
    assert family.ends("t", NORMAL) == [*forgotten["t"], "launch a 2"]
    assert family.family.mode == "running"


def test_the_last_significant_child_ends_its_supervisor_though_another_was_stopped_by_hand() -> (
    None
):
    family = pair("all_significant")
    family.terminate("s")
    assert family.ends("t", NORMAL) == ["tell z 1"]  # s is on its way out already


def test_one_that_waits_for_its_backoff_is_not_done() -> None:
    family = pair("all_significant", backoff=PAUSE)
    family.crash("s")
    assert family.ends("t", NORMAL) == []
    assert family.tick() == ["launch s 2"]
    assert family.ends("s", NORMAL, at=1.0) == []  # did not start: that is a failure
    family.tick()
    family.up("s")
    assert family.ends("s", NORMAL) == ["tell z 1"]


def spread() -> Home:
    """Return a family with another child between the two significant ones; it has not begun."""
    s, t = (kin(name, restart="transient", significant=True) for name in "st")
    return Home(s, "x", t, auto_shutdown="all_significant", strategy="one_for_all")


def test_one_that_has_still_to_come_back_is_not_done() -> None:
    family = spread()
    family.begin()
    family.crash("x")
    family.ends("t")
    family.ends("s")
    assert family.up("s") == ["launch x 2"]
    assert family.ends("s", NORMAL) == []  # t is coming, and its end will be the last
    family.up("x")
    family.up("t")
    assert family.ends("t", NORMAL) == ["tell x 2"]


def test_one_that_has_still_to_come_up_for_the_first_time_is_not_done() -> None:
    family = spread()
    family.send(on.Begin())
    family.up("s")
    assert family.ends("s", NORMAL) == []
    assert family.up("x") == ["launch t 1"]
    assert family.up("t") == ["all up"]


def test_one_that_was_given_up_is_done() -> None:
    family = pair("all_significant", intensity=Intensity(restarts=0), budget_scope="child")
    assert family.crash("s") == ["park s failure"]
    assert family.ends("t", NORMAL) == ["tell z 1"]
