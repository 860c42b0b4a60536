"""Random trees of supervisors and what is done to them; what is seen of it from outside."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st

from pepperpy_resources.supervision import (
    Backoff,
    ChildSpec,
    ExitKind,
    Intensity,
    Supervisor,
    SupervisorHandle,
)
from tests.supervision.cases.kit import (
    FOREVER,
    Boom,
    End,
    Fail,
    Play,
    Player,
    Say,
    Script,
    Stubborn,
    outcome,
)

GROUPS = ("one_for_all", "rest_for_one")


class Leaf(msgspec.Struct, frozen=True):
    """A worker to be."""

    fields: dict[str, Any]
    starts: list[Any]  # steps of its first starts; "fail" is a failure
    stops: list[Any]


class Branch(msgspec.Struct, frozen=True):
    """A supervisor to be."""

    fields: dict[str, Any]
    flags: dict[str, Any]
    below: list[Leaf | Branch]


class Deed(msgspec.Struct, frozen=True):
    """Something done to the tree: by a name of `DEEDS`, to whom a number points."""

    name: str
    whom: int
    pause: float  # seconds until the next; below 0: so many ticks of the loop
    leaf: Leaf | None = None


STARTS = st.lists(st.sampled_from([0.0, 0.0, 0.2, 2.0, "fail", FOREVER]), max_size=4)
STOPS = st.lists(st.sampled_from([0.0, 0.2, 2.0, "fail", FOREVER, Stubborn(3.0)]), max_size=3)
RESTARTS = st.sampled_from(["permanent", "permanent", "transient", "temporary"])


@st.composite
def leaves(draw: Any, *, significant: bool = False) -> Leaf:
    """Draw a worker."""
    restart = draw(RESTARTS)
    fields: dict[str, Any] = {
        "restart": restart,
        "shutdown": draw(st.sampled_from([0, 0.5, 5.0])),
        "start_timeout": draw(st.sampled_from([1.0, 5.0])),
        "drain": False,
    }
    if significant and restart != "permanent":
        fields["significant"] = draw(st.booleans())
    first = draw(st.sampled_from([0.0] * 19 + ["fail"]))  # mostly, the tree comes up
    return Leaf(fields, [first, *draw(STARTS)], draw(STOPS))


@st.composite
def branches(draw: Any, depth: int = 2) -> Branch:
    """Draw a supervisor and everything below it."""
    strategy = draw(
        st.sampled_from(["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"])
    )
    flags: dict[str, Any] = {
        "strategy": strategy,
        "intensity": draw(st.sampled_from([None, *(Intensity(n, 5.0) for n in (0, 1, 3, 10))])),
        "backoff": draw(st.sampled_from([None, Backoff(min=0.1, max=1.0), Backoff(min=1.0)])),
        "auto_shutdown": draw(
            st.sampled_from(["never", "never", "any_significant", "all_significant"])
        ),
    }
    if flags["intensity"] is None and flags["backoff"] is None:
        flags["backoff"] = Backoff(min=0.1)  # else a start that always fails never rests
    if strategy not in GROUPS and draw(st.booleans()):
        flags |= {"budget_scope": "child", "revive_after": draw(st.sampled_from([2.0, FOREVER]))}
    significant = flags["auto_shutdown"] != "never"
    worker = leaves(significant=significant)
    if strategy == "simple_one_for_one":
        below: list[Leaf | Branch] = [draw(worker)]
    else:
        kinds = worker if depth == 0 else worker | branches(depth=depth - 1)
        below = draw(st.lists(kinds, min_size=1, max_size=4))
    fields = {"restart": draw(RESTARTS), "shutdown": draw(st.sampled_from([2.0, FOREVER]))}
    return Branch(fields, flags, below)


class Witness(Player):
    """A player whom the world watches."""

    def __init__(self, world: World) -> None:
        super().__init__(world.script)
        self.world = world
        world.born(self)

    async def on_start(self) -> None:
        self.world.acts(self)
        await super().on_start()

    def receive(self, message: Any, reply: Any) -> Any:
        self.world.acts(self)
        return super().receive(message, reply)


class World:
    """What outlives every incarnation: the script, the specs, who was seen last at each path."""

    def __init__(self) -> None:
        self.script = Script()
        self.specs: dict[str, ChildSpec] = {}
        self.last: dict[str, Witness] = {}
        self.wrong: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._names = (f"n{n}" for n in itertools.count(1))

    def born(self, actor: Witness) -> None:
        """There are never two incarnations of one child."""
        before = self.last.get(actor.path)
        if before is not None and before.actor_ref.is_alive():
            self.wrong.append(f"two of {actor.path}")
        self.last[actor.path] = actor

    def acts(self, actor: Witness) -> None:
        """Nobody begins a turn after the end, or before who lives there now."""
        if not actor.actor_ref.is_alive() or self.last[actor.path] is not actor:
            self.wrong.append(f"a dead {actor.path} acts")

    def leaf(self, leaf: Leaf) -> ChildSpec:
        """Make a worker's spec, under a name of its own."""
        name = next(self._names)
        for steps, wanted in (
            (self.script.on_start[name], leaf.starts),
            (self.script.on_stop[name], leaf.stops),
        ):
            steps += [Boom(name) if step == "fail" else step for step in wanted]
        self.specs[name] = ChildSpec(name, Witness, args=(self,), **leaf.fields)
        return self.specs[name]

    def branch(self, branch: Branch) -> ChildSpec:
        """Make a supervisor's spec, under a name of its own."""
        name = next(self._names)
        self.specs[name] = ChildSpec(name, self.supervisor(branch), **branch.fields)
        return self.specs[name]

    def supervisor(self, branch: Branch, **flags: Any) -> Supervisor:
        """Make a supervisor."""
        children = [
            self.branch(each) if isinstance(each, Branch) else self.leaf(each)
            for each in branch.below
        ]
        return Supervisor(children, **branch.flags, **flags)

    def spec_of(self, handle: SupervisorHandle, name: str) -> ChildSpec:
        """Return the spec of a supervisor's child; of a dynamic one the spec of all."""
        home = handle._cell.spec
        return self.specs[home.children[0].id if home.dynamic else name]

    def later(self, work: Awaitable[Any]) -> None:
        """Wait for this until the end: whatever is asked is answered."""
        self.tasks.append(asyncio.ensure_future(outcome(work)))


