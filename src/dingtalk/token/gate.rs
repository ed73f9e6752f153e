//! The gate that token calls go through: one at a time, and after a failure not too soon again.
//!
//! Guards: waits grow from a second to a minute and never beyond, also when `Retry-After` says more or the clock is set
//! back. Deliberately not here: the lock around it, what is done at the gate (`token`).

use std::time::Duration;

use crate::dingtalk::error::CallError;
use crate::policy::backoff;
use crate::time::Timestamp;

/// Between failing token calls.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What whoever fetches holds: the others wait for it, and find the new token when they get in.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) generation: u64,
    /// Token calls in a row that failed, or gave a token that was refused without ever having been accepted.
    pub(super) failures: u32,
    not_before: Timestamp,
    pub(super) last_error: Option<CallError>,
}

impl Gate {
    /// A call gave this token: nothing keeps the next one waiting.
    pub(super) fn open(&mut self, generation: u64) {
        *self = Self { generation, ..Self::default() };
    }

    /// Whether it is too early for another call. A clock that was set back does not prolong the wait.
    pub(super) fn closed(&self, now: Timestamp) -> bool {
        now < self.not_before && self.not_before.since(now) <= LONGEST_WAIT
    }

    /// A call failed: the next one waits, at least so long where DingTalk says so.
    pub(super) fn close(&mut self, now: Timestamp, key: u64, at_least: Option<Duration>) {
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
        let mut gate = Gate::default();
        for _ in 0..40 {
            gate.close(now, 7, Some(Duration::from_hours(9)));
        }
        assert!(gate.closed(now));
        assert!(!gate.closed(now.plus(LONGEST_WAIT)));
        assert!(!gate.closed(now.minus(Duration::from_hours(1))));
    }
}
