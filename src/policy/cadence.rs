//! Cron expressions: at which instants somebody is looked at.
//!
//! Guards: the next instant is strictly later than the present, also when clocks are put back; an expression that
//! other programs read differently, or that never comes true, is refused when it is read. Deliberately not here:
//! intervals and pacing.

use std::fmt;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use cron::{Schedule, TimeUnitSpec};

use super::civil;
use crate::time::Timestamp;

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const LONG_WEEKDAYS: [&str; 7] =
    ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// A checked cron expression. The zone comes with the question, because the config may name it elsewhere.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    schedule: Schedule,
    every_hour: bool,
}

/// Why an expression was refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Cron {
    /// Reads 5 fields (minute first), 6 (second first), or one of `@hourly`, `@daily`, `@midnight`, `@weekly`,
    /// `@monthly`, `@yearly`, `@annually`.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields = fields_of(text)?;
        for (field, item) in KINDS.iter().zip(&fields) {
            field.check(item)?;
        }
        if restricted(&fields[3]) && restricted(&fields[5]) {
            return Err(refused(
                "day of month and weekday are both restricted: cron(5) reads that as either, others as both",
                "leave one of the two `*`",
            ));
        }
        let schedule: Schedule = fields
            .join(" ")
            .parse()
            .map_err(|_| refused("not a cron expression", "for example `*/20 9-18 * * MON-FRI`"))?;
        if schedule.after(&DateTime::<Utc>::UNIX_EPOCH).next().is_none() {
            return Err(refused("never comes true: no month has such a day", "correct the day or the month"));
        }
        let every_hour = schedule.hours().is_all();
        Ok(Self { text: text.trim().to_owned(), schedule, every_hour })
    }

    /// The first instant strictly after `now`, on the wall clock of `zone`; `None` past the year 2099.
    ///
    /// When clocks are put forward, what falls into the missing hour happens once, at the jump. When they are put
    /// back, an expression for every hour goes on through the repeated hour, and one for chosen hours happens in
    /// the first pass only.
    pub fn next_after(&self, now: Timestamp, zone: Tz) -> Option<Timestamp> {
        // The wall clock runs steadily from `steady` until the next change of offset; `wall` is looked at already.
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
            // One second earlier, because the very first second on the changed clock may be one of ours.
            wall = civil::wall(change, zone).and_utc() - TimeDelta::seconds(1);
        }
    }

    /// The expression as it was written.
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

/// Six upper-case fields, second first.
fn fields_of(text: &str) -> Result<Vec<String>, CronError> {
    let upper = text.trim().to_ascii_uppercase();
    let spelled_out = match upper.as_str() {
        "@HOURLY" => "0 0 * * * *",
        "@DAILY" | "@MIDNIGHT" => "0 0 0 * * *",
        "@WEEKLY" => "0 0 0 * * SUN",
        "@MONTHLY" => "0 0 0 1 * *",
        "@YEARLY" | "@ANNUALLY" => "0 0 0 1 1 *",
        other if other.starts_with('@') => {
            return Err(refused(
                format!("`{}` is not known", text.trim()),
                "write `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, or five fields",
            ));
        }
        other => other,
    };
    let mut fields: Vec<String> = spelled_out.split_whitespace().map(str::to_owned).collect();
    match fields.len() {
        5 => fields.insert(0, "0".to_owned()),
        6 => {}
        count => {
            return Err(refused(
                format!("a cron expression has 5 fields, or 6 with seconds in front; here are {count}"),
                "minute hour day month weekday, for example `*/20 9-18 * * MON-FRI`",
            ));
        }
    }
    Ok(fields)
}

fn restricted(field: &str) -> bool {
    !matches!(field, "*" | "?")
}

fn refused(message: impl Into<String>, help: impl Into<String>) -> CronError {
    CronError { message: message.into(), help: help.into() }
}

/// What one of the six fields may hold.
struct Kind {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static [&'static str]],
    by_name_only: bool,
}

const fn numbers(name: &'static str, least: u32, most: u32) -> Kind {
    Kind { name, least, most, names: &[], by_name_only: false }
}

const KINDS: [Kind; 6] = [
    numbers("second", 0, 59),
    numbers("minute", 0, 59),
    numbers("hour", 0, 23),
    numbers("day of month", 1, 31),
    Kind { name: "month", least: 1, most: 12, names: &[&MONTHS], by_name_only: false },
    Kind { name: "weekday", least: 0, most: 7, names: &[&WEEKDAYS, &LONG_WEEKDAYS], by_name_only: true },
];

impl Kind {
    /// Checks one field: items between commas, each `*`, a value or a range, with a step or without.
    fn check(&self, field: &str) -> Result<(), CronError> {
        if field == "?" && matches!(self.name, "day of month" | "weekday") {
            return Ok(());
        }
        if self.by_name_only {
            self.no_weekday_numbers(field)?;
        }
        field.split(',').try_for_each(|item| self.check_item(item))
    }

    fn check_item(&self, item: &str) -> Result<(), CronError> {
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        if let Some(step) = step
            && !step.parse::<u32>().is_ok_and(|step| (1..=self.most).contains(&step))
        {
            return Err(refused(
                format!("`{item}`: the step of a {} is a number from 1 to {}", self.name, self.most),
                "for example `*/20`",
            ));
        }
        if base == "*" {
            return Ok(());
        }
        let Some((first, last)) = base.split_once('-') else { return self.value(base).map(drop) };
        let (from, to) = (self.value(first)?, self.value(last)?);
        if from > to {
            return Err(refused(format!("the range `{base}` runs backwards"), self.unwrapped(from, to)));
        }
        Ok(())
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        if let Some(at) = self.names.iter().find_map(|names| names.iter().position(|name| *name == text)) {
            // Twelve names at most.
            return Ok(u32::try_from(at).unwrap_or(0) + u32::from(self.name == "month"));
        }
        match text.parse::<u32>() {
            Ok(number) if (self.least..=self.most).contains(&number) && !self.by_name_only => Ok(number),
            _ => Err(refused(
                format!("`{text}` is not a {}", self.name),
                match self.names {
                    [] => format!("from {} to {}", self.least, self.most),
                    [names, ..] => format!("write {} to {}", names[0], names[names.len() - 1]),
                },
            )),
        }
    }

