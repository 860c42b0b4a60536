"""The stable handle of a resource type's actor, which checks what it is told and asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from pepperpy_resources._checks import as_seconds, shown
from pepperpy_resources.actors.handle import ActorHandle
from pepperpy_resources.actors.pool import Describe
from pepperpy_resources.core import events as on
from pepperpy_resources.errors import InvalidResourceId, KeywordsRefused, UsageError

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell
    from pepperpy_resources.actors.type_state import TypeState

PUBLIC = (
    on.Acquire,
    on.Release,
    on.Discard,
    on.Sweep,
    on.Evict,
    on.Suspend,
    on.Resume,
    on.Resize,
    on.Drain,
    on.Ready,
    Describe,
)


class TypeHandle(ActorHandle):
    """Points at the supervisor of a resource type."""

    def __init__(self, cell: Cell, state: TypeState) -> None:
        super().__init__(cell)
        self._state = state

    def tell(self, message: Any) -> bool:
        """Send a message and expect no answer; see `ActorHandle.tell`.

        Raises `UsageError` for an `Acquire`: nobody could receive the lease.
        """
        check_no_acquire(message)
        check_fields(message, self._state)
        return super().tell(message)

    def _checked(self, message: Any) -> Any:
        if isinstance(message, on.Acquire):
            message = self._checked_acquire(message)
        check_fields(message, self._state)
        return message

    def _refusal(self, message: Any) -> str:
        """Hold back what only hooks and the clock may say to a resource type."""
        if isinstance(message, PUBLIC):
            return ""
        return f"it takes {', '.join(kind.__name__ for kind in PUBLIC)}"

    def _checked_acquire(self, message: on.Acquire) -> on.Acquire:
        path = self._cell.path
        spec = self._state.spec
        if spec.on_acquire is not None:
            raise UsageError(
                f"{path!r} has an on_acquire hook, which runs in the borrower's own task: use "
                "manager.lease() or manager.acquire()"
            )
        check_id(message.resource_id, path, bare=not spec.keyed)
        check_priority(message.priority)
        if message.arguments and not spec.keyed:
            raise keywords_refused(path, message.arguments)
        return msgspec.structs.replace(message, timeout=as_seconds(message.timeout))


# What a turn relies on. A wrong type is refused here, where the mistake is: inside a turn it would
# be an unexpected exception, and those crash the supervisor.
FIELDS: dict[type[Any], dict[str, tuple[type[Any], ...]]] = {
    on.Acquire: {
        "resource_id": (str,),
        "arguments": (dict, type(None)),
        "priority": (int, type(None)),
    },
    on.Release: {"resource_id": (str,), "epoch": (int, type(None))},
    on.Discard: {"resource_id": (str,), "epoch": (int, type(None))},
    on.Evict: {"pattern": (str, type(None))},
    on.Resize: {"max_size": (int, float, type(None)), "min_idle": (int, type(None))},
}


def check_fields(message: Any, state: TypeState | None = None) -> None:
    """Refuse a public message whose fields are of the wrong type, or limits out of range."""
    kind = message.__class__
    for field, allowed in FIELDS.get(kind, {}).items():
        value = getattr(message, field)
        if not isinstance(value, allowed):
            names = " or ".join("None" if t is type(None) else t.__name__ for t in allowed)
            raise UsageError(
                f"{kind.__name__}({field}=...) takes {names}, not {type(value).__name__}"
            )
    if isinstance(message, on.Resize) and state is not None:
        check_resize(message, state)


def check_resize(message: on.Resize, state: TypeState) -> None:
    """Refuse limits that the type's spec could not have either."""
    policy, budget = state.policy, state.spec.budget
    most = policy.max_size if message.max_size is None else message.max_size
    floor = policy.min_idle if message.min_idle is None else message.min_idle
    boundless = policy.keyed and most == math.inf
    # Of the plain type, and within 64 bits: a turn compares these and shows them as floats.
    if not (boundless or (type(most) is int and 1 <= most <= MOST_SLOTS)):
        allowed = "an int >= 1 (below 2**63)"
        allowed += ", or math.inf on a keyed type" if policy.keyed else ""
        raise UsageError(
            f"Resize(max_size=...) of {policy.name!r} takes {allowed}; got {shown(most)}"
        )
    ceiling = 0 if policy.keyed else most if budget is None else min(most, budget.limit)
    if type(floor) is not int or not 0 <= floor <= ceiling:
        raise UsageError(
            f"Resize(min_idle=...) of {policy.name!r} takes an int from 0 to {ceiling:g} (its "
            f"max_size or budget; 0 on a keyed type); got {shown(floor)}"
        )


def check_no_acquire(message: Any) -> None:
    """Refuse an acquire that is told."""
    if isinstance(message, on.Acquire):
        raise UsageError("tell(Acquire(...)) would lease to nobody; use ask(Acquire(...))")


MOST_SLOTS = 2**63 - 1
MOST_PRIORITY = 9


def check_priority(priority: Any) -> None:
    """Refuse what is no priority."""
    whole = isinstance(priority, int) and not isinstance(priority, bool)
    if priority is None or (whole and -MOST_PRIORITY <= priority <= MOST_PRIORITY):
        return
    # A str by its type only: what is given by mistake may be a secret.
    given = "a str" if isinstance(priority, str) else shown(priority)
    raise UsageError(
        f"priority={given} is refused: it must be an int from {-MOST_PRIORITY} to "
        f"{MOST_PRIORITY}, or None for the spec's"
    )


def check_id(resource_id: Any, type_name: str, *, bare: bool) -> None:
    """Refuse an id that is not `type:name`, or the bare type name where that is allowed."""
    given = repr(resource_id)
    if isinstance(resource_id, str):
        name, _, rest = resource_id.partition(":")
        if name == type_name and (rest or (bare and resource_id == name)):
            return
    raise InvalidResourceId(
        f"{given} is not an id of {type_name!r}: it must be '{type_name}:<name>'"
    )


def keywords_refused(name: str, arguments: dict[str, Any]) -> KeywordsRefused:
    """Return the error for keywords on a pooled type."""
    return KeywordsRefused(
        f"{name!r} is a pooled type: its resources are interchangeable, so acquire takes no "
        f"keywords of its own (given: {', '.join(sorted(arguments))}); declare it keyed=True to "
        "pass keywords to the factory"
    )
