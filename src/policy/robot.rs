//! How often a DingTalk group robot may be told something, and what its answers mean.
//!
//! Guards: never more than twenty messages in any minute, because the twenty-first silences the robot for ten; nothing
//! waits longer than it must; a robot that asks for rest gets ten minutes. Deliberately not here: the messages
//! (`message::robot`), waiting (the caller gets the instant to come back).

use std::collections::VecDeque;
use std::time::Duration;

use super::delivery::Outcome;
use crate::time::Timestamp;

/// Messages a robot takes in any minute (DingTalk, custom robots).
pub const MOST_A_MINUTE: usize = 20;

/// How long a robot is left alone once it said that it was too much.
pub const SILENCE: Duration = Duration::from_mins(10);

/// So many in a minute go at once, each event by itself; the rest is spread over the minute, as digests.
const AT_ONCE: usize = 10;

const MINUTE: Duration = Duration::from_mins(1);

/// Between two messages once [`AT_ONCE`] are gone: the other ten then fill the minute.
const SPACING: Duration = Duration::from_secs(6);

/// One robot's last minute.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    starts: VecDeque<Timestamp>,
    silent_until: Option<Timestamp>,
}

impl Pace {
    /// For a daemon that starts now: what an earlier one sent in the last minute is not known, so half of it counts as
    /// sent.
    pub fn after_start(now: Timestamp) -> Self {
        Self { starts: vec![now.minus(SPACING); AT_ONCE].into(), silent_until: None }
    }

    /// When the next message may go out, if that is not now.
    pub fn free_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.forget(now);
        let spaced =
            (self.starts.len() >= AT_ONCE).then(|| self.starts.back().map(|last| last.plus(SPACING)));
        let full =
            (self.starts.len() >= MOST_A_MINUTE).then(|| self.starts.front().map(|first| first.plus(MINUTE)));
        let waits = [self.silent_until, spaced.flatten(), full.flatten()];
        waits.into_iter().flatten().max().filter(|&free| free > now)
    }

    /// Notes a message that goes out at `now`, which `free_at` allowed.
    pub fn start(&mut self, now: Timestamp) {
        self.starts.push_back(now);
    }

    /// Whether so many waiting events may each have a message of their own.
    pub fn is_roomy(&mut self, now: Timestamp, waiting: usize) -> bool {
        self.forget(now);
        self.starts.len() + waiting <= AT_ONCE
    }

    /// The robot said at `now` that it was too much.
    pub fn silence(&mut self, now: Timestamp) -> Timestamp {
        let until = now.plus(SILENCE);
        self.silent_until = Some(until);
        until
    }

    fn forget(&mut self, now: Timestamp) {
        // A clock set back would otherwise close the robot for as long as it was set back.
        if self.starts.back().is_some_and(|&last| last > now) {
            self.starts.clear();
        }
        while self.starts.front().is_some_and(|&first| now.since(first) >= MINUTE) {
            self.starts.pop_front();
        }
        if self.silent_until.is_some_and(|until| until <= now || until > now.plus(SILENCE)) {
            self.silent_until = None;
        }
    }
}

/// What an `errcode` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// For the delivery.
    pub outcome: Outcome,
    /// The robot wants [`SILENCE`].
    pub silence: bool,
}

/// What a robot's `errcode` stands for. Whatever is wrong with the robot itself, its token, its settings or its group
/// can be put right by somebody, so the events wait; only what is wrong with the message is the message's fault.
pub fn meaning(errcode: i64) -> Meaning {
    let (outcome, silence) = match errcode {
        0 => (Outcome::Accepted, false),
        // Too many in a minute, as documented and as seen; the month's quota, which may be raised at any time.
        410_100 | 130_101 | 660_026 | 90_018 | 90_030 => (Outcome::Unavailable, true),
        // A parameter is missing, the content type, the kind of message; links, texts, pictures it will not show.
        40_035 | 43_004 | 400_105 | 430_101..=430_104 => (Outcome::Refused, false),
        // Keyword, timestamp, signature or IP list (310000), token unknown (400101, 300005), robot stopped or gone
        // (400102, 400106), group dissolved (400013), busy (-1), and whatever is new.
        _ => (Outcome::Unavailable, false),
    };
    Meaning { outcome, silence }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn ten_go_at_once_and_ten_more_over_the_minute() {
        let (mut pace, mut now, mut starts) = (Pace::default(), at(0), Vec::new());
        while now < at(60_000) {
            match pace.free_at(now) {
                None => {
                    pace.start(now);
                    starts.push(now.as_ms());
                }
                Some(free) => now = free,
            }
        }
        let spread: Vec<i64> = (1..10).map(|n| n * 6_000).collect();
        assert_eq!(starts[..10], [0; 10]);
        assert_eq!(starts[10..], spread);
    }

    #[test]
    fn few_events_go_alone_and_many_together() {
        let mut pace = Pace::default();
        assert!(pace.is_roomy(at(0), 10));
        assert!(!pace.is_roomy(at(0), 11));
        pace.start(at(0));
        assert!(!pace.is_roomy(at(0), 10));
        assert!(pace.is_roomy(at(60_000), 10));
    }

    #[test]
    fn after_a_start_the_first_goes_at_once_and_the_next_are_spaced() {
        let mut pace = Pace::after_start(at(100_000));
        assert_eq!(pace.free_at(at(100_000)), None);
        pace.start(at(100_000));
        assert_eq!(pace.free_at(at(100_000)), Some(at(106_000)));
        assert!(!pace.is_roomy(at(100_000), 1));
    }

    #[test]
    fn a_robot_that_had_too_much_is_left_alone_for_ten_minutes() {
        let mut pace = Pace::default();
        assert_eq!(pace.silence(at(0)), at(600_000));
        assert_eq!(pace.free_at(at(599_999)), Some(at(600_000)));
        assert_eq!(pace.free_at(at(600_000)), None);
    }

    #[test]
    fn a_clock_set_back_closes_nothing() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.start(at(10_000_000));
        }
        pace.silence(at(10_000_000));
        assert_eq!(pace.free_at(at(0)), None);
    }

    #[test]
    fn every_errcode_has_its_meaning() {
        for (codes, outcome, silence) in [
            (&[0][..], Outcome::Accepted, false),
            (&[410_100, 130_101, 660_026, 90_018, 90_030], Outcome::Unavailable, true),
            (&[40_035, 43_004, 400_105, 430_101, 430_102, 430_103, 430_104], Outcome::Refused, false),
            (
                &[310_000, 400_101, 300_005, 400_102, 400_106, 400_013, -1, 1, 999_999],
                Outcome::Unavailable,
                false,
            ),
        ] {
            for &code in codes {
                assert_eq!(meaning(code), Meaning { outcome, silence }, "{code}");
            }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_minute_holds_more_than_twenty_and_nobody_waits_for_ever(
            steps in proptest::collection::vec((0i64..20_000, any::<bool>()), 1..200),
        ) {
            let (mut pace, mut now, mut starts) = (Pace::after_start(at(0)), 0, Vec::<i64>::new());
            for (step, sends) in steps {
                now += step;
                if !sends {
                    continue;
                }
                match pace.free_at(at(now)) {
                    None => {
                        pace.start(at(now));
                        starts.push(now);
                    }
                    Some(free) => {
                        prop_assert!(free > at(now));
                        prop_assert!(free.since(at(now)) <= MINUTE);
                    }
                }
                let within = starts.iter().filter(|&&start| start > now - 60_000).count();
                prop_assert!(within <= MOST_A_MINUTE);
            }
        }
    }
}
