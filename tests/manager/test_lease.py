"""`lease()` blocks: entered once, left in every way, told to whom (case 12)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources import ResourceSpec
from pepperpy_resources.errors import (
    UsageError,
)
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, now, serving, settled, ticks, usable


def test_a_pooled_lease_needs_no_id_and_is_not_listed() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            async with manager.lease("db") as one, manager.lease("db") as two:
                assert one is not two
                assert dict(manager.resources) == {}
                assert (await manager.monitor())["active_resources"] == 2
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


def test_a_lease_with_an_id_is_listed_under_it() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            async with manager.lease("db:report") as fake:
                assert dict(manager.resources) == {"db:report": fake}
            assert dict(manager.resources) == {}

    run(main())


def test_a_block_leased_by_id_may_be_released_early_once() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            async with manager.lease("db:report"):
                await manager.release("db:report")
                # Leaving the block must not end the next one's lease of the same name.
                fake = await manager.acquire("db:report")
            assert manager.resources["db:report"] is fake
            await manager.release("db:report")

    run(main())


def test_a_context_is_entered_once() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            context = manager.lease("db")
            async with context:
                with pytest.raises(UsageError, match="call lease\\(\\) again"):
                    async with context:
                        raise AssertionError
            with pytest.raises(UsageError, match="entered once"):
                await context.__aenter__()
            await usable(manager, "db", 2)
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


def test_a_context_that_is_never_entered_holds_nothing() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            for _ in range(10):
                manager.lease("db")
            assert backend.opened == 0
            await usable(manager, "db", 1)

    run(main())


def test_discard_closes_the_resource_on_exit() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            async with manager.lease("db", discard=True) as fake:
                assert fake.closes == 0
            await settled()
            assert fake.closes == 1
            async with manager.lease("db") as other:
                assert other is not fake
        backend.assert_all_closed()

    run(main())


class Gone(Exception):
    pass


def test_the_last_holder_s_discard_closes_a_shared_resource() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("model", keyed=True, max_holders=2)) as manager:
            async with manager.lease("model:big") as one:
                async with manager.lease("model:big", discard=True) as two:
                    assert one is two
                await settled()
                assert one.closes == 0  # the other still works with it
                async with manager.lease("model:big") as three:
                    assert three is not one  # but nobody new gets it
            await settled()
            assert one.closes == 1

    run(main())


# -- order of hand-out


@pytest.mark.parametrize(("order", "number"), [("lifo", 3), ("fifo", 1)])
def test_the_order_in_which_resources_are_handed_out(order: Any, number: int) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=3, order=order)) as manager:
            for n in range(3):
                await manager.acquire(f"db:{n}")
            for n in range(3):
                await manager.release(f"db:{n}")
            async with manager.lease("db") as fake:
                assert fake.number == number

    run(main())


# -- who holds it: for errors and the tree


def site_of(text: str) -> str:
    return text.partition("acquired at ")[2]


@pytest.mark.parametrize(
    ("stack", "shown"), [("line", True), ("full", True), ("off", False)], ids=str
)
def test_the_borrow_stack_is_as_detailed_as_the_spec_says(stack: Any, *, shown: bool) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1, borrow_stack=stack)) as manager:

            async def inner() -> Fake:
                fake: Fake = await manager.acquire("db:a")
                return fake

            await inner()
            with pytest.raises(TimeoutError) as caught:
                await manager.acquire("db:b", timeout=0)
            text = site_of(str(caught.value))
            assert ("test_lease.py" in text) == shown
            assert ("in inner" in text) == shown
            assert ("run(main())" in text) == (stack == "full")

    run(main())


def test_an_owner_is_shown_by_type_and_never_by_content() -> None:
    class Customer:
        def __repr__(self) -> str:
            return "card 4111-1111"

    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:a", owner=Customer())
            with pytest.raises(TimeoutError) as caught:
                await manager.acquire("db:b", timeout=0)
            assert "by a Customer" in str(caught.value)
            assert "4111" not in str(caught.value)

    run(main())


def test_nested_leases_of_different_types_do_not_disturb_each_other() -> None:
    async def main() -> None:
        backend, other = Backend(), Backend()
        async with serving(backend.spec("db", max_size=2), other.spec("llm", max_size=1)) as m:

            async def work() -> None:
                async with m.lease("db") as database, m.lease("llm") as model:
                    assert database in backend.fakes
                    assert model in other.fakes
                    await ticks(1)

            await asyncio.gather(*[work() for _ in range(20)])
        backend.assert_all_closed()
        other.assert_all_closed()

    run(main())


def test_an_acquire_of_an_idle_resource_and_its_release_never_suspend() -> None:
    async def main() -> None:
        backend = Backend()
        spec: ResourceSpec[Fake] = backend.spec(max_size=1)
        async with serving(spec) as manager:
            await manager.acquire("db:a")
            release = manager.release("db:a")
            with pytest.raises(StopIteration):
                release.send(None)
            acquire = manager.acquire("db:a")
            with pytest.raises(StopIteration) as stopped:
                acquire.send(None)
            assert stopped.value.value is backend.fakes[0]
            await manager.release("db:a")
            began = now()
            async with manager.lease("db"):
                pass
            assert now() == began

    run(main())
