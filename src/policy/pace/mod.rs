//! When to poll a user next.
//!
//! [`even`] spreads calls over users and time. [`pacer`] spends the same calls where they are worth most: it learns from
//! reported visits when each user's presence tends to change, and polls where a call is expected to save the most *wrong
//! time* (time in which the known state differs from the truth); `docs/pacing.md` explains it.
//!
//! Guards: the next poll is strictly later; the same input always gives the same output; memory is bounded for each user.
//! Not here: the remaining calls (`policy::quota`), open windows (`policy::window`).

use sha2::{Digest, Sha256};

pub mod co_meetings;
pub mod duration_model;
pub mod even;
pub mod group;
pub mod join_model;
pub mod lookahead;
pub mod open_spans;
pub mod pacer;
pub mod rejoin_model;
pub mod shadow_price;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_month;
pub mod visit_history;

pub use even::{Phase, even_interval, first_poll_at, next_poll_at, projection};
pub use pacer::{CallBudget, PacedUser, Pacer, PollDecision, Seen, Settings, SweepAllocation, Visit, Why};

/// A key for a conference id: always the same for the same id.
pub fn conference_key(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}
