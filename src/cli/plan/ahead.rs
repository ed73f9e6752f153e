//! What the settings cost: calls against the budget, intervals, expected staleness, windows.
//!
//! Guards: the figures come from the policy code. Not here: single decisions (`explain`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::time::Duration;

use chrono::Timelike;
use chrono_tz::Tz;
use serde::Serialize;

use super::input::PlanInput;
use super::windows::{OpenRow, clock_changes, local, upcoming};
use crate::cli::Exit;
use crate::cli::output::{WARNING, counted, folded, padded};
use crate::cli::sweep_status::SweepStatus;
use crate::config::{Cadence, Config};
use crate::policy::civil;
use crate::policy::pace::PollDecision;
use crate::policy::pace::open_spans::OpenSpans;
use crate::time::Timestamp;

/// The period from which the calls "a day" and "a month" are computed.
const MONTH: Duration = Duration::from_hours(24 * 30);
/// Maximum number of polls of one user that are simulated: one a second for a day.
const MAX_POLLS: u32 = 86_400;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// With fewer visits the pacing rule still spreads calls evenly, and so does this count.
const MIN_VISITS: usize = 20;

#[derive(Serialize)]
struct Ahead {
    orgs: Vec<OrgRow>,
    windows: Vec<OpenRow>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct OrgRow {
    org: String,
    calls_per_month: Option<u64>,
    used: u64,
    calls_a_day: f64,
    calls_a_month: f64,
    /// With the calls and days that are left in this month, and in a full month.
    even_interval_s: Option<u64>,
    even_interval_full_month_s: Option<u64>,
    expected_wrong_minutes_a_day: f64,
    visits_learned: usize,
    sweeps: Option<SweepStatus>,
    people: Vec<PersonRow>,
}

#[derive(Serialize)]
struct PersonRow {
    who: String,
    union_id: String,
    cadence: String,
    next_at: Option<String>,
    next_local: Option<String>,
    /// Seconds between polls now.
    interval_s: Option<u64>,
    /// Seconds between polls on the next open day, by local hour; null: closed, or no poll.
    interval_by_hour_s: Vec<Option<u64>>,
    calls_a_day: f64,
    expected_wrong_minutes_a_day: Option<f64>,
}

/// Runs the command.
pub(super) fn run(
    config: &Config,
    mut plans: Vec<PlanInput<'_>>,
    mut sweeps: Vec<SweepStatus>,
    days: u16,
    now: Timestamp,
    zone: Tz,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut of = |plan: &mut PlanInput<'_>| {
        let place = sweeps.iter().position(|status| status.org == plan.org.name.as_str());
        OrgRow { sweeps: place.map(|at| sweeps.swap_remove(at)), ..of_org(config, plan, now, zone) }
    };
    let orgs = plans.iter_mut().map(&mut of).collect();
    let ahead = Ahead {
        orgs,
        windows: upcoming(&plans, now, days, zone),
        warnings: clock_changes(config, now, days),
    };
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&ahead)?);
    } else {
        show(&ahead, zone);
    }
    Ok(Exit::Done)
}

fn of_org(config: &Config, plan: &mut PlanInput<'_>, now: Timestamp, zone: Tz) -> OrgRow {
    let until = now.plus(MONTH);
    let mut people = Vec::new();
    let (mut fixed_a_month, mut auto_open) = (0.0, 0.0);
    for (user, number) in plan.users.clone() {
        let hours = OpenSpans::of(&config.open_time(user), now, until);
        let open_s = hours.open_ms(now.as_ms(), until.as_ms()) as f64 / 1000.0;
        let row = match &user.cadence {
            Cadence::Every(interval) => {
                let calls = open_s / interval.as_secs_f64();
                fixed_a_month += calls;
                let text = humantime::format_duration(*interval).to_string();
                fixed(user, text, calls, Some(interval.as_secs()))
            }
            Cadence::Cron(cron) => {
                let calls = instants(cron, &hours, now, until, config.time_zone);
                fixed_a_month += calls;
                fixed(user, cron.as_str().to_owned(), calls, None)
            }
            Cadence::Auto => {
                auto_open += open_s;
                paced(plan, number.unwrap_or_default(), user, &hours, now, zone)
            }
        };
        people.push(row);
    }
    let paced = people.iter().filter(|row| row.expected_wrong_minutes_a_day.is_some()).count();
    let auto_a_month = match plan.org.calls_per_month {
        Some(calls) if paced > 0 => {
            let least = config.poll.min_interval.as_secs_f64().max(0.001);
            (calls as f64 - fixed_a_month).max(0.0).min(auto_open / least)
        }
        Some(_) => 0.0,
        None => auto_open / config.poll.min_interval.as_secs_f64().max(0.001),
    };
    let month = fixed_a_month + auto_a_month;
    OrgRow {
        org: plan.org.name.to_string(),
        calls_per_month: plan.org.calls_per_month,
        used: plan.budget.used,
        calls_a_day: tenth(month / 30.0),
        calls_a_month: tenth(month),
        even_interval_s: plan.group.is_some().then_some(plan.budget.even.as_secs()),
        even_interval_full_month_s: plan.group.is_some().then_some(plan.even_full_month.as_secs()),
        expected_wrong_minutes_a_day: tenth(
            people.iter().filter_map(|row| row.expected_wrong_minutes_a_day).sum(),
        ),
        visits_learned: plan.learned,
        sweeps: None,
        people,
    }
}

