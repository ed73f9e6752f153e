//! `plan --replay`: reads a trace, replays it, and prints what each policy would have done.
//!
//! Guards: the JSON keeps its shape; an invalid line is reported with its number, and so is a line whose times would make
//! the replay run for hours. Not here: replaying (`policy::replay`).

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::people;
use crate::cli::output::{WARNING, counted};
use crate::cli::{Exit, Failure};
use crate::config::Config;
use crate::policy::pace::{Visit, conference_key};
use crate::policy::replay::{Delays, Outcome, Policy, ReplayInput, SweepChoice};
use crate::time::Timestamp;

/// Length of the longest bar.
const BAR: usize = 40;

/// 2000-01-01 to 2100-01-01, UTC. A time outside is an error, most often of the unit, and would make the replay endless,
/// because every year between the first and the last visit is replayed.
const TIMES_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;
/// 7 days. The leave of a longer visit is most likely missing, or belongs to another visit.
const LONG_VISIT_MS: i64 = 7 * 24 * 3_600_000;
const LONG_GAP_MS: i64 = 366 * 24 * 3_600_000;
/// Each year between the first and the last visit is replayed, with or without visits, so the span of a trace is limited.
const LONGEST_YEARS: i64 = 5;

/// One line of a trace. A visit without `left_ms` was not over when the trace was written.
#[derive(Debug, Deserialize)]
struct Line {
    user: String,
    org: Option<String>,
    conference: String,
    joined_ms: i64,
    left_ms: Option<i64>,
    /// Hosted by another organisation, so that sweeps do not list it.
    #[serde(default)]
    foreign: bool,
}

#[derive(Serialize)]
struct Report {
    policies: Vec<PolicyRow>,
}

#[derive(Serialize)]
struct PolicyRow {
    name: &'static str,
    calls: u64,
    wrong_s: f64,
    visits: usize,
    missed_visits: usize,
    joins: DelayRow,
    leaves: DelayRow,
}

#[derive(Serialize)]
struct DelayRow {
    count: usize,
    mean_s: f64,
    median_s: f64,
    p95_s: f64,
}

impl From<Delays> for DelayRow {
    fn from(delays: Delays) -> Self {
        let tenths = |seconds: f64| (seconds * 10.0).round() / 10.0;
        Self {
            count: delays.count,
            mean_s: tenths(delays.mean_s),
            median_s: tenths(delays.median_s),
            p95_s: tenths(delays.p95_s),
        }
    }
}

/// Runs the command.
pub(super) fn run(config: &Config, path: &Path, warmup: Duration, json: bool) -> anyhow::Result<Exit> {
    let (lines, warnings) = read(path)?;
    for warning in warnings {
        anstream::eprintln!("{WARNING}warning:{WARNING:#} {warning}");
    }
    let scenes = scenes(config, &lines, warmup)?;
    let scenes = &scenes;
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let run = |policy| move || scenes.iter().filter_map(|scene| scene.run(policy)).reduce(Outcome::and);
        let running: Vec<_> = Policy::ALL.into_iter().map(|policy| scope.spawn(run(policy))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
    });
    if outcomes.is_empty() {
        let text = format!("no visit is left after the warm-up of {}", humantime::format_duration(warmup));
        return Err(Failure::new(Exit::Nothing, text).into());
    }
    let report = Report { policies: outcomes.iter().map(row).collect() };
    if !json {
        for scene in scenes {
            anstream::println!("{}", chosen(scene.choice()));
        }
    }
    if json {
        anstream::println!("{}", serde_json::to_string(&report)?);
    } else {
        show(&report);
    }
    Ok(Exit::Done)
}

