"""The async façade: `DefaultResourceManager`."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from pepperpy_resources import forking
from pepperpy_resources._checks import as_interval, as_seconds
from pepperpy_resources.actors.handle import ActorHandle
from pepperpy_resources.actors.host import ASK, Cell, Host
from pepperpy_resources.actors.metrics import Collect, ManagerFigures
from pepperpy_resources.actors.reply import Failure, Promise, Reply
from pepperpy_resources.actors.root import JANITOR, METRICS, Revive, Root
from pepperpy_resources.actors.type_handle import TypeHandle, check_fields
from pepperpy_resources.core.effects import Lease
from pepperpy_resources.core.events import (
    Acquire,
    Discard,
    Event,
    Evict,
    Release,
    Resize,
    Resume,
    Suspend,
)
from pepperpy_resources.core.kinship import Exit
from pepperpy_resources.declared import DeclaredTypes
from pepperpy_resources.errors import (
    ResourceError,
)
from pepperpy_resources.gates import Gate, borrower
from pepperpy_resources.leasing import LeaseContext, ResourceHandle
from pepperpy_resources.manager import ResourceManager
from pepperpy_resources.observe.events import Listener, Subscription, Watchers, subscribe
from pepperpy_resources.observe.inspection import Inspection, inspect
from pepperpy_resources.observe.node import Node
from pepperpy_resources.observe.prometheus import ResourceMetrics
from pepperpy_resources.observe.summary import summary
from pepperpy_resources.observe.tree import build_tree
from pepperpy_resources.record import ResourcesView
from pepperpy_resources.refused import bare_id_error, id_error, not_serving
from pepperpy_resources.shutdown import Patience, drain_and_shut, evict_all
from pepperpy_resources.spec import ResourceSpec, specs_by_name

T = TypeVar("T")

log = logging.getLogger("pepperpy_resources")

_numbers = itertools.count(1)


class DefaultResourceManager(ResourceManager):
    """Leases resources of the declared types; supervised, measured, inspectable.

    Without specs it serves any id as an exclusive keyed type and returns a plain `Record`.
    `cleanup_interval` is the longest time between two sweeps; `name` is the `manager` label of
    the metrics; `metrics` is where they are exported (the process's default registry).
    Raises `DuplicateResourceType` for two specs of one name, `InvalidSpec` for what is no spec and
    for a `depends_on` that names an undeclared type or goes round in a circle.
    """

    def __init__(
        self,
        specs: Iterable[ResourceSpec[Any]] | timedelta | None = None,
        *,
        cleanup_interval: timedelta | float = timedelta(minutes=5),
        name: str | None = None,
        metrics: ResourceMetrics | None = None,
    ) -> None:
        if isinstance(specs, timedelta):  # the specification's DefaultResourceManager(interval)
            cleanup_interval, specs = specs, None
        self._status = "new"
        self.name = name or f"manager-{next(_numbers)}"
        self._types = DeclaredTypes(specs)
        self._gates, self._exits = self._types.gates, self._types.exits
        self._cleanup_interval = as_interval(cleanup_interval, "cleanup_interval")
        self._metrics = metrics
        self._root: Root | None = None
        self._watchers = Watchers()
        self._patience = Patience()
        self._stopping: asyncio.Task[None] | None = None
        self._failed: asyncio.Event = asyncio.Event()
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return (
            f"<DefaultResourceManager {self.name!r} {self._status}, {len(self._types.specs)} types>"
        )

    def __del__(self) -> None:
        if getattr(self, "_status", "new") == "running":
            warnings.warn(f"{self!r} was never stopped", ResourceWarning, source=self, stacklevel=1)

    # -- life

    async def start(self) -> None:
        """Start the actors on the running event loop; a second call does nothing.

        Raises `ManagerStopped` after a stop: make a new manager.
        """
        if self._status == "running":
            self._require_running()
            return
        if self._status != "new":
            raise self._not_running()
        self._metrics = self._metrics or ResourceMetrics.of()
        self._metrics.add(self)  # first, because a name that is taken is refused
        host = Host(asyncio.get_running_loop())
        host.on_host_stop = self._on_host_stop
        self._root = root = Root(
            host,
            contextvars.copy_context(),
            self._cleanup_interval,
            self._on_root_failed,
            self._watchers,
        )
        self._status = "running"
        for spec in self._types.specs.values():
            self._types.start(root, spec)
        root.start_janitor()
        while host.ready:
            host.drain()
        forking.running.add(self)

    async def stop(self, timeout: float | timedelta = 30.0) -> None:
        """Serve nobody new, wait for the leases, then end them; idempotent.

        Takes at most `timeout` seconds plus one close deadline; where types depend on each other,
        one for each layer of them, because a type is closed after those that depend on it. A
        second call can shorten the first. A cancelled caller does not interrupt it. Leases of the
        first caller's task, and those of types that certainly have nothing to close (an async def
        factory or a class, and no close hook), are not waited for. Raises `UsageError`,
        `WrongLoop`.
        """
        seconds = as_seconds(timeout) or 0.0
        if self._status == "new":
            self._status = "stopped"
        if self._root is None or self._status == "forked":
            return
        self._require_own_loop(self._root)
        self._begin_stop(self._root, seconds, asyncio.current_task())
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    def _begin_stop(self, root: Root, seconds: float, ignoring: object) -> None:
        """Begin to stop, or tell a stop that has begun to be done earlier."""
        self._patience.limit(seconds)
        if self._stopping is None:
            if self._status == "running":
                self._status = "stopping"
            self._gates.clear()
            work = self._stop(root, ignoring)
            self._stopping = asyncio.Task(work, loop=root.host.loop, name="pepperpy:stop")

    async def _stop(self, root: Root, ignoring: object) -> None:
        try:
            root.end_child(root.children[JANITOR])
            await drain_and_shut(list(root.types.values()), self._patience, ignoring)
        finally:
            if self._metrics is not None:
                self._metrics.remove(self)
            root.end()
            self._status = "stopped"
            forking.running.discard(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def wait_ready(self, timeout: float | timedelta | None = None) -> None:
        """Return once the required types have had their `min_idle` resources idle.

        And the types they depend on, required or not, before them. Raises `AskTimeout` after
        `timeout` seconds, naming the type that is not ready; `ManagerStopped` or `TypeParked` where
        that will not happen; `NotStarted`, `WrongLoop`.
        """
        self._require_running()
        await self._types.wait_ready(as_seconds(timeout))

    async def wait_failed(self) -> None:
        """Return when the manager has failed for good: its root supervisor crashed."""
        await self._failed.wait()

    # -- leasing

    async def acquire(
        self,
        resource_id: str,
        *,
        timeout: float | timedelta | None = None,
        owner: object = None,
        priority: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the resource, leased under this id until `release`.

        `timeout`: seconds to wait (None: the spec's; 0: not at all; math.inf: for ever). `owner`
        is the holder: if it is a task and ends without a release, the lease is reclaimed.
        `priority`: -9 to 9 (None: the spec's); one more counts as `ageing` waited already. Other
        keywords go to a keyed type's factory. Raises `AcquireTimeout` (`BackendDown` or
        `TypeSuspended`, where that is why), `QueueFull`, `Overloaded`, `OpenFailedError`,
        `LeaseIdInUse`, `UnknownResourceType`, `InvalidResourceId`, `KeywordsRefused`,
        `UsageError`, `WrongLoop`, `NotStarted`, `ManagerStopped`, `ManagerFailed`,
        `ForkedProcess`, `TypeParked`, `SupervisorCrashed`.
        """
        try:
            name, _, rest = resource_id.partition(":")
            gate = self._gates[name]
        except (AttributeError, KeyError, TypeError):
            gate, rest = self._find_gate(resource_id), "?"
        if not rest or gate.fenced:
            raise gate.bare_acquire(resource_id, rest)
        if timeout is not None:
            timeout = as_seconds(timeout)
        if kwargs or priority is not None:
            gate.check_arguments(kwargs, priority)
        frame = borrower(1)
        site = (frame.f_code, frame.f_lasti) if gate.line else gate.site(frame)
        message = Acquire(resource_id, timeout, owner, kwargs or None, site, priority)
        lease: Any = await gate.welcomed(message) if gate.welcomes else gate.deliver(message, ASK)
        if lease.__class__ is not Lease:
            if lease.__class__ is Promise:
                # `Gate.kept` in place: one coroutine less for every acquire that waits.
                promise: Promise = lease
                try:
                    lease = await promise.future
                except BaseException:
                    gate.cell.forsake(promise)
                    raise
            if lease.__class__ is Failure:
                raise lease.error
        return lease.resource

    async def release(self, resource_id: str, *, discard: bool = False) -> None:
        """Give the resource of this id back; with `discard` it is closed, not reused.

        Cannot be cut in half: one message, nothing awaited. Raises `NotLeased` for an id that is
        not leased or was released before, `InvalidResourceId`, `UnknownResourceType`,
        `WrongLoop`, `NotStarted`.
        """
        try:
            gate = self._exits[resource_id.partition(":")[0]]
        except (AttributeError, KeyError, TypeError):
            gate = self._find_exit(resource_id)
        message = Discard(resource_id) if discard else Release(resource_id)
        answer = gate.deliver(message, ASK)
        if answer is not None:
            await gate.kept(answer)

    def lease(
        self,
        type_or_id: str,
        *,
        timeout: float | timedelta | None = None,
        owner: object = None,
        priority: int | None = None,
        discard: bool = False,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[Any]:
        """Lease for an `async with` block; a pooled type needs no id.

        With `discard` the resource is closed on exit, not reused. `owner` is who holds the lease,
        the task that enters the block unless given: give something that lives longer where the
        block is left in another task than it was entered in.

        Left by an error that `is_connection_error` knows, the resource and its generation are
        closed. For every other error the spec's `on_exception` decides; unless it does, a
        cancellation has the resource reset, or closed where there is no reset hook.
        Raises on entry as `acquire` does.
        """
        try:
            name, _, rest = type_or_id.partition(":")
            gate = self._gates[name]
        except (AttributeError, KeyError, TypeError):
            gate, rest = self._find_gate(type_or_id), "?"
        if not rest and (gate.keyed or type_or_id != gate.name):
            raise bare_id_error(type_or_id, gate.name, keyed=gate.keyed)
        if kwargs or priority is not None:
            gate.check_arguments(kwargs, priority)
        if timeout is not None:
            timeout = as_seconds(timeout)
        return LeaseContext(gate, type_or_id, timeout, kwargs or None, discard, owner, priority)

    async def cleanup(self, pattern: str | None = None, *, force: bool = False) -> None:
        """Take the resources whose ids match out now; returns when the idle ones are closed.

        `pattern` is matched as `fnmatch.fnmatchcase`, None takes all. Leased resources are no
        longer listed and closed when they come back, with `force` at once. Raises `UsageError`,
        `NotStarted`, `ManagerStopped`, `WrongLoop`.
        """
        self._require_running()
        message = Evict(pattern, bool(force))
        check_fields(message)
        await evict_all([gate.state for gate in self._gates.values()], message)

    async def suspend(self, name: str) -> None:
        """Lease and open nothing of one type until `resume`: acquires wait, leases go on.

        Raises `UnknownResourceType`, `NotStarted`, `ManagerStopped`, `WrongLoop`.
        """
        await self._operate(name, Suspend())

    async def resume(self, name: str) -> None:
        """Serve a suspended type again, those who have waited first; raises as `suspend`."""
        await self._operate(name, Resume())

    async def resize(
        self, name: str, *, max_size: int | None = None, min_idle: int | None = None
    ) -> None:
        """Change the limits of one type while it runs; None leaves a limit as it is.

        Returns at once: beyond a smaller `max_size` idle resources are closed now and leased ones
        as they come back. Raises `UsageError` for a limit the spec could not have either, and as
        `suspend`.
        """
        await self._operate(name, Resize(max_size, min_idle))

    async def _operate(self, name: str, message: Event) -> None:
        self._require_running()
        try:
            gate = self._gates[name]
        except (KeyError, TypeError):  # unhashable
            raise id_error(f"{name}:", self._gates) from None
        check_fields(message, gate.state)
        await gate.kept(gate.deliver(message, ASK))

    # -- looking

    async def monitor(self) -> dict[str, Any]:
        """Return the figures of this moment, with `active_resources` and `resource_errors`.

        Raises `NotStarted`, `ManagerStopped`.
        """
        if self._status not in ("running", "stopping"):
            raise self._not_running()
        return summary(await self.figures())

    def figures(self) -> Reply[ManagerFigures]:
        """Ask the metrics actor for all figures of one moment; callable from any thread."""
        cell = self._require_root().children[METRICS].cell
        reply: Reply[ManagerFigures] = Reply(cell)
        cell.ask(Collect(), reply)
        return reply

    def tree(self) -> Node:
        """Return the supervision tree as it stands; `.render()` makes it text."""
        return build_tree(self.name, self._status, self._root)

    def inspect(self, path: Path | str | None = None) -> Inspection:
        """Let `pepperpy-resources tree` and `top` show this manager, until that is closed.

        Over a socket that only the owner of this process may use; without a `path` one for the
        process, which they find. Raises `UsageError` for a path that cannot be used and where
        there are no such sockets; `NotStarted`, `ManagerStopped`, `WrongLoop`.
        """
        self._require_running()
        return inspect(self.name, self._require_root().host.loop, self.tree, path)

    def subscribe(self, listener: Listener, *types: str) -> Subscription:
        """Call `listener` with every `ResourceEvent` of these types, or of all, until cancelled.

        Before `start()` or after it. It is called soon after what it is told of, in order, on the
        loop and outside any turn: a slow one delays the loop, so put heavy work in a queue. What
        it raises is logged. Raises `UsageError` for what is no plain callable of one argument,
        `UnknownResourceType`, `WrongLoop`, `ManagerStopped`, `ManagerFailed`, `ForkedProcess`.
        """
        if self._status != "new":
            self._require_running()
        return subscribe(self._watchers, listener, types, self._types.known())

    @property
    def resources(self) -> Mapping[str, Any]:
        """The resources by id: leased ones of pooled types, all of keyed types. Read-only."""
        return ResourcesView(self._exits)

    _resources = resources  # the name that the specification's validation reads

    # -- types and actors

    def add_type(self, spec: ResourceSpec[T]) -> ResourceHandle[T]:
        """Declare and start one more resource type.

        Raises `DuplicateResourceType`, `InvalidSpec` where it depends on a type that is not there,
        `NotStarted`, `ManagerStopped`.
        """
        self._require_running()
        self._types.start(self._require_root(), self._types.checked(spec))
        self._types.open_world = False
        return ResourceHandle(self, spec.name)

    async def remove_type(self, name: str, timeout: float | timedelta = 30.0) -> None:
        """Drain one type for at most `timeout` seconds, close its resources and forget it.

        Raises `UsageError` while another type depends on it, `UnknownResourceType`, `NotStarted`,
        `ManagerStopped`, `WrongLoop`.
        """
        self._require_running()
        seconds = as_seconds(timeout) or 0.0
        await self._types.remove(self._require_root(), name, seconds)

    def type(self, spec: ResourceSpec[T]) -> ResourceHandle[T]:
        """Return the typed handle of a declared type; raises `UnknownResourceType`."""
        specs_by_name([spec])
        if spec.name not in self._types.specs and spec.name not in self._exits:
            raise id_error(f"{spec.name}:", self._exits or self._types.specs)
        return ResourceHandle(self, spec.name)

    def is_keyed(self, name: str) -> bool:
        """Tell whether ids of this type name resources; raises as `acquire` for unknown types."""
        self._require_running()
        return self._types.is_keyed(name)

    def actor(self, name: str) -> ActorHandle:
        """Return the handle of one actor: a resource type's, or "janitor", "metrics", "root".

        Raises `UnknownResourceType`, `NotStarted`.
        """
        gate, cell = self._exits.get(name), self.cell(name)
        return ActorHandle(cell) if gate is None else TypeHandle(cell, gate.state)

    def cell(self, name: str) -> Cell:
        """Return where an actor lives; for handles and tests."""
        root = self._require_root()
        cell = root.find(name)
        if cell is None:
            raise id_error(f"{name}:x", root.types)
        return cell

    def revive(self, name: str) -> None:
        """Try a parked type again now, instead of after 30 s."""
        root = self._require_root()
        if name not in root.types:
            raise id_error(f"{name}:", root.types)
        root.cell.deliver(Revive(name))

    # -- inside

    def _find_exit(self, resource_id: object) -> Gate:
        """Return the way out for an id whose type is gone, or say what is wrong with it."""
        past = self._types.find_exit(resource_id)
        if past is not None:
            return past
        self._require_running()
        raise id_error(resource_id, self._exits)

    def _find_gate(self, resource_id: object) -> Gate:
        """Return the gate of an id the fast path did not find, or say what is wrong with it."""
        self._require_running()
        return self._types.find_gate(self._require_root(), resource_id)

    def _require_root(self) -> Root:
        if self._root is None or self._status == "forked":
            raise self._not_running()
        return self._root

    def _require_running(self) -> None:
        if self._status != "running" or self._root is None:
            raise self._not_running()
        self._require_own_loop(self._root)

    def _require_own_loop(self, root: Root) -> None:
        if not root.host.is_current_thread():
            raise root.cell.wrong_loop()

    def _not_running(self) -> ResourceError:
        return not_serving(repr(self), self._status, self._failure)

    def _on_root_failed(self, exit_: Exit) -> None:
        self._failure = exit_.error
        self._status = "failed"
        self._gates.clear()
        self._failed.set()
        log.critical("%r has failed", self, exc_info=exit_.error)
        self._require_root().carry_on()
        self._on_host_stop()

    def _on_host_stop(self) -> None:
        """Stop at once, because someone outside stopped one of our actors."""
        self._begin_stop(self._require_root(), 0.0, None)

    def forked(self) -> None:
        """Refuse everything from now on: this is a forked child, and the loop is the parent's."""
        self._status = "forked"
        self._gates.clear()
        self._exits.clear()
