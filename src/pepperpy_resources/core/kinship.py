"""What supervision needs to know of a supervisor and of its children: flags, numbers, ends.

The words and rules are those of Erlang/OTP's `supervisor`. Durations are seconds.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pepperpy_resources.core.policy import Backoff, Intensity


class Strategy(StrEnum):
    """Who is restarted when one child fails."""

    ONE_FOR_ONE = "one_for_one"  # that child
    ONE_FOR_ALL = "one_for_all"  # all of them
    REST_FOR_ONE = "rest_for_one"  # that child and those started after it
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"  # that child; all are made from one spec


class Restart(StrEnum):
    """When a child that ended by itself is restarted."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # after a failure; not after a normal end or a shutdown
    TEMPORARY = "temporary"  # never, and its spec is dropped


class AutoShutdown(StrEnum):
    """When the end of significant children ends their supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class BudgetScope(StrEnum):
    """Whose failures the restart intensity counts, and who is given up when it is exceeded."""

    SUPERVISOR = "supervisor"  # all together; the supervisor, as in OTP
    CHILD = "child"  # each its own; that child is parked and its siblings never notice


class ExitKind(StrEnum):
    """How an incarnation ended."""

    NORMAL = "normal"  # it was done
    SHUTDOWN = "shutdown"  # it was told to, or said so
    FAILURE = "failure"  # it raised, or its start failed, or it gave up
    KILLED = "killed"  # it was not asked


class Exit(msgspec.Struct, frozen=True):
    """The end of one incarnation."""

    kind: ExitKind
    reason: str = ""  # in words
    error: BaseException | None = None
    message: str = ""  # the type of the message whose turn it was
    at: float = 0.0

    @property
    def abnormal(self) -> bool:
        """True where a transient child is restarted."""
        return self.kind is ExitKind.FAILURE or self.kind is ExitKind.KILLED


class Named(msgspec.Struct, frozen=True):
    """Gives a child's id the first place in every spec."""

    id: str


class ChildPolicy(Named, frozen=True, kw_only=True):
    """What the decisions about one child rest on.

    `shutdown`: seconds a child has to end when it is told to, before it is killed: 0 kills at
    once, infinity waits for ever. `start_timeout`: seconds until a start that is not acknowledged
    has failed.
    """

    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0
    start_timeout: float = 30.0
    significant: bool = False
    supervises: bool = False  # counted as a supervisor, not as a worker


class FamilyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's flags; `intensity` None: restarts are not limited; `backoff` None: at once.

    `revive_after`: seconds until a parked child is tried again.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity | None = Intensity()
    backoff: Backoff | None = None
    budget_scope: BudgetScope = BudgetScope.SUPERVISOR
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    revive_after: float = float("inf")