# -- what is done: to a child, or by a supervisor


def child_deed(act: Callable[[World, Any], object]) -> Callable[[World, Supervisor, Deed], None]:
    """Do this to any child, a worker or a supervisor."""

    def deed(world: World, top: Supervisor, deed: Deed) -> None:
        paths = below(top)
        if paths:
            act(world, top.child(paths[deed.whom % len(paths)]))

    return deed


def order(
    act: Callable[[World, SupervisorHandle, str, Deed], Awaitable[Any]],
) -> Callable[[World, Supervisor, Deed], None]:
    """Have any supervisor do this, perhaps to one of its children."""

    def deed(world: World, top: Supervisor, deed: Deed) -> None:
        handles = list(supervisors(top))
        handle = handles[deed.whom % len(handles)]
        names = [*(node.path.rpartition("/")[2] for node in children_of(top, handle)), "nobody"]
        world.later(act(world, handle, names[deed.whom // 7 % len(names)], deed))

    return deed


async def start(world: World, handle: SupervisorHandle, _: str, deed: Deed) -> None:
    """Start one more child."""
    if handle._cell.spec.dynamic:
        await handle.start_child()
    elif deed.leaf is not None:
        await handle.start_child(world.leaf(deed.leaf))


DEEDS: dict[str, Callable[[World, Supervisor, Deed], None]] = {
    "say": child_deed(lambda world, child: world.later(child.ask(Say("hello")))),
    "work": child_deed(lambda world, child: world.later(child.ask(Play([0.3])))),
    "hang": child_deed(lambda world, child: world.later(child.ask(Play([FOREVER]), timeout=50))),
    "fail": child_deed(lambda _, child: child.tell(Fail(Boom("told")))),
    "ask to fail": child_deed(lambda world, child: world.later(child.ask(Fail(Boom("asked"))))),
    "end": child_deed(lambda _, child: child.tell(End())),
    "shut down": child_deed(lambda _, child: child.tell(End(ExitKind.SHUTDOWN))),
    "stop": child_deed(lambda _, child: child.stop()),
    "kill": child_deed(lambda _, child: child.kill()),
    "start": order(start),
    "terminate": order(lambda _, handle, name, __: handle.terminate_child(name)),
    "restart": order(lambda _, handle, name, __: handle.restart_child(name)),
    "delete": order(lambda _, handle, name, __: handle.delete_child(name)),
    "which": order(lambda _, handle, __, ___: handle.which_children()),
    "watch": child_deed(lambda world, child: world.later(child.watch())),
    "count": order(lambda _, handle, __, ___: handle.count_children()),
}


@st.composite
def deeds(draw: Any) -> Deed:
    """Draw something to do."""
    name = draw(st.sampled_from(sorted(DEEDS)))
    ticks = st.integers(-6, 0).map(float)
    pause = draw(ticks | st.sampled_from([0.05, 0.5, 3.0, 12.0]))
    leaf = draw(leaves()) if name == "start" else None
    return Deed(name, draw(st.integers(0, 10_000)), pause, leaf)


# -- what is seen


def below(top: Supervisor) -> list[str]:
    """Return the paths of all children that have a place, relative to the top."""
    first, *nodes = top.tree().walk()
    return [node.path.removeprefix(f"{first.path}/") for node in nodes if node.incarnation]


def supervisors(top: Supervisor) -> Iterator[SupervisorHandle]:
    """Yield the handles of all supervisors that have a place."""
    yield top.handle
    for path in below(top):
        handle = top.child(path)
        if isinstance(handle, SupervisorHandle):
            yield handle


def children_of(top: Supervisor, handle: SupervisorHandle) -> list[Any]:
    """Return the nodes right below a supervisor."""
    (node,) = [each for each in top.tree().walk() if each.path == handle.path]
    return node.children
