"""The budget's books: who gets a permit, who gives one up, and that none is spent twice."""

from __future__ import annotations

import math
import random
from collections import deque

import pytest

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.budget import Book, Share
from tests.core.rig import Rig

NEVER = math.inf


def says(
    permits: int = 0,
    size: int | None = None,
    *,
    idle: int = 0,
    idle_since: float = NEVER,
    wanted: int = 0,
    since: float = NEVER,
    lent: int = 0,
) -> do.Demand:
    """Return a type's word; by default all its permits are in use."""
    slots = permits if size is None else size
    return do.Demand(permits, slots, idle, idle_since, wanted, since, lent)


def held(book: Book) -> int:
    return sum(share.held for share in book.shares.values())


# -- what was asked back and is lent out


def indebted() -> Book:
    """Return books of three: a waits at 0 for what was asked back from b, who has lent it."""
    book = Book(3)
    book.tell("b", says(wanted=1, since=0))
    book.tell("b", says(1, lent=1))
    book.tell("c", says(wanted=2, since=0))
    book.tell("c", says(2, lent=2, since=50))
    assert book.tell("a", says(wanted=1, since=0)) == {"b": 0}
    book.tell("b", says(0, size=1, lent=1))
    return book


def test_while_it_is_waited_for_no_more_is_asked_back() -> None:
    book = indebted()
    assert book.tell("c", says(2, lent=2, since=60)) == {}
    assert book.tell("b", says(0, size=0)) == {"a": 1}
    assert held(book) == 3


def test_what_idles_meanwhile_is_taken_and_the_debt_forgiven() -> None:
    book = indebted()
    assert book.tell("c", says(2, lent=1, idle=1, idle_since=70)) == {"b": 1, "c": 1}
    book.tell("b", says(1, lent=1))
    assert book.tell("c", says(1, lent=1)) == {"a": 1}
    assert held(book) == 3


def test_it_is_forgiven_when_nobody_waits_any_more() -> None:
    book = indebted()
    assert book.tell("a", says()) == {"b": 1}
    assert held(book) == 3


def test_a_debtor_that_has_yet_to_hear_of_it_is_forgiven_later() -> None:
    book = Book(1)
    book.tell("b", says(wanted=1, since=0))
    book.tell("b", says(1, lent=1))
    assert book.tell("a", says(wanted=1, since=0)) == {"b": 0}
    assert book.tell("a", says()) == {}  # b may be about to act on the word before
    assert book.tell("b", says(0, size=1, lent=1)) == {"b": 1}


def test_who_only_fills_up_has_nothing_that_is_lent_kept_for_it() -> None:
    book = indebted()
    assert book.tell("a", says(wanted=1)) == {"b": 1}


# -- what is free


def test_what_is_free_goes_to_who_wants_it() -> None:
    book = Book(3)
    assert book.tell("a", says(wanted=2, since=0)) == {"a": 2}
    assert book.tell("b", says()) == {}
    assert book.tell("b", says(wanted=1, since=5)) == {"b": 1}


def test_nobody_gets_more_than_it_wants() -> None:
    book = Book(10)
    assert book.tell("a", says(wanted=1, since=0)) == {"a": 1}
    assert book.tell("a", says(1, size=0, wanted=1, since=0)) == {}  # it has a permit for it
    assert book.tell("a", says(1, wanted=1, since=1)) == {"a": 2}


def test_never_more_than_the_limit() -> None:
    book = Book(2)
    assert book.tell("a", says(wanted=5, since=0)) == {"a": 2}
    assert book.tell("b", says(wanted=5, since=9)) == {}
    assert held(book) == 2


def test_who_waits_longest_is_served_first_whoever_spoke_first() -> None:
    book = Book(3)
    book.tell("x", says(wanted=3, since=0))
    book.tell("x", says(3))
    book.tell("a", says(wanted=2, since=5))
    book.tell("b", says(wanted=2, since=3))
    book.shares["x"].permits = 0  # asked back from it; now it goes altogether
    assert book.leave("x") == {"b": 2, "a": 1}


