"""A family's first start and its end: the order, who holds it up, and who is killed."""

from __future__ import annotations

import itertools
import math

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import Exit, ExitKind
from pepperpy_resources.core.policy import Backoff
from tests.core.families import FAILURE, KILLED, NORMAL, SHUTDOWN, Home, home, kin

UNSORTED = ["delta", "alpha", "zulu", "bravo"]


def test_it_starts_empty_and_stops_clean() -> None:
    family = Home()
    assert family.send(on.Begin()) == ["all up"]
    assert family.stop("S") == ["all down shutdown", "answer S: shutdown"]
    assert family.armed == math.inf


def test_children_start_in_order_each_once_the_one_before_it_is_up() -> None:
    family = Home(*UNSORTED)
    assert family.send(on.Begin()) == ["launch delta 1"]
    assert family.up("delta") == ["launch alpha 1"]
    assert family.up("alpha") == ["launch zulu 1"]
    assert family.up("zulu") == ["launch bravo 1"]
    assert family.up("bravo") == ["all up"]


def test_children_stop_in_reverse_each_once_the_one_after_it_is_gone() -> None:
    family = home(*UNSORTED)
    assert family.stop() == ["tell bravo 1"]
    assert family.ends("bravo") == ["tell zulu 1"]
    assert family.ends("zulu") == ["tell alpha 1"]
    assert family.ends("alpha") == ["tell delta 1"]
    assert family.ends("delta") == ["all down shutdown"]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_start_that_fails_stops_those_started_and_names_the_child_and_the_cause(k: int) -> None:
    names = ["a", "b", "c", "d"]
    family = Home(*names)
    told = family.send(on.Begin(), at=7.0)
    for name in names[: k - 1]:
        told += family.up(name)
    told += family.crash(names[k - 1])
    for name in reversed(names[: k - 1]):
        told += family.ends(name)
    launches = [f"launch {name} 1" for name in names[:k]]
    tells = [f"tell {name} 1" for name in reversed(names[: k - 1])]
    assert told == [*launches, *tells, "all down failure"]
    down = family.effects[-1]
    assert isinstance(down, on.AllDown)
    assert down.exit.reason == f"child '{names[k - 1]}' failed to start: boom"
    assert down.exit.error is FAILURE.error
    assert down.exit.at == 7.0


def test_a_start_that_ends_well_but_is_not_acknowledged_has_failed() -> None:
    family = Home("a")
    family.send(on.Begin())
    assert family.ends("a", NORMAL) == ["all down failure"]


def test_a_start_that_takes_too_long_is_killed_and_has_failed() -> None:
    family = Home("a", kin("b", start_timeout=2.0))
    family.send(on.Begin())
    family.up("a", at=1.0)
    assert family.armed == 3.0
    assert family.tick() == ["kill b 1"]
    assert family.ends("b", KILLED) == ["tell a 1"]
    family.ends("a")
    down = family.effects[-1]
    assert isinstance(down, on.AllDown)
    assert down.exit.reason == "child 'b' failed to start: did not start within 2 s"
    assert family["b"].exit == Exit(ExitKind.FAILURE, "did not start within 2 s", at=3.0)


def test_an_acknowledgement_that_comes_after_the_kill_is_too_late() -> None:
    family = Home("a", "b")
    family.send(on.Begin())
    assert family.tick() == ["kill a 1"]
    assert family.up("a") == []
    assert family.family.stale == 1
    assert family.ends("a", KILLED) == ["all down failure"]


def test_a_start_without_a_deadline_is_waited_for() -> None:
    family = Home(kin("a", start_timeout=math.inf))
    family.send(on.Begin())
    assert family.armed == math.inf
    assert family.up("a", at=1e6) == ["all up"]


def test_a_child_that_is_up_may_fail_before_the_others_are() -> None:
    family = Home("a", "b", "c")
    family.send(on.Begin())
    family.up("a")
    assert family.crash("a") == ["launch a 2"]
    assert family.up("b") == []  # c waits for a, which comes before it
    assert family.up("a") == ["launch c 1"]
    assert family.up("c") == ["all up"]
    assert family["a"].restarts == 1


def test_what_was_up_once_and_does_not_come_back_is_no_failure_of_the_first_start() -> None:
    family = Home("a", "b")
    family.send(on.Begin())
    family.up("a")
    family.crash("a")
    assert family.crash("a") == ["launch a 3"]


def test_a_first_start_that_a_group_interrupts_is_still_the_first() -> None:
    family = Home("a", "b", strategy="one_for_all")
    family.send(on.Begin())
    family.up("a")
    assert family.crash("a") == ["tell b 1"]
    assert family.ends("b") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.crash("b") == ["tell a 2"]
    assert family.ends("a") == ["all down failure"]
    assert family.family.exit is not None
    assert family.family.exit.reason == "child 'b' failed to start: boom"


def test_it_begins_once() -> None:
    family = home("a")
    assert family.send(on.Begin()) == []
    assert family.family.mode == "running"
    family.stop()
    assert family.send(on.Begin()) == []
    assert family.ends("a") == ["all down shutdown"]
    assert family.send(on.Begin()) == []
    assert family.family.stale == 3


def test_nothing_starts_before_it_begins() -> None:
    family = Home("a", "b", kin("c", restart="temporary"))
    assert (family["a"].number, family["a"].due) == (0, math.inf)
    assert family.start("d", "D") == []
    assert family.terminate("b", "T") == ["answer T: b"]
    assert family.terminate("c", "T") == ["drop c None", "answer T: c"]
    assert family.send(on.Begin()) == ["launch a 1"]
    assert family.up("a") == ["launch d 1"]
    assert family.up("d") == ["answer D: d", "all up"]
    assert family.phases == {"a": "up 1", "b": "down 0", "d": "up 1"}


