"""The graph, written by hand; ids and texts may hold anything."""

from __future__ import annotations

import re

from pepperpy_resources.observe.graphviz import dot
from pepperpy_resources.observe.node import DependencyNode, Node, Turn, TypeNode
from tests.observe.test_render import PLAIN

HEAD = """\
digraph supervision {
  rankdir=LR
  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"]
"""


def test_a_tree_as_a_graph() -> None:
    busy = Node("w", "Worker", "busy", restarts=2, mailbox=3, current=Turn("Charge", 1.0))
    agent = TypeNode(
        **{**PLAIN, "slots": {"idle": 1}, "waiting": 2, "depends_on": [DependencyNode("w")]}
    )
    tree = Node(
        "app",
        "Supervisor",
        "running",
        children=[
            busy,
            Node("a", "Type", "failed", waiting_on=["w", "elsewhere"], resources=agent),
            Node("n", "Worker", "new"),
        ],
    )
    assert tree.to_dot() == HEAD + (
        '  n0 [label="Supervisor app\\nrunning", fillcolor="#d4ecd0"]\n'
        '  n1 [label="Worker w\\nbusy\\nCharge for 1.0 s\\nmailbox 3\\nrestarts 2",'
        ' fillcolor="#d4ecd0"]\n'
        '  n2 [label="Type a\\nfailed\\n1 idle\\nwaiting 2", fillcolor="#f4b6b6"]\n'
        '  n3 [label="Worker n\\nnew"]\n'
        "  n0 -> n1\n"
        "  n0 -> n2\n"
        "  n0 -> n3\n"
        '  n2 -> n1 [style=dashed, label="waits for"]\n'
        '  n2 -> n1 [style=dashed, label="depends on"]\n'
        "}"
    )


def test_several_trees_with_the_same_paths_are_one_graph() -> None:
    tree = Node("app", "S", "new", children=[Node("w", "W", "new", waiting_on=["app"])])
    assert dot([tree, tree]) == HEAD + (
        '  n0 [label="S app\\nnew"]\n'
        '  n1 [label="W w\\nnew"]\n'
        "  n0 -> n1\n"
        '  n1 -> n0 [style=dashed, label="waits for"]\n'
        '  n2 [label="S app\\nnew"]\n'
        '  n3 [label="W w\\nnew"]\n'
        "  n2 -> n3\n"
        '  n3 -> n2 [style=dashed, label="waits for"]\n'
        "}"
    )


def test_nothing_in_a_name_gets_out_of_its_label() -> None:
    r"""In a label `\` begins an escape, `"` ends it and `&` begins an entity."""
    evil = 'x"] n9 [label="\\N &lt;\n\x1b'
    (statement,) = [line for line in Node(evil, "W", "new").to_dot().splitlines() if "n0" in line]
    assert statement == ('  n0 [label="W x\\"] n9 [label=\\"\\\\N &amp;lt;\\\\n\\\\x1b\\nnew"]')
    assert re.fullmatch(r'  n0 \[label="(?:[^"\\]|\\.)*"\]', statement)
