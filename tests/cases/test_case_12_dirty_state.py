"""Case 12: no dirty resource is handed over: it is reset or discarded before its next use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pepperpy_resources.testing import run
from tests.helpers import Backend, Fake, Ticks, serving, settled, ticks, timed


class Gone(Exception):
    """The other side is gone."""


MISTAKE = ValueError("mistake")
CANCEL = asyncio.CancelledError()
EXIT = GeneratorExit()  # a BaseException that no task treats apart

# on_exception, with a reset hook -> what becomes of the resource by what the block is left with.
KEPT, RESET, CLOSED = "kept", "reset", "closed"
FATES = [
    (None, False, {MISTAKE: KEPT, CANCEL: CLOSED, EXIT: CLOSED}),
    (None, True, {MISTAKE: RESET, CANCEL: RESET, EXIT: RESET}),
    ("keep", False, {MISTAKE: KEPT, CANCEL: KEPT, EXIT: KEPT}),
    ("reset", True, {MISTAKE: RESET, CANCEL: RESET, EXIT: RESET}),
    ("discard", False, {MISTAKE: CLOSED, CANCEL: CLOSED, EXIT: CLOSED}),
    ("discard", True, {MISTAKE: CLOSED, CANCEL: CLOSED, EXIT: CLOSED}),
]
CASES = [
    pytest.param(wanted, reset, error, fate, id=f"{wanted}-{reset}-{type(error).__name__}")
    for wanted, reset, fates in FATES
    for error, fate in fates.items()
]


@pytest.mark.parametrize("knows", [False, True], ids=["", "is_connection_error"])
@pytest.mark.parametrize(("wanted", "reset", "error", "fate"), CASES)
def test_the_spec_decides(
    wanted: Any, error: BaseException, fate: str, *, reset: bool, knows: bool
) -> None:
    async def main() -> None:
        backend = Backend()
        fields: dict[str, Any] = {"is_connection_error": lambda e: isinstance(e, Gone)}
        hooks = ["reset"] if reset else []
        spec = backend.spec("db", *hooks, on_exception=wanted, **(fields if knows else {}))
        async with serving(spec) as manager:
            with pytest.raises(type(error)):
                async with manager.lease("db"):
                    raise error
            await settled()
            (fake,) = backend.fakes
            seen = RESET if backend.calls["reset"] else KEPT
            assert (CLOSED if fake.closes else seen) == fate

    run(main())


@pytest.mark.parametrize("wanted", [None, "keep", "discard"])
def test_a_connection_error_closes_the_generation_whatever_the_spec_says(wanted: Any) -> None:
    async def main() -> None:
        backend = Backend()
        spec = backend.spec(on_exception=wanted, is_connection_error=lambda e: isinstance(e, Gone))
        async with serving(spec) as manager:
            await manager.acquire("db:a")
            with pytest.raises(Gone):
                async with manager.lease("db"):
                    await manager.release("db:a")
                    raise Gone
            await settled()
            assert [fake.closes for fake in backend.fakes] == [1, 1]

    run(main())


@pytest.mark.parametrize("wanted", [None, "keep", "discard"])
def test_a_block_that_is_left_in_peace_keeps_its_resource(wanted: Any) -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(on_exception=wanted)) as manager:
            async with manager.lease("db"):
                pass
            await settled()
            assert [fake.closes for fake in backend.fakes] == [0]
            async with manager.lease("db", discard=True):
                pass
            await settled()
            assert [fake.closes for fake in backend.fakes] == [1]

    run(main())


def test_discard_of_the_lease_goes_before_keep_of_the_spec() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(on_exception="keep")) as manager:
            with pytest.raises(ValueError, match="mistake"):
                async with manager.lease("db", discard=True):
                    raise MISTAKE
            await settled()
            assert [fake.closes for fake in backend.fakes] == [1]

    run(main())


def test_a_task_that_is_cancelled_in_its_block_keeps_the_resource_with_keep() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(on_exception="keep", max_size=1)) as manager:

            async def borrow() -> None:
                async with manager.lease("db"):
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(borrow())
            await settled()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            assert await manager.acquire("db:next", timeout=0) is backend.fakes[0]

    run(main())


@pytest.mark.parametrize("reset", [False, True], ids=["no reset", "reset"])
@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (None, (True, True)),
        (ValueError("mine"), (True, True)),
        # Cancelled in the middle of an operation: dirty, unless a reset cleans it.
        (asyncio.CancelledError(), (False, True)),
        (GeneratorExit(), (False, True)),
        (Gone("the other side"), (False, False)),
    ],
    ids=["well", "error", "cancelled", "GeneratorExit", "connection error"],
)
def test_how_a_block_is_left_decides_what_becomes_of_the_resource(
    error: BaseException | None, kept: tuple[bool, bool], *, reset: bool
) -> None:
    async def main() -> None:
        backend = Backend()
        hooks = ("reset",) if reset else ()
        spec = backend.spec(
            "db", *hooks, max_size=1, is_connection_error=lambda e: isinstance(e, Gone)
        )
        async with serving(spec) as manager:

            async def borrow() -> None:
                async with manager.lease("db"):
                    if error is not None:
                        raise error

            _, caught = await timed(borrow())
            assert caught is error
            await settled()
            assert backend.fakes[0].closes == (0 if kept[reset] else 1)
            assert backend.calls["reset"] == (1 if reset and kept[1] else 0)
            async with manager.lease("db") as fake:
                assert fake.number == (1 if kept[reset] else 2)
        backend.assert_all_closed()

    run(main())


def test_a_release_with_discard_closes_the_resource() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec("db", "reset", max_size=1)) as manager:
            await manager.acquire("db:a")
            await manager.release("db:a", discard=True)
            assert (await manager.acquire("db:b")).number == 2
            assert backend.fakes[0].closes == 1
            assert backend.calls["reset"] == 0

    run(main())


@pytest.mark.parametrize("tick", range(8))
@pytest.mark.parametrize("reset", [False, True])
def test_a_borrower_cancelled_in_its_operation_leaves_nothing_dirty(
    tick: int, *, reset: bool
) -> None:
    async def main() -> None:
        backend = Backend(reset=Ticks(2))
        dirty: set[int] = set()

        async def clean(fake: Fake) -> None:
            await ticks(2)
            dirty.discard(fake.number)

        hooks: dict[str, Any] = {"reset": clean} if reset else {}
        spec = backend.spec(max_size=1, **hooks)
        async with serving(spec) as manager:

            async def operate() -> None:
                async with manager.lease("db") as fake:
                    dirty.add(fake.number)
                    await ticks(6)  # half of an answer is still on the wire
                    dirty.discard(fake.number)

            task = asyncio.ensure_future(operate())
            await ticks(tick)
            task.cancel()
            await asyncio.wait({task})
            async with manager.lease("db") as fake:
                assert fake.number not in dirty
                assert fake.number == 1 or not reset  # it was cleaned, not thrown away

    run(main())
