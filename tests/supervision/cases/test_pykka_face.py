"""A user's actors are pykka's: registry, refs, proxies and stop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pykka  # noqa: TID253 - the actors are pykka's
import pytest

from pepperpy_resources.errors import ActorDead, WouldBlock
from pepperpy_resources.supervision import (
    Actor,
    ActorHandle,
    ChildSpec,
    ExitKind,
    Supervisor,
    handles,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import (
    Boom,
    Play,
    Say,
    Script,
    incarnations,
    outcome,
    running,
    settled,
)

SECONDS = 10.0


class Counter(Actor):
    """A user's actor with methods and attributes, for proxies."""

    def on_start(self) -> None:
        self.count = 0

    def add(self, number: int) -> int:
        self.count += number
        return self.count

    async def add_slowly(self, number: int, *, seconds: float = 1.0) -> int:
        before = self.count
        await asyncio.sleep(seconds)
        self.count = before + number
        return self.count

    def fail(self) -> None:
        raise Boom("through a proxy")

    def on_receive(self, message: Any) -> Any:
        return f"received {message}"

    @handles(Say)
    async def say(self, message: Say) -> Any:
        await asyncio.sleep(0)
        return message.text


def ref_of(handle: ActorHandle) -> pykka.ActorRef[Any]:
    actor: Any = handle._cell.actor
    ref: pykka.ActorRef[Any] = actor.actor_ref
    return ref


COUNTER = [ChildSpec("a", Counter)]


def test_pykka_registry_knows_actors_and_supervisors_while_they_live() -> None:
    async def main() -> None:
        before = set(pykka.ActorRegistry.get_all())
        async with running([*COUNTER, ChildSpec("in", Supervisor(COUNTER))]) as supervisor:
            refs = set(pykka.ActorRegistry.get_all()) - before
            names = sorted(ref.actor_class.__name__ for ref in refs)
            assert names == ["Counter", "Counter", "SupervisorActor", "SupervisorActor"]
            a = supervisor.child("a")
            old = ref_of(a)
            assert old.is_alive()
            a.kill()
            await settled()
            assert not old.is_alive()  # a ref is one incarnation's; a handle is not
            with pytest.raises(pykka.ActorDeadError):
                old.tell(Say("anyone?"))
            assert ref_of(a).is_alive()
            alive = [ref.actor_class for ref in pykka.ActorRegistry.get_all()]
            assert alive.count(Counter) == 2
        assert set(pykka.ActorRegistry.get_all()) == before

    run(main())


def test_pykka_ref_tells_and_asks_from_the_loop_and_from_threads() -> None:
    async def main() -> None:
        async with running(COUNTER) as supervisor:
            ref = ref_of(supervisor.child("a"))
            reply: Any = ref.ask(Say("on the loop"), block=False)
            assert await reply == "on the loop"
            asked = await asyncio.to_thread(ref.ask, Say("in a thread"), timeout=SECONDS)
            assert asked == "in a thread"
            plain = await asyncio.to_thread(ref.ask, "anything", timeout=SECONDS)
            assert plain == "received anything"
            ref.tell("anything")
            assert incarnations(supervisor) == {"a": 1}

    asyncio.run(main())


def test_pykka_proxy_calls_methods_async_ones_too_one_turn_at_a_time() -> None:
    async def main() -> None:
        async with running(COUNTER) as supervisor:
            a = supervisor.child("a")
            proxy: Any = ref_of(a).proxy()
            slow, fast, after = proxy.add_slowly(1), proxy.add(10), proxy.add_slowly(100)
            assert await slow == 1
            assert await fast == 11
            assert await after == 111
            assert await proxy.count == 111
            with pytest.raises(WouldBlock):  # to set one is to wait for it, in pykka
                proxy.count = 5
            assert await proxy.count == 5
            assert await proxy.path == "top/a"
            deferred = proxy.add.defer(1)
            assert deferred is None
            assert await proxy.count == 6
            assert await proxy.add_slowly(1).map(lambda count: count * 2) == 14
            assert incarnations(supervisor) == {"a": 1}

    run(main())


def test_pykka_proxy_from_a_thread() -> None:
    async def main() -> None:
        async with running(COUNTER) as supervisor:
            ref = ref_of(supervisor.child("a"))

            def work() -> int:
                proxy: Any = ref.proxy()
                proxy.add(1).get(timeout=SECONDS)
                proxy.count = 10
                count: int = proxy.add_slowly(1, seconds=0.001).get(timeout=SECONDS)
                return count

            assert await asyncio.to_thread(work) == 11

    asyncio.run(main())


def test_pykka_proxy_call_that_raises_ends_the_incarnation_as_any_turn_does() -> None:
    async def main() -> None:
        async with running(COUNTER) as supervisor:
            proxy: Any = ref_of(supervisor.child("a")).proxy()
            error = await outcome(proxy.fail())
            assert isinstance(error, ActorDead)
            assert isinstance(error.__cause__, Boom)
            await settled()
            assert incarnations(supervisor) == {"a": 2}
            assert isinstance(await outcome(proxy.add(1)), pykka.ActorDeadError)

    run(main())


# -- stop


@pytest.mark.parametrize("of", ["a", "in", "in/a", ""], ids=["a", "in", "in-a", "top"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_63_stop_of_any_ref_means_the_whole_supervisor_at_once_and_is_answered_at_once(
    of: str, *, busy: bool
) -> None:
    script = Script()
    before = set(pykka.ActorRegistry.get_all())

    async def main() -> None:
        inner = Supervisor([script.child("a", shutdown=1000.0)])
        supervisor = Supervisor([ChildSpec("in", inner), *script.children("a")], name="top")
        await supervisor.start()
        if busy:
            supervisor.child("in/a").tell(Play([500.0]))
            await settled()
        handle = supervisor.child(of) if of else supervisor.handle
        began = asyncio.get_running_loop().time()
        stopping: Any = ref_of(handle).stop(block=False)
        assert await stopping is True
        assert ref_of(handle).stop(block=True) is True  # and blocks nobody, on the loop itself
        exit_ = await supervisor.wait()
        assert asyncio.get_running_loop().time() == began
        assert exit_.kind is ExitKind.KILLED
        assert exit_.reason == "an actor was stopped from outside"
        assert "stopped" in repr(supervisor)  # it has not failed
        assert set(pykka.ActorRegistry.get_all()) == before
        await supervisor.stop()
        assert isinstance(await outcome(handle.ask(Say("anyone?"))), ActorDead)

    run(main())


def test_63_stop_from_a_thread_overtakes_a_backlog() -> None:
    script = Script()

    async def main() -> None:
        supervisor = Supervisor([script.child("a")])
        await supervisor.start()
        a = supervisor.child("a")
        ref = ref_of(a)

        def work() -> bool:  # while the loop stands still
            for number in range(10_000):
                a.tell(Say(number))
            stopped: bool = ref.stop(block=True, timeout=SECONDS)
            results.append(stopped)
            return stopped

        results: list[bool] = []
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(SECONDS)
        assert results == [True]
        await supervisor.wait()
        assert [line for line in script.log if line.startswith("a:")] == []

    asyncio.run(main())
