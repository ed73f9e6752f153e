//! Delays token calls after a failure.
//!
//! Guards: waits grow from a second to a minute and no further, also when `Retry-After` is longer or the clock is set back.
//! Not here: the lock around this state, the token call (`token`).

use std::time::Duration;

use crate::dingtalk::error::CallError;
use crate::policy::backoff;
use crate::time::Timestamp;

/// The waits between failing token calls.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The state of fetching tokens. The task that fetches holds its lock; the others wait for it and then find the new token.
#[derive(Debug, Default)]
pub(super) struct RefreshBackoff {
    pub(super) generation: u64,
    /// Consecutive token calls that failed, or whose token was refused before it was ever accepted.
    pub(super) failures: u32,
    not_before: Timestamp,
    pub(super) last_error: Option<CallError>,
}

impl RefreshBackoff {
    /// Records a fetched token: the next call need not wait.
    pub(super) fn note_success(&mut self, generation: u64) {
        *self = Self { generation, ..Self::default() };
    }

    /// Lets the next call go out at once: what was refused has been replaced.
    pub(super) fn forget_failures(&mut self) {
        *self = Self { generation: self.generation, ..Self::default() };
    }

    /// Whether it is too early for the next call. Setting the clock back does not prolong the wait.
    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        now < self.not_before && self.not_before.since(now) <= LONGEST_WAIT
    }

    /// Records a failed call: the next one waits, at least as long as DingTalk asks.
    pub(super) fn note_failure(&mut self, now: Timestamp, key: u64, at_least: Option<Duration>) {
        let wait = backoff::delay(self.failures, FIRST_WAIT, LONGEST_WAIT, 2.0, key);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(wait.max(at_least.unwrap_or_default()).min(LONGEST_WAIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_opens_by_itself_also_when_the_clock_is_set_back() {
        let now = Timestamp::from_ms(1_795_413_600_000);
        let mut refresh = RefreshBackoff::default();
        for _ in 0..40 {
            refresh.note_failure(now, 7, Some(Duration::from_hours(9)));
        }
        assert!(refresh.is_waiting(now));
        assert!(!refresh.is_waiting(now.plus(LONGEST_WAIT)));
        assert!(!refresh.is_waiting(now.minus(Duration::from_hours(1))));
    }
}
