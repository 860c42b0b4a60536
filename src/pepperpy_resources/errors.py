"""Every error this package raises, in one hierarchy.

The families say whose fault it is and who can mend it:

- `UsageError`: the call is wrong; change the program.
- `ClosedError`: the manager is not serving (not started, stopped, failed, forked).
- `AcquireTimeout`: everything is in use; nothing is broken.
- `OverloadError`: the queue is full; shed load or raise the limit.
- `BrokenError`: what the resource stands for is down; the last failure is the cause.
- `InternalError`: ours; please report it.
"""

from __future__ import annotations


class ResourceError(Exception):
    """Root of every error raised by pepperpy-resources."""


class UsageError(ResourceError):
    """The call is wrong: the program has to change."""


class InvalidSpec(UsageError):
    """A `ResourceSpec` field, or a combination of fields, is not allowed."""


class InvalidResourceId(UsageError):
    """A resource id is not of the form `type:name`."""


class UnknownResourceType(UsageError):
    """No spec declares the resource type of this id."""


class DuplicateResourceType(UsageError):
    """Two specs declare the same resource type."""


class LeaseIdInUse(UsageError):
    """The id already names a live or queued lease of a pooled type."""


class NotLeased(UsageError):
    """The id names no live lease: never leased, or already released."""


class KeywordsRefused(UsageError):
    """Keywords were given that this type cannot honour."""


class WrongLoop(UsageError):
    """It was called from another event loop than the one that started it."""


class WouldBlock(UsageError):
    """A blocking `get()` on the loop's own thread would wait for ever."""


class AskCycle(UsageError):
    """Actors wait for each other's answers in a circle, so that none could ever come."""


class ChildRefused(UsageError):
    """A supervisor cannot do this with this child; `why` is OTP's word for it."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(text)
        self.why = why


class ClosedError(ResourceError):
    """The manager, or this type, is not serving."""


class NotStarted(ClosedError):
    """The manager has not been started."""


class ManagerStopped(ClosedError):
    """The manager is stopping or stopped."""


class ManagerFailed(ClosedError):
    """The manager's root supervisor gave up."""


class ForkedProcess(ClosedError):
    """The manager or supervisor was started in the parent of this forked process."""


class AcquireTimeout(ResourceError, TimeoutError):
    """No resource became free before the deadline of the acquire."""


class TypeSuspended(AcquireTimeout, ClosedError):
    """The deadline passed while the type was suspended: it serves again once it is resumed."""


class AskTimeout(ResourceError, TimeoutError):
    """An actor did not answer before the deadline of the question."""


class NoView(ResourceError):
    """There is no running program to look at, or more than one, or it does not answer."""


class OverloadError(ResourceError):
    """More work was offered than the limits admit."""


class QueueFull(OverloadError):
    """`max_waiting` acquires are already queued."""


class Overloaded(OverloadError):
    """The queue has stood for long, and this acquire waited longer than `max_queue_delay`."""


class MailboxFull(OverloadError):
    """`max_mailbox` messages already wait for this actor."""


class BrokenError(ResourceError):
    """What the resource stands for is down; `__cause__` is the last failure."""


class BackendDown(AcquireTimeout, BrokenError):
    """The deadline passed while creations failed; `__cause__` is the last failure."""


class OpenFailedError(BrokenError):
    """The factory failed, or `on_acquire` did, and there is nothing else to try."""


class TypeParked(BrokenError):
    """The type's supervisor exhausted its restarts and is parked."""


class StartFailed(BrokenError):
    """A child, and so perhaps its supervisor, did not start; `__cause__` is what it raised."""


class InternalError(ResourceError):
    """A fault of this package, contained; please report it."""


class SupervisorCrashed(InternalError):
    """The supervising actor crashed while it handled this message."""


class ActorDead(InternalError):
    """The actor ended before it answered; `message` is what it left unhandled, if known."""

    def __init__(self, text: str, message: object = None) -> None:
        super().__init__(text)
        self.message = message
