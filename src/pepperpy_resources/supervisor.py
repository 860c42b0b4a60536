"""`Supervisor`: a supervision tree of a user's own actors, without any resources."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pepperpy_resources import forking
from pepperpy_resources._checks import as_seconds
from pepperpy_resources._given import checked
from pepperpy_resources.actors.actor_cell import StopNow
from pepperpy_resources.actors.family_actor import start_failed
from pepperpy_resources.actors.handle import ActorHandle
from pepperpy_resources.actors.host import Cell, Host, current_loop
from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.actors.supervisor import (
    ChildCount,
    ChildInfo,
    CountChildren,
    StartWith,
    SupervisorCell,
    WhichChildren,
    kill,
)
from pepperpy_resources.actors.turn import running_turn
from pepperpy_resources.actors.watching import DeadLetter
from pepperpy_resources.child_spec import UNSET, ChildSpec, checked_id, is_spec, supervisor_spec
from pepperpy_resources.child_spec import child_id as id_rule
from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import (
    AutoShutdown,
    BudgetScope,
    Exit,
    ExitKind,
    Strategy,
)
from pepperpy_resources.core.policy import Backoff, Intensity
from pepperpy_resources.errors import AskCycle, ChildRefused, NotStarted, UsageError, WrongLoop
from pepperpy_resources.observe.inspection import Inspection, inspect
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.tree import supervisor_tree
from pepperpy_resources.refused import forked_error

FORKED = "forked"  # what a supervisor is in a child of the process that started it

_numbers = itertools.count(1)


class ChildHandle(ActorHandle):
    """Points at a child, whichever incarnation is current."""

    def stop(self) -> None:
        """Ask the child to end after its current turn; its restart type decides what follows.

        To end it for good, use `terminate_child`.
        """
        exit_ = self._exit(ExitKind.SHUTDOWN, "asked to stop")
        self._cell.control_message(StopNow(exit_, self._cell.incarnation))

    def kill(self) -> None:
        """End the child at once: what it does is cancelled; its restart type decides what follows.

        Raises `WrongLoop` off the loop's own thread.
        """
        if not self._cell.host.is_current_thread():
            raise wrong_loop(self._cell.host.loop, self.path)
        kill(self._cell, self._exit(ExitKind.KILLED, "killed"))

    def _exit(self, kind: ExitKind, reason: str) -> Exit:
        return Exit(kind, reason, at=self._cell.host.now())


class SupervisorHandle(ChildHandle):
    """Points at a supervisor, and carries orders about its children to it.

    Every order returns once it is carried out. Raises `ChildRefused` with OTP's word in `why`,
    `StartFailed` where a child does not come up, `ActorDead` where the supervisor has ended.
    """

    _cell: SupervisorCell

    async def start_child(
        self,
        spec: Any = UNSET,
        /,
        *args: Any,
        child_id: str | None = None,
        **kwargs: Any,
    ) -> ChildHandle:
        """Add a child at the end and start it; returns its handle.

        A `simple_one_for_one` supervisor takes arguments instead of a spec: they come after those
        of its one spec, under `child_id` or the spec's with a number. Raises `InvalidSpec` too, and
        `UsageError` for arguments where there is a spec.
        """
        child: Any = None if spec is UNSET else spec
        message: object = on.StartChild(child)
        if self._cell.spec.dynamic and not is_spec(spec):
            given = args if spec is UNSET else (spec, *args)
            own = None if child_id is None else checked_id(child_id)
            message = StartWith(given, kwargs, own)
        elif args or kwargs or child_id is not None:
            raise UsageError(
                f"{self.path} starts a child as its spec says: arguments and child_id are for a "
                "simple_one_for_one supervisor, without a spec"
            )
        reply: Reply[str] = self.ask(message)
        cell = self._cell.place_of(await reply)
        return SupervisorHandle(cell) if isinstance(cell, SupervisorCell) else ChildHandle(cell)

    async def restart_child(self, name: str) -> ChildHandle:
        """Start a child that is down or parked; `why`: running, restarting, not_found."""
        await self.ask(on.RestartChild(checked_id(name)))
        return self.child(name)

    async def terminate_child(self, name: str) -> None:
        """Stop a child; its spec stays, unless it is temporary. `why`: not_found."""
        self._check_caller(checked_id(name))
        await self.ask(on.TerminateChild(name))

    async def delete_child(self, name: str) -> None:
        """Drop the spec of a child that is down; `why`: running, restarting, not_found."""
        await self.ask(on.DeleteChild(checked_id(name)))

    def _check_caller(self, name: str) -> None:
        """Refuse to wait for the end of the turn that would wait."""
        turn, path = running_turn(), f"{self.path}/{name}"
        if turn is None or turn.cell.host is not self._cell.host:
            return
        if f"{turn.cell.path}/".startswith(f"{path}/"):
            raise AskCycle(
                f"{turn.cell.path} cannot wait for the end of {path}, which waits for its turn to "
                "end: stop() itself, or let another actor or a task do it"
            )

    async def which_children(self) -> list[ChildInfo]:
        """Return what the supervisor knows of each child, in the order of their start."""
        children: list[ChildInfo] = await self.ask(WhichChildren())
        return children

    async def count_children(self) -> ChildCount:
        """Return how many specs, running children, supervisors and workers there are."""
        count: ChildCount = await self.ask(CountChildren())
        return count

    def child(self, path: str) -> ChildHandle:
        """Return the handle of a child, or of one further down: "workers/reader".

        Raises `ChildRefused` where there is none.
        """
        cell: Cell = self._cell
        for name in str(path).split("/"):
            places = cell.places if isinstance(cell, SupervisorCell) else {}
            if name not in places:
                known = ", ".join(map(repr, places)) or "none"
                text = f"{cell.path} has no child {name!r}; it has {known}"
                raise ChildRefused(text, on.Refused.NOT_FOUND.value)
            cell = places[name]
        return SupervisorHandle(cell) if isinstance(cell, SupervisorCell) else ChildHandle(cell)


class Supervisor:
    """Starts, restarts and stops actors as Erlang/OTP's supervisors do, on one event loop.

    `children` are started in order, each once the one before is up, and stopped in reverse.
    `strategy`: who is restarted when one fails. `intensity`: how many restarts within how many
    seconds; one more failure ends the supervisor, as a failure (`budget_scope="child"`: parks the
    child; it is tried again after `revive_after` seconds, or by `restart_child`). `backoff`: the
    pauses before restarts, counted anew once a child was up for `backoff.max` seconds.
    `auto_shutdown`: whether the end of significant children ends it.

    By default 3 restarts in 5 s, the first at once, then after 0.1 s, 0.2 s and so on up to 10 s.
    With a `backoff` and no `intensity`, restarts are not limited; None switches either off.

    As a child of another (`ChildSpec("workers", Supervisor(...))`) it is what each incarnation is
    made from. Raises `InvalidSpec`, naming field, value and what is allowed.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = UNSET,
        backoff: Backoff | None = UNSET,
        budget_scope: BudgetScope | str = BudgetScope.SUPERVISOR,
        auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
        revive_after: float | timedelta = float("inf"),
        name: str | None = None,
    ) -> None:
        self.spec = supervisor_spec(
            children,
            intensity,
            backoff,
            strategy=strategy,
            budget_scope=budget_scope,
            auto_shutdown=auto_shutdown,
            revive_after=revive_after,
        )
        own = name if name is not None else f"supervisor-{next(_numbers)}"
        self.name = str(checked(own, id_rule, "Supervisor", "name"))
        self._cell: SupervisorCell | None = None
        self._up: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[Exit] | None = None
        self._dropped = False  # stopped before it was started

    def __del__(self) -> None:
        cell: SupervisorCell | None = getattr(self, "_cell", None)  # None where a flag was refused
        if cell is not None and cell.actor is not None:
            warnings.warn(f"{self!r} was never stopped", ResourceWarning, source=self, stacklevel=1)

    def __repr__(self) -> str:
        status = "new" if self._cell is None else self._cell.status
        return f"<Supervisor {self.name!r} {status}, {len(self.spec.children)} specs>"

    # -- life

    async def start(self) -> None:
        """Start the children on the running loop; returns once all are up.

        Raises `StartFailed` naming the child that did not start, after those before it have been
        stopped; so they are where the caller is cancelled. `UsageError` if it was started before,
        or stopped.
        """
        if self._cell is not None or self._dropped:
            was = "stopped" if self._dropped else "started"
            raise UsageError(f"{self!r} was {was} already: make a new one")
        loop = asyncio.get_running_loop()
        host = Host(loop)
        host.on_host_stop = self._on_host_stop
        self._up, self._ended = loop.create_future(), loop.create_future()
        self._cell = cell = SupervisorCell(host, self.name, self.spec, contextvars.copy_context())
        cell.on_started, cell.on_exit = self._on_started, self._on_exit
        forking.running.add(self)
        cell.launch()
        try:
            await asyncio.shield(self._up)
        except asyncio.CancelledError:
            self._up.cancel()  # nobody is left to be told how it went
            await self._stop(None)  # what is up holds things, and lets go of them in order
            raise

    async def stop(self, timeout: float | timedelta | None = None) -> None:
        """Stop the children in reverse order; returns once all have ended; idempotent.

        Each has its own `shutdown`; after `timeout` seconds (None: no limit) whoever is left is
        killed; a second call can shorten the first. A cancelled caller does not interrupt it. From
        inside a turn of one of its actors it returns at once: that turn has to end before the stop
        can. Raises `WrongLoop`.
        """
        seconds = as_seconds(timeout)
        if self._cell is None:
            self._dropped = True
        elif not self._is_over():
            self._require_own_loop()
            await self._stop(seconds)

    def _is_over(self) -> bool:
        """Tell whether there is nothing left to stop, here: a forked child stops nothing."""
        cell, ended = self._cell, self._ended
        return cell is None or ended is None or ended.done() or cell.status == FORKED

    async def _stop(self, timeout: float | None) -> None:
        cell, ended = self._require_cell(), self._ended
        if ended is None:
            return
        cell.control_message(on.Stop())
        if timeout is not None:
            timer = cell.host.loop.call_later(timeout, self._kill_all, "out of time")
            ended.add_done_callback(lambda _: timer.cancel())
        turn = running_turn()
        if turn is None or turn.cell.host is not cell.host:
            await asyncio.shield(ended)

    def _kill_all(self, why: str) -> None:
        cell = self._require_cell()
        if cell.actor is not None:
            cell.kill(Exit(ExitKind.KILLED, why, at=cell.host.now()))

    async def wait(self) -> Exit:
        """Return how it ended, once it has: by `stop`, by its children, or by giving up.

        Raises `NotStarted`, `WrongLoop`, `ForkedProcess`.
        """
        cell, ended = self._require_cell(), self._ended
        assert ended is not None  # noqa: S101 - made with the cell
        if cell.status == FORKED:
            raise forked_error(repr(self))
        if not ended.done():
            self._require_own_loop()
            await asyncio.shield(ended)
        return ended.result()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- children

    @property
    def handle(self) -> SupervisorHandle:
        """The supervisor's own handle. Raises `NotStarted`."""
        return SupervisorHandle(self._require_cell())

    def child(self, path: str) -> ChildHandle:
        """Return the handle of a child; see `SupervisorHandle.child`."""
        return self.handle.child(path)

    def supervisor(self, path: str) -> SupervisorHandle:
        """Return the handle of a supervisor below; raises `UsageError` for a worker."""
        handle = self.handle.child(path)
        if not isinstance(handle, SupervisorHandle):
            raise UsageError(f"{handle.path} is no supervisor")
        return handle

    async def start_child(
        self,
        spec: Any = UNSET,
        /,
        *args: Any,
        child_id: str | None = None,
        **kwargs: Any,
    ) -> ChildHandle:
        """Add a child and start it; see `SupervisorHandle.start_child`."""
        return await self.handle.start_child(spec, *args, child_id=child_id, **kwargs)

    async def restart_child(self, name: str) -> ChildHandle:
        """Start a child that is down; see `SupervisorHandle.restart_child`."""
        return await self.handle.restart_child(name)

    async def terminate_child(self, name: str) -> None:
        """Stop a child; see `SupervisorHandle.terminate_child`."""
        await self.handle.terminate_child(name)

    async def delete_child(self, name: str) -> None:
        """Drop a child's spec; see `SupervisorHandle.delete_child`."""
        await self.handle.delete_child(name)

    async def which_children(self) -> list[ChildInfo]:
        """Return what is known of each child; see `SupervisorHandle.which_children`."""
        return await self.handle.which_children()

    async def count_children(self) -> ChildCount:
        """Return the numbers; see `SupervisorHandle.count_children`."""
        return await self.handle.count_children()

    # -- looking

    def tree(self) -> Node:
        """Return the tree as it stands; `.render()` makes it text. Callable from any thread."""
        return supervisor_tree(self.name, self._cell)

    def inspect(self, path: Path | str | None = None) -> Inspection:
        """Let `pepperpy-resources tree` and `top` show this tree, until that is closed.

        See `DefaultResourceManager.inspect`. Raises `NotStarted`, `UsageError`.
        """
        return inspect(self.name, self._require_cell().host.loop, self.tree, path)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the last messages nobody could take, at most 100, oldest first."""
        return list(self._require_cell().host.dead_letters.recent)

    # -- inside

    def _require_cell(self) -> SupervisorCell:
        if self._cell is None:
            raise NotStarted(f"{self!r} is not started: use `async with`, or await start()")
        return self._cell

    def _require_own_loop(self) -> None:
        host = self._require_cell().host
        if not host.is_current_thread():
            raise wrong_loop(host.loop, repr(self))

    def _on_started(self, _cell: Cell) -> None:
        if self._up is not None and not self._up.done():
            self._up.set_result(None)

    def _on_exit(self, cell: Cell, exit_: Exit) -> None:
        if self._up is not None and not self._up.done():
            self._up.set_exception(start_failed(repr(self.name), exit_))
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(exit_)
        assert isinstance(cell, SupervisorCell)  # noqa: S101 - the one we made
        cell.close("failed" if exit_.kind is ExitKind.FAILURE else "stopped")
        forking.running.discard(self)

    def _on_host_stop(self) -> None:
        """Stop at once, because someone outside stopped one of our actors."""
        self._kill_all("an actor was stopped from outside")

    def forked(self) -> None:
        """Refuse everything from now on: this is a forked child, and the loop is the parent's."""
        cell = self._require_cell()
        cell.host.forked(forked_error(repr(self)))
        cell.status = FORKED


def wrong_loop(own: asyncio.AbstractEventLoop, what: str) -> WrongLoop:
    """Return the error of a call from another loop or thread than the supervisor's."""
    remedy = "make one Supervisor for each asyncio.run()"
    if own.is_running():
        remedy = "a handle's tell() and ask(), and orders about children, work across loops"
    other = current_loop()
    return WrongLoop(
        f"{what} belongs to the loop {own!r} at {id(own):#x} and is called from {other!r} at "
        f"{id(other):#x}: {remedy}"
    )
