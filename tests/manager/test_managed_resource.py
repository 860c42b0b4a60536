"""`managed_resource`: a call is handed a leased resource and gives it back, however it ends."""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, managed_resource
from pepperpy_resources.errors import AcquireTimeout, UnknownResourceType, UsageError
from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, serving, settled, ticks, timed


class Service:
    def __init__(self, manager: DefaultResourceManager) -> None:
        self.resource_manager = manager
        self.seen: list[Fake] = []

    @managed_resource("db")
    async def query(self, database: Fake, text: str, *, limit: int = 10) -> tuple[str, int]:
        """Ask the database."""
        self.seen.append(database)
        await ticks(2)
        if text == "fail":
            raise ValueError(text)
        return text, limit

    @managed_resource("agent", id=lambda self, name, **_: f"agent-of-{name}")
    async def ask(self, agent: Fake, name: str, *, question: str = "") -> tuple[Fake, str, str]:
        return agent, name, question

    @managed_resource("agent")
    async def throw_away(self, agent: Fake) -> Fake:
        return agent


def test_a_method_is_handed_the_resource_after_self() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            service = Service(manager)
            assert await service.query("text") == ("text", 10)
            assert await service.query("text", limit=3) == ("text", 3)
            assert await service.query(text="named") == ("named", 10)
            assert service.seen == backend.fakes * 3
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


def test_a_function_is_handed_it_first() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:

            @managed_resource("db", manager=manager)
            async def count(database: Fake, table: str, by: int = 1) -> tuple[int, str, int]:
                return database.number, table, by

            assert await count("users") == (1, "users", 1)
            assert await count("users", by=2) == (1, "users", 2)

    run(main())


def test_calls_wait_for_each_other_and_never_share() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2)) as manager:
            most = 0

            @managed_resource("db", manager=manager)
            async def work(database: Fake) -> None:
                nonlocal most
                database.holders += 1
                most = max(most, database.holders)
                await ticks(3)
                database.holders -= 1

            await asyncio.gather(*[work() for _ in range(20)])
            assert most == 1
            assert backend.opened == 2

    run(main())


def test_a_call_that_fails_gives_back() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            service = Service(manager)
            with pytest.raises(ValueError, match="fail"):
                await service.query("fail")
            await manager.acquire("db:next", timeout=0)

    run(main())


@pytest.mark.parametrize("tick", range(8))
def test_a_call_that_is_cancelled_gives_back(tick: int) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=1)) as manager:
            task = asyncio.ensure_future(Service(manager).query("text"))
            await ticks(tick)
            task.cancel()
            await asyncio.wait({task})
            await settled()
            assert (await manager.monitor())["active_resources"] == 0
            await manager.acquire("db:next", timeout=1)
        backend.assert_all_closed()

    run(main())


def test_a_failed_acquire_releases_nothing() -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(max_size=1, acquire_timeout=1)
        async with serving(spec) as manager:
            await manager.acquire("db:holder")
            service = Service(manager)
            with pytest.raises(AcquireTimeout):
                await service.query("text")
            assert service.seen == []
            assert list(manager.resources) == ["db:holder"]
            with pytest.raises(UnknownResourceType):
                await service.throw_away()

    run(main())


def test_an_id_is_made_of_the_arguments() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            service = Service(manager)
            fake, name, question = await service.ask("writer", question="why?")
            assert (name, question) == ("writer", "why?")
            assert fake.arguments == ("agent:agent-of-writer",)
            assert (await service.ask("writer"))[0] is fake
            assert (await service.ask("reader"))[0] is not fake
            assert set(manager.resources) == {"agent:agent-of-writer", "agent:agent-of-reader"}

    run(main())


def test_a_keyed_type_without_an_id_gets_one_for_each_call_and_is_discarded() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("agent", keyed=True)) as manager:
            service = Service(manager)
            one, two = await asyncio.gather(service.throw_away(), service.throw_away())
            assert one is not two
            await settled()
            assert dict(manager.resources) == {}
            assert [fake.closes for fake in backend.fakes] == [1, 1]

    run(main())


def test_the_manager_without_specs_serves_it_too() -> None:
    async def main() -> None:
        async with DefaultResourceManager() as manager:
            record: Any = await Service(manager).throw_away()
            assert record.resource_id.startswith("agent:")
            assert dict(manager.resources) == {}

    run(main())


def test_name_docstring_and_kind_are_preserved() -> None:
    assert Service.query.__name__ == "query"
    assert Service.query.__doc__ == "Ask the database."
    assert inspect.iscoroutinefunction(Service.query)


def test_a_sync_function_is_refused_at_decoration() -> None:
    with pytest.raises(UsageError, match=r"async def; .*sync is none"):

        @managed_resource("db")  # type: ignore[arg-type]
        def sync(self: object, database: object) -> None:
            raise AssertionError


@pytest.mark.parametrize("given", [object(), "text", 7], ids=["object", "str", "int"])
def test_what_is_no_function_is_refused_at_decoration(given: Any) -> None:
    with pytest.raises(UsageError, match="needs an async def"):
        managed_resource("db")(given)


def test_an_object_without_a_manager_is_told_what_is_missing() -> None:
    class Lost:
        @managed_resource("db")
        async def work(self, database: object) -> None:
            raise AssertionError

    async def main() -> None:
        with pytest.raises((UsageError, AttributeError), match="resource_manager"):
            await Lost().work()

    run(main())


# -- what it passes on to lease()


def test_the_timeout_is_that_of_the_acquire() -> None:
    async def main() -> None:
        async with serving(Backend().spec(max_size=1)) as manager:

            @managed_resource("db", manager=manager, timeout=timedelta(seconds=2))
            async def work(database: Fake) -> None:
                raise AssertionError

            await manager.acquire("db:held")
            seconds, error = await timed(work())
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(2.0)

    run(main())


@pytest.mark.parametrize("keyed", [False, True])
def test_discard_closes_the_resource_after_the_call(*, keyed: bool) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(keyed=keyed)) as manager:
            key = (lambda: "one") if keyed else None

            @managed_resource("db", id=key, manager=manager, discard=True)
            async def once(database: Fake) -> int:
                assert not database.closes
                return database.number

            assert [await once(), await once()] == [1, 2]
            await settled()
            assert [fake.closes for fake in backend.fakes] == [1, 1]

    run(main())


def test_a_priority_is_passed_on_and_none_is_not() -> None:
    async def main() -> None:
        passed: list[dict[str, Any]] = []

        class Spy(DefaultResourceManager):
            def lease(self, type_or_id: str, **options: Any) -> Any:
                passed.append(options)
                return super().lease(type_or_id, timeout=options["timeout"])

        manager = Spy([Backend().spec()])
        await manager.start()

        @managed_resource("db", manager=manager, priority=3)
        async def urgent(database: Fake) -> None: ...

        @managed_resource("db", manager=manager)
        async def usual(database: Fake) -> None: ...

        await urgent()
        await usual()
        assert [options.get("priority") for options in passed] == [3, None]
        await manager.stop()

    run(main())


def test_a_timeout_that_is_none_is_refused_at_decoration() -> None:
    with pytest.raises(UsageError, match="timeout=-1"):
        managed_resource("db", timeout=-1)


def test_a_type_that_depends_on_others_is_managed_like_any() -> None:
    async def main() -> None:
        backend = Backend()
        types = backend.spec("agent", keyed=True, depends_on=["db"]), backend.spec(required=False)
        async with serving(*types) as manager:
            service = Service(manager)
            assert (await service.ask("bob"))[0].arguments == ("agent:agent-of-bob",)
            assert await service.query("text") == ("text", 10)

    run(main())
