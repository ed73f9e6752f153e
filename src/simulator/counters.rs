//! Counts calls per second and month, and what the gateway answered.
//!
//! Guards: one app may make 20 calls per second to one path, in fixed one-second windows. A call that this limit refuses
//! does not count for the month. The month changes in Shanghai time. All times are those of the simulator's clock. Not
//! here: the refusals (`gateway`).

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Datelike};
use serde::Deserialize;

use crate::time::Timestamp;

/// The limits of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls of one app to one path per second; 0 means no limit. The standard edition has 20.
    pub per_second: u32,
    /// Calls of all apps per calendar month; 0 means no limit. The standard edition has 5,000.
    pub per_month: u64,
    /// The life of a token, in seconds.
    pub token_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 20, per_month: 0, token_seconds: 7200 }
    }
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All requests, by path.
    pub calls: BTreeMap<String, u64>,
    /// Answered list calls, by unionId.
    pub answers: BTreeMap<String, u64>,
    /// Refusals by their `code`, and faults by their name.
    pub refusals: BTreeMap<String, u64>,
    /// Issued tokens.
    pub tokens: u64,
    /// The most calls to one path within one second of the clock.
    pub busiest_second: BTreeMap<String, u64>,
    /// The most calls to one path within any second.
    pub busiest_window: BTreeMap<String, u64>,
    /// Calls that count for the current month.
    pub charged: u64,
    /// What the push gateway did: `opened`, `connected`, `sent`, `repeated`, `acked`, `later`, `messages` and others.
    pub push: BTreeMap<String, u64>,
}

impl Counts {
    /// Requests to this path.
    pub fn calls_to(&self, path: &str) -> u64 {
        self.calls.get(path).copied().unwrap_or(0)
    }

    /// How often the push gateway did this.
    pub fn pushed(&self, what: &str) -> u64 {
        self.push.get(what).copied().unwrap_or(0)
    }

    /// Refusals with this `code`, or faults of this name.
    pub fn refused(&self, code: &str) -> u64 {
        self.refusals.get(code).copied().unwrap_or(0)
    }
}

/// The result of the limits for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// Too many calls in this second.
    TooFast,
    /// The calls of this month are used up.
    MonthSpent,
}

#[derive(Debug, Default)]
pub(super) struct CallCounters {
    pub(super) counts: Counts,
    seconds: HashMap<String, Second>,
    /// The times of the calls in the last second, by path.
    lately: HashMap<String, VecDeque<Timestamp>>,
    apps: HashMap<(String, &'static str), Second>,
    month: (i32, u32),
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    starts_s: i64,
    calls: u64,
}

impl Second {
    /// Adds a call and returns the calls of this second.
    fn count(&mut self, now: Timestamp) -> u64 {
        let second_s = now.as_ms().div_euclid(1000);
        if self.starts_s != second_s {
            *self = Self { starts_s: second_s, calls: 0 };
        }
        self.calls += 1;
        self.calls
    }
}

impl CallCounters {
    /// Counts a request. All unknown paths count as one, so that a scan does not fill the memory.
    pub(super) fn arrived(&mut self, path: &str, now: Timestamp) {
        if let Some(calls) = self.counts.calls.get_mut(path) {
            *calls += 1;
        } else {
            self.counts.calls.insert(path.to_owned(), 1);
        }
        if !self.seconds.contains_key(path) {
            self.seconds.insert(path.to_owned(), Second::default());
            self.counts.busiest_second.insert(path.to_owned(), 0);
        }
        if let (Some(second), Some(busiest)) =
            (self.seconds.get_mut(path), self.counts.busiest_second.get_mut(path))
        {
            *busiest = (*busiest).max(second.count(now));
        }
        self.slide(path, now);
    }

    /// Counts the calls of the second that ends now.
    fn slide(&mut self, path: &str, now: Timestamp) {
        if !self.lately.contains_key(path) {
            self.lately.insert(path.to_owned(), VecDeque::new());
            self.counts.busiest_window.insert(path.to_owned(), 0);
        }
        if let (Some(lately), Some(busiest)) =
            (self.lately.get_mut(path), self.counts.busiest_window.get_mut(path))
        {
            lately.push_back(now);
            while lately.front().is_some_and(|first| now.as_ms().saturating_sub(first.as_ms()) >= 1000) {
                lately.pop_front();
            }
            *busiest = (*busiest).max(lately.len() as u64);
        }
    }

