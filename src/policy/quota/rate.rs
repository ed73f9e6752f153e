//! Calls a second.
//!
//! Guards: never more than `rate` starts in any second, and with `begin` and `done` never more arrivals at the other end.
//! Deliberately not here: calls a month (`quota`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// Starts so far apart are in no common second, also when the instants are milliseconds cut short.
const WINDOW_MS: i64 = 1001;
/// After a refusal, the rate grows back by a tenth for every so many milliseconds without another.
const RECOVERY_MS: i64 = 10_000;

/// Calls a second, by a log of the last starts.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    rate: u32,
    /// What is allowed since `slowed_at`; grows back to `rate`.
    slowed_to: u32,
    slowed_at: Timestamp,
    paused_until: Timestamp,
    /// The newest last, at most `rate` of them.
    starts: VecDeque<Timestamp>,
    /// Calls that were begun and are not over.
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

    /// Another rate from now on; what was started lately still counts.
    pub fn set_rate(&mut self, rate: u32) {
        let rate = rate.max(1);
        self.slowed_to = if self.slowed_to == self.rate { rate } else { self.slowed_to.min(rate) };
        self.rate = rate;
        self.forget_old();
    }

    /// The rate in force: the one set, or less after refusals.
    pub fn effective_rate(&self, now: Timestamp) -> u32 {
        let quiet_ms = now.as_ms().saturating_sub(self.slowed_at.as_ms()).max(0);
        let steps = u32::try_from(quiet_ms / RECOVERY_MS).unwrap_or(u32::MAX);
        let step = (self.rate / 10).max(1);
        self.rate.min(self.slowed_to.saturating_add(steps.saturating_mul(step)))
    }

    /// Whether nothing of an earlier refusal is left.
    pub fn is_at_full_rate(&self, now: Timestamp) -> bool {
        self.effective_rate(now) == self.rate
    }

    /// The first instant, `now` or later, at which a start is allowed.
    pub fn next_free(&self, now: Timestamp) -> Timestamp {
        let rate = self.effective_rate(now) as usize;
        if self.under_way >= rate {
            // None before one is over; whoever ends one asks again.
            return now.plus(Duration::from_secs(1)).max(self.paused_until);
        }
        let by_rate =
            (self.starts.len() + self.under_way).checked_sub(rate).and_then(|oldest| self.starts.get(oldest));
        // A start that lies ahead is one from before the clock was set back: it counts as one of now.
        let by_rate = by_rate
            .map_or(now, |start| Timestamp::from_ms((*start).min(now).as_ms().saturating_add(WINDOW_MS)));
        now.max(by_rate).max(self.paused_until)
    }

    /// Takes a start, or says from when there is one.
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

    /// Takes a place for a call about to be made. When it arrives at the other end is not known, only that it is not
    /// after the end of the call, so the place is held until a second after [`done`](Self::done): however long calls
    /// take on their way, the other end never counts more than `rate` in a second.
    pub fn begin(&mut self) {
        self.under_way += 1;
    }

    /// The call is over.
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

    /// No start before `until`; a shorter pause does not end a longer one.
    pub fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    /// A refusal for too many calls: half the rate from now on, at least 1, growing back a tenth of the set rate every
    /// ten quiet seconds. The refusals of calls that were in flight together count as one.
    pub fn throttled(&mut self, now: Timestamp) {
        let since_ms = now.as_ms().saturating_sub(self.slowed_at.as_ms());
        if self.slowed_at != Timestamp::default() && (0..1000).contains(&since_ms) {
            return;
        }
        self.slowed_to = (self.effective_rate(now) / 2).max(1);
        self.slowed_at = now;
    }

    /// Back to the set rate at once (another app or edition was configured, for example).
    pub fn recover(&mut self) {
        self.slowed_to = self.rate;
    }

    fn forget_old(&mut self) {
        while self.starts.len() > self.rate as usize {
            self.starts.pop_front();
        }
    }
}
