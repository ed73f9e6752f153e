//! Applies an observation of one user to the users who meet with them.
//!
//! Not here: the learned counts (`co_meetings`).

use std::collections::BTreeSet;

use super::super::co_meetings::met_then;
use super::super::visit_history::{SLOTS, slot_of, split};
use super::state::Pacer;
use super::types::Seen;
use super::user::{Inside, MINUTE_MS, minute_of};

/// A user polled outside since a colleague joined is this much less likely to join too.
const LOOKED_SINCE: f64 = 0.1;

impl Pacer {
    /// A user was newly seen inside: users who meet with them may be inside too.
    pub(super) fn joined(&mut self, user: u32, record: &Seen, now: i64, moved: &mut BTreeSet<u32>) {
        let (day, joined_ms) = split(self.calendar.local(record.joined.as_ms()));
        let slot = slot_of(joined_ms).0.min(SLOTS - 1);
        let class = self.users[user as usize].open;
        let days = self.calendar.comparable_days(class, day);
        let others: Vec<u32> = self.learned.co_meetings[user as usize].colleagues().collect();
        for other in others {
            let index = other as usize;
            if self.users[index].inside.is_some() {
                continue;
            }
            let met =
                met_then(&self.learned.histories[user as usize], &self.learned.histories[index], &days, slot);
            let mut chance =
                self.learned.co_meeting_graph.chance(&self.learned.co_meetings[user as usize], other, met);
            if self.users[index].last_poll.is_some_and(|last| last > record.joined.as_ms() + 2 * MINUTE_MS) {
                chance *= LOOKED_SINCE;
            }
            self.restore_forecast(index, now);
            let wrong = self.wrong_at(index, now);
            if chance > wrong {
                let watched = &mut self.users[index];
                (watched.anchor, watched.wrong) = (now, chance);
                moved.insert(other);
            }
        }
    }

    /// A user is still inside: the other members probably are too.
    pub(super) fn still_there(&mut self, user: u32, conference: u64, now: i64, moved: &mut BTreeSet<u32>) {
        let together = self.learned.co_meeting_graph.leaves_together();
        for other in self.others_in(conference, user) {
            self.restore_forecast(other as usize, now);
            let wrong = self.wrong_at(other as usize, now) * (1.0 - together);
            let watched = &mut self.users[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    /// A user has left: the other members may have left too.
    pub(super) fn left(
        &mut self,
        user: u32,
        conference: u64,
        when: i64,
        now: i64,
        moved: &mut BTreeSet<u32>,
    ) {
        if let Some(members) = self.members.get_mut(&conference) {
            members.remove(&user);
        }
        let together = self.learned.co_meeting_graph.leaves_together();
        for other in self.others_in(conference, user) {
            if self.users[other as usize].last_poll.is_some_and(|last| last > when + MINUTE_MS) {
                continue;
            }
            self.restore_forecast(other as usize, now);
            let wrong = self.wrong_at(other as usize, now).max(together);
            let watched = &mut self.users[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    pub(super) fn others_in(&self, conference: u64, user: u32) -> Vec<u32> {
        let inside = |other: &u32| {
            let inside = self.users[*other as usize].inside.as_ref();
            *other != user && inside.is_some_and(|inside| inside.conference == conference)
        };
        self.members.get(&conference).into_iter().flatten().copied().filter(inside).collect()
    }

    /// Probability that the known state of a user is wrong at `now`.
    pub(super) fn wrong_at(&self, index: usize, now: i64) -> f64 {
        let watched = &self.users[index];
        let Some(day_forecast) =
            watched.day_forecast.as_deref().filter(|day_forecast| day_forecast.covers(now))
        else {
            return watched.wrong;
        };
        let (from, to) =
            (minute_of(day_forecast, watched.anchor.max(day_forecast.opens)), minute_of(day_forecast, now));
        match &watched.inside {
            None => day_forecast.trend.at(from, watched.wrong, to),
            Some(Inside { visit_forecast: Some(visit_forecast), .. }) => {
                let within = |minute: usize| {
                    minute.saturating_sub(visit_forecast.from).min(visit_forecast.trend.end())
                };
                visit_forecast.trend.at(within(from), watched.wrong, within(to))
            }
            Some(_) => watched.wrong,
        }
    }
}
