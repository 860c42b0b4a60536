"""A full mailbox is a value that the sender can test, never an exception in its turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec

from pepperpy_resources.errors import MailboxFull
from pepperpy_resources.supervision import (
    Actor,
    ActorHandle,
    ChildSpec,
    Reply,
    Supervisor,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Fail,
    Play,
    Say,
    Script,
    incarnations,
    outcome,
    running,
    settled,
)


def counted(supervisor: Supervisor) -> int:
    """Return how many dead letters the only child has."""
    (child,) = supervisor.tree().children
    return child.dead_letters


class Fill(msgspec.Struct, frozen=True):
    """Send this many, and say how it went."""

    to: ActorHandle
    number: int


class Sender(Actor):
    """Sends to others."""

    @handles(Fill)
    def fill(self, message: Fill) -> Any:
        told = [message.to.tell(Say(number)) for number in range(message.number)]
        return told, message.to.ask(Say("asked"))


def test_59_a_full_mailbox_is_a_value_in_the_senders_turn() -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a", max_mailbox=3), ChildSpec("sender", Sender)]
        async with running(children) as supervisor:
            a, sender = supervisor.child("a"), supervisor.child("sender")
            a.tell(Play([1.0]))
            await settled()
            told, asked = await sender.ask(Fill(a, 5))
            assert told == [True, True, True, False, False]
            assert isinstance(asked, Reply)
            error = await outcome(asked)
            assert isinstance(error, MailboxFull)
            assert "top/a" in str(error)
            assert "max_mailbox" in str(error)
            letters = supervisor.dead_letters()
            assert [(letter.message.text, letter.why) for letter in letters] == [
                (3, "its mailbox holds 3 already"),
                (4, "its mailbox holds 3 already"),
            ]
            assert incarnations(supervisor) == {"a": 1, "sender": 1}
            await asyncio.sleep(2)
            assert script.log == ["start a", "a: 0", "a: 1", "a: 2"]
            assert a.tell(Say("room again")) is True

    run(main())


def test_59_a_full_mailbox_takes_orders_to_stop_and_to_die() -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a", max_mailbox=1), script.child("b", max_mailbox=1, drain=True)]
        async with running(children) as supervisor:
            for name in "ab":
                supervisor.child(name).tell(Play([1.0]))
                await settled()
                supervisor.child(name).tell(Say("the one"))
                assert supervisor.child(name).tell(Say("too many")) is False
            supervisor.child("a").kill()
            await settled()
            assert incarnations(supervisor) == {"a": 2, "b": 1}
        assert script.log == [
            "start a", "start b", "start a", "a: the one", "b: the one", "stop b", "stop a",
        ]  # fmt: skip

    run(main())


def test_59_a_queue_that_is_full_at_a_crash_is_kept() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a", max_mailbox=2)]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([1.0, Boom()]))
            await settled()
            assert [a.tell(Say(number)) for number in range(3)] == [True, True, False]
            await asyncio.sleep(2)
            assert script.log == ["start a", "start a", "a: 0", "a: 1"]

    run(main())


def test_59_a_full_mailbox_seen_from_a_thread() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a", max_mailbox=2)]) as supervisor:
            a, results = supervisor.child("a"), list[Any]()

            def send() -> None:  # while the loop stands still
                results.extend(a.tell(Say(number)) for number in range(3))
                try:
                    results.append(a.ask(Say("asked")).get(timeout=10))
                except MailboxFull as error:
                    results.append(error)

            thread = threading.Thread(target=send)
            thread.start()
            thread.join()
            assert results[:3] == [True, True, False]
            assert isinstance(results[3], MailboxFull)

    asyncio.run(main())


def test_59_a_ref_of_pykkas_does_not_raise_either() -> None:
    script = Script()

    async def main() -> None:
        async with running([script.child("a", max_mailbox=1)]) as supervisor:
            a = supervisor.child("a")
            a.tell(Play([1.0]))
            await settled()
            actor: Any = a._cell.actor
            for number in range(3):
                actor.actor_ref.tell(Say(number))
            assert counted(supervisor) == 2
            a.tell(Fail(Boom("never handled")))
            assert counted(supervisor) == 3

    run(main())
