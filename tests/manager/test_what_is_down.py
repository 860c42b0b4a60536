"""An error of a type that needs another names the one that is down, with its last failure."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from pepperpy_resources import Backoff, DefaultResourceManager, ResourceSpec
from pepperpy_resources.actors.blame import causes
from pepperpy_resources.errors import (
    AcquireTimeout,
    AskTimeout,
    LeaseIdInUse,
    ManagerStopped,
    OpenFailedError,
    QueueFull,
    ResourceError,
    TypeParked,
)
from pepperpy_resources.messages import Drain
from pepperpy_resources.observe.node import DependencyNode, TypeNode
from pepperpy_resources.testing import crash, run
from tests.helpers import NEVER, Backend, serving, settled, timed

REFUSED = ConnectionRefusedError("db.example:5432")
BLAME = ". 'agent' depends on 'db', which is down: ConnectionRefusedError: db.example:5432"


class Scene:
    """A database, and agents that take one from it when they are made."""

    def __init__(self, **usual: Any) -> None:
        self.database = Backend(**usual)
        self.manager: DefaultResourceManager

    async def make(self, *_: str) -> object:
        async with self.manager.lease("db"):
            return object()

    def specs(self, **fields: Any) -> list[ResourceSpec[Any]]:
        database = self.database.spec(max_size=1, backoff=Backoff(max=1.0))
        return [database, ResourceSpec("agent", factory=self.make, depends_on=["db"], **fields)]


async def refused(work: Any) -> ResourceError:
    _, error = await timed(work)
    assert isinstance(error, ResourceError)
    return error


def node(manager: DefaultResourceManager, name: str) -> TypeNode:
    (root,) = manager.tree().children
    (found,) = [child for child in root.children if child.path == name]
    assert found.resources is not None
    return found.resources


def test_an_acquire_that_times_out_names_it_and_has_its_failure_for_a_cause() -> None:
    async def main() -> None:
        scene = Scene(open=REFUSED)
        async with serving(*scene.specs()) as manager:
            scene.manager = manager
            error = await refused(manager.acquire("agent:a", timeout=3))
            assert type(error) is AcquireTimeout
            assert str(error).endswith(BLAME)
            assert str(error).startswith("no 'agent' resource became free in time: 0 idle, ")
            assert error.__cause__ is REFUSED
            # The database's own errors name nobody below.
            error = await refused(manager.acquire("db:a", timeout=3))
            assert "depends on" not in str(error)

    run(main())


def test_a_full_queue_names_it() -> None:
    async def main() -> None:
        scene = Scene(open=REFUSED)
        async with serving(*scene.specs(max_waiting=0, max_size=1)) as manager:
            scene.manager = manager
            first = asyncio.ensure_future(timed(manager.acquire("agent:a", timeout=2)))
            await settled()
            error = await refused(manager.acquire("agent:b"))
            assert type(error) is QueueFull
            assert str(error).endswith(BLAME)
            await first

    run(main())


def test_a_resource_that_cannot_be_made_names_it_and_keeps_its_own_cause() -> None:
    async def main() -> None:
        scene = Scene(open=REFUSED)
        own = OpenFailedError("no agent without a database")

        async def make() -> object:
            try:
                async with scene.manager.lease("db", timeout=1):
                    return object()
            except AcquireTimeout:
                raise own from None

        (database, _) = scene.specs()
        agent = ResourceSpec("agent", factory=make, depends_on=["db"])
        async with serving(database, agent) as manager:
            scene.manager = manager
            error = await refused(manager.acquire("agent:a"))
            assert type(error) is OpenFailedError
            assert str(error).endswith(BLAME)
            assert error.__cause__ is own

    run(main())


def test_a_failing_on_acquire_names_it() -> None:
    async def main() -> None:
        scene = Scene(open=REFUSED)

        async def greet(_: object) -> None:
            async with scene.manager.lease("db", timeout=1):
                raise AssertionError

        agent = ResourceSpec(
            "agent", factory=object, on_acquire=greet, depends_on=["db"], max_size=1
        )
        async with serving(scene.specs()[0], agent) as manager:
            scene.manager = manager
            error = await refused(manager.acquire("agent:a"))
            assert type(error) is OpenFailedError
            assert str(error).endswith(BLAME)
            error = await refused(manager.acquire("agent:a", timeout=0.5))
            assert type(error) is AcquireTimeout
            assert str(error).endswith(BLAME)

    run(main())


def test_what_is_not_ready_names_it() -> None:
    async def main() -> None:
        scene = Scene(open=REFUSED)
        async with serving(*scene.specs(min_idle=1)) as manager:
            scene.manager = manager
            error = await refused(manager.wait_ready(3))
            assert type(error) is AskTimeout
            assert str(error) == "'agent' has not reached min_idle within 3 s" + BLAME

    run(main())


def test_the_one_at_the_bottom_is_named_and_nobody_on_the_way() -> None:
    async def main() -> None:
        scene = Scene(open=REFUSED)
        well = Backend()

        async def connect() -> object:
            async with scene.manager.lease("db", timeout=0.5):
                return object()

        async def make() -> object:
            async with scene.manager.lease("tool", timeout=1):
                return object()

        types = [
            scene.specs()[0],
            well.spec("cache"),
            ResourceSpec("tool", factory=connect, depends_on=["db", "cache"]),
            ResourceSpec("agent", factory=make, depends_on=["tool"]),
        ]
        async with serving(*types) as manager:
            scene.manager = manager
            error = await refused(manager.acquire("agent:a", timeout=5))
            assert node(manager, "agent").depends_on[0].down.startswith("BackendDown: no 'db'")
            assert str(error).endswith(BLAME)

    run(main())


def test_two_that_are_down_are_both_named() -> None:
    async def main() -> None:
        one, other = Backend(open=REFUSED), Backend(open=OSError("no route"))
        types = [
            one.spec("db"),
            other.spec("web"),
            Backend(open=NEVER).spec("agent", depends_on=["web", "db"]),
        ]
        async with serving(*types) as manager:
            for name in ("db", "web"):
                await refused(manager.acquire(f"{name}:a", timeout=1))
            error = await refused(manager.acquire("agent:a", timeout=1))
            assert str(error).endswith(
                ". 'agent' depends on 'web', which is down: OSError: no route; and on 'db', which "
                "is down: ConnectionRefusedError: db.example:5432"
            )

    run(main())


def test_one_that_is_back_is_not_named() -> None:
    async def main() -> None:
        scene = Scene()
        scene.database.next("open", REFUSED)
        slow = Backend(open=NEVER).spec("agent", depends_on=["db"])
        async with serving(scene.specs()[0], slow) as manager:
            await manager.acquire("db:a", timeout=3)
            error = await refused(manager.acquire("agent:a", timeout=1))
            assert "depends on" not in str(error)
            assert node(manager, "agent").depends_on == [DependencyNode("db")]

    run(main())


def test_one_whose_creations_fail_while_what_it_has_serves_is_not_named() -> None:
    async def main() -> None:
        database = Backend()
        slow = Backend(open=NEVER).spec("agent", depends_on=["db"])
        async with serving(database.spec(max_size=2), slow) as manager:
            await manager.acquire("db:a")
            database.usual["open"] = REFUSED
            await refused(manager.acquire("db:b", timeout=0.5))
            # Nothing is free, and nothing more can be made.
            assert str(await refused(manager.acquire("agent:a", timeout=1))).endswith(BLAME)
            await manager.release("db:a")
            assert "depends on" not in str(await refused(manager.acquire("agent:a", timeout=1)))

    run(main())


def test_a_keyed_type_is_down_when_no_key_of_it_works() -> None:
    async def main() -> None:
        tenants = Backend()
        slow = Backend(open=NEVER).spec("agent", depends_on=["db"])
        async with serving(tenants.spec(keyed=True), slow) as manager:
            await manager.acquire("db:good")
            tenants.usual["open"] = REFUSED
            waiting = asyncio.ensure_future(refused(manager.acquire("db:bad", timeout=3)))
            await settled()
            assert "depends on" not in str(await refused(manager.acquire("agent:a", timeout=1)))
            await manager.release("db:good", discard=True)
            await settled()
            assert str(await refused(manager.acquire("agent:a", timeout=1))).endswith(BLAME)
            await waiting

    run(main())


def test_a_parked_one_is_named_with_what_crashed_it_until_it_is_revived() -> None:
    async def main() -> None:
        slow = Backend(open=NEVER).spec("agent", depends_on=["db"])
        async with serving(Backend().spec(), slow) as manager:
            for _ in range(4):
                crash(manager, "db")
                await settled()
            error = await refused(manager.acquire("agent:a", timeout=1))
            assert type(error) is AcquireTimeout
            assert str(error).endswith("'db', which is down: InjectedCrash: a crash was injected")
            assert type(await refused(manager.acquire("db:a"))) is TypeParked
            manager.revive("db")
            await settled()
            error = await refused(manager.acquire("agent:a", timeout=1))
            assert "depends on" not in str(error)

    run(main())


def test_one_that_was_drained_by_message_is_named() -> None:
    async def main() -> None:
        slow = Backend(open=NEVER).spec("agent", depends_on=["db"])
        async with serving(Backend().spec(), slow) as manager:
            await manager.actor("db").ask(Drain())
            error = await refused(manager.acquire("agent:a", timeout=1))
            assert str(error).endswith("'db', which is down: ManagerStopped: 'db' is stopped")

    run(main())


def test_mistakes_of_the_caller_and_a_stop_are_blamed_on_nobody() -> None:
    async def main() -> None:
        scene = Scene()
        async with serving(*scene.specs(max_size=1)) as manager:
            scene.manager = manager
            await manager.acquire("agent:a")
            scene.database.usual["open"] = REFUSED
            await manager.cleanup("db:*")
            await refused(manager.acquire("db:a", timeout=0.5))
            error = await refused(manager.acquire("agent:a"))
            assert type(error) is LeaseIdInUse
            assert "depends on" not in str(error)
            waiting = asyncio.ensure_future(refused(manager.acquire("agent:b")))
            await settled()
            stop = asyncio.ensure_future(manager.stop(0))
            error = await waiting
            assert type(error) is ManagerStopped
            assert "depends on" not in str(error)
            await stop

    run(main())


def test_an_error_that_cannot_be_shown_is_named_by_its_type() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def main() -> None:
        database = Backend(open=Unspeakable())
        slow = Backend(open=NEVER).spec("agent", depends_on=["db"])
        async with serving(database.spec(), slow) as manager:
            await refused(manager.acquire("db:a", timeout=0.5))
            error = await refused(manager.acquire("agent:a", timeout=1))
            assert str(error).endswith("'db', which is down: Unspeakable")

    run(main())


def test_many_ways_down_cost_no_more_than_their_types() -> None:
    """Fifty diamonds one below the other, and the bottom is down."""

    async def main() -> None:
        backend = Backend(open=REFUSED)
        types = [backend.spec("50")]
        for n in reversed(range(50)):
            types += [
                backend.spec(f"{n}l", depends_on=[f"{n + 1}"]),
                backend.spec(f"{n}r", depends_on=[f"{n + 1}"]),
                backend.spec(f"{n}", depends_on=[f"{n}l", f"{n}r"]),
            ]
        async with serving(*types) as manager:
            await refused(manager.acquire("50:a", timeout=0.5))
            assert causes(manager._exits["0"].state) == {"50": REFUSED}
            assert "'0' depends on '50'" in str(await refused(manager.acquire("0:a", timeout=1)))

    run(main())


@pytest.mark.parametrize("down", [False, True])
def test_the_tree_shows_it_as_text_and_as_json(*, down: bool) -> None:
    async def main() -> None:
        database = Backend(open=REFUSED if down else 0.0)
        types = [
            database.spec(),
            Backend().spec("cache"),
            Backend().spec("agent", depends_on=["db", "cache"]),
        ]
        async with serving(*types, name="app") as manager:
            await timed(manager.acquire("db:a", timeout=0.5))
            line = "depends on: db, cache"
            if down:
                line = "depends on: db (down: ConnectionRefusedError: db.example:5432), cache"
            assert f"   │     {line}\n" in manager.tree().render()
            assert "depends on: " not in manager.tree().children[0].children[1].render()
            shown = msgspec.json.decode(manager.tree().to_json())
            agent = shown["children"][0]["children"][3]
            assert agent["path"] == "agent"
            assert agent["resources"]["depends_on"] == [
                {"name": "db", "down": "ConnectionRefusedError: db.example:5432" if down else ""},
                {"name": "cache", "down": ""},
            ]

    run(main())
