//! Commits changes of a user's state, with their events.
//!
//! Guards: a user whose change is being committed is busy, so is not polled. Not here: what follows from a commit
//! (`answers`), what changes (`presence`).

use super::effects::{Change, Effect, Emitted, Seen, Work};
use super::report::{NoPoll, PollNow, PollResult};
use super::roster::UserKey;
use super::state::OrgState;
use crate::presence::diff::Transition;
use crate::presence::event::{NewEvent, UserInfo};
use crate::presence::lifecycle;
use crate::store::{NewSnapshot, Outgoing, Recording, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::{Subscription, recipients};

/// Records a change of state that does not come from an answer.
pub(super) fn record_outcome(org: &mut OrgState, user: UserKey, outcome: Transition, next: Timestamp) {
    org.users[user].busy = true;
    record(org, user, outcome, None, None, next, None);
}

/// Records events for given webhooks.
pub(super) fn record_addressed(
    org: &mut OrgState,
    user: UserKey,
    outcome: Transition,
    events: Vec<Outgoing>,
    next: Timestamp,
) {
    org.users[user].busy = true;
    commit(org, user, outcome, events, None, None, next, None);
}

pub(super) fn record(
    org: &mut OrgState,
    user: UserKey,
    outcome: Transition,
    snapshot: Option<NewSnapshot>,
    seen: Option<Seen>,
    next: Timestamp,
    reply: Option<(PollNow, PollResult)>,
) {
    let card = org.users[user].info.card();
    let events = outgoing(&org.tools.subscriptions, outcome.events, &card);
    let outcome = Transition { events: Vec::new(), ..outcome };
    commit(org, user, outcome, events, snapshot, seen, next, reply);
}

/// Commits events whose recipients are already known; `outcome` has none.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one transaction; a struct would only name them again"
)]
fn commit(
    org: &mut OrgState,
    user: UserKey,
    outcome: Transition,
    events: Vec<Outgoing>,
    snapshot: Option<NewSnapshot>,
    seen: Option<Seen>,
    next: Timestamp,
    reply: Option<(PollNow, PollResult)>,
) {
    let watched = &org.users[user];
    let state = outcome.state.clone();
    let now = org.now;
    let emitted: Vec<Emitted> = events.iter().map(|event| event_delay(&event.draft, now)).collect();
    let meetings = org.meetings.of_visits(&outcome.visits);
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
    org.start_work(Work::Record { recording: Box::new(recording), change });
}

/// Writes that a user is not watched any more.
pub(super) fn unwatch(org: &mut OrgState, user: UserKey) {
    let now = org.now;
    let watched = &mut org.users[user];
    // Stays busy, so the user is neither polled nor declared stale.
    watched.busy = true;
    let card = watched.info.card();
    let outcome = lifecycle::unwatch(&watched.state, now, &card, &org.tools.source);
    let recording = Recording {
        person_id: watched.person_id,
        org: card.identity.org.clone(),
        snapshot: None,
        belief: outcome.state,
        visits: outcome.visits,
        meetings: Vec::new(),
        events: outgoing(&org.tools.subscriptions, outcome.events, &card),
        watched: false,
        polled_at: None,
        next_poll: None,
    };
    org.start_work(Work::Unwatch { user, recording: Box::new(recording) });
}

/// Answers a manual poll, if one waits.
pub(super) fn reply(org: &mut OrgState, reply: Option<(PollNow, PollResult)>, failure: Option<&StoreError>) {
    if let Some((request, report)) = reply {
        let result = failure.map_or(Ok(report), |error| Err(NoPoll::NotRecorded(error.to_string())));
        org.effects.push(Effect::Reply { request, result: Box::new(result) });
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
