//! Gaps of a single user: the user's polls failed while others succeeded, or came too late.
//!
//! Guards: time without polls is in the history, whatever the reason was; a gap of the whole organisation is not
//! written again for each of its users. Not here: gaps of organisations (`failures`), the effect of a gap on a state
//! (`presence::lifecycle`).

use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use super::effects::Work;
use super::org::OrgPoller;
use super::upstream::UpstreamState;
use crate::store::gaps::Why;
use crate::time::Timestamp;

/// Number of covered intervals that are remembered; a gap is rarely older.
const REMEMBERED: usize = 8;
/// A pause is extended every second; after a longer interruption it is another pause.
const SAME_PAUSE: Duration = Duration::from_secs(30);

impl OrgPoller {
    /// At the start: marks the down time as covered.
    pub(super) fn cover_downtime(&mut self, from: Timestamp, now: Timestamp) {
        self.upstream.cover(from.min(now), now);
    }

    /// Records a gap before a good poll if the previous one is longer ago than it should be. `failed`: the polls in
    /// between failed.
    pub(super) fn record_user_gap(&mut self, user: UserKey, failed: bool, now: Timestamp) {
        let watched = &self.users[user];
        let Some(last_ok) = self.last_seen(user) else { return };
        let bound = self.stale_after(user, now);
        if now.since(last_ok) <= bound {
            return;
        }
        let covered = self.upstream.covered_between(last_ok, now);
        if self.silent_for(user, last_ok, now).saturating_sub(covered) <= bound {
            return;
        }
        let why = if failed { Why::Failed } else { Why::Late };
        let person_id = watched.person_id;
        self.start_work(Work::NoteUserGap { person_id, from: last_ok, to: now, why });
    }
}

impl UpstreamState {
    /// Marks an interval as recorded for all users of the organisation.
    pub(super) fn cover(&mut self, from: Timestamp, to: Timestamp) {
        self.covered.push((from, to));
        if self.covered.len() > REMEMBERED {
            self.covered.remove(0);
        }
    }

    /// Extends a pause that another part records when it ends.
    pub(super) fn cover_on(&mut self, now: Timestamp) {
        match self.covered.last_mut() {
            Some((_, to)) if now.since(*to) <= SAME_PAUSE => *to = now.max(*to),
            _ => self.cover(now, now),
        }
    }

    /// How much of `[from, to)` is covered.
    fn covered_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        self.covered.iter().map(|&(begin, end)| end.min(to).since(begin.max(from))).sum()
    }
}
