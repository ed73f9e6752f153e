//! Forecasts a user's day, current visit and rejoin, and applies what an observation of one user says about others.
//!
//! Guards: a day is forecast once, a visit once after each poll. Not here: the probabilities (`join_model`,
//! `duration_model`, `rejoin_model`, `co_meetings`).
#![expect(clippy::cast_possible_wrap, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::co_meetings::met_then;
use super::super::join_model::Joins;
use super::super::lookahead::{self, Outlook, Trend};
use super::super::visit_history::{SLOTS, slot_of, split};
use super::state::Pacer;
use super::types::Seen;
use super::user::{DAY_MS, DayForecast, MINUTE_MS, NearForecast, minute_of};
use crate::time::duration_ms;

/// The forecast begins so many minutes before opening, for users who are inside by then.
const PRELUDE: usize = 120;
/// Endless open time is cut into days; each forecast reaches this far beyond its day.
const BEYOND_MS: i64 = 6 * 3_600_000;
/// Length of a visit's forecast, in minutes.
const VISIT_AHEAD: usize = 300;
/// A rejoin is forecast this long after a leave, for so many minutes.
const REJOIN_MS: i64 = 160 * MINUTE_MS;
const REJOIN_AHEAD: usize = 120;
/// Probability at opening that the state of a user who was inside at closing is wrong.
const OVER_NIGHT: f64 = 0.9;
/// A user found inside leaves this much faster than the mean visit, for the purpose of counting calls.
const LEAVES_FOUND: f64 = 1.5;
/// An unseen visit ends this much more slowly than the mean visit: long visits take most of the time.
const ENDS_UNSEEN: f64 = 0.6;

impl Pacer {
    /// Forecasts the part of the day that contains `at`, unless it is cached.
    pub(super) fn prepare(&mut self, index: usize, at: i64, price: f64) {
        let mut at_midnight = None;
        if self.users[index].day_forecast.as_deref().is_none_or(|day_forecast| !day_forecast.covers(at)) {
            at_midnight = self.wrong_at_end(index);
            self.forecast_day(index, at, price);
        }
        self.touch_cache(index);
        let Some(day_forecast) = self.users[index].day_forecast.take() else { return };
        let watched = &mut self.users[index];
        if watched.anchor < day_forecast.opens {
            let carried = at_midnight.filter(|(until, _)| *until == day_forecast.opens);
            watched.wrong = match (carried, &watched.inside) {
                (Some((_, wrong)), _) => wrong,
                (None, Some(_)) => OVER_NIGHT,
                (None, None) => day_forecast.trend.unpolled(minute_of(&day_forecast, day_forecast.opens)),
            };
            watched.anchor = day_forecast.opens;
            watched.near = None;
        }
        let watched = &self.users[index];
        if watched.near.is_none() {
            let near = match (&watched.inside, watched.left) {
                (Some(_), _) => Some(self.visit_forecast(index, &day_forecast, watched.anchor, price)),
                (None, Some(left)) if watched.anchor - left < REJOIN_MS => {
                    Some(self.rejoin_forecast(&day_forecast, (left, watched.anchor), price))
                }
                _ => None,
            };
            self.users[index].near = near;
        }
        self.users[index].day_forecast = Some(day_forecast);
    }

    /// The end of the last forecast day and the probability that the state is wrong then, if it is still open then.
    fn wrong_at_end(&mut self, index: usize) -> Option<(i64, f64)> {
        let (_, until, _) = self.users[index].made?;
        // A user who may be polled at midnight has no night.
        self.calendar.hours[self.users[index].open].span_at(until).filter(|(opens, _)| *opens < until)?;
        self.restore_forecast(index, until - 1);
        Some((until, self.wrong_at(index, until - 1)))
    }

    /// An evicted forecast is computed again at the price it was first made at, so it comes out the same.
    fn forecast_day(&mut self, index: usize, at: i64, price: f64) {
        let made = self.users[index].made.filter(|(opens, until, _)| (*opens..*until).contains(&at));
        let price = made.map_or(price, |(.., price)| price);
        let day_forecast = self.day_forecast(index, at, price).map(Box::new);
        let watched = &mut self.users[index];
        watched.made =
            day_forecast.as_ref().map(|day_forecast| (day_forecast.opens, day_forecast.until, price));
        watched.day_forecast = day_forecast;
    }

