"""The text of nodes, written by hand: what is said, and what is not where there is nothing."""

from __future__ import annotations

from typing import Any

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
)

PLAIN: dict[str, Any] = {
    "max_size": 4.0,
    "budget": "",
    "permits": None,
    "slots": {},
    "leased": 0,
    "leases": [],
    "waiting": 0,
    "queue": [],
    "oldest_wait": 0.0,
    "opened": 0,
    "closed": 0,
    "acquired": 0,
    "overdue": 0,
    "leaked": 0,
    "suspended": False,
    "abandoned_threads": 0,
    "refused": {},
    "errors": {},
    "last_errors": [],
}
SLOTS = "   slots: none (at most 4); opened 0, closed 0"
GRANTED = "   leases granted: 0; waiting: 0"


def worker(**fields: Any) -> Node:
    return Node(**{"path": "w", "kind": "Worker", "status": "running", **fields})


HEADLINES: list[tuple[dict[str, Any], str]] = [
    ({}, "Worker w [running]"),
    ({"status": "backing-off", "restart_in": 3.25}, "Worker w [backing-off]  next in 3.2 s"),
    ({"strategy": "one_for_all"}, "Worker w [running]  one_for_all"),
    ({"incarnation": 1, "messages": 7}, "Worker w [running]  messages 7"),
    (
        {"mailbox": 5, "oldest": 3.5, "mailbox_high": 80},
        "Worker w [running]  mailbox 5 (oldest 3.500 s, high 80)",
    ),
    ({"mailbox_high": 80}, "Worker w [running]  mailbox 0 (high 80)"),
    ({"dead_letters": 2}, "Worker w [running]  dead letters 2"),
    ({"late_replies": 1}, "Worker w [running]  late replies 1"),
    (
        {"strategy": "one_for_one", "children_restarts": 2, "children_restarts_left": 1},
        "Worker w [running]  one_for_one  children restarted 2 (left 1)",
    ),
    ({"children_restarts": 2}, "Worker w [running]  children restarted 2"),
    ({"restarts": 1, "restarts_left": 2}, "Worker w [running]  restarts 1 (left 2)"),
    ({"restarts": 0, "restarts_left": 0}, "Worker w [running]  restarts 0 (left 0)"),
    ({"restarts": 1}, "Worker w [running]  restarts 1"),
    ({"uptime": 7265.0}, "Worker w [running]  up 2 h 1 min"),
    (
        {"incarnation": 3, "messages": 9, "restarts": 2, "uptime": 1.0},
        "Worker w [running]  messages 9  restarts 2  incarnation 3  up 1.0 s",
    ),
    ({"path": "a\nb"}, "Worker a\\nb [running]"),
]


@pytest.mark.parametrize(("fields", "text"), HEADLINES)
def test_the_first_line(fields: dict[str, Any], text: str) -> None:
    assert worker(**fields).render() == text


DETAILS: list[tuple[dict[str, Any], str]] = [
    ({"current": Turn("Charge", 0.5)}, "   handles Charge for 0.500 s"),
    ({"waiting_on": ["shop/tax", "shop/db"]}, "   waits for: shop/tax, shop/db"),
    ({"last_exit": Exit("normal", 90.0)}, "   last exit: normal 1 min 30 s ago"),
    (
        {"last_exit": Exit("killed", 2.0, reason="ignored its stop for 5 s")},
        "   last exit: killed 2.0 s ago: ignored its stop for 5 s",
    ),
    (
        {"last_exit": Exit("failure", 2.0, error="ValueError: no\nsuch", message="Charge")},
        "   last exit: failure 2.0 s ago: ValueError: no\\nsuch in Charge",
    ),
]


@pytest.mark.parametrize(("fields", "text"), DETAILS)
def test_a_line_below(fields: dict[str, Any], text: str) -> None:
    assert worker(**fields).render() == f"Worker w [running]\n{text}"


