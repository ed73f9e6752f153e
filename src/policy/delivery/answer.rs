//! What a receiver's answer says: by its status, and by `Retry-After`.
//!
//! Guards: every status has one outcome; what a receiver asks for is read in all the forms it may be written in.
//! Deliberately not here: what follows from it (the room above).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use crate::time::Timestamp;

/// The longest `Retry-After` that is honoured.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted,
    /// The request itself is the last_error: sending it again will hardly help.
    Refused,
    /// The receiver is the last_error; also when there was no answer at all.
    Unavailable,
    /// The receiver wants nothing more, ever (410).
    Gone,
}

/// The outcome an HTTP status stands for.
pub fn outcome_of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Accepted,
        300..=399 | 400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431 | 451 => Outcome::Refused,
        410 => Outcome::Gone,
        _ => Outcome::Unavailable,
    }
}

/// The wait a `Retry-After` header asks for: seconds, or a date in any of the three forms of RFC 9110 section 5.6.7.
/// `None` when it is neither; zero when the date is past.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit ask for longer than is honoured anyway.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(header)
        .map(|date| date.naive_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(header, "%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|_| NaiveDateTime::parse_from_str(header, "%a %b %e %H:%M:%S %Y"))
        .ok()?;
    Some(Timestamp::from_ms(date.and_utc().timestamp_millis()).since(now))
}
