"""Who holds the lease of a block: the task that enters it, unless another owner is named."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, settled, timed


def owners(manager: DefaultResourceManager) -> list[str]:
    """Return the holders the tree shows for the type "db"."""
    (root,) = manager.tree().children
    (found,) = [child.resources for child in root.children if child.path == "db"]
    assert found is not None
    return [lease.owner for lease in found.leases]


def test_the_task_that_enters_the_block_is_the_owner() -> None:
    async def main() -> None:
        async with serving(Backend().spec()) as manager:

            async def borrow() -> list[str]:
                async with block:
                    return owners(manager)

            block = manager.lease("db")  # made in one task, entered in another
            assert await asyncio.create_task(borrow(), name="borrower") == ["task 'borrower'"]

    run(main())


@pytest.mark.parametrize("typed", [False, True])
def test_an_owner_can_be_named(*, typed: bool) -> None:
    async def main() -> None:
        spec = Backend().spec()
        async with serving(spec) as manager:
            handle = manager.type(spec)
            block = handle.lease(owner="fixture") if typed else manager.lease("db", owner="fixture")
            async with block as fake:
                assert isinstance(fake, Fake)
                assert owners(manager) == ["fixture"]

    run(main())


def test_it_is_no_keyword_for_the_factory() -> None:
    async def main() -> None:
        backend = Backend()
        async with (
            serving(backend.spec(keyed=True)) as manager,
            manager.lease("db:a", owner="fixture", colour="red") as fake,
        ):
            assert fake.keywords == {"colour": "red"}
            assert owners(manager) == ["fixture"]

    run(main())


def test_a_block_may_be_left_in_another_task_than_it_was_entered_in() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            block = manager.lease("db", owner="fixture")
            await asyncio.create_task(block.__aenter__())
            assert owners(manager) == ["fixture"]
            leave = asyncio.create_task(block.__aexit__(None, None, None))
            await leave
            assert owners(manager) == []
            assert await manager.acquire("db:next", timeout=0) is backend.fakes[0]

    run(main())


def test_stop_waits_for_a_lease_of_another_owner_even_if_its_own_task_entered_it() -> None:
    async def main() -> None:
        async with serving(Backend().spec()) as manager, manager.lease("db", owner="another"):
            assert (await timed(manager.stop(2)))[0] == pytest.approx(2.0)

    run(main())


def test_stop_does_not_wait_for_a_lease_that_was_made_its_own() -> None:
    async def main() -> None:
        me = asyncio.current_task()
        async with serving(Backend().spec()) as manager:

            async def borrow() -> None:
                async with manager.lease("db", owner=me):
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(borrow())
            await settled()
            assert (await timed(manager.stop(30)))[0] == 0.0
            task.cancel()
            await asyncio.wait({task})

    run(main())
