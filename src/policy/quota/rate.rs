//! Rate limiter: calls a second.
//!
//! Guards: at most `rate` starts in any second, and with `begin` and `done` at most `rate` arrivals at DingTalk. Not
//! here: calls a month (`quota`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// Starts this far apart are never in the same second, even though instants are truncated to milliseconds.
const WINDOW_MS: i64 = 1001;
/// After a refusal, the rate recovers by a tenth every this many milliseconds without another.
const RECOVERY_MS: i64 = 10_000;

/// Rate limiter with a log of the latest starts.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    rate: u32,
    /// Rate allowed since `slowed_at`; recovers to `rate`.
    slowed_to: u32,
    slowed_at: Timestamp,
    paused_until: Timestamp,
    /// Latest starts, newest last, at most `rate` of them.
    starts: VecDeque<Timestamp>,
    /// Calls begun and not ended.
    under_way: usize,
}

impl RateLimiter {
    /// At most `rate` starts (at least 1) in any one second.
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(1);
        Self {
            rate,
            slowed_to: rate,
            slowed_at: Timestamp::default(),
            paused_until: Timestamp::default(),
            starts: VecDeque::new(),
            under_way: 0,
        }
    }

    /// Changes the rate; recent starts still count.
    pub fn set_rate(&mut self, rate: u32) {
        let rate = rate.max(1);
        self.slowed_to = if self.slowed_to == self.rate { rate } else { self.slowed_to.min(rate) };
        self.rate = rate;
        self.forget_old();
    }

    /// The current rate: `rate`, or less after refusals.
    pub fn effective_rate(&self, now: Timestamp) -> u32 {
        let quiet_ms = now.as_ms().saturating_sub(self.slowed_at.as_ms()).max(0);
        let steps = u32::try_from(quiet_ms / RECOVERY_MS).unwrap_or(u32::MAX);
        let step = (self.rate / 10).max(1);
        self.rate.min(self.slowed_to.saturating_add(steps.saturating_mul(step)))
    }

    /// Whether the rate has fully recovered from refusals.
    pub fn is_at_full_rate(&self, now: Timestamp) -> bool {
        self.effective_rate(now) == self.rate
    }

    /// The first instant, `now` or later, at which a start is allowed.
    pub fn next_free(&self, now: Timestamp) -> Timestamp {
        let rate = self.effective_rate(now) as usize;
        if self.under_way >= rate {
            // No start before one of them ends; the caller that ends one asks again.
            return now.plus(Duration::from_secs(1)).max(self.paused_until);
        }
        let by_rate =
            (self.starts.len() + self.under_way).checked_sub(rate).and_then(|oldest| self.starts.get(oldest));
        // A start in the future was recorded before the clock was set back: it counts as a start now.
        let by_rate = by_rate
            .map_or(now, |start| Timestamp::from_ms((*start).min(now).as_ms().saturating_add(WINDOW_MS)));
        now.max(by_rate).max(self.paused_until)
    }

    /// Takes a start; on refusal returns when the next one is allowed.
    pub fn try_start(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let free = self.next_free(now);
        if free > now {
            return Err(free);
        }
        if self.starts.back().is_some_and(|last| *last > now) {
            for start in &mut self.starts {
                *start = (*start).min(now);
            }
        }
        self.starts.push_back(now);
        self.forget_old();
        Ok(())
    }

    /// Takes a slot for a call. The time of its arrival at DingTalk is unknown, but not after the end of the call, so
    /// the slot is held until a second after [`done`](Self::done): whatever the latency, DingTalk never counts more
    /// than `rate` calls in a second.
    pub fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Ends a call.
    pub fn done(&mut self, now: Timestamp) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.starts.back().is_some_and(|last| *last > now) {
            for start in &mut self.starts {
                *start = (*start).min(now);
            }
        }
        self.starts.push_back(now);
        self.forget_old();
    }

    /// Allows no start before `until`; a shorter pause does not end a longer one.
    pub fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Records a refusal for too many calls: halves the rate (at least 1); it recovers by a tenth of the set rate
    /// every ten seconds without another refusal. Refusals of calls that were in flight together count as one.
    pub fn throttled(&mut self, now: Timestamp) {
        let since_ms = now.as_ms().saturating_sub(self.slowed_at.as_ms());
        if self.slowed_at != Timestamp::default() && (0..1000).contains(&since_ms) {
            return;
        }
        self.slowed_to = (self.effective_rate(now) / 2).max(1);
        self.slowed_at = now;
    }

    /// Restores the set rate at once (for example after another app or edition was configured).
    pub fn recover(&mut self) {
        self.slowed_to = self.rate;
    }

    fn forget_old(&mut self) {
        while self.starts.len() > self.rate as usize {
            self.starts.pop_front();
        }
    }
}
