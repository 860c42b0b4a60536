"""Random trees on real actors: what must hold whatever is done to them, seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec
import pykka  # noqa: TID253 - the registry is what is looked at
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pepperpy_resources.errors import StartFailed
from pepperpy_resources.supervision import (
    ChildCount,
    ChildHandle,
    ChildSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorHandle,
)
from pepperpy_resources.testing import run
from tests.supervision.cases.kit import Boom, End, Fail, incarnations, outcome, settled
from tests.supervision.cases.random_trees import (
    DEEDS,
    Branch,
    Deed,
    World,
    branches,
    children_of,
    deeds,
    supervisors,
)

LONG = 10_000.0  # virtual seconds in which everything that ends at all has ended


def forget_all() -> None:
    """Leave nobody behind for the next example to be blamed for."""
    for ref in pykka.ActorRegistry.get_all():
        pykka.ActorRegistry.unregister(ref)


def registered() -> dict[str, int]:
    """Return how many actors below "top" pykka knows, by path."""
    counts: dict[str, int] = {}
    for ref in pykka.ActorRegistry.get_all():
        path = getattr(ref._actor_weakref(), "path", "")
        if path.startswith("top/"):
            counts[path] = counts.get(path, 0) + 1
    return counts


def look(world: World, top: Supervisor) -> None:
    """Check what holds at every moment."""
    assert world.wrong == []
    counts = registered()
    assert all(number == 1 for number in counts.values()), counts
    paths = [node.path for node in top.tree().walk() if node.incarnation]
    assert len(paths) == len(set(paths)), paths


async def ask_each(world: World, top: Supervisor) -> None:
    """Compare what each supervisor says of its children with each other, and with the order."""
    for handle in list(supervisors(top)):
        listed, counted = await asyncio.gather(
            outcome(handle.which_children()), outcome(handle.count_children())
        )
        if isinstance(listed, Exception):
            continue
        assert isinstance(counted, (ChildCount, Exception))
        names = [info.id for info in listed]
        numbers = [world.specs[name].id for name in names if name in world.specs]
        born = list(world.specs)
        assert numbers == sorted(numbers, key=born.index), names  # those added come last
        assert len(names) == len(set(names))


async def grow(world: World, tree: Branch) -> Supervisor:
    """Start a tree, or see it fail to start; either is in order."""
    top = world.supervisor(tree, name="top")
    started = await outcome(asyncio.wait_for(top.start(), LONG))
    if started is None:
        assert world.script.log == [f"start {name}" for name in workers(top.spec.initial)]
    else:
        assert isinstance(started, StartFailed)
    return top


def workers(specs: Iterable[ChildSpec]) -> list[str]:
    """Return the ids of all workers that a tree begins with, in the order of their start."""
    names: list[str] = []
    for spec in specs:
        names += [spec.id] if spec.supervisor is None else workers(spec.supervisor.initial)
    return names


async def do(world: World, top: Supervisor, plan: list[Deed]) -> None:
    """Do what is planned, and look after each deed."""
    for deed in plan:
        DEEDS[deed.name](world, top, deed)
        if deed.pause > 0:
            await asyncio.sleep(deed.pause)
        else:
            await settled(-int(deed.pause))
        look(world, top)


async def life(tree: Branch, plan: list[Deed], patience: float | None) -> None:
    world = World()
    top = await grow(world, tree)
    await do(world, top, plan)
    if patience is None:
        await asyncio.wait_for(ask_each(world, top), LONG)
    await asyncio.wait_for(top.stop(patience), LONG if patience is None else patience + 0.001)
    await settled()
    # no orphan, no question without an answer, nothing that still runs
    look(world, top)
    assert registered() == {}
    await asyncio.sleep(60)  # the timeouts of those who hung, and of abandoned turns
    await settled()
    assert [task for task in world.tasks if not task.done()] == []
    assert (await asyncio.wait_for(top.wait(), 1)) is not None
    assert {node.status for node in top.tree().walk()} <= {"stopped", "failed"}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@given(
    tree=branches(),
    plan=st.lists(deeds(), min_size=15, max_size=40),
    patience=st.sampled_from([None, None, 0.0, 1.0]),
)
@settings(max_examples=120, deadline=None)
def test_random_trees_keep_what_holds_for_all(
    tree: Branch, plan: list[Deed], patience: float | None
) -> None:
    try:
        run(life(tree, plan, patience))
    finally:
        forget_all()


# -- one end at a time, and what must come of it


WAYS: dict[str, Callable[[ChildHandle], object]] = {
    "normal": lambda child: child.tell(End()),
    "shutdown": lambda child: child.stop(),
    "failure": lambda child: child.tell(Fail(Boom("told"))),
    "killed": lambda child: child.kill(),
}


def comes_back(spec: ChildSpec, way: str) -> bool:
    """Tell whether a child is restarted after this end of it."""
    if spec.restart is Restart.TRANSIENT:
        return way in ("failure", "killed")
    return spec.restart is Restart.PERMANENT


class Standing(msgspec.Struct, frozen=True):
    """A child as it stands: in which phase, and the how many-th incarnation."""

    phase: str
    incarnation: int


async def standing(top: Supervisor, handle: SupervisorHandle) -> dict[str, Standing]:
    """Return how the children of a supervisor stand, in their order."""
    numbers = incarnations(top)
    prefix = handle.path.removeprefix("top").removeprefix("/")
    return {
        info.id: Standing(info.phase, numbers[f"{prefix}/{info.id}".removeprefix("/")])
        for info in await handle.which_children()
    }


def expected(
    before: dict[str, Standing], name: str, way: str, specs: dict[str, ChildSpec], strategy: str
) -> dict[str, Standing]:
    """Return how the children must stand after this end of one of them."""
    if not comes_back(specs[name], way):
        kept = specs[name].restart is Restart.TRANSIENT and strategy != "simple_one_for_one"
        down = {name: Standing("down", before[name].incarnation)} if kept else {}
        return {each: stands for each, stands in before.items() if each != name} | down
    names = list(before)
    group = {"one_for_all": names, "rest_for_one": names[names.index(name) :]}.get(strategy, [name])
    return {
        each: Standing("up", stands.incarnation + 1) if each in group else stands
        for each, stands in before.items()
        if each not in group or each == name or specs[each].restart is not Restart.TEMPORARY
    }


async def quiet(world: World) -> None:
    """Let everything come to rest, with nothing left in the script."""
    for steps in (world.script.on_start, world.script.on_stop):
        for each in steps.values():
            each.clear()
    await asyncio.sleep(100)
    await settled(500)


def permitted(top: Supervisor, handle: SupervisorHandle, path: str) -> bool:
    """Tell whether one more failure is within the budget."""
    nodes = {node.path: node for node in top.tree().walk()}
    left = nodes[handle.path].children_restarts_left, nodes[path].restarts_left
    return 0 not in left


async def ends_one_by_one(tree: Branch, plan: list[Deed], ends: list[tuple[str, int]]) -> None:
    world = World()
    top = await grow(world, tree)
    await do(world, top, plan)
    for way, whom in ends:
        await quiet(world)
        if top.tree().status != "running":
            break
        handles = [each for each in supervisors(top) if each.status == "running"]
        handle = handles[whom % len(handles)]
        before = await standing(top, handle)
        up = running_below(top, handle)  # and in no turn that hangs
        if not up:
            continue
        name = up[whom // 7 % len(up)]
        spec, path = world.spec_of(handle, name), f"{handle.path}/{name}"
        if spec.supervises or spec.significant or not permitted(top, handle, path):
            continue
        others = {
            node.path: node.incarnation
            for node in top.tree().walk()
            if not node.path.startswith(f"{handle.path}/")
        }
        WAYS[way](handle.child(name))
        await quiet(world)
        strategy = Strategy(handle._cell.spec.policy.strategy)
        specs = {each: world.spec_of(handle, each) for each in before}
        assert await standing(top, handle) == expected(before, name, way, specs, strategy)
        assert others == {
            node.path: node.incarnation for node in top.tree().walk() if node.path in others
        }
        event(f"{strategy.value}: {spec.restart} {way}")
    await quiet(world)
    await stops_in_reverse(world, top)


def running_below(top: Supervisor, handle: SupervisorHandle) -> list[str]:
    """Return the ids of a supervisor's children that wait for their next message."""
    nodes = children_of(top, handle)
    return [node.path.rpartition("/")[2] for node in nodes if node.status == "running"]


