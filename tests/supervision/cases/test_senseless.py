"""Case 7, messages: whatever is sent to a supervisor or to an actor, neither comes to harm.

What is asked is answered with an error, what is told becomes a dead letter, and nobody restarts.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperpy_resources.errors import ChildRefused, InvalidSpec, StartFailed, UsageError
from pepperpy_resources.supervision import (
    Actor,
    ChildCount,
    ChildSpec,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    StartWith,
    Supervisor,
    TerminateChild,
    WhichChildren,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.given import (
    JUNK,
    SECRET,
    Ugly,
    Unprintable,
    Unreadable,
    broken,
)
from tests.supervision.cases.kit import (
    Player,
    Script,
    incarnations,
    outcome,
    phases,
    running,
    settled,
)

# No id, no spec, no message anybody knows.
SENSELESS: list[Any] = [
    Ugly(), Unreadable(), Unprintable(), broken(), {}, {"a": 1}, set(), "a/b", "", object,
    *(given for given, _ in JUNK if given not in ("5", "x" * 61)),
]  # fmt: skip
EVERY = range(len(SENSELESS))  # pytest cannot look at them either
ANY_ORDER: list[Any] = [StartChild, RestartChild, TerminateChild, DeleteChild]
ANY_START: Any = StartWith


def children(script: Script) -> list[ChildSpec]:
    return [script.child("a"), ChildSpec("s", Supervisor())]


async def assert_unharmed(supervisor: Supervisor) -> None:
    assert supervisor.handle.status == "running"
    assert await phases(supervisor) == {"a": "up", "s": "up"}
    assert incarnations(supervisor) == {"a": 1, "s": 1}
    assert supervisor.tree().incarnation == 1


@pytest.mark.parametrize("path", ["", "a", "s"])
@pytest.mark.parametrize("number", EVERY)
def test_07_a_message_of_an_unknown_type_is_refused_and_harms_nobody(
    path: str, number: int
) -> None:
    message = SENSELESS[number]

    async def main() -> None:
        async with running(children(Script())) as supervisor:
            handle = supervisor.child(path) if path else supervisor.handle
            error = await outcome(handle.ask(message))
            assert isinstance(error, UsageError)
            kind = type(message).__name__
            assert f"{handle.path} does not understand {kind}; it takes " in str(error)
            assert supervisor.dead_letters() == []
            assert handle.tell(message) is (path == "a")  # a worker sees it later
            await settled()
            await assert_unharmed(supervisor)
            (letter,) = supervisor.dead_letters()
            assert (letter.path, letter.kind) == (handle.path, kind)
            assert letter.message is message
            assert SECRET not in repr(letter)

    run(main())


@pytest.mark.parametrize("order", ANY_ORDER)
@pytest.mark.parametrize("number", EVERY)
def test_07_an_order_with_a_senseless_field_is_refused_and_harms_nobody(
    order: Any, number: int
) -> None:
    message = order(SENSELESS[number])

    async def main() -> None:
        async with running(children(Script())) as supervisor:
            error = await outcome(supervisor.handle.ask(message))
            assert isinstance(error, InvalidSpec)
            assert SECRET not in str(error)
            assert supervisor.dead_letters() == []
            assert supervisor.handle.tell(message) is False
            await assert_unharmed(supervisor)
            (letter,) = supervisor.dead_letters()
            assert (letter.path, letter.kind) == ("top", order.__name__)
            assert letter.why == str(error)

    run(main())


@pytest.mark.parametrize("order", [RestartChild, TerminateChild, DeleteChild])
def test_07_an_order_about_nobody_is_answered_so_and_no_dead_letter(order: Any) -> None:
    async def main() -> None:
        async with running(children(Script())) as supervisor:
            error = await outcome(supervisor.handle.ask(order("5")))
            assert isinstance(error, ChildRefused)
            assert error.why == "not_found"
            assert supervisor.handle.tell(order("5")) is True
            assert supervisor.dead_letters() == []
            await assert_unharmed(supervisor)

    run(main())


def test_07_a_start_with_arguments_is_refused_where_children_have_their_own_specs() -> None:
    async def main() -> None:
        async with running(children(Script())) as supervisor:
            error = await outcome(supervisor.handle.ask(StartWith((1,))))
            assert isinstance(error, InvalidSpec)
            assert "start_child(ChildSpec(...))" in str(error)
            await assert_unharmed(supervisor)

    run(main())


@pytest.mark.parametrize("number", EVERY)
@pytest.mark.parametrize("field", ["args", "kwargs", "id"])
def test_07_a_start_with_senseless_arguments_fails_and_harms_nobody(
    field: str, number: int
) -> None:
    script, given = Script(), SENSELESS[number]
    if field == "id" and given is None:
        return  # as if it were left out

    async def main() -> None:
        flags = {"strategy": "simple_one_for_one"}
        async with running([script.child("a")], **flags) as supervisor:
            await supervisor.start_child()
            # More arguments than it takes: where the field makes sense, the start fails.
            fields = {"args": ("too many",), "kwargs": {"far": "too many"}, field: given}
            message = ANY_START(**fields)
            error = await outcome(supervisor.handle.ask(message))
            assert isinstance(error, (InvalidSpec, StartFailed))
            assert SECRET not in str(error)
            supervisor.handle.tell(message)
            assert (await phases(supervisor))["a-1"] == "up"
            assert (await supervisor.count_children()).active == 1
            assert supervisor.tree().incarnation == 1

    run(main())
    assert script.log == ["start a-1", "stop a-1"]


def test_07_a_start_with_other_arguments_that_make_sense_is_made() -> None:
    script = Script()
    template = ChildSpec("a", Player)

    async def main() -> None:
        async with running([template], strategy="simple_one_for_one") as supervisor:
            message = ANY_START(iter([script]), {}, "b")
            assert await supervisor.handle.ask(message) == "b"
            assert await phases(supervisor) == {"b": "up"}

    run(main())


class Returns(Actor):
    """Answers with whatever it was given the number of."""

    @handles(int)
    def answer(self, number: int) -> Any:
        return SENSELESS[number]


@pytest.mark.parametrize("number", EVERY)
def test_07_an_answer_may_be_anything(number: int) -> None:
    async def main() -> None:
        async with running([ChildSpec("a", Returns)]) as supervisor:
            assert await supervisor.child("a").ask(number) is SENSELESS[number]
            assert incarnations(supervisor) == {"a": 1}

    run(main())


SENT = st.tuples(
    st.sampled_from([None, *ANY_ORDER, StartWith, WhichChildren, CountChildren]),
    st.integers(0, len(SENSELESS) - 1),
    st.booleans(),
    st.sampled_from(["", "a", "s"]),
)


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(SENT, max_size=30))
def test_07_however_much_of_it_comes_everybody_lives_on(
    sent: list[tuple[Any, int, bool, str]],
) -> None:
    async def main() -> None:
        async with running(children(Script())) as supervisor:
            answers = []
            for kind, number, ask, path in sent:
                handle = supervisor.child(path) if path else supervisor.handle
                message = SENSELESS[number]
                if kind in (WhichChildren, CountChildren):
                    message = kind()
                elif kind is not None:
                    message = kind(message)
                if ask:
                    answers.append(handle.ask(message))
                else:
                    handle.tell(message)
            for answer in answers:
                found = await outcome(answer)
                assert isinstance(found, (UsageError, list, ChildCount))
            await assert_unharmed(supervisor)

    run(main())
