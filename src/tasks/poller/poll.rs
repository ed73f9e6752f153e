//! Starts polls of due users under the limits, and schedules the next poll after a failed one.
//!
//! Guards: the limits of `upstream`. A failure is recorded and changes no user's presence. Not here: good answers
//! (`answers`), backoff and outages (`failures`).

use super::effects::{Effect, PollCall, Work};
use super::org::OrgPoller;
use super::pacing::MAX_REPLANS;
use super::report::{Found, PollNow, PollResult};
use super::settings::{FLUSH_EVERY, TICK};
use super::upstream::HeldAnswer;
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::{CallError, Verdict};
use crate::policy::circuit::Cause;
use crate::policy::quota::{Refusal, Reservation, Ticket};
use crate::presence::lifecycle;
use crate::store::{PollFailure, StoreError};
use crate::tasks::poller::roster::UserKey;
use crate::time::Timestamp;

impl OrgPoller {
    /// Starts polls of one organisation while its limits allow; returns when the next one may start.
    pub(super) fn start_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.disk_full_since.is_some() {
            // An observation could not be written: no polls until there is room again.
            self.upstream.cover_on(now);
            let text = "disk full: polling is paused until there is room".to_owned();
            self.effects.push(Effect::DatabaseAnswered(Err(text)));
            return Some(now.plus(FLUSH_EVERY));
        }
        let mut questions = 0;
        loop {
            let ticket = match self.may_start(now).and_then(|()| self.affordable(now)) {
                Ok(ticket) => ticket,
                Err(until) => return until,
            };
            let upstream = &mut self.upstream;
            // A user is due: `next_due` said so with the same `room_for_failing`.
            let (user, failing) = upstream.due.pop_due(now, upstream.room_for_failing())?;
            let (user, failing) = self.choose_probe(user, failing);
            if self.tools.is_erased(self.users[user].person_id) {
                // Erased by the operator: never polled again.
                let watched = &mut self.users[user];
                (watched.gone, watched.busy) = (true, true);
                self.upstream.budget.settle(ticket, 0);
                continue;
            }
            if self.is_replan(user) {
                self.upstream.budget.settle(ticket, 0);
                let next = self.next_regular(user, now);
                self.requeue(user, next);
                self.pending.add_replanned(user);
                self.expect_planned(now);
                questions += 1;
                if questions == MAX_REPLANS {
                    return Some(now.plus(TICK));
                }
                continue;
            }
            if !self.may_poll(user) {
                // Due, but delayed until the window had closed.
                self.upstream.budget.settle(ticket, 0);
                self.requeue(user, now.plus(FLUSH_EVERY));
                continue;
            }
            self.tools.metrics.poll_began(now.since(self.users[user].due));
            self.ask(PollCall { user, failing, ticket, manual: None, began: now }, now);
        }
    }

    /// While users are refused one after the other, the probe polls the user with the newest good answer: that answer
    /// says most. The due user stays in the queue.
    fn choose_probe(&mut self, user: UserKey, failing: bool) -> (UserKey, bool) {
        if self.upstream.standing.open.is_none_or(|shut| shut.cause != Cause::Refused) {
            return (user, failing);
        }
        let best = self
            .users
            .iter()
            .filter(|(_, watched)| !watched.busy && !watched.gone)
            .filter(|(user, _)| !self.is_replan(*user) && self.may_poll(*user))
            .max_by_key(|(_, watched)| watched.last_ok);
        let Some((probe, _)) = best.filter(|(probe, _)| *probe != user) else { return (user, failing) };
        let (due, failed) = (self.users[probe].due, self.users[probe].failures > 0);
        let queue = &mut self.upstream.due;
        queue.remove(due, probe);
        queue.insert(self.users[user].due, user, failing);
        (probe, failed)
    }

    /// Whether a due poll may start; `Err`: not before then, or not before something else has happened.
    fn may_start(&mut self, now: Timestamp) -> Result<(), Option<Timestamp>> {
        let upstream = &mut self.upstream;
        // A completion wakes the loop and must not wait for a tick then.
        upstream.full = upstream.in_flight >= upstream.places() || upstream.reserving || upstream.gap_pending;
        if upstream.full {
            return Err(None);
        }
        let due = upstream.due.next_due(upstream.room_for_failing()).ok_or(None)?;
        if due > now {
            return Err(Some(due));
        }
        if let Some(until) = upstream.paused(now) {
            return Err(Some(until));
        }
        let free = upstream.limiter.next_free(now);
        if free > now { Err(Some(free)) } else { Ok(()) }
    }

    /// Takes one call from the budget; `Err(None)` while a reservation is being written.
    fn affordable(&mut self, now: Timestamp) -> Result<Ticket, Option<Timestamp>> {
        let upstream = &mut self.upstream;
        if upstream.is_month_spent() {
            // The pause is over: one probe, although DingTalk reported a spent month.
            upstream.budget.resume();
        }
        match upstream.budget.try_take(now) {
            Ok(ticket) => Ok(ticket),
            Err(Refusal::SpentUntil(until)) => {
                self.month_is_spent(until, now);
                Err(Some(until))
            }
            Err(Refusal::ReserveFirst) => {
                self.reserve(now);
                Err(None)
            }
        }
    }

    /// A call was refused because no calls are left in the month: the organisation waits until the month turns.
    pub(super) fn month_is_spent(&mut self, until: Timestamp, now: Timestamp) {
        let upstream = &mut self.upstream;
        if !upstream.is_month_spent() {
            tracing::warn!(org = %upstream.name, until = %until, "the month's calls are spent; polling stops until the month turns");
            "the month's calls are spent".clone_into(&mut upstream.error_text);
        }
        upstream.standing = upstream.standing.opened_until(Cause::MonthSpent, now, until);
        upstream.pause_until(until);
        self.alerts.check_by(now);
    }

    /// Stores that more calls are about to be made, before they are.
    pub(super) fn reserve(&mut self, now: Timestamp) {
        let upstream = &mut self.upstream;
        if upstream.reserving {
            return;
        }
        let Some(reservation) = upstream.budget.reserve(now) else { return };
        upstream.reserving = true;
        upstream.full = true;
        let calls = upstream.call_count(reservation.month, reservation.calls, now);
        self.start_work(Work::Reserve { reservation, calls });
    }

    pub(super) fn reserved(&mut self, reservation: Reservation, result: Result<(), StoreError>) {
        let now = self.now;
        let upstream = &mut self.upstream;
        upstream.reserving = false;
        match result {
            Ok(()) => upstream.budget.reserved(reservation),
            Err(error) => {
                upstream.pause_until(now.plus(FLUSH_EVERY));
                self.database_failed(&error);
            }
        }
    }

    /// Starts one poll.
    pub(super) fn ask(&mut self, poll: PollCall, now: Timestamp) {
        let user = poll.user;
        // Identical bytes may be skipped only for a settled state, and only without a gap since the last good poll.
        let fresh =
            self.users[user].last_ok.is_some_and(|last| now.since(last) <= self.stale_after(user, now));
        let watched = &mut self.users[user];
        watched.busy = true;
        let upstream = &mut self.upstream;
        // A manual poll may exceed the rate by one call; it counts all the same.
        upstream.limiter.begin();
        upstream.in_flight += 1;
        upstream.failing_in_flight += usize::from(poll.failing);
        let union_id = watched.info.identity.union_id.clone();
        let same_as =
            watched.bytes_digest.filter(|_| fresh && watched.state.is_settled() && poll.manual.is_none());
        self.start_work(Work::Poll { poll, union_id, same_as });
    }

    pub(super) fn asked(&mut self, poll: PollCall, result: Result<Answer, CallError>) {
        let now = self.now;
        let upstream = &mut self.upstream;
        upstream.in_flight -= 1;
        upstream.failing_in_flight -= usize::from(poll.failing);
        upstream.limiter.done(now);
        let cost = match &result {
            Ok(answer) => answer.calls(),
            Err(error) => error.calls,
        };
        let outcome = result.as_ref().map_or_else(|error| error.class, |_| "ok");
        self.tools.metrics.poll_ended(&upstream.name, outcome, cost, now.since(poll.began));
        let PollCall { user, ticket, manual, .. } = poll;
        upstream.budget.settle(ticket, cost);
        match result {
            Ok(answer) => self.answered_again(HeldAnswer { user, manual, answer }, now),
            Err(error) => self.failed(user, error, manual),
        }
    }

    fn failed(&mut self, user: UserKey, error: CallError, manual: Option<PollNow>) {
        let now = self.now;
        self.totals.failed += 1;
        let next = self.after_failure(user, &error, manual.is_some(), now);
        let watched = &mut self.users[user];
        self.pending.add_failure(PollFailure {
            person_id: watched.person_id,
            org: watched.info.identity.org.clone(),
            at: now,
            class: error.class,
            text: error.text.clone(),
            next_poll: next,
        });
        // One unclear answer about a user who was answered before proves nothing yet.
        let certain = watched.last_ok.is_none() || watched.refusals > 1;
        let alone = self.upstream.standing.open.is_none();
        let rejected =
            error.verdict == Verdict::UnknownUser && certain && alone && !watched.state.is_rejected();
        let report = manual.as_ref().map(|_| PollResult {
            identity: watched.info.identity.clone(),
            name: watched.info.name().to_owned(),
            recorded: false,
            found: Found::Failure(error),
        });
        self.reply(manual.zip(report), None);
        if rejected {
            let watched = &self.users[user];
            let outcome = lifecycle::rejected(&watched.state, now, &watched.info.card(), &self.tools.source);
            self.record_outcome(user, outcome, next);
        } else {
            self.requeue(user, next);
        }
    }
}