def test_who_fills_up_only_comes_after_all_who_wait() -> None:
    book = Book(1)
    book.tell("x", says(wanted=1, since=0))
    book.tell("x", says(1))
    assert book.tell("filling", says(wanted=1)) == {}
    book.tell("waiting", says(wanted=1, since=100))
    assert book.leave("x") == {"waiting": 1}


def test_one_who_joins_with_permits_of_before_keeps_them() -> None:
    """The budget has lost its books; the types have not."""
    book = Book(4)
    assert book.tell("a", says(3)) == {}
    assert book.tell("b", says(wanted=2, since=NEVER)) == {"b": 1}
    assert held(book) == 4


def test_the_word_of_one_who_holds_more_than_its_permits_counts() -> None:
    book = Book(3)
    book.tell("a", says(1, size=3))  # two are closing still
    assert book.tell("b", says(wanted=1, since=NEVER)) == {}
    assert book.tell("a", says(1, size=2)) == {"b": 1}


def test_leaving_frees_what_one_had() -> None:
    book = Book(2)
    book.tell("a", says(wanted=2, since=0))
    book.tell("b", says(wanted=1, since=5))
    assert book.leave("a") == {"b": 1}
    assert book.leave("nobody") == {}
    assert book.free == 1


# -- who gives up: first what is not used


def full(limit: int, **types: do.Demand) -> Book:
    """Return books in which these types have said their word, and everything is theirs."""
    book = Book(limit)
    for name, word in types.items():
        assert book.tell(name, word) == {}
    assert book.free == 0
    return book


def test_unused_permits_are_taken_back_before_anything_is_closed() -> None:
    book = full(3, idle=says(1, idle=1, idle_since=0), spare=says(2, size=1))
    assert book.tell("a", says(wanted=1, since=50)) == {"spare": 1}
    assert book.tell("spare", says(1)) == {"a": 1}


def test_unused_permits_are_taken_back_for_a_floor_too() -> None:
    book = full(2, spare=says(2, size=1))
    assert book.tell("filling", says(wanted=1)) == {"spare": 1}
    assert book.tell("spare", says(1)) == {"filling": 1}


def test_a_permit_that_is_wanted_is_not_unused() -> None:
    book = full(2, opening=says(2, size=1, wanted=1))
    assert book.tell("filling", says(wanted=1)) == {}


# -- then what is idle


def test_then_the_type_whose_slot_has_been_idle_longest_gives_one_up() -> None:
    book = full(
        4,
        young=says(2, idle=1, idle_since=9),
        old=says(2, idle=2, idle_since=3),
    )
    assert book.tell("a", says(wanted=1, since=10)) == {"old": 1}
    assert book.tell("old", says(1, size=2, idle=1, idle_since=5)) == {}  # still closing
    assert book.tell("old", says(1, idle=1, idle_since=5)) == {"a": 1}


def test_an_idle_slot_is_given_up_however_shortly_somebody_has_waited() -> None:
    book = full(1, idle=says(1, idle=1, idle_since=10))
    assert book.tell("a", says(wanted=1, since=10)) == {"idle": 0}


def test_no_more_is_asked_back_than_is_missing() -> None:
    book = full(3, idle=says(3, idle=3, idle_since=0))
    assert book.tell("a", says(wanted=1, since=10)) == {"idle": 2}
    assert book.tell("a", says(wanted=1, since=10)) == {}
    assert book.tell("b", says(wanted=1, since=11)) == {}  # once `idle` has heard of the first
    assert book.tell("idle", says(2, size=3, idle=2, idle_since=0)) == {"idle": 1}
    assert book.tell("idle", says(1, size=3, idle=1, idle_since=0)) == {}
    assert book.tell("idle", says(1, size=2, idle=1, idle_since=0)) == {"a": 1}
    assert book.tell("idle", says(1, idle=1, idle_since=0)) == {"b": 1}


