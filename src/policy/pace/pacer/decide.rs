//! Decides when a user is polled next.
//!
//! Guards: the poll is strictly later than now, not sooner than `min_interval` after the last one, and in open time; a
//! poll is made where it saves more wrong time than its price, beside trusted sweeps more than its call would save in
//! a sweep, or in turn. Not here: expected costs (`forecast`), the price (`spending`), sweeps (`policy::sweep`).
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use std::time::Duration;

use super::super::even::Phase;
use super::super::lookahead::{self, Choice};
use super::super::visit_history::{SLOTS, slot_of, split};
use super::demand;
use super::spending::{even_ms, lead};
use super::state::{ENOUGH, Pacer};
use super::types::{CallBudget, PollDecision, Rule, SweepAllocation, Why};
use super::user::{DAY_MS, DayForecast, MINUTE_MS, NearForecast, PacerUser, minute_of};
use crate::time::{Timestamp, duration_ms};

/// Below this interval the rule's resolution of a minute is too coarse, and there is nothing to save.
const FINE_MS: i64 = 120_000;
/// Number of users whose next day is forecast to calibrate the first price.
const FORECAST_FIRST: usize = 6;
/// Bounds of the value of a call in a sweep, in wrong minutes.
const CHEAPEST: f64 = 1e-3;
const DEAREST: f64 = 1e4;
/// A poll beside sweeps that is not worth its price is rarely worth it half an hour later: the decision is repeated
/// after this time.
const LATER_MS: i64 = 2 * 3_600_000;
/// If no poll is worth its price, the decision is repeated after this time: the price falls if other users spend less.
const AGAIN_MS: i64 = 30 * MINUTE_MS;

/// The state of a user and the minutes of the day forecast in which a poll may be placed.
struct Search {
    now: usize,
    /// Minute at which the known state was wrong with probability `wrong`.
    anchor: usize,
    wrong: f64,
    first: usize,
    last: usize,
    price: f64,
}

/// The best poll, the probability that the state is wrong now, and the highest probability of a change before the poll.
struct Found {
    choice: Choice,
    wrong_now: f64,
    peak: f64,
}

impl Pacer {
    /// The next poll of `user`. Strictly later than `now`.
    pub fn next_poll_at(&mut self, user: u32, now: Timestamp, call_budget: &CallBudget) -> PollDecision {
        self.advance_to(now);
        let at = now.as_ms();
        let index = user as usize;
        let open = self.users[index].open;
        let Some((_, end)) = self.calendar.hours[open].span_at(at) else {
            let opens = self.calendar.hours[open].open_from(at).unwrap_or(at + DAY_MS);
            let why = Why { rule: Rule::Closed, ..Why::default() };
            return PollDecision::Replan(Timestamp::from_ms(opens.max(at + 1)), why);
        };
        let min_ms = duration_ms(self.settings.min_interval).max(1);
        let even_ms = even_ms(&self.calendar, at, call_budget);
        let soonest = self.users[index].last_poll.map_or(at + 1, |last| (last + min_ms).max(at + 1));
        if call_budget.calls.is_none() || even_ms <= FINE_MS {
            let interval = Duration::from_millis(u64::try_from(even_ms.max(min_ms)).unwrap_or(1));
            return self.evenly(index, at, interval, Rule::Plenty);
        }
        let lead = lead(&self.calendar, at, call_budget);
        if call_budget.calls.is_some_and(|calls| call_budget.used >= calls) {
            let why = Why { rule: Rule::Spent, lead, ..Why::default() };
            return self.after_closing(index, at, end, why);
        }
        if let Some(sweeps) = &call_budget.sweeps {
            return self.beside_sweeps(index, at, soonest, sweeps, (call_budget, lead));
        }
        if self.learned.joins.seen() < ENOUGH {
            let interval = Duration::from_millis(u64::try_from(even_ms.max(min_ms)).unwrap_or(1));
            return self.evenly(index, at, interval, Rule::Even);
        }
        let price = self.price_now(index, at, call_budget, 0.0);
        self.prepare(index, at, price);
        self.choose(index, at, soonest, price, lead)
    }

    /// Works out the demand and the first price, so that the first decision does not take longer than others.
    pub fn expect(&mut self, now: Timestamp, call_budget: &CallBudget) {
        self.advance_to(now);
        if call_budget.calls.is_some() && self.learned.joins.seen() >= ENOUGH {
            self.expect_demand(now.as_ms(), call_budget);
        }
    }

