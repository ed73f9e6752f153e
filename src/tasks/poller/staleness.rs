//! Declares presence unknown after too long without a good poll.
//!
//! Guards: presence becomes unknown instead of staying wrong. Not here: the event about it (`presence`).

use std::time::Duration;

use super::settings::TICK;
use super::state::OrgState;
use super::{record, schedule};
use crate::presence::lifecycle;
use crate::time::Timestamp;

/// How often staleness is checked; a small part of the shortest automatic bound.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Declares presence unknown for users without a good poll for too long; returns when to check again.
pub(super) fn check_stale(org: &mut OrgState, now: Timestamp) -> Timestamp {
    if now < org.next_stale_check {
        return org.next_stale_check;
    }
    let every = org.settings.stale_after.map_or(CHECK_EVERY, |bound| (bound / 4).clamp(TICK, CHECK_EVERY));
    org.next_stale_check = now.plus(every);
    for user in org.user_keys() {
        let watched = &org.users[user];
        let Some(last_ok) = schedule::last_seen(org, user).filter(|_| !watched.busy && !watched.stale) else {
            continue;
        };
        if !schedule::may_poll(org, user) {
            continue; // only open time counts
        }
        let bound = schedule::stale_after(org, user, now);
        if now.since(last_ok) <= bound || schedule::silent_for(org, user, last_ok, now) <= bound {
            continue;
        }
        let watched = &mut org.users[user];
        watched.stale = true;
        let due = watched.due;
        let outcome = lifecycle::stale(&watched.state, now, &watched.info.card(), &org.tools.source);
        org.due.remove(due, user);
        record::record_outcome(org, user, outcome, due);
    }
    org.next_stale_check
}
