"""Being told what happens: `manager.subscribe(listener)`.

```python
def listener(event: ResourceEvent) -> None:
    if event.what == "denied":
        print(event)

with manager.subscribe(listener, "db"):
    ...
```
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pepperpy_resources._callables import callable_kind, describe, takes
from pepperpy_resources.actors.resource_event import ResourceEvent, What
from pepperpy_resources.actors.watchers import Listener, Subscription, Watchers
from pepperpy_resources.errors import UsageError
from pepperpy_resources.refused import id_error

__all__ = ["Listener", "ResourceEvent", "Subscription", "Watchers", "What", "subscribe"]


def subscribe(
    watchers: Watchers, listener: Any, types: tuple[Any, ...], known: Iterable[str] | None
) -> Subscription:
    """Subscribe a listener to these of the `known` types (None: any); none named means all.

    Raises as `DefaultResourceManager.subscribe` does.
    """
    if not callable(listener):
        raise UsageError(f"a listener is a callable, not a {type(listener).__name__}")
    if callable_kind(listener) != "function":
        raise UsageError(
            f"{describe(listener)} is no plain function: a listener is called and done; to go on "
            "asynchronously, put the event in an asyncio.Queue that a task of yours reads"
        )
    if not takes(listener, 1):
        raise UsageError(f"{describe(listener)} cannot be called with one argument, the event")
    for name in types:
        if not isinstance(name, str) or (known is not None and name not in known):
            raise id_error(name if not isinstance(name, str) else f"{name}:", known or ())
    return watchers.add(listener, types)
