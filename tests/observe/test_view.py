"""A view as it goes over the socket, and as the `tree` command shows it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pepperpy_resources.observe.node import (
    DependencyNode,
    Exit,
    HookError,
    LeaseNode,
    Node,
    TicketNode,
    Turn,
    TypeNode,
    as_json,
)
from pepperpy_resources.observe.report import as_text, dot_of, filtered, json_of, trees
from pepperpy_resources.observe.view import LoopState, Source, View, stuck_in
from tests.observe.test_render import PLAIN

FULL = Node(
    path="shop/db",
    kind="ResourceSupervisor",
    status="busy",
    strategy="one_for_one",
    restarts=1,
    restarts_left=2,
    restart_in=0.5,
    uptime=7.5,
    incarnation=2,
    messages=9,
    mailbox=3,
    mailbox_high=4,
    oldest=1.5,
    dead_letters=1,
    current=Turn("Pay", 0.25),
    waiting_on=["shop/tax"],
    last_exit=Exit("failure", 3.0, "gave up", "ValueError: x", "Pay"),
    resources=TypeNode(
        **{
            **PLAIN,
            "leases": [LeaseNode("db:a", 1.0, "task 't'", "x.py:1 in f")],
            "queue": [TicketNode("db:b", 1.0, None, "o"), TicketNode("db:c", 0.5, 2.0)],
            "last_errors": [HookError("open", "OSError: no", 1.0)],
            "depends_on": [DependencyNode("x", "down")],
        }
    ),
    children=[Node("shop/db/1", "Worker", "stopped")],
)


def view(*sources: Source) -> View:
    return View(1, 42, "2026-01-02T03:04:05.678+00:00", list(sources))


def running(name: str, tree: Node) -> Source:
    return Source(name, LoopState("running"), tree)


def test_json_there_and_back() -> None:
    whole = view(
        running("shop", FULL),
        Source("other", LoopState("stuck", 1.5, ["x.py:1 in f"], "t", "a", "M"), None, "E: no"),
    )
    assert msgspec.json.decode(as_json(whole), type=View) == whole
    assert msgspec.json.decode(json_of(whole), type=View) == whole
    assert msgspec.json.decode(FULL.to_json(), type=Node) == FULL


def test_what_is_no_unicode_is_written_out_in_json() -> None:
    """Such a text is what Python makes of a file name that is not in the system's encoding."""
    node = Node("caf\udce9", "W", "running", children=[Node("é", "W", "running", restarts=1)])
    assert msgspec.json.decode(node.to_json(), type=Node) == Node(
        "caf\\udce9", "W", "running", children=[Node("é", "W", "running", restarts=1)]
    )


# -- who blocks the loop is shown as stuck


def tree() -> Node:
    return Node(
        "shop",
        "S",
        "running",
        children=[
            Node("a", "W", "running", children=[Node("b", "W", "running")]),
            Node("c", "W", "running"),
        ],
    )


def test_the_actor_whose_turn_blocks_the_loop_is_stuck_and_all_else_as_it_was() -> None:
    loop = LoopState("stuck", 2.5, ["x.py:1 in f"], "", "b", "Pay")
    seen = stuck_in(Source("shop", loop, tree())).tree
    stuck = Node("b", "W", "stuck", current=Turn("Pay", 2.5))
    a = Node("a", "W", "running", children=[stuck])
    assert seen == Node("shop", "S", "running", children=[a, Node("c", "W", "running")])


@pytest.mark.parametrize("actor", ["", "gone"])
def test_no_actor_is_stuck_where_none_of_the_tree_is_at_work(actor: str) -> None:
    loop = LoopState("stuck", 2.5, [], "", actor, "Pay")
    assert stuck_in(Source("shop", loop, tree())).tree == tree()


def test_without_a_tree_there_is_nothing_to_mark() -> None:
    source = Source("shop", LoopState("stuck", 2.5, [], "", "b", "Pay"), None, "E: no")
    assert stuck_in(source) == source


# -- the text


