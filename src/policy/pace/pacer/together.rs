//! What seeing one person says about the people they meet.
//!
//! Deliberately not here: who meets whom (`company`).

use std::collections::BTreeSet;

use super::super::company::met_then;
use super::super::diary::{SLOTS, slot_of, split};
use super::watched::{Inside, minute_of};
use super::words::Seen;
use super::{MINUTE_MS, Pacer};

/// Who was looked at since a colleague joined, and was outside, is so much less likely to come too.
const LOOKED_SINCE: f64 = 0.1;

impl Pacer {
    /// Somebody was newly seen inside: so may be their company.
    pub(super) fn joined(&mut self, person: u32, record: &Seen, now: i64, moved: &mut BTreeSet<u32>) {
        let (day, joined_ms) = split(self.local(record.joined.as_ms()));
        let slot = slot_of(joined_ms).0.min(SLOTS - 1);
        let class = self.people[person as usize].open;
        let before = self.before(class, day);
        let others: Vec<u32> = self.circles[person as usize].colleagues().collect();
        for other in others {
            let index = other as usize;
            if self.people[index].inside.is_some() {
                continue;
            }
            let met = met_then(&self.diaries[person as usize], &self.diaries[index], &before, slot);
            let mut chance = self.company.chance(&self.circles[person as usize], other, met);
            if self.people[index].last_look.is_some_and(|last| last > record.joined.as_ms() + 2 * MINUTE_MS) {
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

    /// Somebody is still inside: so probably is who was there with them.
    pub(super) fn still_there(&mut self, person: u32, conference: u64, now: i64, moved: &mut BTreeSet<u32>) {
        let together = self.company.leaves_together();
        for other in self.others_in(conference, person) {
            self.take_out(other as usize, now);
            let wrong = self.wrong_at(other as usize, now) * (1.0 - together);
            let watched = &mut self.people[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    /// Somebody has left: so may have who was there with them.
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
        let together = self.company.leaves_together();
        for other in self.others_in(conference, person) {
            if self.people[other as usize].last_look.is_some_and(|last| last > when + MINUTE_MS) {
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

    /// How likely what is believed of somebody is wrong at `now`.
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
