//! The limits of an organisation's calls: in flight, a second, a month, and pauses.
//!
//! Guards: at most `concurrency` calls in flight, at most `rate` a second, at most the month's limit; a call is made
//! only under a reservation that is already on disk; failing users get at most half of the slots. Not here: why the
//! organisation is paused (`breaker`), counting calls a month and a second (`policy::quota`).

use chrono_tz::Tz;

use super::settings::FLUSH_EVERY;
use crate::policy::pace;
use crate::policy::quota::{Month, MonthBudget, RateLimiter, Refusal, Reservation, Ticket};
use crate::store::Usage;
use crate::time::Timestamp;

/// The limits, and the calls under them.
#[derive(Debug)]
pub(super) struct CallLimits {
    rate: RateLimiter,
    budget: MonthBudget,
    month_time_zone: Tz,
    /// When the database was created: no call was made before.
    installed: Timestamp,
    concurrency: usize,
    in_flight: usize,
    failing_in_flight: usize,
    paused_until: Option<Timestamp>,
    /// A reservation of calls is being written.
    reserving: bool,
    /// Due users wait for a call or a reservation to end.
    full: bool,
    /// Calls refused this month: by a rate limit, a ban or a spent month.
    refused: u64,
    /// `refused` has changed since it was written.
    refused_changed: bool,
}

/// The calls of a month, as they are stored.
#[derive(Debug)]
pub(super) struct CallCount {
    pub(super) month: Month,
    pub(super) usage: Usage,
    pub(super) limit: Option<u64>,
    pub(super) projected: Option<u64>,
}

impl CallLimits {
    /// Nothing is in flight; `refused`: calls refused this month, as stored.
    pub(super) fn new(
        rate: RateLimiter,
        budget: MonthBudget,
        month_time_zone: Tz,
        concurrency: usize,
        refused: u64,
    ) -> Self {
        Self {
            rate,
            budget,
            month_time_zone,
            installed: Timestamp::default(),
            concurrency: concurrency.max(1),
            in_flight: 0,
            failing_in_flight: 0,
            paused_until: None,
            reserving: false,
            full: false,
            refused,
            refused_changed: false,
        }
    }

    /// The projection counts from here, if this month began before.
    pub(super) fn set_installed(&mut self, installed: Timestamp) {
        self.installed = installed;
    }

    /// Takes over the config's limits. What was spent is kept; a pause ends.
    pub(super) fn adopt(&mut self, fresh: Self, now: Timestamp) {
        if self.month_time_zone == fresh.month_time_zone {
            self.budget.set_limit(fresh.budget.limit());
        } else {
            self.budget = fresh.budget;
            self.month_time_zone = fresh.month_time_zone;
        }
        self.rate.set_rate(fresh.rate.effective_rate(now));
        self.concurrency = fresh.concurrency;
        self.end_pause();
    }

    /// The calls of the month.
    pub(super) fn budget(&self) -> &MonthBudget {
        &self.budget
    }

    /// The calls a second.
    pub(super) fn rate(&self) -> &RateLimiter {
        &self.rate
    }

    /// Whether no call can begin before something in flight ends. `one_at_a_time`: the circuit is open.
    pub(super) fn is_full(&self, one_at_a_time: bool) -> bool {
        let places = if one_at_a_time { 1 } else { self.concurrency };
        self.in_flight >= places || self.reserving
    }

