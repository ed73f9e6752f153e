//! Applies an observation of one user to the users who meet with them.
//!
//! Not here: the learned counts (`co_meetings`).

use std::collections::BTreeSet;

use super::super::co_meetings::met_then;
use super::super::visit_history::{SLOTS, slot_of, split};
use super::types::Seen;
use super::watched::{Inside, minute_of};
use super::{MINUTE_MS, Pacer};

/// A user polled outside since a colleague joined is this much less likely to join too.
const LOOKED_SINCE: f64 = 0.1;

impl Pacer {
    /// A user was newly seen inside: users who meet with them may be inside too.
    pub(super) fn joined(&mut self, person: u32, record: &Seen, now: i64, moved: &mut BTreeSet<u32>) {
        let (day, joined_ms) = split(self.local(record.joined.as_ms()));
        let slot = slot_of(joined_ms).0.min(SLOTS - 1);
        let class = self.people[person as usize].open;
        let before = self.before(class, day);
        let others: Vec<u32> = self.co_meetings[person as usize].colleagues().collect();
        for other in others {
            let index = other as usize;
            if self.people[index].inside.is_some() {
                continue;
            }
            let met = met_then(&self.histories[person as usize], &self.histories[index], &before, slot);
            let mut chance = self.co_meeting_graph.chance(&self.co_meetings[person as usize], other, met);
            if self.people[index].last_poll.is_some_and(|last| last > record.joined.as_ms() + 2 * MINUTE_MS) {
                chance *= LOOKED_SINCE;
            }
            self.take_out(index, now);
            let wrong = self.wrong_at(index, now);
            if chance > wrong {
                let watched = &mut self.people[index];
                (watched.anchor, watched.wrong) = (now, chance);
                moved.insert(other);
            }
        }
    }

    /// A user is still inside: the other members probably are too.
    pub(super) fn still_there(&mut self, person: u32, conference: u64, now: i64, moved: &mut BTreeSet<u32>) {
        let together = self.co_meeting_graph.leaves_together();
        for other in self.others_in(conference, person) {
            self.take_out(other as usize, now);
            let wrong = self.wrong_at(other as usize, now) * (1.0 - together);
            let watched = &mut self.people[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    /// A user has left: the other members may have left too.
    pub(super) fn left(
        &mut self,
        person: u32,
        conference: u64,
        when: i64,
        now: i64,
        moved: &mut BTreeSet<u32>,
    ) {
        if let Some(members) = self.members.get_mut(&conference) {
            members.remove(&person);
        }
        let together = self.co_meeting_graph.leaves_together();
        for other in self.others_in(conference, person) {
            if self.people[other as usize].last_poll.is_some_and(|last| last > when + MINUTE_MS) {
                continue;
            }
            self.take_out(other as usize, now);
            let wrong = self.wrong_at(other as usize, now).max(together);
            let watched = &mut self.people[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    pub(super) fn others_in(&self, conference: u64, person: u32) -> Vec<u32> {
        let inside = |other: &u32| {
            let inside = self.people[*other as usize].inside.as_ref();
            *other != person && inside.is_some_and(|inside| inside.conference == conference)
        };
        self.members.get(&conference).into_iter().flatten().copied().filter(inside).collect()
    }

    /// Probability that the known state of a user is wrong at `now`.
    pub(super) fn wrong_at(&self, index: usize, now: i64) -> f64 {
        let watched = &self.people[index];
        let Some(table) = watched.table.as_deref().filter(|table| table.covers(now)) else {
            return watched.wrong;
        };
        let (from, to) = (minute_of(table, watched.anchor.max(table.opens)), minute_of(table, now));
        match &watched.inside {
            None => table.trend.at(from, watched.wrong, to),
            Some(Inside { view: Some(view), .. }) => {
                let within = |minute: usize| minute.saturating_sub(view.from).min(view.trend.end());
                view.trend.at(within(from), watched.wrong, within(to))
            }
            Some(_) => watched.wrong,
        }
    }
}
