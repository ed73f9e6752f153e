//! Spending of the month's calls: the price of a call, from the expected demand and the calls that remain.
//!
//! Guards: the last calls are kept for seeing out the users who are inside. Not here: how demand is expected (`demand`),
//! how the price is calibrated (`shadow_price`), polls (`decide`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::time::Duration;

use super::super::shadow_price::{ShadowPrice, square};
use super::calendar::Calendar;
use super::demand::Demand;
use super::learning::Learned;
use super::types::CallBudget;
use super::user::{DAY_MS, PacerUser};

/// The price of a call and the demand that it comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Spending {
    price: Option<ShadowPrice>,
    demand: Option<Demand>,
}

impl Spending {
    /// Expects the demand until the end of the plan, once a day.
    pub(super) fn expect(
        &mut self,
        at: i64,
        until: i64,
        users: &[PacerUser],
        learned: &Learned,
        calendar: &mut Calendar,
    ) {
        let day = calendar.day_of(at);
        if self.demand.as_ref().is_none_or(|demand| !demand.holds(day, until)) {
            let before = self.demand.take();
            self.demand = Some(Demand::of(before.as_ref(), at, until, users, learned, calendar));
        }
    }

    /// Whether the price was calibrated.
    pub(super) fn is_calibrated(&self) -> bool {
        self.price.is_some()
    }

    /// Calibrates the price for the first time: `ratio` tells real to expected demand at a price.
    pub(super) fn calibrate(&mut self, at: i64, left: f64, mut ratio: impl FnMut(f64) -> f64) {
        let Some(demand) = &self.demand else { return };
        let (rest, mut guess) = (demand.rest(at), 1.0);
        for _ in 0..3 {
            guess = f64::midpoint(guess, ratio(square(guess * rest / left.max(0.5))));
        }
        self.price = Some(ShadowPrice::new(guess, demand.mean_day()));
    }

    /// The price of a call now, at least `least`, with `left` calls.
    pub(super) fn price(&mut self, at: i64, used: u64, left: f64, least: f64) -> f64 {
        let Some((price, demand)) = self.price.as_mut().zip(self.demand.as_ref()) else { return 1.0 };
        let now = price.at(demand.rest(at), left).max(least);
        price.record(at, used, now, |last| demand.between(last, at));
        now
    }

    /// The price at the last decision.
    pub(super) fn last_price(&self) -> Option<f64> {
        self.price.as_ref()?.last()
    }

    /// Ends a day.
    pub(super) fn day_over(&mut self) {
        if let Some(price) = &mut self.price {
            price.day_over();
        }
    }
}

/// Days of even spending ahead of the plan; negative: behind.
pub(super) fn lead(calendar: &Calendar, at: i64, call_budget: &CallBudget) -> f64 {
    let (from, until) = (call_budget.from.as_ms(), call_budget.until.as_ms());
    let all = calendar.open_minutes(from, until).max(1.0);
    let calls = call_budget.calls.unwrap_or(u64::MAX) as f64;
    let passed = calendar.open_minutes(from, at) / all;
    let midnight = calendar.midnight_after(at);
    let day = calendar.open_minutes(midnight - DAY_MS, midnight) / all;
    (call_budget.used as f64 - calls * passed) / (calls * day).max(1.0)
}

/// The interval of even spreading in open time, at most a month.
pub(super) fn even_ms(calendar: &Calendar, at: i64, call_budget: &CallBudget) -> i64 {
    let left = call_budget.calls.map_or(u64::MAX, |calls| calls.saturating_sub(call_budget.used));
    let minutes = calendar.open_minutes(at, call_budget.until.as_ms());
    let ms = minutes * 60_000.0 / (left.max(1) as f64);
    Duration::from_secs_f64((ms / 1000.0).clamp(0.0, 2.7e6)).as_millis().try_into().unwrap_or(i64::MAX)
}

/// This share of `calls`, in whole calls.
pub fn whole_calls(calls: u64, share: f64) -> u64 {
    let parts = Duration::from_secs_f64(share.clamp(0.0, 1.0)).as_nanos();
    u64::try_from(u128::from(calls) * parts / 1_000_000_000).unwrap_or(calls)
}
