"""Suspend, resume and resize through the façade and by message; what is refused, what survives."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from pepperpy_resources import Budget, DefaultResourceManager
from pepperpy_resources.errors import (
    ClosedError,
    ManagerStopped,
    NotStarted,
    TypeSuspended,
    UnknownResourceType,
    UsageError,
    WrongLoop,
)
from pepperpy_resources.messages import Describe, Resize, Resume, Suspend
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled, timed, usable
from tests.supervision.kit import in_thread, outcome

SECRET = "postgres://user:hunter2@host/db"


async def slots(manager: DefaultResourceManager) -> tuple[float, bool]:
    """Return what the type says of its limit, and whether it is suspended."""
    seen = await manager.actor("db").ask(Describe())
    return seen.max_size, seen.suspended


# -- suspend and resume


def test_acquires_wait_until_it_is_resumed_and_leases_go_on() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec()) as manager:
            held = await manager.acquire("db:a")
            await manager.suspend("db")
            await manager.suspend("db")  # harmless
            waiting = asyncio.create_task(timed(manager.acquire("db:b")))
            await asyncio.sleep(5.0)
            await manager.release("db:a")
            await settled()
            assert "suspended: acquires wait" in manager.tree().render()
            assert (backend.live, waiting.done()) == (1, False)
            await manager.resume("db")
            assert await waiting == (5.0, held)
            await manager.resume("db")
            assert "suspended" not in manager.tree().render()

    run(main())


@pytest.mark.parametrize("timeout", [0.0, 2.0])
def test_who_waits_in_vain_is_told_why(timeout: float) -> None:
    async def main() -> None:
        async with serving(Backend().spec()) as manager:
            await manager.suspend("db")
            seconds, error = await timed(manager.acquire("db:a", timeout=timeout))
            assert seconds == timeout
            assert isinstance(error, TypeSuspended)
            assert isinstance(error, TimeoutError)
            assert isinstance(error, ClosedError)
            assert "'db' is suspended and leases nothing" in str(error)
            await manager.resume("db")
            await manager.acquire("db:a", timeout=1.0)

    run(main())


def test_a_stop_ends_a_suspended_type_as_any_other() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(min_idle=2)) as manager:
            await manager.wait_ready(1.0)
            await manager.suspend("db")
            waiting = asyncio.create_task(outcome(manager.acquire("db:a")))
            await settled()
            assert (await timed(manager.stop()))[0] == 0.0
            assert isinstance(await waiting, ManagerStopped)
            backend.assert_all_closed()

    run(main())


# -- resize


def test_a_smaller_limit_closes_what_idles_now_and_what_is_leased_when_it_comes_back() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=4)) as manager:
            for key in "abcd":
                await manager.acquire(f"db:{key}")
            await manager.release("db:d")
            await manager.resize("db", max_size=2)
            await settled()
            assert backend.live == 3
            await manager.release("db:c")
            await settled()
            assert (backend.live, await slots(manager)) == (2, (2, False))
            await manager.release("db:a")
            await manager.release("db:b")
            await usable(manager, "db", 2)
            assert backend.most_live == 4

    run(main())


def test_a_larger_limit_serves_who_waits_and_a_higher_floor_is_filled() -> None:
    async def main() -> None:
        backend = Backend(open=1.0)
        async with serving(backend.spec(max_size=1)) as manager:
            await manager.acquire("db:a")
            waiting = asyncio.create_task(timed(manager.acquire("db:b")))
            await settled()
            await manager.resize("db", max_size=5, min_idle=3)
            assert (await waiting)[0] == pytest.approx(1.0)
            await asyncio.sleep(1.0)
            assert backend.live == 5

    run(main())


# -- from elsewhere


def test_messages_from_another_thread_do_the_same() -> None:
    async def main() -> None:
        async with serving(Backend().spec()) as manager:
            handle = manager.actor("db")
            in_thread(lambda: handle.tell(Suspend()))
            in_thread(lambda: handle.tell(Resize(3, 1)))
            await settled()
            assert await slots(manager) == (3, True)
            replies: list[Any] = []
            in_thread(lambda: replies.extend([handle.ask(Resume()), handle.ask(Resize(4))]))
            assert [await reply for reply in replies] == [None, None]
            assert await slots(manager) == (4, False)
            loop = asyncio.get_running_loop()
            refused: list[Any] = []

            def elsewhere() -> None:
                for work in (manager.suspend("db"), manager.resize("db", max_size=1)):
                    try:
                        asyncio.run(work)
                    except WrongLoop as error:
                        refused.append(error)

            in_thread(elsewhere)
            assert len(refused) == 2
            assert loop.is_running()
            assert await slots(manager) == (4, False)

    run(main())


BAD_SIZES = [0, -1, True, 1.5, "3", SECRET, math.nan, math.inf, -math.inf, 2**63, 10**5000, [3]]
BAD_FLOORS = [-1, True, 0.5, "1", SECRET, math.nan, 11, 2**63, 10**5000, [1]]


@pytest.mark.parametrize("field", ["max_size", "min_idle"])
def test_a_limit_that_is_none_is_refused_where_it_is_said_and_changes_nothing(field: str) -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=10)) as manager:
            for bad in BAD_SIZES if field == "max_size" else BAD_FLOORS:
                limits: dict[str, Any] = {field: bad}
                with pytest.raises(UsageError, match=rf"Resize\({field}=\.\.\.\)") as refused:
                    await manager.resize("db", **limits)
                assert SECRET not in str(refused.value)
                with pytest.raises(UsageError):
                    manager.actor("db").tell(Resize(**limits))
                with pytest.raises(UsageError):
                    await manager.actor("db").ask(Resize(**limits))
            assert await slots(manager) == (10, False)
            with pytest.raises(UsageError, match="from 0 to 2"):
                await manager.resize("db", max_size=2, min_idle=3)
            assert (await slots(manager))[0] == 10
            assert manager.cell("db").incarnation == 1

    run(main())


def test_what_a_keyed_type_or_a_budget_cannot_have_is_refused() -> None:
    async def main() -> None:
        backend = Backend()
        specs = (
            backend.spec("key", keyed=True),
            backend.spec("db", budget=Budget("conns", 3), max_size=None),
        )
        async with serving(*specs) as manager:
            with pytest.raises(UsageError, match="from 0 to 0"):
                await manager.resize("key", min_idle=1)
            await manager.resize("key", max_size=math.inf)  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="from 0 to 3"):
                await manager.resize("db", min_idle=4)
            await manager.resize("db", max_size=2)
            await usable(manager, "db", 2)
            await manager.resize("db", max_size=50)  # its budget still holds
            await usable(manager, "db", 3)
            assert backend.most_live == 3

    run(main())


@pytest.mark.parametrize("name", ["dbs", "", "db:a", 5, None, [], {}, 1.0])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    async def main() -> None:
        async with serving(Backend().spec()) as manager:
            for work in (manager.suspend(name), manager.resume(name), manager.resize(name)):
                with pytest.raises(UsageError):
                    await work

    run(main())


def test_before_the_start_after_the_stop_and_while_it_stops() -> None:
    async def main() -> None:
        manager = DefaultResourceManager([Backend().spec()])
        with pytest.raises(NotStarted):
            await manager.suspend("db")
        async with manager:
            await manager.acquire("db:a")
            stop = asyncio.create_task(manager.stop(5.0))
            await settled()
            handle = manager.actor("db")
            for work in (manager.suspend("db"), manager.resume("db"), manager.resize("db")):
                with pytest.raises(ManagerStopped):
                    await work
            for message in (Suspend(), Resume(), Resize(1)):
                assert await handle.ask(message) is None  # harmless
            await manager.release("db:a")
            await stop
            for message in (Suspend(), Resume(), Resize(1)):
                with pytest.raises(ManagerStopped):
                    await handle.ask(message)
                handle.tell(message)
        with pytest.raises(ManagerStopped):
            await manager.resize("db", max_size=1)

    run(main())


def test_a_type_that_is_being_removed_is_unknown() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), Backend().spec("other")) as manager:
            await manager.acquire("db:a")
            removal = asyncio.create_task(manager.remove_type("db"))
            await settled()
            with pytest.raises(UnknownResourceType):
                await manager.suspend("db")
            await manager.release("db:a")
            await removal

    run(main())


# -- crashes


def test_both_survive_a_crash() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=5)) as manager:
            await manager.resize("db", max_size=2, min_idle=1)
            await manager.suspend("db")
            waiting = asyncio.create_task(manager.acquire("db:a", timeout=60.0))
            await settled()
            crash(manager, "db")
            await asyncio.sleep(10.0)
            assert await slots(manager) == (2, True)
            assert not waiting.done()
            await manager.resume("db")
            await waiting
            crash(manager, "db")
            await settled()
            assert await slots(manager) == (2, False)
            await manager.acquire("db:b")
            await settled()
            assert backend.live == 2

    run(main())


def test_both_survive_a_park_and_a_revival() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=5)) as manager:
            await manager.resize("db", max_size=2)
            await manager.suspend("db")
            for _ in range(4):
                crash(manager, "db")
                await settled()
            assert manager.cell("db").status == "failed"
            await manager.resize("db", max_size=3)  # said while it is parked: holds when it is back
            manager.revive("db")
            await settled()
            assert await slots(manager) == (3, True)
            await manager.resume("db")
            await usable(manager, "db", 3)

    run(main())
