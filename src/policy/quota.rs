//! What may be called when: so many calls a second, so many a month.
//!
//! Guards: never more than `rate` starts in any second; never more calls than the month has; the number written down
//! is never lower than what was spent. Time comes in as an argument. Deliberately not here: how the month is spread
//! over users and windows (`pace`), writing the number down (`store`).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, Duration as Span, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::time::Timestamp;

mod rate;

pub use rate::RateLimiter;

/// A calendar month; in text `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Month {
    /// The month that `at` falls into in `zone`.
    pub fn of(at: Timestamp, zone: Tz) -> Self {
        let local = utc(at).with_timezone(&zone);
        Self { year: local.year(), month: local.month() }
    }

    /// Its first instant in `zone`.
    pub fn begins_at(self, zone: Tz) -> Timestamp {
        let Some(midnight) = NaiveDate::from_ymd_opt(self.year, self.month, 1).map(NaiveDateTime::from)
        else {
            return Timestamp::from_ms(i64::MAX);
        };
        // Where clocks jump over midnight the month begins at the jump; the longest jump known is a day.
        let instant = (0..=4 * 30).find_map(|quarters| {
            match zone.from_local_datetime(&(midnight + Span::minutes(15 * quarters))) {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant),
                LocalResult::None => None,
            }
        });
        instant.map_or(Timestamp::from_ms(i64::MAX), |i| Timestamp::from_ms(i.timestamp_millis()))
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year.saturating_add(1), month: 1 }
        } else {
            Self { year: self.year, month: self.month + 1 }
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    // Years beyond what chrono holds are nobody's month.
    DateTime::from_timestamp_millis(at.as_ms()).unwrap_or_default()
}

/// Why no call may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The month's calls are spent; there are new ones from then on.
    SpentUntil(Timestamp),
    /// Write down what [`MonthBudget::reserve`] says first.
    ReserveFirst,
}

/// A call taken from the budget; it is settled when its outcome is known. One that is never settled (the process died,
/// the call was given up) stays counted as one call.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "settle it when the call is over"]
pub struct Ticket {
    month: Month,
}

/// What is to be written down before more calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// For this month.
    pub month: Month,
    /// This many calls: at least what is spent, and a few more.
    pub calls: u64,
}

/// The calls of a calendar month.
///
/// In use: `reserve` -> write it down -> `reserved` -> `try_take` -> call -> `settle` with the calls it cost. What is
/// written down runs ahead by about a second's calls, so that most calls cost no write, and a crash costs a few.
#[derive(Clone, Debug)]
pub struct MonthBudget {
    zone: Tz,
    limit: Option<u64>,
    month: Month,
    used: u64,
    /// What is known to be written down for `month`.
    persisted: u64,
    in_flight: u64,
    /// DingTalk said that this month is spent.
    exhausted: Option<Month>,
    call_rate: CallRate,
}

impl MonthBudget {
    /// Begins at `now` with what was written down for that month (0 if nothing). `limit`: `None` is no limit.
    pub fn new(zone: Tz, limit: Option<u64>, now: Timestamp, persisted: u64) -> Self {
        Self {
            zone,
            limit,
            month: Month::of(now, zone),
            used: persisted,
            persisted,
            in_flight: 0,
            exhausted: None,
            call_rate: CallRate::default(),
        }
    }

    /// Another limit from now on.
    pub fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// The limit in force.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The month at `now`. A clock set back does not bring back a month that is over.
    pub fn month(&self, now: Timestamp) -> Month {
        self.month.max(Month::of(now, self.zone))
    }

    /// Calls counted in the month of `now`, those in flight included.
    pub fn used(&self, now: Timestamp) -> u64 {
        if self.month(now) == self.month { self.used } else { 0 }
    }

    /// Calls left in the month of `now`; `None`: no limit.
    pub fn left(&self, now: Timestamp) -> Option<u64> {
        if self.exhausted == Some(self.month(now)) {
            return Some(0);
        }
        self.limit.map(|limit| limit.saturating_sub(self.used(now)))
    }

    /// When the month of `now` is over: the first instant of the next.
    pub fn month_ends_at(&self, now: Timestamp) -> Timestamp {
        self.month(now).next().begins_at(self.zone)
    }

    /// What has to be written down before the next call; `None`: enough is.
    pub fn reserve(&mut self, now: Timestamp) -> Option<Reservation> {
        self.turn(now);
        let need = self.needed();
        if self.left(now) == Some(0) || need <= self.persisted {
            return None;
        }
        let block = self.call_rate.calls_a_second(now);
        Some(Reservation { month: self.month, calls: need.saturating_add(block - 1) })
    }