/// The visits of a file, and warnings about them.
fn read(path: &Path) -> anyhow::Result<(Vec<Line>, Vec<String>)> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    let (mut lines, mut times, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (number, text) in (1_usize..).zip(std::io::BufReader::new(file).lines()) {
        let text = text.map_err(|error| unreadable(&error))?;
        if text.trim().is_empty() {
            continue;
        }
        let refused = |why: String| Failure::new(Exit::Failed, format!("{}:{number}: {why}", path.display()));
        let line: Line = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if let Some(why) = invalid(&line) {
            return Err(refused(why).into());
        }
        if line.left_ms.is_some_and(|left| left - line.joined_ms > LONG_VISIT_MS) {
            warnings.push(format!(
                "{}:{number}: the visit is longer than 7 days; check its left_ms",
                path.display()
            ));
        }
        times.extend([Some(line.joined_ms), line.left_ms].into_iter().flatten().map(|ms| (ms, number)));
        lines.push(line);
    }
    if let Some(why) = too_long(&times) {
        return Err(Failure::new(Exit::Failed, format!("{}: {why}", path.display())).into());
    }
    warnings.extend(gaps(times).map(|gap| format!("{}{gap}", path.display())));
    Ok((lines, warnings))
}

/// Why a line is not a valid visit.
fn invalid(line: &Line) -> Option<String> {
    for (key, ms) in [("joined_ms", Some(line.joined_ms)), ("left_ms", line.left_ms)] {
        if let Some(ms) = ms.filter(|ms| !TIMES_MS.contains(ms)) {
            return Some(format!(
                "{key} is {ms}, which is not between 2000 and 2100; write milliseconds since 1970"
            ));
        }
    }
    line.left_ms.is_some_and(|left| left < line.joined_ms).then(|| "left_ms is before joined_ms".to_owned())
}

/// Why a trace is too long to be replayed.
fn too_long(times: &[(i64, usize)]) -> Option<String> {
    let ((first, earlier), (last, later)) = (times.iter().min()?, times.iter().max()?);
    if last - first <= LONGEST_YEARS * LONG_GAP_MS {
        return None;
    }
    let [first, last] = [*first, *last].map(Timestamp::from_ms);
    Some(format!(
        "the trace runs from {first} (line {earlier}) to {last} (line {later}), and a replay takes at most \
         {LONGEST_YEARS} years: check both times, or split the trace"
    ))
}

/// Periods of more than a year without a join or a leave. They are replayed too, and most likely a time is wrong.
fn gaps(mut times: Vec<(i64, usize)>) -> impl Iterator<Item = String> {
    times.sort_unstable();
    let pairs: Vec<_> = times.iter().copied().zip(times.iter().copied().skip(1)).collect();
    pairs.into_iter().filter(|((before, _), (after, _))| after - before > LONG_GAP_MS).map(
        |((before, earlier), (after, later))| {
            let [before, after] = [before, after].map(Timestamp::from_ms);
            format!(
                ":{later}: no join or leave for more than a year between {before} (line {earlier}) and {after}; \
                 check both times, each year takes long to replay"
            )
        },
    )
}

