"""Two types share a budget of three: never more than three resources, and everyone is served."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from pepperpy_resources import Budget, DefaultResourceManager, Intensity
from pepperpy_resources.actors.budget import BudgetActor
from pepperpy_resources.core import events as on
from pepperpy_resources.core.budget import Book
from pepperpy_resources.errors import AcquireTimeout, InvalidSpec, TypeParked, UsageError
from pepperpy_resources.messages import Acquire, Describe, Evict
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled, timed, usable
from tests.supervision.kit import crashing, in_thread, outcome

LIMIT = 3
SHARED = Budget("conns", LIMIT)
HOUR = 3600.0


def two_types(backend: Backend, **fields: Any) -> tuple[Any, Any]:
    fields.setdefault("budget", SHARED)
    return backend.spec("db", **fields), backend.spec("llm", **fields)


def permits(manager: DefaultResourceManager) -> dict[str, float]:
    """Return what each type believes it may have."""
    root: Any = manager._root
    return {name: state.pool.permits for name, state in root.types.items()}


def book(manager: DefaultResourceManager) -> Book:
    actor = manager.cell("budget:conns").actor
    assert isinstance(actor, BudgetActor)
    return actor.book


def test_what_was_asked_back_for_nobody_keeps_no_one_from_what_idles() -> None:
    """An acquire that gave up has asked for llm's permit, which is lent for an hour yet."""

    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "llm:a")
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:c", timeout=5.0)
            assert permits(manager) == {"db": 2, "llm": 1}  # and nobody waits for it any more
            waiting = asyncio.create_task(timed(manager.acquire("llm:b")))
            await asyncio.sleep(2.0)
            await manager.release("db:a")
            assert (await waiting)[0] == pytest.approx(2.0)
        assert backend.most_live == LIMIT

    run(main())


def test_who_waits_for_what_is_lent_is_served_by_what_idles_elsewhere() -> None:
    async def main() -> None:
        backend = Backend()
        third = backend.spec("web", budget=SHARED)
        async with serving(*two_types(backend), third) as manager:
            await hold(manager, "llm:a", "web:a", "web:b")
            waiting = asyncio.create_task(timed(manager.acquire("db:a")))
            await asyncio.sleep(1.0)
            held = permits(manager)
            assert held["llm"] + held["web"] == LIMIT - 1  # one was asked back
            debtor = "llm" if held["llm"] == 0 else "web"
            await manager.release({"llm": "web:a", "web": "llm:a"}[debtor])
            assert (await waiting)[0] == pytest.approx(1.0)
            assert sum(permits(manager).values()) == LIMIT  # nothing is asked back any more
        assert backend.most_live == LIMIT

    run(main())


async def hold(manager: DefaultResourceManager, *ids: str) -> None:
    for resource_id in ids:
        await manager.acquire(resource_id, timeout=60)


# -- shared


def test_never_more_than_the_limit_at_once_whoever_asks() -> None:
    async def main() -> None:
        backend = Backend(open=0.1, close=0.1)
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "llm:a")
            for name in ("db", "llm"):
                with pytest.raises(AcquireTimeout, match="budget"):
                    await manager.acquire(f"{name}:more", timeout=5.0)
            assert backend.live == LIMIT
            waiting = asyncio.create_task(timed(manager.acquire("llm:b")))
            await settled()
            await manager.release("db:a")
            seconds, _ = await waiting
            assert seconds == pytest.approx(0.2)  # one is closed for it, then one is opened
            assert sum(permits(manager).values()) == LIMIT
        assert backend.most_live == LIMIT
        backend.assert_all_closed()

    run(main())


