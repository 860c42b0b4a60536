"""Children that are there already, as a supervisor finds them that takes another's place."""

from __future__ import annotations

import math

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import ChildPolicy
from pepperpy_resources.core.policy import Backoff
from tests.core.families import SHUTDOWN, Home, home, kin

STEADY = Backoff(min=1.0, factor=2.0, max=8.0, jitter=0.0)


def adopt(
    family: Home, child: ChildPolicy | str, number: int = 0, *, up: bool = False
) -> list[str]:
    child = kin(child) if isinstance(child, str) else child
    return family.send(on.Adopt(child, number, up))


def test_one_that_is_up_is_left_alone_and_comes_last() -> None:
    family = home("z")
    assert adopt(family, "a", 7, up=True) == []
    assert family.phases == {"z": "up 1", "a": "up 7"}
    assert family.family.alive == 2
    assert family.stop() == ["tell a 7"]
    assert family.ends("a") == ["tell z 1"]


def test_one_that_is_up_is_restarted_when_it_fails() -> None:
    family = home()
    adopt(family, "a", 7, up=True)
    assert family.crash("a") == ["launch a 8"]
    assert family.crash("a") == ["launch a 9"]
    assert family["a"].restarts == 2


def test_one_that_is_down_is_started_with_the_number_after_its_last() -> None:
    family = home()
    assert adopt(family, "a", 7) == ["launch a 8"]
    assert family.crash("a") == ["launch a 9"]


def test_a_temporary_one_that_does_not_start_is_not_started_again() -> None:
    family = home()
    assert adopt(family, kin("a", restart="temporary"), 7) == ["launch a 8"]
    assert family.crash("a") == ["drop a failure"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_one_that_is_up_holds_nobody_up_who_comes_after_it(strategy: str) -> None:
    family = home(strategy=strategy)
    adopt(family, "a", 7, up=True)
    assert family.start("b") == ["launch b 1"]


def test_its_group_counts_it_in() -> None:
    family = home("z", strategy="one_for_all")
    adopt(family, "a", 7, up=True)
    assert family.crash("z") == ["tell a 7"]
    assert family.ends("a") == ["launch z 2"]
    assert family.up("z") == ["launch a 8"]


def test_it_has_been_healthy_since_it_was_adopted() -> None:
    family = home(backoff=STEADY, intensity=None)
    family.now = 100.0
    adopt(family, "a", 1, up=True)
    family.crash("a")
    family.crash("a", at=101.0)
    family.tick()
    family.up("a")
    family.crash("a", at=109.9)  # too soon after it was up
    assert family["a"].failures == 3


@pytest.mark.parametrize("mode", ["new", "starting", "running"])
def test_one_that_is_up_holds_nobody_up(mode: str) -> None:
    family = Home("z")
    if mode == "new":
        adopt(family, "a", 7, up=True)
    assert family.send(on.Begin()) == ["launch z 1"]
    if mode == "starting":
        adopt(family, "a", 7, up=True)
    assert family.up("z") == ["all up"]
    if mode == "running":
        adopt(family, "a", 7, up=True)
    assert family.alive == "z1 a7"


# -- parked


def test_one_that_is_parked_stays_so_until_its_time() -> None:
    family = home(strategy="one_for_all")
    family.send(on.Adopt(kin("a"), 7, parked_until=33.0))
    assert family.phases == {"a": "parked 7"}
    assert family.armed == family["a"].due == 33.0
    assert family.start("b") == ["launch b 1"]
    family.up("b")
    assert family.tick() == ["launch a 8"]


def test_one_that_is_parked_and_does_not_start_by_hand_is_parked_once_more() -> None:
    family = home(revive_after=30.0)
    family.send(on.Adopt(kin("a"), 7, parked_until=33.0))
    family.now = 5.0
    assert family.restart("a") == ["launch a 8"]
    assert family.crash("a") == ["answer T: a refused failure", "park a failure"]
    assert family["a"].due == 35.0


def test_one_that_is_up_is_not_parked() -> None:
    family = home()
    family.send(on.Adopt(kin("a"), 7, up=True, parked_until=33.0))
    assert family.phases == {"a": "up 7"}
    assert family.armed == math.inf


def test_a_first_start_is_only_that_of_one_that_has_never_been_there() -> None:
    for number, told in [(0, ["all down failure"]), (1, ["launch a 3"]), (7, ["launch a 9"])]:
        family = Home()
        adopt(family, "a", number)
        family.send(on.Begin())
        assert family.crash("a") == told


def test_the_same_is_not_adopted_twice_and_nobody_by_a_family_that_ends() -> None:
    family = home("z")
    adopt(family, "a", 7, up=True)
    assert adopt(family, "a", 7, up=True) == []
    family.stop()
    assert adopt(family, "b", 7, up=True) == []
    assert family.phases == {"z": "up 1", "a": "stopping 7"}
    assert family.family.stale == 2


def test_its_end_is_heard_though_higher_numbers_have_been_forgotten() -> None:
    family = home(kin("t", restart="temporary"))
    adopt(family, kin("u", restart="temporary"), 20, up=True)
    family.ends("u")
    adopt(family, "a", 7, up=True)
    assert family.send(on.Exited("a", 7, SHUTDOWN)) == ["launch a 8"]
    assert adopt(family, "b", 7) == ["launch b 21"]