def test_a_slot_that_was_told_to_close_already_is_not_told_twice() -> None:
    book = full(3, one=says(2, idle=1, idle_since=0), two=says(1, idle=1, idle_since=5))
    assert book.tell("a", says(wanted=2, since=10)) == {"one": 1, "two": 0}


def test_a_type_s_own_idle_slot_makes_room_for_another_of_its_keys() -> None:
    """The limit is reached, and its own slot has been idle longer than the other type's."""
    book = full(2, other=says(1, idle=1, idle_since=5), keyed=says(1, idle=1, idle_since=3))
    assert book.tell("keyed", says(1, idle=1, idle_since=3, wanted=1, since=9)) == {"keyed": 0}
    assert book.tell("keyed", says(0, size=1, wanted=1, since=9)) == {}  # it closes
    assert book.tell("keyed", says(0, size=0, wanted=1, since=9)) == {"keyed": 1}
    assert book.tell("keyed", says(1)) == {}


def test_to_close_its_own_slot_a_type_is_left_fewer_permits_than_it_has_slots() -> None:
    """It wants two, has one permit to use and one idle slot: that has to be closed."""
    book = full(2, keyed=says(2, size=1, idle=1, idle_since=3, wanted=1))
    told = book.tell("keyed", says(2, size=1, idle=1, idle_since=3, wanted=2, since=9))
    assert told == {"keyed": 0}
    assert book.tell("keyed", says(0, size=0, wanted=2, since=9)) == {"keyed": 2}


def test_a_type_keeps_its_own_idle_slot_if_another_s_has_been_idle_longer() -> None:
    book = full(2, other=says(1, idle=1, idle_since=2), keyed=says(1, idle=1, idle_since=3))
    told = book.tell("keyed", says(1, idle=1, idle_since=3, wanted=1, since=9))
    assert told == {"other": 0}
    assert book.tell("other", says(0)) == {"keyed": 2}


def test_for_a_floor_nothing_idle_is_given_up() -> None:
    book = full(1, idle=says(1, idle=1, idle_since=0))
    assert book.tell("filling", says(wanted=1)) == {}


# -- then what is busy


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (9.5, {}),  # it waits half a second longer: not worth a connection
        (9.0, {}),  # exactly one second
        (8.9, {"busy": 0}),
    ],
)
def test_a_busy_type_gives_one_up_to_who_has_waited_a_second_longer(
    since: float, expected: dict[str, int]
) -> None:
    book = full(1, busy=says(1, since=10))
    assert book.tell("a", says(wanted=1, since=since)) == expected


def test_of_the_busy_ones_the_one_that_waits_least_gives_one_up() -> None:
    book = full(3, nine=says(1, since=9), eleven=says(1, since=11), ten=says(1, since=10))
    assert book.tell("a", says(wanted=1, since=5)) == {"eleven": 0}


def test_a_busy_type_for_which_nobody_waits_gives_one_up_first() -> None:
    book = full(2, waiting=says(1, since=90), content=says(1))
    assert book.tell("a", says(wanted=1, since=95)) == {"content": 0}


def test_a_busy_type_gives_up_nothing_for_a_floor() -> None:
    book = full(1, busy=says(1))
    assert book.tell("filling", says(wanted=1)) == {}


def test_who_has_no_permit_left_is_not_asked() -> None:
    book = full(1, busy=says(1))
    assert book.tell("a", says(wanted=1, since=5)) == {"busy": 0}
    assert book.tell("b", says(wanted=1, since=6)) == {}


# -- a shrink that was not acknowledged yet


def test_what_was_asked_back_is_held_until_the_type_has_said_so() -> None:
    book = full(2, idle=says(2, idle=2, idle_since=0))
    assert book.tell("a", says(wanted=1, since=10)) == {"idle": 1}
    assert (book.free, held(book)) == (0, 2)
    # a word from before it heard of it: it may have lent both meanwhile
    assert book.tell("idle", says(2)) == {}
    assert book.tell("idle", says(1, size=2)) == {}  # heard of it, but both are out
    assert book.tell("idle", says(1)) == {"a": 1}


