"""What can happen to a supervisor's family, and what it wants done about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from pepperpy_resources.core.kinship import ChildPolicy, Exit, ExitKind


class FamilyEvent(msgspec.Struct, frozen=True):
    """Something that happened to a supervisor or to one of its children."""


class Begin(FamilyEvent, frozen=True):
    """Start the children, in order, each once the one before it is up."""


class Adopt(FamilyEvent, frozen=True):
    """Take a child in as it is: running as this incarnation, parked, or to be started.

    `parked_until`: when a parked child is tried again.
    """

    child: ChildPolicy
    number: int = 0
    up: bool = False
    parked_until: float | None = None


class Started(FamilyEvent, frozen=True):
    """This incarnation of a child is up."""

    id: str
    number: int


class Exited(FamilyEvent, frozen=True):
    """This incarnation of a child has ended; before it was up: its start failed."""

    id: str
    number: int
    exit: Exit


class StartChild(FamilyEvent, frozen=True):
    """Add a child at the end and start it; answered with its id once it is up."""

    child: ChildPolicy


class RestartChild(FamilyEvent, frozen=True):
    """Start a child that is not running; answered with its id once it is up."""

    id: str


class TerminateChild(FamilyEvent, frozen=True):
    """Stop a child and keep its spec (a temporary one's is dropped); answered once it is down."""

    id: str


class DeleteChild(FamilyEvent, frozen=True):
    """Drop the spec of a child that is not running."""

    id: str


class Stop(FamilyEvent, frozen=True):
    """Stop all children in reverse order, then end; answered when that is done."""

    kind: ExitKind = ExitKind.SHUTDOWN
    reason: str = ""


class FamilyTick(FamilyEvent, frozen=True):
    """Time has passed: backoffs, starts, stops or revivals may be due."""


class Effect(msgspec.Struct, frozen=True):
    """Something that has to be done."""


class Launch(Effect, frozen=True):
    """Make the next incarnation of a child."""

    id: str
    number: int


class Tell(Effect, frozen=True):
    """Tell a child to stop."""

    id: str
    number: int


class Kill(Effect, frozen=True):
    """End a child without asking it; its `Exited` follows."""

    id: str
    number: int


class Park(Effect, frozen=True):
    """Give this child up, for the time being."""

    id: str
    exit: Exit


class Drop(Effect, frozen=True):
    """Forget a child that is gone for good."""

    id: str
    exit: Exit | None


class Respond(Effect, frozen=True):
    """Answer whoever asked under this ticket."""

    ticket: Any
    answer: object


class WakeAt(Effect, frozen=True):
    """Send a `FamilyTick` at this time, and none at an earlier one; infinity: none at all."""

    at: float


class AllUp(Effect, frozen=True):
    """The first start is done: every child is up."""


class AllDown(Effect, frozen=True):
    """No child is left running: the supervisor ends, for this reason."""

    exit: Exit


class Refused(StrEnum):
    """Why an order about a child is refused; the words are OTP's."""

    ALREADY_STARTED = "already_started"
    ALREADY_PRESENT = "already_present"
    RUNNING = "running"
    RESTARTING = "restarting"
    NOT_FOUND = "not_found"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"
    STOPPING = "stopping"


class StartRefused(msgspec.Struct, frozen=True):
    """The answer to an order whose child did not come up."""

    id: str
    exit: Exit