fn fixed(user: &crate::config::User, cadence: String, calls: f64, interval_s: Option<u64>) -> PersonRow {
    PersonRow {
        who: user.name.clone(),
        union_id: user.identity.union_id.to_string(),
        cadence,
        next_at: None,
        next_local: None,
        interval_s,
        interval_by_hour_s: Vec::new(),
        calls_a_day: tenth(calls / 30.0),
        expected_wrong_minutes_a_day: None,
    }
}

/// A paced user: the polls of the next open day, if no meeting is found.
fn paced(
    plan: &mut PlanInput<'_>,
    number: u32,
    user: &crate::config::User,
    hours: &OpenSpans,
    now: Timestamp,
    zone: Tz,
) -> PersonRow {
    let opens = hours.open_from(now.as_ms()).map(Timestamp::from_ms);
    // The same decision as that of `--explain`.
    let decided = opens.map(|_| plan.next(number, now));
    let decided = decided.map(|(PollDecision::Poll(at, _) | PollDecision::Replan(at, _))| at);
    let next = plan.due.get(&user.identity).copied().or(decided);
    let day = match opens {
        None => Day::default(),
        Some(opens) if plan.group.is_none() => evenly(plan.budget.even, hours, opens, zone),
        Some(opens) => simulated(plan, number, opens, zone),
    };
    PersonRow {
        who: user.name.clone(),
        union_id: user.identity.union_id.to_string(),
        cadence: "auto".to_owned(),
        next_at: next.map(Timestamp::rfc3339),
        next_local: next.map(|at| local(at, zone)),
        interval_s: day.interval_s,
        interval_by_hour_s: day.interval_by_hour_s.to_vec(),
        calls_a_day: tenth(day.calls),
        expected_wrong_minutes_a_day: Some(tenth(day.stale_minutes)),
    }
}

/// The polls of one user on one day.
#[derive(Default)]
struct Day {
    calls: f64,
    /// Between the first two polls.
    interval_s: Option<u64>,
    interval_by_hour_s: [Option<u64>; 24],
    stale_minutes: f64,
}

/// Without a limit of calls, one interval applies to the whole day.
fn evenly(every: Duration, hours: &OpenSpans, opens: Timestamp, zone: Tz) -> Day {
    let seconds = hours.open_ms(opens.as_ms(), opens.as_ms() + DAY_MS) as f64 / 1000.0;
    let mut day = Day {
        calls: seconds / every.as_secs_f64().max(0.001),
        interval_s: Some(every.as_secs()),
        ..Day::default()
    };
    for hour in 0..24 {
        let from = opens.as_ms() + hour * HOUR_MS;
        if hours.open_ms(from, from + HOUR_MS) > 0 {
            let at = civil::wall(Timestamp::from_ms(from), zone).hour() as usize % 24;
            day.interval_by_hour_s[at] = day.interval_s;
        }
    }
    day
}

/// Simulates a day on a copy of the input.
fn simulated(plan: &PlanInput<'_>, number: u32, opens: Timestamp, zone: Tz) -> Day {
    let mut copy = plan.clone();
    let budget = copy.budget;
    let expected = copy.group.as_mut().map_or((0.0, 0.0), |group| group.expected(number, opens, &budget));
    let (mut by_hour, mut polls, mut interval_s) = ([0_u32; 24], 0, None);
    let mut at = opens;
    while polls < MAX_POLLS {
        match copy.next(number, at) {
            PollDecision::Poll(when, _) if when.as_ms() < opens.as_ms() + DAY_MS => {
                polls += 1;
                by_hour[civil::wall(when, zone).hour() as usize % 24] += 1;
                if polls == 2 {
                    interval_s = Some(when.since(at).as_secs());
                }
                if let Some(group) = &mut copy.group {
                    group.observed(number, when, &[]);
                }
                at = when;
            }
            _ => break,
        }
    }
    Day {
        calls: if plan.learned >= MIN_VISITS && expected.1 > 0.0 { expected.1 } else { f64::from(polls) },
        interval_s,
        interval_by_hour_s: by_hour.map(|n| (n > 0).then(|| 3600 / u64::from(n))),
        stale_minutes: expected.0,
    }
}

