//! Calls spent against the budget, and the price of a call that follows.
//!
//! Not here: how the price adapts (`shadow_price`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::time::Duration;

use super::super::even::Phase;
use super::super::shadow_price::{ShadowPrice, SpendingState};
use super::state::Pacer;
use super::types::{CallBudget, PollDecision, Rule, Why};
use super::user::{DAY_MS, minute_of};
use crate::time::{Timestamp, duration_ms};

/// Lower and upper bound of the first price, in wrong minutes.
const CHEAPEST: f64 = 1e-3;
const DEAREST: f64 = 1e3;
/// Number of halvings between these bounds, on a logarithmic scale.
const HALVINGS: u32 = 10;
/// Number of users and open days that the first price is computed from: five days are most users' week.
const ASKED: usize = 24;
const DAYS_ASKED: usize = 5;

impl Pacer {
    pub(super) fn spending_state(
        &self,
        at: i64,
        span: (i64, i64),
        call_budget: &CallBudget,
    ) -> SpendingState {
        let (from, until) = (call_budget.from.as_ms(), call_budget.until.as_ms());
        let all = self.calendar.open_minutes(from, until).max(1.0);
        let closes = span.1.min(self.calendar.midnight_after(at));
        SpendingState {
            used: call_budget.used as f64,
            calls: call_budget.calls.unwrap_or(u64::MAX) as f64,
            passed: self.calendar.open_minutes(from, at) / all,
            day: self.calendar.open_minutes(span.0.max(closes - DAY_MS), closes) / all,
            at_close: self.calendar.open_minutes(from, closes) / all,
        }
    }

    pub(super) fn even_ms(&self, at: i64, call_budget: &CallBudget) -> i64 {
        let left = call_budget.calls.map_or(u64::MAX, |calls| calls.saturating_sub(call_budget.used));
        let minutes = self.calendar.open_minutes(at, call_budget.until.as_ms());
        let ms = minutes * 60_000.0 / (left.max(1) as f64);
        // At most a month.
        Duration::from_secs_f64((ms / 1000.0).clamp(0.0, 2.7e6)).as_millis().try_into().unwrap_or(i64::MAX)
    }

    pub(super) fn after_closing(&self, index: usize, at: i64, closes: i64, why: Why) -> PollDecision {
        let again = closes.min(self.calendar.midnight_after(at)).max(at + 1);
        let opens = self.calendar.hours[self.users[index].open].open_from(again).unwrap_or(again);
        PollDecision::Replan(Timestamp::from_ms(opens), why)
    }

    /// Even spreading over open time.
    pub(super) fn evenly(&self, index: usize, at: i64, interval: Duration, rule: Rule) -> PollDecision {
        let watched = &self.users[index];
        let why = Why { rule, inside: watched.inside.is_some(), ..Why::default() };
        let step = match watched.last_poll {
            Some(last) => duration_ms(interval) - self.calendar.hours[watched.open].open_ms(last, at),
            None => duration_ms(Phase::from_key(watched.key).within(interval)),
        };
        match self.calendar.hours[watched.open].after(at, step.max(1)) {
            Some(when) => PollDecision::Poll(Timestamp::from_ms(when), why),
            None => PollDecision::Replan(Timestamp::from_ms(at + DAY_MS), why),
        }
    }

    /// Sets the first price: the price at which a day's calls are expected to be spent.
    pub(super) fn set_price(&mut self, at: i64, call_budget: &CallBudget) {
        let wanted = 60_000.0 / (self.even_ms(at, call_budget) as f64).max(1.0);
        let (mut low, mut high) = (CHEAPEST, DEAREST);
        for _ in 0..HALVINGS {
            // The geometric mean, because prices span orders of magnitude.
            let price = (low * high).sqrt();
            if self.calls_a_minute(at, price) > wanted {
                low = price;
            } else {
                high = price;
            }
        }
        self.price = Some(ShadowPrice::new((low * high).sqrt()));
    }

    /// Calls of a user in a minute of open time at this price, estimated from a few users' coming days.
    fn calls_a_minute(&mut self, at: i64, price: f64) -> f64 {
        let (mut calls, mut minutes) = (0.0, 0.0);
        for index in (0..self.users.len()).step_by(self.users.len().div_ceil(ASKED).max(1)) {
            let open = self.users[index].open;
            let Some(mut from) = self.calendar.hours[open].open_from(at) else { continue };
            let kept = self.users[index].clone();
            for _ in 0..DAYS_ASKED {
                (self.users[index].day_forecast, self.users[index].made) = (None, None);
                self.prepare(index, from, price);
                let Some(day_forecast) = &self.users[index].day_forecast else { break };
                calls += day_forecast.outlook.calls[minute_of(day_forecast, day_forecast.opens)];
                minutes += (day_forecast.until - day_forecast.opens) as f64 / 60_000.0;
                from = self.calendar.hours[open].open_from(day_forecast.until).unwrap_or(day_forecast.until);
            }
            self.users[index] = kept;
        }
        calls / minutes.max(1.0)
    }
}

/// This share of `calls`, in whole calls.
pub fn whole_calls(calls: u64, share: f64) -> u64 {
    let parts = Duration::from_secs_f64(share.clamp(0.0, 1.0)).as_nanos();
    u64::try_from(u128::from(calls) * parts / 1_000_000_000).unwrap_or(calls)
}
