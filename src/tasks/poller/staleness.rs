//! Declares presence unknown after too long without a good poll.
//!
//! Guards: presence becomes unknown instead of staying wrong. Not here: the event about it (`presence`).

use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use super::org::OrgPoller;
use super::settings::TICK;
use crate::presence::lifecycle;
use crate::time::Timestamp;

/// How often staleness is checked; a small part of the shortest automatic bound.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The shortest automatic bound.
const AT_LEAST: Duration = Duration::from_mins(5);

impl OrgPoller {
    /// After how long without a good poll a user's presence is unknown.
    pub(super) fn stale_after(&self, user: UserKey, now: Timestamp) -> Duration {
        self.settings.stale_after.unwrap_or_else(|| {
            let interval = self.interval(user, now);
            // A paced user is not late before the planned poll.
            let planned = self.planned_gap(user).map(|gap| gap + (interval * 2).max(AT_LEAST));
            (interval * 3).max(AT_LEAST).max(planned.unwrap_or_default())
        })
    }

    /// Declares presence unknown for users without a good poll for too long; returns when to check again.
    pub(super) fn check_stale(&mut self, now: Timestamp) -> Timestamp {
        if now < self.next_stale_check {
            return self.next_stale_check;
        }
        let every =
            self.settings.stale_after.map_or(CHECK_EVERY, |bound| (bound / 4).clamp(TICK, CHECK_EVERY));
        self.next_stale_check = now.plus(every);
        for user in self.user_keys() {
            let watched = &self.users[user];
            let Some(last_ok) = self.last_seen(user).filter(|_| !watched.busy && !watched.stale) else {
                continue;
            };
            if !self.may_poll(user) {
                continue; // only open time counts
            }
            let bound = self.stale_after(user, now);
            if now.since(last_ok) <= bound || self.silent_for(user, last_ok, now) <= bound {
                continue;
            }
            let watched = &mut self.users[user];
            watched.stale = true;
            let due = watched.due;
            let outcome = lifecycle::stale(&watched.state, now, &watched.info.card(), &self.tools.source);
            self.upstream.due.remove(due, user);
            self.record_outcome(user, outcome, due);
        }
        self.next_stale_check
    }
}