    /// Restores an evicted forecast if it still applies.
    pub(super) fn restore_forecast(&mut self, index: usize, at: i64) {
        let watched = &self.users[index];
        let Some((opens, until, price)) = watched.made.filter(|_| watched.day_forecast.is_none()) else {
            return;
        };
        if (opens..until).contains(&at) {
            self.forecast_day(index, at, price);
            self.touch_cache(index);
        }
    }

    fn touch_cache(&mut self, index: usize) {
        if let Some(place) = self.cached.iter().rposition(|other| *other == index) {
            self.cached.remove(place);
        }
        self.cached.push_back(index);
        if self.cached.len() > self.cache_size
            && let Some(other) = self.cached.pop_front()
        {
            self.users[other].day_forecast = None;
        }
    }

    pub(super) fn day_forecast(&mut self, index: usize, at: i64, price: f64) -> Option<DayForecast> {
        let class = self.users[index].open;
        let (mut opens, mut until) = self.calendar.hours[class].span_at(at)?;
        let mut end = until;
        if until - opens > 30 * 3_600_000 {
            let offset = self.calendar.local(at) - at;
            let midnight = i64::from(split(at + offset).0) * DAY_MS - offset;
            opens = opens.max(midnight);
            until = until.min(midnight + DAY_MS);
            end = end.min(until + BEYOND_MS);
        }
        let prelude = PRELUDE as i64 * MINUTE_MS;
        let from = opens - prelude;
        let offset = self.calendar.local(opens) - opens;
        let count = usize::try_from((end - from + MINUTE_MS - 1) / MINUTE_MS).unwrap_or(0);
        let (mut chance, mut back) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut patterns = [0; SLOTS];
        let mut joins: Option<(i32, Joins)> = None;
        let mean = self.learned.durations.mean_minutes();
        for step in 0..count {
            let (day, ms) = split(from + offset + step as i64 * MINUTE_MS);
            if joins.as_ref().is_none_or(|(known, _)| *known != day) {
                let days = self.calendar.comparable_days(class, day);
                let ahead = self.learned.joins.ahead(
                    &self.learned.join_rates[index],
                    &self.learned.histories[index],
                    &days,
                );
                if joins.is_none() || step <= PRELUDE {
                    patterns = ahead.patterns;
                }
                joins = Some((day, ahead));
            }
            let minute = usize::try_from(ms / MINUTE_MS).unwrap_or(0).min(1439);
            chance.push(joins.as_ref().map_or(0.0, |(_, joins)| joins.chance[minute]));
            back.push(ENDS_UNSEEN / mean);
        }
        let trend = Trend::new(&chance, &back);
        let ((cost, calls), visit, end) = (self.following(price), self.residual(), trend.end());
        let found = |to: usize, known: &Outlook| {
            let after = (to + visit).min(end);
            (known.value[after] + cost, known.calls[after] + calls)
        };
        let outlook = lookahead::outlook(&trend, found, price, (0.0, 0.0), self.longest());
        Some(DayForecast { from, opens, until, offset, chance, patterns, trend, outlook })
    }

    pub(super) fn visit_forecast(
        &self,
        index: usize,
        day_forecast: &DayForecast,
        at: i64,
        price: f64,
    ) -> NearForecast {
        let from = minute_of(day_forecast, at);
        let count = VISIT_AHEAD.min(day_forecast.trend.end() - from);
        let watched = &self.users[index];
        let mut chance = vec![0.0; count];
        if let Some(inside) = &watched.inside {
            let midnight = i64::from(inside.day) * DAY_MS - day_forecast.offset;
            let since = day_forecast.from + from as i64 * MINUTE_MS - midnight;
            let class = watched.open;
            let days = self.calendar.cached_comparable_days(class, inside.day);
            chance = self.learned.durations.ahead(
                &self.learned.histories[index],
                &days,
                &inside.visit,
                since,
                count,
            );
        }
        // An absence ends by a usual join, or as absences do.
        let again = self.learned.rejoins.mean();
        let back: Vec<f64> =
            day_forecast.chance[from..from + count].iter().map(|chance| chance.max(again)).collect();
        let trend = Trend::new(&chance, &back);
        let at_end = (day_forecast.outlook.value[from + count], day_forecast.outlook.calls[from + count]);
        let found = |to: usize, _: &Outlook| {
            (day_forecast.outlook.value[from + to], day_forecast.outlook.calls[from + to])
        };
        let outlook = lookahead::outlook(&trend, found, price, at_end, self.longest());
        NearForecast { from, trend, outlook, chance }
    }

