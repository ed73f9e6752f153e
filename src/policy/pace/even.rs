//! Even spreading: every user at the same interval, each with a fixed offset.
//!
//! Guards: the next poll is strictly later; users with the same interval are spread over it by a fixed hash, so calls never
//! bunch, neither after a restart nor on the hour (DingTalk's own congestion peak). Not here: the remaining calls
//! (`policy::quota`), open windows.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::ids::Identity;
use crate::time::{Timestamp, duration_ms};

/// Offset of a user's polls within an interval: a fixed fraction, from a hash of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(u32);

impl Phase {
    /// Always the same for the same user.
    pub fn of(identity: &Identity) -> Self {
        let mut hash = Sha256::new();
        hash.update(identity.org.as_str());
        hash.update([0]);
        hash.update(identity.union_id.as_str());
        let digest = hash.finalize();
        Self(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }

    /// The phase whose [`key`](Self::key) is this number.
    pub fn from_key(key: u64) -> Self {
        Self(u32::try_from(key & u64::from(u32::MAX)).unwrap_or(u32::MAX))
    }

    /// A number to derive jitter from.
    pub fn key(self) -> u64 {
        u64::from(self.0)
    }

    /// This fraction of `interval`.
    pub fn within(self, interval: Duration) -> Duration {
        let share = (u128::from(interval_ms(interval).unsigned_abs()) * u128::from(self.0)) >> 32;
        Duration::from_millis(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// A poll after the user's slot is followed by one at most this part of an interval early, until the slot is reached.
const PULL: i64 = 8;

/// The next poll after one at `now`: at most one interval ahead. Polls in the user's slot are exactly one interval
/// apart; after a poll out of turn each next one is up to an eighth of an interval early, until it is in the slot.
pub fn next_poll_at(now: Timestamp, interval: Duration, phase: Phase) -> Timestamp {
    let step = interval_ms(interval);
    let past_slot = now.as_ms().saturating_sub(duration_ms(phase.within(interval))).rem_euclid(step);
    let ahead = (step - past_slot.min(step / PULL)).max(1);
    Timestamp::from_ms(now.as_ms().saturating_add(ahead))
}

/// The first poll of a user never polled before: soon, but spread over the time that `users` calls take at `rate` a
/// second, or over one interval where that is shorter.
pub fn first_poll_at(now: Timestamp, interval: Duration, phase: Phase, users: usize, rate: u32) -> Timestamp {
    let all_ms = (users as u64).saturating_mul(1000) / u64::from(rate.max(1));
    now.plus(phase.within(interval.min(Duration::from_millis(all_ms))))
}

/// The interval that spreads `calls_left` evenly over `time_left` for `users`, at least `min_interval`. It may come out
/// very long: the call budget takes precedence.
pub fn even_interval(users: usize, time_left: Duration, calls_left: u64, min_interval: Duration) -> Duration {
    if calls_left == 0 {
        return time_left.max(min_interval);
    }
    let ms = time_left.as_millis().saturating_mul(users as u128).div_ceil(u128::from(calls_left));
    let affordable = Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
    affordable.max(min_interval)
}

/// What `used` calls since `began` come to by `ends`, if spending goes on as it did.
pub fn projection(used: u64, began: Timestamp, ends: Timestamp, now: Timestamp) -> u64 {
    let (passed, whole) = (now.since(began).as_millis().max(1), ends.since(began).as_millis());
    u64::try_from(u128::from(used).saturating_mul(whole.max(passed)) / passed).unwrap_or(u64::MAX)
}

fn interval_ms(interval: Duration) -> i64 {
    duration_ms(interval).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{OrgName, UnionId};

    fn phase(n: u32) -> Phase {
        Phase::of(&Identity {
            org: OrgName::default_name(),
            union_id: UnionId::parse(&format!("user{n}")).expect("a valid id"),
        })
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn the_next_poll_is_within_one_interval_and_not_sooner_than_half_of_one(
            now in 0_i64..4_000_000_000_000, ms in 2_u64..100_000_000, n in 0_u32..1000,
        ) {
            let (now, interval) = (Timestamp::from_ms(now), Duration::from_millis(ms));
            let next = next_poll_at(now, interval, phase(n));
            prop_assert!(next > now);
            prop_assert!(next >= now.plus(interval / 2));
            prop_assert!(next <= now.plus(interval));
        }

        #[test]
        fn a_fixed_interval_is_kept_exactly(now in 0_i64..4_000_000_000_000, ms in 16_u64..100_000_000, n in 0_u32..1000) {
            let interval = Duration::from_millis(ms);
            let mut first = Timestamp::from_ms(now);
            for _ in 0..2 * PULL {
                first = next_poll_at(first, interval, phase(n));
            }
            // The poll itself may be a little late; the slot does not move.
            let second = next_poll_at(first.plus(interval / 16), interval, phase(n));
            prop_assert_eq!(second, first.plus(interval));
        }

        #[test]
        fn even_spending_never_exceeds_the_calls(
            users in 1_usize..1000, left_s in 1_u64..2_678_400, calls in 1_u64..1_000_000,
        ) {
            let left = Duration::from_secs(left_s);
            let interval = even_interval(users, left, calls, Duration::ZERO);
            let spent = users as u128 * left.as_millis() / interval.as_millis().max(1);
            prop_assert!(spent <= u128::from(calls));
        }
    }

    #[test]
    fn spending_half_in_a_third_of_the_month_is_one_and_a_half_times_too_much() {
        let (began, ends) = (Timestamp::from_ms(0), Timestamp::from_ms(30_000));
        assert_eq!(projection(2_500, began, ends, Timestamp::from_ms(10_000)), 7_500);
        assert_eq!(projection(0, began, ends, began), 0);
    }

    #[test]
    fn a_thousand_users_on_one_minute_are_spread_over_it() {
        let mut tenths = [0_u32; 10];
        for n in 0..1000 {
            // All were polled at the same instant.
            let mut next = Timestamp::from_ms(0);
            for _ in 0..PULL {
                next = next_poll_at(next, Duration::from_mins(1), phase(n));
            }
            tenths[usize::try_from(next.as_ms().rem_euclid(60_000) / 6_000).expect("below ten")] += 1;
        }
        assert!(tenths.iter().all(|&n| (60..=140).contains(&n)), "{tenths:?}");
    }
}
