"""Supervision trees of your own actors, with or without resources.

```python
class Counter(Actor):
    def on_start(self) -> None:
        self.count = 0

    @handles(Add)
    async def add(self, message: Add) -> int:
        self.count += message.number
        return self.count


async with Supervisor([ChildSpec("counter", Counter)]) as supervisor:
    counter = supervisor.child("counter")
    assert await counter.ask(Add(2)) == 2
```
"""

from __future__ import annotations

from pepperpy_resources.actors.actor import Actor, handles
from pepperpy_resources.actors.handle import ActorHandle
from pepperpy_resources.actors.host import LATER
from pepperpy_resources.actors.reply import Failure, Reply
from pepperpy_resources.actors.supervisor import (
    ChildCount,
    ChildInfo,
    CountChildren,
    StartWith,
    WhichChildren,
)
from pepperpy_resources.actors.watching import DeadLetter, Down, Watch
from pepperpy_resources.child_spec import ChildSpec
from pepperpy_resources.core.family_events import (
    DeleteChild,
    RestartChild,
    StartChild,
    TerminateChild,
)
from pepperpy_resources.core.kinship import (
    AutoShutdown,
    BudgetScope,
    Exit,
    ExitKind,
    Restart,
    Strategy,
)
from pepperpy_resources.core.policy import Backoff, Intensity
from pepperpy_resources.supervisor import ChildHandle, Supervisor, SupervisorHandle

__all__ = [
    "LATER",
    "Actor",
    "ActorHandle",
    "AutoShutdown",
    "Backoff",
    "BudgetScope",
    "ChildCount",
    "ChildHandle",
    "ChildInfo",
    "ChildSpec",
    "CountChildren",
    "DeadLetter",
    "DeleteChild",
    "Down",
    "Exit",
    "ExitKind",
    "Failure",
    "Intensity",
    "Reply",
    "Restart",
    "RestartChild",
    "StartChild",
    "StartWith",
    "Strategy",
    "Supervisor",
    "SupervisorHandle",
    "TerminateChild",
    "Watch",
    "WhichChildren",
    "handles",
]