def test_what_was_asked_back_in_vain_is_free_for_the_next() -> None:
    book = full(1, idle=says(1, idle=1, idle_since=0))
    book.tell("a", says(wanted=1, since=10))
    assert book.tell("a", says()) == {}  # it has given up waiting
    assert book.tell("idle", says(0)) == {}
    assert book.free == 1
    assert book.tell("idle", says(0, wanted=1, since=20)) == {"idle": 1}


def test_a_giver_that_wants_its_permit_back_waits_its_turn() -> None:
    book = full(1, idle=says(1, idle=1, idle_since=0))
    book.tell("a", says(wanted=1, since=10))
    told = book.tell("idle", says(0, size=1, wanted=1, since=11))  # a newcomer met the shrink
    assert told == {}
    assert book.tell("idle", says(0, wanted=1, since=11)) == {"a": 1}


# -- a word on its way


def test_what_was_given_is_not_taken_back_before_the_type_has_heard_of_it() -> None:
    """Or else it would open what it heard of first, and another what it hears of later."""
    book = Book(2)
    assert book.tell("a", says(wanted=2, since=0)) == {"a": 2}
    assert book.tell("a", says(0, wanted=0)) == {}  # its tickets are gone; two permits are coming
    assert book.tell("b", says(wanted=1, since=1)) == {}
    assert book.tell("a", says(2, size=0)) == {"a": 1}
    assert book.tell("a", says(1, size=0)) == {"b": 1}


def test_what_was_taken_is_not_given_back_before_the_type_has_heard_of_it() -> None:
    book = full(2, a=says(2, idle=1, idle_since=0))
    assert book.tell("b", says(wanted=1, since=5)) == {"a": 1}
    book.leave("b")
    assert book.tell("a", says(2, wanted=1, since=6)) == {}  # it has not heard yet
    assert book.tell("a", says(1, size=2, wanted=1, since=6)) == {}
    assert book.tell("a", says(1, wanted=1, since=6)) == {"a": 2}


def test_what_is_free_is_kept_for_who_waits_longest_until_it_has_heard() -> None:
    book = Book(2)
    book.tell("x", says(1))
    assert book.tell("a", says(wanted=1, since=0)) == {"a": 1}
    assert book.tell("a", says(0, wanted=2, since=0)) == {"x": 0}  # one more has come
    assert book.tell("b", says(wanted=1, since=3)) == {}
    assert book.tell("x", says(0)) == {}  # free, but a's turn
    assert book.tell("a", says(1, wanted=1, since=0)) == {"a": 2}


def test_the_types_know_best_what_they_hold() -> None:
    """Its first word was an old one: it has had a permit of the books before these since."""
    book = Book(2)
    book.tell("a", says(0))
    assert book.tell("a", says(2)) == {}
    assert book.free == 0
    assert book.tell("b", says(wanted=1, since=5)) == {"a": 1}


# -- pools and books together


PATIENT = dict.fromkeys(("acquire_timeout", "create_timeout", "close_timeout"), NEVER)


