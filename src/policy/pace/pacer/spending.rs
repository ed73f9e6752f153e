//! Calls spent against the budget, and the price of a call that follows.
//!
//! Not here: how the price adapts (`shadow_price`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::time::Duration;

use super::super::even::Phase;
use super::demand::Demand;
use super::state::Pacer;
use super::types::{CallBudget, PollDecision, Rule, Why};
use super::user::DAY_MS;
use crate::time::{Timestamp, duration_ms};

impl Pacer {
    /// Days of even spending ahead of the plan; negative: behind.
    pub(super) fn lead(&self, at: i64, call_budget: &CallBudget) -> f64 {
        let (from, until) = (call_budget.from.as_ms(), call_budget.until.as_ms());
        let all = self.calendar.open_minutes(from, until).max(1.0);
        let calls = call_budget.calls.unwrap_or(u64::MAX) as f64;
        let passed = self.calendar.open_minutes(from, at) / all;
        let midnight = self.calendar.midnight_after(at);
        let day = self.calendar.open_minutes(midnight - DAY_MS, midnight) / all;
        (call_budget.used as f64 - calls * passed) / (calls * day).max(1.0)
    }

    /// The price of a call now.
    pub(super) fn price_now(&mut self, index: usize, at: i64, call_budget: &CallBudget) -> f64 {
        let (day, until) = (self.calendar.day_of(at), call_budget.until.as_ms());
        if self.demand.as_ref().is_none_or(|demand| !demand.holds(day, until)) {
            self.demand = Some(Demand::of(at, until, &self.users, &self.learned, &mut self.calendar));
        }
        let Some(demand) = &self.demand else { return 1.0 };
        let inside = self.users.iter().filter(|user| user.inside.is_some()).count() as f64;
        let left = call_budget.calls.map_or(u64::MAX, |calls| calls.saturating_sub(call_budget.used)) as f64;
        // The last calls see out the users who are inside.
        let left = if self.users[index].inside.is_some() { left } else { (left - inside).max(0.0) };
        let price = self.price.at(demand.rest(at), left);
        self.price.record(at, call_budget.used, price, demand.mean_day(), |last| demand.between(last, at));
        price
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
}

/// This share of `calls`, in whole calls.
pub fn whole_calls(calls: u64, share: f64) -> u64 {
    let parts = Duration::from_secs_f64(share.clamp(0.0, 1.0)).as_nanos();
    u64::try_from(u128::from(calls) * parts / 1_000_000_000).unwrap_or(calls)
}
