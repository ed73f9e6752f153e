//! Who is watched, and whose look is due when.
//!
//! Guards: a person is in the due-queue, or being asked, or being recorded: never in two of these, so looks at one person
//! never overlap. Who failed lately waits in a line of their own, so that slow and failing people cannot take every place.
//! Deliberately not here: asking (`poller`), deciding (`presence`).

use std::collections::BTreeSet;
use std::time::Duration;

use slotmap::SlotMap;

use super::hours::HoursKey;
use super::snapshot::Owed;
use super::who::Who;
use crate::policy::cadence::Cron;
use crate::policy::pace::Phase;
use crate::presence::user_state::UserState;
use crate::store::UnchangedPolls;
use crate::time::Timestamp;

/// How often somebody is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// By the calls that are left.
    Auto,
    /// At this interval.
    Every(Duration),
    /// At these instants, on the wall clock of the config's zone.
    At(Cron),
}

slotmap::new_key_type! {
    /// A watched user, for as long as they are watched: the key of a user who left the list finds nobody, also when the
    /// place was given to another.
    pub(super) struct UserKey;
}

/// Everybody who is watched, in places that are used again.
pub(super) type Users = SlotMap<UserKey, Watched>;

/// Somebody on the watch list.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) person_id: i64,
    pub(super) who: Who,
    /// Index of the organisation.
    pub(super) upstream: usize,
    /// Their place among those who are paced, or [`NO_NUMBER`](super::pacing::NO_NUMBER).
    pub(super) number: u32,
    pub(super) rhythm: Rhythm,
    pub(super) phase: Phase,
    /// Their windows.
    pub(super) hours: HoursKey,
    /// The window has closed and they were inside: followed so long.
    pub(super) overtime_until: Option<Timestamp>,
    pub(super) belief: UserState,
    /// Of the newest stored snapshot.
    pub(super) digest: Option<i64>,
    /// Of the bytes of the newest answer; `None` after a restart.
    pub(super) bytes_digest: Option<u64>,
    pub(super) last_ok: Option<Timestamp>,
    pub(super) due: Timestamp,
    /// Failed looks in a row.
    pub(super) failures: u32,
    /// Refused polls in a row.
    pub(super) refusals: u32,
    /// The class of the newest failure since the last good poll.
    pub(super) error: Option<&'static str>,
    /// The next poll waits because the organisation or the address was refused, not the user.
    pub(super) held: bool,
    /// Good unchanged looks since the last flush.
    pub(super) polls: u32,
    /// No good look for so long that presence was declared unknown.
    pub(super) stale: bool,
    /// Not in the queue: being asked or recorded.
    pub(super) busy: bool,
    /// Taken off the list; the place is given up when that is written.
    pub(super) gone: bool,
    /// A snapshot that is still to be told.
    pub(super) owed: Option<Owed>,
}

impl Watched {
    /// The good unchanged polls that are not written yet.
    pub(super) fn unflushed(&self) -> Option<UnchangedPolls> {
        let last_ok = self.last_ok.filter(|_| self.polls > 0)?;
        Some(UnchangedPolls { person_id: self.person_id, last_ok, polls: self.polls, next_poll: self.due })
    }
}

/// The people of one organisation whose look lies ahead, soonest first. All operations are O(log people).
#[derive(Debug, Default)]
pub(super) struct DueQueue {
    steady: BTreeSet<(Timestamp, UserKey)>,
    suspect: BTreeSet<(Timestamp, UserKey)>,
}

impl DueQueue {
    /// Puts somebody in. `suspect`: their last look failed.
    pub(super) fn insert(&mut self, due: Timestamp, person: UserKey, suspect: bool) {
        self.line(suspect).insert((due, person));
    }

    /// Takes somebody out, whichever line they wait in.
    pub(super) fn remove(&mut self, due: Timestamp, person: UserKey) -> bool {
        self.steady.remove(&(due, person)) || self.suspect.remove(&(due, person))
    }

    /// The person who has waited longest, if due; suspects only where there is room for them. The flag says which line.
    pub(super) fn pop_due(&mut self, now: Timestamp, room_for_suspects: bool) -> Option<(UserKey, bool)> {
        let steady = self.steady.first().copied().filter(|(due, _)| *due <= now);
        let suspect = self.suspect.first().copied().filter(|(due, _)| *due <= now && room_for_suspects);
        match (steady, suspect) {
            (Some(first), Some(other)) if other < first => Some(self.take(other, true)),
            (Some(first), _) => Some(self.take(first, false)),
            (None, Some(other)) => Some(self.take(other, true)),
            (None, None) => None,
        }
    }

    /// When the next look is due.
    pub(super) fn next_due(&self, room_for_suspects: bool) -> Option<Timestamp> {
        let suspect = self.suspect.first().filter(|_| room_for_suspects);
        self.steady.first().into_iter().chain(suspect).map(|(due, _)| *due).min()
    }

    fn take(&mut self, entry: (Timestamp, UserKey), suspect: bool) -> (UserKey, bool) {
        self.line(suspect).remove(&entry);
        (entry.1, suspect)
    }

    fn line(&mut self, suspect: bool) -> &mut BTreeSet<(Timestamp, UserKey)> {
        if suspect { &mut self.suspect } else { &mut self.steady }
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
