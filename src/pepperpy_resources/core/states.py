"""The transition table: every state a slot can be in, and every move it can make.

    Opening ──opened──▶ Idle ──grant──▶ Leased ──release──▶ Idle
       │                 │  ▲             │ │ ╲──reset──▶ Resetting ──cleaned──▶ Idle
       │               check│             │ ╰─detach─▶ Detached (out, never handed out again)
       │                 ▼  │passed       │
       │               Checking           │
       │                 │                │
       ├──failed──▶ gone ╰──── close ─────┴──▶ Closing ──closed──▶ gone
       ╰──overdue─▶ Abandoned ──ended──▶ gone     ╰──overdue──▶ Abandoned

A move that a row does not name is illegal there: looking it up raises `KeyError` and changes
nothing. The pool makes only legal moves, so a `KeyError` is a bug of ours; an *outcome* of a hook
that finds no row came too late and is counted, not obeyed (law 8).
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What a slot is doing."""

    # Enum's own hash is Python code, and every move of a slot looks two states up.
    __hash__ = str.__hash__

    OPENING = "opening"  # the factory runs
    IDLE = "idle"  # ready to be leased
    CHECKING = "checking"  # the check hook runs
    LEASED = "leased"  # held by at least one borrower
    RESETTING = "resetting"  # the reset hook runs
    CLOSING = "closing"  # the close hook runs
    DETACHED = "detached"  # held, but taken out by cleanup: closed when it comes back
    ABANDONED = "abandoned"  # a hook ignored its deadline; not counted against max_size
    GONE = "gone"


# Module constants: reading a member through its Enum class is slow before Python 3.12.
OPENING, IDLE, CHECKING, LEASED = State.OPENING, State.IDLE, State.CHECKING, State.LEASED
RESETTING, CLOSING, DETACHED = State.RESETTING, State.CLOSING, State.DETACHED
ABANDONED, GONE = State.ABANDONED, State.GONE

Row = dict[State, State]

TRANSITIONS: dict[str, Row] = {
    # move       from       to
    "opened": {OPENING: IDLE, ABANDONED: ABANDONED},
    "failed": {OPENING: GONE, ABANDONED: GONE},
    "grant": {IDLE: LEASED, LEASED: LEASED},
    "check": {IDLE: CHECKING},
    "passed": {CHECKING: IDLE},
    "release": {LEASED: IDLE},
    "reset": {LEASED: RESETTING},
    "cleaned": {RESETTING: IDLE},
    "detach": {LEASED: DETACHED},
    "close": {
        IDLE: CLOSING,
        CHECKING: CLOSING,
        LEASED: CLOSING,
        RESETTING: CLOSING,
        DETACHED: CLOSING,
    },
    "overdue": {OPENING: ABANDONED, CLOSING: ABANDONED},
    "closed": {CLOSING: GONE, ABANDONED: GONE},
}

GRANT, RELEASE = TRANSITIONS["grant"], TRANSITIONS["release"]
OPENED, FAILED, CLOSED = TRANSITIONS["opened"], TRANSITIONS["failed"], TRANSITIONS["closed"]
CHECK, PASSED = TRANSITIONS["check"], TRANSITIONS["passed"]
RESET, CLEANED = TRANSITIONS["reset"], TRANSITIONS["cleaned"]
# What the table says of the two moves that every lease makes.
LENT, LAID_BY = GRANT[IDLE], RELEASE[LEASED]
CLOSE, DETACH, OVERDUE = TRANSITIONS["close"], TRANSITIONS["detach"], TRANSITIONS["overdue"]
