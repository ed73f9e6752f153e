//! Watched users and the queue of their due polls.
//!
//! Guards: a user is in the queue, or polled, or recorded, and never in two of these, so polls of one user never
//! overlap. Users whose last poll failed use a separate queue, so they cannot take every slot. Not here: polling
//! (`poll`), what an answer changes (`presence`).

use std::collections::BTreeSet;
use std::time::Duration;

use slotmap::SlotMap;

use super::user_info::CompactUserInfo;
use crate::ids::WebhookName;
use crate::policy::cadence::Cron;
use crate::policy::pace::Phase;
use crate::presence::user_state::UserState;
use crate::store::UnchangedPolls;
use crate::time::Timestamp;

/// How often a user is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollSchedule {
    /// Paced by the calls that are left.
    Auto,
    /// At a fixed interval.
    Every(Duration),
    /// At instants of a cron expression, in the config's time zone.
    At(Cron),
}

slotmap::new_key_type! {
    /// A watched user, until the user leaves the list. A key never finds a later user, even if the slot is reused.
    pub(super) struct UserKey;

    /// Windows that users share, while any user has them.
    pub(super) struct WindowKey;
}

/// A snapshot that is still to be emitted.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingSnapshot {
    pub(super) webhooks: Vec<WebhookName>,
    /// Only after the first good poll.
    pub(super) once_known: bool,
}

/// All watched users.
pub(super) type Users = SlotMap<UserKey, WatchedUser>;

/// A user on the watch list. It has more than fifteen fields because all that is known of one user is one record, which
/// most inputs read and write as a whole.
#[derive(Debug)]
pub(super) struct WatchedUser {
    pub(super) person_id: i64,
    pub(super) info: CompactUserInfo,
    /// Index in the pacing group, or [`NO_NUMBER`](super::pacing::NO_NUMBER).
    pub(super) number: u32,
    pub(super) schedule: PollSchedule,
    pub(super) phase: Phase,
    /// The windows in which the user is polled.
    pub(super) window: WindowKey,
    /// The window closed while the user was inside: polled until then.
    pub(super) overtime_until: Option<Timestamp>,
    pub(super) state: UserState,
    /// Digest of the newest stored snapshot.
    pub(super) digest: Option<i64>,
    /// Digest of the bytes of the newest answer; `None` after a restart.
    pub(super) bytes_digest: Option<u64>,
    pub(super) last_ok: Option<Timestamp>,
    pub(super) due: Timestamp,
    /// Failed polls in a row.
    pub(super) failures: u32,
    /// Refused polls in a row.
    pub(super) refusals: u32,
    /// Class of the newest failure since the last good poll.
    pub(super) error: Option<&'static str>,
    /// The next poll waits because the organisation or the address was refused, not the user.
    pub(super) paused_by_org: bool,
    /// Good unchanged polls since the last flush.
    pub(super) unchanged_polls: u32,
    /// No good poll for so long that presence was declared unknown.
    pub(super) stale: bool,
    /// Polled or recorded at this moment, so not in the queue.
    pub(super) busy: bool,
    /// Off the list; the slot is freed when that is written.
    pub(super) gone: bool,
    /// A snapshot that is still to be emitted.
    pub(super) pending_snapshot: Option<PendingSnapshot>,
}

impl WatchedUser {
    /// The good unchanged polls that are not written yet.
    pub(super) fn unflushed(&self) -> Option<UnchangedPolls> {
        let last_ok = self.last_ok.filter(|_| self.unchanged_polls > 0)?;
        Some(UnchangedPolls {
            person_id: self.person_id,
            last_ok,
            polls: self.unchanged_polls,
            next_poll: self.due,
        })
    }
}

/// Users of one organisation by due time. All operations are O(log users).
#[derive(Debug, Default)]
pub(super) struct DueQueue {
    normal: BTreeSet<(Timestamp, UserKey)>,
    failing: BTreeSet<(Timestamp, UserKey)>,
}

impl DueQueue {
    /// Adds a user. `failing`: the user's last poll failed.
    pub(super) fn insert(&mut self, due: Timestamp, user: UserKey, failing: bool) {
        self.line(failing).insert((due, user));
    }

    /// Removes a user from either queue.
    pub(super) fn remove(&mut self, due: Timestamp, user: UserKey) -> bool {
        self.normal.remove(&(due, user)) || self.failing.remove(&(due, user))
    }

    /// Takes the user who has been due longest; from the failing queue only with `room_for_failing`. The flag says from
    /// which.
    pub(super) fn pop_due(&mut self, now: Timestamp, room_for_failing: bool) -> Option<(UserKey, bool)> {
        let normal = self.normal.first().copied().filter(|(due, _)| *due <= now);
        let failing = self.failing.first().copied().filter(|(due, _)| *due <= now && room_for_failing);
        match (normal, failing) {
            (Some(first), Some(other)) if other < first => Some(self.take(other, true)),
            (Some(first), _) => Some(self.take(first, false)),
            (None, Some(other)) => Some(self.take(other, true)),
            (None, None) => None,
        }
    }

    /// When the next poll is due.
    pub(super) fn next_due(&self, room_for_failing: bool) -> Option<Timestamp> {
        let failing = self.failing.first().filter(|_| room_for_failing);
        self.normal.first().into_iter().chain(failing).map(|(due, _)| *due).min()
    }

    fn take(&mut self, entry: (Timestamp, UserKey), failing: bool) -> (UserKey, bool) {
        self.line(failing).remove(&entry);
        (entry.1, failing)
    }

    fn line(&mut self, failing: bool) -> &mut BTreeSet<(Timestamp, UserKey)> {
        if failing { &mut self.failing } else { &mut self.normal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn user(n: u64) -> UserKey {
        slotmap::KeyData::from_ffi(n).into()
    }

    #[test]
    fn the_longest_waiting_comes_first_and_nobody_early() {
        let mut queue = DueQueue::default();
        queue.insert(at(20), user(1), false);
        queue.insert(at(10), user(2), false);
        assert_eq!(queue.next_due(true), Some(at(10)));
        assert_eq!(queue.pop_due(at(9), true), None);
        assert_eq!(queue.pop_due(at(30), true), Some((user(2), false)));
        assert_eq!(queue.pop_due(at(30), true), Some((user(1), false)));
        assert_eq!(queue.pop_due(at(30), true), None);
    }

    #[test]
    fn suspects_wait_when_there_is_no_room_and_hold_nobody_up() {
        let mut queue = DueQueue::default();
        queue.insert(at(1), user(7), true);
        queue.insert(at(5), user(8), false);
        assert_eq!(queue.next_due(false), Some(at(5)));
        assert_eq!(queue.pop_due(at(9), false), Some((user(8), false)));
        assert_eq!(queue.pop_due(at(9), false), None);
        assert_eq!(queue.pop_due(at(9), true), Some((user(7), true)));
    }

    #[test]
    fn somebody_can_be_pulled_out_of_either_line() {
        let mut queue = DueQueue::default();
        queue.insert(at(1), user(7), true);
        assert!(queue.remove(at(1), user(7)));
        assert!(!queue.remove(at(1), user(7)));
    }
}
