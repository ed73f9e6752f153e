//! Answers requests of the operator: manual polls, snapshots of all users, explanations of next polls.
//!
//! Guards: a manual poll never overlaps another poll of the user, and is charged to the month; a snapshot contains only what
//! is committed, so it waits for a poll or a commit in flight, and goes to the requesting webhooks that may receive events of
//! the user, whatever event patterns they have; an explanation changes nothing. Not here: the content of a snapshot
//! (`presence::lifecycle`), the decision that is explained (`pacing`).

use std::sync::Arc;

use super::effects::{Effect, PollCall};
use super::pacer::NO_NUMBER;
use super::report::{Explanation, NoPoll, PollNow};
use super::roster::{PendingSnapshot, PollSchedule, UserKey, WatchedUser};
use super::state::OrgState;
use super::{alerting, pacing, poll, queue, schedule, spending};
use crate::ids::{Identity, WebhookName};
use crate::policy::circuit::Cause;
use crate::policy::pace::PollDecision;
use crate::policy::quota::{Refusal, Ticket};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

/// Why a manual poll does not start at once.
enum NotNow {
    /// Something in flight has to end first.
    Soon,
    /// No calls are left in the month.
    SpentUntil(Timestamp),
}

/// The users that a request may mean.
pub(super) fn matching(org: &OrgState, who: &str) -> impl Iterator<Item = UserKey> {
    let matches =
        move |w: &WatchedUser| !w.gone && (w.info.identity.union_id.as_str() == who || w.info.name() == who);
    org.users.iter().filter(move |(_, watched)| matches(watched)).map(|(user, _)| user)
}

/// Polls at once and outside the queue, but charged to the month; returns the request if something in flight has to
/// end first.
pub(super) fn poll_now(
    org: &mut OrgState,
    user: UserKey,
    request: PollNow,
    now: Timestamp,
) -> Option<PollNow> {
    org.now = now;
    match startable(org, user, now) {
        Err(NotNow::Soon) => Some(request),
        Ok(ticket) => {
            let watched = &org.users[user];
            let (due, failing) = (watched.due, watched.failures > 0);
            org.due.remove(due, user);
            poll::ask(org, PollCall { user, failing, ticket, manual: Some(request), began: now }, now);
            None
        }
        Err(NotNow::SpentUntil(until)) => {
            spending::month_is_spent(org, until, now);
            // The reader of the refusal finds the reason in status and readiness.
            alerting::check_alerts(org, now);
            let text = format!("the month's calls are spent until {until}");
            let result = Box::new(Err(NoPoll::Later(text)));
            org.effects.push(Effect::Reply { request, result });
            None
        }
    }
}

fn startable(org: &mut OrgState, user: UserKey, now: Timestamp) -> Result<Ticket, NotNow> {
    let watched = &org.users[user];
    if watched.busy {
        return Err(NotNow::Soon);
    }
    if org.breaker.is_open() && org.limits.has_calls_in_flight() {
        // A probe is in flight.
        return Err(NotNow::Soon);
    }
    // A manual poll is a probe: the reason of the failures may be over.
    org.limits.end_pause();
    org.breaker.probe_now(now);
    if org.breaker.is_open_for(Cause::MonthSpent) {
        org.limits.resume();
    }
    match org.limits.take(now) {
        Ok(ticket) => Ok(ticket),
        Err(Refusal::SpentUntil(until)) => Err(NotNow::SpentUntil(until)),
        Err(Refusal::ReserveFirst) => {
            spending::reserve(org, now);
            Err(NotNow::Soon)
        }
    }
}

/// Snapshots of all users for these webhooks; returns of how many.
pub(super) fn snapshot_now(
    org: &mut OrgState,
    webhooks: &[WebhookName],
    once_known: bool,
    now: Timestamp,
) -> usize {
    org.now = now;
    let subscriptions = Arc::clone(&org.tools.subscriptions);
    let mut count = 0;
    for user in org.user_keys() {
        let watched = &mut org.users[user];
        if watched.gone {
            continue;
        }
        let may_know =
            |one: &&Subscription| webhooks.contains(&one.webhook) && one.admits_user(&watched.info.card());
        let mut allowed = subscriptions.iter().filter(may_know).map(|one| one.webhook.clone()).peekable();
        if allowed.peek().is_none() {
            continue;
        }
        let owed =
            watched.pending_snapshot.get_or_insert(PendingSnapshot { webhooks: Vec::new(), once_known });
        // If one request does not wait, all of them are served now.
        owed.once_known &= once_known;
        owed.webhooks.extend(allowed);
        count += 1;
        queue::emit_pending_snapshot(org, user);
    }
    count
}

/// Why the next poll of a user is when it is.
pub(super) fn explanation(org: &OrgState, who: &Identity, now: Timestamp) -> Result<Explanation, String> {
    let mut people = org.users.iter();
    let found = people.find(|(_, watched)| !watched.gone && watched.info.identity == *who);
    let Some((user, watched)) = found else {
        return Err(format!("the running daemon does not watch {who}"));
    };
    if watched.schedule != PollSchedule::Auto {
        return Err(format!("{who} has its own cadence in the running daemon"));
    }
    let decided = pacing::decided(org, user).filter(|(_, next)| {
        let (PollDecision::Poll(at, _) | PollDecision::Replan(at, _)) = *next;
        at == watched.due && !watched.busy
    });
    if let Some((at, next)) = decided {
        return Ok(Explanation { decided: at, next, instead: None, due: watched.due });
    }
    let instead = if watched.busy {
        "the user is being polled right now"
    } else if watched.failures > 0 {
        "polls of this user fail: the next one waits"
    } else if watched.overtime_until.is_some() {
        "the user is polled past the end of the window"
    } else if watched.state.awaits_confirmation() {
        "a meeting vanished: the next poll confirms that"
    } else if watched.number == NO_NUMBER {
        "there is no limit of calls: every user is polled as often as `min_interval` allows"
    } else {
        "it was decided before the last start or reload"
    };
    Ok(Explanation {
        decided: now,
        next: schedule::would_decide(org, user, now),
        instead: Some(instead),
        due: watched.due,
    })
}
