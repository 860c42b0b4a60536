"""An event loop whose clock jumps: hours of timers run in milliseconds, and always the same way.

How it works, all through public interfaces: asyncio asks its selector "wait for input, at most
until the next timer". This selector looks for input without waiting; when there is none it moves
the clock to that timer and returns, as if the time had passed. Nothing is patched: tasks, sockets,
signals and `call_soon_threadsafe` are those of `asyncio.SelectorEventLoop`.
"""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["START", "VirtualTimeLoop", "run"]

T = TypeVar("T")

START = 1000.0
"""What `loop.time()` says on a new `VirtualTimeLoop`, in seconds: never 0, which hides mistakes."""

# asyncio fires a timer when `when < time() + resolution`, the resolution being that of the system's
# clock. After 2**24 seconds (194 days) neighbouring floats lie further apart than this, so a timer
# due exactly now would never fire on a clock that stands still: there it moves one float a cycle.
_RESOLUTION = 1e-9


class _JumpingSelector(selectors.DefaultSelector):
    """A real selector that moves `now` (seconds) where an ordinary one would let time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.real_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # No timer is pending, or the clock must stand still: only the outside world can go on.
        if timeout is None or (timeout > 0 and self.real_work):
            return super().select(None)
        # What has really happened goes before what is only about to be due.
        events = super().select(0)
        if timeout > 0 and not events:
            self.now += timeout
        elif self.now + _RESOLUTION == self.now:
            self.now = math.nextafter(self.now, math.inf)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` stands still until nothing but timers is left to wait for.

    Then it jumps, at once, to the next timer that is not cancelled. With no timer pending it blocks
    on the selector like any loop. Input that is already there and calls from other threads that
    have already arrived go before a jump. The loop cannot know of work still going on elsewhere
    (a thread, a peer in another process): open `real_work()` while such work must be waited for.

    Time is in seconds and begins at `START`. It is exact up to the rounding of one float addition;
    only after 194 days does it also creep, by some nanoseconds in each cycle of the loop.
    """

    def __init__(self) -> None:
        """Make a loop at time `START`; close it like any loop."""
        self._jumping = _JumpingSelector()
        self._suspended = 0.0
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now

    def elapsed(self) -> float:
        """Return the virtual time in seconds, what was slept through with `suspend` included."""
        return self._jumping.now + self._suspended

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: `elapsed()` grows by that much, `time()` and the timers do not.

        So does a laptop whose lid is shut, or a virtual machine that is paused. Raises ValueError
        for what is no number of seconds from 0 on.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"suspend takes seconds from 0 on, not {seconds!r}")
        self._suspended += seconds

    @contextmanager
    def real_work(self) -> Generator[None]:
        """Keep the clock still while the block runs, and wait for real input and real threads.

        Blocks may nest and overlap between tasks; the clock may jump again when the last one ends.
        Enter and leave it on the loop's own thread. Inside, timers that are not yet due do not
        fire: a block that waits only for a timer waits for ever.
        """
        self._jumping.real_work += 1
        try:
            yield
        finally:
            self._jumping.real_work -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002
        """Wait for the threads of the default executor to end, with the clock standing still.

        `asyncio.Runner` calls it. `timeout` is ignored: from Python 3.12 the Runner gives 300
        seconds, which would be over at once here, and threads still at work would be abandoned.
        """
        with self.real_work():
            await super().shutdown_default_executor()


def run(
    coro: Coroutine[Any, Any, T],
    *,
    debug: bool = False,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = VirtualTimeLoop,
) -> T:
    """Run the coroutine on a new loop, as `asyncio.run` does, and return its result.

    `asyncio.run` takes a `loop_factory` only from Python 3.12. Raises what the coroutine raises,
    and RuntimeError when a loop is already running on this thread.
    """
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(coro)
