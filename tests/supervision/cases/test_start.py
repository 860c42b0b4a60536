"""Start: in order, each acknowledged; the first failure stops those started, in reverse."""

from __future__ import annotations

import pytest

from pepperpy_resources.errors import StartFailed
from pepperpy_resources.supervision import Supervisor
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, Script, incarnations, phases, running


def test_01_a_supervisor_without_children_starts_and_stops_clean() -> None:
    async def main() -> None:
        async with running() as supervisor:
            assert await supervisor.which_children() == []
        assert "stopped" in repr(supervisor)

    run(main())


def test_01_children_start_in_order_and_are_up_when_start_returns() -> None:
    script = Script()
    script.on_start["a"] = [3.0]

    async def main() -> None:
        async with running(script.children("bac")) as supervisor:
            assert script.take() == ["start b", "start a", "start c"]
            assert await phases(supervisor) == {"b": "up", "a": "up", "c": "up"}
            assert incarnations(supervisor) == {"b": 1, "a": 1, "c": 1}
        assert script.log == ["stop c", "stop a", "stop b"]

    run(main())


@pytest.mark.parametrize("position", [0, 1, 2])
def test_02_a_failed_start_stops_those_before_it_in_reverse_and_names_child_and_cause(
    position: int,
) -> None:
    script, error = Script(), Boom("no database")
    script.on_start["bac"[position]] = [error]

    async def main() -> None:
        supervisor = Supervisor(script.children("bac"))
        with pytest.raises(StartFailed, match="no database") as caught:
            await supervisor.start()
        assert repr("bac"[position]) in str(caught.value)
        assert caught.value.__cause__ is error

    run(main())
    started = list("bac"[:position])
    assert script.log == [f"start {n}" for n in started] + [f"stop {n}" for n in started[::-1]]
