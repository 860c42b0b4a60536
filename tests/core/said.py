"""What events say to the ground truth, before the pool has answered them."""

from __future__ import annotations

import math

import msgspec

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from pepperpy_resources.core.policy import Policy
from tests.core.records import HOOKS, INTERVAL, TIMEOUTS, Queue, Records, Slot


class Said(Records):
    """What has been told to one resource type."""

    def remember(self) -> None:
        """Note what time alone has changed: queues that stand now, failures of long ago."""
        target = self.policy.max_queue_delay
        for key, queue in self.queues.items():
            if not self.waiting(key):
                queue.standing = False
            elif not queue.standing and self.now >= queue.calm_at + INTERVAL * target:
                queue.standing, queue.stands_at = True, queue.calm_at + INTERVAL * target
        self.stood = {key for key, queue in self.queues.items() if queue.standing}
        for key, backoff in self.backoffs.items():
            if self.policy.keyed and self.now >= backoff.forget_at and self.unknown(key):
                backoff.sure = 0

    def unknown(self, key: str | None) -> bool:
        """Tell whether neither a ticket nor a slot keeps a key in mind."""
        slots = [s for s in self.slots.values() if s.key == key]
        return not self.waiting(key) and all(s.state in ("detached", "abandoned") for s in slots)

    # -- what events say

    def before_cancel(self, event: on.Cancel) -> None:
        ticket = self.tickets.get(event.ticket)
        if ticket is None:
            self.count["stale"] += 1

    def before_release(self, event: on.Release | on.Discard) -> None:
        lease = self.resolve(event)
        self.loser = lease.epoch if lease is not None else None

    def before_discard(self, event: on.Discard) -> None:
        self.count["error use"] += event.error is not None
        lease = self.resolve(event)
        if lease is None:
            return
        self.loser = lease.epoch
        slot = self.slots[lease.slot]
        slot.broken = True
        if event.lost:
            self.invalidate(slot)
        if len(slot.holders) > 1 and slot.state == "leased":
            slot.state = "detached"

    def resolve(self, event: on.Release | on.Discard) -> do.Lease | None:
        """Return the lease the message means; count it if it comes too late."""
        name, epoch = event.resource_id, event.epoch
        bare = epoch is None
        if epoch is None:
            epoch = self.bare_epoch(name)
        lease = self.leases.get(epoch)
        if lease is not None and lease.resource_id == name:
            return lease
        if (epoch in self.ended and self.ended[epoch][0] == name) or (
            not bare and 0 < epoch <= self.acquired
        ):
            self.count["stale"] += 1
        else:
            self.answers = -1  # NOT_LEASED is due
        return None

    def bare_epoch(self, name: str) -> int:
        """Return the lease that a release without an epoch means."""
        live = [e for e, lease in self.leases.items() if lease.resource_id == name]
        ended = [e for e, (n, _) in self.ended.items() if n == name]
        if not self.policy.keyed:
            return next(iter([] if name == self.policy.name else live + ended), 0)
        return next(iter(live or ended), 0)

    def outcome(self, number: int, hook: str) -> Slot | None:
        """Return the slot whose hook has ended, or None where it was waited for no longer."""
        slot = self.slots.get(number)
        if slot is None or slot.running != hook:
            self.count["stale"] += 1
            return None
        slot.running = None
        slot.due = math.inf
        return slot

    def before_opened(self, event: on.Opened) -> None:
        slot = self.outcome(event.slot, "open")
        if slot is None:
            return
        self.count["opened"] += 1
        self.seconds["open"] += self.now - slot.began
        slot.resource, slot.opened = event.resource, True
        if slot.state == "abandoned":
            slot.broken = True
            return
        policy = self.policy
        slot.expires = self.now + policy.max_lifetime * (1 - policy.lifetime_jitter * event.chance)
        slot.chance = event.chance
        self.rest(slot)
        backoff = self.backoff(slot.key)
        backoff.failures = backoff.sure = 0
        backoff.forget_at = backoff.soonest
        backoff.limit = min(2 * backoff.limit, policy.max_opening)

    def before_openfailed(self, event: on.OpenFailed) -> None:
        slot = self.outcome(event.slot, "open")
        if slot is not None and slot.state == "opening" and not self.draining:
            self.failed(slot.key, event.chance)
            self.failed_now, self.touched = True, slot.key

    def before_checkpassed(self, event: on.CheckPassed) -> None:
        slot = self.outcome(event.slot, "check")
        if slot is not None:
            slot.suspect = False
            self.rest(slot)

    def before_checkfailed(self, event: on.CheckFailed) -> None:
        slot = self.outcome(event.slot, "check")
        if slot is not None:
            self.bad(slot, "check", lost=event.lost)

    def before_resetdone(self, event: on.ResetDone) -> None:
        slot = self.outcome(event.slot, "reset")
        if slot is None:
            return
        if event.error is None:
            self.rest(slot)
        else:
            self.bad(slot, "reset", lost=event.lost)

    def before_closed(self, event: on.Closed) -> None:
        slot = self.outcome(event.slot, "close")
        if slot is not None and event.error is not None and not slot.counted:
            self.count["error close"] += 1

    def before_tick(self, _: on.Tick) -> None:
        self.armed = math.inf  # it fired

    def before_sweep(self, _: on.Sweep) -> None:
        self.count["cleanup janitor"] += 1
        self.due = {s.number for s in self.where("idle") if s.quiet_at <= self.now}

    def before_suspect(self, _: on.Suspect) -> None:
        for slot in self.where("idle"):
            slot.suspect = self.policy.has_check

    def before_evict(self, event: on.Evict) -> None:
        self.count["cleanup call"] += 1
        self.matched = self.matching(event.pattern)
        for slot in self.matched:
            if slot.state in ("abandoned", "closing"):
                continue
            if slot.state == "leased" and not event.force:
                slot.state = "detached"
            slot.out = True

    def before_suspend(self, _: on.Suspend) -> None:
        self.suspended = self.suspended or not self.draining

    def before_resume(self, _: on.Resume) -> None:
        self.suspended = False

    def before_resize(self, event: on.Resize) -> None:
        self.cap = self.cap if event.max_size is None else event.max_size
        self.min_idle = self.min_idle if event.min_idle is None else event.min_idle

    def before_allot(self, event: on.Allot) -> None:
        self.permits = event.permits

    def before_reclaim(self, event: on.Reclaim) -> None:
        self.revoking = {e: do.Reason.LEAKED for e in event.epochs if e in self.leases}
        self.count["stale"] += len(event.epochs) - len(self.revoking)

    def before_drain(self, event: on.Event) -> None:
        """Note that nobody is served any more; creations that run are called off."""
        if isinstance(event, on.Drain):
            self.ignoring = event.ignoring
        for slot in self.where("opening"):
            slot.due = self.now + self.policy.close_timeout
        self.draining, self.filling, self.may_fill = True, False, False
        self.suspended = False

    def before_shut(self, event: on.Shut) -> None:
        if not self.draining:
            self.before_drain(event)
        self.shut = True

    # -- a crash

    def restore(self, chance: float) -> on.Restore:
        """Return what the performer's ledger would, and forget what only the machine knew."""
        saved = tuple(
            on.SavedSlot(
                slot.number,
                slot.saved_hook,
                slot.saved_doomed,
                slot.key,
                slot.arguments,
                slot.began,
                slot.resource,
                tuple(slot.holders.values()),
            )
            for slot in self.slots.values()
        )
        tickets = tuple(ticket.wait for ticket in self.waiting())
        ended = tuple((epoch, name, self.now) for epoch, (name, _) in self.ended.items())
        return on.Restore(
            saved,
            tickets,
            ended,
            self.last_slot,
            self.last_ticket,
            chance,
            self.saved_suspended,
            self.saved_limits.permits if self.saved_limits is not None else None,
        )

    def reborn(self) -> Policy:
        """Return the policy of the next incarnation: its limits are those of the ledger."""
        limits = self.saved_limits
        if limits is None:
            return self.policy
        return msgspec.structs.replace(
            self.policy, max_size=limits.max_size, min_idle=limits.min_idle
        )

    def before_restore(self, event: on.Restore) -> None:
        policy = self.policy
        self.armed = math.inf
        self.draining = self.shut = False
        self.suspended, self.wish, self.sure_wish = event.suspended, False, False
        self.demand = None
        self.filling, self.ready = self.min_idle > 0, self.min_idle == 0
        self.may_fill = self.filling
        self.backoffs = {}
        self.queues = {self.key_of(t.resource_id): Queue(self.now) for t in self.waiting()}
        if policy.on_overdue == "report":
            overdue = [x.epoch for x in self.leases.values() if self.hold_due(x) <= self.now]
            self.reported.update(overdue)
        self.ended = {epoch: (name, self.now) for epoch, (name, _) in self.ended.items()}
        for slot in self.slots.values():
            slot.valid = slot.valid and not slot.saved_doomed
            slot.out = slot.out or slot.saved_doomed
            slot.broken = slot.broken or slot.saved_doomed
            slot.good_at = slot.used = self.now
            slot.quiet_at = self.now if policy.keepalive < math.inf else math.inf
            slot.uses, slot.chance, slot.background = 0, event.chance, False
            self.turns += 1
            slot.turn = self.turns
            slot.expires = slot.began + policy.max_lifetime * (
                1 - policy.lifetime_jitter * event.chance
            )
            if slot.saved_hook == "abandoned":
                slot.state, slot.due = "abandoned", math.inf
            elif slot.state in HOOKS:
                slot.due = self.now + getattr(policy, TIMEOUTS[slot.state])
            elif slot.holders:
                slot.state = "detached" if slot.saved_doomed else "leased"
            else:
                slot.suspect = policy.has_check
