"""Case 6: after an outage the first acquire costs at most one failed check and one creation."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.testing import run
from tests.helpers import NEVER, Backend, Fake, serving, settled, timed, usable, warm

# -- is_connection_error


class Gone(Exception):
    """The other side is gone."""


def is_gone(error: BaseException) -> bool:
    return isinstance(error, Gone)


@pytest.mark.parametrize("where", ["check", "reset", "on_acquire", "block"])
def test_a_connection_error_invalidates_every_resource_of_its_generation(where: str) -> None:
    async def main() -> None:
        backend = Backend()
        fail = False

        async def welcome(fake: Fake) -> None:
            nonlocal fail
            if fail:
                fail = False
                raise Gone

        hooks = [hook for hook in ("check", "reset") if hook == where]
        more = {"on_acquire": welcome} if where == "on_acquire" else {}
        spec = backend.spec("db", *hooks, max_size=4, is_connection_error=is_gone, **more)
        async with serving(spec) as manager:
            await warm(manager, 3)
            await settled()
            await manager.acquire("db:old")  # one of them is held meanwhile
            await asyncio.sleep(1)
            if where in ("check", "reset"):
                backend.next(where, Gone())
            fail = True
            try:
                async with manager.lease("db"):
                    if where == "block":
                        raise Gone
            except Gone:
                assert where == "block"
            await settled()
            assert backend.live <= 2  # what is held, and what was made for the lease
            await manager.release("db:old")
            await settled()
            old = backend.fakes[:3]
            assert [fake.closes for fake in old] == [1, 1, 1]
            await usable(manager, "db", 4)
        backend.assert_all_closed()

    run(main())


def test_another_error_invalidates_nothing() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=3, is_connection_error=is_gone)
        async with serving(spec) as manager:
            await warm(manager, 3)
            with pytest.raises(ValueError, match="mine"):
                async with manager.lease("db"):
                    raise ValueError("mine")
            await settled()
            assert backend.live == 3
            await usable(manager, "db", 3)
            assert backend.opened == 3

    run(main())


def test_after_an_outage_the_first_acquire_costs_one_check_and_one_creation() -> None:
    # Case 6: whatever the pool's size; the other stale ones are found out in the background.
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", "check", max_size=8, check_timeout=3)) as manager:
            await warm(manager, 8)
            await asyncio.sleep(10)
            backend.usual["check"] = NEVER  # every stale one takes its whole deadline to say so
            backend.usual["open"] = 0.5
            seconds, fake = await timed(manager.acquire("db:a", timeout=60))
            assert isinstance(fake, Fake)
            assert seconds == pytest.approx(3 + 0.5)
            await asyncio.sleep(20)
            stale = backend.fakes[:8]
            assert [fake.closes for fake in stale] == [1] * 8
        backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("size", [1, 2, 8, 50])
def test_after_an_outage_of_any_size_nobody_is_handed_a_dead_resource(size: int) -> None:
    async def main() -> None:
        backend = Backend(open=0.5)
        dead: set[Fake] = set()

        async def check(fake: Fake) -> None:
            backend.calls["check"] += 1
            if fake in dead:
                raise ConnectionError("gone")

        spec = backend.spec(max_size=size, check=check)
        async with serving(spec) as manager:
            await warm(manager, size)
            await asyncio.sleep(10)
            dead.update(backend.fakes)
            seconds, fake = await timed(manager.acquire("db:a"))
            assert seconds == pytest.approx(0.5)  # the check failed at once; one creation
            assert fake is backend.fakes[size]
            await asyncio.sleep(60)
            assert [old.closes for old in dead] == [1] * size
            assert backend.calls["check"] == size  # each once, all but the first in the background
            assert backend.opened == size + 1  # and no storm of creations: one was asked for

    run(main())


def test_one_stale_resource_starts_no_storm() -> None:
    # Only what is_connection_error knows invalidates a generation; the others are only checked.
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "check", max_size=8, is_connection_error=is_gone)
        async with serving(spec) as manager:
            await warm(manager, 8)
            await asyncio.sleep(10)
            backend.next("check", ValueError("only this one"))
            await manager.acquire("db:a")
            await settled()
            assert backend.calls["check"] == 8
            assert backend.opened == 9
            assert sum(fake.closes for fake in backend.fakes) == 1

    run(main())
