//! Holes in the looking that are one person's alone: their looks failed while others' did not, or came too late.
//!
//! Guards: time in which nobody looked at somebody is in the history, whatever the reason was; what is there already for
//! the whole organisation is not written again for each of its people. Deliberately not here: gaps of organisations
//! (`standing`), what a belief makes of a hole (`presence::lifecycle`).

use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use super::upstream::Upstream;
use super::{Done, Poller};
use crate::ids::OrgName;
use crate::store::gaps::Why;
use crate::time::Timestamp;

/// So many covered stretches are remembered; a hole is rarely older.
const REMEMBERED: usize = 8;
/// A pause is looked at every second; with a hole of more than this it is another one.
const SAME_PAUSE: Duration = Duration::from_secs(30);

impl Poller {
    /// At the start: the down time of these organisations is told.
    pub(super) fn has_told(&mut self, told: &[(OrgName, Timestamp)], now: Timestamp) {
        for upstream in &mut self.upstreams {
            if let Some((_, from)) = told.iter().find(|(org, _)| *org == upstream.name) {
                upstream.cover((*from).min(now), now);
            }
        }
    }

    /// A good look at somebody: where the one before is longer ago than it should be, that is kept. `failed`: the looks
    /// between the two did.
    pub(super) fn note_unseen(&mut self, person: UserKey, failed: bool, now: Timestamp) {
        let watched = &self.users[person];
        let Some(last_ok) = self.last_seen(person) else { return };
        let bound = self.stale_after(person, now);
        if now.since(last_ok) <= bound {
            return;
        }
        let covered = self.upstreams[watched.upstream].covered_between(last_ok, now);
        if self.silent_for(person, last_ok, now).saturating_sub(covered) <= bound {
            return;
        }
        let why = if failed { Why::Failed } else { Why::Late };
        let (store, person_id) = (self.tools.store.clone(), watched.person_id);
        self.running.start(async move {
            Done::Noted { result: store.gaps().note_of_user(person_id, last_ok, now, why).await }
        });
    }
}

impl Upstream {
    /// This stretch is in the history, for everybody of the organisation.
    pub(super) fn cover(&mut self, from: Timestamp, to: Timestamp) {
        self.covered.push((from, to));
        if self.covered.len() > REMEMBERED {
            self.covered.remove(0);
        }
    }

    /// A pause that somebody else notes when it ends goes on.
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