def test_stopped_before_it_begins() -> None:
    family = Home("a")
    assert family.start("b", "B") == []
    told = family.stop("S")
    assert told == ["answer B: b refused shutdown", "all down shutdown", "answer S: shutdown"]
    assert family.send(on.Begin()) == []


# -- stop


def test_an_obedient_child_ends_within_its_shutdown() -> None:
    family = home(kin("a", shutdown=3.0))
    assert family.stop(at=10.0) == ["tell a 1"]
    assert family.armed == 13.0
    assert family.ends("a", at=12.9) == ["all down shutdown"]
    assert family.armed == math.inf


def test_a_child_that_ignores_it_is_killed_at_the_deadline() -> None:
    family = home("a", kin("b", shutdown=3.0))
    family.stop(at=10.0)
    assert family.tick(at=12.9) == []
    assert family.tick(at=13.0) == ["kill b 1"]
    assert family.phases["b"] == "stopping 1"
    assert family.ends("b", KILLED) == ["tell a 1"]
    assert family["b"].exit is KILLED


def test_a_brutal_kill_is_at_once() -> None:
    family = home(kin("a", shutdown=0.0))
    assert family.stop() == ["kill a 1"]
    assert family.armed == math.inf
    assert family.ends("a", KILLED) == ["all down shutdown"]


def test_an_infinite_shutdown_is_waited_for() -> None:
    family = home(kin("a", shutdown=math.inf))
    assert family.stop() == ["tell a 1"]
    assert family.armed == math.inf
    assert family.tick(at=1e9) == []
    assert family.ends("a") == ["all down shutdown"]


@pytest.mark.parametrize("exit_", [NORMAL, SHUTDOWN, FAILURE, KILLED])
def test_children_of_every_type_that_end_while_it_stops_keep_their_own_reasons(exit_: Exit) -> None:
    kinds = ["permanent", "transient", "temporary"]
    for order in itertools.permutations(kinds):
        family = home(*(kin(kind, restart=kind) for kind in kinds), kin("last"))
        assert family.stop("S") == ["tell last 1"]
        for kind in order:
            dropped = [f"drop temporary {exit_.kind}"] if kind == "temporary" else []
            assert family.ends(kind, exit_) == dropped
        assert family.ends("last") == ["all down shutdown", "answer S: shutdown"]
        assert {name: family[name].exit for name in kinds[:2]} == dict.fromkeys(kinds[:2], exit_)
        assert family.family.restarts == 0


def test_a_child_in_its_backoff_is_down_at_once_and_does_not_come_back() -> None:
    family = home("a", "b", backoff=Backoff(min=1.0, jitter=0.0, attempts=1))
    assert family.crash("b") == []
    assert family.armed == 1.0
    assert family.stop(at=0.5) == ["tell a 1"]
    assert family.phases == {"a": "stopping 1", "b": "down 1"}
    assert family.armed == 5.5
    assert family.ends("a") == ["all down shutdown"]


def test_stop_twice_both_are_answered_and_nothing_is_told_twice() -> None:
    family = home("a")
    assert family.stop("S1") == ["tell a 1"]
    assert family.stop("S2", at=1.0) == []
    assert family.armed == 5.0
    told = family.ends("a")
    assert told == ["all down shutdown", "answer S1: shutdown", "answer S2: shutdown"]
    assert family.stop("S3") == ["answer S3: shutdown"]


def test_the_first_reason_to_stop_is_the_one_that_is_told() -> None:
    family = home("a")
    family.send(on.Stop(ExitKind.NORMAL, "done for today"), at=3.0)
    family.send(on.Stop(ExitKind.FAILURE, "a second thought"))
    family.ends("a")
    assert family.effects[-1] == on.AllDown(Exit(ExitKind.NORMAL, "done for today", at=3.0))


def test_killed_by_somebody_else_while_its_supervisor_waits_for_it() -> None:
    family = home("a", "b")
    family.stop()
    assert family.ends("b", KILLED) == ["tell a 1"]


def test_stop_during_the_first_start_takes_back_what_there_is() -> None:
    family = Home("a", "b", "c")
    family.send(on.Begin())
    family.up("a")
    assert family.stop("S") == ["tell b 1"]
    assert family.up("b") == []  # it was told before
    assert family.ends("b") == ["tell a 1"]
    assert family.ends("a") == ["all down shutdown", "answer S: shutdown"]
    assert family.phases == {"a": "down 1", "b": "down 1", "c": "down 0"}


def test_a_child_that_is_being_killed_is_not_told_to_stop() -> None:
    family = home("a", "c")
    family.terminate("a")
    family.ends("a")
    family.restart("a", "A")
    family.stop(at=29.0)
    assert family.tick(at=30.0) == ["kill a 2"]  # it did not start; c still has 4 s
    assert family.ends("c") == []
    assert family.phases["a"] == "stopping 2"
    assert family.armed == math.inf
    assert family.ends("a", KILLED) == ["answer A: a refused failure", "all down shutdown"]


def test_nothing_is_done_for_a_family_that_is_stopping_or_has_ended() -> None:
    family = home("a")
    family.stop()
    for _ in range(2):
        assert family.start("z") == ["answer T: stopping"]
        assert family.restart("a") == ["answer T: stopping"]
        assert family.terminate("a") == ["answer T: stopping"]
        assert family.delete("a") == ["answer T: stopping"]
        family.ends("a")
    assert family.family.mode == "ended"