    /// The calls that are left.
    fn expect_demand(&mut self, at: i64, call_budget: &CallBudget) -> f64 {
        let until = call_budget.until.as_ms();
        self.spending.expect(at, until, &self.users, &self.learned, &mut self.calendar);
        let left = call_budget.calls.map_or(u64::MAX, |calls| calls.saturating_sub(call_budget.used)) as f64;
        if !self.spending.is_calibrated() {
            let mut spending = std::mem::take(&mut self.spending);
            spending.calibrate(at, left, |price| self.real_demand(at, price));
            self.spending = spending;
        }
        left
    }

    /// The price of a call for this user now, at least `least`.
    pub(super) fn price_now(&mut self, index: usize, at: i64, call_budget: &CallBudget, least: f64) -> f64 {
        let left = self.expect_demand(at, call_budget);
        // The last calls see out the users who are inside.
        let kept = if self.users[index].inside.is_some() { 0.0 } else { self.inside as f64 };
        self.spending.price(at, call_budget.used, (left - kept).max(0.0), least)
    }

    /// Real to expected demand at this price: what the next day of a few users is forecast to take.
    fn real_demand(&mut self, at: i64, price: f64) -> f64 {
        let (mut real, mut expected) = (0.0, 0.0);
        for index in (0..self.users.len()).step_by(self.users.len().div_ceil(FORECAST_FIRST).max(1)) {
            let hours = &self.calendar.hours[self.users[index].open];
            let Some(from) = hours.open_from(self.calendar.midnight_after(at)) else { continue };
            let Some(day) = self.day_forecast(index, from, price) else { continue };
            real += day.outlook.calls[minute_of(&day, day.opens)] * price.sqrt();
            let local_day = self.calendar.day_of(from);
            let of_user =
                demand::of_user(local_day, index, &self.users[index], &self.learned, &mut self.calendar);
            expected += of_user.iter().sum::<f64>();
        }
        if expected > 0.0 { (real / expected).clamp(0.05, 2.0) } else { 1.0 }
    }

    fn after_closing(&self, index: usize, at: i64, closes: i64, why: Why) -> PollDecision {
        let again = closes.min(self.calendar.midnight_after(at)).max(at + 1);
        let opens = self.calendar.hours[self.users[index].open].open_from(again).unwrap_or(again);
        PollDecision::Replan(Timestamp::from_ms(opens), why)
    }

