//! Size of the next batch of background work in one transaction, learned from the duration of the last one.
//!
//! Guards: a batch that exceeds its target duration is followed by a smaller one at once; a fast batch is followed by a
//! larger one, at most twice as large; a batch is never empty. Not here: the work (`store::retention`), measuring its
//! duration.

use std::time::Duration;

/// Size of the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    size: u32,
    most: u32,
    target: Duration,
}

impl BatchSize {
    /// Starts at `first` rows; a batch has at most `most` rows and should take `target`.
    pub fn new(first: u32, most: u32, target: Duration) -> Self {
        let most = most.max(1);
        Self { size: first.clamp(1, most), most, target: target.max(Duration::from_millis(1)) }
    }

    /// Number of rows of the next batch.
    pub fn size(self) -> u32 {
        self.size
    }

    /// The size after a batch of `done` rows took `elapsed`.
    #[must_use]
    pub fn took(self, done: u32, elapsed: Duration) -> Self {
        if done == 0 {
            return self;
        }
        let (elapsed, target) = (elapsed.as_micros().max(1), self.target.as_micros());
        let fits = (u128::from(done) * target / elapsed).min(u128::from(u32::MAX));
        // `fits` was limited to 32 bits above.
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
    fn a_slow_batch_shrinks_at_once_and_a_fast_one_grows_gradually() {
        let batch = BatchSize::new(50, 1000, TARGET);
        assert_eq!(batch.took(50, Duration::from_millis(200)).size(), 5);
        assert_eq!(batch.took(50, Duration::from_millis(1)).size(), 100);
        assert_eq!(batch.took(50, Duration::from_millis(16)).size(), 62);
        assert_eq!(batch.took(50, Duration::from_mins(1)).size(), 1, "never nothing");
    }

    #[test]
    fn an_empty_batch_changes_nothing() {
        let batch = BatchSize::new(50, 1000, TARGET);
        assert_eq!(batch.took(0, Duration::from_mins(1)), batch);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// Machines of any speed: a fixed time for each transaction (an `fsync`) and a time for each row.
        #[test]
        fn a_batch_takes_at_most_fifty_milliseconds(
            transaction_us in 0_u64..15_000,
            row_us in 1_u64..1_400,
            slower in 1_u64..4,
        ) {
            let mut batch = BatchSize::new(20, 2_000, TARGET);
            for round in 0..60 {
                // Half-way the machine becomes slower, as under a new load; the first batch after that may be too large.
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
        fn a_size_is_at_least_one_and_at_most_the_maximum(
            first in 0_u32..5_000, most in 0_u32..5_000, done in 0_u32..5_000, us in 0_u64..10_000_000,
        ) {
            let batch = BatchSize::new(first, most, TARGET);
            let next = batch.took(done, Duration::from_micros(us));
            prop_assert!((1..=most.max(1)).contains(&next.size()));
            prop_assert!(next.size() <= batch.size() * 2);
        }
    }
}
