//! Call limits of an organisation: calls a second and calls a month.
//!
//! Guards: at most `rate` calls start in any second; the calls of a month never exceed its limit; the stored count is
//! never lower than the calls made. Time is an argument. Not here: how the month's calls are spread over users and
//! windows (`pace`), storing the count (`store`).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, Duration as Span, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::time::Timestamp;

mod rate;

pub use rate::RateLimiter;

/// A calendar month; as text `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Month {
    /// The month that contains `at` in `zone`.
    pub fn of(at: Timestamp, zone: Tz) -> Self {
        let local = utc(at).with_timezone(&zone);
        Self { year: local.year(), month: local.month() }
    }

    /// First instant of the month in `zone`.
    pub fn begins_at(self, zone: Tz) -> Timestamp {
        let Some(midnight) = NaiveDate::from_ymd_opt(self.year, self.month, 1).map(NaiveDateTime::from)
        else {
            return Timestamp::from_ms(i64::MAX);
        };
        // Where clocks jump over midnight, the month begins at the jump; the longest known jump is one day.
        let instant = (0..=4 * 30).find_map(|quarters| {
            match zone.from_local_datetime(&(midnight + Span::minutes(15 * quarters))) {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant),
                LocalResult::None => None,
            }
        });
        instant.map_or(Timestamp::from_ms(i64::MAX), |i| Timestamp::from_ms(i.timestamp_millis()))
    }

    /// The following month.
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
    // Instants outside chrono's range count as 1970; no budget reaches there.
    DateTime::from_timestamp_millis(at.as_ms()).unwrap_or_default()
}

/// Why no call may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The month's calls are spent; the next month starts at this time.
    SpentUntil(Timestamp),
    /// The reservation from [`MonthBudget::reserve`] must be stored first.
    ReserveFirst,
}

/// A call taken from the budget; settled when its outcome is known. A ticket that is never settled (the process died,
/// the call was cancelled) stays counted as one call.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "settle it when the call is over"]
pub struct Ticket {
    month: Month,
}

/// A count that must be stored before more calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The month it is for.
    pub month: Month,
    /// Number of calls: those made, and a few more.
    pub calls: u64,
}

/// The call budget of a calendar month.
///
/// Sequence: `reserve` -> store -> `reserved` -> `try_take` -> call -> `settle` with the number of calls made. The
/// stored count is ahead by about one second's calls, so most calls need no write, and a crash loses a few calls.
#[derive(Clone, Debug)]
pub struct MonthBudget {
    zone: Tz,
    limit: Option<u64>,
    month: Month,
    used: u64,
    /// The count known to be stored for `month`.
    persisted: u64,
    in_flight: u64,
    /// The month that DingTalk reported as spent.
    exhausted: Option<Month>,
    call_rate: CallRate,
}

impl MonthBudget {
    /// Starts at `now` with the stored count of that month (0 if none). `limit`: `None` for no limit.
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

    /// Changes the limit.
    pub fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// The current limit; `None`: no limit.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The month at `now`. A clock set back does not return to an earlier month.
    pub fn month(&self, now: Timestamp) -> Month {
        self.month.max(Month::of(now, self.zone))
    }

    /// Calls counted in the month of `now`, including those in flight.
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

    /// First instant of the month after the month of `now`.
    pub fn month_ends_at(&self, now: Timestamp) -> Timestamp {
        self.month(now).next().begins_at(self.zone)
    }

    /// The reservation that must be stored before the next call; `None`: none is needed.
    pub fn reserve(&mut self, now: Timestamp) -> Option<Reservation> {
        self.start_month(now);
        let need = self.needed();
        if self.left(now) == Some(0) || need <= self.persisted {
            return None;
        }
        let block = self.call_rate.calls_a_second(now);
        Some(Reservation { month: self.month, calls: need.saturating_add(block - 1) })
    }

    /// Records that a reservation was stored.
    pub fn reserved(&mut self, reservation: Reservation) {
        if reservation.month == self.month {
            self.persisted = self.persisted.max(reservation.calls);
        }
    }

    /// Takes one call.
    pub fn try_take(&mut self, now: Timestamp) -> Result<Ticket, Refusal> {
        self.start_month(now);
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

    /// Ends a call that cost this many calls (0: never sent, or throttled; 2: repeated with a fresh token).
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is settled once: it is taken away")]
    pub fn settle(&mut self, ticket: Ticket, calls: u32) {
        let Ticket { month } = ticket;
        self.in_flight = self.in_flight.saturating_sub(1);
        if month == self.month {
            self.used = self.used.saturating_sub(1).saturating_add(u64::from(calls));
        } else {
            // The call began in the month before and was counted there; only its additional calls count in this month.
            self.used = self.used.saturating_add(u64::from(calls.saturating_sub(1)));
        }
    }

    /// DingTalk reports that the month is spent, whatever our count says: other clients spend from the same calls. No
    /// call is left until the month ends or until [`resume`](Self::resume). The count of used calls does not change.
    pub fn exhausted(&mut self, now: Timestamp) {
        self.exhausted = Some(self.month(now));
    }

    /// Clears `exhausted`: for a probe, or because more calls were bought.
    pub fn resume(&mut self) {
        self.exhausted = None;
    }

    /// The count stored for the current month.
    pub fn written(&self) -> Reservation {
        Reservation { month: self.month, calls: self.persisted.max(self.used) }
    }

    /// The exact count, to be stored at a clean stop.
    pub fn exact(&mut self, now: Timestamp) -> Reservation {
        self.start_month(now);
        Reservation { month: self.month, calls: self.used }
    }

    /// The interval for each user that spends the remaining calls evenly until the month ends: seconds left / calls
    /// left x users. `None`: no limit, or no users. With no calls left it is the rest of the month.
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

    /// The same over open time: `open` is the remaining open time until the month ends, summed over the users that
    /// share the calls; `needed_by_others` are the calls that other users of the organisation will need. `None`: no
    /// limit, or no users.
    ///
    /// Where the others need nearly all calls, a twentieth of the remaining calls is still shared, so that every user
    /// is polled.
    pub fn even_open_interval(
        &self,
        open: Duration,
        needed_by_others: u64,
        now: Timestamp,
    ) -> Option<Duration> {
        let left = self.left(now)?;
        if open.is_zero() {
            return None;
        }
        if left == 0 {
            return Some(self.month_ends_at(now).since(now).max(Duration::from_millis(1)));
        }
        let shared = left.saturating_sub(needed_by_others).max(left / 20).max(1);
        let ms = open.as_millis().div_ceil(u128::from(shared));
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    /// The count that must be stored for one more call: each call in flight, including this one, may cost one more.
    fn needed(&self) -> u64 {
        self.used.saturating_add(self.in_flight).saturating_add(2)
    }

    fn start_month(&mut self, now: Timestamp) {
        let month = self.month(now);
        if month != self.month {
            self.month = month;
            self.used = 0;
            self.persisted = 0;
        }
    }
}

/// Current rate of calls a second: the size of a reservation.
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
