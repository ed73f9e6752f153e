//! Exponential backoff: growing waits between attempts.
//!
//! Guards: a wait is never shorter than the one before it nor longer than the maximum, and the same input gives the same
//! wait: the jitter is a hash of a key, not a random number. Not here: which operation is retried.

use std::time::Duration;

/// The wait after attempt number `attempt`, counted from 0: `initial` times `factor` to the power of `attempt`, changed by
/// up to 20 % up or down by `key` (see [`key`]), at most `max`.
///
/// All attempts of one key have the same jitter, so the waits grow for any `factor` from 1 on; a smaller factor counts as
/// 1.
pub fn delay(attempt: u32, initial: Duration, max: Duration, factor: f64, key: u64) -> Duration {
    let factor = if factor >= 1.0 { factor } else { 1.0 };
    let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
    let seconds = initial.as_secs_f64() * factor.powi(exponent) * spread(key);
    // `Duration` refuses an infinite or too large product; it is above any `max`.
    Duration::try_from_secs_f64(seconds).map_or(max, |wait| wait.min(max))
}

/// A jitter key from the parts that identify an operation: `key(&["default", "2iPO..."])`. FNV-1a, 64 bits.
pub fn key(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // 0xFF ends each part: UTF-8 never contains it, so ("ab", "c") differs from ("a", "bc").
        for byte in part.bytes().chain([0xFF]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// The jitter factor of a key: between 0.8 and 1.2, evenly distributed.
fn spread(key: u64) -> f64 {
    // The finaliser of SplitMix64: neighbouring keys get unrelated factors.
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let top = u32::try_from(z >> 32).unwrap_or(u32::MAX);
    0.8 + 0.4 * f64::from(top) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INITIAL: Duration = Duration::from_secs(30);
    const MAX: Duration = Duration::from_mins(15);

    #[test]
    fn the_first_wait_is_about_the_initial_one() {
        for k in 0..1000 {
            let wait = delay(0, INITIAL, MAX, 2.0, k);
            assert!((Duration::from_secs(24)..=Duration::from_secs(36)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn keys_spread_over_the_whole_band() {
        let waits: Vec<_> = (0..1000).map(|k| delay(0, INITIAL, MAX, 2.0, k).as_secs_f64()).collect();
        let low = waits.iter().filter(|w| **w < 30.0).count();
        assert!((400..600).contains(&low), "{low}");
        assert!(waits.iter().any(|w| *w < 24.5) && waits.iter().any(|w| *w > 35.5));
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }

    #[test]
    fn extreme_input_gives_the_longest_wait() {
        assert_eq!(delay(u32::MAX, INITIAL, MAX, 2.0, 7), MAX);
        assert_eq!(delay(3, INITIAL, MAX, f64::INFINITY, 7), MAX);
        assert!(delay(3, INITIAL, MAX, f64::NAN, 7) <= Duration::from_secs(36));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn waits_grow_and_stay_capped(
            attempt in 0_u32..200, initial_ms in 1_u64..600_000, max_ms in 1_u64..86_400_000,
            factor in 1.0_f64..10.0, k: u64,
        ) {
            let (initial, max) = (Duration::from_millis(initial_ms), Duration::from_millis(max_ms));
            let this = delay(attempt, initial, max, factor, k);
            let next = delay(attempt + 1, initial, max, factor, k);
            prop_assert!(this <= next, "{this:?} then {next:?}");
            prop_assert!(next <= max);
            prop_assert!(this >= max.min(initial.mul_f64(0.799)));
            prop_assert_eq!(this, delay(attempt, initial, max, factor, k));
        }
    }
}
