//! A webhook's `rate`: how many requests may start in any one second.
//!
//! Guards: any window of one second contains at most `rate` starts; unused starts are not saved up. Not here: waiting (the
//! caller gets the time of the next allowed start), the number of requests in flight.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

const WINDOW: Duration = Duration::from_secs(1);

/// Sliding-window limiter: the starts of the last second.
#[derive(Clone, Debug)]
pub struct SendRate {
    per_second: usize,
    starts: VecDeque<Timestamp>,
}

impl SendRate {
    /// Allows `per_second` starts a second, at least one.
    pub fn new(per_second: u32) -> Self {
        let per_second = usize::try_from(per_second.max(1)).unwrap_or(usize::MAX);
        Self { per_second, starts: VecDeque::new() }
    }

    /// Records a start at `now`; on refusal returns when the next start is allowed.
    pub fn start(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        match self.free_at(now) {
            None => {
                self.starts.push_back(now);
                Ok(())
            }
            Some(free) => Err(free),
        }
    }

    /// When the next start is allowed; `None`: now.
    pub fn free_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        // After the clock was set back, starts in the future would block new ones for that long.
        if self.starts.back().is_some_and(|&last| last > now) {
            self.starts.clear();
        }
        while self.starts.front().is_some_and(|&first| now.since(first) >= WINDOW) {
            self.starts.pop_front();
        }
        if self.starts.len() < self.per_second {
            return None;
        }
        self.starts.front().map(|first| first.plus(WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn the_next_second_begins_with_the_first_start() {
        let mut rate = SendRate::new(2);
        assert_eq!(rate.start(at(0)), Ok(()));
        assert_eq!(rate.start(at(400)), Ok(()));
        assert_eq!(rate.start(at(999)), Err(at(1_000)));
        assert_eq!(rate.start(at(1_000)), Ok(()));
        assert_eq!(rate.start(at(1_000)), Err(at(1_400)));
    }

    #[test]
    fn a_clock_set_back_does_not_block_starts() {
        let mut rate = SendRate::new(1);
        assert_eq!(rate.start(at(1_000_000)), Ok(()));
        assert_eq!(rate.start(at(0)), Ok(()));
        assert_eq!(rate.start(at(1)), Err(at(1_000)));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn a_second_never_has_more_starts_and_a_refusal_is_never_needless(
            per_second in 1u32..20, steps in proptest::collection::vec(0i64..300, 1..200),
        ) {
            let (mut rate, mut now, mut starts) = (SendRate::new(per_second), 0, Vec::new());
            for step in steps {
                now += step;
                let within = starts.iter().filter(|&&start| start > now - 1_000).count();
                match rate.start(at(now)) {
                    Ok(()) => starts.push(now),
                    Err(free) => {
                        prop_assert!(free > at(now));
                        prop_assert_eq!(within, per_second as usize);
                    }
                }
                let within = starts.iter().filter(|&&start| start > now - 1_000).count();
                prop_assert!(within <= per_second as usize);
            }
        }
    }
}
