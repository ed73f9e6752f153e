//! Handles good answers: extends unchanged snapshots, compares and records the others.
//!
//! Guards: the state in memory changes only after its commit; until then the user is not polled again. On a failed
//! commit the previous state is kept and the next poll produces the same events with the same ids. Not here: what
//! differs (`presence::diff`), how it is written (`store`).

use super::effects::{Change, Effect, Seen};
use super::gaps::HeldAnswer;
use super::report::{Found, PollNow, PollResult};
use super::roster::UserKey;
use super::settings::FLUSH_EVERY;
use super::state::OrgState;
use super::sweep::compare_with_poll;
use super::{confirm, failures, mass_absence, pacing, queue, record, schedule};
use crate::dingtalk::client::Answer;
use crate::policy::backoff;
use crate::presence::diff;
use crate::presence::observation::Observation;
use crate::store::{NewSnapshot, StoreError};
use crate::tasks::alerts::SystemEvent;
use crate::time::Timestamp;

pub(super) fn answered(org: &mut OrgState, user: UserKey, answer: Answer, manual: Option<PollNow>) {
    let now = org.now;
    org.totals.good += 1;
    let late = now.plus(schedule::stale_after(org, user, now));
    let watched = &org.users[user];
    org.health.looked(now, late);
    tracing::trace!(
        user = watched.person_id,
        unchanged = matches!(answer, Answer::Unchanged { .. }),
        "good poll"
    );
    match answer {
        Answer::Unchanged { .. } => extend(org, user, now),
        Answer::Observed { observation, bytes_digest, .. } => {
            failures::mark_unobserved(org, user);
            compare(org, user, observation, bytes_digest, manual);
        }
    }
}

/// An unchanged answer moves only times, in memory.
fn extend(org: &mut OrgState, user: UserKey, at: Timestamp) {
    let watched = &mut org.users[user];
    watched.state.record_unchanged_poll(at);
    watched.last_ok = Some(at);
    compare_with_poll::compare_with_poll(org, user, at, None);
    queue::update_pacing(org, user, at, None, &[]);
    let next = schedule::next_regular(org, user, at);
    let watched = &mut org.users[user];
    if watched.unchanged_polls == 0 {
        org.pending.add_unchanged(user);
    }
    watched.unchanged_polls += 1;
    queue::requeue(org, user, next);
    pacing::expect_planned(org, at);
}

fn compare(
    org: &mut OrgState,
    user: UserKey,
    observation: Observation,
    bytes_digest: u64,
    manual: Option<PollNow>,
) {
    let at = observation.observed_at;
    // Nicknames that are not to be stored are removed first.
    let store_nick = org.users[user].info.store_nick;
    let observation = if store_nick { observation } else { observation.without_nicks() };
    let seen = Seen { at, digest: observation.digest(), bytes_digest };
    let folded = folds(org, user, seen.digest, at);
    let watched = &mut org.users[user];
    if folded && watched.state.is_settled() {
        watched.bytes_digest = Some(bytes_digest);
        let report = manual.as_ref().map(|_| PollResult {
            identity: watched.info.identity.clone(),
            name: watched.info.name().to_owned(),
            recorded: true,
            found: Found::Answer { observation, unchanged: true, events: Vec::new() },
        });
        record::reply(org, manual.zip(report), None);
        return extend(org, user, at);
    }
    let rules = mass_absence::rules_for(org, user, &observation);
    let watched = &org.users[user];
    let outcome =
        diff::observe(&watched.state, &observation, &watched.info.card(), &org.tools.source, &rules);
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
        let next = schedule::next_regular(org, user, at);
        record::reply(org, reply, None);
        return queue::requeue(org, user, next);
    }
    compare_with_poll::compare_with_poll(org, user, at, Some((&observation.entries, &outcome.state)));
    queue::update_pacing(org, user, at, Some(&outcome.state), &outcome.visits);
    let mut next = schedule::next_regular(org, user, at);
    if outcome.needs_recheck {
        next = next.min(at.plus(org.settings.min_interval));
    }
    let snapshot = (!folded).then(|| NewSnapshot {
        at,
        digest: seen.digest,
        meetings: u32::try_from(observation.entries.len()).unwrap_or(u32::MAX),
        // An observation is strings and numbers; serializing those cannot fail.
        body: serde_json::to_string(&observation.entries).unwrap_or_default(),
    });
    record::record(org, user, outcome, snapshot, Some(seen), next, reply);
}

/// Whether an answer only extends the newest snapshot: it is the same, and there is no gap before it.
fn folds(org: &OrgState, user: UserKey, digest: i64, at: Timestamp) -> bool {
    let watched = &org.users[user];
    watched.digest == Some(digest)
        && watched.last_ok.is_some_and(|last| at.since(last) <= schedule::stale_after(org, user, at))
}

pub(super) fn recorded(org: &mut OrgState, change: Change, result: Result<(), StoreError>) {
    let now = org.now;
    let Change { user, state, seen, events, next, reply } = change;
    let mut next = next;
    let watched = &mut org.users[user];
    match result {
        Ok(()) => {
            watched.state = state;
            confirm::queue_confirmations(org, user);
            let watched = &mut org.users[user];
            if let Some(seen) = seen {
                watched.digest = Some(seen.digest);
                watched.bytes_digest = Some(seen.bytes_digest);
                watched.last_ok = Some(seen.at);
                watched.stale = false;
            }
            org.totals.events += events.len() as u64;
            for &(event_type, delay) in &events {
                org.tools.metrics.event(event_type, delay);
            }
            org.effects.push(Effect::DatabaseAnswered(Ok(())));
            if !events.is_empty() {
                org.effects.push(Effect::Deliver);
            }
            record::reply(org, reply, None);
        }
        Err(error @ StoreError::NoPerson { .. }) if !watched.gone => {
            // Erased in the meantime.
            watched.gone = true;
            return record::reply(org, reply, Some(&error));
        }
        Err(error) => {
            watched.bytes_digest = None;
            watched.failures += 1;
            let step = &org.settings.backoff;
            let key = watched.phase.key();
            next = now.plus(backoff::delay(watched.failures, step.initial, step.max, step.factor, key));
            org.database_failed(&error);
            record::reply(org, reply, Some(&error));
        }
    }
    queue::requeue(org, user, next);
    pacing::expect_planned(org, now);
}

pub(super) fn emitted(org: &mut OrgState, result: Result<(), StoreError>) {
    if let Err(error) = result {
        org.alerts.failed(org.now.plus(FLUSH_EVERY));
        return org.database_failed(&error);
    }
    org.effects.push(Effect::Deliver);
    if let Some(SystemEvent::Gap { .. }) = org.alerts.emitted() {
        release(org);
    }
}

/// Compares the answers that waited for the gap.
fn release(org: &mut OrgState) {
    for HeldAnswer { user, manual, answer } in org.gaps.release() {
        answered(org, user, answer, manual);
    }
}
