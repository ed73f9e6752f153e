//! Forecasts a user's day and current visit.
//!
//! Guards: a day is forecast once, a visit once after each poll. Not here: the probabilities (`join_model`,
//! `duration_model`).
#![expect(clippy::cast_possible_wrap, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::time::Duration;

use super::super::join_model::Joins;
use super::super::lookahead::{self, Outlook, Trend};
use super::super::visit_history::{SLOTS, split};
use super::state::Pacer;
use super::user::{DAY_MS, DayForecast, MINUTE_MS, VisitForecast, minute_of};
use crate::time::duration_ms;

/// The forecast begins so many minutes before opening, for users who are inside by then.
const PRELUDE: usize = 120;
/// Endless open time is cut into days; each forecast reaches this far beyond its day.
const BEYOND_MS: i64 = 6 * 3_600_000;
/// Length of a visit's forecast, in minutes.
const VISIT_AHEAD: usize = 300;
/// Probability at opening that the state of a user who was inside at closing is wrong.
const OVER_NIGHT: f64 = 0.9;
/// A user found inside leaves this much faster than the mean visit, for the purpose of counting calls.
const LEAVES_FOUND: f64 = 1.5;
/// An unseen visit ends this much more slowly than the mean visit: long visits take most of the time.
const ENDS_UNSEEN: f64 = 0.6;

impl Pacer {
    /// Forecasts the part of the day that contains `at`, unless it is cached.
    pub(super) fn prepare(&mut self, index: usize, at: i64, price: f64) {
        if self.users[index].day_forecast.as_deref().is_none_or(|day_forecast| !day_forecast.covers(at)) {
            self.forecast_day(index, at, price);
        }
        self.touch_cache(index);
        let Some(day_forecast) = self.users[index].day_forecast.take() else { return };
        let watched = &self.users[index];
        if watched.inside.as_ref().is_some_and(|inside| inside.visit_forecast.is_none()) {
            let visit_forecast =
                self.visit_forecast(index, &day_forecast, at.max(watched.anchor.min(at)), price);
            if let Some(inside) = &mut self.users[index].inside {
                inside.visit_forecast = Some(visit_forecast);
            }
        }
        let watched = &mut self.users[index];
        if watched.anchor < day_forecast.opens {
            watched.wrong = match &watched.inside {
                Some(_) => OVER_NIGHT,
                None => day_forecast.trend.unpolled(minute_of(&day_forecast, day_forecast.opens)),
            };
            watched.anchor = day_forecast.opens;
            if let Some(inside) = &mut watched.inside {
                inside.visit_forecast = None;
            }
        }
        if watched.inside.as_ref().is_some_and(|inside| inside.visit_forecast.is_none()) {
            let visit_forecast = self.visit_forecast(index, &day_forecast, self.users[index].anchor, price);
            if let Some(inside) = &mut self.users[index].inside {
                inside.visit_forecast = Some(visit_forecast);
            }
        }
        self.users[index].day_forecast = Some(day_forecast);
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
        let longest =
            usize::try_from(duration_ms(self.settings.max_interval) / MINUTE_MS).unwrap_or(usize::MAX);
        let ((cost, calls), visit, end) = (self.following(price), self.residual(), trend.end());
        let found = |to: usize, known: &Outlook| {
            let after = (to + visit).min(end);
            (known.value[after] + cost, known.calls[after] + calls)
        };
        let outlook = lookahead::outlook(&trend, found, price, (0.0, 0.0), longest.max(1));
        Some(DayForecast { from, opens, until, offset, chance, patterns, trend, outlook })
    }

    pub(super) fn visit_forecast(
        &self,
        index: usize,
        day_forecast: &DayForecast,
        at: i64,
        price: f64,
    ) -> VisitForecast {
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
        let trend = Trend::new(&chance, &day_forecast.chance[from..from + count]);
        let at_end = (day_forecast.outlook.value[from + count], day_forecast.outlook.calls[from + count]);
        let found = |to: usize, _: &Outlook| {
            (day_forecast.outlook.value[from + to], day_forecast.outlook.calls[from + to])
        };
        let longest =
            usize::try_from(duration_ms(self.settings.max_interval) / MINUTE_MS).unwrap_or(usize::MAX);
        let outlook = lookahead::outlook(&trend, found, price, at_end, longest.max(1));
        VisitForecast { from, trend, outlook, chance }
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
}
