"""What the actor of a resource type can be told or asked.

```python
lease = await manager.actor("db").ask(Acquire("db:report-7"))
manager.actor("db").tell(Release(lease.resource_id, lease.epoch))
```
"""

from __future__ import annotations

from pepperpy_resources.actors.metrics import Collect
from pepperpy_resources.actors.pool import Describe
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import (
    Acquire,
    Discard,
    Drain,
    Evict,
    Ready,
    Release,
    Resize,
    Resume,
    Suspend,
    Sweep,
)

__all__ = [
    "Acquire",
    "Collect",
    "Describe",
    "Discard",
    "Drain",
    "Evict",
    "Lease",
    "Ready",
    "Release",
    "Resize",
    "Resume",
    "Suspend",
    "Sweep",
]
