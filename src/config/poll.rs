//! Reads `[poll]`, `[[window]]` and `[[blackout]]`: how often and when users are polled.
//!
//! Guards: a table has an interval or a cron expression, not both; bounds are in order. Not here: the arithmetic of calls
//! (`plan`), decisions (`policy`).

use chrono_tz::Tz;
use toml::de::DeValue;

use super::problem::Problem;
use super::section::{Located, RawValue, Section, ValueError};
use super::{Backoff, Blackout, Cadence, Poll, Window, value};
use crate::policy::cadence::Cron;
use crate::policy::window;

const FIRST_POLL: &[(&str, bool)] = &[("emit", false), ("silent", true)];

/// `[poll]`, and the place of its cadence.
pub(super) fn poll(section: &Section<'_>) -> (Poll, Option<Located<Cadence>>) {
    let cadence = cadence(section);
    let poll = Poll {
        cadence: cadence.as_ref().map_or(Cadence::Auto, |cadence| cadence.value.clone()),
        min_interval: section.get("min_interval", value::wait),
        max_interval: section.get("max_interval", value::wait),
        first_poll_silent: section.get("first_poll", value::choice(FIRST_POLL)),
        leave_after_misses: section.get("leave_after_misses", value::number(1)),
        overtime: section.get("overtime", value::duration),
        sweep: section.get("sweep", sweep),
        confirm_calls: section.get("confirm_calls", value::flag),
        stale_after: section.get("stale_after", value::or_word("auto")),
        backoff: backoff(&section.table("backoff", "poll.backoff")),
    };
    if poll.min_interval > poll.max_interval {
        let message = "`min_interval` is longer than `max_interval` in [poll]";
        section.report.error("bad-value", &section.place, message, "exchange the two");
    }
    (poll, cadence)
}

/// `interval` or `cron` of a table that has both keys.
pub(super) fn cadence(section: &Section<'_>) -> Option<Located<Cadence>> {
    let interval = section.take("interval", interval);
    let cron = section.take("cron", cron);
    match (interval, cron) {
        (Some(interval), Some(cron)) => {
            let message = format!("both `interval` and `cron` are set in {}", section.label());
            let problem =
                Problem::error("both-cadences", Some(cron.place), message).help("keep one of the two");
            section.report.push(problem.also(interval.place, "the other"));
            None
        }
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

fn interval(raw: RawValue<'_>) -> Result<Cadence, ValueError> {
    Ok(value::or_word("auto")(raw)?.map_or(Cadence::Auto, Cadence::Every))
}

fn cron(raw: RawValue<'_>) -> Result<Cadence, ValueError> {
    let text = value::text(raw)?;
    Cron::parse(&text).map(Cadence::Cron).map_err(|error| ValueError::new(error.message, error.help))
}

fn sweep(raw: RawValue<'_>) -> Result<Option<Cadence>, ValueError> {
    match raw.value {
        DeValue::String(word) if word == "off" => Ok(None),
        _ => interval(raw).map(Some).map_err(|error| ValueError {
            help: error.help.replace("write `auto` or", "write `auto`, `off` or"),
            ..error
        }),
    }
}

/// Growing waits.
pub(super) fn backoff(section: &Section<'_>) -> Backoff {
    let backoff = Backoff {
        initial: section.get("initial", value::wait),
        max: section.get("max", value::wait),
        factor: section.get("factor", value::factor),
    };
    if backoff.initial > backoff.max {
        let [initial, max] =
            [backoff.initial, backoff.max].map(|wait| humantime::format_duration(wait).to_string());
        let message = format!("`initial` ({initial}) is longer than `max` ({max}) in {}", section.label());
        section.report.error("bad-value", &section.place, message, "exchange the two");
    }
    backoff
}

/// The windows; one without a zone has the file's.
pub(super) fn windows(sections: &[Section<'_>], file_zone: Tz) -> Vec<(Window, Vec<Located<String>>)> {
    sections.iter().enumerate().map(|(at, section)| one_window(section, at, file_zone)).collect()
}

fn one_window(section: &Section<'_>, at: usize, file_zone: Tz) -> (Window, Vec<Located<String>>) {
    let name = section
        .take("name", value::some_text)
        .map_or_else(|| format!("window {}", at + 1), |spot| spot.value);
    let days = section.take_list("days", true, value::days);
    let from = section.take("from", value::time_of_day);
    let to = section.take("to", value::time_of_day);
    let time_zone = value::take_zone(section, "time_zone").map_or(file_zone, |spot| spot.value);
    let groups =
        section.take_list("groups", false, value::some_text).map_or_else(Vec::new, |spot| spot.value);
    if let Some(from) = from.as_ref().filter(|from| from.value == 24 * 60) {
        section.report.error(
            "bad-value",
            &from.place,
            "a window cannot open when its day is over",
            "write `00:00`",
        );
    }
    let mut open = [false; 7];
    match &days {
        Some(list) if list.value.is_empty() => {
            let span_is_empty_list = list.place.clone();
            let message = format!("window `{name}` has no days");
            section.report.error("bad-value", &span_is_empty_list, message, "for example `[\"mon-fri\"]`");
        }
        Some(list) => list.value.iter().for_each(|some| (0..7).for_each(|day| open[day] |= some.value[day])),
        None => open = [true; 7],
    }
    let hours = window::Window {
        days: open,
        from_minute: from.map_or(0, |spot| spot.value % (24 * 60)),
        to_minute: to.map_or(24 * 60, |spot| spot.value),
        time_zone,
    };
    let names = groups.iter().map(|spot| spot.value.clone()).collect();
    (Window { name, hours, groups: names }, groups)
}

/// The days off, in the file's zone.
pub(super) fn blackouts(sections: &[Section<'_>], time_zone: Tz) -> Vec<Blackout> {
    let mut blackouts = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        let name = section.take("name", value::some_text);
        let name = name.map_or_else(|| format!("blackout {}", at + 1), |spot| spot.value);
        let dates = section.take_list("dates", true, value::dates);
        if dates.is_none() && !section.has("dates") {
            let help = "write `dates = [\"2027-02-05..2027-02-12\"]`";
            section.report.error("missing-key", &section.place, "`dates` is missing in [[blackout]]", help);
        }
        let dates = dates.map_or_else(Vec::new, |spot| spot.value);
        let days =
            dates.iter().map(|spot| window::Blackout { first: spot.value.0, last: spot.value.1, time_zone });
        blackouts.push(Blackout { name, dates: days.collect() });
    }
    blackouts
}
