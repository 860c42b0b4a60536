"""Keyed types: one slot per id, exclusive or shared, built with the keywords it was asked with."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.borrowing import DEEPEST, alike
from pepperpy_resources.core.policy import Backoff
from tests.core.rig import Rig

# -- keys (case 22)


def test_the_same_key_waits_its_turn_and_blocks_no_other() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a")
    assert rig.acquire("db:a") == ["wait"]
    assert rig.acquire("db:b") == ["wait", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 3"]
    assert rig.release("db:a") == ["ended 1", "lease 1 to 2"]


def test_a_key_has_one_slot_and_keeps_it() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.release("db:b")
    assert rig.acquire("db:a") == ["lease 1"]
    assert rig.acquire("db:b") == ["lease 2"]


def test_a_shared_key_has_max_holders() -> None:
    rig = Rig(keyed=True, max_holders=2)
    rig.acquire("db:a")
    rig.acquire("db:a")
    rig.acquire("db:a")
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "lease 1 to 2"]
    assert rig.release("db:a", epoch=2) == ["ended 1", "lease 1 to 3"]
    assert rig.release("db:a", epoch=1) == ["ended 1"]
    assert rig.acquire("db:a") == ["lease 1"]
    assert rig.acquire("db:a") == ["wait"]
    assert set(rig.pool.slots[1].leases) == {3, 4}


def test_a_shared_slot_that_has_expired_takes_no_new_holder() -> None:
    rig = Rig(keyed=True, max_holders=2, max_lifetime=10.0)
    rig.hold("db:a")
    assert rig.acquire("db:a", at=8.75) == ["wait"]
    assert rig.release("db:a") == ["ended 1", "close 1 lifetime"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]


def test_a_full_type_evicts_the_key_that_is_idle_longest_one_for_each_that_starves() -> None:
    rig = Rig(keyed=True, max_size=3)
    rig.hold("db:a", "db:b", "db:c")
    for at, name in [(1, "db:b"), (2, "db:a"), (3, "db:c")]:
        rig.release(name, at=at)
    assert rig.acquire("db:d") == ["wait", "close 2 idle"]
    assert rig.acquire("db:d") == ["wait"]  # the same key: one slot is enough
    assert rig.acquire("db:e") == ["wait", "close 1 idle"]
    # closing ones count against max_size; freed places go to the key that waits longest
    assert rig.send(on.Closed(2)) == ["gone 2", "open 4"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 5"]
    assert {n: s.lane.key for n, s in rig.pool.slots.items()} == {
        3: "db:c",
        4: "db:d",
        5: "db:e",
    }


def test_a_key_whose_close_was_given_up_makes_room_no_more_so_the_next_is_evicted() -> None:
    rig = Rig(keyed=True, max_size=2, close_timeout=2.0)
    rig.hold("db:a", "db:b")
    rig.release("db:a")
    rig.release("db:b")
    assert rig.acquire("db:c") == ["wait", "close 1 idle"]
    assert rig.tick(at=2) == ["abandon 1", "report 1", "open 3"]
    assert rig.acquire("db:d") == ["wait", "close 2 idle"]


def test_a_leased_key_is_evicted_as_soon_as_it_is_idle_if_another_starves() -> None:
    rig = Rig(keyed=True, max_size=1)
    rig.hold("db:a")
    assert rig.acquire("db:b") == ["wait"]
    assert rig.release("db:a") == ["ended 1", "close 1 idle"]
    assert rig.send(on.Closed(1)) == ["gone 1", "open 2"]
    assert rig.opened(2) == ["idle 2", "lease 2 to 2"]


def test_a_key_that_backs_off_starves_nobody_and_evicts_nobody() -> None:
    rig = Rig(keyed=True, max_size=2, backoff=Backoff(min=1.0, jitter=0.0))
    rig.hold("db:a")
    rig.release("db:a")
    rig.acquire("db:b")
    rig.send(on.OpenFailed(2))
    rig.send(on.OpenFailed(3))
    assert rig.acquire("db:c") == ["wait", "open 4"]  # not blocked by b's backoff
    assert rig.states == {1: "idle", 4: "opening"}
    assert rig.tick(at=1) == ["close 1 idle"]  # now b needs room


def test_keys_beyond_max_opening_are_opened_in_the_order_they_came() -> None:
    rig = Rig(keyed=True, max_size=math.inf, max_opening=1)
    for key in ("db:a", "db:b", "db:c"):
        rig.acquire(key)
    assert rig.opened(1) == ["idle 1", "lease 1 to 1", "open 2"]
    assert rig.pool.slots[2].lane.key == "db:b"
    assert rig.send(on.OpenFailed(2)) == ["gone 2", "open 3"]
    assert rig.pool.slots[3].lane.key == "db:c"
    assert rig.opened(3) == ["idle 3", "lease 3 to 3", "open 4"]
    assert rig.pool.slots[4].lane.key == "db:b"  # its second try comes after c's first


def test_a_key_that_backs_off_leaves_its_place_and_asks_for_no_other() -> None:
    rig = Rig(keyed=True, max_size=2, backoff=Backoff(min=1.0, jitter=0.0))
    rig.hold("db:a")
    rig.acquire("db:b")
    assert rig.send(on.OpenFailed(2)) == ["gone 2", "open 3"]  # nobody else needs the place
    assert rig.acquire("db:c") == ["wait"]
    assert rig.send(on.OpenFailed(3)) == ["gone 3", "open 4"]
    assert rig.pool.slots[4].lane.key == "db:c"
    assert rig.release("db:a") == ["ended 1"]  # it may idle: b does not want its place yet
    assert rig.tick(at=1) == ["close 1 idle"]


def test_two_keys_that_fail_take_turns_and_then_both_back_off() -> None:
    backoff = Backoff(min=1.0, jitter=0.0)
    rig = Rig(keyed=True, max_opening=1, create_timeout=3.0, backoff=backoff)
    rig.acquire("db:a")
    rig.acquire("db:b")
    assert rig.send(on.OpenFailed(1)) == ["gone 1", "open 2"]
    assert rig.tick(at=3) == ["abandon 2", "report 2", "open 3"]  # b hung
    assert rig.pool.slots[3].lane.key == "db:a"
    assert rig.send(on.OpenFailed(3)) == ["gone 3", "open 4"]
    assert rig.pool.slots[4].lane.key == "db:b"
    assert rig.send(on.OpenFailed(4)) == ["gone 4"]
    assert rig.tick(at=4) == ["open 5"]
    assert rig.pool.slots[5].lane.key == "db:a"


def test_a_key_nobody_uses_is_forgotten_but_not_while_it_backs_off() -> None:
    rig = Rig(keyed=True, backoff=Backoff(min=1.0, jitter=0.0))
    rig.acquire("db:a")
    rig.send(on.OpenFailed(1))
    rig.send(on.OpenFailed(2))
    rig.send(on.Cancel(1))
    assert list(rig.pool.lanes) == ["db:a"]
    assert rig.acquire("db:a", at=0.5) == ["wait"]  # the backoff holds for the next one, too
    rig.send(on.Cancel(2))
    rig.tick(at=1)
    assert rig.pool.lanes == {}


def test_a_bare_release_means_its_own_key_though_another_was_taken_out() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:a", "db:b")
    rig.send(on.Evict("db:a"))
    assert rig.release("db:c") == ["deny not_leased"]
    assert rig.release("db:b") == ["ended 2"]
    assert rig.release("db:a") == ["ended 1", "close 1 cleanup"]


def test_a_bare_release_means_the_lease_that_was_taken_out_before_its_successor() -> None:
    rig = Rig(keyed=True)
    rig.hold("db:b", "db:a")
    rig.send(on.Evict("db:a"))
    rig.hold("db:a")
    assert rig.release("db:a") == ["ended 2", "close 2 cleanup"]
    assert rig.release("db:a") == ["ended 3"]


# -- keywords


def test_a_key_asked_for_with_other_keywords_is_refused() -> None:
    rig = Rig(keyed=True)
    assert rig.acquire("db:a", arguments={"mode": "r"}) == ["wait", "open 1"]
    (opening,) = [effect for effect in rig.effects if isinstance(effect, do.Open)]
    assert (opening.key, opening.arguments) == ("db:a", {"mode": "r"})
    assert rig.acquire("db:a", arguments={"mode": "w"}) == ["deny keywords"]
    assert [e.error for e in rig.effects if isinstance(e, do.Deny)] == [{"mode": "r"}]
    assert rig.acquire("db:a", arguments={"mode": "r"}) == ["wait"]
    assert rig.acquire("db:a") == ["wait"]  # none given: whatever it was built with
    assert rig.acquire("db:a", arguments={}) == ["wait"]


def test_while_its_slot_closes_a_key_may_be_asked_for_with_other_keywords() -> None:
    rig = Rig(keyed=True)
    rig.acquire("db:a", arguments={"mode": "r"})
    rig.opened(1)
    rig.send(on.Discard("db:a"))
    assert rig.acquire("db:a", arguments={"mode": "w"}) == ["wait"]  # the old one still closes
    assert rig.acquire("db:a", arguments={"mode": "x"}) == ["deny keywords"]
    rig.send(on.Closed(1))
    (opening,) = [e for e in rig.effects if isinstance(e, do.Open)]
    assert opening.arguments == {"mode": "w"}


def test_who_waits_for_a_closing_slot_decides_what_comes_after_it() -> None:
    rig = Rig(keyed=True)
    rig.acquire("db:a", arguments={"mode": "r"})
    rig.opened(1)
    rig.acquire("db:a", arguments={"mode": "r"})
    rig.send(on.Discard("db:a"))
    assert rig.acquire("db:a", arguments={"mode": "w"}) == ["deny keywords"]


class Nosy:
    """A user's object that notices when somebody compares it."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("user code ran")

    def __hash__(self) -> int:
        raise AssertionError("user code ran")