def test_the_text_of_a_program_where_all_is_well() -> None:
    assert as_text(view(running("shop", tree())), colour=False) == (
        "shop in process 42 at 2026-01-02T03:04:05.678+00:00\n"
        "S shop [running]\n"
        "├─ W a [running]\n"
        "│  └─ W b [running]\n"
        "└─ W c [running]"
    )


def test_problems_come_first() -> None:
    loop = LoopState(
        "stuck", 12.3456, ["/app/x.py:7 in pay", "/app/x.py:1 in run"], "t-1", "b", "Pay"
    )
    source = stuck_in(Source("shop", loop, tree()))
    failed = Node("x", "S", "running", children=[Node("y\n", "W", "failed"), Node("z", "W", "busy"),
                  Node("r", "W", "restarting"), Node("w", "W", "backing-off"),
                  Node("s", "W", "starting")])  # fmt: skip
    assert as_text(view(source, running("other", failed)), colour=False).splitlines() == [
        "shop in process 42 at 2026-01-02T03:04:05.678+00:00",
        "! loop: stuck for >= 12.35 s, in b handling Pay, in task t-1",
        "!   at /app/x.py:7 in pay",
        "!   at /app/x.py:1 in run",
        "! b is stuck",
        "S shop [running]",
        "├─ W a [running]",
        "│  └─ W b [stuck]",
        "│        handles Pay for 12.346 s",
        "└─ W c [running]",
        "",
        "other in process 42 at 2026-01-02T03:04:05.678+00:00",
        "! y\\n is failed",
        "! r is restarting",
        "! w is backing-off",
        "S x [running]",
        "├─ W y\\n [failed]",
        "├─ W z [busy]",
        "├─ W r [restarting]",
        "├─ W w [backing-off]",
        "└─ W s [starting]",
    ]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (Source("m", LoopState("closed"), Node("m", "S", "stopped")),
         ["! loop: closed", "S m [stopped]"]),
        (Source("m", LoopState("not running"), Node("m", "S", "new")),
         ["! loop: not running", "S m [new]"]),
        (Source("m", LoopState("running"), None, "ValueError: no"),
         ["! the tree could not be built: ValueError: no"]),
        (Source("m", LoopState("stuck", 1.0), Node("m", "S", "new")),
         ["! loop: stuck for >= 1.00 s", "S m [new]"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_whole(source: Source, lines: list[str]) -> None:
    assert as_text(view(source), colour=False).split("\n")[1:] == lines


def test_colour() -> None:
    text = as_text(view(running("m", Node("m", "S", "failed"))), colour=True)
    assert text.split("\n") == [
        "\x1b[1mm in process 42 at 2026-01-02T03:04:05.678+00:00\x1b[0m",
        "\x1b[1;31m! m is failed\x1b[0m",
        "S m \x1b[1;31m[failed]\x1b[0m",
    ]


# -- the filter


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("b", "shop a b"),  # with what is above it
        ("a", "shop a b"),  # and what is below it
        ("[bc]", "shop a b c"),
        ("shop", "shop a b c"),
        ("*", "shop a b c"),
        ("B", ""),
        ("nosuch", ""),
    ],
)
def test_the_filter(pattern: str, left: str) -> None:
    seen = filtered(view(running("shop", tree())), pattern)
    assert [node.path for root in trees(seen) for node in root.walk()] == left.split()


def test_a_filter_that_leaves_nothing_says_so() -> None:
    seen = filtered(view(running("shop", tree())), "nosuch")
    assert as_text(seen, colour=False).splitlines()[1:] == ["no actor matches the filter"]


def test_without_a_filter_nothing_is_left_out() -> None:
    whole = view(running("shop", tree()), Source("x", LoopState("closed"), None, "E"))
    assert filtered(whole, None) == whole
    assert filtered(whole, "*") == whole


def test_the_graph_has_every_tree() -> None:
    one: Any = Node("m", "S", "new")
    assert dot_of(view(running("m", one), running("n", one))).count("S m") == 2
