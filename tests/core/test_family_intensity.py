"""How often children may fail before their supervisor, or one of them, is given up."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import Exit, ExitKind, FamilyPolicy
from pepperpy_resources.core.policy import Backoff, Intensity
from tests.core.families import FAILURE, Home, home, kin
from tests.core.trees import Plan, Tree

TWICE = Intensity(restarts=2, period=5.0)


def test_so_many_failures_in_the_window_are_restarts_and_one_more_escalates() -> None:
    family = home("a", "b", intensity=TWICE)
    assert family.crash("a", at=0.0) == ["launch a 2"]
    family.up("a")
    assert family.crash("b", at=2.0) == ["launch b 2"]  # the budget is theirs together
    family.up("b")
    assert family.crash("a", at=5.0) == ["tell b 2"]  # the window includes its edge
    assert family.ends("b") == ["all down failure"]
    reason = "child 'a' failed more than 2 times in 5 s: boom"
    exit_ = Exit(ExitKind.FAILURE, reason, FAILURE.error, "Work", 5.0)
    assert family.effects == [on.AllDown(exit_)]
    assert family.family.restarts == 2


def test_failures_spaced_wider_than_the_period_never_escalate() -> None:
    family = home("a", intensity=Intensity(restarts=1, period=5.0))
    for number in range(2, 200):
        assert family.crash("a", at=5.5 * number) == [f"launch a {number}"]
        family.up("a")
    assert family["a"].restarts == 198


def test_without_restarts_the_first_failure_escalates() -> None:
    family = home("a", intensity=Intensity(restarts=0))
    assert family.crash("a") == ["all down failure"]


def test_without_an_intensity_nothing_ever_escalates() -> None:
    family = home("a", intensity=None)
    for number in range(2, 200):
        assert family.crash("a") == [f"launch a {number}"]
    assert family.left("a") is None


def test_restart_attempts_that_fail_count() -> None:
    family = home("a", intensity=TWICE)
    assert family.crash("a") == ["launch a 2"]
    assert family.crash("a") == ["launch a 3"]
    assert family.crash("a") == ["all down failure"]


def test_a_restart_that_takes_too_long_counts() -> None:
    family = home(kin("a", start_timeout=1.0), intensity=Intensity(restarts=1))
    family.crash("a")
    assert family.tick(at=1.0) == ["kill a 2"]
    assert family.ends("a") == ["all down failure"]
    assert family.family.exit is not None
    assert family.family.exit.reason.endswith("in 5 s: did not start within 1 s")


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_counts_once(strategy: str) -> None:
    family = home(*"abcd", strategy=strategy, intensity=Intensity(restarts=1))
    family.crash("a")
    for name in "dcb":
        family.ends(name, FAILURE)
    for name in "abcd":
        family.up(name)
    assert family.alive == "a2 b2 c2 d2"
    assert family.left("d") == 0
    assert family.family.restarts == 1
    assert [family[name].restarts for name in "abcd"] == [1, 0, 0, 0]


def test_starts_and_stops_by_hand_cost_nothing() -> None:
    family = home("a", intensity=Intensity(restarts=1))
    for _ in range(5):
        family.terminate("a")
        family.ends("a", FAILURE)
        family.restart("a")
        family.crash("a")  # before it is up
        family.restart("a")
        family.up("a")
    assert family.left("a") == 1


def test_the_budget_left_and_the_time_of_the_next_restart_are_visible() -> None:
    family = home("a", "b", intensity=TWICE, backoff=Backoff(min=1.0, jitter=0.0))
    assert family.left("b") == 2
    family.crash("a", at=10.0)
    assert family.left("b") == 1
    family.crash("a", at=11.0)
    assert family["a"].phase == "waiting"
    assert family["a"].due == 12.0
    assert family.left("a") == 0
    assert family.family.log is not None
    assert family.family.log.left(15.1) == 1  # though nothing has happened since
    assert family.family.log.left(16.1) == 2
    family.tick()
    family.up("a")
    assert family["a"].due == float("inf")


def test_a_child_that_fails_right_after_each_start_does_escalate() -> None:
    family = home("a", intensity=Intensity(restarts=3))
    for number in (2, 3, 4):
        assert family.crash("a") == [f"launch a {number}"]
        assert family.up("a") == []
    assert family.crash("a") == ["all down failure"]


# -- each child its own


def apart(**rest: object) -> Home:
    """Return a family of children that each have their own budget: one failure."""
    limit = Intensity(restarts=1, period=1000.0)
    return home("a", "b", budget_scope="child", intensity=limit, revive_after=30.0, **rest)


def test_a_child_that_exhausts_its_own_budget_is_parked_and_its_sibling_never_notices() -> None:
    family = apart()
    family.crash("a")
    family.up("a")
    assert family.crash("a", at=1.0) == ["park a failure"]
    assert family.effects == [on.Park("a", FAILURE)]
    assert family.phases == {"a": "parked 2", "b": "up 1"}
    assert (family.left("a"), family.left("b")) == (0, 1)
    assert family.family.log is None  # they have none together
    assert family.crash("b") == ["launch b 2"]


def test_a_parked_child_is_revived_after_a_while_as_if_it_had_never_failed() -> None:
    family = apart(backoff=Backoff(min=1.0, jitter=0.0))
    family.crash("a")
    family.crash("a", at=1.0)
    assert family["a"].due == 31.0
    assert family.tick() == ["launch a 3"]
    assert family.left("a") == 1
    assert family.crash("a") == ["launch a 4"]  # at once, it is the first again
    assert family.crash("a", at=32.0) == ["park a failure"]


def test_a_group_restart_brings_back_what_was_parked() -> None:
    family = apart(strategy="one_for_all")
    family.crash("b")
    family.ends("a")
    family.up("a")
    assert family.crash("b") == ["park b failure"]
    assert family.crash("a") == ["launch a 3"]
    assert family.up("a") == ["launch b 3"]
    assert family.up("b") == []


def test_a_child_may_be_parked_before_the_first_start_is_done() -> None:
    family = Home("a", "b", budget_scope="child", intensity=Intensity(restarts=0))
    family.send(on.Begin())
    family.up("a")
    assert family.crash("a") == ["park a failure"]
    assert family.up("b") == ["all up"]
    assert family.stop() == ["tell b 1"]
    assert family.phases["a"] == "down 1"


# -- supervisors of supervisors


def nested(inner: int, outer: int) -> Tree:
    """Return a tree whose only worker may fail so many times, and its supervisor in turn."""
    return Tree(
        {
            "root": Plan(FamilyPolicy(intensity=Intensity(outer)), (kin("mid", supervises=True),)),
            "mid": Plan(FamilyPolicy(intensity=Intensity(inner)), (kin("w"),)),
        }
    )


@pytest.mark.parametrize(("inner", "outer"), [(3, 2), (1, 4), (0, 2), (2, 0), (0, 0)])
def test_nested_budgets_multiply(inner: int, outer: int) -> None:
    tree = nested(inner, outer)
    while tree.ended is None:
        tree.up("w")
        tree.ends("w", FAILURE)
    assert tree.launches.count("w") == (inner + 1) * (outer + 1)
    assert tree.launches.count("mid") == outer + 1
    assert tree.ended.kind is ExitKind.FAILURE
    assert tree.ended.error is FAILURE.error
    assert tree.ended.reason == (
        f"child 'mid' failed more than {outer} times in 5 s: "
        f"child 'w' failed more than {inner} times in 5 s: boom"
    )


def test_a_worker_that_never_starts_is_a_supervisor_s_failure_to_start() -> None:
    tree = nested(inner=3, outer=2)
    tree.ends("w", FAILURE)
    assert tree.launches == ["mid", "w"]
    assert tree.ended is not None
    assert tree.ended.reason == ("child 'mid' failed to start: child 'w' failed to start: boom")


def test_a_supervisor_that_gave_up_is_restarted_with_its_initial_children() -> None:
    tree = nested(inner=0, outer=2)
    tree.up("w")
    tree.ask("mid", on.StartChild(kin("extra")))
    tree.up("extra")
    tree.ends("extra", FAILURE)
    tree.ends("w", FAILURE)  # it was told to stop
    tree.up("w")
    assert tree.nodes["mid"].number == 2
    assert list(tree.nodes["mid"].family.children) == ["w"]
    assert tree.nodes["root"].family.children["mid"].phase == "up"


def test_a_transient_supervisor_that_gave_up_has_failed() -> None:
    plans = {
        "root": Plan(FamilyPolicy(), (kin("mid", restart="transient"),)),
        "mid": Plan(FamilyPolicy(intensity=Intensity(0)), (kin("w"),)),
    }
    tree = Tree(plans)
    tree.up("w")
    tree.ends("w", FAILURE)
    assert tree.launches == ["mid", "w", "mid", "w"]
