//! Interprets a receiver's answer: its status.
//!
//! Guards: every status has one outcome. Not here: reading `Retry-After` (`net`), what follows from an outcome
//! (`policy::delivery`).

use std::time::Duration;

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
