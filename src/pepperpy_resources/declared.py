"""The resource types of one manager: those declared, those that run, those that were removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pepperpy_resources._contradictions import check_budgets
from pepperpy_resources.actors.blame import blamed
from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.core import dependencies
from pepperpy_resources.core.events import Event, Ready
from pepperpy_resources.errors import (
    AskTimeout,
    DuplicateResourceType,
    InvalidResourceId,
    InvalidSpec,
    UnknownResourceType,
    UsageError,
)
from pepperpy_resources.gates import Gate
from pepperpy_resources.record import Record
from pepperpy_resources.refused import bare_id_error, id_error, undeclared
from pepperpy_resources.shutdown import Patience, drain_and_shut
from pepperpy_resources.spec import ResourceSpec, specs_by_name

if TYPE_CHECKING:
    from pepperpy_resources.actors.root import Root


class DeclaredTypes:
    """Resource type -> its spec and, while it runs, the gate that leads to it."""

    def __init__(self, specs: Iterable[ResourceSpec[Any]] | None) -> None:
        self.specs = in_order(specs_by_name(specs))  # each after those it depends on
        self.open_world = not self.specs  # any id is served, as a `Record`
        self.gates: dict[str, Gate] = {}  # what acquires go through; empty unless running
        self.exits: dict[str, Gate] = {}  # what releases go through, also after a stop
        self.past: dict[str, Gate] = {}  # of types that were removed
        self.removals: dict[str, asyncio.Task[None]] = {}

    def checked(self, spec: ResourceSpec[Any]) -> ResourceSpec[Any]:
        """Return a spec that may be added, or raise what is wrong with it."""
        (checked,) = specs_by_name([spec]).values()
        if checked.name in self.exits:
            raise DuplicateResourceType(f"{checked.name!r} is declared already")
        for name in checked.depends_on:
            if name not in self.gates:
                raise undeclared_dependency(checked.name, name, self.gates)
        check_budgets([*self.specs.values(), checked])
        return checked

    def start(self, root: Root, spec: ResourceSpec[Any]) -> Gate:
        """Start the supervisor of a type and open its gate."""
        gate = Gate(root.add_type(spec))
        self.specs[spec.name] = spec
        self.gates[spec.name] = self.exits[spec.name] = gate
        self.past.pop(spec.name, None)
        return gate

    def close_gate(self, name: str) -> Gate:
        """Let no acquire through to a type that is to be removed; return its gate."""
        gate = self.gates.get(name)
        if gate is None:
            raise id_error(f"{name}:", self.gates)
        users = dependencies.dependents(needs_of(self.specs), name)
        if users:
            raise UsageError(
                f"{name!r} is needed by {', '.join(map(repr, users))}: remove what depends on it "
                "first"
            )
        return self.gates.pop(name)

    async def remove(self, root: Root, name: str, timeout: float) -> None:
        """Drain a type for at most `timeout` seconds, close its resources and forget it."""
        gate, ignoring = self.close_gate(name), asyncio.current_task()
        # In a task of its own: a cancelled caller leaves no half of a type behind.
        work = self._remove(root, gate, timeout, ignoring)
        self.removals[name] = asyncio.Task(work, name=f"pepperpy:remove:{name}")
        await asyncio.shield(self.removals[name])

    async def _remove(self, root: Root, gate: Gate, timeout: float, ignoring: object) -> None:
        patience = Patience()
        patience.limit(timeout)
        try:
            await drain_and_shut([gate.state], patience, ignoring)
            root.remove_type(gate.name)
            self.past[gate.name] = self.exits.pop(gate.name)  # late releases are no errors
            del self.specs[gate.name]
        finally:
            del self.removals[gate.name]

    async def wait_ready(self, timeout: float | None) -> None:
        """Wait until the required types, and all they depend on, have had their `min_idle`."""
        required = [name for name, gate in self.gates.items() if gate.spec.required]
        names = dependencies.below(needs_of(self.specs), required)
        waiting = [(gate, asked(gate, Ready())) for gate in map(self.gates.__getitem__, names)]
        late: list[Gate] = []
        try:
            async with asyncio.timeout(timeout):
                for gate, reply in waiting:
                    late = [gate]
                    await reply
        except TimeoutError:
            state = late[0].state
            lane = state.pool.lanes.get(None)
            error = AskTimeout(f"{late[0].name!r} has not reached min_idle within {timeout:g} s")
            error.__cause__ = lane.error if lane is not None else None
            raise blamed(state, error) from error.__cause__

    def known(self) -> Iterable[str] | None:
        """Return the names of the declared types, None where any name may come to be one."""
        return None if self.open_world else self.specs

    # -- ids that the fast path did not find

    def find_exit(self, resource_id: object) -> Gate | None:
        """Return the way out for an id whose type is gone."""
        return self.past.get(str(resource_id).partition(":")[0])

    def find_gate(self, root: Root, resource_id: object) -> Gate:
        """Return the gate of an id, made on demand in an open world, or say what is wrong."""
        error = id_error(resource_id, self.gates)
        if not self.open_world or not isinstance(error, UnknownResourceType):
            raise error
        name, _, rest = str(resource_id).partition(":")
        if name in self.removals:
            raise error
        if not rest:
            raise bare_id_error(str(resource_id), name, keyed=True)
        try:
            spec = ResourceSpec(name, factory=Record, keyed=True, max_size=None)
        except InvalidSpec as refused:
            raise InvalidResourceId(f"{resource_id!r} is no resource id: {refused}") from None
        return self.start(root, spec)

    def is_keyed(self, name: str) -> bool:
        """Tell whether ids of this type name resources."""
        gate = self.gates.get(name)
        if gate is not None:
            return gate.keyed
        if not self.open_world:
            raise id_error(f"{name}:?", self.gates)
        return True


def needs_of(specs: Mapping[str, ResourceSpec[Any]]) -> dict[str, tuple[str, ...]]:
    """Return what each type depends on directly."""
    return {name: tuple(spec.depends_on) for name, spec in specs.items()}


def in_order(specs: Mapping[str, ResourceSpec[Any]]) -> dict[str, ResourceSpec[Any]]:
    """Return the specs as declared, but each after those it depends on; refuse what cannot be."""
    needs = needs_of(specs)
    missing = dependencies.unknown(needs)
    if missing is not None:
        raise undeclared_dependency(*missing, specs)
    cycle = dependencies.cycle(needs)
    if cycle:
        raise InvalidSpec(
            f"depends_on goes round in a circle: {' -> '.join(cycle)}; one of them must do "
            "without the next"
        )
    return {name: specs[name] for name in dependencies.order(needs)}


def undeclared_dependency(name: str, dependency: str, known: Iterable[str]) -> InvalidSpec:
    """Return the error for a type that depends on one nobody declared."""
    others = [other for other in known if other != name]
    return InvalidSpec(f"ResourceSpec {name!r}: depends_on: {undeclared(dependency, others)}")


def asked(gate: Gate, event: Event) -> Reply[Any]:
    """Ask a type's supervisor; return the reply at once."""
    reply: Reply[Any] = Reply(gate.cell)
    gate.cell.ask(event, reply)
    return reply
