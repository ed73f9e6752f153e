//! Chooses one poll.
//!
//! Guards: strictly later than now, not sooner than `min_interval`, and in open time. Not here: the expected costs
//! (`forecast`).
#![expect(clippy::cast_possible_wrap, reason = "counts, minutes and milliseconds here are far below 2^52")]

use super::super::lookahead::{self, Choice};
use super::super::visit_history::{SLOTS, slot_of, split};
use super::state::Pacer;
use super::types::{PollDecision, Rule, Why};
use super::user::{DAY_MS, DayForecast, Inside, MINUTE_MS, PacerUser, VisitForecast, minute_of};
use crate::time::{Timestamp, duration_ms};

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
    pub(super) fn choose(&self, index: usize, at: i64, soonest: i64, price: f64, lead: f64) -> PollDecision {
        let watched = &self.users[index];
        let Some(day) = &watched.day_forecast else {
            return PollDecision::Replan(Timestamp::from_ms(at + MINUTE_MS), Why::default());
        };
        let search = self.search(watched, day, at, soonest, price);
        let found = match &watched.inside {
            Some(Inside { visit_forecast: Some(visit), .. }) => choose_inside(day, visit, &search),
            _ => choose_outside(day, &search, self.following(price).0, self.residual()),
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

/// The best poll of a user who is inside, from the forecasts of the visit and of the day.
fn choose_inside(day: &DayForecast, visit: &VisitForecast, search: &Search) -> Found {
    let within = |minute: usize| minute.saturating_sub(visit.from).min(visit.trend.end());
    let value = |to: usize, wrong: f64| {
        let outside = day.outlook.value[(visit.from + to).min(day.trend.end())];
        (1.0 - wrong) * visit.outlook.value[to] + wrong * outside
    };
    let (anchor, range) = (within(search.anchor), (within(search.first), within(search.last)));
    let mut choice = lookahead::choose(&visit.trend, anchor, search.wrong, range, search.price, value);
    // If the forecast ends before closing, its end is the latest poll.
    if choice.minute.is_none() && visit.from + visit.trend.end() < day.trend.end() {
        choice.minute = Some(visit.trend.end());
    }
    choice.minute = choice.minute.map(|minute| minute + visit.from);
    let peak = choice.minute.map_or(0.0, |minute| peak(&visit.chance, within(minute)));
    let wrong_now = visit.trend.at(anchor, search.wrong, within(search.now));
    Found { choice, wrong_now, peak }
}

/// The best poll of a user who is outside. `cost`: cost of following the user if the poll finds them inside, for
/// `visit` minutes.
fn choose_outside(day: &DayForecast, search: &Search, cost: f64, visit: usize) -> Found {
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
