//! Starting calls: who is due, under the limits; and what a failed one means for the next.
//!
//! Guards: the limits of `upstream`. A failure is noted, waited for, and changes nobody's presence. Deliberately not here:
//! good answers (`settle`).

use std::time::Duration;

use super::report::{Found, LookNow, LookReport};
use super::roster::Watched;
use super::{Done, Poller};
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::{CallError, Verdict};
use crate::policy::quota::{Refusal, Reservation, Ticket};
use crate::policy::{backoff, pace};
use crate::presence::upkeep;
use crate::store::{Miss, StoreError, Usage};
use crate::time::Timestamp;

/// A banned address is let alone for as long as the ban says (`"wait":5`, minutes).
const BAN: Duration = Duration::from_mins(5);
/// Somebody DingTalk does not know is looked at again after a day.
const PARKED: Duration = Duration::from_hours(24);
/// After "the month's calls are used up", one probe in so long.
const QUOTA_PROBE: Duration = Duration::from_hours(6);

/// A call in flight.
#[derive(Debug)]
pub(super) struct Call {
    /// Whose look.
    pub(super) person: u32,
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
        loop {
            let upstream = &mut self.upstreams[index];
            // A completion wakes the loop and must not wait for a tick then.
            upstream.full = upstream.in_flight >= upstream.concurrency || upstream.reserving;
            if upstream.full {
                return None;
            }
            let due = upstream.due.next_due(upstream.room_for_suspects())?;
            if due > now {
                return Some(due);
            }
            if let Some(until) = upstream.paused(now) {
                return Some(until);
            }
            let free = upstream.limiter.next_free(now);
            if free > now {
                return Some(free);
            }
            let ticket = match self.affordable(index, now) {
                Ok(ticket) => ticket,
                Err(until) => return until,
            };
            let upstream = &mut self.upstreams[index];
            // Somebody is due: `next_due` said so with the same room for suspects.
            let (person, suspect) = upstream.due.pop_due(now, upstream.room_for_suspects())?;
            self.tools.metrics.poll_began(now.since(self.people[person as usize].due));
            self.ask(Call { person, suspect, ticket, manual: None, began: now }, now);
        }
    }

    /// Whether one more call may be made: `Err(None)` while a reservation is being written.
    fn affordable(&mut self, index: usize, now: Timestamp) -> Result<Ticket, Option<Timestamp>> {
        let upstream = &mut self.upstreams[index];
        match upstream.budget.try_take(now) {
            Ok(ticket) => Ok(ticket),
            Err(Refusal::SpentUntil(until)) => {
                if upstream.trouble != Some("budget") {
                    upstream.trouble = Some("budget");
                    tracing::warn!(org = %upstream.name, until = %until, "the month's calls are spent; polling stops until the month turns");
                }
                upstream.pause_until(until);
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
            let result = store.set_usage(org, reservation.month.to_string(), usage, limit, projected).await;
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
        let fresh = self.people[person as usize]
            .last_ok
            .is_some_and(|last| now.since(last) <= self.stale_after(person, now));
        let watched = &mut self.people[person as usize];
        watched.busy = true;
        let upstream = &mut self.upstreams[watched.upstream];
        // A look by hand may be one too many for the second; it counts all the same.
        let _ = upstream.limiter.try_start(now);
        upstream.in_flight += 1;
        upstream.suspects_in_flight += usize::from(call.suspect);
        let client = upstream.client.clone();
        let union_id = watched.who.identity.union_id.clone();
        let same_as =
            watched.bytes_digest.filter(|_| fresh && watched.belief.settled() && call.manual.is_none());
        self.running.start(async move {
            let result = client.ongoing(&union_id, same_as).await;
            Done::Asked { call, result }
        });
    }

    pub(super) fn asked(&mut self, call: Call, result: Result<Answer, CallError>) {
        let Call { person, suspect, ticket, manual, began } = call;
        let took = self.tools.clock.now().since(began);
        let index = self.people[person as usize].upstream;
        let upstream = &mut self.upstreams[index];
        upstream.in_flight -= 1;
        upstream.suspects_in_flight -= usize::from(suspect);
        match result {
            Ok(answer) => {
                self.tools.metrics.poll_ended(&upstream.name, "ok", answer.calls(), took);
                if let Some(at) = upstream.client.token_expiry() {
                    self.tools.metrics.token_expires(&upstream.name, at);
                }
                upstream.budget.settle(ticket, answer.calls());
                self.answered(person, answer, manual);
            }
            Err(error) => {
                self.tools.metrics.poll_ended(&upstream.name, error.class, error.calls, took);
                upstream.budget.settle(ticket, error.calls);
                self.failed(person, error, manual);
            }
        }
    }

    fn failed(&mut self, person: u32, error: CallError, manual: Option<LookNow>) {
        let now = self.tools.clock.now();
        self.totals.failed += 1;
        let next = self.after_failure(person, &error, now);
        let watched = &mut self.people[person as usize];
        self.misses.push(Miss {
            person_id: watched.person_id,
            org: watched.who.identity.org.clone(),
            at: now,
            class: error.class,
            text: error.text.clone(),
            next_poll: next,
        });
        let rejected = error.verdict == Verdict::UnknownUser && !watched.belief.is_rejected();
        Self::reply(manual, || LookReport {
            identity: watched.who.identity.clone(),
            name: watched.who.name().to_owned(),
            recorded: false,
            found: Found::Failure(error),
        });
        if rejected {
            let outcome =
                upkeep::rejected(&watched.belief, now, &watched.who.card(), self.tools.store.source());
            self.record_outcome(person, outcome, next);
        } else {
            self.requeue(person, next);
        }
    }

    /// When to look at this person again, and what the organisation does until then.
    fn after_failure(&mut self, person: u32, error: &CallError, now: Timestamp) -> Timestamp {
        let watched = &mut self.people[person as usize];
        let upstream = &mut self.upstreams[watched.upstream];
        let step = &self.settings.backoff;
        let wait = |attempt: u32, key: u64| {
            let grown = backoff::delay(attempt, step.initial, step.max, step.factor, key);
            now.plus(error.retry_after.map_or(grown, |asked| asked.max(grown)))
        };
        let key = watched.phase.key();
        let whole_organisation = match error.verdict {
            Verdict::Throttled { pause } => Some(now.plus(error.retry_after.unwrap_or(pause).max(pause))),
            Verdict::ThrottledThisMinute => Some(next_minute(now)),
            Verdict::QuotaSpent => Some(upstream.budget.month_ends_at(now).min(now.plus(QUOTA_PROBE))),
            Verdict::Banned => Some(now.plus(BAN)),
            Verdict::MaybeBanned => {
                upstream.troubles += 1;
                let once = upstream.troubles == 1;
                Some(if once { now.plus(step.initial.min(BAN)) } else { now.plus(step.max.min(BAN)) })
            }
            Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured => {
                upstream.troubles += 1;
                Some(wait(upstream.troubles, key))
            }
            Verdict::UnknownUser | Verdict::Outage | Verdict::Unreachable => None,
        };
        if matches!(error.verdict, Verdict::Throttled { .. } | Verdict::ThrottledThisMinute) {
            upstream.throttled += 1;
            upstream.limiter.throttled(now);
        }
        log_trouble(upstream, watched, error);
        if matches!(error.verdict, Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured) {
            upstream.health.token(Err(error.class.to_owned()));
        }
        match whole_organisation {
            Some(until) if matches!(error.verdict, Verdict::Banned | Verdict::MaybeBanned) => {
                // The address is banned, not the organisation: everybody waits.
                self.upstreams.iter_mut().for_each(|upstream| upstream.pause_until(until));
                until
            }
            Some(until) => {
                upstream.pause_until(until);
                until
            }
            None if error.verdict == Verdict::UnknownUser => {
                // Not before a day has passed, each at a time of their own.
                pace::next_look(now.plus(PARKED / 2), PARKED, watched.phase)
            }
            None => {
                watched.failures += 1;
                wait(watched.failures, key)
            }
        }
    }
}

/// One line when trouble begins or changes its kind.
fn log_trouble(upstream: &mut super::Upstream, watched: &Watched, error: &CallError) {
    let known = upstream.trouble == Some(error.class);
    match error.verdict {
        Verdict::UnknownUser => {
            tracing::warn!(org = %upstream.name, person = watched.person_id, class = error.class, "DingTalk does not know this person; looking again in a day");
        }
        _ if known => {
            tracing::debug!(org = %upstream.name, person = watched.person_id, class = error.class, text = %error.text, "a look failed");
        }
        _ => {
            upstream.trouble = Some(error.class);
            tracing::warn!(org = %upstream.name, person = watched.person_id, class = error.class, text = %error.text, request_id = error.request_id, "looks fail; nobody's presence changes");
        }
    }
}

fn next_minute(now: Timestamp) -> Timestamp {
    const MINUTE_MS: i64 = 60_000;
    Timestamp::from_ms((now.as_ms().div_euclid(MINUTE_MS) + 1).saturating_mul(MINUTE_MS))
}
