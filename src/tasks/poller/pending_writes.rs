//! Writes that wait for the next flush: unchanged polls, failed polls and moved plans.
//!
//! Guards: a removed user leaves no key behind, and no unchanged poll is lost with it. Not here: when they are written
//! (`flush`).

use std::collections::BTreeMap;

use super::roster::{UserKey, Users, WatchedUser};
use crate::store::{PollFailure, UnchangedPolls};
use crate::time::Timestamp;

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
}

/// The rows of one flush.
#[derive(Clone, Debug, Default)]
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

    /// Whether nothing waits for a flush.
    pub(super) fn is_empty(&self) -> bool {
        self.unchanged.is_empty() && self.failures.is_empty() && self.replanned.is_empty()
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
