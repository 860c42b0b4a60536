"""Orders about children, and children in every phase to give them about."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from pepperpy_resources.errors import ChildRefused
from pepperpy_resources.supervision import Backoff, Supervisor, TerminateChild
from tests.supervision.cases.kit import Boom, End, Fail, Script, phases, settled

CRASH = Fail(Boom("x"))
LONG = Backoff(min=50, max=100, jitter=0)


async def refused(work: Awaitable[Any]) -> str:
    """Return OTP's word for why an order was refused."""
    with pytest.raises(ChildRefused) as caught:
        await work
    return caught.value.why


async def put_into(phase: str, script: Script, supervisor: Supervisor) -> None:
    """Let child a be in this phase for 5 seconds or more."""
    child = supervisor.child("a")
    if phase == "starting":
        script.on_start["a"] = [20.0]
        child.tell(CRASH)
    elif phase == "waiting":
        await crash_into_backoff(supervisor, "a")
    else:
        script.on_stop["a"] = [5.0]
        child.tell(End())
        await settled()
        supervisor.handle.tell(TerminateChild("a"))
    await settled()
    assert (await phases(supervisor))["a"] == phase


async def crash_into_backoff(supervisor: Supervisor, name: str) -> None:
    """Let a child fail twice: the first restart is made at once."""
    for _ in range(2):
        supervisor.child(name).tell(CRASH)
        await settled()
    assert (await phases(supervisor))[name] == "waiting"
