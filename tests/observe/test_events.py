"""What listeners are told, scenario by scenario, worked out by hand on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources import Backoff, DefaultResourceManager
from pepperpy_resources.actors.happenings import EFFECTS, OUTCOMES, happenings
from pepperpy_resources.actors.ledger import Ledger
from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import AcquireTimeout, LeaseIdInUse, NotLeased, QueueFull
from pepperpy_resources.messages import Evict
from pepperpy_resources.testing import crash, run
from tests.helpers import NEVER, STUBBORN, Backend, serving, settled
from tests.observe.watching import Notes, noting
from tests.supervision.kit import Boom, failing_effect, outcome, private

SLOW = Backoff(min=10.0, max=10.0, jitter=0.0)


def test_every_effect_and_every_outcome_has_a_row() -> None:
    assert set(EFFECTS) == set(do.Effect.__subclasses__())
    assert set(OUTCOMES) == set(on.Outcome.__args__)


def test_a_wait_that_the_ledger_does_not_know_is_not_timed() -> None:
    lease = do.Lease(
        epoch=1, slot=1, resource=None, since=5.0, acquire=on.Acquire("db:a"), ticket=7
    )
    effects: list[do.Effect] = [lease, do.Drop(8)]
    (acquired,) = happenings("db", on.Release("db:b"), effects, Ledger(), 5.0)
    assert (acquired.ticket, acquired.seconds) == (7, None)


def test_an_outcome_that_came_too_late_is_no_event() -> None:
    # Slot 1 is gone; what follows for slot 2 is another matter.
    for late in (on.Opened(1), on.CheckPassed(1), on.ResetDone(1), on.Closed(1)):
        assert happenings("db", late, [do.Idle(2), do.Gone(2)], Ledger(), 5.0) == []


def test_a_lease() -> None:
    async def main() -> None:
        backend = Backend(open=0.25)
        async with serving(backend.spec(), metrics=private()) as manager:
            with noting(manager) as notes:
                async with manager.lease("db"):
                    await asyncio.sleep(1)
                assert notes.take() == [
                    "0 waiting db t1",
                    "0 opening #1",
                    "0.25 opened #1 s=0.25",
                    "0.25 acquired db #1 e1 t1 s=0.25",
                ]
                await manager.acquire("db:a")
                await asyncio.sleep(2)
                await manager.release("db:a")
                await settled()
                assert notes.take() == [
                    "1.25 released db #1 e1 s=1",
                    "1.25 acquired db:a #1 e2 s=0",
                    "3.25 released db:a #1 e2 s=2",
                ]

    run(main())


def test_the_owner_is_told() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            with noting(manager) as notes:
                owner = object()
                await manager.acquire("db:a", owner=owner)
                await manager.release("db:a")
                await settled()
                owners = {str(event.what): event.owner for event in notes.events}
                assert [owners[w] for w in ("waiting", "acquired", "released")] == [owner] * 3
                assert owners["opened"] is None

    run(main())


def test_a_failing_creation_and_a_wait_in_vain() -> None:
    async def main() -> None:
        backend = Backend()
        error = ConnectionError("refused")
        backend.next("open", error, error, 0.5)
        spec = backend.spec(backoff=SLOW)
        async with serving(spec, metrics=private()) as manager:
            with noting(manager) as notes:
                with pytest.raises(AcquireTimeout):
                    await manager.acquire("db:a", timeout=3)
                await settled()
                assert notes.events[2].error is error
                assert notes.take() == [
                    "0 waiting db:a t1",
                    "0 opening #1",
                    "0 open_failed #1 s=0 ConnectionError",
                    "0 opening #2",
                    "0 open_failed #2 s=0 ConnectionError",
                    "3 denied db:a t1 s=3 timeout ConnectionError",
                ]
                await manager.acquire("db:b", timeout=30)
                await settled()
                assert notes.take() == [
                    "3 waiting db:b t2",
                    "10 opening #3",
                    "10.5 opened #3 s=0.5",
                    "10.5 acquired db:b #3 e1 t2 s=7.5",
                ]

    run(main())


def test_denied_at_once() -> None:
    async def main() -> None:
        spec = Backend().spec(max_size=1, max_waiting=0)
        async with serving(spec, metrics=private()) as manager:
            await manager.acquire("db:a")
            with noting(manager) as notes:
                with pytest.raises(QueueFull):
                    await manager.acquire("db:b")
                with pytest.raises(AcquireTimeout):
                    await manager.acquire("db:c", timeout=0)
                with pytest.raises(LeaseIdInUse):
                    await manager.acquire("db:a")
                with pytest.raises(NotLeased):
                    await manager.release("db:z")
                await settled()
                assert notes.take() == [
                    "0 waiting db:b t2",
                    "0 denied db:b t2 s=0 queue_full",
                    "0 waiting db:c t3",
                    "0 denied db:c t3 s=0 timeout",
                    "0 denied db:a s=0 in_use",
                    "0 denied db:z s=0 not_leased",
                ]

    run(main())


def test_a_cancelled_wait() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1), metrics=private()) as manager:
            await manager.acquire("db:a")
            before = asyncio.create_task(outcome(manager.acquire("db:before", timeout=9)))
            await asyncio.sleep(1)
            with noting(manager) as notes:
                asked = asyncio.create_task(manager.acquire("db:b"))
                await asyncio.sleep(2)
                asked.cancel()
                await settled()
                assert notes.take() == ["1 waiting db:b t3", "3 cancelled db:b t3 s=2"]
                await manager.release("db:a")
                await before
                # it has waited since before anybody listened
                assert notes.take() == [
                    "3 released db:a #1 e1 s=3",
                    "3 acquired db:before #1 e2 t2 s=3",
                ]

    run(main())


def test_checks() -> None:
    async def main() -> None:
        backend = Backend(check=0.5)
        spec = backend.spec("db", "check", check_on={"acquire"}, fresh_for=0, check_timeout=2)
        async with serving(spec, metrics=private()) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a")
            await asyncio.sleep(1)
            with noting(manager) as notes:
                await manager.acquire("db:b")
                await manager.release("db:b")
                await settled()
                assert notes.take() == [
                    "1 waiting db:b t2",
                    "1 checking #1",
                    "1.5 checked #1",
                    "1.5 acquired db:b #1 e2 t2 s=0.5",
                    "1.5 released db:b #1 e2 s=0",
                ]
                backend.next("check", Boom("bad"))
                await manager.acquire("db:c")
                await manager.release("db:c")
                await settled()
                assert notes.take() == [
                    "1.5 waiting db:c t3",
                    "1.5 checking #1",
                    "1.5 check_failed #1 Boom",
                    "1.5 closing #1 broken",
                    "1.5 opening #2",
                    "1.5 closed #1",
                    "1.5 opened #2 s=0",
                    "1.5 acquired db:c #2 e3 t3 s=0",
                    "1.5 released db:c #2 e3 s=0",
                ]
                backend.next("check", NEVER)
                await manager.acquire("db:d")
                await settled()
                assert notes.take()[:4] == [
                    "1.5 waiting db:d t4",
                    "1.5 checking #2",
                    "3.5 check_failed #2 overdue",
                    "3.5 closing #2 broken",
                ]

    run(main())


def test_resets() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("db", "reset", reset_timeout=2)
        async with serving(spec, metrics=private()) as manager:
            with noting(manager) as notes:

                async def use() -> list[str]:
                    await manager.acquire("db:a")
                    await settled()
                    notes.take()
                    await manager.release("db:a")
                    await asyncio.sleep(3)
                    return notes.take()

                backend.next("reset", 0.5, Boom("dirty"), NEVER)
                assert await use() == [
                    "0 released db:a #1 e1 s=0",
                    "0 resetting #1",
                    "0.5 reset #1",
                ]
                assert await use() == [
                    "3 released db:a #1 e2 s=0",
                    "3 resetting #1",
                    "3 reset_failed #1 Boom",
                    "3 closing #1 broken",
                    "3 closed #1",
                ]
                assert await use() == [
                    "6 released db:a #2 e3 s=0",
                    "6 resetting #2",
                    "8 reset_failed #2 overdue",
                    "8 closing #2 broken",
                    "8 closed #2",
                ]

    run(main())


def test_hooks_that_ignore_their_deadlines() -> None:
    async def main() -> None:
        backend = Backend()
        backend.next("open", STUBBORN, 0.0)
        backend.next("close", 0.0, STUBBORN)
        spec = backend.spec(create_timeout=1, close_timeout=2, backoff=SLOW)
        async with serving(spec, metrics=private()) as manager:
            with noting(manager) as notes:
                await manager.acquire("db:a")
                await settled()
                assert notes.take() == [
                    "0 waiting db:a t1",
                    "0 opening #1",
                    "1 abandoned #1 overdue",
                    "1 opening #2",
                    "1 opened #2 s=0",
                    "1 acquired db:a #2 e1 t1 s=1",
                ]
                backend.let_go.set()
                await settled()
                backend.let_go.clear()
                assert notes.take() == [
                    "1 opened #1 s=1",
                    "1 closing #1 broken",
                    "1 closed #1",
                ]
                await manager.release("db:a", discard=True)
                await asyncio.sleep(3)
                backend.let_go.set()
                await settled()
                assert notes.take() == [
                    "1 released db:a #2 e1 s=0 discarded",
                    "1 closing #2 broken",
                    "3 abandoned #2 overdue",
                    "4 closed #2",
                ]

    run(main())


def test_a_close_that_fails() -> None:
    async def main() -> None:
        backend = Backend()
        backend.next("close", Boom("stuck"))
        async with serving(backend.spec(), metrics=private()) as manager:
            async with manager.lease("db"):
                pass
            with noting(manager) as notes:
                await manager.cleanup()
                assert notes.take() == ["0 closing #1 cleanup", "0 closed #1 Boom"]

    run(main())


def test_an_error_in_a_lease() -> None:
    async def main() -> None:
        spec = Backend().spec(is_connection_error=lambda error: isinstance(error, Boom))
        async with serving(spec, metrics=private()) as manager:
            await manager.acquire("db:other")
            with noting(manager) as notes:
                with pytest.raises(Boom):
                    async with manager.lease("db"):
                        await settled()
                        notes.take()
                        raise Boom
                await settled()
                assert notes.take() == [
                    "0 released db #2 e2 s=0 discarded Boom",
                    "0 invalidated #1",
                    "0 invalidated #2",
                    "0 closing #2 broken",
                    "0 closed #2",
                ]

    run(main())


def test_cleanup() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            for name in ("db:idle", "db:held", "db:forced"):
                await manager.acquire(name)
            await manager.release("db:idle")
            await asyncio.sleep(1)
            with noting(manager) as notes:
                await manager.cleanup("db:[ih]*")
                await manager.cleanup("db:")
                await manager.release("db:held")
                await settled()
                assert notes.take() == [
                    "1 invalidated #2",
                    "1 closing #1 cleanup",
                    "1 closed #1",
                    "1 released db:held #2 e2 s=1",
                    "1 closing #2 cleanup",
                    "1 closed #2",
                ]
                await manager.cleanup("db:forced", force=True)
                await manager.release("db:forced")
                await settled()
                assert notes.take() == [
                    "1 revoked db:forced #3 e3 s=1",
                    "1 closing #3 cleanup",
                    "1 closed #3",
                ]

    run(main())


def test_who_waits_for_something_else_than_a_lease_is_no_event() -> None:
    async def main() -> None:
        async with serving(Backend(close=1.0).spec(), metrics=private()) as manager:
            async with manager.lease("db"):
                pass
            with noting(manager) as notes:
                evicted = asyncio.ensure_future(manager.actor("db").ask(Evict()))
                await asyncio.sleep(0.5)
                evicted.cancel()
                await settled()
                assert notes.take() == ["0 closing #1 cleanup"]

    run(main())


def test_keyed_resources_are_named() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec("llm", "reset", keyed=True)
        async with serving(spec, metrics=private()) as manager:
            with noting(manager) as notes:
                await manager.acquire("llm:small", model="s")
                await manager.release("llm:small")
                await settled()
                assert notes.take() == [
                    "0 waiting llm:small t1",
                    "0 opening llm:small #1",
                    "0 opened llm:small #1 s=0",
                    "0 acquired llm:small #1 e1 t1 s=0",
                    "0 released llm:small #1 e1 s=0",
                    "0 resetting llm:small #1",
                    "0 reset llm:small #1",
                ]

    run(main())


def test_crash_and_restart() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1), metrics=private()) as manager:
            await manager.acquire("db:a")
            with noting(manager) as notes:
                crash(manager, "db")
                await asyncio.sleep(1)
                assert type(notes.events[0].error).__name__ == "InjectedCrash"
                assert notes.take() == ["0 crashed Crash InjectedCrash", "0 restarted"]
                # the next incarnation is watched, and remembers
                await manager.release("db:a")
                await settled()
                assert notes.take() == ["1 released db:a #1 e1 s=1"]

    run(main())


def test_of_a_turn_that_crashes_only_the_crash_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            with noting(manager) as notes:
                with failing_effect(monkeypatch, do.Open):
                    asked = await outcome(manager.acquire("db:a"))
                assert type(asked).__name__ == "SupervisorCrashed"
                await settled()
                assert notes.take() == ["0 crashed Acquire Boom", "0 restarted"]

    run(main())


def test_parked_and_revived() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            async with manager.lease("db"):
                pass
            for _ in range(3):
                crash(manager, "db")
                await settled()
            with noting(manager) as notes:
                crash(manager, "db")
                await settled()
                assert notes.take() == [
                    "0 crashed Crash InjectedCrash",
                    "0 parked InjectedCrash",
                    "0 closing #1 shutdown",
                    "0 closed #1",
                ]
                await outcome(manager.acquire("db:a"))
                await settled()
                assert notes.take() == ["0 denied db:a s=0 closed"]
                crash(manager, "db")
                await settled()
                assert notes.take() == ["0 crashed Crash InjectedCrash"]  # parked it was before
                await asyncio.sleep(31)
                assert notes.take() == ["30 revived"]

    run(main())


def test_crashes_once_the_root_has_failed() -> None:
    async def main() -> None:
        backend = Backend()
        manager = DefaultResourceManager([backend.spec()], metrics=private())
        notes = Notes()
        manager.subscribe(notes)
        async with manager, manager.lease("db"):
            await settled()
            notes.take()
            for _ in range(4):
                crash(manager, "root")
            for _ in range(4):
                crash(manager, "db")
            await settled()
            crashed, restarted = "0 crashed Crash InjectedCrash", "0 restarted"
            told = notes.take()
            assert told == [crashed, restarted] * 3 + [crashed, "0 parked InjectedCrash"]
        backend.assert_all_closed()

    run(main())


def test_stop() -> None:
    async def main() -> None:
        backend = Backend()
        manager = DefaultResourceManager(
            [backend.spec(max_size=2, close_timeout=4)], metrics=private()
        )
        await manager.start()
        await manager.acquire("db:a")
        backend.next("open", NEVER)
        with noting(manager) as notes:
            asked = asyncio.create_task(outcome(manager.acquire("db:b")))
            await settled()
            notes.take()
            await manager.stop(timeout=3)
            await asked
            await manager.release("db:a")  # late: no error, and nothing happens
            assert notes.take() == [
                "0 draining",
                "0 denied db:b t2 s=0 closed",
                "0 abandoned #2 shutdown",
                "0 open_failed #2 s=0 CancelledError",
                "3 revoked db:a #1 e1 s=3",
                "3 closing #1 shutdown",
                "3 closed #1",
            ]

    run(main())
