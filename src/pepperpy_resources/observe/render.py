"""The tree as text: one line for each node, what else there is to know of it below that line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pepperpy_resources.observe.words import TONES, Tone, clean, paint, span

if TYPE_CHECKING:
    from pepperpy_resources.observe.node import Exit, Node, TypeNode

Detail = tuple[Tone, str]

FINE = 3  # digits of durations that are compared with timeouts


def render(node: Node, *, leases: int, colour: bool) -> str:
    """Return the text, with at most `leases` leases and as many tickets of each type."""
    return "\n".join(lines(node, "", "", leases, colour=colour))


def lines(node: Node, lead: str, below: str, leases: int, *, colour: bool) -> Iterator[str]:
    """Yield the lines of a node and all under it."""
    yield lead + headline(node, colour=colour)
    bar = "│  " if node.children else "   "
    for tone, text in details(node, leases):
        yield below + bar + paint(clean(text), tone, colour=colour)
    last = len(node.children) - 1
    for place, child in enumerate(node.children):
        corner, beside = ("└─ ", "   ") if place == last else ("├─ ", "│  ")
        yield from lines(child, below + corner, below + beside, leases, colour=colour)


def headline(node: Node, *, colour: bool = False) -> str:
    """Return a node's first line."""
    status = paint(f"[{node.status}]", TONES.get(node.status, ""), colour=colour)
    return "  ".join([f"{clean(f'{node.kind} {node.path}')} {status}", *figures(node)])


def figures(node: Node) -> Iterator[str]:
    """Yield what the first line says beside the status; nothing of what there is nothing of."""
    if node.strategy:
        yield node.strategy
    if node.children_restarts_left is not None:
        left = node.children_restarts_left
        yield f"children restarted {node.children_restarts} (left {left})"
    elif node.children_restarts:
        yield f"children restarted {node.children_restarts}"
    yield from traffic(node)
    yield from life(node)


def traffic(node: Node) -> Iterator[str]:
    """Yield what is said of messages."""
    if node.incarnation:
        yield f"messages {node.messages}"
    if node.mailbox:
        yield f"mailbox {node.mailbox} (oldest {span(node.oldest, FINE)}, high {node.mailbox_high})"
    elif node.mailbox_high:
        yield f"mailbox 0 (high {node.mailbox_high})"
    if node.dead_letters:
        yield f"dead letters {node.dead_letters}"
    if node.late_replies:
        yield f"late replies {node.late_replies}"


def life(node: Node) -> Iterator[str]:
    """Yield what is said of restarts and age."""
    if node.restarts_left is not None:
        yield f"restarts {node.restarts} (left {node.restarts_left})"
    elif node.restarts:
        yield f"restarts {node.restarts}"
    if node.restart_in is not None:
        yield f"next in {span(node.restart_in)}"
    if node.incarnation > 1:
        yield f"incarnation {node.incarnation}"
    if node.uptime:
        yield f"up {span(node.uptime)}"


def details(node: Node, leases: int) -> Iterator[Detail]:
    """Yield the lines below the first."""
    if node.current is not None:
        tone: Tone = "bad" if node.status == "stuck" else ""
        yield tone, f"handles {node.current.message} for {span(node.current.elapsed, FINE)}"
    if node.waiting_on:
        yield "warn", f"waits for: {', '.join(node.waiting_on)}"
    if node.resources is not None:
        yield from type_details(node.resources, leases)
    if node.last_exit is not None:
        tone = "warn" if node.last_exit.kind in ("failure", "killed") else "dim"
        yield tone, f"last exit: {ending(node.last_exit)}"


def ending(end: Exit) -> str:
    """Return how an incarnation ended, in one line."""
    text = f"{end.kind} {span(end.ago)} ago"
    why = ": ".join(part for part in (end.reason, end.error) if part)
    if why:
        text += f": {why}"
    return f"{text} in {end.message}" if end.message else text


def type_details(node: TypeNode, leases: int) -> Iterator[Detail]:
    """Yield the lines about a type's slots, queue, leases and failures."""
    limit = "no limit" if node.max_size is None else f"at most {node.max_size:g}"
    if node.budget:
        limit += f", {node.permits} now by budget {node.budget}"
    slots = ", ".join(f"{n} {state}" for state, n in node.slots.items()) or "none"
    yield "", f"slots: {slots} ({limit}); opened {node.opened}, closed {node.closed}"
    queue = f"leases granted: {node.acquired}; waiting: {node.waiting}"
    yield "", queue + (f" (oldest {span(node.oldest_wait, FINE)})" if node.waiting else "")
    yield from troubles(node)
    for lease in node.leases[:leases]:
        holder = f" by {lease.owner}" if lease.owner else ""
        site = f" at {lease.site}" if lease.site else ""
        yield "", f"lease {lease.resource_id} {span(lease.age, FINE)}{holder}{site}"
    if node.leased > leases:
        yield "", f"… and {node.leased - min(leases, len(node.leases))} more leases"
    for ticket in node.queue[:leases]:
        owner = f" by {ticket.owner}" if ticket.owner else ""
        left = "" if ticket.left is None else f", gives up in {span(ticket.left, FINE)}"
        yield "", f"waits {ticket.resource_id} {span(ticket.age, FINE)}{owner}{left}"
    if node.waiting > leases:
        yield "", f"… and {node.waiting - min(leases, len(node.queue))} more that wait"


def troubles(node: TypeNode) -> Iterator[Detail]:
    """Yield what is wrong with a type, if anything."""
    if node.suspended:
        yield "warn", "suspended: acquires wait until it is resumed"
    if node.overdue or node.leaked:
        yield "warn", f"leases overdue: {node.overdue}, leaked: {node.leaked}"
    if node.refused:
        yield "", f"acquires refused: {tally(node.refused)}"
    if node.depends_on:
        needs = (f"{x.name} (down: {x.down})" if x.down else x.name for x in node.depends_on)
        down = any(x.down for x in node.depends_on)
        yield "bad" if down else "", f"depends on: {', '.join(needs)}"
    if node.abandoned_threads:
        yield "bad", f"abandoned threads: {node.abandoned_threads}"
    if node.errors:
        yield "", f"failed hooks: {tally(node.errors)}"
    alike: dict[tuple[str, str], list[float]] = {}
    for failed in node.last_errors:
        alike.setdefault((failed.hook, failed.error), []).append(failed.ago)
    for (hook, error), agos in alike.items():
        times = f", and {len(agos) - 1} times before" if len(agos) > 1 else ""
        yield "warn", f"last error: {hook}: {error} ({span(agos[0])} ago{times})"


def tally(counts: dict[str, int]) -> str:
    """Return counts by their names, in one line."""
    return ", ".join(f"{n} {name}" for name, n in counts.items())