    /// That was written down.
    pub fn reserved(&mut self, reservation: Reservation) {
        if reservation.month == self.month {
            self.persisted = self.persisted.max(reservation.calls);
        }
    }

    /// Takes one call.
    pub fn try_take(&mut self, now: Timestamp) -> Result<Ticket, Refusal> {
        self.turn(now);
        if self.left(now) == Some(0) {
            return Err(Refusal::SpentUntil(self.month_ends_at(now)));
        }
        if self.needed() > self.persisted {
            return Err(Refusal::ReserveFirst);
        }
        self.used += 1;
        self.in_flight += 1;
        self.call_rate.count(now);
        Ok(Ticket { month: self.month })
    }

    /// The call is over and cost so many (0: never sent or throttled; 2: repeated with a fresh token).
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is settled once: it is taken away")]
    pub fn settle(&mut self, ticket: Ticket, calls: u32) {
        let Ticket { month } = ticket;
        self.in_flight = self.in_flight.saturating_sub(1);
        if month == self.month {
            self.used = self.used.saturating_sub(1).saturating_add(u64::from(calls));
        } else {
            // It began in the month before and was counted there; what it cost beyond that is this month's.
            self.used = self.used.saturating_add(u64::from(calls.saturating_sub(1)));
        }
    }

    /// DingTalk says that the month is spent, whatever was counted here: others spend from the same calls. Nothing is
    /// left until the month turns, or until [`resume`](Self::resume). What was used stays as it was counted.
    pub fn exhausted(&mut self, now: Timestamp) {
        self.exhausted = Some(self.month(now));
    }

    /// Takes `exhausted` back: to probe, or because more calls were bought.
    pub fn resume(&mut self) {
        self.exhausted = None;
    }

    /// What is written down for the present month.
    pub fn written(&self) -> Reservation {
        Reservation { month: self.month, calls: self.persisted.max(self.used) }
    }

    /// The exact number, to be written down at a clean stop.
    pub fn exact(&mut self, now: Timestamp) -> Reservation {
        self.turn(now);
        Reservation { month: self.month, calls: self.used }
    }

    /// The interval per user that spends what is left evenly until the month turns: seconds left / calls left x
    /// users. `None`: no limit, or nobody. With no calls left it is the whole rest of the month.
    pub fn even_interval(&self, users: usize, now: Timestamp) -> Option<Duration> {
        let left = self.left(now)?;
        if users == 0 {
            return None;
        }
        let rest = self.month_ends_at(now).since(now);
        if left == 0 {
            return Some(rest);
        }
        let ms = rest.as_millis().saturating_mul(users as u128).div_ceil(u128::from(left));
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    /// The same over open time: `open` is what is left of it until the month turns, summed over the users who share the
    /// calls, and `spoken_for` the calls that others of the organisation will need. `None`: no limit, or nobody.
    ///
    /// Where others need nearly all, a twentieth of what is left is still shared: nobody is never looked at.
    pub fn even_open_interval(&self, open: Duration, spoken_for: u64, now: Timestamp) -> Option<Duration> {
        let left = self.left(now)?;
        if open.is_zero() {
            return None;
        }
        if left == 0 {
            return Some(self.month_ends_at(now).since(now).max(Duration::from_millis(1)));
        }
        let shared = left.saturating_sub(spoken_for).max(left / 20).max(1);
        let ms = open.as_millis().div_ceil(u128::from(shared));
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    /// What must be written down for one more call: each call in flight, this one included, may cost one more.
    fn needed(&self) -> u64 {
        self.used.saturating_add(self.in_flight).saturating_add(2)
    }

    fn turn(&mut self, now: Timestamp) {
        let month = self.month(now);
        if month != self.month {
            self.month = month;
            self.used = 0;
            self.persisted = 0;
        }
    }
}

/// How many calls a second are being made: the size of a reservation.
#[derive(Clone, Copy, Debug, Default)]
struct CallRate {
    second: i64,
    in_this: u64,
    in_last: u64,
}

impl CallRate {
    fn count(&mut self, now: Timestamp) {
        let second = now.as_ms().div_euclid(1000);
        if second != self.second {
            self.in_last = if second == self.second.saturating_add(1) { self.in_this } else { 0 };
            self.in_this = 0;
            self.second = second;
        }
        self.in_this += 1;
    }

    fn calls_a_second(&self, now: Timestamp) -> u64 {
        let age = now.as_ms().div_euclid(1000).saturating_sub(self.second);
        match age {
            0 => self.in_this.max(self.in_last).max(1),
            1 => self.in_this.max(1),
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests;
