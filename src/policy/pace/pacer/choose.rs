//! Chooses one poll.
//!
//! Guards: strictly later than now, not sooner than `min_interval`, and in open time. Not here: the expected costs
//! (`forecast`).
#![expect(clippy::cast_possible_wrap, reason = "counts, minutes and milliseconds here are far below 2^52")]

use super::super::lookahead;
use super::super::visit_history::{SLOTS, slot_of, split};
use super::state::Pacer;
use super::types::{PollDecision, Rule, Why};
use super::user::{DAY_MS, Inside, MINUTE_MS, minute_of};
use crate::time::{Timestamp, duration_ms};

/// If no poll is worth its price, the decision is repeated after this time: the price falls if other users spend less.
const AGAIN_MS: i64 = 30 * MINUTE_MS;

impl Pacer {
    pub(super) fn choose(&self, index: usize, at: i64, soonest: i64, price: f64, lead: f64) -> PollDecision {
        let watched = &self.users[index];
        let Some(day_forecast) = &watched.day_forecast else {
            return PollDecision::Replan(Timestamp::from_ms(at + MINUTE_MS), Why::default());
        };
        let anchor = minute_of(day_forecast, watched.anchor.max(day_forecast.opens));
        let first = minute_of(day_forecast, soonest.max(at));
        let max_ms = duration_ms(self.settings.max_interval);
        let latest = watched
            .last_poll
            .unwrap_or(day_forecast.opens)
            .max(day_forecast.opens)
            .saturating_add(max_ms)
            .max(soonest);
        let last = minute_of(
            day_forecast,
            latest.min(day_forecast.from + day_forecast.trend.end() as i64 * MINUTE_MS),
        );
        let (choice, wrong_now, peak) = if let Some(Inside { visit_forecast: Some(visit_forecast), .. }) =
            &watched.inside
        {
            let within =
                |minute: usize| minute.saturating_sub(visit_forecast.from).min(visit_forecast.trend.end());
            let value = |to: usize, wrong: f64| {
                let outside =
                    day_forecast.outlook.value[(visit_forecast.from + to).min(day_forecast.trend.end())];
                (1.0 - wrong) * visit_forecast.outlook.value[to] + wrong * outside
            };
            let range = (within(first), within(last));
            let mut choice =
                lookahead::choose(&visit_forecast.trend, within(anchor), watched.wrong, range, price, value);
            // If the forecast ends before closing, its end is the latest poll.
            if choice.minute.is_none()
                && visit_forecast.from + visit_forecast.trend.end() < day_forecast.trend.end()
            {
                choice.minute = Some(visit_forecast.trend.end());
            }
            choice.minute = choice.minute.map(|minute| minute + visit_forecast.from);
            let peak = choice.minute.map_or(0.0, |minute| peak(&visit_forecast.chance, within(minute)));
            (
                choice,
                visit_forecast.trend.at(within(anchor), watched.wrong, within(minute_of(day_forecast, at))),
                peak,
            )
        } else {
            let ((cost, _), visit, end) = (self.following(price), self.residual(), day_forecast.trend.end());
            let value = |to: usize, wrong: f64| {
                let found = day_forecast.outlook.value[(to + visit).min(end)] + cost;
                (1.0 - wrong) * day_forecast.outlook.value[to] + wrong * found
            };
            let choice =
                lookahead::choose(&day_forecast.trend, anchor, watched.wrong, (first, last), price, value);
            let peak = choice.minute.map_or(0.0, |minute| peak(&day_forecast.chance, minute));
            (choice, day_forecast.trend.at(anchor, watched.wrong, minute_of(day_forecast, at)), peak)
        };
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
            None if last < minute_of(day_forecast, day_forecast.until) => {
                why.rule = Rule::Longest;
                last
            }
            None => {
                why.rule = Rule::NotWorth;
                let hours = &self.calendar.hours[watched.open];
                let opens = hours.open_from(day_forecast.until).unwrap_or(day_forecast.until + DAY_MS);
                let opens = opens.max(at + 1);
                let again = if at + AGAIN_MS < day_forecast.until { at + AGAIN_MS } else { opens };
                return PollDecision::Replan(Timestamp::from_ms(again), why);
            }
        };
        // Within the minute every user has an offset, so that calls never bunch on the full minute.
        let place = i64::try_from(watched.key % 60_000).unwrap_or(0);
        let when = day_forecast.from + minute as i64 * MINUTE_MS - MINUTE_MS / 2 + place;
        let when = when.max(soonest).max(at + 1);
        let slot = slot_of(split(when + day_forecast.offset).1).0.min(SLOTS - 1);
        why.pattern = day_forecast.patterns[slot];
        if when >= day_forecast.until {
            return PollDecision::Replan(Timestamp::from_ms(day_forecast.until.max(at + 1)), why);
        }
        PollDecision::Poll(Timestamp::from_ms(when), why)
    }
}

/// The largest probability in the hour before.
fn peak(chance: &[f64], minute: usize) -> f64 {
    let minute = minute.min(chance.len());
    chance[minute.saturating_sub(60)..minute].iter().fold(0.0, |most: f64, one| most.max(*one))
}
