//! Parses WHEN: `7d`, `yesterday`, `2026-11-23`, `2026-11-23 09:05`, `2026-11-23T09:05+08:00`.
//!
//! Guards: a duration is counted back from now; a day is in the time zone of the output; months and years are refused,
//! because they have no fixed length. Not here: what happened then.

use std::time::Duration;

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::{Exit, Failure};
use crate::time::Timestamp;

/// Explains WHEN in the help of commands that take it.
pub(super) const WHEN_HELP: &str = "\
WHEN is a duration ago (`90m`, `7d`), `today`, `yesterday`, a day (`2026-11-23`) or a time: `yesterday 10:15`, \
`2026-11-23 09:05` in the time zone of the output (--tz, or that of the config), or with its own zone, \
`2026-11-23 09:05+08:00` or `2026-11-23T01:05:00Z`";

/// Formats of a time. Seconds may have a fraction, as in the output.
const CLOCKS: [&str; 4] =
    ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];

/// The begin of WHEN; a day begins at midnight.
pub(super) fn since(text: &str, now: Timestamp, zone: Tz) -> Result<Timestamp, Failure> {
    parse(text, now, zone, 0)
}

/// The end of WHEN; a day is included.
pub(super) fn until(text: &str, now: Timestamp, zone: Tz) -> Result<Timestamp, Failure> {
    parse(text, now, zone, 1)
}

fn parse(text: &str, now: Timestamp, zone: Tz, days_after: u64) -> Result<Timestamp, Failure> {
    let text = text.trim();
    if let Some(day) = day(text, now, zone) {
        let day = day.checked_add_days(Days::new(days_after)).unwrap_or(day);
        return Ok(midnight(day, zone));
    }
    // `yesterday 10:15` is the time on that day.
    let dated = text.split_once(' ').and_then(|(word, rest)| {
        let is_word = matches!(word, "today" | "yesterday");
        day(word, now, zone).filter(|_| is_word).map(|day| format!("{day} {}", rest.trim_start()))
    });
    if let Some(instant) = instant(dated.as_deref().unwrap_or(text), zone) {
        return Ok(instant);
    }
    if has_vague_unit(text) {
        let hint = "months and years have no fixed length; write days, as in `30d`";
        return Err(Failure::new(Exit::Usage, format!("`{text}`: {hint}")));
    }
    if let Ok(length) = humantime::parse_duration(text) {
        return Ok(now.minus(length));
    }
    let hint = if text.parse::<NaiveTime>().is_ok() {
        format!("the day is missing; write `{} {text}`", today(now, zone))
    } else {
        "write a duration (`7d`), a day (`2026-11-23`, `yesterday`) or a time (`2026-11-23 09:05`, \
         `2026-11-23T09:05+08:00`)"
            .into()
    };
    Err(Failure::new(Exit::Usage, format!("`{text}` is not a time; {hint}")))
}

/// A time, in `zone` unless the text has its own: `Z`, `+08:00`, `+0800`, `+08`, or the name of a zone.
fn instant(text: &str, zone: Tz) -> Option<Timestamp> {
    let named = text.rsplit_once(' ').and_then(|(rest, name)| Some((rest.trim_end(), name.parse().ok()?)));
    let (text, zone) = named.unwrap_or((text, zone));
    CLOCKS.into_iter().find_map(|clock| {
        if let Ok(civil) = NaiveDateTime::parse_from_str(text, clock) {
            return Some(local(civil, zone));
        }
        let instant = DateTime::<FixedOffset>::parse_from_str(text, &format!("{clock}%#z")).ok()?;
        Some(Timestamp::from_ms(instant.timestamp_millis()))
    })
}

/// A duration as the value of an option.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    if has_vague_unit(text) {
        return Err("months and years have no fixed length; write days, as in `30d`".to_owned());
    }
    humantime::parse_duration(text).map_err(|_| "write a duration, as in `28d` or `12h`".to_owned())
}

/// A day: a date, `today` or `yesterday`.
fn day(text: &str, now: Timestamp, zone: Tz) -> Option<NaiveDate> {
    match text {
        "today" => Some(today(now, zone)),
        "yesterday" => today(now, zone).pred_opt(),
        text => text.parse().ok(),
    }
}

/// The local day.
pub(super) fn today(now: Timestamp, zone: Tz) -> NaiveDate {
    // chrono can represent every time of the machine's clock.
    let at = DateTime::from_timestamp_millis(now.as_ms()).unwrap_or_default();
    at.with_timezone(&zone).date_naive()
}

/// Begin and end of a period; an empty period is an error.
pub(super) fn between(
    first: Option<&str>,
    last: Option<&str>,
    now: Timestamp,
    zone: Tz,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
    let from = first.map(|text| since(text, now, zone)).transpose()?;
    let to = last.map(|text| until(text, now, zone)).transpose()?;
    match (first, last) {
        (Some(first), Some(last)) if from >= to => {
            let exchanged = since(last, now, zone)? < until(first, now, zone)?;
            let hint = if exchanged { "; exchange the two" } else { "" };
            let text = format!("--since {first} is not before --until {last}{hint}");
            Err(Failure::new(Exit::Usage, text))
        }
        _ => Ok((from, to)),
    }
}

fn has_vague_unit(text: &str) -> bool {
    let units = text.split(|c: char| !c.is_ascii_alphabetic());
    units
        .into_iter()
        .any(|unit| matches!(unit, "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years"))
}

/// The begin of a day in a zone.
pub(super) fn midnight(day: NaiveDate, zone: Tz) -> Timestamp {
    local(day.and_time(NaiveTime::MIN), zone)
}

