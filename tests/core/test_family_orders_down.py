"""Children terminated and deleted by hand, and counted; the words of refusal are OTP's."""

from __future__ import annotations

import pytest

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import Exit
from tests.core.families import FAILURE, NORMAL, home, kin, parked, waiting

# -- terminate_child


def test_a_child_is_terminated_and_stays_down() -> None:
    family = home("a", "b")
    assert family.terminate("a", "T1") == ["tell a 1"]
    assert family.terminate("a", "T2") == []
    assert family.ends("a") == ["answer T1: a", "answer T2: a"]
    assert family.phases == {"a": "down 1", "b": "up 1"}


@pytest.mark.parametrize("exit_", [NORMAL, FAILURE])
def test_however_it_ends_a_child_that_was_terminated_is_not_restarted(exit_: Exit) -> None:
    family = home("a")
    family.terminate("a")
    assert family.ends("a", exit_) == ["answer T: a"]
    assert family.phases == {"a": "down 1"}
    assert family.family.restarts == 0


def test_terminating_what_is_down_is_fine() -> None:
    family = home("a")
    family.terminate("a")
    family.ends("a")
    assert family.terminate("a", "T2") == ["answer T2: a"]


def test_a_child_that_waits_for_its_backoff_is_terminated_at_once() -> None:
    family = waiting()
    assert family.terminate("a") == ["answer T: a"]
    assert family.phases["a"] == "down 1"
    assert family.armed == float("inf")
    assert family.tick(at=100.0) == []


def test_a_parked_child_that_is_terminated_is_not_revived() -> None:
    family = parked()
    assert family.terminate("a") == ["answer T: a"]
    assert family.tick(at=100.0) == []
    assert family.phases["a"] == "down 1"


def test_terminated_while_it_starts_both_askers_are_told() -> None:
    family = home()
    family.start("a", "S")
    assert family.terminate("a", "T") == ["tell a 1"]
    assert family.up("a") == []
    assert family.ends("a") == ["answer T: a", "answer S: a refused shutdown"]


def test_terminated_before_its_turn_to_start_both_askers_are_told() -> None:
    family = home("a", "b", strategy="one_for_all")
    family.crash("a")
    assert family.start("c", "S") == []
    told = family.terminate("c", "T")
    assert told == ["answer S: c refused shutdown", "answer T: c"]
    assert family.ends("b") == ["launch a 2"]
    assert family.up("a") == ["launch b 2"]
    assert family.up("b") == []


def test_what_a_start_that_never_was_is_refused_with_is_not_its_last_end() -> None:
    family = home("a", "b", kin("c", restart="transient"), strategy="one_for_all")
    family.ends("c", NORMAL)
    family.crash("a")
    family.terminate("c")
    family.restart("c", "S")
    told = family.terminate("c", "T")
    assert told == ["answer S: c refused shutdown", "answer T: c"]


def test_a_temporary_child_that_is_terminated_is_forgotten() -> None:
    family = home(kin("a", restart="temporary"))
    family.terminate("a")
    assert family.ends("a") == ["answer T: a", "drop a shutdown"]
    assert family.start("a", "T2") == ["launch a 2"]


# -- delete_child


def test_a_child_that_is_down_is_deleted_and_its_id_is_free() -> None:
    family = home("a", "b")
    family.terminate("a")
    family.ends("a")
    assert family.delete("a") == ["drop a shutdown", "answer T: a"]
    assert family.phases == {"b": "up 1"}
    assert family.start("a") == ["launch a 2"]
    assert list(family.phases) == ["b", "a"]


def test_what_is_heard_of_a_child_that_was_forgotten_is_not_taken_for_its_successor() -> None:
    family = home(kin("a", restart="temporary"), "b")
    family.crash("b")
    family.crash("b")  # its third incarnation starts
    family.ends("a", NORMAL)
    assert family.start(kin("a", restart="temporary")) == ["launch a 2"]
    family.up("a")
    assert family.send(on.Exited("a", 1, FAILURE)) == []
    assert family.phases["a"] == "up 2"
    family.terminate("b")
    family.ends("b")
    family.delete("b")
    assert family.start("c") == ["launch c 4"]
    family.ends("a", NORMAL)
    assert family.start("a") == ["launch a 4"]


def test_a_parked_child_is_deleted() -> None:
    family = parked()
    assert family.delete("a") == ["drop a failure", "answer T: a"]
    assert family.tick(at=100.0) == []


# -- counting


def test_specs_those_alive_supervisors_and_workers_are_counted() -> None:
    family = home("a", kin("s", supervises=True), kin("t", restart="temporary"), "d")
    family.terminate("d")
    assert family.family.alive == 4  # it is stopping
    family.ends("d")
    family.start("e")
    assert family.family.alive == 4  # it is starting
    family.ends("t", NORMAL)
    specs = [child.spec for child in family.family.children.values()]
    assert [spec.id for spec in specs] == ["a", "s", "d", "e"]
    assert [spec.id for spec in specs if spec.supervises] == ["s"]
    assert family.family.alive == 3
    family.crash("a")
    assert family.family.alive == 3


def test_an_added_child_is_restarted_with_its_group_and_stopped_in_its_place() -> None:
    family = home("b", strategy="one_for_all")
    family.start("a")
    family.up("a")
    assert family.crash("b") == ["tell a 1"]
    assert family.ends("a") == ["launch b 2"]
    assert family.up("b") == ["launch a 2"]
    assert family.up("a") == []
    assert family.stop() == ["tell a 2"]
    assert family.ends("a") == ["tell b 2"]


def test_every_ticket_without_an_answer_is_known() -> None:
    family = home("a", "b", strategy="one_for_all")
    family.start("c", "C")
    family.terminate("a", "A1")
    family.terminate("a", "A2")
    family.terminate("a", None)
    assert sorted(family.family.tickets()) == ["A1", "A2", "C"]
    family.stop("S")
    assert sorted(family.family.tickets()) == ["A1", "A2", "C", "S"]
    family.ends("c")
    family.ends("b")
    assert sorted(family.family.tickets()) == ["A1", "A2", "S"]
    family.ends("a")
    assert family.family.tickets() == []