def test_the_type_whose_acquire_waits_longest_is_served_first() -> None:
    async def main() -> None:
        backend = Backend()
        third = backend.spec("web", budget=SHARED)
        async with serving(*two_types(backend), third) as manager:
            await hold(manager, "web:a", "web:b", "web:c")
            served: list[str] = []

            async def borrow(resource_id: str) -> None:
                async with manager.lease(resource_id):
                    served.append(resource_id)
                    await asyncio.sleep(HOUR)

            ids = ["llm:1", "db:1", "llm:2"]
            tasks: list[asyncio.Task[None]] = []
            for resource_id in ids:
                tasks.append(asyncio.create_task(borrow(resource_id)))
                await asyncio.sleep(0.1)
            for number, released in enumerate(("web:a", "web:b", "web:c"), 1):
                await manager.release(released)
                await settled()
                assert served == ids[:number]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert backend.most_live == LIMIT

    run(main())


def test_what_idles_longest_is_closed_whichever_type_it_is_of() -> None:
    async def main() -> None:
        backend = Backend()
        specs = [backend.spec(name, budget=SHARED) for name in ("db", "llm", "web")]
        async with serving(*specs) as manager:
            await hold(manager, "db:a", "llm:a", "db:b")
            for released in ("llm:a", "db:a", "db:b"):
                await manager.release(released)
                await asyncio.sleep(1.0)
            await hold(manager, "web:a")
            assert [fake.closes for fake in backend.fakes] == [0, 1, 0, 0]  # llm:a came back first
            await hold(manager, "web:b")
            assert sum(fake.closes for fake in backend.fakes[:3]) == 2
            assert permits(manager) == {"db": 1, "llm": 0, "web": 2}
        assert backend.most_live == LIMIT

    run(main())


def test_without_waiting_a_creation_is_wished_for_and_serves_the_next() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:a", timeout=0)
            await settled()
            assert await manager.acquire("db:a", timeout=0) is backend.fakes[0]

    run(main())


def test_a_keyed_and_a_pooled_type_share_one_budget() -> None:
    async def main() -> None:
        backend = Backend()
        db = backend.spec("db", budget=SHARED, max_size=None)
        llm = backend.spec("llm", budget=SHARED, keyed=True, max_size=None)
        async with serving(db, llm) as manager:
            await hold(manager, "llm:a", "llm:b", "db:a")
            await manager.release("llm:a")
            await hold(manager, "llm:c")  # its own idle key makes room
            await manager.release("llm:b")
            await hold(manager, "db:b")
            assert backend.live == LIMIT
        assert backend.most_live == LIMIT

    run(main())


# -- crashes


def test_a_crash_of_the_budget_loses_nothing() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "llm:a")
            waiting = asyncio.create_task(manager.acquire("llm:b"))
            await settled()
            for _ in range(3):
                crash(manager, "budget:conns")
                await settled()
            # One of db's is asked back already: it comes when a borrower returns it.
            assert permits(manager) == {"db": 1, "llm": 1}
            await manager.release("db:a")
            await asyncio.wait_for(waiting, 1.0)
            assert {name: share.permits for name, share in book(manager).shares.items()} == {
                "db": 1,
                "llm": 2,
            }
        assert backend.most_live == LIMIT

    run(main())


def test_while_the_budget_is_parked_nothing_is_given_and_after_30_seconds_everyone_is_served() -> (
    None
):
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "db:c")
            for _ in range(4):
                crash(manager, "budget:conns")
                await settled()
            assert manager.cell("budget:conns").status == "failed"
            waiting = asyncio.create_task(timed(manager.acquire("llm:a", timeout=60.0)))
            await settled()
            await manager.release("db:a")
            await hold(manager, "db:d")  # within a type everything goes on
            await manager.release("db:d")
            assert (await waiting)[0] == pytest.approx(30.0)
        assert backend.most_live == LIMIT

    run(main())


