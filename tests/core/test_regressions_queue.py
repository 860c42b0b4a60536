"""What the random histories have found, each as the shortest story that shows it."""

from __future__ import annotations

import math

from pepperpy_resources.core import events as on
from pepperpy_resources.core.budget import Book
from pepperpy_resources.core.effects import Demand
from pepperpy_resources.core.nowait import acquire_nowait
from pepperpy_resources.core.policy import Backoff
from tests.core.rig import Rig


def test_a_hook_that_hangs_takes_no_permit() -> None:
    """Abandoned, it does not count; nor may it keep a type of one permit from opening."""
    rig = Rig(max_size=3, budgeted=True, create_timeout=1.0, acquire_timeout=60.0)
    rig.send(on.Allot(1))
    rig.acquire("db:a")
    assert rig.tick(1.0)[:3] == ["abandon 1", "report 1", "open 2"]


def test_a_type_full_of_hooks_that_hang_asks_for_no_permit() -> None:
    """It opens nothing then, and others could use the permit."""
    rig = Rig(max_size=1, min_idle=1, budgeted=True, create_timeout=1.0)
    rig.send(on.Allot(1))
    rig.tick(1.0)
    assert rig.states == {1: "abandoned"}
    assert rig.tick(2.0) == []  # the backoff is over, and it still wants nothing
    assert rig.send(on.OpenFailed(1))[:2] == ["gone 1", "open 2"]


def test_a_key_asked_for_in_passing_is_opened_with_the_next_permit() -> None:
    """The key is forgotten with the acquire that did not wait for it; the wish is not."""
    rig = Rig(keyed=True, budgeted=True)
    rig.acquire("db:a", timeout=0)
    assert rig.send(on.Allot(1))[:2] == ["resized 10 0 1", "open 1"]


def test_an_acquire_in_passing_wishes_for_nothing_a_budget_cannot_give() -> None:
    """At its own max_size a type is not short of permits; later it would open for nobody."""
    rig = Rig(max_size=1, budgeted=True, has_close=True)
    rig.send(on.Allot(2))
    rig.hold("db:a")
    rig.acquire("db:b", timeout=0)
    rig.send(on.Discard("db:a"))
    rig.send(on.Closed(1))
    assert rig.send(on.Allot(3)) == ["resized 1 0 3", "demand 0 of 3, 0 idle, wants 0"]


def test_a_creation_for_nobody_is_what_was_wished_for() -> None:
    """There need not be another one."""
    rig = Rig(budgeted=True, acquire_timeout=1.0)
    rig.send(on.Allot(1))
    rig.hold("db:a")
    rig.acquire("db:b", timeout=0)
    rig.acquire("db:c")
    rig.send(on.Discard("db:a"))
    assert "open 2" in rig.send(on.Closed(1))
    rig.tick(1.0)
    assert rig.waiting == []
    assert not [text for text in rig.send(on.Allot(2)) if text.startswith("open")]


def test_the_circuit_is_as_open_on_the_short_way() -> None:
    """Out of attempts, an acquire is denied at once, though all slots are out and it could wait."""
    rig = Rig(max_size=1, backoff=Backoff(min=1.0, jitter=0.0, attempts=1), min_idle=1)
    rig.send(on.Opened(1))
    rig.hold("db:a")
    rig.send(on.Resize(max_size=2))
    rig.send(on.OpenFailed(2))
    rig.send(on.Resize(max_size=1))
    rig.tick(2.0)
    rig.pool.patience = 0.0  # as if somebody waited: no timer need be set
    assert acquire_nowait(rig.pool, on.Acquire("db:b"), 2.0) is None
    assert rig.acquire("db:b") == ["wait", "deny broken to 1"]


def test_keepalives_leave_the_idle_slots_in_order() -> None:
    """Or the one that has idled longest would be hidden behind one that was checked after it."""
    rig = Rig(has_check=True, keepalive=8.0, idle_timeout=20.0)
    rig.acquire("db:a")
    rig.acquire("db:b")
    rig.opened(1, at=0.0, chance=0.0)  # its keepalive is due at 1 + 8
    rig.opened(2, at=0.0, chance=0.8)  # its keepalive is due at 2 + 8 * 0.8
    rig.release("db:a", at=1.0)
    rig.release("db:b", at=2.0)
    assert rig.send(on.Sweep(), at=8.5) == ["check 2"]  # half of the idle ones
    rig.send(on.CheckPassed(2))
    assert list(rig.pool.idle) == [1, 2]
    assert "close 1 idle" in rig.send(on.Sweep(), at=21.0)


def said(permits: int, size: int, wanted: int, since: float = math.inf, idle: int = 0) -> Demand:
    """Return a type's word to its budget."""
    return Demand(permits, size, idle, 0.0 if idle else math.inf, wanted, since)


def test_a_permit_on_its_way_is_not_given_twice() -> None:
    """Who has yet to hear of a permit cannot have given it up, whatever it said before."""
    book = Book(1)
    assert book.tell("a", said(0, 0, 1, since=5.0)) == {"a": 1}
    assert book.tell("a", said(0, 0, 0)) == {}  # said before that permit arrived
    assert book.tell("b", said(0, 0, 1, since=6.0)) == {}
    assert book.tell("a", said(1, 0, 0)) == {"a": 0}  # heard it, and does not need it
    assert book.tell("a", said(0, 0, 0)) == {"b": 1}


def test_nobody_has_fewer_permits_than_none() -> None:
    """A type that has yet to use its only permit gives up that one, and not a slot it has not."""
    book = Book(1)
    assert book.tell("a", said(1, 0, 1, since=9.0)) == {}
    assert book.tell("b", said(0, 0, 1, since=5.0)) == {"a": 0}


def test_a_slot_that_was_used_after_its_keepalive_has_been_used() -> None:
    """The reset that follows a lease is not the check that ran before it."""
    rig = Rig(has_check=True, has_reset=True, keepalive=4.0, idle_timeout=10.0)
    rig.acquire("db:a")
    rig.opened(1, at=0.0, chance=0.0)
    rig.release("db:a", at=0.0)
    rig.send(on.ResetDone(1))
    assert rig.send(on.Sweep(), at=4.0) == ["check 1"]
    rig.send(on.CheckPassed(1))
    rig.acquire("db:b", at=6.0)
    rig.release("db:b", at=7.0)
    rig.send(on.ResetDone(1))
    assert rig.send(on.Sweep(), at=10.5) == []  # idle since 7
