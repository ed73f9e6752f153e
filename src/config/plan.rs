//! Checks that the calls suffice: compares what fixed intervals and cron need in a month with `calls_per_month`.
//!
//! Guards: a plan that cannot work is refused before it spends a call, with one that fits. The month is always the same (30
//! days from a Monday, 22 working days, no days off), so a config does not become invalid when a longer month begins. Not
//! here: pacing `auto` (`policy`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::dingtalk::OrgAt;
use super::model::open_time;
use super::problem::{Place, Problem, Severity, Sources};
use super::section::Report;
use super::users::UserAt;
use super::{Blackout, Cadence, Poll, User, Window};
use crate::ids::OrgName;
use crate::policy::cadence::Cron;
use crate::policy::civil;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// Up to this much over the calls is only a warning: months and meetings vary by as much.
const TOLERATED: f64 = 1.2;
/// So many instants of one expression are counted; the rest of the month is taken to be like them.
const COUNTED_INSTANTS: u32 = 20_000;

/// What the arithmetic needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) windows: &'a [Window],
    /// Days off, which an ordinary month has none of.
    pub(super) blackouts: &'a [Blackout],
    /// The bounds of `auto`.
    pub(super) poll: &'a Poll,
    /// The file's zone, for instants and for the month.
    pub(super) time_zone: Tz,
}

/// Users with the same cadence and open time.
#[derive(Debug)]
struct Row {
    place: Option<Place>,
    cadence: Cadence,
    people: u64,
    open_seconds: f64,
    calls: f64,
}

/// Checks every organisation by itself: each has its own calls.
pub(super) fn check(plan: Plan<'_>, orgs: &[OrgAt], users: &[UserAt], sources: &Sources, report: &Report) {
    let mut watched: HashMap<&OrgName, Vec<&UserAt>> = HashMap::new();
    for user in users.iter().filter(|user| user.enabled) {
        watched.entry(&user.user.identity.org).or_default().push(user);
    }
    let own = OwnWindows::of(plan.windows);
    for at in orgs {
        let Some(limit) = at.org.calls_per_month else { continue };
        let rows = rows(plan, &own, watched.get(&at.org.name).map_or(&[][..], Vec::as_slice));
        let needed: f64 = rows.iter().map(|row| row.calls).sum();
        if let Some(problem) = judge(&rows, needed, limit, at, sources) {
            report.push(problem);
        }
    }
}

/// The first instant of the month and the first after it.
fn month(zone: Tz) -> (Timestamp, Timestamp) {
    let start =
        NaiveDate::from_ymd_opt(2026, 6, 1).unwrap_or_default().and_hms_opt(0, 0, 0).unwrap_or_default();
    let from = civil::first_instant(start, zone);
    (from, from.plus(Duration::from_hours(30 * 24)))
}

/// The windows of groups.
struct OwnWindows<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> OwnWindows<'a> {
    fn of(windows: &'a [Window]) -> Self {
        let mut of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, window) in windows.iter().enumerate() {
            for group in &window.groups {
                of.entry(group).or_default().push(at);
            }
        }
        Self(of)
    }

    /// Those of one person, in order.
    fn mine(&self, user: &User) -> Vec<usize> {
        let of_groups = user.groups.iter().filter_map(|group| self.0.get(group.as_str()));
        let mut mine: Vec<usize> = of_groups.flatten().copied().collect();
        mine.sort_unstable();
        mine.dedup();
        mine
    }
}

fn rows(plan: Plan<'_>, own: &OwnWindows<'_>, users: &[&UserAt]) -> Vec<Row> {
    let (from, to) = month(plan.time_zone);
    let mut rows: Vec<Row> = Vec::new();
    // A list may have a hundred thousand users, each with its own cadence, so it is not searched linearly.
    let mut row_of: HashMap<(Option<Place>, Vec<usize>), usize> = HashMap::new();
    let mut open_of: HashMap<Vec<usize>, (OpenTime, f64)> = HashMap::new();
    let mut instants_of: HashMap<(String, Vec<usize>), f64> = HashMap::new();
    for at in users {
        let mine = own.mine(&at.user);
        let key = (at.cadence_place.clone(), mine.clone());
        if let Some(row) = row_of.get(&key).and_then(|at| rows.get_mut(*at)) {
            row.people += 1;
            continue;
        }
        let (open, open_seconds) = open_of.entry(mine.clone()).or_insert_with(|| {
            let open = open_time(plan.windows, plan.blackouts, &at.user).without_blackouts();
            let seconds = open.open_between(from, to).as_secs_f64();
            (open, seconds)
        });
        let calls = match &at.user.cadence {
            Cadence::Auto => *open_seconds / plan.poll.max_interval.as_secs_f64(),
            Cadence::Every(interval) => *open_seconds / interval.as_secs_f64(),
            Cadence::Cron(cron) => *instants_of
                .entry((cron.as_str().to_owned(), mine))
                .or_insert_with(|| instants(cron, open, plan.time_zone)),
        };
        row_of.insert(key, rows.len());
        let (place, cadence) = (at.cadence_place.clone(), at.user.cadence.clone());
        rows.push(Row { place, cadence, people: 1, open_seconds: *open_seconds, calls });
    }
    for row in &mut rows {
        row.calls *= count(row.people);
    }
    rows
}

