//! The operator's settings for retries, and the waits that follow from them.
//!
//! Guards: waits grow up to a maximum, jitter is a hash, and `Retry-After` only makes a wait longer. Not here: which
//! attempt is a strike (`policy::delivery`).

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::answer::LONGEST_RETRY_AFTER;
use crate::time::Timestamp;

/// Settings for the retries of a webhook.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// First wait.
    pub initial: Duration,
    /// Longest wait.
    pub max: Duration,
    /// Factor by which each wait grows.
    pub factor: f64,
    /// Strikes that make a delivery a dead letter; at least 1.
    pub attempts: u32,
    /// A webhook that is down this long is disabled.
    pub give_up_after: Duration,
    /// Older events are not sent; `None`: no limit.
    pub max_age: Option<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(5),
            max: Duration::from_hours(1),
            factor: 4.0,
            attempts: 5,
            give_up_after: Duration::from_hours(5 * 24),
            max_age: None,
        }
    }
}

impl Rules {
    /// Whether an event recorded at `recorded` is too old to be sent at `now`.
    pub fn expired(&self, recorded: Timestamp, now: Timestamp) -> bool {
        self.max_age.is_some_and(|max_age| now.since(recorded) > max_age)
    }
}

/// The wait before retry number `n`, counted from 1: the backoff, or `Retry-After` where that is longer.
pub(super) fn wait(n: u32, key: &str, retry_after: Option<Duration>, rules: &Rules) -> Duration {
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    backoff(n, key, rules).max(asked)
}

/// `initial * factor^(n-1)`, at most `max`, with up to 20 % jitter from a hash of `key` and `n`; at least 1 ms.
fn backoff(n: u32, key: &str, rules: &Rules) -> Duration {
    let steps = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = rules.max.as_secs_f64();
    let grown = (rules.initial.as_secs_f64() * rules.factor.max(1.0).powi(steps)).min(longest);
    Duration::from_secs_f64((grown * jitter(key, n)).clamp(0.001, longest.max(0.001)))
}

/// The jitter factor: between 0.8 and 1.2, the same for the same input.
fn jitter(key: &str, n: u32) -> f64 {
    let hash = Sha256::new().chain_update(key).chain_update(n.to_be_bytes()).finalize();
    let drawn = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    0.8 + 0.4 * f64::from(drawn) / f64::from(u32::MAX)
}
