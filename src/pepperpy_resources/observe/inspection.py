"""Letting a running program be looked at from outside: `pepperpy-resources tree` and `top`.

```python
with manager.inspect():
    ...
```

It costs one thread for the whole process, which sleeps while nobody looks. Who looks is answered
out of the thread, so that a loop that is stuck is seen to be, and where.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pepperpy_resources import forking
from pepperpy_resources.observe.loops import Watched
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.serving import Server
from pepperpy_resources.observe.sockets import default_path, require_sockets


class Inspection:
    """A tree that can be looked at until this is closed, or the program ends."""

    def __init__(self, server: Server, path: Path, watched: Watched) -> None:
        self.path = path
        self._server = server
        self._watched = watched

    def close(self) -> None:
        """Show the tree no more; the socket goes with the last one shown there. Idempotent."""
        self._server.remove(self.path, self._watched)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Inspection of {self._watched.name!r} at {self.path}>"


class Inspections:
    """The server of this process: none before somebody inspects, a new one in a forked child."""

    def __init__(self) -> None:
        self.server: Server | None = None

    def serve(self) -> Server:
        """Return the server, made on first use."""
        if self.server is None:
            self.server = Server()
            forking.running.add(self)
        return self.server

    def forked(self) -> None:
        """Leave the sockets to the parent."""
        if self.server is not None:
            self.server.abandon()
            self.server = None

    def end(self) -> None:
        """Leave no file behind."""
        if self.server is not None:
            self.server.remove_files()


_inspections = Inspections()
atexit.register(_inspections.end)


def inspect(
    name: str,
    loop: asyncio.AbstractEventLoop,
    build: Callable[[], Node],
    path: Path | str | None = None,
) -> Inspection:
    """Let the tree that `build` returns be looked at, over a socket that only its owner may use.

    `build` is called on the loop, or from a thread where the loop is stuck; if it is a method, its
    object is not kept alive. Without a `path` the socket is this process's own, which the command
    finds by the process's number. Raises `UsageError` for a path that is too long or taken, a
    folder that is not this user's alone, and a system without Unix-domain sockets.
    """
    require_sockets()
    where = default_path() if path is None else Path(path).absolute()
    server = _inspections.serve()
    watched = Watched(name, loop, build)
    server.add(where, watched)
    return Inspection(server, where, watched)
