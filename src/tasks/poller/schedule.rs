//! When a user is polled next, and how long a user may go without a poll.
//!
//! Guards: a poll falls into the user's windows, unless the user is polled past their end; only open time counts as
//! time without a poll. Not here: the pacing rule (`pacing`), when windows are open (`policy::window`).

use std::time::Duration;

use super::pacer::NO_NUMBER;
use super::pacing;
use super::roster::{PollSchedule, UserKey};
use super::state::OrgState;
use crate::policy::pace::pacer::Rule;
use crate::policy::pace::{PollDecision, Why};
use crate::policy::poll_time;
use crate::time::Timestamp;

/// The shortest automatic bound.
const AT_LEAST: Duration = Duration::from_mins(5);

/// The delay of the next poll where no window opens for years.
const NEVER: Duration = Duration::from_hours(24 * 366);

/// Whether a user may be polled now.
pub(super) fn may_poll(org: &OrgState, user: UserKey) -> bool {
    let watched = &org.users[user];
    org.windows.is_open(watched.window) || watched.overtime_until.is_some()
}

/// Moves `next` into open time, unless the user is polled past the window.
pub(super) fn moved_into_window(org: &mut OrgState, user: UserKey, next: Timestamp) -> Timestamp {
    let watched = &mut org.users[user];
    let open = org.windows.times(watched.window);
    if open.is_always() {
        return next;
    }
    if watched.overtime_until.is_some() {
        if watched.state.inside().next().is_some() {
            return next;
        }
        watched.overtime_until = None;
    }
    if open.open_at(next) {
        return next;
    }
    let watched = &org.users[user];
    let (phase, now) = (watched.phase, org.now);
    let moved = match &watched.schedule {
        PollSchedule::At(cron) => poll_time::at_instants(next, cron, org.settings.time_zone, phase, open),
        _ => poll_time::within_hours(next, interval(org, user, now), phase, open),
    };
    moved.unwrap_or_else(|| next.plus(NEVER))
}

/// The next poll after a good one.
pub(super) fn next_regular(org: &mut OrgState, user: UserKey, now: Timestamp) -> Timestamp {
    let watched = &org.users[user];
    if watched.overtime_until.is_some() {
        return crate::policy::pace::next_poll_at(now, interval(org, user, now), watched.phase);
    }
    match pacing::next_paced(org, user, now) {
        Some(next) => next,
        None => next_even(org, user, now),
    }
}

/// The same without the pacing rule: at even intervals, or at cron instants.
pub(super) fn next_even(org: &OrgState, user: UserKey, now: Timestamp) -> Timestamp {
    let watched = &org.users[user];
    let (open, phase) = (org.windows.times(watched.window), watched.phase);
    let next = match &watched.schedule {
        PollSchedule::Auto => poll_time::paced(now, interval(org, user, now), phase, open),
        PollSchedule::Every(interval) => poll_time::every(now, *interval, phase, open),
        PollSchedule::At(cron) => poll_time::at_instants(now, cron, org.settings.time_zone, phase, open),
    };
    next.unwrap_or_else(|| now.plus(NEVER))
}

/// The interval between two polls; for cron expressions that of the next two instants.
pub(super) fn interval(org: &OrgState, user: UserKey, now: Timestamp) -> Duration {
    let watched = &org.users[user];
    match &watched.schedule {
        PollSchedule::Every(interval) => *interval,
        PollSchedule::At(cron) => {
            let zone = org.settings.time_zone;
            let next = cron.next_after(now, zone);
            let following = next.and_then(|next| cron.next_after(next, zone));
            next.zip(following).map_or(NEVER, |(a, b)| b.since(a))
        }
        PollSchedule::Auto => pacing::even(org, now),
    }
}

/// For how long a good poll has been missing: open time only, and for cron expressions from the first missed
/// instant.
pub(super) fn silent_for(org: &OrgState, user: UserKey, last_ok: Timestamp, now: Timestamp) -> Duration {
    let watched = &org.users[user];
    let open = org.windows.times(watched.window);
    if let PollSchedule::At(cron) = &watched.schedule {
        let zone = org.settings.time_zone;
        let expected = poll_time::at_instants(last_ok, cron, zone, watched.phase, open);
        return expected.map_or(Duration::ZERO, |expected| now.since(expected));
    }
    if open.is_always() { now.since(last_ok) } else { open.open_between(last_ok, now) }
}

/// After how long without a good poll a user's presence is unknown.
pub(super) fn stale_after(org: &OrgState, user: UserKey, now: Timestamp) -> Duration {
    org.settings.stale_after.unwrap_or_else(|| {
        let interval = interval(org, user, now);
        // A paced user is not late before the planned poll.
        let planned = pacing::planned_gap(org, user).map(|gap| gap + (interval * 2).max(AT_LEAST));
        (interval * 3).max(AT_LEAST).max(planned.unwrap_or_default())
    })
}

/// What the rule would decide now; changes nothing.
pub(super) fn would_decide(org: &OrgState, user: UserKey, now: Timestamp) -> PollDecision {
    let watched = &org.users[user];
    let number = watched.number;
    match org.pacer.groups.as_ref().zip(pacing::budget(org, now)) {
        Some((pacing, budget)) if number != NO_NUMBER => pacing.would_decide(number, now, budget),
        _ => PollDecision::Poll(
            next_even(org, user, now),
            Why { rule: Rule::Plenty, inside: watched.state.inside().next().is_some(), ..Why::default() },
        ),
    }
}

/// Whether polls show this user mostly in meetings that no sweep lists.
pub(super) fn meets_unlisted(org: &OrgState, user: UserKey) -> bool {
    org.sweeps.meet_elsewhere(user)
}

/// When the user was last observed: by a poll, or by an accepted sweep if sweeps list the user's meetings.
pub(super) fn last_seen(org: &OrgState, user: UserKey) -> Option<Timestamp> {
    let watched = &org.users[user];
    let swept = watched.state.last_sweep().filter(|_| !meets_unlisted(org, user));
    watched.last_ok.max(watched.last_ok.and(swept))
}