/// How often a cron expression matches in open time.
fn instants(
    cron: &crate::policy::cadence::Cron,
    hours: &OpenSpans,
    now: Timestamp,
    until: Timestamp,
    zone: Tz,
) -> f64 {
    let (mut at, mut hits, mut tried) = (now, 0_u32, 0_u32);
    while let Some(next) = cron.next_after(at, zone).filter(|next| *next < until && tried < 20_000) {
        tried += 1;
        hits += u32::from(hours.span_at(next.as_ms()).is_some());
        at = next;
    }
    let part = at.since(now).as_secs_f64() / until.since(now).as_secs_f64();
    if tried == 20_000 { f64::from(hits) / part.max(1e-6) } else { f64::from(hits) }
}

fn show(ahead: &Ahead, zone: Tz) {
    ahead.orgs.iter().for_each(show_org);
    anstream::println!("windows ({zone} | UTC)");
    for window in &ahead.windows {
        anstream::println!(
            "  {} - {} | {} - {}",
            window.opens_local,
            window.closes_local,
            window.opens_at,
            window.closes_at
        );
    }
    for warning in &ahead.warnings {
        anstream::println!("{}warning:{:#} {warning}", WARNING, WARNING);
    }
}

fn show_org(org: &OrgRow) {
    let limit = match org.calls_per_month {
        None => "no limit is set".to_owned(),
        Some(calls) => format!("the limit is {calls} a month"),
    };
    anstream::println!(
        "{}: about {:.0} calls a day, {:.0} in 30 days; {limit}, {} used this month",
        org.org,
        org.calls_a_day,
        org.calls_a_month,
        org.used
    );
    if let Some((rest, full)) = org.even_interval_s.zip(org.even_interval_full_month_s) {
        anstream::println!(
            "  spread evenly, each user would be polled every {} in the rest of this month,\n\
             \x20 every {} in a full month",
            length(rest),
            length(full)
        );
    }
    anstream::println!(
        "  expected staleness: presence is out of date {:.0} min a day in total ({})",
        // Without history it may be a negative zero.
        org.expected_wrong_minutes_a_day.abs(),
        match org.visits_learned {
            0 => "no history yet".to_owned(),
            visits => format!("learned from {}", counted(visits, "visit", "visits")),
        }
    );
    if let Some(status) = &org.sweeps {
        for line in folded(&format!("sweeps: {}", choice(status)), 78) {
            anstream::println!("  {line}");
        }
    }
    anstream::println!(
        "  {} {:<10} {:<20} {:>8} {:>9} {:>10}",
        padded("WHO", 20),
        "CADENCE",
        "NEXT POLL",
        "INTERVAL",
        "CALLS/DAY",
        "STALE/DAY"
    );
    for row in &org.people {
        let interval = row.interval_s.map_or_else(|| "-".to_owned(), length);
        let wrong =
            row.expected_wrong_minutes_a_day.map_or_else(|| "-".to_owned(), |m| format!("{m:.1} min"));
        anstream::println!(
            "  {} {:<10} {:<20} {interval:>8} {:>9.1} {wrong:>10}",
            padded(&row.who, 20),
            row.cadence,
            row.next_local.as_deref().unwrap_or("-"),
            row.calls_a_day
        );
    }
    hours(org);
}

/// Whether sweeps are used, why, and what one costs.
fn choice(status: &SweepStatus) -> String {
    let cost = match status.calls_each {
        Some(calls) => format!("one takes about {calls} calls"),
        None => "one takes two calls for every 20 ongoing meetings, one call if there is none".to_owned(),
    };
    let words = status.words();
    match status.state.as_str() {
        "trusted" => format!("used; polls have agreed with them; {cost}"),
        "learning" => {
            format!("not used yet ({words}); until then they take a small part of the calls; {cost}")
        }
        "refused" => format!("none ({words}); each user is polled individually"),
        _ => format!("none ({words})"),
    }
}

/// The mean interval of paced users by hour of the next open day.
fn hours(org: &OrgRow) {
    let mut line = Vec::new();
    for hour in 0..24 {
        let polls: Vec<u64> =
            org.people.iter().filter_map(|row| row.interval_by_hour_s.get(hour).copied().flatten()).collect();
        if !polls.is_empty() {
            let mean = polls.iter().sum::<u64>() / polls.len() as u64;
            line.push(format!("{hour:02}h {}", length(mean)));
        }
    }
    if !line.is_empty() {
        anstream::println!("  interval by hour: {}", line.join("  "));
    }
}

fn length(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5999 => format!("{}m", (seconds + 30) / 60),
        _ => format!("{:.1}h", Duration::from_secs(seconds).as_secs_f64() / 3600.0),
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::window::OpenTime;

    #[test]
    fn without_a_limit_every_poll_of_the_day_is_counted() {
        let opens = Timestamp::from_ms(1_699_315_200_000);
        let hours = OpenSpans::of(&OpenTime::new(None, Vec::new()), opens, opens.plus(MONTH));
        let day = evenly(Duration::from_secs(5), &hours, opens, Tz::UTC);
        assert!((day.calls - 17_280.0).abs() < 0.5, "{}", day.calls);
        assert_eq!((day.interval_s, day.interval_by_hour_s), (Some(5), [Some(5); 24]));
    }
}
