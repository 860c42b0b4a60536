"""The rows of `top`: their order, the filter, what stands in them, and how they are cut to fit."""

from __future__ import annotations

import pytest

from pepperpy_resources.observe.node import Exit, HookError, Node, Turn, TypeNode
from pepperpy_resources.observe.top import ORDERS, rows, table
from tests.observe.test_render import PLAIN

ROOMY = TypeNode(
    **{**PLAIN, "slots": {"leased": 3, "idle": 1}, "waiting": 2, "oldest_wait": 5.0,
       "last_errors": [HookError("open", "OSError: no", 2.0)]}
)  # fmt: skip
ENDLESS = TypeNode(**{**PLAIN, "max_size": None, "waiting": 2, "oldest_wait": 7.0})

TREE = Node(
    "shop",
    "Supervisor",
    "running",
    children=[
        Node("b", "W", "busy", mailbox=9, mailbox_high=20, oldest=1.0, current=Turn("Pay", 4.0)),
        Node("a", "W", "stuck", mailbox=9, mailbox_high=9, oldest=3.0, current=Turn("Pay", 90.0)),
        Node("c", "W", "backing-off", restarts=3, restarts_left=0, restart_in=2.5, incarnation=4),
        Node("d", "W", "running", restarts=3, incarnation=5, uptime=7.0, waiting_on=["a", "b"]),
        Node("db", "T", "running", resources=ROOMY),
        Node("dc", "T", "running", resources=ENDLESS),
        Node("e", "W", "failed", last_exit=Exit("failure", 8.0, error="E: x", message="Pay")),
    ],
)


@pytest.mark.parametrize(
    ("sort", "paths"),
    [
        ("path", "a b c d db dc e shop"),
        ("mailbox", "a b c d db dc e shop"),  # a and b have 9, that of a is older
        ("oldest", "a b c d db dc e shop"),
        ("busy", "a b c d db dc e shop"),
        ("restarts", "d c a b db dc e shop"),
        ("waiting", "dc db d a b c e shop"),  # two each; those of dc have waited longest
    ],
)
def test_the_order(sort: str, paths: str) -> None:
    assert [node.path for node in rows([TREE], sort, None)] == paths.split()


def test_each_order_is_tested_where_it_differs_from_the_path() -> None:
    nodes = [Node("a", "W", "running"), Node("b", "W", "busy", mailbox=1, oldest=1.0, restarts=1,
             current=Turn("M", 1.0), waiting_on=["a"])]  # fmt: skip
    tree = Node("z", "S", "running", children=nodes)
    firsts = {sort: rows([tree], sort, None)[0].path for sort in ORDERS}
    assert firsts.pop("path") == "a"
    assert set(firsts.values()) == {"b"}


def test_the_filter_is_a_glob_of_the_path() -> None:
    assert [node.path for node in rows([TREE], "path", "d?")] == ["db", "dc"]
    assert rows([TREE], "path", "D?") == []
    assert rows([TREE], "path", "nosuch") == []


def test_two_trees_are_one_table() -> None:
    assert [node.path for node in rows([TREE, TREE], "path", "a")] == ["a", "a"]


TABLE = """\
PATH  STATUS          UP  RESTARTS  MAILBOX  OLDEST  BUSY            LEASED  WAITING    TROUBLE
a     stuck                           9 (9)   3.0 s  Pay 1 min 30 s
b     busy                           9 (20)   1.0 s  Pay 4.0 s
c     backing-off            3 (0)                                                      next restart in 2.5 s
d     running      7.0 s         3                                           a, b
db    running                                                           3/4  2 (5.0 s)  open 2.0 s ago: OSError: no
dc    running                                                           0/∞  2 (7.0 s)
e     failed                                                                            failure 8.0 s ago: E: x in Pay
shop  running"""  # noqa: E501 - as wide as it is


def test_the_table() -> None:
    assert table(rows([TREE], "path", None), 0, 0, colour=False) == TABLE.splitlines()


def test_a_table_without_rows_is_its_heading() -> None:
    assert table([], 0, 0, colour=False) == [
        "PATH  STATUS  UP  RESTARTS  MAILBOX  OLDEST  BUSY  LEASED  WAITING  TROUBLE"
    ]


@pytest.mark.parametrize(
    ("height", "rows_shown", "said"),
    [
        (0, 8, ""),
        (9, 8, ""),
        (8, 6, "… and 2 more"),
        (3, 1, "… and 7 more"),
        (2, 0, "… and 8 more"),
    ],
)
def test_it_is_as_high_as_the_terminal(height: int, rows_shown: int, said: str) -> None:
    lines = table(rows([TREE], "path", None), 0, height, colour=False)
    body = [line for line in lines[1:] if not line.startswith("…")]
    assert len(body) == rows_shown
    assert lines[-1] == said or not said
    assert not height or len(lines) <= height


def test_it_is_as_wide_as_the_terminal() -> None:
    lines = table(rows([TREE], "path", None), 20, 0, colour=False)
    assert lines[0] == "PATH  STATUS       …"
    assert lines[-1] == "shop  running"


def test_a_row_in_trouble_has_its_colour() -> None:
    lines = table(rows([TREE], "path", None), 20, 0, colour=True)
    assert lines[0].startswith("\x1b[1mPATH")
    assert lines[1] == "\x1b[1;31ma     stuck        …\x1b[0m"
    assert lines[2] == "b     busy         …"
    assert lines[3].startswith("\x1b[33mc ")


def test_an_id_cannot_break_the_table() -> None:
    lines = table([Node("a\n\x1b[2J", "W", "running")], 0, 0, colour=False)
    assert lines[1] == "a\\n\\x1b[2J  running"
