"""A Reply: awaited on any loop, got on any thread, answered once, withdrawn when not waited for."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from pepperpy_resources import DefaultResourceManager, Reply
from pepperpy_resources.actors import reply as reply_module
from pepperpy_resources.actors.reply import Failure
from pepperpy_resources.errors import AcquireTimeout, AskTimeout, WouldBlock
from pepperpy_resources.messages import Acquire, Describe
from pepperpy_resources.testing import run
from tests.supervision.kit import SECONDS, Fleet, in_thread, outcome, serving, settled


def got(call: Callable[[], Any]) -> Future[Any]:
    """Call it on another thread; its result, or its error as a result, is in the future."""
    results: Future[Any] = Future()

    def work() -> None:
        try:
            results.set_result(call())
        except BaseException as error:
            results.set_result(error)

    threading.Thread(target=work, daemon=True).start()
    return results


def outcome_of(call: Callable[[], Any]) -> Any:
    """Return the result, or the error."""
    try:
        return call()
    except Exception as error:
        return error


async def arrived(results: Future[Any]) -> Any:
    """Return what a thread has got, while the loop goes round."""
    async with asyncio.timeout(SECONDS):
        return await asyncio.wrap_future(results)


def test_awaited_on_the_loop() -> None:
    async def main() -> None:
        reply: Reply[str] = Reply()
        asyncio.get_running_loop().call_later(3, reply.set, "value")
        assert await reply == "value"
        assert await reply == "value"  # and again
        assert repr(reply) == "<Reply taken>"
        failed: Reply[str] = Reply()
        failed.resolve(Failure(ValueError("no")))
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await failed

    run(main())


def test_awaited_by_several_tasks() -> None:
    async def main() -> None:
        reply: Reply[str] = Reply()
        tasks = [asyncio.create_task(outcome(reply)) for _ in range(5)]
        await settled(2)
        tasks[0].cancel()  # the question stays: four others wait for its answer
        await settled(2)
        assert not reply.withdrawn
        reply.set("value")
        assert await asyncio.gather(*tasks[1:]) == ["value"] * 4

    run(main())


def test_awaited_on_another_loop_in_another_thread() -> None:
    async def main() -> None:
        async with serving(Fleet().spec(max_size=1)) as manager:
            handle = manager.actor("db")
            held = await handle.ask(Acquire("db:a"))
            reply = handle.ask(Acquire("db:b"))

            async def elsewhere() -> Any:
                return await reply

            results = got(lambda: asyncio.run(elsewhere()))
            await asyncio.sleep(0.05)
            assert not results.done()
            await manager.release("db:a")
            lease = await arrived(results)
            assert (lease.resource_id, lease.resource) == ("db:b", held.resource)
            await manager.release("db:b")

    asyncio.run(main())


def test_got_by_eight_threads() -> None:
    async def main() -> None:
        reply: Reply[str] = Reply()
        results = [got(reply.get) for _ in range(8)]
        await asyncio.sleep(0.02)
        reply.set("value")
        assert [await arrived(result) for result in results] == ["value"] * 8

    asyncio.run(main())


def test_set_twice_is_refused() -> None:
    reply: Reply[int] = Reply()
    reply.set(1)
    with pytest.raises(queue.Full):
        reply.set(2)
    with pytest.raises(queue.Full):
        reply.set_exception((ValueError, ValueError(), None))
    assert reply.get(timeout=0) == 1
    assert reply.resolve(3) is False


def test_set_after_it_was_withdrawn_is_no_mistake_of_the_actor() -> None:
    reply: Reply[int] = Reply()
    assert reply.withdraw()
    reply.set(1)
    with pytest.raises(AskTimeout, match="withdrawn"):
        reply.get(timeout=0)
    taken: Reply[int] = Reply()
    taken.set(1)
    assert taken.get() == 1
    assert not taken.withdraw()


def test_set_exception_takes_the_one_being_handled() -> None:
    reply: Reply[int] = Reply()
    try:
        raise KeyError("this one")
    except KeyError:
        reply.set_exception()
    with pytest.raises(KeyError, match="this one"):
        reply.get(timeout=0)
    other: Reply[int] = Reply()
    other.set_exception((ValueError, ValueError("that one"), None))
    with pytest.raises(ValueError, match="that one"):
        other.get(timeout=0)


def test_get_on_the_actors_own_thread_is_refused_at_once() -> None:
    async def main() -> None:
        async with serving(Fleet().spec(max_size=1)) as manager:
            handle = manager.actor("db")
            assert handle.ask(Describe()).get().name == "db"  # answered: nothing to wait for
            await manager.acquire("db:a")
            reply = handle.ask(Acquire("db:b"))
            for timeout in (None, 0, 5.0):
                with pytest.raises(WouldBlock, match="await the reply"):
                    reply.get(timeout=timeout)
            with pytest.raises(WouldBlock):
                reply.map(lambda lease: lease.resource).get()
            # through pykka's own ActorRef, which gets by itself
            actor: Any = manager.cell("db").actor
            with pytest.raises(WouldBlock):
                actor.actor_ref.ask(Acquire("db:c"))
            with pytest.raises(WouldBlock):
                actor.actor_ref.ask(Acquire("db:d"), timeout=1)

    run(main())


async def with_the_only_slot_taken(manager: DefaultResourceManager) -> None:
    await manager.acquire("db:holder")


async def nobody_else_waits(manager: DefaultResourceManager, name: str) -> None:
    """The slot is free again once its holder is done: no lease and no ticket is left."""
    described = await manager.actor("db").ask(Describe())
    assert [lease.resource_id for lease in described.leases] == ["db:holder"]
    assert described.tickets == ()
    await manager.release("db:holder")
    await manager.acquire(f"db:{name}", timeout=1)  # the withdrawn id is free, too
    await manager.release(f"db:{name}")


def test_a_cancelled_await_withdraws_the_acquire() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await with_the_only_slot_taken(manager)
            reply = manager.actor("db").ask(Acquire("db:w"))
            task = asyncio.create_task(outcome(reply))
            await settled()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert reply.withdrawn
            await nobody_else_waits(manager, "w")
        fleet.assert_all_closed_once()

    run(main())


def test_granted_and_cancelled_in_the_same_tick_gives_it_back() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            await with_the_only_slot_taken(manager)
            task = asyncio.create_task(outcome(manager.actor("db").ask(Acquire("db:w"))))
            await settled()
            await manager.release("db:holder")  # grants to the task, which has not run yet
            assert "db:w" in manager.resources
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await manager.acquire("db:holder", timeout=1)
            await nobody_else_waits(manager, "w")
        fleet.assert_all_closed_once()

    run(main())


def test_answered_and_withdrawn_before_anybody_took_it_gives_it_back() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            async with manager.lease("db"):
                pass
            reply = manager.actor("db").ask(Acquire("db:w"))  # granted at once, not taken
            assert repr(reply) == "<Reply answered>"
            assert reply.withdraw()
            assert reply.withdraw()  # twice is once
            await manager.acquire("db:holder", timeout=1)
            await nobody_else_waits(manager, "w")

    run(main())


def test_collected_by_a_thread_that_is_just_answering_another_reply() -> None:
    # The collector runs wherever memory is asked for, under the lock too.
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            async with manager.lease("db"):
                pass
            replies = [manager.actor("db").ask(Acquire("db:a"))]  # idle: answered at once

            def collect() -> None:
                with reply_module._lock:
                    replies.clear()

            thread = threading.Thread(target=collect, daemon=True)
            thread.start()
            thread.join(SECONDS)
            assert not thread.is_alive()
            await settled()
            await manager.acquire("db:a", timeout=0)
            await manager.release("db:a")

    run(main())


def test_a_thread_out_of_time_withdraws_the_acquire() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            handle = manager.actor("db")
            await with_the_only_slot_taken(manager)
            error = await arrived(got(lambda: handle.ask(Acquire("db:w")).get(timeout=0.05)))
            assert isinstance(error, AskTimeout)
            assert isinstance(error, TimeoutError)
            assert "0.05 s" in str(error)
            # also while the loop has not even seen the question
            late = []

            def ask_in_vain() -> None:
                late.append(outcome_of(handle.ask(Acquire("db:w"), timeout=0.05).get))

            in_thread(ask_in_vain)
            assert isinstance(late[0], AskTimeout)
            await settled()
            await nobody_else_waits(manager, "w")
        fleet.assert_all_closed_once()

    asyncio.run(main())


def test_withdrawn_before_its_turn_which_could_serve_it_at_once() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            handle = manager.actor("db")
            async with manager.lease("db"):
                pass
            in_thread(lambda: handle.ask(Acquire("db:w")).withdraw())
            await settled()
            assert (await handle.ask(Describe())).leases == ()
            await manager.acquire("db:holder", timeout=1)
            await nobody_else_waits(manager, "w")
        fleet.assert_all_closed_once()

    run(main())


def test_the_timeout_of_ask_bounds_the_await() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=1)) as manager:
            loop = asyncio.get_running_loop()
            await with_the_only_slot_taken(manager)
            began = loop.time()
            reply = manager.actor("db").ask(Acquire("db:w"), timeout=3)
            with pytest.raises(AskTimeout):
                await reply
            assert loop.time() - began == pytest.approx(3, abs=0.1)
            assert reply.withdrawn
            # The acquire's own deadline is the pool's, and its error another.
            with pytest.raises(AcquireTimeout):
                await manager.actor("db").ask(Acquire("db:w", timeout=2), timeout=5)
            await nobody_else_waits(manager, "w")

    run(main())


def test_a_thread_that_waits_is_not_left_hanging_by_a_cancelled_await() -> None:
    async def main() -> None:
        reply: Reply[int] = Reply()
        results = got(lambda: reply.get(timeout=5))
        await asyncio.sleep(0.02)
        task = asyncio.create_task(outcome(reply))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        if not reply.withdrawn:  # the thread still waits for it
            reply.set(1)
        began = asyncio.get_running_loop().time()
        assert await arrived(results) is not None
        assert asyncio.get_running_loop().time() - began < 3

    asyncio.run(main())


def test_an_await_is_not_left_hanging_by_a_thread_out_of_time() -> None:
    async def main() -> None:
        reply: Reply[int] = Reply()
        task = asyncio.create_task(outcome(reply))
        await asyncio.sleep(0)
        assert isinstance(await arrived(got(lambda: reply.get(timeout=0.02))), AskTimeout)
        if not reply.withdrawn:
            reply.set(1)
        async with asyncio.timeout(3):
            await task

    asyncio.run(main())


def test_derived_replies_awaited_and_got() -> None:
    def numbers(reply: Any) -> list[Any]:
        single: Reply[int] = Reply()
        single.set(7)
        return [
            reply.map(len),
            reply.filter(lambda n: n > 1),
            reply.join(single),
            reply.reduce(lambda a, b: a + b),
            reply.reduce(lambda a, b: a + b, 10),
            reply.map(sorted).map(lambda them: them[0]),
        ]

    expected = [3, [3, 2], [[3, 1, 2], 7], 6, 16, 1]

    async def main() -> None:
        for late in (False, True):
            reply: Reply[list[int]] = Reply()
            derived = numbers(reply)
            if late:
                asyncio.get_running_loop().call_later(1, reply.set, [3, 1, 2])
            else:
                reply.set([3, 1, 2])
            assert [await each for each in derived] == expected
            assert [await each for each in derived] == expected  # and again
        empty: Any = Reply()
        empty.set([])
        assert await empty.reduce(lambda a, b: a + b, 10) == 10
        with pytest.raises(TypeError):
            await empty.reduce(lambda a, b: a + b)
        failed: Reply[list[int]] = Reply()
        failed.resolve(Failure(ValueError("no")))
        for each in numbers(failed):
            with pytest.raises(ValueError, match="no"):
                await each

    run(main())
    reply: Reply[list[int]] = Reply()
    derived = numbers(reply)
    results = [got(each.get) for each in derived]
    reply.set([3, 1, 2])

    async def collect() -> None:
        assert [await arrived(result) for result in results] == expected

    asyncio.run(collect())


def test_a_cancelled_join_withdraws_every_question_in_it() -> None:
    async def main() -> None:
        fleet = Fleet()
        async with serving(fleet.spec(max_size=2)) as manager:
            handle = manager.actor("db")
            await manager.acquire("db:holder")
            one = handle.ask(Acquire("db:one"))  # granted
            await settled()
            two, three = handle.ask(Acquire("db:two")), handle.ask(Acquire("db:three"))
            task = asyncio.create_task(outcome(one.join(two, three)))
            await settled()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await settled()
            described = await handle.ask(Describe())
            assert [lease.resource_id for lease in described.leases] == ["db:holder"]
            assert described.tickets == ()
        fleet.assert_all_closed_once()

    run(main())
