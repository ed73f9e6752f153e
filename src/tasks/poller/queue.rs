//! Puts users into the due queue, and moves them in it.
//!
//! Guards: a user goes back into the queue in one place, inside open time, and only then gets what waited for the user:
//! an answer of a meeting, a snapshot, the removal from the list. Not here: when a poll is due (`schedule`, `pacing`),
//! starting it (`poll`).

use std::sync::Arc;

use super::pacer::{NO_NUMBER, seen};
use super::roster::UserKey;
use super::state::OrgState;
use super::{pacing, record, schedule};
use crate::ids::WebhookName;
use crate::presence::confirm::confirm;
use crate::presence::lifecycle;
use crate::presence::user_state::UserState;
use crate::presence::visit::Visit;
use crate::store::Outgoing;
use crate::time::Timestamp;

/// Users whose polls are re-planned after a poll of another participant of their meeting.
const MAX_MOVED: usize = 100;

/// Puts a user back into the due queue.
pub(super) fn requeue(org: &mut OrgState, user: UserKey, next: Timestamp) {
    let next = schedule::moved_into_window(org, user, next);
    let watched = &mut org.users[user];
    if watched.gone {
        return record::unwatch(org, user);
    }
    watched.busy = false;
    watched.due = next;
    org.due.insert(next, user, watched.failures > 0);
    apply_meeting_answer(org, user);
    emit_pending_snapshot(org, user);
}

/// Applies an answer unless the user is polled or recorded at the moment; then it is applied afterwards.
pub(super) fn apply_meeting_answer(org: &mut OrgState, user: UserKey) {
    if org.users[user].busy {
        return;
    }
    while let Some((conference_id, testimony)) = org.confirmations.next_answer(user) {
        let watched = &org.users[user];
        let (card, source) = (watched.info.card(), &org.tools.source);
        let outcome = confirm(&watched.state, &conference_id, &testimony, &card, source);
        if let Some(outcome) = outcome.filter(|_| !watched.gone) {
            let due = watched.due;
            org.due.remove(due, user);
            return record::record_outcome(org, user, outcome, due);
        }
    }
}

/// Emits a pending snapshot unless the user is polled or recorded.
pub(super) fn emit_pending_snapshot(org: &mut OrgState, user: UserKey) {
    let watched = &mut org.users[user];
    let known = watched.last_ok.is_some();
    if watched.busy
        || org.stopping
        || !watched.pending_snapshot.as_ref().is_some_and(|owed| known || !owed.once_known)
    {
        return;
    }
    let Some(mut owed) = watched.pending_snapshot.take() else { return };
    owed.webhooks.sort();
    owed.webhooks.dedup();
    let due = watched.due;
    let mut outcome = lifecycle::snapshot(&watched.state, org.now, &watched.info.card(), &org.tools.source);
    let webhooks: Arc<[WebhookName]> = owed.webhooks.into();
    let addressed = |draft| Outgoing { draft, webhooks: Arc::clone(&webhooks) };
    let events = std::mem::take(&mut outcome.events).into_iter().map(addressed).collect();
    org.due.remove(due, user);
    record::record_addressed(org, user, outcome, events, due);
}

/// Passes an observation to the rule and re-plans the users it concerns. `ended`: visits that it ended, or that
/// were over already.
pub(super) fn update_pacing(
    org: &mut OrgState,
    user: UserKey,
    at: Timestamp,
    state: Option<&UserState>,
    ended: &[Visit],
) {
    let watched = &org.users[user];
    let number = watched.number;
    let Some(pacing) = &mut org.pacer.groups else { return };
    if number == NO_NUMBER {
        return;
    }
    let state = state.unwrap_or(&watched.state);
    let beside = pacing.beside.is_some().then(|| {
        let sweeps = &org.sweeps;
        seen(state, ended, |meeting| !sweeps.show(user, meeting))
    });
    let mut moved = pacing.group.observed(number, at, &seen(state, ended, |_| true));
    if let Some((group, seen)) = pacing.beside.as_mut().zip(beside) {
        moved = group.observed(number, at, &seen);
    }
    moved.truncate(MAX_MOVED);
    let moved: Vec<UserKey> = moved.iter().map(|other| pacing.roster.people[*other as usize].0).collect();
    for other in moved {
        think_again(org, other, at);
    }
}

fn think_again(org: &mut OrgState, user: UserKey, now: Timestamp) {
    let watched = &org.users[user];
    if watched.gone
        || watched.busy
        || watched.failures > 0
        || watched.overtime_until.is_some()
        || watched.state.is_rejected()
        || watched.state.awaits_confirmation()
        // Already due, so the poll comes next.
        || watched.due <= now
    {
        return;
    }
    let due = watched.due;
    let Some(next) = pacing::next_paced(org, user, now) else { return };
    org.due.remove(due, user);
    requeue(org, user, next);
    org.pending.add_replanned(user);
}

/// Polls users now who wait after a failed poll, and with `refused` also refused users: the reason may be over.
pub(super) fn retry(org: &mut OrgState, refused: bool, now: Timestamp) {
    for user in org.user_keys() {
        let watched = &org.users[user];
        let waits = watched.paused_by_org || watched.failures > 0 || (refused && watched.refusals > 0);
        if !waits || watched.busy || watched.gone {
            continue;
        }
        let due = watched.due;
        if due > now && org.due.remove(due, user) {
            requeue(org, user, now);
            org.pending.add_replanned(user);
        }
    }
}

/// Moves a user's next poll to now, or as early as `min_interval` allows, unless the user waits after a failure.
/// Returns whether there will be a poll soon.
pub(super) fn poll_soon(org: &mut OrgState, user: UserKey, now: Timestamp) -> bool {
    if !is_swept(org, user) {
        return false;
    }
    let watched = &org.users[user];
    if watched.failures > 0 || watched.state.is_rejected() {
        return false;
    }
    let soon = watched.last_ok.map_or(now, |last| last.plus(org.settings.min_interval).max(now));
    let due = watched.due;
    if due > soon || pacing::is_replan(org, user) {
        org.due.remove(due, user);
        pacing::cancel_replan(org, user);
        requeue(org, user, soon);
        org.pending.add_replanned(user);
    }
    true
}

/// Whether a sweep counts for this user now.
pub(super) fn is_swept(org: &OrgState, user: UserKey) -> bool {
    let watched = &org.users[user];
    !watched.gone && !watched.busy && schedule::may_poll(org, user) && !org.tools.is_erased(watched.person_id)
}
