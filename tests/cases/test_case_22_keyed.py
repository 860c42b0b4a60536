"""Case 22: keyed types: a key blocks no other, shared or not, nor does a full budget."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from pepperpy_resources import Backoff, Budget, DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import AcquireTimeout, KeywordsRefused, NotLeased
from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, Fake, serving, settled, ticks, timed


def test_the_same_id_is_the_same_resource_one_holder_after_another() -> None:
    async def main() -> None:
        backend = Backend()
        served: list[int] = []
        async with serving(backend.spec("agent", keyed=True)) as manager:

            async def borrower(number: int) -> int:
                async with manager.lease("agent:writer") as fake:
                    fake.holders += 1
                    assert fake.holders == 1
                    served.append(number)
                    await ticks(2)
                    fake.holders -= 1
                    return id(fake)

            same = await asyncio.gather(*[borrower(number) for number in range(20)])
            assert len(set(same)) == 1
            assert served == list(range(20))
            assert backend.fakes[0].arguments == ("agent:writer",)
        assert backend.opened == 1
        backend.assert_all_closed()

    run(main())


def test_other_ids_are_other_resources_and_do_not_wait() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            fakes = [await manager.acquire(f"agent:{number}", timeout=1) for number in range(5)]
            assert len({id(fake) for fake in fakes}) == 5
            with pytest.raises(AcquireTimeout):
                await manager.acquire("agent:3", timeout=1)
            with pytest.raises(NotLeased):
                await manager.release("agent:5")

    run(main())


def test_a_shared_id_admits_max_holders_and_no_more() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("model", keyed=True, max_holders=3)) as manager:
            three = [await manager.acquire("model:big") for _ in range(3)]
            assert three == [backend.fakes[0]] * 3
            fourth = asyncio.ensure_future(manager.acquire("model:big"))
            await settled()
            assert not fourth.done()
            await manager.release("model:big")
            assert await fourth is backend.fakes[0]
            for _ in range(3):
                await manager.release("model:big")
            with pytest.raises(NotLeased):
                await manager.release("model:big")
        assert backend.opened == 1
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("holders", [1, 3])
def test_no_id_ever_has_more_holders_than_allowed(holders: int) -> None:
    async def main() -> None:
        backend = Backend()
        most = 0

        async with serving(backend.spec("model", keyed=True, max_holders=holders)) as manager:

            async def borrower(number: int) -> None:
                nonlocal most
                for turn in range(30):
                    async with manager.lease(f"model:{(number + turn) % 4}") as fake:
                        fake.holders += 1
                        most = max(most, fake.holders)
                        await ticks(number % 3)
                        fake.holders -= 1

            await asyncio.gather(*[borrower(number) for number in range(40)])
        assert most == holders
        assert backend.opened == 4
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("tick", range(12))
def test_a_cancelled_acquire_frees_its_id(tick: int) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            await manager.acquire("agent:a")
            waiter = asyncio.ensure_future(manager.acquire("agent:a"))
            await ticks(3)
            await manager.release("agent:a")
            await ticks(tick)
            if not waiter.cancel():
                await manager.release("agent:a")
            await asyncio.wait({waiter})
            await manager.acquire("agent:a", timeout=0)

    run(main())


def test_the_longest_idle_id_makes_room_in_a_full_type() -> None:
    async def main() -> None:
        backend = Backend(close=0.5)
        async with serving(backend.spec("agent", keyed=True, max_size=3)) as manager:
            for name in ("a", "b", "c"):
                await manager.acquire(f"agent:{name}")
                await asyncio.sleep(1)
            await manager.release("agent:b")
            await asyncio.sleep(1)
            await manager.release("agent:a")
            seconds, _ = await timed(manager.acquire("agent:d"))
            assert seconds == pytest.approx(0.5)  # b was closed for it
            assert set(manager.resources) == {"agent:a", "agent:c", "agent:d"}
            assert [fake.closes for fake in backend.fakes] == [0, 1, 0, 0]
            # Nothing idle but a: it goes next; then everything is held and one has to wait.
            await manager.acquire("agent:e")
            assert set(manager.resources) == {"agent:c", "agent:d", "agent:e"}
            with pytest.raises(AcquireTimeout):
                await manager.acquire("agent:f", timeout=1)
        assert backend.most_live <= 3
        backend.assert_all_closed()

    run(main())


def test_ids_that_starve_for_room_are_served_in_their_order() -> None:
    async def main() -> None:
        backend = Backend()
        served: list[str] = []
        async with serving(backend.spec("agent", keyed=True, max_size=1)) as manager:

            async def borrower(name: str) -> None:
                async with manager.lease(f"agent:{name}"):
                    served.append(name)
                    await ticks(2)

            await asyncio.gather(*[borrower(name) for name in "abcdefgh"])
        assert served == list("abcdefgh")
        backend.assert_all_closed()

    run(main())


def test_an_id_that_cannot_be_made_does_not_fill_the_queue_for_others() -> None:
    async def main() -> None:
        backend = Backend()
        refused = ConnectionError("refused")
        backend.next("open", refused, refused)
        pause = Backoff(min=60, max=60)
        spec = backend.spec("agent", keyed=True, max_waiting=0, backoff=pause)
        async with serving(spec) as manager:
            broken = asyncio.ensure_future(timed(manager.acquire("agent:a", timeout=5)))
            await settled()
            await manager.acquire("agent:b", timeout=1)
            assert isinstance((await broken)[1], AcquireTimeout)

    run(main())


# -- keywords


def test_keywords_go_to_the_factory() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            fake = await manager.acquire("agent:a", model="small", tools=["x"])
            assert fake.arguments == ("agent:a",)
            assert fake.keywords == {"model": "small", "tools": ["x"]}
            await manager.release("agent:a")
            # The same keywords again, or none, mean the resource there is.
            assert await manager.acquire("agent:a", model="small", tools=["x"]) is fake
            await manager.release("agent:a")
            async with manager.lease("agent:a") as again:
                assert again is fake

    run(main())


@pytest.mark.parametrize(
    "keywords", [{"model": "large"}, {"model": "small", "more": 1}, {"mode": "small"}]
)
def test_other_keywords_than_it_was_built_with_are_refused(keywords: dict[str, Any]) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            await manager.acquire("agent:a", model="small")
            with pytest.raises(KeywordsRefused, match="'agent:a' was built with") as caught:
                await manager.acquire("agent:a", **keywords)
            assert "small" not in str(caught.value)  # values may be secret
            assert "large" not in str(caught.value)
            await manager.release("agent:a")
            with pytest.raises(KeywordsRefused):  # while it is idle, too
                await manager.acquire("agent:a", **keywords)
            await manager.cleanup("agent:a")
            fake = await manager.acquire("agent:a", **keywords)
            assert fake.keywords == keywords

    run(main())


def test_at_most_max_opening_resources_of_the_whole_type_are_made_at_once() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        async with serving(backend.spec("agent", keyed=True, max_opening=2)) as manager:
            waits = await asyncio.gather(
                *[timed(manager.acquire(f"agent:{number}")) for number in range(5)]
            )
            assert [seconds for seconds, _ in waits] == pytest.approx([1.0, 1.0, 2.0, 2.0, 3.0])

    run(main())


@pytest.mark.parametrize("hook", ["open", "check", "reset", "close"])
def test_a_key_that_hangs_blocks_no_other(hook: str) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("agent", "check", "reset", keyed=True, max_size=4, fresh_for=0)
        async with serving(spec) as manager:
            if hook != "open":
                await manager.acquire("agent:bad")
                await manager.release("agent:bad")
                await asyncio.sleep(1)
            backend.next(hook, NEVER)
            bad = asyncio.ensure_future(timed(manager.acquire("agent:bad")))
            await settled()
            if hook in ("reset", "close"):
                await manager.release("agent:bad", discard=hook == "close")
                await settled()
            assert not backend.script[hook]  # it hangs now
            for number in range(30):  # ten keys in three places
                seconds, fake = await timed(manager.acquire(f"agent:{number % 10}", timeout=1))
                assert isinstance(fake, Fake)
                assert seconds == 0.0
                await manager.release(f"agent:{number % 10}")
                await settled()
            await bad
        backend.assert_all_closed()

    run(main())


# -- one budget for several types

BUDGET = Budget("connections", 4)


def budgeted(backend: Backend, *names: str, **fields: Any) -> list[ResourceSpec[Fake]]:
    keyed = {"keyed": True, "max_size": None}
    return [backend.spec(name, budget=BUDGET, **keyed, **fields) for name in names]


async def held(manager: DefaultResourceManager, *ids: str) -> None:
    for resource_id in ids:
        await manager.acquire(resource_id)


async def used(manager: DefaultResourceManager, *ids: str) -> None:
    """Use one after another, a second apart."""
    for resource_id in ids:
        await manager.acquire(resource_id)
        await manager.release(resource_id)
        await asyncio.sleep(1)


def test_a_full_budget_evicts_the_key_that_has_been_idle_longest_whatever_its_type() -> None:
    async def main() -> None:
        backend = Backend(close=0.25)
        async with serving(*budgeted(backend, "db", "cache")) as manager:
            await used(manager, "db:1", "cache:1", "db:2", "cache:2")
            assert backend.opened == 4
            for number, gone in enumerate(("db:1", "cache:1", "db:2", "cache:2"), 3):
                seconds, fake = await timed(manager.acquire(f"db:{number}"))
                assert isinstance(fake, Fake)
                assert seconds == pytest.approx(0.25)  # until the one in the way is closed
                assert gone not in manager.resources
                assert len(manager.resources) == 4
        assert backend.most_live <= 4
        backend.assert_all_closed()

    run(main())


def test_who_waits_longest_of_all_types_is_served_first() -> None:
    async def main() -> None:
        backend = Backend()
        order: list[str] = []
        async with serving(*budgeted(backend, "db", "cache", "llm")) as manager:
            await held(manager, "db:1", "db:2", "cache:1", "cache:2")

            async def borrow(resource_id: str) -> None:
                async with manager.lease(resource_id):
                    order.append(resource_id)
                    await asyncio.sleep(0.5)

            waiting = ["llm:1", "db:3", "cache:3", "llm:2", "db:4"]
            tasks = []
            for resource_id in waiting:
                tasks.append(asyncio.ensure_future(borrow(resource_id)))
                await asyncio.sleep(1.5)
            assert order == []
            for resource_id in ("db:1", "cache:1", "db:2", "cache:2"):
                await manager.release(resource_id)
                await asyncio.sleep(0.01)
            await asyncio.gather(*tasks)
            assert order == waiting
        assert backend.most_live <= 4
        backend.assert_all_closed()

    run(main())


def test_a_budget_that_is_spent_is_named_and_blocks_nobody_who_has_a_resource() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(*budgeted(backend, "db", "cache")) as manager:
            await held(manager, "db:1", "db:2", "db:3")
            await used(manager, "cache:1")
            await manager.acquire("cache:1")
            _, error = await timed(manager.acquire("cache:2", timeout=1))
            assert isinstance(error, AcquireTimeout)
            assert "raise the budget's limit" in str(error)
            await manager.release("cache:1")
            await manager.acquire("cache:1", timeout=0)  # its own: no word of the budget needed

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_a_budget_is_never_exceeded_and_everybody_is_served(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        backend = Backend(open=0.01, close=0.02)
        specs = budgeted(backend, "db", "cache", max_opening=2)
        specs += [backend.spec("pooled", budget=BUDGET, max_size=3, min_idle=1)]
        served = 0
        async with serving(*specs) as manager:

            async def client() -> None:
                nonlocal served
                for _ in range(20):
                    name = chance.choice(("db:{}", "cache:{}", "pooled"))
                    async with manager.lease(name.format(chance.randrange(6)), timeout=60) as fake:
                        fake.holders += 1
                        assert fake.holders == 1
                        await asyncio.sleep(chance.random() / 50)
                        fake.holders -= 1
                        served += 1
                    if chance.random() < 0.2:
                        await asyncio.sleep(chance.random())

            await asyncio.gather(*[client() for _ in range(15)])
        assert served == 300
        assert backend.most_live <= 4
        backend.assert_all_closed()

    run(main())
