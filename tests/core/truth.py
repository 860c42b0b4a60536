"""The ground truth of a pool: what its events and effects, taken at their word, add up to.

Nothing here calls the core or looks into a `Pool`. Each effect is checked on the way in: may this
slot be granted, this one closed, this ticket answered? `invariants.py` then compares the sum with
the pool's own books.
"""

from __future__ import annotations

import math

from pepperpy_resources.core import effects as do
from pepperpy_resources.core import events as on
from tests.core.records import ENDED_FOR, TIMEOUTS, Queue, Slot, Ticket
from tests.core.said import Said

OUTCOMES = {do.Why.TIMEOUT: "timeout", do.Why.SUSPENDED: "timeout", do.Why.BROKEN: "error"}


class Truth(Said):
    """What has happened to one resource type, over all incarnations of its pool."""

    # -- one event

    def before(self, event: on.Event, now: float) -> None:
        """Note what the event itself says, before the pool has answered it."""
        self.now, self.event = now, event
        self.returned, self.revoking, self.due = set(), {}, set()
        self.answers = self.checks = self.opens = self.told = 0
        self.loser, self.quota = None, -1
        self.failed_now, self.touched = False, getattr(event, "resource_id", None)
        self.idle_before = len(self.where("idle"))
        self.remember()
        before = getattr(self, f"before_{type(event).__name__.lower()}", None)
        if before is not None:
            before(event)

    def observe(self, effects: list[do.Effect]) -> None:
        """Take the effects of the event in, one by one."""
        for effect in effects:
            getattr(self, f"see_{type(effect).__name__.lower()}")(effect)

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
        if isinstance(self.event, on.Acquire):
            key = self.key_of(self.event.resource_id)
            if not self.waiting(key):
                self.queues[key] = Queue(self.now)
        self.tickets[effect.ticket] = Ticket(effect)

    def see_lease(self, lease: do.Lease) -> None:
        ticket = self.answer(lease.ticket)
        asked = ticket.event if ticket is not None else self.event
        assert isinstance(asked, on.Acquire)
        assert lease.resource_id == asked.resource_id
        assert (lease.owner, lease.site) == (asked.owner, asked.site)
        assert not self.draining, "granted while draining"
        assert not self.suspended, "granted while suspended"
        slot = self.slots[lease.slot]
        assert slot.key == self.key_of(lease.resource_id)
        assert slot.resource is lease.resource
        assert self.grantable(slot), f"slot {slot.number} was not to be granted: {slot}"
        assert not asked.arguments or slot.arguments == asked.arguments, "other keywords"
        since = self.now if ticket is None else ticket.wait.since
        place = (self.place(asked, since), math.inf if ticket is None else ticket.number)
        waiting = self.waiting(slot.key)
        older = [t for t in waiting if (self.place(t.event, t.wait.since), t.number) < place]
        assert not older, f"{lease} barged past {older}"
        if slot.state == "idle":
            assert self.excess <= 0, "granted, and there are too many"
        if ticket is None and slot.state == "idle" and self.policy.order == "lifo":
            assert self.policy.keyed or slot.number == self.line()[-1], "not the last come back"
        if ticket is not None:
            assert self.now < ticket.wait.deadline, "granted past its deadline"
            if self.now - ticket.wait.since < self.policy.max_queue_delay:
                self.queues[slot.key].calm_at = self.now
            self.count["waited"] += 1
            self.seconds["wait"] += self.now - ticket.wait.since
        self.acquired += 1
        assert lease.epoch == self.acquired
        slot.state = "leased"
        slot.uses += 1
        slot.holders[lease.epoch] = self.leases[lease.epoch] = lease

    def see_ended(self, effect: do.Ended) -> None:
        lease, forced = effect.lease, isinstance(self.event, on.Evict | on.Shut)
        assert self.leases.pop(lease.epoch) == lease
        slot = self.slots[lease.slot]
        del slot.holders[lease.epoch]
        self.count["used"] += 1
        self.seconds["use"] += self.now - lease.since
        if effect.late:
            revoked = self.revoking.pop(lease.epoch, None)
            if revoked is None:
                assert isinstance(self.event, on.Evict | on.Shut)
            else:
                slot.out, slot.state = True, "detached"
                slot.revoked.add(revoked)
            self.ended[lease.epoch] = (lease.resource_id, self.now)
        else:
            assert lease.epoch == self.loser, f"{lease} ended, not {self.loser}"
            self.loser = None
        if not slot.holders:
            self.rest(slot, proved=False)
            self.returned.add(slot.number)
        elif self.draining and not forced and self.may_stay(slot):
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
        self.count[OUTCOMES.get(why, "refused")] += 1
        getattr(self, f"deny_{why}")(asked, ticket)

    def deny_timeout(self, asked: on.Acquire, ticket: Ticket | None) -> None:
        assert not self.suspended
        self.out_of_time(asked, ticket)
        if self.policy.budgeted and asked is self.event:
            self.wish = True
            key = self.key_of(asked.resource_id)
            self.wish_key = key
            self.sure_wish = self.lacks_permit(key)

    def deny_suspended(self, asked: on.Acquire, ticket: Ticket | None) -> None:
        assert self.suspended
        self.out_of_time(asked, ticket)

    def deny_overloaded(self, asked: on.Acquire, ticket: Ticket | None) -> None:
        assert ticket is not None
        key = self.key_of(asked.resource_id)
        assert key in self.stood, "shed, and the queue did not stand"
        assert self.now >= ticket.wait.since + self.policy.max_queue_delay, "shed too early"
        older = [t for t in self.waiting(key) if t.number < ticket.number]
        assert not older, f"shed before {older}"

    def out_of_time(self, asked: on.Acquire, ticket: Ticket | None) -> None:
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
        assert not self.suspended, "opened while suspended"
        self.opens += 1
        opening, key = self.where("opening"), effect.key
        assert self.size < self.max_size
        assert len(opening) < self.policy.max_opening
        assert len(self.where("abandoned")) < self.cap
        backoff = self.backoff(key)
        if self.policy.keyed:
            live = ("opening", "idle", "leased", "checking", "resetting")
            assert not self.where(*live, key=key), "one slot per key"
        else:
            assert len(opening) < backoff.limit, "opened more than slow start admits"
        assert self.now >= backoff.soonest, "opened before the backoff was over"
        filled_by = on.Sweep | on.Resize | on.Allot
        floor = self.min_idle if self.may_fill or isinstance(self.event, filled_by) else 0
        wished = self.wish and isinstance(self.event, on.Allot)
        wanted = len(self.waiting(key)) + floor + wished
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
        if isinstance(self.event, on.Sweep) and not self.checks:
            self.quota = min(len(self.due & set(self.line())), (len(self.line()) + 1) // 2)
        slot.background = self.checks < self.quota
        assert not slot.background or slot.number in self.due, "checked before its keepalive"
        if self.suspended:
            idles = slot.number not in self.came_back()
            assert slot.background or slot.suspect or not idles, "checked for a ticket"
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
        if why is do.Reason.USES:
            return slot.uses >= policy.max_uses
        if why in (do.Reason.OVERDUE, do.Reason.LEAKED):
            return why in slot.revoked
        longest = slot.number == self.line()[0] or policy.order == "fifo"
        if why is do.Reason.RESIZED:
            return self.excess > 0 and longest
        if isinstance(self.event, on.Sweep) and self.now >= slot.used + policy.idle_timeout:
            return longest and len(self.where("idle")) > self.min_idle
        full = policy.keyed and self.size >= self.cap
        return longest and full and bool(self.unserved())

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

    def see_overdue(self, effect: do.Overdue) -> None:
        lease = effect.lease
        assert isinstance(self.event, on.Tick)
        assert self.leases[lease.epoch] == lease
        assert self.hold_due(lease) <= self.now, "overdue twice, or too early"
        assert effect.revoked == (self.policy.on_overdue == "revoke")
        self.count["overdue"] += 1
        self.reported.add(lease.epoch)
        if effect.revoked:
            self.revoking[lease.epoch] = do.Reason.OVERDUE

    def see_leaked(self, effect: do.Leaked) -> None:
        assert isinstance(self.event, on.Reclaim)
        assert self.leases[effect.lease.epoch] == effect.lease
        assert effect.lease.epoch in self.revoking
        self.count["leaked"] += 1

    def see_suspended(self, effect: do.Suspended) -> None:
        assert isinstance(self.event, on.Suspend if effect.suspended else on.Resume)
        assert effect.suspended == self.suspended
        self.saved_suspended = effect.suspended

    def see_resized(self, effect: do.Resized) -> None:
        assert isinstance(self.event, on.Resize | on.Allot)
        assert effect == do.Resized(self.cap, self.min_idle, self.permits)
        self.saved_limits = effect

    def see_demand(self, effect: do.Demand) -> None:
        assert self.policy.budgeted
        assert effect != self.demand or isinstance(self.event, on.Inquire), "told twice"
        self.told += 1
        self.demand = effect

    def see_report(self, effect: do.Report) -> None:
        assert isinstance(self.event, on.Tick)
        assert effect.what == "hook overdue"
