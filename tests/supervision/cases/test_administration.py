"""Administration: children are added by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pepperpy_resources.errors import ChildRefused, StartFailed
from pepperpy_resources.supervision import Intensity
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    End,
    Say,
    Script,
    now,
    phases,
    running,
    settled,
)
from tests.supervision.cases.orders import CRASH, LONG, put_into, refused

# -- start_child


def test_19_starting_a_child_whose_id_runs_is_refused_and_changes_nothing() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab")) as supervisor:
            script.take()
            with pytest.raises(ChildRefused, match=r"'a'.*runs: use another id") as caught:
                await supervisor.start_child(script.child("a", restart="temporary"))
            assert caught.value.why == "already_started"
            assert script.log == []
            assert await supervisor.child("a").ask(Say("me")) == "me"

    run(main())


@pytest.mark.parametrize("phase", ["starting", "waiting", "stopping"])
def test_19_a_child_that_is_about_to_run_or_to_end_counts_as_running(phase: str) -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("a", shutdown=9), backoff=LONG) as supervisor:
            await put_into(phase, script, supervisor)
            assert await refused(supervisor.start_child(script.child("a"))) == "already_started"

    run(main())


def test_20_starting_a_child_whose_id_is_stopped_is_refused() -> None:
    script = Script()

    async def main() -> None:
        async with running(script.children("ab")) as supervisor:
            await supervisor.terminate_child("a")
            with pytest.raises(
                ChildRefused, match=r"restart_child\(\) or delete_child\(\)"
            ) as caught:
                await supervisor.start_child(script.child("a"))
            assert caught.value.why == "already_present"

    run(main())


def test_20_so_it_is_when_it_ended_by_itself_or_was_parked() -> None:
    script = Script()

    async def main() -> None:
        flags: dict[str, Any] = {"budget_scope": "child", "intensity": Intensity(0)}
        async with running(script.children("ab", restart="transient"), **flags) as supervisor:
            supervisor.child("a").tell(End())
            supervisor.child("b").tell(CRASH)
            await settled()
            assert await phases(supervisor) == {"a": "down", "b": "parked"}
            for name in "ab":
                answer = await refused(supervisor.start_child(script.child(name)))
                assert answer == "already_present"

    run(main())


def test_20_an_id_is_free_again_once_its_child_is_deleted_or_temporary_and_ended() -> None:
    script = Script()

    async def main() -> None:
        children = [script.child("a"), script.child("b", restart="temporary")]
        async with running(children) as supervisor:
            await supervisor.terminate_child("a")
            await supervisor.delete_child("a")
            supervisor.child("b").tell(End())
            await settled()
            script.take()
            for name in "ba":
                await supervisor.start_child(script.child(name))
            assert script.take() == ["start b", "start a"]
            assert await phases(supervisor) == {"b": "up", "a": "up"}

    run(main())


def test_20_a_child_that_does_not_come_up_is_not_kept_and_nobody_else_notices() -> None:
    script, error = Script(), Boom("no")
    script.on_start["c"] = [error]

    async def main() -> None:
        async with running(script.children("ab"), intensity=Intensity(0)) as supervisor:
            script.take()
            with pytest.raises(StartFailed, match=r"'c'.*Boom: no") as caught:
                await supervisor.start_child(script.child("c"))
            assert caught.value.__cause__ is error
            assert await phases(supervisor) == {"a": "up", "b": "up"}
            assert script.log == []
            await supervisor.start_child(script.child("c"))
            assert script.log == ["start c"]

    run(main())


def test_20_a_start_by_hand_has_its_deadline_too() -> None:
    script = Script()
    script.on_start["a"] = [FOREVER]

    async def main() -> None:
        async with running() as supervisor:
            began = now()
            with pytest.raises(StartFailed, match="did not start within 2 s"):
                await supervisor.start_child(script.child("a", start_timeout=2))
            assert now() == began + 2
            assert await phases(supervisor) == {}

    run(main())
