//! The pacer: takes observations, returns the next poll of each user.
//!
//! Guards: the next poll is strictly later than now, never sooner than `min_interval` after the last one; the same calls
//! in the same order give the same polls. A user's day is forecast once; after that the cost of a decision depends on the
//! minutes ahead, not on the number of users. Not here: making calls, and counting them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::visit_history::LocalVisit;
use crate::time::{Timestamp, duration_ms};

mod calendar;
mod decide;
mod demand;
mod forecast;
mod learning;
mod spending;
mod state;
mod types;
mod user;

use self::calendar::Calendar;
use self::learning::Learned;
use self::spending::Spending;
use self::user::{Inside, PacerUser, minute_of};

pub use self::spending::whole_calls;
pub use self::state::Pacer;
pub use self::types::{
    CallBudget, PacedUser, PollDecision, Rule, Seen, Settings, SweepAllocation, Visit, Why,
};

/// A user who rejoins within this time has not left, if the even interval is not known.
const SHORT_GAP_MS: i64 = 300_000;
/// Forecasts of this many users are cached; one is up to 100 KB. Others are computed again when needed.
const CACHED_FORECASTS: usize = 64;

impl Pacer {
    /// A pacer without history.
    pub fn new(settings: Settings, users: &[PacedUser], now: Timestamp) -> Self {
        let mut counts = vec![0.0; settings.open.len()];
        for user in users {
            counts[user.open] += 1.0;
        }
        let watched = |user: &PacedUser| PacerUser {
            key: user.key,
            open: user.open,
            anchor: now.as_ms(),
            ..PacerUser::default()
        };
        let calendar = Calendar::new(settings.time_zone, settings.open.clone(), counts, now.as_ms());
        Self {
            users: users.iter().map(watched).collect(),
            calendar,
            learned: Learned::new(users.len()),
            members: BTreeMap::new(),
            spending: Spending::default(),
            inside: 0,
            cached: VecDeque::new(),
            cache_size: CACHED_FORECASTS,
            short_gap_ms: SHORT_GAP_MS,
            settings,
        }
    }

    /// Adapts to the interval that even spreading would have.
    #[must_use]
    pub fn with_even_interval(self, even: Duration) -> Self {
        let gap = (even / 8).clamp(Duration::from_secs(30), Duration::from_mins(45));
        Self { short_gap_ms: duration_ms(gap), ..self }
    }

    /// Caches the forecasts of all users: faster, with more memory, and the same decisions.
    #[must_use]
    pub fn with_full_cache(self) -> Self {
        Self { cache_size: usize::MAX, ..self }
    }

    /// Replaces everything learned by these visits, up to `now`; the price and the known states are kept.
    pub fn learn_from(&mut self, visits: &[Visit], now: Timestamp) {
        self.learned = Learned::new(self.users.len());
        for watched in &mut self.users {
            (watched.day_forecast, watched.made, watched.near) = (None, None, None);
        }
        let mut days: BTreeMap<i32, Vec<(u32, LocalVisit)>> = BTreeMap::new();
        for visit in visits {
            let (day, local) = self.calendar.local_visit(visit.conference, visit.joined, visit.left);
            days.entry(day).or_default().push((visit.user, local));
        }
        let (today, gap_ms) = (self.calendar.day_of(now.as_ms()), self.short_gap_ms);
        self.learned.last_day = days.keys().next().map(|first| first - 1);
        for (day, visits) in days {
            self.learned.learn_until(day.min(today) - 1, &mut self.calendar, &self.users);
            for (user, visit) in visits {
                self.learned.histories[user as usize].note(day, visit, gap_ms);
            }
        }
        self.learned.learn_until(today - 1, &mut self.calendar, &self.users);
    }

    /// Advances to `now`: learns the days that have ended.
    pub(super) fn advance_to(&mut self, now: Timestamp) {
        let at = now.as_ms();
        self.calendar.advance_to(at);
        let yesterday = self.calendar.day_of(at) - 1;
        if self.learned.last_day.is_none() {
            self.learned.last_day = Some(yesterday);
        }
        if self.learned.last_day < Some(yesterday) {
            self.learned.learn_until(yesterday, &mut self.calendar, &self.users);
            self.spending.day_over();
            self.members.retain(|_, members| {
                members.retain(|who| self.users[*who as usize].inside.is_some());
                !members.is_empty()
            });
        }
    }

    /// Takes an answer about `user`. Returns the other users whose next poll may have moved.
    pub fn observed(&mut self, user: u32, now: Timestamp, seen: &[Seen]) -> Vec<u32> {
        self.advance_to(now);
        let mut moved = BTreeSet::new();
        let (now_ms, gap_ms) = (now.as_ms(), self.short_gap_ms);
        let before = self.users[user as usize].inside.as_ref().map(|inside| inside.conference);
        let mut running: Option<(Seen, i32, LocalVisit)> = None;
        for record in seen {
            let (day, visit) = self.calendar.local_visit(record.conference, record.joined, record.left);
            let new = self.learned.histories[user as usize].note(day, visit, gap_ms);
            if record.left.is_none() {
                if running.as_ref().is_none_or(|(other, ..)| other.joined <= record.joined) {
                    running = Some((*record, day, visit));
                }
                if new {
                    self.joined(user, record, now_ms, &mut moved);
                } else {
                    self.still_there(user, record.conference, now_ms, &mut moved);
                }
                self.members.entry(record.conference).or_default().insert(user);
            }
        }
        if let Some(left) =
            before.filter(|left| seen.iter().all(|r| r.conference != *left || r.left.is_some()))
        {
            let when = seen.iter().filter(|r| r.conference == left).filter_map(|r| r.left).max();
            self.left(user, left, when.map_or(now_ms, Timestamp::as_ms), now_ms, &mut moved);
        }
        let watched = &mut self.users[user as usize];
        if let Some(hint) = watched.hint.take() {
            self.learned.co_meeting_graph.learn_hint(&hint, running.is_some());
        }
        self.inside = self.inside + usize::from(running.is_some()) - usize::from(watched.inside.is_some());
        watched.last_poll = Some(now_ms);
        (watched.anchor, watched.wrong, watched.near) = (now_ms, 0.0, None);
        let last = seen.iter().filter_map(|record| record.left).max().map(|left| left.as_ms().min(now_ms));
        watched.left = last.or(before.map(|_| now_ms)).or(watched.left);
        let history = &self.learned.histories[user as usize];
        watched.inside = running.map(|(record, day, visit)| Inside {
            conference: record.conference,
            day,
            visit: history.stay(day, &visit),
        });
        moved.remove(&user);
        moved.into_iter().collect()
    }

    /// The price of a call now, in wrong minutes, if there is one.
    pub fn price(&self) -> Option<f64> {
        self.spending.last_price()
    }

    /// Expected wrong minutes and calls of `user` from `now` to closing.
    pub fn expected(&mut self, user: u32, now: Timestamp, call_budget: &CallBudget) -> (f64, f64) {
        self.advance_to(now);
        let price = self.price_now(user as usize, now.as_ms(), call_budget, 0.0);
        if self.calendar.hours[self.users[user as usize].open].span_at(now.as_ms()).is_none() {
            return (0.0, 0.0);
        }
        self.prepare(user as usize, now.as_ms(), price);
        let Some(day_forecast) = &self.users[user as usize].day_forecast else { return (0.0, 0.0) };
        let at = minute_of(day_forecast, now.as_ms());
        let (value, calls) = (day_forecast.outlook.value[at], day_forecast.outlook.calls[at]);
        ((value - price * calls).max(0.0), calls)
    }
}
