//! Splits the monthly call budget between sweeps and polls.
//!
//! Sweeps are planned with the calls that polls leave, and that plan gives the value of one more call. A poll is made
//! where it saves more wrong time than that. If many polls do, they take more calls, the plan has fewer, and a call is
//! worth more in it.
//!
//! Guards: the share of the polls is followed from day to day, so that a call is worth the same in both; neither side
//! loses all its calls at once. Not here: which poll is worth its call (`pace`), which sweep is
//! (`schedule_optimizer`).

use crate::policy::pace::pacer::{CallBudget, SweepAllocation, whole_calls};
use crate::time::Timestamp;

/// Smallest share of the polls: they keep checking the sweeps.
const LEAST: f64 = 0.04;
/// Largest share of the polls while sweeps are made.
const MOST: f64 = 0.96;
/// On one day polls may take at most this many times their share.
const ROOM: f64 = 2.0;
/// Weight of one day in the share.
const BY_DAY: f64 = 0.3;
/// Share of the remaining calls for polls made in turn, whatever their value.
const IN_TURN: f64 = 0.02;

/// The split, and the calls made since the last start of a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetSplit {
    /// Share of the calls that polls take.
    share: f64,
    day: Option<i32>,
    from: Timestamp,
    /// Calls left at that time.
    left: u64,
    /// Polls, and calls of sweeps, since then.
    polls: u64,
    sweeps: u64,
}

impl Default for BudgetSplit {
    fn default() -> Self {
        Self::new(0.0)
    }
}

impl BudgetSplit {
    /// `unseen`: share of the visits that no sweep lists.
    pub fn new(unseen: f64) -> Self {
        let share = unseen.clamp(LEAST, MOST);
        Self { share, day: None, from: Timestamp::default(), left: 0, polls: 0, sweeps: 0 }
    }

    /// Starts a local day with this many calls left; the first time on a day, learns the share of the day before.
    pub fn start_day(&mut self, day: i32, now: Timestamp, left: u64) {
        // More calls than before: another month or another limit.
        if self.day == Some(day) && left <= self.left {
            return;
        }
        let spent = self.polls + self.sweeps;
        if self.day.is_some_and(|known| known != day) && spent > 0 {
            let today = part(self.polls, spent);
            self.share = (self.share + BY_DAY * (today - self.share)).clamp(LEAST, MOST);
        }
        *self = Self { day: Some(day), from: now, left, polls: 0, sweeps: 0, ..*self };
    }

    /// Counts a poll.
    pub fn record_poll(&mut self) {
        self.polls += 1;
    }

    /// Counts the calls of a sweep.
    pub fn record_sweep(&mut self, calls: u64) {
        self.sweeps += calls;
    }

    /// Share of the calls that polls take.
    pub fn poll_share(&self) -> f64 {
        self.share
    }

    /// Calls that sweeps are planned with, of `left` calls.
    pub fn for_sweeps(&self, left: u64) -> u64 {
        whole_calls(left, 1.0 - self.share)
    }

    /// The budget of the polls until the month ends, while a call saves `worth` wrong minutes in a sweep and `left`
    /// calls remain.
    pub fn for_polls(&self, until: Timestamp, worth: f64, left: u64) -> CallBudget {
        let calls = whole_calls(self.left, (ROOM * self.share).min(MOST)).min(self.polls + left);
        let sweeps = Some(SweepAllocation { worth, in_turn: whole_calls(left, IN_TURN) });
        CallBudget { from: self.from, until, calls: Some(calls), used: self.polls, sweeps }
    }
}

fn part(of: u64, all: u64) -> f64 {
    let float = |number: u64| std::time::Duration::from_secs(number).as_secs_f64();
    float(of) / float(all).max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(days: &[(u64, u64)], unseen: f64) -> BudgetSplit {
        let mut split = BudgetSplit::new(unseen);
        let mut left = 100_000;
        for (day, (polls, sweeps)) in (0..).zip(days) {
            split.start_day(day, Timestamp::default(), left);
            (0..*polls).for_each(|_| split.record_poll());
            split.record_sweep(*sweeps);
            left -= polls + sweeps;
        }
        split.start_day(i32::MAX, Timestamp::default(), left);
        split
    }

    #[test]
    fn the_share_of_the_polls_is_followed() {
        assert!((after(&[], 0.5).poll_share() - 0.5).abs() < 1e-9);
        assert!((after(&[(30, 70); 20], 0.0).poll_share() - 0.3).abs() < 0.01);
        assert!((after(&[(0, 100); 20], 0.5).poll_share() - LEAST).abs() < 0.01);
        assert!((after(&[(0, 0); 20], 0.5).poll_share() - 0.5).abs() < 1e-9, "closed days do not count");
    }

    #[test]
    fn another_month_starts_a_new_count_and_keeps_the_share() {
        let mut split = after(&[(30, 70); 20], 0.0);
        let until = Timestamp::from_ms(1_000_000);
        split.record_poll();
        assert_eq!(split.for_polls(until, 3.0, 100).used, 1);
        split.start_day(i32::MAX, Timestamp::from_ms(5), 200_000);
        let polls = split.for_polls(until, 3.0, 200_000);
        assert_eq!(
            (polls.from, polls.used, polls.sweeps.map(|sweeps| sweeps.in_turn)),
            (Timestamp::from_ms(5), 0, Some(4_000))
        );
        assert!(polls.calls.is_some_and(|calls| (115_000..=125_000).contains(&calls)), "{polls:?}");
    }

    #[test]
    fn without_remaining_calls_polls_have_none() {
        let mut split = after(&[(30, 70); 20], 0.0);
        split.record_poll();
        let polls = split.for_polls(Timestamp::default(), 3.0, 0);
        assert_eq!((polls.calls, polls.used), (Some(1), 1), "sweeps took the rest");
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn both_sides_always_have_calls(days in prop::collection::vec((0_u64..500, 0_u64..500), 0..40), unseen in -1.0_f64..2.0) {
            let split = after(&days, unseen);
            prop_assert!((LEAST..=MOST).contains(&split.poll_share()));
            prop_assert!((1..10_000).contains(&split.for_sweeps(10_000)));
            let polls = split.for_polls(Timestamp::default(), 1.0, 10_000);
            prop_assert!(polls.calls.is_some_and(|calls| calls > 0));
        }
    }
}