/// The time at which clocks in the zone show `civil`: the earlier one if they show it twice, and the next one if they skip
/// it.
fn local(civil: NaiveDateTime, zone: Tz) -> Timestamp {
    // No zone has skipped more than a day.
    let mut minutes_skipped = (0..=24 * 60).map(chrono::TimeDelta::minutes);
    let instant = minutes_skipped
        .find_map(|skipped| zone.from_local_datetime(&civil.checked_add_signed(skipped)?).earliest());
    Timestamp::from_ms(instant.map_or_else(|| civil.and_utc().timestamp_millis(), |i| i.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn utc(parse: fn(&str, Timestamp, Tz) -> Result<Timestamp, Failure>, text: &str) -> String {
        parse(text, NOW, chrono_tz::Asia::Shanghai).unwrap().rfc3339()
    }

    #[test]
    fn lengths_count_back_from_now() {
        assert_eq!(utc(since, "0s"), NOW.rfc3339());
        assert_eq!(utc(since, "1h 30m"), NOW.minus(Duration::from_mins(90)).rfc3339());
        assert_eq!(utc(until, "7d"), NOW.minus(Duration::from_hours(168)).rfc3339());
    }

    #[test]
    fn days_have_words_too() {
        // 2027-01-15 16:00 in Shanghai.
        assert_eq!(utc(since, "today"), "2027-01-14T16:00:00.000Z");
        assert_eq!(utc(since, "yesterday"), "2027-01-13T16:00:00.000Z");
        assert_eq!(utc(until, "yesterday"), utc(since, "today"));
        assert_eq!(utc(since, "yesterday 10:15"), "2027-01-14T02:15:00.000Z");
        assert_eq!(utc(since, "today  09:05:07"), "2027-01-15T01:05:07.000Z");
    }

    #[test]
    fn an_end_before_the_begin_is_a_mistake_and_not_an_empty_time() {
        let asked = |first, last| between(Some(first), Some(last), NOW, chrono_tz::UTC);
        let (from, to) = asked("yesterday", "yesterday").unwrap();
        assert!(from < to);
        let error = asked("2026-11-24", "2026-11-23").unwrap_err().to_string();
        assert_eq!(error, "--since 2026-11-24 is not before --until 2026-11-23; exchange the two");
        let error = asked("1h", "1h").unwrap_err().to_string();
        assert_eq!(error, "--since 1h is not before --until 1h");
        assert_eq!(between(None, None, NOW, chrono_tz::UTC).unwrap(), (None, None));
    }

    #[test]
    fn a_day_is_the_readers_and_is_included() {
        assert_eq!(utc(since, "2026-11-23"), "2026-11-22T16:00:00.000Z");
        assert_eq!(utc(until, "2026-11-23"), "2026-11-23T16:00:00.000Z");
    }

    #[test]
    fn instants_with_and_without_a_zone() {
        assert_eq!(utc(since, "2026-11-23 09:05"), "2026-11-23T01:05:00.000Z");
        assert_eq!(utc(until, "2026-11-23T09:05:07"), "2026-11-23T01:05:07.000Z");
        assert_eq!(utc(since, "2026-11-23T09:05:00Z"), "2026-11-23T09:05:00.000Z");
    }

    #[test]
    fn an_instant_is_understood_however_its_zone_and_its_seconds_are_written() {
        for seconds in ["", ":00", ":00.000"] {
            for between in [" ", "T"] {
                for zone in ["", "Z", " Z", "z", "+00:00", "-00:00", " +0000", "+00", " UTC"] {
                    let (text, zone_there) = (format!("2026-11-24{between}10:00{seconds}{zone}"), zone);
                    let there = if zone_there.is_empty() {
                        "2026-11-24T02:00:00.000Z"
                    } else {
                        "2026-11-24T10:00:00.000Z"
                    };
                    assert_eq!(utc(since, &text), there, "{text}");
                    assert_eq!(utc(until, &text), there, "{text}");
                }
            }
        }
        assert_eq!(utc(since, "2026-11-24T10:00+08:00"), "2026-11-24T02:00:00.000Z");
        assert_eq!(utc(since, "2026-11-24 10:00 Asia/Tokyo"), "2026-11-24T01:00:00.000Z");
        assert_eq!(utc(since, "2026-11-24 10:00 -0330"), "2026-11-24T13:30:00.000Z");
        assert_eq!(utc(since, "2026-11-24 10:00:59.9-05"), "2026-11-24T15:00:59.900Z");
        for wrong in [
            "2026-11-24 10:00+25:00",
            "2026-11-24 10:00 +8",
            "2026-11-24 25:00",
            "2026-11-24T10:00 CST",
            "2026-11-24 10",
        ] {
            let failure = since(wrong, NOW, Tz::UTC).expect_err(wrong);
            assert!(failure.message.contains("`2026-11-23T09:05+08:00`"), "{}", failure.message);
        }
    }

    #[test]
    fn a_midnight_that_the_clocks_skip_is_the_first_instant_after() {
        // Cairo, 2026-04-24: the clocks go from 00:00 to 01:00.
        let begin = since("2026-04-24", NOW, chrono_tz::Africa::Cairo).unwrap();
        assert_eq!(begin.rfc3339(), "2026-04-23T22:00:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_is() {
        for (wrong, hint) in [
            ("5M", "30d"),
            ("1 month", "30d"),
            ("tomorrow", "`7d`"),
            ("", "`7d`"),
            ("7", "`7d`"),
            ("09:05", "`2027-01-15 09:05`"),
        ] {
            let failure = since(wrong, NOW, Tz::UTC).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(hint), "{}", failure.message);
        }
    }
}