    /// Applies the limits to a call of this app to this path, and counts it for the month if it is granted.
    pub(super) fn admit(
        &mut self,
        app: &str,
        path: &'static str,
        now: Timestamp,
        limits: Limits,
    ) -> Admission {
        if limits.per_second > 0 {
            let calls = self.apps.entry((app.to_owned(), path)).or_default().count(now);
            if calls > u64::from(limits.per_second) {
                return Admission::TooFast;
            }
        }
        let month = month_in_shanghai(now);
        if month != self.month {
            self.month = month;
            self.counts.charged = 0;
        }
        if limits.per_month > 0 && self.counts.charged >= limits.per_month {
            return Admission::MonthSpent;
        }
        self.counts.charged += 1;
        Admission::Granted
    }

    pub(super) fn refused(&mut self, code: &str) {
        *self.counts.refusals.entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn pushed(&mut self, all: &[&'static str]) {
        for what in all {
            *self.counts.push.entry((*what).to_owned()).or_default() += 1;
        }
    }

    pub(super) fn answered(&mut self, union_id: &str) {
        if let Some(answers) = self.counts.answers.get_mut(union_id) {
            *answers += 1;
        } else {
            self.counts.answers.insert(union_id.to_owned(), 1);
        }
    }
}

/// China has had UTC+8 without summer time since 1991.
pub(super) fn month_in_shanghai(now: Timestamp) -> (i32, u32) {
    const EIGHT_HOURS_MS: i64 = 8 * 3_600_000;
    let there =
        DateTime::from_timestamp_millis(now.as_ms().saturating_add(EIGHT_HOURS_MS)).unwrap_or_default();
    (there.year(), there.month())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_second: 2, per_month: 5, token_seconds: 7200 };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + ms)
    }

    #[test]
    fn a_second_has_its_calls_and_not_one_more() {
        let mut counters = CallCounters::default();
        let mut admit = |app: &str, path, ms| counters.admit(app, path, at(ms), LIMITS);
        assert_eq!(admit("a", "/x", 998), Admission::Granted);
        assert_eq!(admit("a", "/x", 999), Admission::Granted);
        assert_eq!(admit("a", "/x", 999), Admission::TooFast);
        assert_eq!(admit("b", "/x", 999), Admission::Granted);
        assert_eq!(admit("a", "/y", 999), Admission::Granted);
        assert_eq!(admit("a", "/x", 1000), Admission::Granted);
    }

    #[test]
    fn a_month_is_spent_and_turns_in_shanghai_and_refusals_are_free() {
        let mut counters = CallCounters::default();
        // 2023-11-30T15:59:59Z is the last second of November in Shanghai.
        let last = Timestamp::from_ms(1_701_359_999_000);
        for second in 0..10 {
            for _ in 0..3 {
                counters.admit("a", "/x", last.minus(std::time::Duration::from_secs(second)), LIMITS);
            }
        }
        assert_eq!(counters.counts.charged, 5);
        assert_eq!(counters.admit("b", "/x", last, LIMITS), Admission::MonthSpent);
        let next = last.plus(std::time::Duration::from_secs(1));
        assert_eq!(counters.admit("b", "/x", next, LIMITS), Admission::Granted);
        assert_eq!(counters.counts.charged, 1);
    }

    #[test]
    fn the_busiest_second_is_remembered() {
        let mut counters = CallCounters::default();
        for ms in [0, 1, 2, 1000, 2000, 2001] {
            counters.arrived("/x", at(ms));
        }
        assert_eq!(counters.counts.busiest_second["/x"], 3);
        for ms in [2999, 3000] {
            counters.arrived("/x", at(ms));
        }
        // 2000, 2001 and 2999 are within the second that begins at 2000.
        assert_eq!(counters.counts.busiest_window["/x"], 3);
        assert_eq!(counters.counts.calls_to("/x"), 8);
    }
}
