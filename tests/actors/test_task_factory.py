"""No task factory, not even an eager one, runs user code inside a turn (law 2)."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.actors.host import Cell
from pepperpy_resources.testing import crash, run
from tests.supervision.kit import Fleet, Thing, private, settled

turns: list[str] = []  # the paths of the turns that are on the stack


class Watchful(Fleet):
    """Fails a hook that runs while a turn is on the stack."""

    async def open(self, *_: Any, **__: Any) -> Thing:
        assert not turns
        return await super().open()

    async def close(self, thing: Thing) -> None:
        assert not turns
        await super().close(thing)

    async def clean(self, thing: Thing) -> None:
        assert not turns
        await super().clean(thing)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know when a turn is on the stack, and that there is never a second one."""
    adopt = Cell.adopt

    def adopting(self: Cell, actor: Any) -> None:
        real = actor.turn

        def turn(message: Any, reply: Any) -> Any:
            nested = [path for path in turns if path != self.path]
            assert not nested, "a turn inside a turn of another actor"
            turns.append(self.path)
            try:
                return real(message, reply)
            finally:
                turns.pop()

        actor.turn = turn
        adopt(self, actor)

    monkeypatch.setattr(Cell, "adopt", adopting)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("kind", ["recording", *(["eager"] if sys.version_info >= (3, 12) else [])])
def test_hooks_never_start_inside_a_turn(kind: str) -> None:
    eager = getattr(asyncio, "eager_task_factory", None)

    def recording(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        assert not turns, "a task is made by the factory inside a turn"
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(eager if kind == "eager" else recording)
        fleet = Watchful()
        spec = fleet.spec(max_size=2, min_idle=1, reset=fleet.clean)
        async with DefaultResourceManager([spec], metrics=private()) as manager:

            async def borrow() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(0.1)

            await asyncio.gather(*(borrow() for _ in range(6)))
            await manager.acquire("db:a")
            await manager.release("db:a", discard=True)
            crash(manager, "db")
            await settled()
            await manager.cleanup()
            await borrow()
        fleet.assert_all_closed_once()
        assert fleet.things

    run(main())