    pub(super) fn has_calls_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Until when no call may begin, for a pause or the rate; `None`: one may begin now.
    pub(super) fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let paused = self.paused_until.filter(|until| *until > now);
        paused.or_else(|| Some(self.rate.next_free(now)).filter(|free| *free > now))
    }

    /// Failing users get at most half of the slots, and at least one.
    pub(super) fn room_for_failing(&self) -> bool {
        self.failing_in_flight < (self.concurrency / 2).max(1)
    }

    /// Due users wait for something in flight: its end must not wait for a tick then.
    pub(super) fn set_users_wait(&mut self, wait: bool) {
        self.full = wait;
    }

    pub(super) fn users_wait(&self) -> bool {
        self.full
    }

    /// Takes one call of the month.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<Ticket, Refusal> {
        self.budget.try_take(now)
    }

    /// Returns a call that is not made.
    pub(super) fn give_back(&mut self, ticket: Ticket) {
        self.budget.settle(ticket, 0);
    }

    /// One call after the other begins, in one slot. The second may exceed the rate by one.
    pub(super) fn begin(&mut self, calls: usize) {
        self.in_flight += 1;
        for _ in 0..calls {
            self.rate.begin();
        }
    }

    /// The calls of one slot have ended, after so many charged calls.
    pub(super) fn end(&mut self, tickets: impl IntoIterator<Item = Ticket>, mut calls: u32, now: Timestamp) {
        self.in_flight -= 1;
        for ticket in tickets {
            self.rate.done(now);
            self.budget.settle(ticket, std::mem::take(&mut calls));
        }
    }

    /// A call that is not charged to the month has ended.
    pub(super) fn end_uncharged(&mut self, now: Timestamp) {
        self.in_flight -= 1;
        self.rate.done(now);
    }

    /// A poll begins; `failing`: the user's last one failed.
    pub(super) fn begin_poll(&mut self, failing: bool) {
        self.failing_in_flight += usize::from(failing);
        self.begin(1);
    }

    /// A poll has ended, after so many calls.
    pub(super) fn end_poll(&mut self, failing: bool, ticket: Ticket, calls: u32, now: Timestamp) {
        self.failing_in_flight -= usize::from(failing);
        self.end([ticket], calls, now);
    }

    /// The reservation to be stored before the next call, unless one is being stored.
    pub(super) fn reserve(&mut self, now: Timestamp) -> Option<(Reservation, CallCount)> {
        if self.reserving {
            return None;
        }
        let reservation = self.budget.reserve(now)?;
        (self.reserving, self.full) = (true, true);
        Some((reservation, self.count(reservation.month, reservation.calls, now)))
    }

    /// The reservation was stored, or (`None`) could not be.
    pub(super) fn reserved(&mut self, reservation: Option<Reservation>, now: Timestamp) {
        self.reserving = false;
        match reservation {
            Some(reservation) => self.budget.reserved(reservation),
            None => self.pause_until(now.plus(FLUSH_EVERY)),
        }
    }

    /// DingTalk refused a call for the rate: the rate is halved.
    pub(super) fn halve_rate(&mut self, now: Timestamp) {
        self.rate.throttled(now);
    }

    /// Counts a refused call. It is stored with the next reservation, or if `at_once`, with the next report.
    pub(super) fn count_refused(&mut self, at_once: bool) {
        self.refused += 1;
        self.refused_changed |= at_once;
    }

    /// The count to store if refused calls were counted since, and no reservation stores it anyway.
    pub(super) fn take_changed_count(&mut self, now: Timestamp) -> Option<CallCount> {
        if !std::mem::take(&mut self.refused_changed) || self.reserving {
            return None;
        }
        let written = self.budget.written();
        Some(self.count(written.month, written.calls, now))
    }

    /// The calls that were made: what was reserved and not spent is returned.
    pub(super) fn exact_count(&mut self, now: Timestamp) -> CallCount {
        let exact = self.budget.exact(now);
        self.count(exact.month, exact.calls, now)
    }

    /// DingTalk reports that the month is spent, whatever the count says.
    pub(super) fn exhaust(&mut self, now: Timestamp) {
        self.budget.exhausted(now);
    }

    /// One more probe, although DingTalk reported a spent month.
    pub(super) fn resume(&mut self) {
        self.budget.resume();
    }

    /// No call begins before then.
    pub(super) fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = Some(self.paused_until.map_or(until, |already| already.max(until)));
    }

    pub(super) fn end_pause(&mut self) {
        self.paused_until = None;
    }

    /// The calls of a month, to be stored.
    fn count(&self, month: Month, used: u64, now: Timestamp) -> CallCount {
        let limit = self.budget.limit();
        let projected = limit.map(|_| {
            let began = self.budget.month(now).begins_at(self.month_time_zone).max(self.installed.min(now));
            pace::projection(self.budget.used(now), began, self.budget.month_ends_at(now), now)
        });
        CallCount { month, usage: Usage { used, throttled: self.refused }, limit, projected }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);
    const ZONE: Tz = Tz::Asia__Shanghai;

    fn limits(concurrency: usize, stored: u64) -> CallLimits {
        let budget = MonthBudget::new(ZONE, Some(100), NOW, stored);
        let mut limits = CallLimits::new(RateLimiter::new(5), budget, ZONE, concurrency, 0);
        let (reservation, count) = limits.reserve(NOW).expect("nothing is reserved yet");
        assert!(limits.is_full(false) && limits.users_wait(), "the reservation is being written");
        assert_eq!((count.limit, count.usage.throttled), (Some(100), 0));
        limits.reserved(Some(reservation), NOW);
        limits
    }

    #[test]
    fn slots_are_counted_and_one_at_a_time_leaves_one() {
        let mut limits = limits(2, 0);
        assert!(!limits.is_full(false) && !limits.is_full(true));
        let ticket = limits.take(NOW).unwrap();
        limits.begin_poll(true);
        assert!(!limits.is_full(false) && limits.is_full(true) && !limits.room_for_failing());
        limits.end_poll(true, ticket, 1, NOW);
        assert!(!limits.is_full(true) && limits.room_for_failing());
        assert_eq!(limits.budget().used(NOW), 1);
    }

    #[test]
    fn calls_of_one_slot_are_settled_together_and_what_is_not_made_comes_back() {
        let mut limits = limits(2, 0);
        let tickets = [limits.take(NOW).unwrap()];
        limits.begin(1);
        limits.end(tickets, 2, NOW);
        assert_eq!(limits.budget().used(NOW), 2);
        let mut one_more = || match limits.take(NOW) {
            Ok(ticket) => limits.give_back(ticket),
            Err(Refusal::ReserveFirst) => {
                let (reservation, _) = limits.reserve(NOW).unwrap();
                limits.reserved(Some(reservation), NOW);
            }
            Err(refused) => panic!("{refused:?}"),
        };
        one_more();
        one_more();
        assert_eq!(limits.budget().used(NOW), 2);
    }

    #[test]
    fn a_pause_is_only_made_longer_and_ends_at_once() {
        let mut limits = limits(2, 0);
        assert_eq!(limits.closed_until(NOW), None);
        let (soon, late) = (NOW.plus(Duration::from_secs(5)), NOW.plus(Duration::from_secs(9)));
        limits.pause_until(late);
        limits.pause_until(soon);
        assert_eq!(limits.closed_until(NOW), Some(late));
        limits.end_pause();
        assert_eq!(limits.closed_until(NOW), None);
        limits.reserved(None, NOW);
        assert_eq!(limits.closed_until(NOW), Some(NOW.plus(FLUSH_EVERY)), "the database failed");
    }

    #[test]
    fn refused_calls_are_stored_once_and_only_when_asked_for() {
        let mut limits = limits(2, 7);
        limits.count_refused(false);
        assert!(limits.take_changed_count(NOW).is_none());
        limits.count_refused(true);
        let count = limits.take_changed_count(NOW).unwrap();
        assert_eq!(count.usage.throttled, 2);
        assert!(limits.take_changed_count(NOW).is_none());
        assert_eq!(limits.exact_count(NOW).usage.used, 7);
    }
}
