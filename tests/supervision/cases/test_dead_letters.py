"""Messages nobody can take: counted, readable, sampled to the log, never shown."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from pepperpy_resources.errors import UsageError
from pepperpy_resources.supervision import (
    Actor,
    ChildSpec,
    Supervisor,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Play,
    Say,
    Script,
    incarnations,
    outcome,
    running,
    settled,
)

SECRET = "hunter2"


class Login(msgspec.Struct, frozen=True):
    """A message whose contents are nobody's business."""

    password: str


def counted(supervisor: Supervisor) -> int:
    """Return how many dead letters the only child has."""
    (child,) = supervisor.tree().children
    return child.dead_letters


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines about dead letters."""
    messages = [record.getMessage() for record in caplog.records]
    return [text for text in messages if text.startswith("dead letter")]


def test_58_a_message_to_a_stopped_actor_is_counted_and_readable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            await supervisor.terminate_child("a")
            assert a.tell(Login(SECRET)) is False
            await settled()
            (letter,) = supervisor.dead_letters()
            assert (letter.path, letter.kind, letter.why) == ("top/a", "Login", "it is stopped")
            assert letter.message == Login(SECRET)
            assert letter.at == asyncio.get_running_loop().time()
            assert counted(supervisor) == 1
            shown = f"{letter!r} {letter} {supervisor!r} {supervisor.tree().render()} {a!r}"
            assert SECRET not in shown
            assert repr(letter) == "<DeadLetter Login for top/a: it is stopped>"

    run(main())
    assert lines(caplog) == ["dead letter: Login for top/a: it is stopped"]
    assert SECRET not in caplog.text


def test_58_messages_queued_when_it_ends_for_good_become_dead_letters() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([1.0]))
            for number in range(3):
                a.tell(Say(number))
            await settled()
            await supervisor.terminate_child("a")
            assert [letter.message.text for letter in supervisor.dead_letters()] == [0, 1, 2]
            assert counted(supervisor) == 3
        assert [letter.message.text for letter in supervisor.dead_letters()] == [0, 1, 2]

    run(main())


def test_58_a_message_the_actor_does_not_know_is_one_and_a_question_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            assert a.tell(Login(SECRET)) is True  # it was queued
            error = await outcome(a.ask(Login(SECRET)))
            assert isinstance(error, UsageError)
            assert "does not understand Login; it takes End, Fail, Play, Say" in str(error)
            assert SECRET not in str(error)
            (letter,) = supervisor.dead_letters()
            assert (letter.kind, letter.why) == ("Login", "it takes End, Fail, Play, Say")
            assert incarnations(supervisor) == {"a": 1}
            assert supervisor.handle.tell(Login(SECRET)) is False
            assert [each.path for each in supervisor.dead_letters()] == ["top/a", "top"]

    run(main())
    assert SECRET not in caplog.text


def test_58_the_log_gets_a_sample_and_the_list_the_last_hundred(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            await supervisor.terminate_child("a")
            for number in range(250):
                a.tell(Say(number))
            await asyncio.sleep(0.9)
            a.tell(Say("still within the second"))
            await asyncio.sleep(0.2)
            a.tell(Say("the last"))
            await settled()
            assert counted(supervisor) == 252
            texts = [letter.message.text for letter in supervisor.dead_letters()]
            assert texts == [*range(152, 250), "still within the second", "the last"]

    run(main())
    assert lines(caplog) == [
        "dead letter: Say for top/a: it is stopped",
        "dead letter: Say for top/a: it is stopped (and 250 more since the last such line)",
    ]


def test_58_dead_letters_from_eight_threads_are_all_counted() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a")]) as supervisor:
            a = supervisor.child("a")
            await supervisor.terminate_child("a")

            def send() -> None:
                for number in range(500):
                    assert a.tell(Say(number)) is False

            await asyncio.gather(*(asyncio.to_thread(send) for _ in range(8)))
            assert counted(supervisor) == 4000
            assert len(supervisor.dead_letters()) == 100

    asyncio.run(main())


def test_58_nothing_that_is_logged_or_shown_of_a_crash_has_the_message_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Secretive(Actor):
        @handles(Login)
        def login(self, _: Login) -> None:
            raise Boom("refused")

    async def main() -> None:
        async with running([ChildSpec("a", Secretive)]) as supervisor:
            a = supervisor.child("a")
            error = await outcome(a.ask(Login(SECRET)))
            assert SECRET not in f"{error} {error!r}"
            await settled()
            (info,) = await supervisor.which_children()
            assert info.exit is not None
            assert info.exit.message == "Login"
            assert SECRET not in f"{info} {supervisor.tree()} {supervisor.tree().render()}"

    run(main())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert SECRET not in caplog.text
