"""A scripted backend for the façade tests; it counts for itself what was opened and closed."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from pepperpy_resources import DefaultResourceManager, ResourceSpec

T = TypeVar("T")


class Ticks(NamedTuple):
    """A step that takes this many cycles of the loop, and no time."""

    number: int


NEVER = Ticks(-1)
"""A step that ends only when it is cancelled."""

STUBBORN = Ticks(-2)
"""A step that ends only when `Backend.let_go` is set, cancelled or not."""

Step = float | Ticks | BaseException
"""What one call of a hook does: take so many seconds or ticks, or raise."""


class Fake:
    """One resource: how it was made, who has it now, how often it was closed."""

    def __init__(self, number: int, *arguments: Any, **keywords: Any) -> None:
        self.number = number
        self.arguments = arguments
        self.keywords = keywords
        self.holders = 0
        self.uses = 0
        self.closes = 0

    def __repr__(self) -> str:
        return f"<Fake {self.number} holders={self.holders} closes={self.closes}>"


class Backend:
    """Makes, checks, resets and closes fakes, by a script.

    `usual` is what each call of a hook ("open", "check", "reset", "close") does; steps put into
    `script[hook]` are used up first, one a call.
    """

    def __init__(self, **usual: Step) -> None:
        self.usual = usual
        self.script: defaultdict[str, deque[Step]] = defaultdict(deque)
        self.calls: Counter[str] = Counter()
        self.fakes: list[Fake] = []
        self.most_live = 0
        self.let_go = asyncio.Event()  # ends what is stubborn

    @property
    def opened(self) -> int:
        return len(self.fakes)

    @property
    def live(self) -> int:
        """Resources opened and not closed."""
        return sum(1 for fake in self.fakes if not fake.closes)

    def next(self, hook: str, *steps: Step) -> None:
        """Say what the next calls of a hook do."""
        self.script[hook].extend(steps)

    async def play(self, hook: str) -> None:
        """Do what the script says for one call of this hook."""
        self.calls[hook] += 1
        steps = self.script[hook]
        step = steps.popleft() if steps else self.usual.get(hook, 0.0)
        if isinstance(step, BaseException):
            raise step
        if step == NEVER:
            await asyncio.get_running_loop().create_future()
        elif step == STUBBORN:
            await stubborn(self.let_go)
        elif isinstance(step, Ticks):
            await ticks(step.number)
        elif step > 0:
            await asyncio.sleep(step)

    async def connect(self, *arguments: Any, **keywords: Any) -> Fake:
        await self.play("open")
        fake = Fake(len(self.fakes) + 1, *arguments, **keywords)
        self.fakes.append(fake)
        self.most_live = max(self.most_live, self.live)
        return fake

    async def check(self, fake: Fake) -> None:
        await self.play("check")

    async def reset(self, fake: Fake) -> None:
        await self.play("reset")

    async def close(self, fake: Fake) -> None:
        fake.closes += 1  # that it was called: what hangs in it is closed all the same
        await self.play("close")

    def spec(self, name: str = "db", *hooks: str, **fields: Any) -> ResourceSpec[Fake]:
        """Make a spec with factory and close, and also `hooks` ("check", "reset")."""
        fields.update({hook: getattr(self, hook) for hook in hooks})
        return ResourceSpec(name, factory=self.connect, close=self.close, **fields)

    def assert_all_closed(self) -> None:
        """Everything that was opened has been closed, exactly once."""
        assert [fake for fake in self.fakes if fake.closes != 1] == []


async def stubborn(let_go: asyncio.Event) -> None:
    """Wait for the event, whoever cancels."""
    while not let_go.is_set():
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            continue


@asynccontextmanager
async def serving(
    *specs: ResourceSpec[Any], stop: float = 0.0, **options: Any
) -> AsyncIterator[DefaultResourceManager]:
    """Run a manager for a block; a test that is over waits `stop` seconds for its leases."""
    manager = DefaultResourceManager(specs, **options)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop(timeout=stop)


async def ticks(count: int) -> None:
    """Let the loop go round `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def settled() -> None:
    """Let everything happen that needs no time: enough ticks for any chain of hooks here."""
    await ticks(50)


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def timed(work: Awaitable[T]) -> tuple[float, T | BaseException]:
    """Return how long it took, by the loop's clock, and its result or what it raised."""
    began = now()
    try:
        result: T | BaseException = await work
    except BaseException as error:
        result = error
    return now() - began, result


async def usable(manager: DefaultResourceManager, name: str, count: int) -> None:
    """Hold `count` leases at once, each of a resource of its own, and give them back."""
    ids = [f"{name}:usable-{number}" for number in range(count)]
    fakes = [await manager.acquire(resource_id, timeout=60) for resource_id in ids]
    assert len({id(fake) for fake in fakes}) == count
    assert all(fake.closes == 0 for fake in fakes)
    for resource_id in ids:
        await manager.release(resource_id)


async def warm(manager: DefaultResourceManager, count: int, name: str = "db") -> None:
    """Have so many resources opened and idle."""
    ids = [f"{name}:warm-{number}" for number in range(count)]
    for resource_id in ids:
        await manager.acquire(resource_id)
    for resource_id in ids:
        await manager.release(resource_id)
