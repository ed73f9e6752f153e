//! Interprets a receiver's answer: its status and its `Retry-After`.
//!
//! Guards: every status has one outcome; `Retry-After` is understood in all forms of RFC 9110. Not here: what follows
//! from an outcome (`policy::delivery`).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use crate::time::Timestamp;

/// The longest `Retry-After` that is honoured.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver accepted the event.
    Accepted,
    /// The receiver refuses this request; a retry will hardly help.
    Refused,
    /// The receiver fails or does not answer.
    Unavailable,
    /// The receiver wants no more events (410).
    Gone,
}

/// The outcome of an HTTP status.
pub fn outcome_of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Accepted,
        300..=399 | 400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431 | 451 => Outcome::Refused,
        410 => Outcome::Gone,
        _ => Outcome::Unavailable,
    }
}

/// The wait of a `Retry-After` header: seconds, or a date in any of the three forms of RFC 9110 section 5.6.7. `None`
/// if it is neither; zero if the date is past.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // A number with more digits than fit is longer than the longest honoured wait.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(header)
        .map(|date| date.naive_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(header, "%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|_| NaiveDateTime::parse_from_str(header, "%a %b %e %H:%M:%S %Y"))
        .ok()?;
    Some(Timestamp::from_ms(date.and_utc().timestamp_millis()).since(now))
}
