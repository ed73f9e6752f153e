//! Reads single values: texts, numbers, durations, time zones, days; the error says what to write.
//!
//! Guards: each value is valid by itself; there are no minimums beyond what makes sense. Not here: rules between values
//! (`check`).

use std::time::Duration;

use chrono_tz::Tz;
use toml::de::DeValue;

use super::keys::nearest;
use super::problem::{Place, Problem};
use super::section::{Located, RawValue, Report, Section, ValueError, kind};

/// Longer durations would overflow.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

pub(super) fn text(raw: RawValue<'_>) -> Result<String, ValueError> {
    match raw.value {
        DeValue::String(text) => Ok(text.to_string()),
        other => {
            Err(ValueError::new(format!("expected a text, found {}", kind(other)), "write it in quotes"))
        }
    }
}

pub(super) fn some_text(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = text(raw)?;
    if text.trim().is_empty() {
        Err(ValueError::new("is empty", "write something or leave the key out"))
    } else {
        Ok(text)
    }
}

/// An id as a console shows it.
pub(super) fn id(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = some_text(raw)?;
    super::characters::in_id(&text).map_or(Ok(text), Err)
}

/// A host name, without scheme and port.
pub(super) fn host_name(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = some_text(raw)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if text.chars().all(fits) {
        Ok(text)
    } else {
        Err(ValueError::new(
            format!("`{text}` is no host name"),
            "write the name alone: `presenced.example.com`",
        ))
    }
}

/// `true` or `false`.
pub(super) fn flag(raw: RawValue<'_>) -> Result<bool, ValueError> {
    raw.value.as_bool().ok_or_else(|| {
        ValueError::new(
            format!("expected true or false, found {}", kind(raw.value)),
            "write `true` or `false`",
        )
    })
}

/// A whole number, `least` or more.
pub(super) fn number<T: TryFrom<u64>>(least: u64) -> impl Fn(RawValue<'_>) -> Result<T, ValueError> {
    move |raw| {
        let DeValue::Integer(integer) = raw.value else {
            let help = if raw.value.is_str() { "write it without quotes" } else { "write a whole number" };
            return Err(ValueError::new(format!("expected a whole number, found {}", kind(raw.value)), help));
        };
        let parsed = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        parsed
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| *number >= least)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                ValueError::new(format!("{} is out of range", integer.as_str()), format!("{least} or more"))
            })
    }
}

/// A number of 1.0 or more, as a factor of growing waits.
pub(super) fn factor(raw: RawValue<'_>) -> Result<f64, ValueError> {
    let number = match raw.value {
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok(),
        other => {
            return Err(ValueError::new(
                format!("expected a number, found {}", kind(other)),
                "for example 2.0",
            ));
        }
    };
    number
        .filter(|number| number.is_finite() && *number >= 1.0)
        .ok_or_else(|| ValueError::new("waits would not grow", "1.0 or more; 2.0 doubles each wait"))
}

/// A duration, zero included.
pub(super) fn duration(raw: RawValue<'_>) -> Result<Duration, ValueError> {
    match raw.value {
        DeValue::String(text) => parse_duration(text),
        DeValue::Integer(number) => Err(ValueError::new(
            "a duration is a text with its unit",
            format!("write `\"{}s\"` for seconds", number.as_str()),
        )),
        other => Err(ValueError::new(
            format!("expected a duration, found {}", kind(other)),
            "for example `\"30s\"`",
        )),
    }
}

/// A duration of a millisecond or more.
pub(super) fn wait(raw: RawValue<'_>) -> Result<Duration, ValueError> {
    let duration = duration(raw)?;
    if duration < Duration::from_millis(1) {
        return Err(ValueError::new("is shorter than a millisecond", "for example `\"100ms\"` or `\"30s\"`"));
    }
    Ok(duration)
}

/// A word that stands for `None`, or a duration of a millisecond or more.
pub(super) fn or_word(word: &'static str) -> impl Fn(RawValue<'_>) -> Result<Option<Duration>, ValueError> {
    move |raw| match raw.value.as_str() {
        Some(text) if text == word => Ok(None),
        Some(text) if text.parse::<f64>().is_err() && !text.contains(|c: char| c.is_ascii_digit()) => {
            Err(ValueError::new(
                format!("`{text}` is not a duration"),
                format!("write `{word}` or for example `30s`"),
            ))
        }
        _ => wait(raw).map(Some),
    }
}