class Sly(dict[str, Any]):
    def keys(self) -> Any:
        raise AssertionError("user code ran")


class Key(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise AssertionError("user code ran")

    def __hash__(self) -> int:
        return 1


NOSY = Nosy()
LONG = [1, [2, {"three": (4.0, None, b"5", True)}]]


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        (None, None, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {}, False),
        ({"a": 1}, None, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": float("1.5")}, {"a": float("1.5")}, True),  # two objects
        ({"a": LONG}, {"a": [1, [2, {"three": (4.0, None, b"5", True)}]]}, True),
        ({"a": LONG}, {"a": [1, [2, {"three": (4.0, None, b"6", True)}]]}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [1]}, {"a": (1,)}, False),
        ({"a": NOSY}, {"a": NOSY}, True),
        ({"a": NOSY}, {"a": Nosy()}, False),
        ({"a": Sly()}, {"a": Sly()}, False),
        ({"a": {Key("k"): 1}}, {"a": {Key("k"): 1}}, False),
        ({"a": {1}}, {"a": {1}}, False),  # by identity: its members could be anybody's
    ],
)
def test_comparing_keywords_runs_no_user_code(given: Any, known: Any, *, expected: bool) -> None:
    assert alike(given, known) is expected


def test_comparing_keywords_runs_no_user_code_of_hashed_keys_either() -> None:
    class Loud(str):
        __slots__ = ()
        seen = 0

        def __hash__(self) -> int:
            Loud.seen += 1
            return 1

        def __eq__(self, other: object) -> bool:
            Loud.seen += 1
            return False

    given, known = {"a": {Loud("k"): 1}}, {"a": {Loud("k"): 1}}
    Loud.seen = 0
    assert not alike(given, known)
    assert Loud.seen == 0


def test_cyclic_and_very_deep_keywords_are_unlike_but_do_no_harm() -> None:
    def ring() -> list[Any]:
        members: list[Any] = []
        members.append(members)
        return members

    def nested(depth: int) -> list[Any]:
        return [nested(depth - 1)] if depth else []

    def inside(depth: int) -> dict[str, Any]:
        return {"a": inside(depth - 1)} if depth else {}

    assert not alike({"a": ring()}, {"a": ring()})
    assert not alike({"a": nested(DEEPEST + 1)}, {"a": nested(DEEPEST + 1)})
    assert alike({"a": nested(DEEPEST - 1)}, {"a": nested(DEEPEST - 1)})
    assert not alike(inside(DEEPEST + 1), inside(DEEPEST + 1))
    assert alike(inside(DEEPEST - 1), inside(DEEPEST - 1))
    same = ring()
    assert alike({"a": same}, {"a": same})