class Market:
    """Several pools and one budget; each word travels, in its order, as long as it likes."""

    def __init__(self, limit: int, seed: int, **policies: dict[str, object]) -> None:
        self.chance = random.Random(seed)
        self.limit = limit
        self.book = Book(limit)
        self.words: dict[str, deque[do.Demand]] = {name: deque() for name in policies}
        self.allots: dict[str, deque[int]] = {name: deque() for name in policies}
        self.rigs = {
            name: Rig(budgeted=True, **PATIENT, **policy) for name, policy in policies.items()
        }
        self.now = 0.0
        for name, rig in self.rigs.items():
            self.heard(name, rig)

    def heard(self, name: str, rig: Rig) -> None:
        """Pass on what a pool has told the budget; look at what is spent."""
        self.words[name].extend(e for e in rig.effects if isinstance(e, do.Demand))
        assert sum(rig.pool.size for rig in self.rigs.values()) <= self.limit
        assert held(self.book) <= self.limit

    def send(self, name: str, event: on.Event) -> None:
        rig = self.rigs[name]
        while rig.pool.armed <= self.now:
            rig.send(on.Tick(), at=self.now)
            self.heard(name, rig)
        rig.send(event, at=self.now)
        self.heard(name, rig)

    def post(self, name: str) -> bool:
        """Deliver the oldest word or permit of a type, if one is on its way."""
        if self.words[name] and (not self.allots[name] or self.chance.random() < 0.5):
            for other, permits in self.book.tell(name, self.words[name].popleft()).items():
                self.allots[other].append(permits)
            assert held(self.book) <= self.limit
            return True
        if self.allots[name]:
            self.send(name, on.Allot(self.allots[name].popleft()))
            return True
        return False

    def ask(self, name: str) -> None:
        keyed = self.rigs[name].policy.keyed
        self.send(name, on.Acquire(f"db:{self.chance.randrange(4)}" if keyed else "db"))

    def finish(self, name: str) -> bool:
        """Let a hook of this type end, or a lease come back."""
        rig = self.rigs[name]
        ends: list[on.Event] = []
        for number, state in rig.states.items():
            if state == "opening":
                ends.append(on.Opened(number, f"r{number}"))
            if state == "closing":
                ends.append(on.Closed(number))
        ends += [on.Release(x.resource_id, x.epoch) for x in rig.pool.leases.values()]
        if ends:
            self.send(name, self.chance.choice(ends))
        return bool(ends)


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("seed", range(10))
def test_every_ticket_is_served_in_the_end_and_no_permit_is_spent_twice(
    limit: int, seed: int
) -> None:
    market = Market(
        limit,
        seed,
        a={"min_idle": 1},
        b={"max_size": 2, "priority": 2},
        k={"keyed": True},
    )
    names = list(market.rigs)
    for _ in range(1000):
        market.now += market.chance.choice([0.0, 0.1, 0.7])
        name = market.chance.choice(names)
        step = market.chance.randrange(3)
        if step == 0:
            market.ask(name)
        elif step == 1:
            market.post(name)
        else:
            market.finish(name)
    assert sum(rig.counters.acquired for rig in market.rigs.values()) > 40
    for _ in range(3000):  # nobody asks any more; all that is under way ends
        if not any(rig.waiting for rig in market.rigs.values()):
            break
        market.now += 0.1
        for name in names:
            market.post(name)
            market.finish(name)
    assert {name: rig.waiting for name, rig in market.rigs.items()} == {"a": [], "b": [], "k": []}


# -- several at once


def test_what_is_kept_for_those_who_have_yet_to_hear_adds_up() -> None:
    early = Share(says(1, wanted=1, since=0), 1, heard=False)
    later = Share(says(1, wanted=1, since=1), 1, heard=False)
    book = Book(4, {"a": early, "b": later})
    assert book.tell("c", says(wanted=2, since=2)) == {}  # two are free, one for a and one for b


def test_who_wants_two_of_a_busy_type_is_given_two() -> None:
    book = Book(2)
    book.tell("b", says(wanted=2, since=0))
    book.tell("b", says(2))
    assert book.tell("a", says(wanted=2, since=5)) == {"b": 0}


def test_what_nobody_waits_for_any_more_is_left_to_each_once() -> None:
    lender = Share(says(1, size=2, lent=2), 1)
    other = Share(says(1, size=2, lent=2), 1)
    book = Book(4, {"a": lender, "b": other})
    # Of the two that are to come back, c waits for one: the other is left to who has it.
    assert book.tell("c", says(wanted=1, since=0)) == {"a": 2}


# -- after a crash of the budget


def test_nothing_is_given_before_all_who_may_hold_something_have_said_so() -> None:
    book = Book(2, expected={"b", "c"})
    assert book.tell("a", says(wanted=1, since=0)) == {}
    assert book.tell("b", says(1)) == {}
    assert book.leave("c") == {"a": 1}
