"""Types that need each other: refused, started, stopped and added in the right order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.errors import InvalidSpec, ManagerStopped, UnknownResourceType, UsageError
from pepperpy_resources.testing import crash, run
from tests.helpers import NEVER, STUBBORN, Backend, Fake, now, serving, settled, ticks, timed

TIMEOUT = 5.0
CLOSE = 2.0


class Agent:
    """A resource that works with a database of its own."""

    def __init__(self, database: Fake, number: int) -> None:
        self.database = database
        self.lease_id = f"db:of-agent-{number}"
        self.database_closes: int | None = None  # of its database, when its close hook ran


class Agents:
    """Makes agents that lease a database from `manager` for as long as they live."""

    def __init__(self, close: float = 0.0) -> None:
        self.manager: DefaultResourceManager
        self.made: list[Agent] = []
        self.numbers = itertools.count()
        self.takes = close

    async def make(self, *_: str) -> Agent:
        number = next(self.numbers)
        agent = Agent(await self.manager.acquire(f"db:of-agent-{number}"), number)
        self.made.append(agent)
        return agent

    async def close(self, agent: Agent) -> None:
        await asyncio.sleep(self.takes)  # says goodbye to its database, perhaps
        assert agent.database_closes is None
        agent.database_closes = agent.database.closes
        await self.manager.release(agent.lease_id)

    def spec(self, name: str = "agent", **fields: Any) -> ResourceSpec[Agent]:
        fields.setdefault("depends_on", ["db"])
        return ResourceSpec(name, factory=self.make, close=self.close, **fields)

    def assert_closed_before_their_databases(self) -> None:
        assert self.made
        assert [agent.database_closes for agent in self.made] == [0] * len(self.made)


@asynccontextmanager
async def staffed(
    agents: Agents, *specs: ResourceSpec[Any]
) -> AsyncIterator[DefaultResourceManager]:
    async with serving(*specs) as manager:
        agents.manager = manager
        yield manager


async def took(work: Awaitable[None]) -> float:
    """Return how many seconds this took, and raise what it raised."""
    began = now()
    await work
    return now() - began


def names(manager: DefaultResourceManager) -> list[str]:
    """Return the types in the order the tree shows."""
    (root,) = manager.tree().children
    return [node.path for node in root.children if node.resources is not None]


# -- refused


def test_a_circle_is_refused_and_named_whole() -> None:
    backend = Backend()
    specs = [
        backend.spec("web", depends_on=["agent"]),
        backend.spec("agent", depends_on=["tool"]),
        backend.spec("tool", depends_on=["db"]),
        backend.spec("db", depends_on=["agent"]),
    ]
    with pytest.raises(InvalidSpec, match="agent -> tool -> db -> agent;"):
        DefaultResourceManager(specs)


def test_a_dependency_nobody_declared_is_refused_with_the_nearest() -> None:
    backend = Backend()
    specs = [backend.spec("agent", depends_on=["cache", "dbs"]), backend.spec("cache")]
    with pytest.raises(InvalidSpec) as refused:
        DefaultResourceManager([*specs, backend.spec("db")])
    assert str(refused.value) == (
        "ResourceSpec 'agent': depends_on: 'dbs' is no declared resource type "
        "(known: cache, db); did you mean 'db'?"
    )
    with pytest.raises(InvalidSpec, match=r"'db' is no declared.*\(known: none\)"):
        DefaultResourceManager([backend.spec("agent", depends_on=["db"])])


# -- start, add, remove


def test_the_types_start_in_the_order_of_their_dependencies() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(
            backend.spec("web"),
            backend.spec("agent", depends_on=["tool", "db"]),
            backend.spec("tool", depends_on=["db"]),
            backend.spec("cache"),
            backend.spec("db"),
        ) as manager:
            assert names(manager) == ["web", "db", "tool", "agent", "cache"]

    run(main())


def test_a_warm_up_that_needs_another_type_is_served_by_it() -> None:
    async def main() -> None:
        backend, agents = Backend(open=1.0), Agents()
        specs = agents.spec(min_idle=2), backend.spec(max_size=2)
        async with staffed(agents, *specs) as manager:
            assert await took(manager.wait_ready(10)) == pytest.approx(1.0)
            assert len(agents.made) == 2
        agents.assert_closed_before_their_databases()
        backend.assert_all_closed()

    run(main())


def test_a_type_is_added_after_what_it_depends_on() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("cache")) as manager:
            with pytest.raises(InvalidSpec, match=r"'agent'.*'db' is no declared.*cache"):
                manager.add_type(backend.spec("agent", depends_on=["db"]))
            with pytest.raises(UnknownResourceType):
                await manager.acquire("agent:a")
            manager.add_type(backend.spec("db"))
            manager.add_type(backend.spec("agent", depends_on=["db"]))
            await manager.acquire("agent:a")
            assert names(manager) == ["cache", "db", "agent"]

    run(main())


def test_a_type_that_is_needed_is_not_removed() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(
            backend.spec("db"),
            backend.spec("agent", depends_on=["db"]),
            backend.spec("web", depends_on=["db"]),
        ) as manager:
            with pytest.raises(UsageError, match="'db' is needed by 'agent', 'web'"):
                await manager.remove_type("db")
            await manager.acquire("db:a")  # it serves as before
            await manager.release("db:a")
            await manager.remove_type("web")
            with pytest.raises(UsageError, match="needed by 'agent'"):
                await manager.remove_type("db")
            await manager.remove_type("agent")
            await manager.remove_type("db")
            assert names(manager) == []
        backend.assert_all_closed()

    run(main())


def test_while_it_is_removed_a_type_still_needs_others_and_is_needed_by_no_new_one() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(), backend.spec("agent", depends_on=["db"])) as manager:
            await manager.acquire("agent:a")
            removal = asyncio.ensure_future(manager.remove_type("agent"))
            await settled()
            with pytest.raises(UsageError, match="needed by 'agent'"):
                await manager.remove_type("db")
            with pytest.raises(InvalidSpec, match="'agent' is no declared"):
                manager.add_type(backend.spec("web", depends_on=["agent"]))
            await manager.release("agent:a")
            await removal
            await manager.remove_type("db")

    run(main())


def test_removing_a_type_gives_back_what_it_leased() -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents()
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            async with manager.lease("agent"):
                pass
            await manager.remove_type("agent")
            agents.assert_closed_before_their_databases()
            assert backend.live == 1
            assert (await manager.monitor())["active_resources"] == 0

    run(main())


# -- stop


def test_an_idle_agent_gives_its_database_back_and_stop_takes_no_time() -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents()
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            async with manager.lease("agent"):
                pass
            assert await took(manager.stop(TIMEOUT)) == 0.0
            agents.assert_closed_before_their_databases()
            backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("timeout", [0.0, TIMEOUT])
def test_a_held_agent_is_closed_by_force_while_its_database_still_works(timeout: float) -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents(close=1.0)
        async with staffed(agents, backend.spec(), agents.spec(close_timeout=CLOSE)) as manager:
            await manager.acquire("agent:a")
            await manager.acquire("agent:b")
            assert await took(manager.stop(timeout)) == pytest.approx(timeout + 1.0)
            agents.assert_closed_before_their_databases()
            backend.assert_all_closed()

    run(main())


def test_tickets_of_all_types_are_denied_at_once() -> None:
    async def main() -> None:
        backend = Backend()
        types = backend.spec(max_size=1), backend.spec("agent", max_size=1, depends_on=["db"])
        async with serving(*types) as manager:
            waiting: list[asyncio.Future[tuple[float, Any]]] = []
            for name in ("db", "agent"):
                await manager.acquire(f"{name}:held")
                waiting.append(asyncio.ensure_future(timed(manager.acquire(f"{name}:waits"))))
            await ticks(1)
            stop = asyncio.ensure_future(manager.stop(TIMEOUT))
            for seconds, error in await asyncio.gather(*waiting):
                assert seconds == 0.0
                assert isinstance(error, ManagerStopped)
            await stop

    run(main())


def test_closes_that_hang_cost_one_close_deadline_for_each_layer() -> None:
    async def main() -> None:
        backend = Backend(close=NEVER)
        began: dict[str, float] = {}

        def spec(name: str, close_timeout: float, *needs: str) -> ResourceSpec[Fake]:
            async def close(fake: Fake) -> None:
                began[name] = now()
                await backend.close(fake)

            return ResourceSpec(
                name,
                factory=backend.connect,
                close=close,
                close_timeout=close_timeout,
                depends_on=needs,
            )

        types = (
            spec("db", 1.0),
            spec("tool", 2.0, "db"),
            spec("agent", 4.0, "tool"),
            spec("web", 0.5),
        )
        async with serving(*types) as manager:
            for each in types:
                await manager.acquire(f"{each.name}:held")
            start = now()
            assert await took(manager.stop(TIMEOUT)) == pytest.approx(TIMEOUT + 4.0 + 2.0 + 1.0)
            # Each begins when the deadline of what needs it is over, and not earlier.
            order = {name: at - start for name, at in began.items()}
            expected = {"agent": 5.0, "web": 5.0, "tool": 9.0, "db": 11.0}
            assert order == pytest.approx(expected)
            backend.assert_all_closed()

    run(main())


def test_a_close_that_ignores_its_deadline_does_not_hold_up_the_next_layer() -> None:
    async def main() -> None:
        stubborn, backend = Backend(close=STUBBORN), Backend()
        types = backend.spec(), stubborn.spec("agent", depends_on=["db"], close_timeout=CLOSE)
        async with serving(*types) as manager:
            try:
                await manager.acquire("agent:a")
                await manager.acquire("db:a")
                assert CLOSE <= await took(manager.stop(0)) <= CLOSE + 0.1
                backend.assert_all_closed()
            finally:
                stubborn.let_go.set()
            await settled()

    run(main())


def test_stop_from_the_task_that_holds_an_agent_does_not_wait_for_its_database() -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents()
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            async with manager.lease("agent"):
                assert await took(manager.stop(TIMEOUT)) == 0.0
            agents.assert_closed_before_their_databases()
            backend.assert_all_closed()

    run(main())


def test_a_type_without_dependencies_is_left_alone_until_all_are_drained() -> None:
    """Nobody waits for its lease, but the holder goes on with it while others are waited for."""

    async def main() -> None:
        async def connect() -> object:
            return object()  # nothing to close

        backend = Backend()
        async with serving(backend.spec(), ResourceSpec("plain", factory=connect)) as manager:
            await manager.acquire("db:a")
            await manager.acquire("plain:a")
            stop = asyncio.ensure_future(took(manager.stop(TIMEOUT)))
            await asyncio.sleep(1)
            assert "plain:a" in manager.resources
            await manager.release("db:a")
            assert await stop == pytest.approx(1.0)
            assert "plain:a" not in manager.resources
        backend.assert_all_closed()

    run(main())


def test_an_agent_made_by_a_generator_leaves_its_lease_block_in_time() -> None:
    async def main() -> None:
        backend = Backend()
        closes: list[int] = []
        manager: DefaultResourceManager

        async def agent() -> AsyncIterator[object]:
            async with manager.lease("db") as database:
                yield object()
                closes.append(database.closes)

        agents = ResourceSpec("agent", factory=agent, depends_on=["db"])
        async with serving(backend.spec(), agents) as manager:
            await manager.acquire("agent:held")
            async with manager.lease("agent"):
                pass
            assert await took(manager.stop(TIMEOUT)) == pytest.approx(TIMEOUT)
            assert closes == [0, 0]
            backend.assert_all_closed()

    run(main())


def test_a_diamond_is_stopped_from_the_top() -> None:
    async def main() -> None:
        order: list[str] = []

        def spec(name: str, *needs: str) -> ResourceSpec[object]:
            async def make() -> object:
                return object()

            async def close(_: object) -> None:
                await asyncio.sleep(0.25)
                order.append(name)

            return ResourceSpec(name, factory=make, close=close, depends_on=needs)

        types = spec("db"), spec("left", "db"), spec("right", "db"), spec("top", "left", "right")
        async with serving(*types) as manager:
            for each in types:
                await manager.acquire(f"{each.name}:held")
            assert await took(manager.stop(0)) == pytest.approx(0.75)
            assert order[0] == "top"
            assert set(order[1:3]) == {"left", "right"}
            assert order[3:] == ["db"]

    run(main())


def test_a_second_stop_hastens_the_first_and_keeps_the_order() -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents(close=0.5)
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            await manager.acquire("agent:held")
            first = asyncio.ensure_future(took(manager.stop(60)))
            await asyncio.sleep(1)
            assert await took(manager.stop(1)) == pytest.approx(1.5)
            assert await first == pytest.approx(2.5)
            assert await took(manager.stop(1)) == 0.0
            agents.assert_closed_before_their_databases()
            backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("tick", range(12))
def test_a_cancelled_stop_goes_on_in_order(tick: int) -> None:
    async def main() -> None:
        backend, agents = Backend(close=0.25), Agents(close=0.5)
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            await manager.acquire("agent:held")
            began = now()
            caller = asyncio.ensure_future(manager.stop(1.0))
            await ticks(tick + 1)
            caller.cancel()
            await asyncio.wait({caller})
            assert caller.cancelled()
            await manager.stop(60)
            assert now() - began == pytest.approx(1.75)
            agents.assert_closed_before_their_databases()
            backend.assert_all_closed()

    run(main())


@pytest.mark.parametrize("crashed", ["agent", "db"])
@pytest.mark.parametrize("held", [False, True], ids=["idle", "held"])
def test_a_crash_while_all_drain_changes_neither_order_nor_time(
    crashed: str, *, held: bool
) -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents(close=0.5)
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            await manager.acquire("agent:a")
            if not held:
                await manager.release("agent:a")
            stop = asyncio.ensure_future(took(manager.stop(1.0)))
            await ticks(2)
            crash(manager, crashed)
            assert await stop == pytest.approx(1.5 if held else 0.5)
            agents.assert_closed_before_their_databases()
            backend.assert_all_closed()

    run(main())


def test_an_agent_type_that_is_parked_does_not_stop_the_stop() -> None:
    async def main() -> None:
        backend, agents = Backend(), Agents()
        async with staffed(agents, agents.spec(), backend.spec()) as manager:
            await manager.acquire("agent:a")
            for _ in range(4):
                crash(manager, "agent")
                await settled()
            assert manager.cell("agent").status == "failed"
            agents.assert_closed_before_their_databases()
            assert await took(manager.stop(TIMEOUT)) == 0.0
            backend.assert_all_closed()

    run(main())
