"""`wait_ready` waits for the required types, and for what those depend on."""

from __future__ import annotations

import asyncio

import pytest

from pepperpy_resources.errors import AskTimeout, ManagerStopped, TypeParked
from pepperpy_resources.testing import crash, run
from tests.helpers import NEVER, Backend, serving, settled, timed


@pytest.mark.parametrize("step", [NEVER, ConnectionError("refused"), 60.0])
def test_a_type_that_is_not_required_does_not_delay_it(step: float | BaseException) -> None:
    async def main() -> None:
        quick, extra = Backend(open=0.5), Backend(open=step)
        types = quick.spec(min_idle=1), extra.spec("extra", min_idle=1, required=False)
        async with serving(*types) as manager:
            seconds, error = await timed(manager.wait_ready(10))
            assert error is None
            assert seconds == pytest.approx(0.5)
            assert extra.calls["open"] > 0  # it is warmed up all the same

    run(main())


def test_what_a_required_type_depends_on_is_waited_for_however_far_it_is() -> None:
    async def main() -> None:
        slow, quick = Backend(open=2.0), Backend(open=0.5)
        types = (
            quick.spec("agent", min_idle=1, depends_on=["tool"]),
            quick.spec("tool", depends_on=["db"], required=False),
            slow.spec("db", min_idle=1, required=False),
            Backend(open=NEVER).spec("extra", min_idle=1, required=False, depends_on=["db"]),
        )
        async with serving(*types) as manager:
            assert (await timed(manager.wait_ready(10)))[0] == pytest.approx(2.0)

    run(main())


def test_of_two_that_are_late_the_one_the_other_depends_on_is_named() -> None:
    async def main() -> None:
        never = Backend(open=NEVER)
        types = (
            never.spec("agent", min_idle=1, depends_on=["db"]),
            never.spec("db", min_idle=1, required=False),
        )
        async with serving(*types) as manager:
            _, error = await timed(manager.wait_ready(3))
            assert isinstance(error, AskTimeout)
            assert str(error) == "'db' has not reached min_idle within 3 s"

    run(main())


def test_a_parked_type_matters_only_if_it_is_required_or_needed() -> None:
    async def main() -> None:
        backend = Backend()
        types = backend.spec("web", min_idle=1), backend.spec(required=False, min_idle=1)
        async with serving(*types) as manager:
            for _ in range(4):
                crash(manager, "db")
                await settled()
            await manager.wait_ready(1)
            manager.add_type(backend.spec("agent", depends_on=["db"]))
            _, error = await timed(manager.wait_ready(1))
            assert isinstance(error, TypeParked)

    run(main())


def test_nothing_required_is_ready_at_once() -> None:
    async def main() -> None:
        types = [Backend(open=NEVER).spec("db", min_idle=1, required=False)]
        async with serving(*types) as manager:
            assert await timed(manager.wait_ready()) == (0.0, None)

    run(main())


def test_a_type_that_is_being_removed_is_not_waited_for() -> None:
    async def main() -> None:
        never = Backend(open=NEVER)
        async with serving(never.spec(min_idle=1), Backend().spec("web")) as manager:
            waiting = asyncio.ensure_future(timed(manager.wait_ready()))
            await settled()
            removal = asyncio.ensure_future(manager.remove_type("db"))
            await settled()
            assert isinstance((await waiting)[1], ManagerStopped)  # it was promised db
            assert await timed(manager.wait_ready()) == (0.0, None)
            await removal

    run(main())