/// Reads `1h 30m`. Months and years have no fixed length, and `M` is a month where most people mean minutes.
pub(super) fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let (number, from_unit) = rest.split_at(at);
        let end = from_unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(from_unit.len());
        let (unit, after) = from_unit.split_at(end);
        if let Some(error) = calendar_unit(number.trim(), unit) {
            return Err(error);
        }
        rest = after;
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(ValueError::new(
            format!("`{text}` is longer than a hundred years"),
            "write something shorter",
        )),
        Err(humantime::DurationError::UnknownUnit { unit, value, .. }) if unit.is_empty() => {
            Err(ValueError::new(
                format!("`{text}` has no unit"),
                format!("write `{value}s`, `{value}m`, `{value}h` or `{value}d`"),
            ))
        }
        Err(humantime::DurationError::UnknownUnit { unit, .. }) => Err(ValueError::new(
            format!("`{unit}` is not a unit of time"),
            "ms, s, m, h, d or w; for example `30s`",
        )),
        Err(_) => {
            Err(ValueError::new(format!("`{text}` is not a duration"), "for example `30s`, `5m` or `1h 30m`"))
        }
    }
}

fn calendar_unit(number: &str, unit: &str) -> Option<ValueError> {
    const COUNT: [&str; 11] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let count = number.parse::<usize>().ok();
    let words = count.and_then(|count| COUNT.get(count).copied()).unwrap_or(number);
    let plural = if count == Some(1) { "" } else { "s" };
    match unit {
        "M" => Some(ValueError::new(
            "months have no fixed length",
            format!("`{number}M` is {words} month{plural}: write `{number}m`"),
        )),
        "month" | "months" | "mo" | "mon" | "mons" => Some(ValueError::new(
            "months have no fixed length",
            count.map_or_else(|| "write days".to_owned(), |n| format!("write `{}d`", n.saturating_mul(30))),
        )),
        "y" | "Y" | "yr" | "yrs" | "year" | "years" => Some(ValueError::new(
            "years have no fixed length",
            count.map_or_else(|| "write days".to_owned(), |n| format!("write `{}d`", n.saturating_mul(365))),
        )),
        _ => None,
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(RawValue<'_>) -> Result<T, ValueError> {
    move |raw| {
        let word = text(raw)?;
        words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(|| {
            let all: Vec<String> = words.iter().map(|(known, _)| format!("`{known}`")).collect();
            ValueError::new(
                format!("`{word}` is not known"),
                match nearest(&word, words.iter().map(|(known, _)| *known)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}", all.join(", ")),
                },
            )
        })
    }
}

/// Wrong names for the time zone of China.
const IN_CHINA: [&str; 9] =
    ["beijing", "china", "asia/beijing", "asia/hangzhou", "asia/shenzhen", "cst", "cst-8", "utc+8", "gmt+8"];

/// A time zone by its IANA name; `local` is the machine's.
pub(super) fn zone(raw: RawValue<'_>) -> Result<Tz, ValueError> {
    zone_called(&text(raw)?)
}

/// Reads a key that names a time zone, and warns of one that is most likely on the wrong side of Greenwich.
pub(super) fn take_zone(section: &Section<'_>, key: &'static str) -> Option<Located<Tz>> {
    let spot = section.take(key, zone)?;
    warn_if_west(spot.value, Some(spot.place.clone()), section.report);
    Some(spot)
}

/// `Etc/GMT+8` is west: POSIX counts the hours behind UTC.
pub(super) fn warn_if_west(zone: Tz, place: Option<Place>, report: &Report) {
    let hours = zone.name().strip_prefix("Etc/GMT+").filter(|hours| *hours != "0");
    if let Some(hours) = hours {
        let china = if hours == "8" { "; China's is `Asia/Shanghai`" } else { "" };
        let message = format!("`{zone}` is {hours} h behind UTC: the sign in such names is reversed");
        let help = format!("for {hours} h ahead write `Etc/GMT-{hours}`{china}");
        report.push(Problem::warning("west-zone", place, message).help(help));
    }
}

fn zone_called(name: &str) -> Result<Tz, ValueError> {
    if name == "local" {
        return local_zone();
    }
    name.parse().map_err(|_| {
        let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let near = nearest(name, names()).or_else(|| {
            let city = name.rsplit('/').next().unwrap_or("").replace(' ', "_");
            nearest(&city, names().map(|zone| zone.rsplit('/').next().unwrap_or(zone)))
                .and_then(|city| names().find(|zone| zone.ends_with(&format!("/{city}"))))
        });
        let help = match near {
            _ if IN_CHINA.contains(&name.to_lowercase().as_str()) => "China's is `Asia/Shanghai`".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => "an IANA name such as `Asia/Shanghai`, or `local`".to_owned(),
        };
        ValueError::new(format!("`{name}` is not a time zone"), help)
    })
}

/// A time zone on a command line.
pub fn time_zone(name: &str) -> Result<Tz, String> {
    zone_called(name).map_err(|ValueError { message, help }| format!("{message}; {help}"))
}

/// The time zone of this machine, if it can be determined.
pub fn local_time_zone() -> Option<Tz> {
    local_zone().ok()
}

/// The time zone of `TZ`; where it is not set, the machine's.
pub(super) fn local_zone() -> Result<Tz, ValueError> {
    if let Some(zone) = std::env::var_os("TZ").and_then(|name| zone_of_tz(&name.to_string_lossy())) {
        return zone;
    }
    iana_time_zone::get_timezone().ok().and_then(|name| name.parse().ok()).ok_or_else(|| {
        ValueError::new("the time zone of the machine is unknown", "name one, such as `Asia/Shanghai`")
    })
}

/// The zone in `TZ`: an IANA name, also as a file with or without a colon before it. `None` if it is empty or refers to the
/// machine. Anything else is an error, because the C library would silently use UTC.
fn zone_of_tz(tz: &str) -> Option<Result<Tz, ValueError>> {
    const LONGEST: usize = 40;
    let file = tz.strip_prefix(':').unwrap_or(tz);
    if matches!(file, "" | "/etc/localtime") {
        return None;
    }
    let name = file.split_once("/zoneinfo/").map_or(file, |(_, name)| name);
    // `local` would come back here.
    let zone = if name == "local" { Err(None) } else { zone_called(name).map_err(|error| Some(error.help)) };
    Some(zone.map_err(|help| {
        let is_shown =
            tz.len() <= LONGEST && tz.bytes().all(|b| b.is_ascii_alphanumeric() || b":/_+-,.<>".contains(&b));
        let shown = if is_shown { format!("`{tz}`") } else { "not a name".to_owned() };
        let help = help.unwrap_or_else(|| "an IANA name such as `Asia/Shanghai`".to_owned());
        ValueError::new(
            format!("the environment variable TZ is {shown}, which is not an IANA time zone"),
            format!("set it in the config, or correct or unset TZ; {help}"),
        )
    }))
}

/// A time of day in minutes; `24:00` is the end of the day.
pub(super) fn time_of_day(raw: RawValue<'_>) -> Result<u16, ValueError> {
    match raw.value {
        DeValue::Datetime(time) => {
            // TOML has times of its own, whose seconds must be none here.
            let text = time.to_string();
            parse_time_of_day(text.strip_suffix(":00").filter(|short| short.contains(':')).unwrap_or(&text))
        }
        _ => parse_time_of_day(&text(raw)?),
    }
}

fn parse_time_of_day(text: &str) -> Result<u16, ValueError> {
    let wrong = || {
        ValueError::new(format!("`{text}` is not a time of day"), "for example `08:30`; `24:00` ends the day")
    };
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let digits = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) || minute.len() != 2 {
        return Err(wrong());
    }
    match (hour.parse::<u16>(), minute.parse::<u16>()) {
        (Ok(hour), Ok(minute)) if minute < 60 && (hour < 24 || (hour == 24 && minute == 0)) => {
            Ok(hour * 60 + minute)
        }
        _ => Err(wrong()),
    }
}

const DAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

/// A day or a range of days, also over the weekend: `mon-fri`, `sat`, `fri-mon`.
pub(super) fn days(raw: RawValue<'_>) -> Result<[bool; 7], ValueError> {
    let text = text(raw)?.to_lowercase();
    let day = |name: &str| {
        let name = name.trim();
        DAYS.iter().position(|(short, long)| name == *short || name == *long).ok_or_else(|| {
            let help = match nearest(name, DAYS.iter().flat_map(|(short, long)| [*short, *long])) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "mon tue wed thu fri sat sun, or a range such as `mon-fri`".to_owned(),
            };
            ValueError::new(format!("`{name}` is not a day of the week"), help)
        })
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(&text)?, day(&text)?),
    };
    let mut days = [false; 7];
    let mut at = first;
    loop {
        days[at] = true;
        if at == last {
            return Ok(days);
        }
        at = (at + 1) % 7;
    }
}

/// A date or a range of dates, both ends included: `2027-02-05..2027-02-12`.
pub(super) fn dates(raw: RawValue<'_>) -> Result<(chrono::NaiveDate, chrono::NaiveDate), ValueError> {
    let text = match raw.value {
        DeValue::Datetime(date) => date.to_string(),
        _ => text(raw)?,
    };
    let date = |text: &str| {
        text.trim().parse::<chrono::NaiveDate>().map_err(|_| {
            ValueError::new(
                format!("`{text}` is not a date"),
                "for example `2027-02-05` or `2027-02-05..2027-02-12`",
            )
        })
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (date(first)?, date(last)?),
        None => (date(&text)?, date(&text)?),
    };
    if last < first {
        return Err(ValueError::new(format!("`{text}` runs backwards"), format!("write `{last}..{first}`")));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let error = parse_duration(text).expect_err(text);
        format!("{}; {}", error.message, error.help)
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in
            [("30s", 30_000), ("5m", 300_000), ("1h 30m", 5_400_000), ("100ms", 100), ("2days", 172_800_000)]
        {
            assert_eq!(parse_duration(text).expect(text), Duration::from_millis(ms), "{text}");
        }
    }

    #[test]
    fn times_of_day_are_minutes() {
        for (text, minutes) in [("00:00", 0), ("8:30", 510), ("08:30", 510), ("23:59", 1439), ("24:00", 1440)]
        {
            assert_eq!(parse_time_of_day(text).ok(), Some(minutes), "{text}");
        }
        for text in ["", "8", "8:5", "24:01", "08:60", "-1:00", "+8:30", "08:30:15", "8 :30", "١:30"] {
            assert!(parse_time_of_day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tz_that_is_no_iana_name_is_refused_and_named() {
        for tz in ["Asia/Shanghai", ":Asia/Shanghai", "/usr/share/zoneinfo/Asia/Shanghai"] {
            assert_eq!(zone_of_tz(tz).and_then(Result::ok), Some(Tz::Asia__Shanghai), "{tz}");
        }
        for tz in ["", ":", "/etc/localtime", ":/etc/localtime"] {
            assert!(zone_of_tz(tz).is_none(), "{tz}");
        }
        let refused = |tz| zone_of_tz(tz).and_then(Result::err).expect(tz);
        let posix = refused("CST-8");
        assert_eq!(posix.message, "the environment variable TZ is `CST-8`, which is not an IANA time zone");
        assert_eq!(posix.help, "set it in the config, or correct or unset TZ; China's is `Asia/Shanghai`");
        for tz in ["Nonsense/Zone", "local", "<+08>-8", "EST5EDT,M3.2.0,M11.1.0"] {
            assert!(refused(tz).message.contains(tz), "{tz}");
        }
        assert!(!refused("a secret\nof two lines").message.contains("secret"));
    }

    #[test]
    fn months_and_years_are_refused_with_what_is_meant() {
        assert_eq!(error("5M"), "months have no fixed length; `5M` is five months: write `5m`");
        assert_eq!(error("1M"), "months have no fixed length; `1M` is one month: write `1m`");
        assert_eq!(error("1h 30M"), "months have no fixed length; `30M` is 30 months: write `30m`");
        assert_eq!(error("2 months"), "months have no fixed length; write `60d`");
        assert_eq!(error("1y"), "years have no fixed length; write `365d`");
    }

    #[test]
    fn other_durations_are_refused_with_advice() {
        assert_eq!(error("30"), "`30` has no unit; write `30s`, `30m`, `30h` or `30d`");
        assert!(error("30 sek").starts_with("`sek` is not a unit of time"));
        assert!(error("").contains("is not a duration"));
        assert!(error("-5m").contains("is not a duration"));
        assert!(error("999999999999w").contains("longer"));
    }
}
