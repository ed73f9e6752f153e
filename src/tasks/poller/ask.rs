//! Starting calls: who is due, under the limits; and what a failed one means for the next.
//!
//! Guards: the limits of `upstream`. A failure is noted, waited for, and changes nobody's presence. Deliberately not here:
//! good answers (`settle`), what follows from a failure (`standing`).

use super::pacing::MOST_QUESTIONS;
use super::report::{Found, LookNow, LookReport};
use super::standing::Held;
use super::{Done, Poller};
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::{CallError, Verdict};
use crate::policy::circuit::Cause;
use crate::policy::quota::{Refusal, Reservation, Ticket};
use crate::presence::lifecycle;
use crate::store::{PollFailure, StoreError, Usage};
use crate::tasks::poller::roster::UserKey;
use crate::time::Timestamp;

/// A call in flight.
#[derive(Debug)]
pub(super) struct Call {
    /// Whose look.
    pub(super) person: UserKey,
    /// Their last look failed.
    pub(super) suspect: bool,
    /// What it takes from the month.
    pub(super) ticket: Ticket,
    /// Who waits for it.
    pub(super) manual: Option<LookNow>,
    /// When it was sent on its way.
    pub(super) began: Timestamp,
}

impl Poller {
    /// Starts calls of one organisation while its limits allow; returns when the next one may start.
    pub(super) fn start_due(&mut self, index: usize, now: Timestamp) -> Option<Timestamp> {
        if self.tools.store.health().is_disk_full() {
            // What is seen now could not be written down: nobody is looked at before there is room again.
            self.upstreams[index].cover_on(now);
            self.tools.health.database(Err("disk full: polling is paused until there is room".to_owned()));
            return Some(now.plus(super::FLUSH_EVERY));
        }
        let mut questions = 0;
        loop {
            let ticket = match self.may_start(index, now).and_then(|()| self.affordable(index, now)) {
                Ok(ticket) => ticket,
                Err(until) => return until,
            };
            let upstream = &mut self.upstreams[index];
            // Somebody is due: `next_due` said so with the same room for suspects.
            let (person, suspect) = upstream.due.pop_due(now, upstream.room_for_suspects())?;
            let (person, suspect) = self.probed_instead(index, person, suspect);
            if self.tools.store.erasures().is_erased(self.users[person].person_id) {
                // Forgotten on the operator's word: nobody asks about them again.
                let watched = &mut self.users[person];
                (watched.gone, watched.busy) = (true, true);
                self.upstreams[index].budget.settle(ticket, 0);
                continue;
            }
            if self.is_question(person) {
                self.upstreams[index].budget.settle(ticket, 0);
                let next = self.next_regular(person, now);
                self.requeue(person, next);
                self.replanned.push(person);
                self.expect_planned(index, now);
                questions += 1;
                if questions == MOST_QUESTIONS {
                    return Some(now.plus(super::TICK));
                }
                continue;
            }
            if !self.may_look(person) {
                // Due, but held up until the window had closed.
                self.upstreams[index].budget.settle(ticket, 0);
                self.requeue(person, now.plus(super::FLUSH_EVERY));
                continue;
            }
            self.tools.metrics.poll_began(now.since(self.users[person].due));
            self.ask(Call { person, suspect, ticket, manual: None, began: now }, now);
        }
    }

    /// While users are refused one after the other, the probe polls the user who was answered well last: that user's
    /// answer says most. Whoever was due keeps the place in the queue.
    fn probed_instead(&mut self, index: usize, person: UserKey, suspect: bool) -> (UserKey, bool) {
        if self.upstreams[index].standing.open.is_none_or(|shut| shut.cause != Cause::Refused) {
            return (person, suspect);
        }
        let best = self
            .users
            .iter()
            .filter(|(_, watched)| watched.upstream == index && !watched.busy && !watched.gone)
            .filter(|(person, _)| !self.is_question(*person) && self.may_look(*person))
            .max_by_key(|(_, watched)| watched.last_ok);
        let Some((probe, _)) = best.filter(|(probe, _)| *probe != person) else { return (person, suspect) };
        let (due, failed) = (self.users[probe].due, self.users[probe].failures > 0);
        let queue = &mut self.upstreams[index].due;
        queue.remove(due, probe);
        queue.insert(self.users[person].due, person, suspect);
        (probe, failed)
    }

    /// Whether somebody is due whose call may start: `Err`: not before then, or not before something else has happened.
    fn may_start(&mut self, index: usize, now: Timestamp) -> Result<(), Option<Timestamp>> {
        let upstream = &mut self.upstreams[index];
        // A completion wakes the loop and must not wait for a tick then.
        upstream.full = upstream.in_flight >= upstream.places() || upstream.reserving || upstream.gap_untold;
        if upstream.full {
            return Err(None);
        }
        let due = upstream.due.next_due(upstream.room_for_suspects()).ok_or(None)?;
        if due > now {
            return Err(Some(due));
        }
        if let Some(until) = upstream.paused(now) {
            return Err(Some(until));
        }
        let free = upstream.limiter.next_free(now);
        if free > now { Err(Some(free)) } else { Ok(()) }
    }