/// One for each organisation: each spends its own calls.
fn scenes(config: &Config, lines: &[Line], warmup: Duration) -> anyhow::Result<Vec<ReplayInput>> {
    let mut scenes = Vec::new();
    let mut matched: BTreeSet<&str> = BTreeSet::new();
    for org in &config.orgs {
        let (users, people, settings) = people(config, org);
        let numbers: HashMap<&str, u32> =
            users.iter().map(|user| user.identity.union_id.as_str()).zip(0..).collect();
        let mut visits = Vec::new();
        let mut foreign = BTreeSet::new();
        for line in
            lines.iter().filter(|line| line.org.as_deref().is_none_or(|name| name == org.name.as_str()))
        {
            let Some(person) = numbers.get(line.user.as_str()) else { continue };
            matched.insert(&line.user);
            if line.foreign {
                foreign.insert(conference_key(&line.conference));
            }
            visits.push(Visit {
                user: *person,
                conference: conference_key(&line.conference),
                joined: Timestamp::from_ms(line.joined_ms),
                left: line.left_ms.map(Timestamp::from_ms),
            });
        }
        if visits.is_empty() {
            continue;
        }
        let Some(calls_per_month) = org.calls_per_month else {
            let text = format!("`{}` has no limit of calls: a replay needs calls_per_month", org.name);
            return Err(Failure::new(Exit::Usage, text).into());
        };
        let month_time_zone = org.month_time_zone;
        let sweep = config.poll.sweeping();
        scenes.push(ReplayInput {
            settings,
            users: people,
            calls_per_month,
            month_time_zone,
            warmup,
            visits,
            sweep,
            foreign,
        });
    }
    let strangers: BTreeSet<&str> =
        lines.iter().map(|line| line.user.as_str()).filter(|user| !matched.contains(user)).collect();
    if scenes.is_empty() {
        let text = "no user of the trace is a [[user]] of the config; `user` must be the union_id";
        return Err(Failure::new(Exit::Nothing, text).into());
    }
    if !strangers.is_empty() {
        anstream::eprintln!(
            "{} of the trace not in the config, and left out",
            counted(strangers.len(), "person is", "people are")
        );
    }
    Ok(scenes)
}

/// Whether `auto` uses sweeps, and why.
fn chosen(choice: SweepChoice) -> String {
    match choice {
        SweepChoice::Off => "sweeps: off; each user is polled individually".to_owned(),
        SweepChoice::NotTrusted { missing } => format!(
            "sweeps: not used; they would not be trusted after the warm-up\n\
             \x20 ({missing} more visits to meetings of the organisation needed)"
        ),
        SweepChoice::Sweeps { unseen } => format!(
            "sweeps: used; {:.0} % of the visits are in meetings that they do not list;\n\
             \x20 a poll is made where its call saves more staleness than in a sweep",
            100.0 * unseen
        ),
    }
}

fn row(outcome: &Outcome) -> PolicyRow {
    PolicyRow {
        name: outcome.policy.name(),
        calls: outcome.calls,
        wrong_s: (outcome.wrong_s * 10.0).round() / 10.0,
        visits: outcome.visits,
        missed_visits: outcome.missed_visits,
        joins: outcome.joins().into(),
        leaves: outcome.leaves().into(),
    }
}

/// A bar for the staleness under each policy, and the figures below.
fn show(report: &Report) {
    let even = report.policies.first().map_or(0.0, |policy| policy.wrong_s);
    let most = report.policies.iter().map(|policy| policy.wrong_s).fold(0.0, f64::max);
    anstream::println!("staleness: how long the recorded presence was out of date");
    for policy in &report.policies {
        let bar = (0..BAR).filter(|column| {
            (f64::from(u8::try_from(*column).unwrap_or(0)) + 0.5) * most < 40.0 * policy.wrong_s
        });
        let bar: String = bar.map(|_| '█').collect();
        let ratio = if even > 0.0 { policy.wrong_s / even } else { 1.0 };
        anstream::println!("  {:<11} {bar:<BAR$} {:>9} {ratio:>5.2}", policy.name, hours(policy.wrong_s));
    }
    anstream::println!();
    anstream::println!(
        "  {:<11} {:>7} {:>13} {:>21} {:>22}",
        "",
        "calls",
        "missed",
        "join: mean median p95",
        "leave: mean median p95"
    );
    for policy in &report.policies {
        let missed = format!("{} of {}", policy.missed_visits, policy.visits);
        let (joins, leaves) = (delays(&policy.joins), delays(&policy.leaves));
        anstream::println!("  {:<11} {:>7} {missed:>13} {joins:>21} {leaves:>22}", policy.name, policy.calls);
    }
}

fn hours(seconds: f64) -> String {
    if seconds < 7200.0 { format!("{:.0} min", seconds / 60.0) } else { format!("{:.1} h", seconds / 3600.0) }
}

