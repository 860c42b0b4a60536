"""What a type checker infers of supervisors, actors and handles; checked by both, never run."""

import asyncio
from datetime import timedelta
from typing import Any, assert_type

import msgspec

from pepperpy_resources.supervision import (
    LATER,
    Actor,
    ActorHandle,
    AutoShutdown,
    Backoff,
    BudgetScope,
    ChildCount,
    ChildHandle,
    ChildInfo,
    ChildSpec,
    CountChildren,
    DeadLetter,
    DeleteChild,
    Down,
    Exit,
    ExitKind,
    Failure,
    Intensity,
    Reply,
    Restart,
    RestartChild,
    StartChild,
    StartWith,
    Strategy,
    Supervisor,
    SupervisorHandle,
    TerminateChild,
    Watch,
    WhichChildren,
    handles,
)


class Add(msgspec.Struct, frozen=True):
    number: int


class Sync(Actor):
    """Hooks as plain defs; arguments of its own."""

    def __init__(self, first: int, *, second: str = "") -> None:
        super().__init__()
        self.count = first
        self.second = second

    def on_start(self) -> None:
        self.count += 1

    def on_stop(self) -> None:
        self.count = 0

    @handles(Add)
    def add(self, message: Add) -> int:
        return self.count + message.number


class Async(Actor):
    """Hooks and handlers that await."""

    async def on_start(self) -> None:
        await asyncio.sleep(0)

    async def on_stop(self) -> None:
        await asyncio.sleep(0)

    @handles(Add, StartWith)
    async def add(self, message: Add) -> int:
        await asyncio.sleep(0)
        self.stop()
        self.stop("normal", "done")
        self.stop("shutdown")
        self.stop(ExitKind.SHUTDOWN, reason="tired")
        return message.number

    @handles(Down)
    def down(self, message: Down) -> Any:
        assert_type(message.exit, Exit)
        assert_type(message.watch, Watch)
        assert_type(message.exit.kind, ExitKind)
        assert_type(message.exit.error, BaseException | None)
        assert_type(self.watch(self.handle), Watch)
        assert_type(self.handle, ActorHandle)
        assert_type(self.path, str)
        self.tell_later(1.5, message)()
        if self.reply is None:
            return Failure(ValueError("not asked"))
        return LATER

    def on_receive(self, message: object) -> str:
        return repr(message)


# A decorated method stays what it is.
assert_type(Sync.add(Sync(1), Add(2)), int)

# Every field of a spec with the types it may be given in.
children = [
    ChildSpec("a", Sync, args=(1,), kwargs={"second": "x"}),
    ChildSpec(
        id="b",
        actor=Async,
        restart=Restart.TRANSIENT,
        shutdown=0,
        start_timeout=timedelta(seconds=3),
        significant=True,
        max_mailbox=10,
        stuck_after=0.5,
        drain=False,
    ),
    ChildSpec("c", Async, restart="temporary", shutdown=timedelta(seconds=3), max_mailbox=None),
    ChildSpec("d", Supervisor([]), restart="permanent", shutdown=float("inf")),
]
assert_type(children[0].id, str)

supervisor = Supervisor(children)
assert_type(
    Supervisor(
        (child for child in children),
        strategy="rest_for_one",
        intensity=Intensity(restarts=1, period=2.5),
        backoff=Backoff(min=1),
        budget_scope="supervisor",
        auto_shutdown="any_significant",
        revive_after=float("inf"),
        name="top",
    ),
    Supervisor,
)
Supervisor(
    strategy=Strategy.ONE_FOR_ALL,
    intensity=None,
    backoff=None,
    budget_scope=BudgetScope.CHILD,
    auto_shutdown=AutoShutdown.NEVER,
    revive_after=timedelta(seconds=30),
    name=None,
)


async def life() -> None:
    assert_type(await supervisor.start(), None)
    assert_type(await supervisor.stop(), None)
    assert_type(await supervisor.stop(timeout=1), None)
    assert_type(await supervisor.stop(timedelta(seconds=1)), None)
    assert_type(await supervisor.wait(), Exit)
    async with Supervisor() as entered:
        assert_type(entered, Supervisor)
    assert_type(supervisor.name, str)
    assert_type(supervisor.dead_letters(), list[DeadLetter])


async def children_by_hand(parent: Supervisor | SupervisorHandle) -> None:
    assert_type(await parent.start_child(ChildSpec("a", Async)), ChildHandle)
    assert_type(await parent.start_child(1, child_id="a", second="x"), ChildHandle)
    assert_type(await parent.start_child(), ChildHandle)
    assert_type(await parent.restart_child("a"), ChildHandle)
    assert_type(await parent.terminate_child("a"), None)
    assert_type(await parent.delete_child("a"), None)
    assert_type(await parent.which_children(), list[ChildInfo])
    assert_type(await parent.count_children(), ChildCount)


async def handles_of_children() -> None:
    child = supervisor.child("a")
    assert_type(child, ChildHandle)
    assert_type(supervisor.supervisor("d"), SupervisorHandle)
    assert_type(supervisor.handle, SupervisorHandle)
    assert_type(supervisor.handle.child("a/b"), ChildHandle)
    assert_type(child.path, str)
    assert_type(child.status, str)
    assert_type(child.tell(Add(1)), bool)
    asked = assert_type(child.ask(Add(1)), Reply[Any])
    assert_type(asked.get(timeout=1.0), Any)
    assert_type(await child.ask(Add(1), timeout=1.0), Any)
    watched = assert_type(child.watch(), Reply[Down])
    assert_type(await watched, Down)
    assert_type(child.stop(), None)
    assert_type(child.kill(), None)
    number: int = await child.ask(Add(1))
    assert number


def messages_of_its_own(top: SupervisorHandle) -> None:
    for message in (
        StartChild(ChildSpec("a", Async)),
        StartWith((1,), {"second": "x"}, "a"),
        RestartChild("a"),
        TerminateChild("a"),
        DeleteChild("a"),
    ):
        assert_type(top.tell(message), bool)
    for question in (WhichChildren(), CountChildren()):
        asked = assert_type(top.ask(question), Reply[Any])
        assert asked.pending


# What a type checker refuses; an ignore that is not needed is an error of the checkers.
ChildSpec("a", Sync, (1,))  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
ChildSpec("a", Sync, shutdwn=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChildSpec("a", Sync, restart="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChildSpec("a", Sync, shutdown="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor([Sync])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Supervisor([], intensity=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor([], strategi="one_for_all")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
supervisor.child("a").ask()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