def test_what_was_said_before_a_crash_of_the_budget_does_not_count_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The type has heard of its permit since: given to another as well it would be spent twice."""

    async def main() -> None:
        backend = Backend()
        one = Budget("conns", 1)
        # As if llm's acquire had come in nine seconds before those of db.
        first = backend.spec("llm", budget=one, priority=9)
        async with serving(backend.spec("db", budget=one), first) as manager:
            told: list[str] = []
            real = Book.tell

            def tell(self: Book, name: str, demand: Any) -> dict[str, int]:
                told.append(name)
                if len(told) == 2:
                    raise RuntimeError("the second word")
                return real(self, name, demand)

            monkeypatch.setattr(Book, "tell", tell)
            replies: list[Any] = []

            def burst() -> None:  # all of it is queued before the first turn
                for number in range(3):
                    message = Acquire(f"db:{number}", timeout=9.0)
                    replies.append(manager.actor("db").ask(message))
                replies.append(manager.actor("llm").ask(Acquire("llm:a", timeout=9.0)))

            in_thread(burst)
            await settled()
            assert told[0] == told[1] == "db"
            assert backend.live == backend.most_live == 1
            assert sum(permits(manager).values()) <= 1
            for reply in replies:
                await outcome(reply)
        assert backend.most_live == 1

    run(main())


@pytest.mark.parametrize("name", ["db", "llm"])
def test_a_crash_of_a_type_keeps_its_permits(name: str) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "llm:a")
            for _ in range(3):
                crash(manager, name)
                await settled()
            assert permits(manager) == {"db": 2, "llm": 1}
            await manager.release("db:b")
            await hold(manager, "llm:b")
        assert backend.most_live == LIMIT

    run(main())


async def park(manager: DefaultResourceManager, name: str, times: int = 4) -> None:
    for _ in range(times):
        crash(manager, name)
        await settled()
    assert manager.cell(name).status == "failed"


def test_what_a_parked_type_held_goes_to_the_others_and_comes_back_when_it_is_revived() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "db:c")
            waiting = asyncio.create_task(manager.acquire("llm:a"))
            await settled()
            await park(manager, "db")
            await asyncio.wait_for(waiting, 1.0)
            await hold(manager, "llm:b", "llm:c")
            manager.revive("db")
            await settled()
            with pytest.raises(AcquireTimeout):
                await manager.acquire("db:d", timeout=1.0)
            await manager.release("llm:a")
            await hold(manager, "db:d")
        assert backend.most_live == LIMIT

    run(main())


def test_a_type_that_cannot_even_be_shut_comes_back_without_its_permits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        backend = Backend()
        never = Intensity(restarts=0)
        async with serving(*two_types(backend, restart=never, min_idle=1)) as manager:
            await hold(manager, "db:a", "db:b")
            with crashing(monkeypatch, on.Shut, times=2):
                crash(manager, "db")
                await settled()
            with pytest.raises(TypeParked):
                await manager.acquire("db:x")
            await hold(manager, "llm:a", "llm:b", "llm:c")
            manager.revive("db")
            await settled()
            assert backend.live == LIMIT
            await manager.release("llm:a")
            await hold(manager, "db:c")
        assert backend.most_live == LIMIT
        backend.assert_all_closed()

    run(main())


# -- types come and go


def test_a_type_that_is_added_shares_and_one_that_is_removed_leaves_its_share() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "db:b", "llm:a")
            manager.add_type(backend.spec("web", budget=SHARED))
            waiting = asyncio.create_task(manager.acquire("web:a"))
            await settled()
            assert not waiting.done()
            removal = asyncio.create_task(manager.remove_type("db"))
            await settled()
            await manager.release("db:a")
            await asyncio.wait_for(waiting, 1.0)  # before the removal is through
            assert not removal.done()
            await manager.release("db:b")
            await removal
            await hold(manager, "web:b")
            assert set(book(manager).shares) == {"llm", "web"}
            with pytest.raises(InvalidSpec, match=r"budget.limit must be 3"):
                manager.add_type(backend.spec("other", budget=Budget("conns", 5)))
            manager.add_type(backend.spec("db", budget=SHARED))  # the same name again
            await manager.release("web:b")
            await hold(manager, "db:a")
        assert backend.most_live == LIMIT

    run(main())


def test_a_budget_ends_with_its_last_type_and_may_come_back_with_another_limit() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("other"), *two_types(backend)) as manager:
            await manager.remove_type("db")
            await hold(manager, "llm:a")
            assert manager.cell("budget:conns").status == "running"
            await manager.release("llm:a")
            await manager.remove_type("llm")
            assert "budget:conns" not in manager.tree().render()
            manager.add_type(backend.spec("db", budget=Budget("conns", 5)))
            await usable(manager, "db", 5)
        assert backend.most_live == 5

    run(main())


def test_stop_is_as_short_as_without_a_budget_and_closes_everything() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            await hold(manager, "db:a", "llm:a")
            waiting = [asyncio.create_task(outcome(manager.acquire(f"db:{n}"))) for n in range(5)]
            await settled()
            stop = asyncio.create_task(timed(manager.stop(30.0)))
            await asyncio.sleep(1.0)
            await manager.release("llm:a")
            await manager.release("db:a")
            await asyncio.sleep(0)
            assert (await stop)[0] <= 30.0
            assert len(await asyncio.gather(*waiting)) == 5
        backend.assert_all_closed()
        assert backend.most_live <= LIMIT

    run(main())


# -- seen


def test_it_is_in_the_tree_and_has_a_handle() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*two_types(backend)) as manager:
            (root,) = manager.tree().children
            assert [(n.path, n.kind) for n in root.children] == [
                ("metrics", "MetricsActor"),
                ("budget:conns", "BudgetActor"),
                ("db", "ResourceSupervisor"),
                ("llm", "ResourceSupervisor"),
                ("janitor", "Janitor"),
            ]
            handle = manager.actor("budget:conns")
            with pytest.raises(UsageError, match="does not understand Describe"):
                await handle.ask(Describe())
            with pytest.raises(UsageError, match="leases nothing"):
                await handle.ask(Acquire("db:a"))
            handle.tell(Evict())
            await hold(manager, "db:a")
            assert manager.cell("budget:conns").incarnation == 1

    run(main())


# -- random


class Clients:
    """Borrowers of both types that come and go, and note whether any was not served."""

    def __init__(self, manager: DefaultResourceManager, chance: random.Random) -> None:
        self.manager = manager
        self.chance = chance
        self.served = 0
        self.failed: list[BaseException] = []

    async def borrow(self) -> None:
        chance = self.chance
        await asyncio.sleep(chance.uniform(0, 20))
        name = chance.choice(("db", "llm", "web"))
        try:
            key = f"{name}:{chance.randrange(4)}" if name == "web" else name
            async with self.manager.lease(key, timeout=600.0, priority=chance.randint(-2, 2)):
                await asyncio.sleep(chance.uniform(0, 0.5))
            self.served += 1
        except BaseException as error:
            self.failed.append(error)

    async def disturb(self) -> None:
        """Crash one actor every few seconds, and never one so often that it is parked."""
        for _ in range(8):
            await asyncio.sleep(self.chance.uniform(2, 4))
            crash(self.manager, self.chance.choice(("budget:conns", "db", "llm", "web")))


@pytest.mark.parametrize("seed", range(6))
def test_under_a_random_load_with_crashes_the_limit_holds_and_everyone_is_served(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        backend = Backend(open=0.05, close=0.02)
        often = Intensity(restarts=100)
        db, llm = two_types(backend, restart=often, min_idle=1)
        web = backend.spec("web", keyed=True, max_size=None, budget=SHARED, restart=often)
        async with serving(db, llm, web, stop=1.0) as manager:
            clients = Clients(manager, chance)
            disturbing = asyncio.create_task(clients.disturb())
            await asyncio.gather(*(clients.borrow() for _ in range(150)))
            await disturbing
            await asyncio.sleep(1.0)
            assert clients.failed == []
            assert clients.served == 150
            assert backend.most_live <= LIMIT
            assert sum(permits(manager).values()) <= LIMIT
            assert sum(share.held for share in book(manager).shares.values()) <= LIMIT
        assert backend.most_live <= LIMIT
        backend.assert_all_closed()

    run(main())
