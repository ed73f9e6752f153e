//! Cron expressions: the instants at which a user is polled.
//!
//! Guards: the next instant is strictly later than now, even when clocks are put back; an expression that other
//! programs read differently, or that never matches, is refused. Not here: the allowed content of a field
//! (`cadence::fields`), intervals and pacing.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use cron::{Schedule, TimeUnitSpec};

use super::civil;
use crate::time::Timestamp;

mod error;
mod fields;

use self::error::refused;

pub use self::error::CronError;

/// A checked cron expression; a clone is cheap. The zone is an argument, because the config may set it elsewhere.
#[derive(Clone, Debug)]
pub struct Cron {
    text: Arc<str>,
    schedule: Arc<Schedule>,
    every_hour: bool,
}

impl Cron {
    /// Parses 5 fields (minute first), 6 fields (second first), or one of `@hourly`, `@daily`, `@midnight`, `@weekly`,
    /// `@monthly`, `@yearly`, `@annually`.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let schedule: Schedule = fields::checked(text)?
            .join(" ")
            .parse()
            .map_err(|_| refused("not a cron expression", "for example `*/20 9-18 * * MON-FRI`"))?;
        if schedule.after(&DateTime::<Utc>::UNIX_EPOCH).next().is_none() {
            return Err(refused("never comes true: no month has such a day", "correct the day or the month"));
        }
        let every_hour = schedule.hours().is_all();
        Ok(Self { text: text.trim().into(), schedule: Arc::new(schedule), every_hour })
    }

    /// The first instant strictly after `now`, on the wall clock of `zone`; `None` past the year 2099.
    ///
    /// When clocks are put forward, instants in the missing hour happen once, at the jump. When they are put back, an
    /// expression for every hour continues through the repeated hour, and an expression for chosen hours matches only
    /// the first time.
    pub fn next_after(&self, now: Timestamp, zone: Tz) -> Option<Timestamp> {
        // The offset is constant from `steady` until the next change; instants up to `wall` are done.
        let mut steady = now;
        let mut wall = civil::wall(now, zone).and_utc();
        loop {
            let offset_ms = civil::offset_ms(steady, zone);
            let next_wall = self.schedule.after(&wall.trunc_subsecs(0)).next()?;
            let next = Timestamp::from_ms(next_wall.timestamp_millis() - offset_ms);
            let Some(change) = civil::next_offset_change(zone, steady, next) else {
                if self.every_hour || !civil::is_second_pass(next, zone) {
                    return Some(next);
                }
                wall = next_wall;
                continue;
            };
            let jump_ms = civil::offset_ms(change, zone) - offset_ms;
            if jump_ms > 0 && next.as_ms() <= change.as_ms() + jump_ms {
                return Some(change);
            }
            steady = change;
            // One second earlier, because the first second after the change may match.
            wall = civil::wall(change, zone).and_utc() - TimeDelta::seconds(1);
        }
    }

    /// The expression as written in the config.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::civil::tests::{ZONES, at};

    fn cron(text: &str) -> Cron {
        Cron::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn error(text: &str) -> String {
        let error = Cron::parse(text).expect_err(text);
        format!("{}; {}", error.message, error.help)
    }

    fn next(text: &str, zone: Tz, now: &str) -> String {
        cron(text).next_after(at(now), zone).expect("a next instant").to_string()
    }

    #[test]
    fn five_fields_begin_with_the_minute_and_six_with_the_second() {
        let shanghai = Tz::Asia__Shanghai;
        assert_eq!(
            next("*/20 9-18 * * MON-FRI", shanghai, "2026-11-20T10:45:00Z"),
            "2026-11-23T01:00:00.000Z"
        );
        assert_eq!(next("*/10 * * * * *", shanghai, "2026-11-20T10:45:09.999Z"), "2026-11-20T10:45:10.000Z");
        assert_eq!(next("@hourly", shanghai, "2026-11-20T10:00:00Z"), "2026-11-20T11:00:00.000Z");
        assert_eq!(next("@daily", shanghai, "2026-11-20T16:00:00Z"), "2026-11-21T16:00:00.000Z");
    }

    #[test]
    fn an_expression_that_never_matches_is_refused() {
        assert!(error("0 9 31 2 *").contains("never comes true"));
        assert!(error("0 9 31 4,6,9,11 *").contains("never comes true"));
        assert_eq!(next("0 0 29 2 *", Tz::UTC, "2026-01-01T00:00:00Z"), "2028-02-29T00:00:00.000Z");
    }

    #[test]
    fn an_instant_in_the_missing_hour_happens_once_at_the_jump() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(next("30 2 * * *", berlin, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00.000Z");
        assert_eq!(next("30 2 * * *", berlin, "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00.000Z");
        assert_eq!(next("*/20 * * * *", berlin, "2026-03-29T00:40:00Z"), "2026-03-29T01:00:00.000Z");
        assert_eq!(next("*/20 * * * *", berlin, "2026-03-29T01:00:00Z"), "2026-03-29T01:20:00.000Z");
    }

    #[test]
    fn the_repeated_hour_repeats_only_expressions_for_every_hour() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(next("30 2 * * *", berlin, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00.000Z");
        assert_eq!(next("30 2 * * *", berlin, "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00.000Z");
        assert_eq!(next("30 2 * * *", berlin, "2026-10-25T01:10:00Z"), "2026-10-26T01:30:00.000Z");
        assert_eq!(next("30 * * * *", berlin, "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00.000Z");
        assert_eq!(next("30 * * * *", berlin, "2026-10-25T01:30:00Z"), "2026-10-25T02:30:00.000Z");
    }

    fn a_field(least: u32, most: u32) -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            1 => (1..=most.max(1)).prop_map(|step| format!("*/{step}")),
            1 => (least..=most).prop_map(|value| value.to_string()),
            1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    fn an_expression() -> impl Strategy<Value = String> {
        let days = prop_oneof![
            Just(("*".to_owned(), "*".to_owned())),
            a_field(1, 28).prop_map(|day| (day, "*".to_owned())),
            (0..6_usize).prop_map(|day| ("*".to_owned(), format!("{}-SAT", fields::WEEKDAYS[day]))),
        ];
        (a_field(0, 59), a_field(0, 59), a_field(0, 23), days, a_field(1, 12)).prop_map(
            |(second, minute, hour, (day, weekday), month)| {
                format!("{second} {minute} {hour} {day} {month} {weekday}")
            },
        )
    }

    proptest! {
        // Fewer cases: each one checks every second of up to three hours around a change of clocks.
        #![proptest_config(crate::testing::cases_costing(8))]

        #[test]
        fn no_second_before_the_next_instant_matches(
            text in an_expression(), zone in prop::sample::select(&[Tz::Europe__Berlin, Tz::Africa__Casablanca][..]),
            now in prop_oneof![1_774_738_800..1_774_756_800_i64, 1_792_879_200..1_792_900_000_i64],
        ) {
            let cron = cron(&text);
            let next = cron.next_after(Timestamp::from_ms(now * 1000), zone).expect("before 2099").as_ms() / 1000;
            for second in now + 1..=next.min(now + 3 * 3600) {
                let instant = Timestamp::from_ms(second * 1000);
                let matches = cron.schedule.includes(civil::wall(instant, zone).and_utc())
                    && (cron.every_hour || !civil::is_second_pass(instant, zone));
                let just_before = Timestamp::from_ms(second * 1000 - 1);
                let jumped = civil::offset_ms(instant, zone) > civil::offset_ms(just_before, zone);
                if second < next {
                    prop_assert!(!matches, "{second} is left out");
                } else {
                    prop_assert!(matches || jumped, "{second} is none of them");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn next_is_strictly_later_and_skips_no_instant(
            text in an_expression(), zone in prop::sample::select(&ZONES[..]),
            // 2010 to 2033, dense around the changes of the offset by the other ranges.
            now in prop_oneof![
                1_262_304_000_000_i64..2_000_000_000_000,
                (1_774_742_400_000_i64..1_774_756_800_000),
                (1_792_882_800_000_i64..1_792_900_000_000),
            ],
        ) {
            let cron = cron(&text);
            let now = Timestamp::from_ms(now);
            let next = cron.next_after(now, zone).expect("before 2099");
            prop_assert!(next > now);
            // From any instant in between the answer is the same, so it never goes back and never skips.
            let between = Timestamp::from_ms(now.as_ms() + (next.as_ms() - now.as_ms()) / 2);
            if between < next {
                prop_assert_eq!(cron.next_after(between, zone), Some(next));
            }
            prop_assert_eq!(cron.next_after(Timestamp::from_ms(next.as_ms() - 1), zone), Some(next));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Cron::parse(&text);
        }

        #[test]
        fn no_text_of_cron_characters_panics(text in "[0-9*/,?A-Z -]{0,24}") {
            let _ = Cron::parse(&text);
        }
    }
}
