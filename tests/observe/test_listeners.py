"""Listeners: who is called, when, and what a bad one can do."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceEvent, Subscription
from pepperpy_resources.actors import pool as pool_actor
from pepperpy_resources.core.pool import Mode
from pepperpy_resources.errors import (
    InvalidResourceId,
    ManagerStopped,
    UnknownResourceType,
    UsageError,
    WrongLoop,
)
from pepperpy_resources.messages import Release
from pepperpy_resources.testing import crash, run
from tests.helpers import Backend, serving, settled
from tests.observe.watching import Notes, noting
from tests.supervision.kit import Boom, in_thread, private, totals

SECRET = "hunter2-correct-horse"
LEASED = ["acquired", "released"]


async def lease(manager: DefaultResourceManager, name: str = "db") -> None:
    """Lease once, and let the listeners be called."""
    async with manager.lease(name):
        pass
    await settled()


# -- watching changes nothing


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the turns that take the long way, and those that are told of."""
    seen: list[str] = []
    for name in ("handle", "happenings"):
        real: Callable[..., Any] = getattr(pool_actor, name)

        def counted(*args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            seen.append(name)
            return real(*args)

        monkeypatch.setattr(pool_actor, name, counted)
    return seen


def test_while_nobody_listens_turns_are_short_and_nothing_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            await lease(manager)
            seen = counting(monkeypatch)
            await lease(manager)
            assert seen == []
            with noting(manager) as notes:
                await lease(manager)
                assert notes.kinds() == LEASED
            assert seen == ["handle", "happenings"] * 2
            seen.clear()
            await lease(manager)
            assert seen == []
            await manager.cleanup()
            assert set(seen) == {"handle"}

    run(main())


def test_a_crash_nobody_listens_to_is_not_told() -> None:
    async def main() -> None:
        backend = Backend()
        specs = backend.spec("db"), backend.spec("llm")
        async with serving(*specs, metrics=private()) as manager:
            with noting(manager, "llm"):
                crash(manager, "db")
                assert manager._watchers._untold == []
                crash(manager, "llm")
                assert len(manager._watchers._untold) == 2

    run(main())


def test_a_type_nobody_listens_to_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        backend = Backend()
        specs = backend.spec("db"), backend.spec("llm")
        async with serving(*specs, metrics=private()) as manager:
            await lease(manager, "db")
            await lease(manager, "llm")
            with noting(manager, "llm") as notes:
                seen = counting(monkeypatch)
                await lease(manager, "db")
                assert seen == []
                crash(manager, "db")
                await lease(manager, "llm")
                assert notes.kinds() == LEASED

    run(main())


def played(watched: bool) -> tuple[dict[str, float], list[str]]:  # noqa: FBT001 - of one test
    """Play one afternoon of 400 leases; return the counters and what became of each lease."""
    log: list[str] = []

    async def borrow(manager: DefaultResourceManager, chance: random.Random, number: int) -> None:
        await asyncio.sleep(chance.uniform(0, 100))
        try:
            async with manager.lease("db", timeout=chance.choice([None, 0.5])) as fake:
                await asyncio.sleep(chance.uniform(0, 2))
                log.append(f"{number} had {fake.number}")
                if chance.random() < 0.1:
                    raise Boom
        except Exception as error:
            log.append(f"{number} {type(error).__name__}")

    async def main() -> dict[str, float]:
        backend = Backend(open=0.2, check=0.1)
        chance = random.Random(7)
        spec = backend.spec("db", "check", check_on={"acquire"}, max_size=3, fresh_for=0.1)
        async with serving(spec, metrics=private()) as manager:
            if watched:
                manager.subscribe(Notes())
            async with asyncio.TaskGroup() as group:
                for number in range(400):
                    group.create_task(borrow(manager, chance, number))
        return totals(manager)

    return run(main()), log


def test_watching_changes_nothing() -> None:
    counters, log = played(watched=False)
    assert played(watched=True) == (counters, log)
    assert len(log) > 400


def test_draining_is_watched_too() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            await manager.acquire("db:a")
            pool = manager._exits["db"].state.pool
            with noting(manager) as notes:
                stop = asyncio.create_task(manager.stop(timeout=5))
                await settled()
                assert pool.modes == {Mode.DRAINING, Mode.WATCHED}
                await manager.release("db:a")
                await stop
                assert notes.kinds() == ["draining", "released", "closing", "closed"]
            assert pool.modes == {Mode.DRAINING}

    run(main())


# -- who is called, and when


def test_a_listener_is_called_outside_any_turn() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            host = manager.cell("db").host
            free: list[bool] = []
            with manager.subscribe(lambda _: free.append(host.free == host.thread)):
                await manager.acquire("db:a")
                await manager.release("db:a")
                told = len(free)
                await settled()
            assert told < len(free) == 5
            assert all(free)

    run(main())


def test_one_callback_of_the_loop_tells_of_a_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            await lease(manager)
            with noting(manager) as notes:
                loop = asyncio.get_running_loop()
                calls: list[Any] = []
                real = loop.call_soon

                def call_soon(*args: Any, **options: Any) -> Any:
                    calls.append(args)
                    return real(*args, **options)

                monkeypatch.setattr(loop, "call_soon", call_soon)
                for _ in range(3):
                    await manager.acquire("db:a")  # served at once: nothing else is called soon
                    await manager.release("db:a")
                monkeypatch.undo()
                assert len(calls) == 1
                await settled()
                assert notes.kinds() == LEASED * 3

    run(main())


def test_two_listeners_hear_the_same_in_the_order_they_came() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            heard: list[tuple[str, str]] = []
            await lease(manager)
            first = manager.subscribe(lambda event: heard.append(("first", event.what)))
            second = manager.subscribe(lambda event: heard.append(("second", event.what)))
            await lease(manager)
            assert heard == [(who, what) for what in LEASED for who in ("first", "second")]
            first.cancel()
            heard.clear()
            await lease(manager)
            assert heard == [("second", what) for what in LEASED]
            second.cancel()
            second.cancel()  # idempotent

    run(main())


def test_types_are_chosen_by_name() -> None:
    async def main() -> None:
        backend = Backend()
        specs = [backend.spec(name) for name in ("db", "llm", "http")]
        async with serving(*specs, metrics=private()) as manager:
            with noting(manager, "db", "http") as some, noting(manager) as every:
                for name in ("db", "llm", "http"):
                    await lease(manager, name)
                assert {event.resource_type for event in some.events} == {"db", "http"}
                assert {event.resource_type for event in every.events} == {"db", "llm", "http"}

    run(main())


def test_a_subscription_before_the_start_hears_from_the_first_event_on() -> None:
    async def main() -> None:
        manager = DefaultResourceManager([Backend().spec(min_idle=1)], metrics=private())
        with noting(manager, "db") as notes:
            async with manager:
                await manager.wait_ready()
                await settled()
                assert notes.kinds() == ["opening", "opened"]
            assert notes.kinds() == ["draining", "closing", "closed"]

    run(main())


def test_a_type_that_is_added_later_is_heard_of() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db"), metrics=private()) as manager:
            with noting(manager) as notes:
                manager.add_type(backend.spec("llm"))
                await lease(manager, "llm")
                assert notes.kinds() == ["waiting", "opening", "opened", *LEASED]
                await manager.remove_type("llm")
                await settled()
                assert notes.kinds() == ["draining", "closing", "closed"]

    run(main())


def test_without_specs_any_type_may_be_named() -> None:
    async def main() -> None:
        async with serving(metrics=private()) as manager:
            with noting(manager, "test") as notes:
                await manager.acquire("test:1")
                await manager.acquire("other:1")
                await settled()
                assert {event.resource_id for event in notes.events} == {"test:1"}

    run(main())


def test_a_listener_runs_in_its_subscribers_context() -> None:
    async def main() -> None:
        variable: ContextVar[str] = ContextVar("variable", default="none")
        heard: list[str] = []

        async def borrow() -> None:
            variable.set("borrower's")
            await lease(manager)

        async with serving(Backend().spec(), metrics=private()) as manager:
            variable.set("subscriber's")
            with manager.subscribe(lambda _: heard.append(variable.get())):
                await asyncio.create_task(borrow())
            assert set(heard) == {"subscriber's"}

    run(main())


# -- listeners that do something


def test_a_listener_may_cancel_itself_and_others() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            await lease(manager)
            heard: list[str] = []

            def once(event: ResourceEvent) -> None:
                heard.append(f"once {event.what}")
                own.cancel()
                other.cancel()

            own = manager.subscribe(once)
            other = manager.subscribe(lambda event: heard.append(f"other {event.what}"))
            await lease(manager)
            assert heard == ["once acquired"]
            assert repr(own).endswith("to all types, cancelled>")
            assert manager._exits["db"].state.pool.modes == set()

    run(main())


def test_what_happened_before_a_cancel_is_not_told_after_it() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            with noting(manager) as notes:
                await manager.acquire("db:a")
                await settled()
                notes.take()
                await manager.release("db:a")
            await settled()
            assert notes.take() == []

    run(main())


def test_who_subscribes_in_a_listener_hears_of_what_comes_after() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            await lease(manager)
            late = Notes()
            added: list[Subscription] = []

            def adding(_: ResourceEvent) -> None:
                if not added:
                    added.append(manager.subscribe(late))

            with manager.subscribe(adding):
                await lease(manager)
                assert late.kinds() == []  # both had happened by then
                await lease(manager)
                assert late.kinds() == LEASED

    run(main())


def test_a_listener_may_release() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            kinds: list[str] = []

            def generous(event: ResourceEvent) -> None:
                kinds.append(event.what)
                if event.what == "acquired":
                    assert event.resource_id is not None
                    manager.actor("db").tell(Release(event.resource_id, event.epoch))

            with manager.subscribe(generous):
                await manager.acquire("db:a")
                await settled()
                await manager.acquire("db:b")
                await settled()
            assert kinds == ["waiting", "opening", "opened", *LEASED, *LEASED]

    run(main())


# -- bad listeners


def test_what_a_listener_raises_is_logged_once_and_hurts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors: list[BaseException] = [
        Boom("1"),
        Boom("2"),
        asyncio.CancelledError(),
        GeneratorExit(),
        Boom("3"),
    ]

    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:

            def bad(_: ResourceEvent) -> None:
                if errors:
                    raise errors.pop(0)

            with manager.subscribe(bad), noting(manager) as notes:
                await lease(manager)
                await lease(manager)
                assert errors == []
                assert notes.kinds() == ["waiting", "opening", "opened", *LEASED, *LEASED]

    with caplog.at_level(logging.WARNING, "pepperpy_resources"):
        run(main())
    kinds = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert kinds == [Boom, asyncio.CancelledError, GeneratorExit]
    assert "bad failed; this kind of error is logged once" in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_end_of_the_program_ends_the_program(kind: type[BaseException]) -> None:
    heard: list[str] = []

    async def main() -> None:
        manager = DefaultResourceManager([Backend().spec()], metrics=private())

        def ending(event: ResourceEvent) -> None:
            if event.what == "opened":
                raise kind

        async with manager:
            with manager.subscribe(ending), manager.subscribe(lambda e: heard.append(e.what)):
                await manager.acquire("db:a")
                await asyncio.sleep(3600)

    with pytest.raises(kind):
        run(main())
    assert heard[:4] == ["waiting", "opening", "opened", "acquired"]  # told to the end


async def asynchronous(event: ResourceEvent) -> None:
    """Be no listener."""


def no_argument() -> None:
    """Be no listener."""


REFUSED: list[tuple[Any, str]] = [
    (None, "a listener is a callable, not a NoneType"),
    ("db", "a listener is a callable, not a str"),
    (asynchronous, "asynchronous is no plain function"),
    (functools.partial(asynchronous), "asynchronous.* is no plain function"),
    (no_argument, "no_argument cannot be called with one argument"),
]


@pytest.mark.parametrize(("listener", "text"), REFUSED)
def test_what_is_no_listener_is_refused(listener: Any, text: str) -> None:
    manager = DefaultResourceManager([Backend().spec()], metrics=private())
    with pytest.raises(UsageError, match=text):
        manager.subscribe(listener)


def test_what_is_no_type_is_refused() -> None:
    manager = DefaultResourceManager([Backend().spec()], metrics=private())
    with pytest.raises(UnknownResourceType, match="did you mean 'db'"):
        manager.subscribe(print, "dbs")
    with pytest.raises(InvalidResourceId, match="not int"):
        manager.subscribe(print, 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidResourceId, match="not int"):
        DefaultResourceManager(metrics=private()).subscribe(print, 5)  # type: ignore[arg-type]


def test_from_another_thread_it_is_refused() -> None:
    async def main() -> None:
        async with serving(Backend().spec(), metrics=private()) as manager:
            subscription = manager.subscribe(print)
            raised: list[BaseException] = []

            def elsewhere() -> None:
                for call in (lambda: manager.subscribe(print), subscription.cancel):
                    try:
                        call()
                    except WrongLoop as error:
                        raised.append(error)

            in_thread(elsewhere)
            assert len(raised) == 2
            assert subscription.active
            subscription.cancel()

    run(main())


def test_after_a_stop_nobody_subscribes_but_anybody_may_cancel() -> None:
    manager = DefaultResourceManager([Backend().spec()], metrics=private())
    subscription = manager.subscribe(print, "db")

    async def main() -> None:
        async with manager:
            pass
        with pytest.raises(ManagerStopped):
            manager.subscribe(print)

    run(main())
    subscription.cancel()
    assert not subscription.active


def test_no_secret_is_shown() -> None:
    class Owner:
        def __repr__(self) -> str:
            return SECRET

    manager = DefaultResourceManager([Backend().spec()], metrics=private())
    subscription = manager.subscribe(functools.partial(print, SECRET), "db")
    assert repr(subscription) == "<Subscription of partial(print) to db, active>"

    async def main() -> None:
        backend = Backend()
        backend.next("open", ConnectionError(SECRET))
        async with serving(backend.spec("llm", keyed=True), metrics=private()) as manager:
            with noting(manager) as notes:
                await manager.acquire("llm:a", owner=Owner(), password=SECRET)
                await settled()
                for event in notes.events:
                    assert SECRET not in repr(event)
                    assert SECRET not in str(event)
                assert repr(notes.events[2]) == (
                    "ResourceEvent(at=1000.0, resource_type='llm', "
                    "what=<What.OPEN_FAILED: 'open_failed'>, resource_id='llm:a', slot=1, "
                    "epoch=None, ticket=None, seconds=0.0, reason=None, "
                    "error=<ConnectionError>, owner=None)"
                )
                assert str(notes.events[0]) == (
                    "1000.000000 llm waiting resource_id=llm:a ticket=1 owner=Owner"
                )

    run(main())