    /// A user who left at `left` may rejoin soon.
    fn rejoin_forecast(&self, day: &DayForecast, (left, at): (i64, i64), price: f64) -> NearForecast {
        let from = minute_of(day, at);
        let count = REJOIN_AHEAD.min(day.trend.end() - from);
        let since = (at - left) / MINUTE_MS;
        let chance: Vec<f64> = (0..count)
            .map(|step| (day.chance[from + step] + self.learned.rejoins.chance(since + step as i64)).min(0.9))
            .collect();
        let back = vec![ENDS_UNSEEN / self.learned.durations.mean_minutes(); count];
        let trend = Trend::new(&chance, &back);
        let ((cost, calls), visit, end) = (self.following(price), self.residual(), day.trend.end());
        let found = |to: usize, _: &Outlook| {
            let after = (from + to + visit).min(end);
            (day.outlook.value[after] + cost, day.outlook.calls[after] + calls)
        };
        let at_end = (day.outlook.value[from + count], day.outlook.calls[from + count]);
        let outlook = lookahead::outlook(&trend, found, price, at_end, self.longest());
        NearForecast { from, trend, outlook, chance }
    }

    /// `max_interval` in minutes.
    fn longest(&self) -> usize {
        let minutes = duration_ms(self.settings.max_interval) / MINUTE_MS;
        usize::try_from(minutes).unwrap_or(usize::MAX).max(1)
    }

    /// Expected minutes that a user found inside remains.
    pub(super) fn residual(&self) -> usize {
        let minutes =
            Duration::from_secs_f64(60.0 * self.learned.durations.mean_minutes().min(720.0)).as_secs() / 60;
        usize::try_from(minutes).unwrap_or(720)
    }

    /// Cost of following a user found inside until the leave, and its calls.
    pub(super) fn following(&self, price: f64) -> (f64, f64) {
        lookahead::episode(price, LEAVES_FOUND / self.learned.durations.mean_minutes())
    }

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
            let polled =
                self.users[index].last_poll.is_some_and(|last| last > record.joined.as_ms() + 2 * MINUTE_MS);
            let graph = &self.learned.co_meeting_graph;
            let size = 1 + self.others_in(record.conference, user).len();
            let hint = graph.hint(&self.learned.co_meetings[user as usize], other, size, met, polled);
            let chance = graph.chance(&hint);
            self.restore_forecast(index, now);
            let wrong = self.wrong_at(index, now);
            if chance > wrong {
                let watched = &mut self.users[index];
                (watched.anchor, watched.wrong, watched.hint) = (now, chance, Some(hint));
                moved.insert(other);
            }
        }
    }

    /// A user is still inside: the other members probably are too.
    pub(super) fn still_there(&mut self, user: u32, conference: u64, now: i64, moved: &mut BTreeSet<u32>) {
        let others = self.others_in(conference, user);
        let together = self.learned.co_meeting_graph.leaves_together(1 + others.len());
        for other in others {
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
        let others = self.others_in(conference, user);
        let together = self.learned.co_meeting_graph.leaves_together(1 + others.len());
        for other in others {
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
        if watched.inside.is_some() && watched.near.is_none() {
            return watched.wrong;
        }
        let (from, to) =
            (minute_of(day_forecast, watched.anchor.max(day_forecast.opens)), minute_of(day_forecast, now));
        let Some(near) = &watched.near else { return day_forecast.trend.at(from, watched.wrong, to) };
        near.trend.at(near.minute(from), watched.wrong, near.minute(to))
    }
}
