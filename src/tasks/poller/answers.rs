//! Handles good answers: extends unchanged snapshots, compares and records the others.
//!
//! Guards: the state in memory changes only after its commit; until then the user is not polled again. On a failed
//! commit the previous state is kept and the next poll produces the same events with the same ids. Not here: what
//! differs (`presence::diff`), how it is written (`store`).

use super::effects::{Change, Effect, Emitted, Seen, Work};
use super::org::OrgPoller;
use super::report::{Found, NoPoll, PollNow, PollResult};
use crate::dingtalk::client::Answer;
use crate::policy::backoff;
use crate::presence::diff::{self, Transition};
use crate::presence::event::{NewEvent, UserInfo};
use crate::presence::observation::Observation;
use crate::store::{NewSnapshot, Outgoing, Recording, StoreError};
use crate::tasks::poller::roster::UserKey;
use crate::time::Timestamp;
use crate::webhook::routing::{Subscription, recipients};

impl OrgPoller {
    pub(super) fn answered(&mut self, user: UserKey, answer: Answer, manual: Option<PollNow>) {
        let now = self.now;
        self.totals.good += 1;
        let late = now.plus(self.stale_after(user, now));
        let watched = &self.users[user];
        self.upstream.health.looked(now, late);
        tracing::trace!(
            user = watched.person_id,
            unchanged = matches!(answer, Answer::Unchanged { .. }),
            "good poll"
        );
        match answer {
            Answer::Unchanged { .. } => self.extend(user, now),
            Answer::Observed { observation, bytes_digest, .. } => {
                self.mark_unobserved(user);
                self.compare(user, observation, bytes_digest, manual);
            }
        }
    }

    /// An unchanged answer moves only times, in memory.
    fn extend(&mut self, user: UserKey, at: Timestamp) {
        let watched = &mut self.users[user];
        watched.state.record_unchanged_poll(at);
        watched.last_ok = Some(at);
        self.compare_with_poll(user, at, None);
        self.update_pacing(user, at, None, &[]);
        let next = self.next_regular(user, at);
        let watched = &mut self.users[user];
        if watched.unchanged_polls == 0 {
            self.pending.add_unchanged(user);
        }
        watched.unchanged_polls += 1;
        self.requeue(user, next);
        self.expect_planned(at);
    }

    fn compare(
        &mut self,
        user: UserKey,
        observation: Observation,
        bytes_digest: u64,
        manual: Option<PollNow>,
    ) {
        let at = observation.observed_at;
        // Nicknames that are not to be stored are removed first.
        let store_nick = self.users[user].info.store_nick;
        let observation = if store_nick { observation } else { observation.without_nicks() };
        let seen = Seen { at, digest: observation.digest(), bytes_digest };
        let folded = self.folds(user, seen.digest, at);
        let watched = &mut self.users[user];
        if folded && watched.state.is_settled() {
            watched.bytes_digest = Some(bytes_digest);
            let report = manual.as_ref().map(|_| PollResult {
                identity: watched.info.identity.clone(),
                name: watched.info.name().to_owned(),
                recorded: true,
                found: Found::Answer { observation, unchanged: true, events: Vec::new() },
            });
            self.reply(manual.zip(report), None);
            return self.extend(user, at);
        }
        let rules = self.rules_for(user, &observation);
        let watched = &self.users[user];
        let outcome =
            diff::observe(&watched.state, &observation, &watched.info.card(), &self.tools.source, &rules);
        let dry_run = manual.as_ref().is_some_and(|request| request.dry_run);
        let report = manual.as_ref().map(|_| PollResult {
            identity: watched.info.identity.clone(),
            name: watched.info.name().to_owned(),
            recorded: !dry_run,
            found: Found::Answer {
                observation: observation.clone(),
                unchanged: folded,
                events: outcome.events.iter().map(|draft| draft.event_type).collect(),
            },
        });
        let reply = manual.zip(report);
        if dry_run {
            let next = self.next_regular(user, at);
            self.reply(reply, None);
            return self.requeue(user, next);
        }
        self.compare_with_poll(user, at, Some((&observation.entries, &outcome.state)));
        self.update_pacing(user, at, Some(&outcome.state), &outcome.visits);
        let mut next = self.next_regular(user, at);
        if outcome.needs_recheck {
            next = next.min(at.plus(self.settings.min_interval));
        }
        let snapshot = (!folded).then(|| NewSnapshot {
            at,
            digest: seen.digest,
            meetings: u32::try_from(observation.entries.len()).unwrap_or(u32::MAX),
            // An observation is strings and numbers; serializing those cannot fail.
            body: serde_json::to_string(&observation.entries).unwrap_or_default(),
        });
        self.record(user, outcome, snapshot, Some(seen), next, reply);
    }