    /// How to write a range that wraps.
    fn unwrapped(&self, from: u32, to: u32) -> String {
        let show = |value: u32| match self.names.first() {
            // `value` came out of these names, or is a month number from 1.
            Some(names) => names[(value - self.least) as usize % names.len()].to_owned(),
            None => value.to_string(),
        };
        let most = if self.by_name_only { 6 } else { self.most };
        let part = |a: u32, b: u32| if a == b { show(a) } else { format!("{}-{}", show(a), show(b)) };
        format!("write `{},{}`", part(from, most), part(self.least, to))
    }

    /// Weekdays by number are refused: 1 is Monday for cron(5) and Sunday for others.
    fn no_weekday_numbers(&self, field: &str) -> Result<(), CronError> {
        let mut named = String::new();
        let mut found = false;
        for item in field.split_inclusive([',', '-']) {
            let value = item.trim_end_matches([',', '-']);
            let (base, step) =
                value.split_once('/').map_or((value, ""), |(base, _)| (base, &value[base.len()..]));
            match base.parse::<usize>() {
                Ok(number) if number <= 7 => {
                    found = true;
                    named.push_str(WEEKDAYS[number % 7]);
                }
                Ok(_) => return Err(refused(format!("`{base}` is not a {}", self.name), "write SUN to SAT")),
                Err(_) => named.push_str(base),
            }
            named.push_str(step);
            named.push_str(&item[value.len()..]);
        }
        if found {
            return Err(refused(
                "weekdays by number mean different days to different programs",
                format!("write `{named}` for `{field}`"),
            ));
        }
        Ok(())
    }
}

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
    fn weekdays_go_by_name_only() {
        assert!(error("0 9 * * 1-5").ends_with("write `MON-FRI` for `1-5`"));
        assert!(error("0 9 * * 0,6").ends_with("write `SUN,SAT` for `0,6`"));
        assert!(error("0 9 * * 7").ends_with("write `SUN` for `7`"));
        assert!(error("0 9 * * MON,3").ends_with("write `MON,WED` for `MON,3`"));
        assert!(error("0 9 * * 9").contains("not a weekday"));
        cron("0 9 * * mon-fri");
        cron("0 9 * * monday");
        cron("0 9 * * */2");
    }

    #[test]
    fn day_of_month_and_weekday_together_are_refused() {
        assert!(error("0 9 1 * MON").contains("both restricted"));
        cron("0 9 ? * MON");
        cron("0 9 1 * ?");
    }

    #[test]
    fn what_never_comes_true_is_refused() {
        assert!(error("0 9 31 2 *").contains("never comes true"));
        assert!(error("0 9 31 4,6,9,11 *").contains("never comes true"));
        assert_eq!(next("0 0 29 2 *", Tz::UTC, "2026-01-01T00:00:00Z"), "2028-02-29T00:00:00.000Z");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        assert!(error("* * * *").contains("here are 4"));
        assert!(error("* * * * * * *").contains("here are 7"));
        assert!(error("").contains("here are 0"));
        assert!(error("@never").contains("@hourly"));
        assert!(error("60 * * * *").contains("`60` is not a minute; from 0 to 59"));
        assert!(error("0 22-6 * * *").ends_with("write `22-23,0-6`"));
        assert!(error("0 9 * * SAT-MON").ends_with("write `SAT,SUN-MON`"));
        assert!(error("0 9 * NOV-FEB *").ends_with("write `NOV-DEC,JAN-FEB`"));
        assert!(error("*/0 * * * *").contains("step"));
        assert!(error("0 9 L * *").contains("not a day of month"));
        assert!(error("0 9 * * FRI#2").contains("not a weekday"));
    }

    #[test]
    fn what_falls_into_the_missing_hour_happens_at_the_jump_once() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(next("30 2 * * *", berlin, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00.000Z");
        assert_eq!(next("30 2 * * *", berlin, "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00.000Z");
        assert_eq!(next("*/20 * * * *", berlin, "2026-03-29T00:40:00Z"), "2026-03-29T01:00:00.000Z");
        assert_eq!(next("*/20 * * * *", berlin, "2026-03-29T01:00:00Z"), "2026-03-29T01:20:00.000Z");
    }

    #[test]
    fn the_repeated_hour_repeats_only_what_is_for_every_hour() {
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
            (0..6_usize).prop_map(|day| ("*".to_owned(), format!("{}-SAT", WEEKDAYS[day]))),
        ];
        (a_field(0, 59), a_field(0, 59), a_field(0, 23), days, a_field(1, 12)).prop_map(
            |(second, minute, hour, (day, weekday), month)| {
                format!("{second} {minute} {hour} {day} {month} {weekday}")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn next_is_strictly_later_and_nothing_is_left_out_before_it(
            text in an_expression(), zone in prop::sample::select(&ZONES[..]),
            // 2010 to 2033, dense around the changes of offset by the second strategy.
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
            // From any instant in between, the answer is the same: so it never goes back and never skips.
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
