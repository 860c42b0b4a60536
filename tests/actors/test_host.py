"""How turns are run: inline or queued, one at a time, two lanes, in bounded slices (law 2, 3)."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import Any

import pytest

from pepperpy_resources.actors.base import Crash, HostStop
from pepperpy_resources.actors.host import ASK, SLICE
from pepperpy_resources.actors.reply import Promise, Reply
from pepperpy_resources.errors import ActorDead, UsageError, WrongLoop
from pepperpy_resources.testing import run
from tests.actors.probe import Fail, Keep, Note, Probes, Send, noted, probes
from tests.supervision.kit import SECONDS, in_thread, settled


async def began(made: Probes) -> None:
    """Let the first turn, on_start, be over."""
    await settled(2)
    assert not made.host.ready


def test_a_turn_runs_at_once_on_the_own_loop() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            assert cell.deliver(Note("a"), ASK) == 1
            assert made.notes == ["a"]
            reply: Reply[int] = Reply(cell)
            cell.ask(Note("b"), reply)
            assert reply.get(timeout=0) == 2

    run(main())


def test_the_first_turn_is_on_start_whatever_was_sent_before() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            promise = cell.deliver(Note("early"), ASK)
            assert isinstance(promise, Promise)
            assert made.notes == []
            assert await promise.future == 1

    run(main())


def test_from_a_thread_it_is_queued_and_a_facade_call_is_refused() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            errors: list[BaseException] = []

            def work() -> None:
                cell.deliver(Note("from a thread"))
                try:
                    cell.deliver(Note("never"), ASK)
                except WrongLoop as error:
                    errors.append(error)

            in_thread(work)
            assert made.notes == []
            assert "use manager.actor('probe')" in str(errors[0])
            await settled(2)
            assert made.notes == ["from a thread"]

    run(main())


def test_from_another_loop_it_is_queued_and_a_facade_call_is_refused() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            errors: list[BaseException] = []

            async def elsewhere() -> None:
                cell.deliver(Note("from another loop"))
                with pytest.raises(WrongLoop) as caught:
                    cell.deliver(Note("never"), ASK)
                errors.append(caught.value)

            in_thread(lambda: asyncio.run(elsewhere()))
            assert made.notes == []
            for loop in (made.host.loop, "_UnixSelectorEventLoop"):
                assert str(loop) in str(errors[0])
            await settled(2)
            assert made.notes == ["from another loop"]

    run(main())


def test_no_turn_runs_inside_another_and_its_sends_are_drained_right_after() -> None:
    async def main() -> None:
        with probes() as made:
            one, two = made.cell("one"), made.cell("two")
            await began(made)
            answer = one.deliver(Send(two, ("to two", "to two again")), ASK)
            # "sent" was noted before the others had their turn; all is done when deliver returns.
            assert answer == "sent"
            assert made.notes == ["sent", "to two", "to two again"]
            made.notes.clear()
            one.deliver(Send(one, ("to itself",)))
            assert made.notes == ["sent", "to itself"]

    run(main())


def test_an_idle_actor_does_not_overtake_its_own_queue() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            in_thread(lambda: cell.deliver(Note("first")))
            promise = cell.deliver(Note("second"), ASK)
            assert isinstance(promise, Promise)
            assert await promise.future == 2
            assert made.notes == ["first", "second"]

    run(main())


def test_a_control_message_overtakes_ten_thousand_queued() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            stopped: list[int] = []
            made.host.on_host_stop = lambda: stopped.append(len(made.notes))

            def work() -> None:
                for n in range(10_000):
                    cell.deliver(Note(n))
                cell.control_message(HostStop())

            in_thread(work)
            assert cell.depth_high == 10_000
            await noted(made, 10_000)
            assert stopped == [0]
            assert made.notes == list(range(10_000))

    run(main())


def test_what_is_queued_is_handled_in_slices() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)

            def work() -> None:
                for n in range(SLICE * 3):
                    cell.deliver(Note(n))

            in_thread(work)
            seen = []
            for _ in range(4):
                await asyncio.sleep(0)
                seen.append(len(made.notes))
            assert seen in ([64, 128, 192, 192], [0, 64, 128, 192])

    run(main())


def test_a_flood_from_a_thread_does_not_starve_a_timer() -> None:
    # 50,000 tells take 782 slices, and a timer that is due fires after each of them.
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            loop, beats = asyncio.get_running_loop(), []

            def beat() -> None:
                beats.append(len(made.notes))
                if len(made.notes) < 50_000:
                    loop.call_later(0, beat)

            def flood() -> None:
                for n in range(50_000):
                    cell.deliver(Note(n))

            thread = threading.Thread(target=flood)
            thread.start()
            loop.call_later(0, beat)
            await noted(made, 50_000)
            await settled(3)
            thread.join(SECONDS)
            assert made.notes == list(range(50_000))
            assert max(after - before for before, after in pairwise(beats)) <= 2 * SLICE
            assert len(beats) > 390

    asyncio.run(main())


def test_fifo_per_sender_and_everyone_answered_from_eight_threads() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            answers: list[int] = []
            lock = threading.Lock()

            def sender(name: int) -> None:
                for n in range(500):
                    cell.deliver(Note((name, 2 * n)))
                    reply: Reply[int] = Reply(cell)
                    cell.ask(Note((name, 2 * n + 1)), reply)
                    with lock:
                        answers.append(reply.get(timeout=SECONDS))

            threads = [threading.Thread(target=sender, args=(name,)) for name in range(8)]
            for thread in threads:
                thread.start()
            await noted(made, 8000)
            for thread in threads:
                await asyncio.to_thread(thread.join, SECONDS)
            assert len(set(answers)) == 4000  # each note has its own count
            for name in range(8):
                mine = [n for sender_, n in made.notes if sender_ == name]
                assert mine == list(range(1000))

    asyncio.run(main())


def test_a_crash_loses_only_the_fatal_message() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            replies: list[Reply[Any]] = [Reply(cell) for _ in range(3)]

            def work() -> None:
                cell.ask(Note("one"), replies[0])
                cell.ask(Fail(ValueError("broken")), replies[1])
                cell.ask(Note("two"), replies[2])

            in_thread(work)
            await settled(3)
            assert replies[0].get(timeout=0) == 1
            with pytest.raises(ActorDead, match="ValueError: broken") as caught:
                replies[1].get(timeout=0)
            assert isinstance(caught.value.__cause__, ValueError)
            assert replies[2].get(timeout=0) == 2
            assert made.notes == ["one", "two"]
            assert cell.incarnation == 2
            crash = made.crashes[0]
            assert (crash.reason, crash.message) == ("ValueError: broken", "Fail")

    run(main())


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), MemoryError()])
def test_the_same_exception_crashes_it_under_tell_and_ask(error: BaseException) -> None:
    async def main() -> None:
        with probes() as made:
            cell, bystander = made.cell(), made.cell("bystander")
            await began(made)
            cell.deliver(Fail(error))
            await settled(2)
            assert cell.incarnation == 2
            reply: Reply[Any] = Reply(cell)
            cell.ask(Fail(error), reply)
            with pytest.raises(ActorDead):
                reply.get(timeout=0)
            await settled(2)
            assert (cell.incarnation, bystander.incarnation) == (3, 1)

    run(main())


def test_an_answer_may_come_later() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            reply: Reply[str] = Reply(cell)
            cell.ask(Keep(), reply)
            actor: Any = cell.actor
            asyncio.get_running_loop().call_later(5, actor.kept[0].set, "late")
            assert await reply == "late"

    run(main())


def test_an_unknown_message_is_refused_and_the_actor_lives() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            reply: Reply[Any] = Reply(cell)
            cell.ask("what?", reply)
            with pytest.raises(UsageError, match="probe does not understand str; it takes Fail"):
                reply.get(timeout=0)
            cell.deliver("what?")
            assert (cell.dead_letters, cell.incarnation) == (1, 1)
            cell.deliver(Crash())
            await settled(2)
            assert cell.incarnation == 2

    run(main())


def test_after_the_end_questions_are_answered_and_tells_are_dead_letters() -> None:
    async def main() -> None:
        with probes() as made:
            cell = made.cell()
            await began(made)
            queued: Reply[Any] = Reply(cell)
            in_thread(lambda: cell.ask(Note("queued"), queued))
        late: Reply[Any] = Reply(cell)
        cell.ask(Note("late"), late)
        cell.deliver(Note("lost"))
        for reply in (queued, late):
            with pytest.raises(ActorDead, match="stopped"):
                await reply
        assert (made.notes, cell.dead_letters) == ([], 1)

    run(main())