    /// Whether one more call may be made: `Err(None)` while a reservation is being written.
    fn affordable(&mut self, index: usize, now: Timestamp) -> Result<Ticket, Option<Timestamp>> {
        let upstream = &mut self.upstreams[index];
        if upstream.is_month_spent() {
            // The pause is over: one probe, whatever DingTalk said last.
            upstream.budget.resume();
        }
        match upstream.budget.try_take(now) {
            Ok(ticket) => Ok(ticket),
            Err(Refusal::SpentUntil(until)) => {
                if !upstream.is_month_spent() {
                    tracing::warn!(org = %upstream.name, until = %until, "the month's calls are spent; polling stops until the month turns");
                }
                upstream.standing = upstream.standing.opened_until(Cause::MonthSpent, now, until);
                upstream.pause_until(until);
                self.next_alarm = now;
                Err(Some(until))
            }
            Err(Refusal::ReserveFirst) => {
                self.reserve(index, now);
                Err(None)
            }
        }
    }

    /// Writes down that more calls are about to be made, before they are.
    pub(super) fn reserve(&mut self, index: usize, now: Timestamp) {
        let upstream = &mut self.upstreams[index];
        if upstream.reserving {
            return;
        }
        let Some(reservation) = upstream.budget.reserve(now) else { return };
        upstream.reserving = true;
        upstream.full = true;
        let usage = Usage { used: reservation.calls, throttled: upstream.throttled };
        let (store, org, limit) = (self.tools.store.clone(), upstream.name.clone(), upstream.budget.limit());
        let projected = upstream.projected(now);
        self.running.start(async move {
            let result =
                store.call_usage().set(org, reservation.month.to_string(), usage, limit, projected).await;
            Done::Reserved { upstream: index, reservation, result }
        });
    }

    pub(super) fn reserved(
        &mut self,
        index: usize,
        reservation: Reservation,
        result: Result<(), StoreError>,
    ) {
        let now = self.tools.clock.now();
        let upstream = &mut self.upstreams[index];
        upstream.reserving = false;
        match result {
            Ok(()) => upstream.budget.reserved(reservation),
            Err(error) => {
                upstream.pause_until(now.plus(super::FLUSH_EVERY));
                self.database_failed(&error);
            }
        }
    }

    /// Sends one call on its way.
    pub(super) fn ask(&mut self, call: Call, now: Timestamp) {
        let person = call.person;
        // Only a settled belief is indifferent to seeing the same bytes again, and only without a hole in the looking.
        let fresh =
            self.users[person].last_ok.is_some_and(|last| now.since(last) <= self.stale_after(person, now));
        let watched = &mut self.users[person];
        watched.busy = true;
        let upstream = &mut self.upstreams[watched.upstream];
        // A look by hand may be one too many for the second; it counts all the same.
        upstream.limiter.begin();
        upstream.in_flight += 1;
        upstream.suspects_in_flight += usize::from(call.suspect);
        let client = upstream.client.clone();
        let union_id = watched.who.identity.union_id.clone();
        let same_as =
            watched.bytes_digest.filter(|_| fresh && watched.belief.is_settled() && call.manual.is_none());
        self.running.start(async move {
            let result = client.ongoing(&union_id, same_as).await;
            Done::Asked { call, result }
        });
    }

    pub(super) fn asked(&mut self, call: Call, result: Result<Answer, CallError>) {
        let now = self.tools.clock.now();
        let index = self.users[call.person].upstream;
        let upstream = &mut self.upstreams[index];
        upstream.in_flight -= 1;
        upstream.suspects_in_flight -= usize::from(call.suspect);
        upstream.limiter.done(now);
        let cost = match &result {
            Ok(answer) => answer.calls(),
            Err(error) => error.calls,
        };
        let outcome = result.as_ref().map_or_else(|error| error.class, |_| "ok");
        self.tools.metrics.poll_ended(&upstream.name, outcome, cost, now.since(call.began));
        if let Some(at) = upstream.client.token_expiry() {
            self.tools.metrics.token_expires(&upstream.name, at);
        }
        let Call { person, ticket, manual, .. } = call;
        upstream.budget.settle(ticket, cost);
        match result {
            Ok(answer) => self.is_well(Held { person, manual, answer }, now),
            Err(error) => self.failed(person, error, manual),
        }
    }

    fn failed(&mut self, person: UserKey, error: CallError, manual: Option<LookNow>) {
        let now = self.tools.clock.now();
        self.totals.failed += 1;
        let next = self.after_failure(person, &error, now);
        let watched = &mut self.users[person];
        self.misses.push(PollFailure {
            person_id: watched.person_id,
            org: watched.who.identity.org.clone(),
            at: now,
            class: error.class,
            text: error.text.clone(),
            next_poll: next,
        });
        // One odd answer about a user who was answered well before proves nothing yet.
        let certain = watched.last_ok.is_none() || watched.refusals > 1;
        let alone = self.upstreams[watched.upstream].standing.open.is_none();
        let rejected =
            error.verdict == Verdict::UnknownUser && certain && alone && !watched.belief.is_rejected();
        Self::reply(manual, || LookReport {
            identity: watched.who.identity.clone(),
            name: watched.who.name().to_owned(),
            recorded: false,
            found: Found::Failure(error),
        });
        if rejected {
            let outcome =
                lifecycle::rejected(&watched.belief, now, &watched.who.card(), self.tools.store.source());
            self.record_outcome(person, outcome, next);
        } else {
            self.requeue(person, next);
        }
    }
}
