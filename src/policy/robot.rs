//! Rate limit of a DingTalk group robot, and the meaning of its `errcode`s.
//!
//! Guards: at most 20 messages in any minute, because DingTalk blocks the robot for 10 minutes after the 21st; a message
//! waits no longer than that rule needs; a robot that reports too many messages gets none for 10 minutes. Not here: the
//! messages (`message::robot`), waiting (the caller gets the time of the next allowed message).

use std::collections::VecDeque;
use std::time::Duration;

use super::delivery::Outcome;
use crate::time::Timestamp;

/// Messages that a robot accepts in any minute (source: DingTalk, custom robots).
pub const MAX_A_MINUTE: usize = 20;

/// How long no message is sent after the robot reported too many.
pub const SILENCE: Duration = Duration::from_mins(10);

/// This many messages a minute are sent at once, one event each; the remaining ones are spread over the minute as digests.
const AT_ONCE: usize = 10;

const MINUTE: Duration = Duration::from_mins(1);

/// Wait between two messages after the first [`AT_ONCE`]: the other ten then fill the minute.
const SPACING: Duration = Duration::from_secs(6);

/// Rate limiter of one robot: the messages of the last minute.
#[derive(Clone, Debug, Default)]
pub struct RobotPace {
    starts: VecDeque<Timestamp>,
    silent_until: Option<Timestamp>,
}

impl RobotPace {
    /// The state at the start of a daemon: the messages that an earlier process sent in the last minute are not known, so
    /// half of the limit counts as used.
    pub fn after_start(now: Timestamp) -> Self {
        Self { starts: vec![now.minus(SPACING); AT_ONCE].into(), silent_until: None }
    }

    /// When the next message may be sent; `None`: now.
    pub fn free_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.forget(now);
        let spaced =
            (self.starts.len() >= AT_ONCE).then(|| self.starts.back().map(|last| last.plus(SPACING)));
        let full =
            (self.starts.len() >= MAX_A_MINUTE).then(|| self.starts.front().map(|first| first.plus(MINUTE)));
        let waits = [self.silent_until, spaced.flatten(), full.flatten()];
        waits.into_iter().flatten().max().filter(|&free| free > now)
    }

    /// Records a message sent at `now`, which `free_at` allowed.
    pub fn start(&mut self, now: Timestamp) {
        self.starts.push_back(now);
    }

    /// Whether each of `waiting` events may be sent as a message of its own.
    pub fn has_room_for(&mut self, now: Timestamp, waiting: usize) -> bool {
        self.forget(now);
        self.starts.len() + waiting <= AT_ONCE
    }

    /// Records that the robot reported too many messages at `now`; returns the end of the pause.
    pub fn silence(&mut self, now: Timestamp) -> Timestamp {
        let until = now.plus(SILENCE);
        self.silent_until = Some(until);
        until
    }

    fn forget(&mut self, now: Timestamp) {
        // After the clock was set back, messages in the future would block new ones for that long.
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

/// Meaning of an `errcode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrcodeMeaning {
    /// Outcome of the request.
    pub outcome: Outcome,
    /// Whether sending pauses for [`SILENCE`].
    pub silence: bool,
}

/// The meaning of a robot's `errcode`. The operator can fix an error of the robot, its token, its settings or its group,
/// so events wait; only an error of the message itself is a refusal.
pub fn meaning(errcode: i64) -> ErrcodeMeaning {
    let (outcome, silence) = match errcode {
        0 => (Outcome::Accepted, false),
        // Too many messages in a minute, as documented and as observed; the monthly quota, which may be raised at any
        // time.
        410_100 | 130_101 | 660_026 | 90_018 | 90_030 => (Outcome::Unavailable, true),
        // A missing parameter, a wrong content type or kind of message, a link, text or picture that it refuses to show.
        40_035 | 43_004 | 400_105 | 430_101..=430_104 => (Outcome::Refused, false),
        // Keyword, timestamp, signature or IP list (310000), token unknown (400101, 300005), robot stopped or gone
        // (400102, 400106), group dissolved (400013), busy (-1), and unknown codes.
        _ => (Outcome::Unavailable, false),
    };
    ErrcodeMeaning { outcome, silence }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn ten_messages_are_sent_at_once_and_ten_over_the_minute() {
        let (mut pace, mut now, mut starts) = (RobotPace::default(), at(0), Vec::new());
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
    fn few_events_get_own_messages_and_many_share_one() {
        let mut pace = RobotPace::default();
        assert!(pace.has_room_for(at(0), 10));
        assert!(!pace.has_room_for(at(0), 11));
        pace.start(at(0));
        assert!(!pace.has_room_for(at(0), 10));
        assert!(pace.has_room_for(at(60_000), 10));
    }

    #[test]
    fn after_a_start_the_first_message_is_immediate_and_the_next_are_spaced() {
        let mut pace = RobotPace::after_start(at(100_000));
        assert_eq!(pace.free_at(at(100_000)), None);
        pace.start(at(100_000));
        assert_eq!(pace.free_at(at(100_000)), Some(at(106_000)));
        assert!(!pace.has_room_for(at(100_000), 1));
    }

    #[test]
    fn a_robot_that_reports_too_many_gets_none_for_ten_minutes() {
        let mut pace = RobotPace::default();
        assert_eq!(pace.silence(at(0)), at(600_000));
        assert_eq!(pace.free_at(at(599_999)), Some(at(600_000)));
        assert_eq!(pace.free_at(at(600_000)), None);
    }

    #[test]
    fn a_clock_set_back_blocks_nothing() {
        let mut pace = RobotPace::default();
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
                assert_eq!(meaning(code), ErrcodeMeaning { outcome, silence }, "{code}");
            }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn a_minute_has_at_most_twenty_messages_and_every_wait_ends(
            steps in proptest::collection::vec((0i64..20_000, any::<bool>()), 1..200),
        ) {
            let (mut pace, mut now, mut starts) = (RobotPace::after_start(at(0)), 0, Vec::<i64>::new());
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
                prop_assert!(within <= MAX_A_MINUTE);
            }
        }
    }
}
