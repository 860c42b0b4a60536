"""Administration: children are added by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pepperpy_resources.errors import ActorDead, ChildRefused, InvalidSpec, StartFailed, UsageError
from pepperpy_resources.supervision import Actor, ChildSpec, Intensity, handles
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


class Brief(Actor):
    """Ends as soon as it has started."""

    def on_start(self) -> None:
        self.stop(reason="done")


def test_19_a_child_that_has_ended_when_its_start_is_told_was_started_all_the_same() -> None:
    async def main() -> None:
        async with running() as supervisor:
            spec = ChildSpec("a", Brief, restart="temporary")
            handle = await supervisor.start_child(spec)
            assert (handle.path, handle.status) == ("top/a", "stopped")
            assert await phases(supervisor) == {}
            with pytest.raises(ActorDead, match="normal: done"):
                await handle.ask(Say("x"))
            assert (await handle.watch()).exit.reason == "done"
            assert handle.tell(Say("x")) is False

    run(main())


def test_19_arguments_beside_a_spec_are_refused_not_ignored() -> None:
    script = Script()

    async def main() -> None:
        async with running() as supervisor:
            for more in ({"child_id": "b"}, {"kwarg": 1}):
                with pytest.raises(UsageError, match="for a simple_one_for_one supervisor"):
                    await supervisor.start_child(script.child("a"), **more)
            with pytest.raises(UsageError, match="for a simple_one_for_one supervisor"):
                await supervisor.start_child(script.child("a"), 1)
            assert await phases(supervisor) == {}

    run(main())


class Given(Actor):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.given = args, kwargs

    @handles(Say)
    def say(self, _: Say) -> Any:
        return self.given


def test_19_children_of_one_spec_take_whatever_arguments_they_are_given() -> None:
    async def main() -> None:
        template = ChildSpec("a", Given, args=(1,), kwargs={"x": 1, "y": 1})
        async with running([template], strategy="simple_one_for_one") as supervisor:
            for args, kwargs in (
                ((), {}), ((None,), {}), ((None, 2), {"x": 3}), (([],), {"z": None}),
            ):  # fmt: skip
                child = await supervisor.start_child(*args, **kwargs)
                given = await child.ask(Say("?"))
                assert given == ((1, *args), {"x": 1, "y": 1, **kwargs})
            named = await supervisor.start_child(child_id="own")
            assert named.path == "top/own"
            assert await refused(supervisor.start_child(child_id="own")) == "already_started"
            with pytest.raises(UsageError, match="id must be"):
                await supervisor.start_child(child_id="a/b")
            with pytest.raises(InvalidSpec, match="from its one spec"):
                await supervisor.start_child(template)
            assert list(await phases(supervisor)) == ["a-1", "a-2", "a-3", "a-4", "own"]

    run(main())
