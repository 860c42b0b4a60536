"""Case 67 on a pooled type, and what arrives while its supervisor is down (53, 54)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import Intensity
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import ActorDead, SupervisorCrashed
from pepperpy_resources.messages import Acquire, Describe, Release
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import (
    Fleet,
    crashing,
    fallen,
    in_thread,
    outcome,
    serving,
    settled,
    totals,
)


def test_67_five_leases_three_idle_ten_tickets() -> None:
    async def main() -> None:
        fleet = Fleet()
        spec = fleet.spec(max_size=8, check=fleet.check, fresh_for=1000.0)
        async with serving(spec) as manager:
            things = [await manager.acquire(f"db:{n}") for n in range(8)]
            for n in (5, 6, 7):
                await manager.release(f"db:{n}")
            before = totals(manager)
            handle = manager.actor("db")
            replies: list[Any] = []

            def work() -> None:  # the crash first, so that nobody is served before it
                crash(manager, "db")
                replies.extend(handle.ask(Acquire(f"db:t{n}")) for n in range(10))

            in_thread(work)
            await settled()
            assert manager.cell("db").incarnation == 2
            assert [thing.closed for thing in things] == [0] * 8
            # Three were idle: checked, though fresh, and lent to the first three in the queue.
            first = [await reply for reply in replies[:3]]
            assert {lease.resource for lease in first} == set(things[5:])
            assert [thing.checked for thing in things] == [0] * 5 + [1] * 3
            assert (await handle.ask(Describe())).slots["leased"] == 8
            for n in range(5):
                await manager.release(f"db:{n}")
                lease = await replies[3 + n]
                assert (lease.resource_id, lease.resource) == (f"db:t{3 + n}", things[n])
            for n, next_in_queue in ((0, 8), (1, 9)):
                await manager.release(f"db:t{n}")
                assert (await replies[next_in_queue]).resource_id == f"db:t{next_in_queue}"
            assert fallen(before, totals(manager)) == {}
        fleet.assert_all_closed_once()

    run(main())


def test_67_tickets_keep_their_deadlines() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            loop = asyncio.get_running_loop()
            await manager.acquire("db:holder")
            began = loop.time()
            ended: dict[str, float] = {}

            async def wait(name: str, timeout: float) -> None:
                assert isinstance(
                    await outcome(manager.acquire(f"db:{name}", timeout=timeout)), TimeoutError
                )
                ended[name] = loop.time() - began

            tasks = [asyncio.create_task(wait("short", 2)), asyncio.create_task(wait("long", 7))]
            await asyncio.sleep(1)
            crash(manager, "db")
            await asyncio.gather(*tasks)
            assert ended == {"short": 2, "long": 7}

    run(main())


def test_67_an_acquire_that_crashes_it_takes_no_lease_from_anybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two messages alike in every field: what the fatal one did is undone, and nothing else.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(borrow_stack="off")) as manager:
            handle = manager.actor("db")
            lease = await handle.ask(Acquire("db"))
            await handle.ask(Release("db", (await handle.ask(Acquire("db"))).epoch))
            mine = await handle.ask(Acquire("db"))
            for after in (False, True):
                with crashing(monkeypatch, on.Acquire, after=after):
                    assert isinstance(await outcome(handle.ask(Acquire("db"))), SupervisorCrashed)
            await settled()
            assert (lease.resource.closed, mine.resource.closed) == (0, 0)
            assert (await handle.ask(Describe())).slots["leased"] == 2
            for each in (lease, mine):
                assert await handle.ask(Release("db", each.epoch)) is None
        fleet.assert_all_closed_once()

    run(main())


def test_67_a_fatal_release_ends_only_its_own_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two holders share a resource; the release of one is fatal, after the lease has ended.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(keyed=True, max_holders=2)) as manager:
            handle = manager.actor("db")
            one, two = await handle.ask(Acquire("db:a")), await handle.ask(Acquire("db:a"))
            with crashing(monkeypatch, on.Release, after=True):
                assert await handle.ask(Release("db:a", one.epoch)) is None
            await settled()
            assert two.resource.closed == 0  # still held
            assert await handle.ask(Release("db:a", two.epoch)) is None
            await settled()
            assert two.resource.closed == 1
        fleet.assert_all_closed_once()

    run(main())


def test_53_messages_to_a_restarting_actor_keep_their_order() -> None:
    # A crash in the last place of a slice: the loop goes round before the restart.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            handle = manager.actor("db")
            served: list[str] = []
            await manager.acquire("db:holder")
            tasks = []

            async def borrow(name: str) -> None:
                async with manager.lease(f"db:{name}"):
                    served.append(name)

            def work() -> None:
                for _ in range(63):
                    handle.tell(Describe())
                crash(manager, "db")

            in_thread(work)
            await asyncio.sleep(0)
            assert manager.cell("db").status == "restarting"
            tasks += [asyncio.create_task(borrow(f"t{n}")) for n in range(10)]
            await manager.release("db:holder")  # asked before the borrowers' tasks have begun
            await asyncio.gather(*tasks)
            assert served == [f"t{n}" for n in range(10)]
            assert manager.cell("db").incarnation == 2
        fleet.assert_all_closed_once()

    run(main())


def test_54_questions_queued_behind_the_crash_are_answered() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec()) as manager:
            handle = manager.actor("db")
            replies: list[Any] = []

            def work() -> None:
                crash(manager, "db")
                replies.append(handle.ask(Describe()))
                replies.append(handle.ask(Acquire("db:a")))
                replies.append(handle.ask(Release("db:a")))

            in_thread(work)
            described, _lease, _released = await asyncio.gather(*map(outcome, replies))
            assert described.name == "db"
            assert manager.cell("db").incarnation == 2

    run(main())


@pytest.mark.parametrize("taken", ["by the facade", "by a reply"])
def test_67_a_lease_granted_just_before_a_crash_and_not_taken_is_given_back(taken: str) -> None:
    # The waiter is cancelled while the supervisor is down: nobody has the lease, so it must
    # not stay on the books.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            handle = manager.actor("db")
            held = await handle.ask(Acquire("db:holder"))

            async def ask() -> None:
                await handle.ask(Acquire("db:waiter"))

            work = manager.acquire("db:waiter") if taken == "by the facade" else ask()
            waiter = asyncio.create_task(work)
            await settled()

            def fill_a_slice() -> None:
                for _ in range(62):
                    handle.tell(Describe())
                handle.tell(Release("db:holder", held.epoch))  # which grants to the waiter
                crash(manager, "db")

            in_thread(fill_a_slice)
            asyncio.get_running_loop().call_soon(waiter.cancel)
            with pytest.raises(asyncio.CancelledError):
                await waiter
            await settled()
            assert manager.cell("db").incarnation == 2
            assert (await handle.ask(Describe())).leases == ()
            await manager.acquire("db:next", timeout=1)
            await manager.release("db:next")
        fleet.assert_all_closed_once()

    run(main())


def anything(value: Any) -> tuple[Any]:
    """Return an argument that type checkers let through."""
    return (value,)


async def refused_or_answered(handle: Any, message: Any) -> Any:
    """Ask: what is refused on the spot is an error like any other here."""
    return await handle.ask(message)


def test_malformed_messages_are_refused_and_crash_nobody() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(restart=Intensity(0, 5.0))) as manager:
            handle = manager.actor("db")
            await manager.acquire("db:a")
            release: Any = Release
            unhashable, number, number_as_text = anything({}), anything(5), anything("soon")
            wrong: tuple[Any, ...] = (
                release(["db:a"]),
                release("db:a", "1"),
                on.Discard(*unhashable),
                on.Evict(*number),
                Acquire("db:b", timeout=float("nan")),
                Acquire("db:b", timeout=float("-inf")),
                Acquire("db:b", *number_as_text),
            )
            for message in wrong:
                error = await outcome(refused_or_answered(handle, message))
                assert isinstance(error, Exception), message
                assert not isinstance(error, ActorDead), message
            assert manager.cell("db").incarnation == 1
            error = await outcome(asyncio.wait_for(manager.cleanup(*number), 1))
            assert isinstance(error, Exception)
            assert manager.cell("db").incarnation == 1

    run(main())
