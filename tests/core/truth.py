"""The ground truth of a pool: what its events and effects, taken at their word, add up to.

Nothing here calls the core or looks into a `Pool`. Each effect is checked on the way in: may this
slot be granted, this one closed, this ticket answered? `invariants.py` then compares the sum with
the pool's own books.
"""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from tests.core.records import ENDED_FOR, HOOKS, TIMEOUTS, Records, Slot, Ticket


class Truth(Records):
    """What has happened to one resource type, over all incarnations of its pool."""

    # -- one event

    def before(self, event: on.Event, now: float) -> None:
        """Note what the event itself says, before the pool has answered it."""
        self.now, self.event = now, event
        self.returned = set()
        self.answers = self.checks = 0
        self.loser = None
        before = getattr(self, f"before_{type(event).__name__.lower()}", None)
        if before is not None:
            before(event)

    def observe(self, effects: list[do.Effect]) -> None:
        """Take the effects of the event in, one by one."""
        for effect in effects:
            getattr(self, f"see_{type(effect).__name__.lower()}")(effect)

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
        self.rest(slot)
        backoff = self.backoff(slot.key)
        backoff.failures = 0
        backoff.limit = min(2 * backoff.limit, policy.max_opening)

    def before_openfailed(self, event: on.OpenFailed) -> None:
        slot = self.outcome(event.slot, "open")
        if slot is not None and slot.state == "opening" and not self.draining:
            self.failed(slot.key, event.chance)

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

    def before_sweep(self, _: on.Sweep) -> None:
        self.count["cleanup janitor"] += 1

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

    def before_drain(self, event: on.Event) -> None:
        """Note that nobody is served any more; creations that run are called off."""
        if isinstance(event, on.Drain):
            self.ignoring = event.ignoring
        for slot in self.where("opening"):
            slot.due = self.now + self.policy.close_timeout
        self.draining, self.filling = True, False

    def before_shut(self, event: on.Shut) -> None:
        if not self.draining:
            self.before_drain(event)
        self.shut = True

    # -- what effects say

    def answer(self, number: int) -> Ticket | None:
        """Note an answer: exactly one to each ticket, exactly one to each asker."""
        if number == 0:
            assert self.answers < 1, "the asker of this event was answered twice"
            self.answers = 1
            return None
        assert number not in self.answered, f"ticket {number} was answered before"
        self.answered.add(number)
        return self.tickets.pop(number)

    def see_wait(self, effect: do.Wait) -> None:
        assert effect.ticket > self.last_ticket, "a ticket number was used twice"
        assert self.answers == 0, "the asker was answered and yet is to wait"
        self.answers = 1
        self.last_ticket = effect.ticket
        if isinstance(self.event, on.Acquire):
            timeout = self.event.timeout
            timeout = self.policy.acquire_timeout if timeout is None else timeout
            assert effect.deadline == (self.now + timeout if timeout > 0 else math.inf)
        assert effect.event is self.event
        assert effect.since == self.now
        self.tickets[effect.ticket] = Ticket(effect)

    def see_lease(self, lease: do.Lease) -> None:
        ticket = self.answer(lease.ticket)
        asked = ticket.event if ticket is not None else self.event
        assert isinstance(asked, on.Acquire)
        assert lease.resource_id == asked.resource_id
        assert (lease.owner, lease.site) == (asked.owner, asked.site)
        assert not self.draining, "granted while draining"
        slot = self.slots[lease.slot]
        assert slot.key == self.key_of(lease.resource_id)
        assert slot.resource is lease.resource
        assert self.grantable(slot), f"slot {slot.number} was not to be granted: {slot}"
        assert not asked.arguments or slot.arguments == asked.arguments, "other keywords"
        older = [t for t in self.waiting(slot.key) if ticket is None or t.number < ticket.number]
        assert not older, f"{lease} barged past {older}"
        if ticket is not None:
            assert self.now < ticket.wait.deadline, "granted past its deadline"
            self.count["waited"] += 1
            self.seconds["wait"] += self.now - ticket.wait.since
        self.acquired += 1
        assert lease.epoch == self.acquired
        slot.state = "leased"
        slot.holders[lease.epoch] = self.leases[lease.epoch] = lease

    def see_ended(self, effect: do.Ended) -> None:
        lease = effect.lease
        assert self.leases.pop(lease.epoch) == lease
        slot = self.slots[lease.slot]
        del slot.holders[lease.epoch]
        self.count["used"] += 1
        self.seconds["use"] += self.now - lease.since
        if effect.late:
            assert isinstance(self.event, (on.Evict, on.Shut))
            self.ended[lease.epoch] = (lease.resource_id, self.now)
        else:
            assert lease.epoch == self.loser, f"{lease} ended, not {self.loser}"
            self.loser = None
        if not slot.holders:
            self.rest(slot, proved=False)
            self.returned.add(slot.number)
        elif self.draining and not effect.late and self.may_stay(slot):
            self.seen_gone(slot)  # only the drainer's own leases are left on it

    def see_deny(self, effect: do.Deny) -> None:
        why = effect.why
        if why is do.Why.NOT_LEASED:
            assert self.answers == -1, "refused a release of something leased"
            self.answers = 1
            return
        ticket = self.answer(effect.ticket)
        asked = ticket.event if ticket is not None else self.event
        if isinstance(asked, on.Ready):
            assert why is do.Why.CLOSED
            assert self.draining
            return
        assert isinstance(asked, on.Acquire)
        assert effect.resource_id == asked.resource_id
        outcome = {do.Why.TIMEOUT: "timeout", do.Why.BROKEN: "error"}.get(why, "refused")
        self.count[outcome] += 1
        getattr(self, f"deny_{why}")(asked, ticket)

    def deny_timeout(self, asked: on.Acquire, ticket: Ticket | None) -> None:
        assert ticket is not None
        unwilling = asked.timeout is not None and asked.timeout <= 0
        assert ticket.wait.deadline <= self.now or unwilling, "denied before its deadline"

    def deny_queue_full(self, asked: on.Acquire, _: Ticket | None) -> None:
        assert asked is self.event, "a ticket that was let in is not thrown out again"
        key = self.key_of(asked.resource_id)
        assert len(self.waiting(key)) >= len(self.where("opening", key=key)), "it was promised one"
        assert len(self.waiting()) + 1 > self.policy.max_waiting

    def deny_closed(self, asked: on.Acquire, _: Ticket | None) -> None:
        assert self.draining

    def deny_in_use(self, asked: on.Acquire, _: Ticket | None) -> None:
        assert not self.policy.keyed
        assert self.in_use(asked.resource_id)

    def deny_keywords(self, asked: on.Acquire, _: Ticket | None) -> None:
        key = asked.resource_id
        assert asked.arguments
        attached = [s for s in self.slots.values() if s.key == key and s.state != "detached"]
        queued = [t.event for t in self.waiting(key)]
        known = [x.arguments for x in (*attached, *queued)]
        assert any(arguments != asked.arguments for arguments in known)

    def deny_broken(self, asked: on.Acquire, _: Ticket | None) -> None:
        attempts = self.policy.backoff.attempts
        fatal = isinstance(self.event, on.OpenFailed) and self.event.fatal
        failures = self.backoff(self.key_of(asked.resource_id)).failures
        assert fatal or (attempts is not None and failures >= attempts)

    def see_drop(self, effect: do.Drop) -> None:
        assert self.event == on.Cancel(effect.ticket)
        ticket = self.tickets.pop(effect.ticket)
        self.answered.add(effect.ticket)  # it must not be answered any more
        self.count["cancelled"] += isinstance(ticket.event, on.Acquire)

    def see_answer(self, effect: do.Answer) -> None:
        ticket = self.answer(effect.ticket)
        assert ticket is not None
        assert not isinstance(ticket.event, on.Acquire)
        assert not ticket.awaits, f"answered before {ticket.awaits} are gone"

    def see_open(self, effect: do.Open) -> None:
        assert effect.slot > self.last_slot, "a slot number was used twice"
        self.last_slot = effect.slot
        assert not self.draining
        opening, key = self.where("opening"), effect.key
        assert self.size < self.policy.max_size
        assert len(opening) < self.policy.max_opening
        assert len(self.where("abandoned")) < self.policy.max_size
        backoff = self.backoff(key)
        if self.policy.keyed:
            live = ("opening", "idle", "leased", "checking", "resetting")
            assert not self.where(*live, key=key), "one slot per key"
        else:
            assert self.now >= backoff.retry_at, "opened before the backoff was over"
            assert len(opening) < backoff.limit, "opened more than slow start admits"
        floor = self.policy.min_idle if self.filling or isinstance(self.event, on.Sweep) else 0
        wanted = len(self.waiting(key)) + floor
        assert len(self.where("opening", key=key)) < wanted, "a creation for nobody"
        slot = Slot(effect.slot, key, effect.arguments, self.now)
        slot.due = self.now + self.policy.create_timeout
        self.slots[effect.slot] = slot

    def hook(self, slot: Slot, state: str, hook: str) -> None:
        """Note that a hook was started on the slot."""
        slot.state, slot.running = state, hook
        slot.due = self.now + getattr(self.policy, TIMEOUTS[state])
        slot.saved_hook = hook

    def see_check(self, effect: do.Check) -> None:
        slot = self.slots[effect.slot]
        assert self.policy.has_check
        assert slot.state == "idle"
        self.checks += 1
        self.hook(slot, "checking", "check")

    def see_reset(self, effect: do.Reset) -> None:
        slot = self.slots[effect.slot]
        assert self.policy.has_reset
        assert slot.state == "idle"
        assert effect.slot in self.returned
        assert self.fit(slot)
        self.hook(slot, "resetting", "reset")

    def see_close(self, effect: do.Close) -> None:
        slot = self.slots[effect.slot]
        slot.closes += 1
        assert slot.closes == 1, "closed twice"
        assert slot.opened
        assert not slot.holders, "closed under its holder"
        self.count[f"closed {effect.why}"] += 1
        overdue = isinstance(self.event, on.Tick) and slot.due <= self.now
        if slot.state in ("checking", "resetting") and overdue:
            self.bad(slot, "check" if slot.state == "checking" else "reset", lost=False)
        assert self.justified(slot, effect.why), f"no reason to close as {effect.why}: {slot}"
        if slot.running is not None:
            self.overtaken.append((slot.number, slot.running))
        if slot.state == "abandoned":
            slot.running = "close"  # the ledger goes on to call it abandoned
            return
        self.hook(slot, "closing", "close")

    def justified(self, slot: Slot, why: do.Reason) -> bool:
        """Tell whether there was this reason to close this slot now."""
        if why is do.Reason.LIFETIME:
            return self.now >= slot.expires
        if why is do.Reason.SHUTDOWN:
            return self.draining
        if why is do.Reason.CLEANUP:
            return slot.out or slot.broken
        if why is do.Reason.BROKEN:
            return slot.broken or not slot.valid
        policy = self.policy
        if isinstance(self.event, on.Sweep) and self.now >= slot.good_at + policy.idle_timeout:
            return len(self.where("idle")) > policy.min_idle
        return policy.keyed and self.size >= policy.max_size and bool(self.unserved())

    def see_abandon(self, effect: do.Abandon) -> None:
        slot = self.slots[effect.slot]
        assert slot.running in ("open", "close")
        slot.saved_hook = "abandoned"
        if slot.due > self.now:  # called off by a drain, but still waited for
            assert self.draining
            assert slot.state == "opening"
            return
        assert isinstance(self.event, on.Tick)
        if slot.state == "opening":
            self.failed(slot.key, 0.5)
        else:
            self.count["error close"] += 1
            slot.counted = True
        slot.state, slot.due = "abandoned", math.inf
        self.seen_gone(slot)

    def see_gone(self, effect: do.Gone) -> None:
        slot = self.past[effect.slot] = self.slots.pop(effect.slot)
        assert slot.running is None, "struck off while a hook runs"
        assert isinstance(self.event, on.OpenFailed | on.Closed)
        assert self.event.slot == effect.slot
        self.seen_gone(slot)

    def seen_gone(self, slot: Slot) -> None:
        """Note that those who wait for this slot need wait no more."""
        for ticket in self.tickets.values():
            ticket.awaits.discard(slot.number)

    def see_idle(self, effect: do.Idle) -> None:
        slot = self.slots[effect.slot]
        assert slot.state == "idle"
        slot.saved_hook = None

    def see_doom(self, effect: do.Doom) -> None:
        self.slots[effect.slot].saved_doomed = True

    def see_forget(self, effect: do.Forget) -> None:
        name, at = self.ended.pop(effect.epoch)
        if isinstance(self.event, on.Sweep):
            assert at + ENDED_FOR <= self.now, "forgotten too early"
        else:
            assert isinstance(self.event, on.Release | on.Discard)
            assert name == self.event.resource_id

    def see_wake(self, effect: do.Wake) -> None:
        assert effect.at < self.armed, "a later Wake would replace the timer of an earlier one"
        self.armed = effect.at

    def see_report(self, effect: do.Report) -> None:
        assert isinstance(self.event, on.Tick)
        assert effect.what == "hook overdue"

    def before_tick(self, _: on.Tick) -> None:
        self.armed = math.inf  # it fired

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
        return on.Restore(saved, tickets, ended, self.last_slot, self.last_ticket, chance)

    def before_restore(self, event: on.Restore) -> None:
        policy = self.policy
        self.armed = math.inf
        self.draining = self.shut = False
        self.filling, self.ready = policy.min_idle > 0, policy.min_idle == 0
        self.backoffs = {}
        self.ended = {epoch: (name, self.now) for epoch, (name, _) in self.ended.items()}
        for slot in self.slots.values():
            slot.valid = slot.valid and not slot.saved_doomed
            slot.out = slot.out or slot.saved_doomed
            slot.broken = slot.broken or slot.saved_doomed
            slot.good_at = self.now
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
