"""What the façade says of calls it cannot serve: an id that leads nowhere, a manager not up."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pepperpy_resources.errors import (
    ForkedProcess,
    InvalidResourceId,
    ManagerFailed,
    ManagerStopped,
    NotStarted,
    ResourceError,
    UnknownResourceType,
    UsageError,
)


def id_error(resource_id: object, known: Iterable[str]) -> UsageError:
    """Return the error for an id that names no declared type."""
    if not isinstance(resource_id, str):
        return InvalidResourceId(
            f"a resource id is a str of the form 'type:name', not {type(resource_id).__name__}"
        )
    name = resource_id.partition(":")[0]
    if not name or not resource_id.strip():
        return InvalidResourceId(
            f"{resource_id!r} is no resource id: it must be of the form 'type:name'"
        )
    types = sorted(known)
    if name in types:
        return bare_id_error(resource_id, name)
    return UnknownResourceType(undeclared(name, types))


def undeclared(name: str, known: Iterable[str]) -> str:
    """Return the words for a type nobody declared: those that are known, and the nearest."""
    types = sorted(known)
    nearest = difflib.get_close_matches(name, types, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{name!r} is no declared resource type (known: {', '.join(types) or 'none'}){hint}"


def bare_id_error(resource_id: str, name: str, *, keyed: bool = False) -> InvalidResourceId:
    """Return the error for `acquire("db")` and `acquire("db:")`."""
    if keyed:
        return InvalidResourceId(
            f"{resource_id!r} names no resource: {name!r} is a keyed type, say which one, as in "
            f'acquire("{name}:<name>")'
        )
    return InvalidResourceId(
        f'{resource_id!r} names no lease: use lease("{name}"), which needs no id, or '
        f'acquire("{name}:<name>")'
    )


def forked_error(who: str) -> ForkedProcess:
    """Return the error for a call in a forked child."""
    text = f"{who} was started in the parent of this process; make one after the fork"
    return ForkedProcess(text)


def not_serving(who: str, status: str, failure: BaseException | None) -> ResourceError:
    """Return the error for a call that needs a running manager."""
    if status == "new":
        return NotStarted(f"{who}: call await manager.start(), or use async with manager")
    if status == "forked":
        return forked_error(who)
    if failure is not None:
        error: ResourceError = ManagerFailed(f"{who}: its root supervisor crashed")
        error.__cause__ = failure
        return error
    return ManagerStopped(f"{who} does not serve any more; make a new manager")