async def stops_in_reverse(world: World, top: Supervisor) -> None:
    """Stop a tree at rest: workers end in the reverse of their order, but for dynamic ones."""
    groups: list[list[str]] = []
    if {node.status for node in top.tree().walk()} <= {"running", "stopped", "failed"}:
        for handle in supervisors(top):
            if not handle._cell.spec.dynamic:
                specs = [world.specs[name] for name in running_below(top, handle)]
                groups.append([each.id for each in specs if each.shutdown and not each.supervises])
    world.script.take()
    await asyncio.wait_for(top.stop(), LONG)
    stops = [line.removeprefix("stop ") for line in world.script.take()]
    for names in groups:
        assert [name for name in stops if name in names] == names[::-1]
    assert registered() == {}
    await asyncio.sleep(60)


@given(
    tree=branches(),
    plan=st.lists(deeds(), max_size=6),
    ends=st.lists(
        st.tuples(st.sampled_from(sorted(WAYS)), st.integers(0, 1000)), min_size=3, max_size=8
    ),
)
@settings(max_examples=120, deadline=None)
def test_of_a_tree_at_rest_one_child_ends_and_those_are_restarted_whom_the_strategy_names(
    tree: Branch, plan: list[Deed], ends: list[tuple[str, int]]
) -> None:
    try:
        run(ends_one_by_one(tree, plan, ends))
    finally:
        forget_all()