    /// Even spreading over open time.
    fn evenly(&self, index: usize, at: i64, interval: Duration, rule: Rule) -> PollDecision {
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

    fn beside_sweeps(
        &mut self,
        index: usize,
        at: i64,
        soonest: i64,
        sweeps: &SweepAllocation,
        (call_budget, lead): (&CallBudget, f64),
    ) -> PollDecision {
        let few = CallBudget { calls: Some(sweeps.in_turn), used: 0, ..*call_budget };
        let interval = Duration::from_millis(even_ms(&self.calendar, at, &few).unsigned_abs().max(1));
        let in_turn = self.evenly(index, at, interval.max(self.settings.min_interval), Rule::InTurn);
        // A user found in a meeting that sweeps do not list is followed, even with little history.
        if self.learned.joins.seen() < ENOUGH && self.users[index].inside.is_none() {
            return in_turn;
        }
        let worth = sweeps.worth.clamp(CHEAPEST, DEAREST);
        let price = self.price_now(index, at, call_budget, worth);
        self.prepare(index, at, price);
        let chosen = match self.choose(index, at, soonest, price, lead) {
            PollDecision::Replan(when, why) if why.rule == Rule::NotWorth => {
                PollDecision::Replan(when.max(self.later_today(index, at)), why)
            }
            chosen => chosen,
        };
        match (&chosen, &in_turn) {
            (
                PollDecision::Poll(first, _) | PollDecision::Replan(first, _),
                PollDecision::Poll(second, _),
            ) if second < first => in_turn,
            _ => chosen,
        }
    }

    fn later_today(&self, index: usize, at: i64) -> Timestamp {
        let closes = self.calendar.hours[self.users[index].open].span_at(at).map_or(at, |(_, closes)| closes);
        let later = at + LATER_MS;
        Timestamp::from_ms(if later < closes { later } else { at })
    }

    fn choose(&self, index: usize, at: i64, soonest: i64, price: f64, lead: f64) -> PollDecision {
        let watched = &self.users[index];
        let Some(day) = &watched.day_forecast else {
            return PollDecision::Replan(Timestamp::from_ms(at + MINUTE_MS), Why::default());
        };
        let search = self.search(watched, day, at, soonest, price);
        let follow = (self.following(price).0, self.residual());
        let found = match &watched.near {
            Some(near) => choose_near(day, near, &search, watched.inside.is_none().then_some(follow)),
            None => choose_outside(day, &search, follow),
        };
        let Found { choice, wrong_now, peak } = found;
        let mut why = Why {
            rule: Rule::Worth,
            inside: watched.inside.is_some(),
            price,
            wrong_now,
            wrong_then: choice.wrong,
            cost: choice.cost,
            peak,
            pattern: 0,
            lead,
        };
        let minute = match choice.minute {
            Some(minute) => minute,
            None if search.last < minute_of(day, day.until) => {
                why.rule = Rule::Longest;
                search.last
            }
            None => {
                why.rule = Rule::NotWorth;
                let opens = self.calendar.hours[watched.open].open_from(day.until);
                let opens = opens.unwrap_or(day.until + DAY_MS).max(at + 1);
                let again = if at + AGAIN_MS < day.until { at + AGAIN_MS } else { opens };
                return PollDecision::Replan(Timestamp::from_ms(again), why);
            }
        };
        // Within the minute every user has an offset, so that calls never bunch on the full minute.
        let place = i64::try_from(watched.key % 60_000).unwrap_or(0);
        let when = day.from + minute as i64 * MINUTE_MS - MINUTE_MS / 2 + place;
        let when = when.max(soonest).max(at + 1);
        let slot = slot_of(split(when + day.offset).1).0.min(SLOTS - 1);
        why.pattern = day.patterns[slot];
        if when >= day.until {
            return PollDecision::Replan(Timestamp::from_ms(day.until.max(at + 1)), why);
        }
        PollDecision::Poll(Timestamp::from_ms(when), why)
    }

    fn search(&self, watched: &PacerUser, day: &DayForecast, at: i64, soonest: i64, price: f64) -> Search {
        let last_poll = watched.last_poll.unwrap_or(day.opens).max(day.opens);
        let latest = last_poll.saturating_add(duration_ms(self.settings.max_interval)).max(soonest);
        Search {
            now: minute_of(day, at),
            anchor: minute_of(day, watched.anchor.max(day.opens)),
            wrong: watched.wrong,
            first: minute_of(day, soonest.max(at)),
            last: minute_of(day, latest.min(day.from + day.trend.end() as i64 * MINUTE_MS)),
            price,
        }
    }
}

/// The best poll by the forecasts of the next hours and of the day. `follow`: of a user who is outside.
fn choose_near(
    day: &DayForecast,
    near: &NearForecast,
    search: &Search,
    follow: Option<(f64, usize)>,
) -> Found {
    let changed = |minute: usize| match follow {
        Some((cost, visit)) => day.outlook.value[(minute + visit).min(day.trend.end())] + cost,
        None => day.outlook.value[minute.min(day.trend.end())],
    };
    let value =
        |to: usize, wrong: f64| (1.0 - wrong) * near.outlook.value[to] + wrong * changed(near.from + to);
    let anchor = near.minute(search.anchor);
    let range = (near.minute(search.first), near.minute(search.last));
    let mut choice = lookahead::choose(&near.trend, anchor, search.wrong, range, search.price, value);
    if choice.minute.is_none() && near.from + near.trend.end() < day.trend.end() {
        match follow {
            Some(follow) => return choose_outside(day, search, follow),
            // If the forecast of a visit ends before closing, its end is the latest poll.
            None => choice.minute = Some(near.trend.end()),
        }
    }
    choice.minute = choice.minute.map(|minute| minute + near.from);
    let peak = choice.minute.map_or(0.0, |minute| peak(&near.chance, near.minute(minute)));
    let wrong_now = near.trend.at(anchor, search.wrong, near.minute(search.now));
    Found { choice, wrong_now, peak }
}

/// The best poll of a user who is outside. `cost`: cost of following the user if the poll finds them inside, for
/// `visit` minutes.
fn choose_outside(day: &DayForecast, search: &Search, (cost, visit): (f64, usize)) -> Found {
    let value = |to: usize, wrong: f64| {
        let found = day.outlook.value[(to + visit).min(day.trend.end())] + cost;
        (1.0 - wrong) * day.outlook.value[to] + wrong * found
    };
    let range = (search.first, search.last);
    let choice = lookahead::choose(&day.trend, search.anchor, search.wrong, range, search.price, value);
    let peak = choice.minute.map_or(0.0, |minute| peak(&day.chance, minute));
    Found { choice, wrong_now: day.trend.at(search.anchor, search.wrong, search.now), peak }
}

/// The largest probability in the hour before.
fn peak(chance: &[f64], minute: usize) -> f64 {
    let minute = minute.min(chance.len());
    chance[minute.saturating_sub(60)..minute].iter().fold(0.0, |most: f64, one| most.max(*one))
}
