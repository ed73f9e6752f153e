//! How much to do in one go, where everybody else waits for as long as it takes.
//!
//! Guards: what took longer than it should is followed by less, at once; what was quick is followed by more, but never by
//! more than twice as much; there is always something to do next. Deliberately not here: what is done, and the watch
//! that times it.

use std::time::Duration;

/// The size of the next piece of some work, learned from how long the last one took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    size: u32,
    most: u32,
    target: Duration,
}

impl Batch {
    /// Begins with `first`, never takes more than `most` at once, and aims at `target` for each.
    pub fn new(first: u32, most: u32, target: Duration) -> Self {
        let most = most.max(1);
        Self { size: first.clamp(1, most), most, target: target.max(Duration::from_millis(1)) }
    }

    /// How much to take now.
    pub fn size(self) -> u32 {
        self.size
    }

    /// `done` of it took so long.
    #[must_use]
    pub fn took(self, done: u32, elapsed: Duration) -> Self {
        if done == 0 {
            return self;
        }
        let (elapsed, target) = (elapsed.as_micros().max(1), self.target.as_micros());
        let fits = (u128::from(done) * target / elapsed).min(u128::from(u32::MAX));
        // `fits` was just held below 2^32.
        let fits = u32::try_from(fits).unwrap_or(u32::MAX);
        let size = fits.min(done.saturating_mul(2).max(self.size)).min(self.size.saturating_mul(2));
        Self { size: size.clamp(1, self.most), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_millis(20);

    #[test]
    fn slow_work_is_cut_at_once_and_quick_work_grows_by_and_by() {
        let batch = Batch::new(50, 1000, TARGET);
        assert_eq!(batch.took(50, Duration::from_millis(200)).size(), 5);
        assert_eq!(batch.took(50, Duration::from_millis(1)).size(), 100);
        assert_eq!(batch.took(50, Duration::from_millis(16)).size(), 62);
        assert_eq!(batch.took(50, Duration::from_mins(1)).size(), 1, "never nothing");
    }

    #[test]
    fn nothing_done_teaches_nothing() {
        let batch = Batch::new(50, 1000, TARGET);
        assert_eq!(batch.took(0, Duration::from_mins(1)), batch);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// Machines of any speed: so much for a transaction (an `fsync`), so much for a row.
        #[test]
        fn nobody_waits_for_more_than_fifty_milliseconds(
            transaction_us in 0_u64..15_000,
            row_us in 1_u64..1_400,
            slower in 1_u64..4,
        ) {
            let mut batch = Batch::new(20, 2_000, TARGET);
            for round in 0..60 {
                // Half-way the machine becomes slower, as one does when somebody else comes; nobody can know that.
                let factor = if round < 30 { 1 } else { slower };
                let rows = u64::from(batch.size());
                let elapsed = Duration::from_micros((transaction_us + row_us * rows) * factor);
                if round != 30 {
                    let least = Duration::from_micros((transaction_us + row_us) * factor);
                    let bound = Duration::from_millis(50).max(least + TARGET);
                    prop_assert!(elapsed <= bound, "{elapsed:?} for {rows} in round {round}");
                }
                batch = batch.took(batch.size(), elapsed);
            }
        }

        #[test]
        fn a_size_is_never_nothing_nor_more_than_the_most(
            first in 0_u32..5_000, most in 0_u32..5_000, done in 0_u32..5_000, us in 0_u64..10_000_000,
        ) {
            let batch = Batch::new(first, most, TARGET);
            let next = batch.took(done, Duration::from_micros(us));
            prop_assert!((1..=most.max(1)).contains(&next.size()));
            prop_assert!(next.size() <= batch.size() * 2);
        }
    }
}
