"""The rules of supervision: one event in, a list of effects out. Erlang/OTP's, see `kinship`.

Deterministic and total over its events: anything it raises is a bug of ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.family import ALIVE, Child, Family, Mode, Phase, is_kept
from pepperpy_resources.core.family_events import Effect, Refused, Respond
from pepperpy_resources.core.kinship import (
    AutoShutdown,
    BudgetScope,
    Exit,
    ExitKind,
    Restart,
)
from pepperpy_resources.core.policy import Intensity

NOT_STARTED = Exit(ExitKind.SHUTDOWN, "it was stopped before it was started")


def begin(family: Family, _event: on.Begin, _ticket: Any) -> None:
    """Start every child there is, once."""
    if family.mode is not Mode.NEW:
        family.stale += 1
        return
    family.mode = Mode.STARTING


def end(family: Family, exit_: Exit) -> None:
    """Stop everything; who waits for the start of a child that will not be made is told."""
    family.send_all_away(exit_)
    for child in family.children.values():
        if child.phase not in ALIVE:
            fail_starters(family, child, NOT_STARTED)


def adopt(family: Family, event: on.Adopt, _ticket: Any) -> None:
    """Take in a child as it is; its failures to come count from now on."""
    if event.child.id in family.children or family.mode in (Mode.STOPPING, Mode.ENDED):
        family.stale += 1
        return
    child = family.add(event.child)
    child.number = max(child.number, event.number)
    child.born = event.number > 0
    if event.up:
        child.number = event.number  # that is how it will be heard of
        family.move(child, "adopt")
        child.up_since = family.now
        child.coming = False
    elif event.parked_until is not None:
        family.move(child, "park")
        family.due_at(child, event.parked_until)
        child.coming = False
        child.given_up = True


def started(family: Family, event: on.Started, _ticket: Any) -> None:
    """A child is up; whoever asked for it is told.

    Too late if it is being killed because it took too long, or was told to stop before.
    """
    child = current(family, event.id, event.number)
    if child is None or child.phase is not Phase.STARTING or child.verdict is not None:
        family.stale += 1
        return
    family.move(child, "up")
    child.up_since = family.now
    child.born = True
    child.added = child.asked = child.given_up = False
    if not child.leaving:  # else it comes back, if it is to
        child.coming = False
    answer(family, child.starters, child.spec.id)


def exited(family: Family, event: on.Exited, _ticket: Any) -> None:
    """A child has ended: because it was told to, in its start, or by itself."""
    child = current(family, event.id, event.number)
    if child is None:
        family.stale += 1
        return
    was = child.phase
    family.move(child, "ended")
    rested(family, child)
    child.exit = exit_ = child.verdict or event.exit
    answer(family, child.enders, child.spec.id)
    if child.leaving:
        went_down(family, child, exit_)
    elif was is Phase.STARTING:
        start_failed(family, child, exit_)
    else:
        ended_by_itself(family, child, exit_)


def rested(family: Family, child: Child) -> None:
    """Count failures anew once a child has been up for as long as the longest pause."""
    plan = family.policy.backoff
    if plan is not None and family.now - child.up_since >= plan.max:
        child.failures = 0
    child.up_since = math.nan


def went_down(family: Family, child: Child, exit_: Exit) -> None:
    """A child that had to go is gone; it comes back at its turn if it is to."""
    child.leaving = False
    if not child.coming:
        fail_starters(family, child, exit_)
        if not is_kept(family, child):
            family.drop(child)


def start_failed(family: Family, child: Child, exit_: Exit) -> None:
    """A child did not come up: the asker's trouble, the whole first start's, or one failure more.

    A restart that fails counts as a failure of the child, as in OTP.
    """
    if child.asked:
        child.coming = False
        fail_starters(family, child, exit_)
        if child.added or not is_kept(family, child):
            family.drop(child)
        elif child.given_up:
            park(family, child, exit_)
    elif family.mode is Mode.STARTING and not child.born:
        reason = f"child {child.spec.id!r} failed to start: {exit_.reason}"
        end(family, Exit(ExitKind.FAILURE, reason, exit_.error, at=family.now))
    elif child.spec.restart is Restart.TEMPORARY:  # adopted, and never up
        family.drop(child)
    else:
        fail(family, child, exit_)


def ended_by_itself(family: Family, child: Child, exit_: Exit) -> None:
    """Restart a child that nobody told to end, if its restart type says so."""
    restart = child.spec.restart
    if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and exit_.abnormal):
        fail(family, child, exit_)
        return
    if not is_kept(family, child):
        family.drop(child)
    if child.spec.significant and is_last_significant(family):
        reason = f"significant child {child.spec.id!r} ended"
        end(family, Exit(ExitKind.SHUTDOWN, reason, at=family.now))


def is_last_significant(family: Family) -> bool:
    """Tell whether the end of a significant child ends the supervisor."""
    when = family.policy.auto_shutdown
    if when is AutoShutdown.ALL_SIGNIFICANT:
        others = (child for child in family.children.values() if child.spec.significant)
        return not any(child.coming or is_staying(child) for child in others)
    return when is AutoShutdown.ANY_SIGNIFICANT


def is_staying(child: Child) -> bool:
    """Tell whether a child is alive and not about to go."""
    return child.phase in ALIVE and not child.leaving


def fail(family: Family, child: Child, exit_: Exit) -> None:
    """Restart a child that failed, and its group, while the budget lasts."""
    log = child.log or family.log
    if log is not None and not log.permits(family.now):
        exhausted(family, child, exit_, log.intensity)
        return
    for other in family.group(child):
        regroup(family, other)
    child.restarts += 1
    family.restarts += 1
    family.call(child)
    pause = backoff(family, child)
    if pause > 0:
        family.move(child, "pause")
        family.allow(child, pause)


def regroup(family: Family, other: Child) -> None:
    """Let another child of the group go down and come back; a temporary one only goes."""
    if is_kept(family, other):
        family.call(other)
        if other.phase is not Phase.WAITING:
            family.send_away(other)
    elif other.phase in ALIVE:
        other.coming = False
        family.send_away(other)


def backoff(family: Family, child: Child) -> float:
    """Return the seconds to wait before a failed child is started again."""
    plan = family.policy.backoff
    if plan is None:
        return 0.0
    child.failures += 1
    return plan.delay(child.failures, family.chance)


def exhausted(family: Family, child: Child, exit_: Exit, limit: Intensity) -> None:
    """Give up the supervisor, or where the budget is per child that child alone."""
    if family.policy.budget_scope is BudgetScope.CHILD:
        park(family, child, exit_)
        return
    often = f"more than {limit.restarts} times in {limit.period:g} s"
    reason = f"child {child.spec.id!r} failed {often}: {exit_.reason}"
    end(family, Exit(ExitKind.FAILURE, reason, exit_.error, exit_.message, family.now))


def park(family: Family, child: Child, exit_: Exit) -> None:
    """Give this child up, until it is revived by hand or in a while."""
    child.coming = False
    child.given_up = True
    family.move(child, "park")
    family.allow(child, family.policy.revive_after)
    family.effects.append(on.Park(child.spec.id, exit_))


# -- orders


def start_child(family: Family, event: on.StartChild, ticket: Any) -> None:
    """Add and start a child."""
    child = family.children.get(event.child.id)
    if child is not None:
        gone = child.phase in (Phase.DOWN, Phase.PARKED) and not child.coming
        refuse(family, ticket, Refused.ALREADY_PRESENT if gone else Refused.ALREADY_STARTED)
        return
    child = family.add(event.child)
    child.added = True
    await_start(child, ticket)


def restart_child(family: Family, event: on.RestartChild, ticket: Any) -> None:
    """Start a child that is down or parked, with its whole budget if that is its own."""
    child = idle_child(family, event.id, ticket)
    if child is not None:
        revive(family, child)
        await_start(child, ticket)


def await_start(child: Child, ticket: Any) -> None:
    """Answer this ticket, if there is one, once the child is up or has failed to be."""
    child.asked = True
    if ticket is not None:
        child.starters.append(ticket)


def revive(family: Family, child: Child) -> None:
    """Let a child come up as if it had never failed."""
    if child.phase is Phase.PARKED:
        family.move(child, "revived")
    if child.log is not None:
        child.log.clear()
    child.failures = 0
    family.call(child)


def terminate_child(family: Family, event: on.TerminateChild, ticket: Any) -> None:
    """Stop a child; it stays down until somebody or a group restart starts it."""
    child = family.children.get(event.id)
    if child is None:
        refuse(family, ticket, Refused.NOT_FOUND)
        return
    child.coming = child.given_up = False
    family.send_away(child)
    if child.leaving:
        if ticket is not None:
            child.enders.append(ticket)
        return
    fail_starters(family, child, NOT_STARTED)
    if not is_kept(family, child):
        family.drop(child)
    respond(family, ticket, event.id)


def delete_child(family: Family, event: on.DeleteChild, ticket: Any) -> None:
    """Drop the spec of a child that is down or parked."""
    child = idle_child(family, event.id, ticket)
    if child is not None:
        family.drop(child)
        respond(family, ticket, event.id)


def idle_child(family: Family, name: str, ticket: Any) -> Child | None:
    """Return a child that is neither running nor about to, or refuse."""
    child = family.children.get(name)
    if family.dynamic:
        refuse(family, ticket, Refused.SIMPLE_ONE_FOR_ONE)
    elif child is None:
        refuse(family, ticket, Refused.NOT_FOUND)
    elif child.phase in (Phase.WAITING, Phase.DOWN) and child.coming:
        refuse(family, ticket, Refused.RESTARTING)
    elif child.phase not in (Phase.DOWN, Phase.PARKED):
        refuse(family, ticket, Refused.RUNNING)
    else:
        return child
    return None


def stop(family: Family, event: on.Stop, ticket: Any) -> None:
    """Stop everything; a second stop waits for the first."""
    if ticket is not None:
        family.stoppers.append(ticket)
    if family.mode not in (Mode.STOPPING, Mode.ENDED):
        end(family, Exit(event.kind, event.reason, at=family.now))


def tick(family: Family, _event: on.FamilyTick, _ticket: Any) -> None:
    """Do what is due."""
    if family.now >= family.wake:
        family.wake = math.inf  # that call has come
    for name in family.deadlines.pop_due(family.now):
        child = family.children[name]
        if child.phase is Phase.WAITING:
            family.move(child, "due")
            family.call(child)
        elif child.phase is Phase.PARKED:
            revive(family, child)
        else:
            overdue(family, child)


def overdue(family: Family, child: Child) -> None:
    """Kill a child whose start or stop took too long."""
    if child.phase is Phase.STARTING:
        reason = f"did not start within {child.spec.start_timeout:g} s"
        child.verdict = Exit(ExitKind.FAILURE, reason, at=family.now)
    family.effects.append(on.Kill(child.spec.id, child.number))


# -- answers


def current(family: Family, name: str, number: int) -> Child | None:
    """Return the child whose current incarnation this is, None if it is over."""
    child = family.children.get(name)
    if child is None or child.number != number or child.phase not in ALIVE:
        return None
    return child


def respond(family: Family, ticket: Any, value: object) -> None:
    """Answer, if anybody asked."""
    if ticket is not None:
        family.effects.append(Respond(ticket, value))


def refuse(family: Family, ticket: Any, why: Refused) -> None:
    """Refuse an order."""
    respond(family, ticket, why)


def answer(family: Family, tickets: list[Any], value: object) -> None:
    """Answer everyone in a list, and empty it."""
    for ticket in tickets:
        respond(family, ticket, value)
    tickets.clear()


def fail_starters(family: Family, child: Child, exit_: Exit) -> None:
    """Tell those who asked for a start that there will be none."""
    child.asked = False
    answer(family, child.starters, on.StartRefused(child.spec.id, exit_))


HANDLERS: dict[type[on.FamilyEvent], Callable[[Family, Any, Any], None]] = {
    on.Begin: begin,
    on.Adopt: adopt,
    on.Started: started,
    on.Exited: exited,
    on.StartChild: start_child,
    on.RestartChild: restart_child,
    on.TerminateChild: terminate_child,
    on.DeleteChild: delete_child,
    on.Stop: stop,
    on.FamilyTick: tick,
}

ORDERS = (on.StartChild, on.RestartChild, on.TerminateChild, on.DeleteChild)


def supervise(
    family: Family,
    event: on.FamilyEvent,
    now: float,
    *,
    chance: float,
    ticket: Any = None,
) -> list[Effect]:
    """Let one event happen at `now` and return what must be done for it, in order.

    `chance` in [0, 1) is the jitter; `ticket` is who asked, answered by `Respond`. Anything raised
    is a bug.
    """
    family.now, family.chance = now, chance
    effects = family.effects = []
    if family.mode in (Mode.STOPPING, Mode.ENDED) and isinstance(event, ORDERS):
        refuse(family, ticket, Refused.STOPPING)
        return effects
    HANDLERS[type(event)](family, event, ticket)
    family.settle()
    if family.mode is Mode.ENDED:
        answer(family, family.stoppers, family.exit)
    at = family.deadlines.next()
    if at != family.wake:
        family.wake = at
        effects.append(on.WakeAt(at))
    return effects