fn delays(row: &DelayRow) -> String {
    let short = |seconds: f64| {
        if seconds < 100.0 { format!("{seconds:.0}s") } else { format!("{:.1}m", seconds / 60.0) }
    };
    format!("{} {} {}", short(row.mean_s), short(row.median_s), short(row.p95_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T08:00:00Z, in ms.
    const MONDAY: i64 = 1_795_420_800_000;
    const HOUR: i64 = 3_600_000;

    fn read_visits(visits: &[(i64, Option<i64>)]) -> Result<(usize, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let left = |left: Option<i64>| left.map_or("null".to_owned(), |ms| ms.to_string());
        let lines: Vec<String> = visits
            .iter()
            .map(|(joined, ms)| {
                let left = left(*ms);
                format!(r#"{{"user":"u","conference":"c","joined_ms":{joined},"left_ms":{left}}}"#)
            })
            .collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let bare = |text: String| text.replace(&path.display().to_string(), "trace");
        match read(&path) {
            Ok((lines, warnings)) => Ok((lines.len(), warnings.into_iter().map(bare).collect())),
            Err(error) => Err(bare(error.to_string())),
        }
    }

    #[test]
    fn a_trace_with_a_time_outside_2000_to_2100_is_refused_with_its_line() {
        let good = (MONDAY, Some(MONDAY + HOUR));
        let seconds = MONDAY / 1000;
        for (visit, why) in [
            ((-1, Some(MONDAY)), "joined_ms is -1"),
            ((MONDAY, Some(i64::MAX)), "left_ms is 9223372036854775807"),
            ((i64::MIN, Some(i64::MAX)), "joined_ms is -9223372036854775808"),
            ((seconds, None), "joined_ms is 1795420800"),
            ((TIMES_MS.end, None), "joined_ms is 4102444800000"),
            ((TIMES_MS.start - 1, Some(MONDAY)), "joined_ms is 946684799999"),
        ] {
            let refused = read_visits(&[good, visit, good]).unwrap_err();
            assert!(refused.starts_with(&format!("trace:2: {why}, which is not between")), "{refused}");
        }
        let backwards = read_visits(&[good, (MONDAY, Some(MONDAY - 1))]);
        assert_eq!(backwards, Err("trace:2: left_ms is before joined_ms".to_owned()));
    }

    #[test]
    fn a_trace_over_more_than_five_years_is_refused_with_both_lines() {
        let good = (MONDAY, Some(MONDAY + HOUR));
        let five = 5 * 366 * 24 * HOUR;
        assert!(read_visits(&[good, (MONDAY + five, None)]).is_ok());
        let refused = read_visits(&[good, (MONDAY + five + 1, None), good]).unwrap_err();
        assert_eq!(
            refused,
            "trace: the trace runs from 2026-11-23T08:00:00.000Z (line 1) to 2031-11-27T08:00:00.001Z (line 2), and a \
             replay takes at most 5 years: check both times, or split the trace"
        );
    }

    #[test]
    fn a_visit_of_more_than_a_week_and_an_empty_year_are_warned_of() {
        let good = (MONDAY, Some(MONDAY + HOUR));
        let week = 7 * 24 * HOUR;
        assert_eq!(read_visits(&[good, (MONDAY, Some(MONDAY + week)), (MONDAY, None)]), Ok((3, Vec::new())));
        let (visits, warnings) = read_visits(&[good, (MONDAY, Some(MONDAY + week + 1))]).unwrap();
        let long = "trace:2: the visit is longer than 7 days; check its left_ms";
        assert_eq!((visits, warnings), (2, vec![long.to_owned()]));
        let (_, warnings) = read_visits(&[(MONDAY + 400 * 24 * HOUR, None), good]).unwrap();
        assert_eq!(
            warnings,
            ["trace:1: no join or leave for more than a year between 2026-11-23T09:00:00.000Z (line 2) and \
              2027-12-28T08:00:00.000Z; check both times, each year takes long to replay"]
        );
    }
}
