//! Good answers: unchanged ones stretch, the others are compared and recorded.
//!
//! Guards: a belief changes in memory only after its commit; until then the person is not looked at again. A commit that
//! fails leaves the old belief standing, and the next look finds the same difference again, with the same event ids.
//! Deliberately not here: what differs (`presence::diff`), how it is written (`store`).

use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use super::report::{Found, LookNow, LookReport};
use super::{Done, Poller};
use crate::dingtalk::client::Answer;
use crate::policy::backoff;
use crate::presence::diff::{self, Transition};
use crate::presence::event::{NewEvent, UserInfo};
use crate::presence::observation::Observation;
use crate::presence::user_state::UserState;
use crate::store::{NewSnapshot, Outgoing, Recording, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::{Subscription, recipients};

/// A commit that came back.
#[derive(Debug)]
pub(super) struct Recorded {
    person: UserKey,
    result: Result<(), StoreError>,
    belief: UserState,
    seen: Option<Seen>,
    events: Vec<Told>,
    next: Timestamp,
    reply: Option<(LookNow, LookReport)>,
}

/// An event's type, and how long after it happened it was noticed, where that is known.
type Told = (&'static str, Option<Duration>);

/// What a good answer was, for the next comparison.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Timestamp,
    digest: i64,
    bytes_digest: u64,
}

impl Poller {
    pub(super) fn answered(&mut self, person: UserKey, answer: Answer, manual: Option<LookNow>) {
        let now = self.tools.clock.now();
        self.totals.good += 1;
        let late = now.plus(self.stale_after(person, now));
        let watched = &self.users[person];
        self.upstreams[watched.upstream].health.looked(now, late);
        tracing::trace!(
            person = watched.person_id,
            unchanged = matches!(answer, Answer::Unchanged { .. }),
            "a good look"
        );
        match answer {
            Answer::Unchanged { .. } => self.stretch(person, now),
            Answer::Observed { observation, bytes_digest, .. } => {
                self.note_blind_spots(person);
                self.compare(person, observation, bytes_digest, manual);
            }
        }
    }

    /// Nothing new: only times move, in memory.
    fn stretch(&mut self, person: UserKey, at: Timestamp) {
        let watched = &mut self.users[person];
        watched.belief.record_unchanged_poll(at);
        watched.last_ok = Some(at);
        self.weigh(person, at, None);
        self.tell_rule(person, at, None, &[]);
        let next = self.next_regular(person, at);
        let watched = &mut self.users[person];
        if watched.polls == 0 {
            self.stretched.push(person);
        }
        watched.polls += 1;
        let upstream = watched.upstream;
        self.requeue(person, next);
        self.expect_planned(upstream, at);
    }

    fn compare(
        &mut self,
        person: UserKey,
        observation: Observation,
        bytes_digest: u64,
        manual: Option<LookNow>,
    ) {
        let at = observation.observed_at;
        // What is not to be kept goes before anything is made of it.
        let store_nick = self.users[person].who.store_nick;
        let observation = if store_nick { observation } else { observation.without_nicks() };
        let seen = Seen { at, digest: observation.digest(), bytes_digest };
        let folded = self.folds(person, seen.digest, at);
        let watched = &mut self.users[person];
        if folded && watched.belief.is_settled() {
            watched.bytes_digest = Some(bytes_digest);
            Self::reply(manual, || LookReport {
                identity: watched.who.identity.clone(),
                name: watched.who.name().to_owned(),
                recorded: true,
                found: Found::Answer { observation, unchanged: true, events: Vec::new() },
            });
            return self.stretch(person, at);
        }
        let rules = self.rules_for(person, &observation);
        let watched = &self.users[person];
        let outcome = diff::observe(
            &watched.belief,
            &observation,
            &watched.who.card(),
            self.tools.store.source(),
            &rules,
        );
        let dry_run = manual.as_ref().is_some_and(|request| request.dry_run);
        let report = manual.as_ref().map(|_| LookReport {
            identity: watched.who.identity.clone(),
            name: watched.who.name().to_owned(),
            recorded: !dry_run,
            found: Found::Answer {
                observation: observation.clone(),
                unchanged: folded,
                events: outcome.events.iter().map(|draft| draft.event_type).collect(),
            },
        });
        let reply = manual.zip(report);
        if dry_run {
            let next = self.next_regular(person, at);
            Self::reply_with(reply, None);
            return self.requeue(person, next);
        }
        self.weigh(person, at, Some((&observation.entries, &outcome.state)));
        self.tell_rule(person, at, Some(&outcome.state), &outcome.visits);
        let mut next = self.next_regular(person, at);
        if outcome.needs_recheck {
            next = next.min(at.plus(self.settings.min_interval));
        }
        let snapshot = (!folded).then(|| NewSnapshot {
            at,
            digest: seen.digest,
            meetings: u32::try_from(observation.entries.len()).unwrap_or(u32::MAX),
            // An observation is strings and numbers; writing those as JSON cannot fail.
            body: serde_json::to_string(&observation.entries).unwrap_or_default(),
        });
        self.record(person, outcome, snapshot, Some(seen), next, reply);
    }

    /// Whether an answer only stretches the newest snapshot: the same, and not after a hole in the looking.
    fn folds(&self, person: UserKey, digest: i64, at: Timestamp) -> bool {
        let watched = &self.users[person];
        watched.digest == Some(digest)
            && watched.last_ok.is_some_and(|last| at.since(last) <= self.stale_after(person, at))
    }

    /// Something happened to a belief that no answer is behind.
    pub(super) fn record_outcome(&mut self, person: UserKey, outcome: Transition, next: Timestamp) {
        self.users[person].busy = true;
        self.record(person, outcome, None, None, next, None);
    }

    /// Something is told to somebody in particular.
    pub(super) fn record_told(
        &mut self,
        person: UserKey,
        outcome: Transition,
        events: Vec<Outgoing>,
        next: Timestamp,
    ) {
        self.users[person].busy = true;
        self.commit(person, outcome, events, None, None, next, None);
    }

    fn record(
        &mut self,
        person: UserKey,
        outcome: Transition,
        snapshot: Option<NewSnapshot>,
        seen: Option<Seen>,
        next: Timestamp,
        reply: Option<(LookNow, LookReport)>,
    ) {
        let card = self.users[person].who.card();
        let events = outgoing(&self.tools.subscriptions, outcome.events, &card);
        let outcome = Transition { events: Vec::new(), ..outcome };
        self.commit(person, outcome, events, snapshot, seen, next, reply);
    }

    /// The same with events whose receivers are already known; `outcome` has none.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one transaction; a struct would only name them again"
    )]
    fn commit(
        &mut self,
        person: UserKey,
        outcome: Transition,
        events: Vec<Outgoing>,
        snapshot: Option<NewSnapshot>,
        seen: Option<Seen>,
        next: Timestamp,
        reply: Option<(LookNow, LookReport)>,
    ) {
        let watched = &self.users[person];
        let belief = outcome.state.clone();
        let now = self.tools.clock.now();
        let told: Vec<Told> = events.iter().map(|event| noticed(&event.draft, now)).collect();
        let recording = Recording {
            person_id: watched.person_id,
            org: watched.who.identity.org.clone(),
            snapshot,
            belief: outcome.state,
            visits: outcome.visits,
            events,
            watched: true,
            polled_at: seen.map(|seen| seen.at),
            next_poll: Some(next),
        };
        let store = self.tools.store.clone();
        self.running.start(async move {
            let result = store.recorder().record(recording).await;
            Done::Recorded(Box::new(Recorded { person, result, belief, seen, events: told, next, reply }))
        });
    }

    pub(super) fn recorded(&mut self, done: Recorded) {
        let now = self.tools.clock.now();
        let Recorded { person, result, belief, seen, events, next, reply } = done;
        let mut next = next;
        let watched = &mut self.users[person];
        match result {
            Ok(()) => {
                watched.belief = belief;
                self.note_vanished(person);
                let watched = &mut self.users[person];
                if let Some(seen) = seen {
                    watched.digest = Some(seen.digest);
                    watched.bytes_digest = Some(seen.bytes_digest);
                    watched.last_ok = Some(seen.at);
                    watched.stale = false;
                }
                self.totals.events += events.len() as u64;
                for &(event_type, delay) in &events {
                    self.tools.metrics.event(event_type, delay);
                }
                self.tools.health.database(Ok(()));
                if !events.is_empty() {
                    self.tools.outbox_wake.notify_one();
                }
                Self::reply_with(reply, None);
            }
            Err(error @ StoreError::NoPerson { .. }) if !watched.gone => {
                // Forgotten meanwhile.
                watched.gone = true;
                return Self::reply_with(reply, Some(&error));
            }
            Err(error) => {
                watched.bytes_digest = None;
                watched.failures += 1;
                let step = &self.settings.backoff;
                let key = watched.phase.key();
                next = now.plus(backoff::delay(watched.failures, step.initial, step.max, step.factor, key));
                self.database_failed(&error);
                Self::reply_with(reply, Some(&error));
            }
        }
        let upstream = self.users[person].upstream;
        self.requeue(person, next);
        self.expect_planned(upstream, now);
    }

    fn reply_with(reply: Option<(LookNow, LookReport)>, failure: Option<&StoreError>) {
        if let Some((request, report)) = reply {
            if let Some(error) = failure {
                drop(request.reply.send(Err(format!("the database did not take it: {error}"))));
                return;
            }
            Self::reply(Some(request), || report);
        }
    }

    /// Back into the due-queue.
    pub(super) fn requeue(&mut self, person: UserKey, next: Timestamp) {
        let next = self.moved_into_hours(person, next);
        let watched = &mut self.users[person];
        if watched.gone {
            return self.farewell(person);
        }
        watched.busy = false;
        watched.due = next;
        self.upstreams[watched.upstream].due.insert(next, person, watched.failures > 0);
        self.take_testimony(person);
        self.tell_owed(person);
    }

    /// One line when the database stops taking what it is given.
    pub(super) fn database_failed(&self, error: &StoreError) {
        tracing::error!(%error, "the database does not take it; looks are repeated until it does");
        self.tools.health.database(Err(error.to_string()));
    }
}

/// Only what happened in a meeting happened at a time of its own.
fn noticed(draft: &NewEvent, now: Timestamp) -> Told {
    (draft.event_type.name(), draft.conference_id.as_ref().map(|_| now.since(draft.time)))
}

/// Each event with the webhooks that want it.
pub(super) fn outgoing(
    subscriptions: &[Subscription],
    events: Vec<NewEvent>,
    card: &UserInfo,
) -> Vec<Outgoing> {
    events
        .into_iter()
        .map(|draft| {
            let webhooks = recipients(subscriptions, &draft, Some(card), None);
            Outgoing { draft, webhooks }
        })
        .collect()
}