    /// Whether an answer only extends the newest snapshot: it is the same, and there is no gap before it.
    fn folds(&self, user: UserKey, digest: i64, at: Timestamp) -> bool {
        let watched = &self.users[user];
        watched.digest == Some(digest)
            && watched.last_ok.is_some_and(|last| at.since(last) <= self.stale_after(user, at))
    }

    /// Records a change of state that does not come from an answer.
    pub(super) fn record_outcome(&mut self, user: UserKey, outcome: Transition, next: Timestamp) {
        self.users[user].busy = true;
        self.record(user, outcome, None, None, next, None);
    }

    /// Records events for given webhooks.
    pub(super) fn record_addressed(
        &mut self,
        user: UserKey,
        outcome: Transition,
        events: Vec<Outgoing>,
        next: Timestamp,
    ) {
        self.users[user].busy = true;
        self.commit(user, outcome, events, None, None, next, None);
    }

    fn record(
        &mut self,
        user: UserKey,
        outcome: Transition,
        snapshot: Option<NewSnapshot>,
        seen: Option<Seen>,
        next: Timestamp,
        reply: Option<(PollNow, PollResult)>,
    ) {
        let card = self.users[user].info.card();
        let events = outgoing(&self.tools.subscriptions, outcome.events, &card);
        let outcome = Transition { events: Vec::new(), ..outcome };
        self.commit(user, outcome, events, snapshot, seen, next, reply);
    }

    /// Commits events whose recipients are already known; `outcome` has none.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one transaction; a struct would only name them again"
    )]
    fn commit(
        &mut self,
        user: UserKey,
        outcome: Transition,
        events: Vec<Outgoing>,
        snapshot: Option<NewSnapshot>,
        seen: Option<Seen>,
        next: Timestamp,
        reply: Option<(PollNow, PollResult)>,
    ) {
        let watched = &self.users[user];
        let state = outcome.state.clone();
        let now = self.now;
        let emitted: Vec<Emitted> = events.iter().map(|event| event_delay(&event.draft, now)).collect();
        let meetings = self.meetings.of_visits(&outcome.visits);
        let recording = Recording {
            person_id: watched.person_id,
            org: watched.info.identity.org.clone(),
            snapshot,
            belief: outcome.state,
            visits: outcome.visits,
            meetings,
            events,
            watched: true,
            polled_at: seen.map(|seen| seen.at),
            next_poll: Some(next),
        };
        let change = Box::new(Change { user, state, seen, events: emitted, next, reply });
        self.start_work(Work::Record { recording: Box::new(recording), change });
    }

    pub(super) fn recorded(&mut self, change: Change, result: Result<(), StoreError>) {
        let now = self.now;
        let Change { user, state, seen, events, next, reply } = change;
        let mut next = next;
        let watched = &mut self.users[user];
        match result {
            Ok(()) => {
                watched.state = state;
                self.queue_confirmations(user);
                let watched = &mut self.users[user];
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
                self.effects.push(Effect::DatabaseAnswered(Ok(())));
                if !events.is_empty() {
                    self.effects.push(Effect::Deliver);
                }
                self.reply(reply, None);
            }
            Err(error @ StoreError::NoPerson { .. }) if !watched.gone => {
                // Erased in the meantime.
                watched.gone = true;
                return self.reply(reply, Some(&error));
            }
            Err(error) => {
                watched.bytes_digest = None;
                watched.failures += 1;
                let step = &self.settings.backoff;
                let key = watched.phase.key();
                next = now.plus(backoff::delay(watched.failures, step.initial, step.max, step.factor, key));
                self.database_failed(&error);
                self.reply(reply, Some(&error));
            }
        }
        self.requeue(user, next);
        self.expect_planned(now);
    }

    /// Answers a manual poll, if one waits.
    pub(super) fn reply(&mut self, reply: Option<(PollNow, PollResult)>, failure: Option<&StoreError>) {
        if let Some((request, report)) = reply {
            let result = failure.map_or(Ok(report), |error| Err(NoPoll::NotRecorded(error.to_string())));
            self.effects.push(Effect::Reply { request, result: Box::new(result) });
        }
    }

    /// Puts a user back into the due queue.
    pub(super) fn requeue(&mut self, user: UserKey, next: Timestamp) {
        let next = self.moved_into_window(user, next);
        let watched = &mut self.users[user];
        if watched.gone {
            return self.unwatch(user);
        }
        watched.busy = false;
        watched.due = next;
        self.upstream.due.insert(next, user, watched.failures > 0);
        self.apply_meeting_answer(user);
        self.emit_pending_snapshot(user);
    }
}

/// Only events in a meeting have a time at which they happened.
fn event_delay(draft: &NewEvent, now: Timestamp) -> Emitted {
    (draft.event_type.name(), draft.conference_id.as_ref().map(|_| now.since(draft.time)))
}

/// Adds to each event the webhooks that receive it.
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
