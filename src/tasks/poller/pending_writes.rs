//! Writes that wait for the next flush: unchanged polls, failed polls and moved plans.
//!
//! Guards: one flush runs at a time; a failed poll is kept until it is written, within a bound; a removed user leaves no key
//! behind. Not here: the flush itself (`flush`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::roster::{UserKey, Users, WatchedUser};
use crate::store::{PollFailure, UnchangedPolls};
use crate::time::Timestamp;

/// At most this many failures are kept while the database refuses them; the newest are.
const MAX_POLL_FAILURES: usize = 10_000;

/// What the next flush writes.
#[derive(Debug, Default)]
pub(super) struct PendingWrites {
    /// Users with unchanged polls since the last flush.
    unchanged: Vec<UserKey>,
    /// Unchanged polls of users who have left the list since.
    departed: Vec<UnchangedPolls>,
    failures: Vec<PollFailure>,
    /// Users whose next poll moved without a poll since the last flush.
    replanned: Vec<UserKey>,
    writing: bool,
    due: Option<Timestamp>,
}

/// The rows of one flush.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) unchanged: Vec<UnchangedPolls>,
    pub(super) failures: Vec<PollFailure>,
    pub(super) plans: Vec<(i64, Timestamp)>,
}

impl PendingWrites {
    /// The user has the first unchanged poll since the last flush.
    pub(super) fn add_unchanged(&mut self, user: UserKey) {
        self.unchanged.push(user);
    }

    pub(super) fn add_failure(&mut self, failure: PollFailure) {
        self.failures.push(failure);
    }

    /// The user's next poll moved without a poll.
    pub(super) fn add_replanned(&mut self, user: UserKey) {
        self.replanned.push(user);
    }

    /// A user has left the list.
    pub(super) fn remove(&mut self, user: UserKey, watched: &WatchedUser) {
        self.departed.extend(watched.unflushed());
        self.unchanged.retain(|key| *key != user);
        self.replanned.retain(|key| *key != user);
    }

    /// When the next flush is due; `None`: nothing waits, or a flush is running.
    pub(super) fn due(&mut self, now: Timestamp, every: Duration) -> Option<Timestamp> {
        let nothing = self.unchanged.is_empty() && self.failures.is_empty() && self.replanned.is_empty();
        (!self.writing && !nothing).then(|| *self.due.get_or_insert(now.plus(every)))
    }

    /// Takes everything for a flush that starts now.
    pub(super) fn begin(&mut self, users: &mut Users) -> Batch {
        self.due = None;
        self.writing = true;
        self.take(users)
    }

    /// A flush has ended; `retry`: failures that were not written.
    pub(super) fn finish(&mut self, retry: Vec<PollFailure>) {
        self.writing = false;
        self.failures.splice(0..0, retry);
        let excess = self.failures.len().saturating_sub(MAX_POLL_FAILURES);
        self.failures.drain(..excess);
    }

    /// Takes everything.
    pub(super) fn take(&mut self, users: &mut Users) -> Batch {
        let mut unchanged = std::mem::take(&mut self.departed);
        for user in self.unchanged.drain(..) {
            let watched = &mut users[user];
            unchanged.extend(watched.unflushed());
            watched.unchanged_polls = 0;
        }
        // The next poll of a user who is polled now is written with its result.
        let plans: BTreeMap<i64, Timestamp> = self
            .replanned
            .drain(..)
            .map(|user| &users[user])
            .filter(|watched| !watched.busy && !watched.gone)
            .map(|watched| (watched.person_id, watched.due))
            .collect();
        let failures = std::mem::take(&mut self.failures);
        Batch { unchanged, failures, plans: plans.into_iter().collect() }
    }
}