TYPES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, [SLOTS, GRANTED]),
    (
        {"max_size": None, "slots": {"idle": 1, "leased": 2}, "opened": 4, "closed": 1},
        ["   slots: 1 idle, 2 leased (no limit); opened 4, closed 1", GRANTED],
    ),
    (
        {"budget": "conns", "permits": 2},
        ["   slots: none (at most 4, 2 now by budget conns); opened 0, closed 0", GRANTED],
    ),
    ({"suspended": True}, [SLOTS, GRANTED, "   suspended: acquires wait until it is resumed"]),
    ({"overdue": 1}, [SLOTS, GRANTED, "   leases overdue: 1, leaked: 0"]),
    ({"leaked": 2}, [SLOTS, GRANTED, "   leases overdue: 0, leaked: 2"]),
    (
        {"refused": {"timeout": 3, "refused": 1}},
        [SLOTS, GRANTED, "   acquires refused: 3 timeout, 1 refused"],
    ),
    (
        {"depends_on": [DependencyNode("db", "OSError: no"), DependencyNode("cache")]},
        [SLOTS, GRANTED, "   depends on: db (down: OSError: no), cache"],
    ),
    ({"abandoned_threads": 1}, [SLOTS, GRANTED, "   abandoned threads: 1"]),
    ({"errors": {"open": 2, "close": 1}}, [SLOTS, GRANTED, "   failed hooks: 2 open, 1 close"]),
    (
        {
            "last_errors": [
                HookError("open", "OSError: no", 1.0),
                HookError("check", "ValueError: bad", 2.0),
                HookError("open", "OSError: no", 3.0),
            ]
        },
        [
            SLOTS,
            GRANTED,
            "   last error: open: OSError: no (1.0 s ago, and 1 times before)",
            "   last error: check: ValueError: bad (2.0 s ago)",
        ],
    ),
    (
        {
            "leased": 5,
            "leases": [
                LeaseNode("db:a", 90.0, "task 'report'", "/app/x.py:3 in report"),
                LeaseNode("db:b", 2.0, "", ""),
                LeaseNode("db:c", 1.0, "", ""),
            ],
        },
        [
            SLOTS,
            GRANTED,
            "   lease db:a 1 min 30 s by task 'report' at /app/x.py:3 in report",
            "   lease db:b 2.000 s",
            "   … and 3 more leases",
        ],
    ),
    (
        {
            "waiting": 3,
            "oldest_wait": 4.0,
            "queue": [
                TicketNode("db", 4.0, 26.0, "task 'report'"),
                TicketNode("db:x", 3.0, None),
                TicketNode("db:y", 2.0, None),
            ],
        },
        [
            SLOTS,
            "   leases granted: 0; waiting: 3 (oldest 4.000 s)",
            "   waits db 4.000 s by task 'report', gives up in 26.000 s",
            "   waits db:x 3.000 s",
            "   … and 1 more that wait",
        ],
    ),
]


@pytest.mark.parametrize(("fields", "text"), TYPES)
def test_a_resource_type(fields: dict[str, Any], text: list[str]) -> None:
    node = worker(resources=TypeNode(**{**PLAIN, **fields}))
    assert node.render(leases=2).splitlines() == ["Worker w [running]", *text]


def test_the_branches() -> None:
    inner = worker(path="b", children=[worker(path="c", current=Turn("M", 1.0)), worker(path="d")])
    tree = worker(path="a", waiting_on=["x"], children=[inner, worker(path="e")])
    assert tree.render() == (
        "Worker a [running]\n"
        "│  waits for: x\n"
        "├─ Worker b [running]\n"
        "│  ├─ Worker c [running]\n"
        "│  │     handles M for 1.000 s\n"
        "│  └─ Worker d [running]\n"
        "└─ Worker e [running]"
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [("failed", "1;31"), ("stuck", "1;31"), ("restarting", "33"), ("backing-off", "33"),
     ("starting", "33"), ("stopping", "33"), ("running", "32"), ("busy", "32"), ("stopped", "2")],
)  # fmt: skip
def test_the_colour_of_a_status(status: str, code: str) -> None:
    assert worker(status=status).render(colour=True) == f"Worker w \x1b[{code}m[{status}]\x1b[0m"


def test_the_colour_of_what_is_wrong() -> None:
    end = Exit("failure", 1.0, error="ValueError: x")
    tree = worker(status="stuck", current=Turn("M", 9.0), last_exit=end)
    assert tree.render(colour=True).splitlines()[1:] == [
        "   \x1b[1;31mhandles M for 9.000 s\x1b[0m",
        "   \x1b[33mlast exit: failure 1.0 s ago: ValueError: x\x1b[0m",
    ]
    calm = worker(current=Turn("M", 9.0), last_exit=Exit("normal", 1.0))
    assert calm.render(colour=True).splitlines()[1:] == [
        "   handles M for 9.000 s",
        "   \x1b[2mlast exit: normal 1.0 s ago\x1b[0m",
    ]


def test_an_unknown_status_is_plain() -> None:
    assert worker(status="new").render(colour=True) == "Worker w [new]"