/// How often an expression comes true within the open time of the month.
fn instants(cron: &Cron, open: &OpenTime, zone: Tz) -> f64 {
    let (from, to) = month(zone);
    let (mut at, mut counted, mut hits) = (Timestamp::from_ms(from.as_ms() - 1), 0, 0_u32);
    while let Some(next) = cron.next_after(at, zone).filter(|next| *next < to) {
        if counted == COUNTED_INSTANTS {
            let whole = open.open_between(from, to).as_secs_f64();
            let part = open.open_between(from, next).as_secs_f64();
            return if part > 0.0 { f64::from(hits) * whole / part } else { whole };
        }
        counted += 1;
        hits += u32::from(open.open_at(next));
        at = next;
    }
    f64::from(hits)
}

fn judge(rows: &[Row], needed: f64, limit: u64, at: &OrgAt, sources: &Sources) -> Option<Problem> {
    let ratio = needed / count(limit);
    let fixed = rows.iter().filter(|row| row.cadence != Cadence::Auto);
    let largest = fixed.max_by(|a, b| a.calls.total_cmp(&b.calls));
    if ratio <= 1.0 {
        return None;
    }
    let whose =
        if at.org.name.as_str() == "default" { String::new() } else { format!(" for `{}`", at.org.name) };
    let message = format!("this plan{whose} needs {needed:.0} calls a month; calls_per_month is {limit}");
    let Some(largest) = largest else {
        let help = "the calls win: raise `max_interval`, or calls_per_month";
        return Some(Problem::warning("plan", Some(at.place.clone()), message).help(help));
    };
    let place = largest.place.clone().or_else(|| Some(at.place.clone()));
    let mut problem = Problem::error("plan", place, message);
    if ratio <= TOLERATED {
        problem.severity = Severity::Warning;
    }
    let mut fixed: Vec<&Row> = rows.iter().filter(|row| row.cadence != Cadence::Auto).collect();
    fixed.sort_by(|a, b| b.calls.total_cmp(&a.calls));
    let terms: Vec<String> = fixed.iter().take(3).map(|row| term(row, sources)).collect();
    let more = if fixed.len() > 3 { format!(" + {} more", fixed.len() - 3) } else { String::new() };
    Some(problem.aside(format!("{}{more}", terms.join(" + "))).help(fits(rows, needed, limit)))
}

/// `interval = "1m" x 10 users x 198 open hours`.
fn term(row: &Row, sources: &Sources) -> String {
    let key = if matches!(row.cadence, Cadence::Cron(_)) { "cron" } else { "interval" };
    let mut text = format!("{key} = {}", row.place.as_ref().map_or("", |place| sources.text(place)));
    let s = if row.people == 1 { "" } else { "s" };
    let _ = write!(text, " x {} user{s} x {:.0} open hours", row.people, row.open_seconds / 3600.0);
    text
}

/// What would fit: pacing, with the interval it comes to, or that many calls.
fn fits(rows: &[Row], needed: f64, limit: u64) -> String {
    let open: f64 = rows.iter().map(|row| row.open_seconds * count(row.people)).sum();
    let even = Duration::from_secs_f64((open / count(limit)).clamp(1.0, 1e9));
    let seconds = even.as_secs() + u64::from(even.subsec_nanos() > 0);
    let step = if seconds >= 600 { 60 } else { 1 };
    let rounded = Duration::from_secs(seconds.div_ceil(step) * step);
    let even = humantime::format_duration(rounded);
    format!("fits: interval = \"auto\" ({even}), or calls_per_month = {}", round_up(needed))
}

/// To two digits: 118800 becomes 120000.
fn round_up(number: f64) -> u64 {
    // A plan has at most a few billion calls, far less than any limit.
    let number = format!("{:.0}", number.ceil()).parse::<u64>().unwrap_or(u64::MAX);
    let step = 10_u64.pow(number.checked_ilog10().unwrap_or(0).saturating_sub(1));
    number.div_ceil(step).saturating_mul(step)
}

#[expect(clippy::cast_precision_loss, reason = "counts of people and calls, compared within a few percent")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_to_two_digits() {
        for (number, expected) in
            [(118_800.0, 120_000), (120_000.0, 120_000), (5_001.0, 5_100), (7.0, 7), (99.5, 100)]
        {
            assert_eq!(round_up(number), expected, "{number}");
        }
    }

    #[test]
    fn counts_instants_inside_open_time() {
        let workdays = crate::policy::window::Window {
            days: [true, true, true, true, true, false, false],
            from_minute: 9 * 60,
            to_minute: 18 * 60,
            time_zone: Tz::Asia__Shanghai,
        };
        let open = OpenTime::new(Some(vec![workdays]), Vec::new());
        let of = |text: &str| instants(&Cron::parse(text).expect(text), &open, Tz::Asia__Shanghai);
        assert!((of("*/20 * * * *") - 3.0 * 198.0).abs() < 0.5);
        let every_second = of("* * * * * *");
        assert!((every_second / (3600.0 * 198.0) - 1.0).abs() < 0.02, "{every_second}");
    }
}
