//! When to look at somebody next.
//!
//! [`even`] spreads calls over people and time. [`pacer`] spends the same calls where they are worth most: it learns
//! from reported visits when each person's presence tends to change, and looks where the expected *wrong time* (the
//! time for which what is believed differs from the truth) that a call saves is largest; `docs/pacing.md` explains it.
//!
//! Guards: the next look is strictly later; the same input gives the same output for ever; memory is bounded for each
//! person. Deliberately not here: how many calls are left (`policy::quota`), when a window is open (`policy::window`).

use sha2::{Digest, Sha256};

pub mod company;
pub mod crew;
pub mod diary;
pub mod even;
pub mod habits;
pub mod hours;
pub mod lookahead;
pub mod pacer;
pub mod price;
pub mod stays;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_month;

pub use even::{Phase, even_interval, first_look, next_look, projection};
pub use pacer::{Allowance, Next, Pacer, Person, Rival, Seen, Settings, Visit, Why};

/// A number for a conference, the same for the same id.
pub fn conference_key(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}
