"""Case 10: an error names the culprit, the state of the pool, and what to do."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from pepperpy_resources.errors import AcquireTimeout
from pepperpy_resources.testing import run
from tests.helpers import Backend, serving, ticks, timed


def test_the_error_says_who_holds_what_and_what_to_do() -> None:
    async def main() -> None:
        backend = Backend()
        async with serving(backend.spec(max_size=2, acquire_timeout=1)) as manager:
            await manager.acquire("db:report", owner="nightly")
            line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
            await asyncio.sleep(5)
            await manager.acquire("db:other")
            waiter = asyncio.ensure_future(manager.acquire("db:b", timeout=60))
            await ticks(1)
            with pytest.raises(AcquireTimeout) as caught:
                await manager.acquire("db:a")
            text = str(caught.value)
            assert "no 'db' resource became free in time" in text
            assert "2 leased" in text
            assert "of at most 2" in text
            assert "1 waiting" in text
            assert "'db:report' held for 6 s by nightly" in text
            assert f"{Path(__file__).name}:{line} in main" in text
            assert "raise max_size" in text
            waiter.cancel()

    run(main())


def test_a_failing_backend_is_the_cause_of_a_timeout() -> None:
    async def main() -> None:
        refused = ConnectionError("refused")
        backend = Backend(open=refused)
        async with serving(backend.spec(acquire_timeout=1)) as manager:
            seconds, error = await timed(manager.acquire("db:a"))
            assert isinstance(error, AcquireTimeout)
            assert seconds == pytest.approx(1.0)
            assert error.__cause__ is refused
            assert "mend what the factory connects to" in str(error)

    run(main())
