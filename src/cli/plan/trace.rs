//! `plan --replay`: reads a trace, replays it, prints what each policy would have done.
//!
//! Guards: the JSON keeps its shape; a line that is no visit is named by its number. Deliberately not here: replaying
//! (`policy::replay`).

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scene::people;
use crate::cli::{Exit, Failure};
use crate::config::Config;
use crate::policy::pace::{Visit, conference_key};
use crate::policy::replay::{Choice, Delays, Outcome, Policy, Scene};
use crate::time::Timestamp;

/// Columns of the longest bar.
const BAR: usize = 40;

/// One line of a trace. A visit without `left_ms` was not over when the trace was written.
#[derive(Debug, Deserialize)]
struct Line {
    user: String,
    org: Option<String>,
    conference: String,
    joined_ms: i64,
    left_ms: Option<i64>,
    /// Hosted by another organisation: no sweep shows it.
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

/// Runs it.
pub(super) fn run(config: &Config, path: &Path, warmup: Duration, json: bool) -> anyhow::Result<Exit> {
    let lines = read(path)?;
    let scenes = scenes(config, &lines, warmup)?;
    let scenes = &scenes;
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let run = |policy| move || scenes.iter().filter_map(|scene| scene.run(policy)).reduce(Outcome::and);
        let running: Vec<_> = Policy::ALL.into_iter().map(|policy| scope.spawn(run(policy))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
    });
    if outcomes.is_empty() {
        let text =
            format!("nothing is left to count after the warm-up of {}", humantime::format_duration(warmup));
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

fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(std::io::BufReader::new(file).lines()) {
        let text = text.map_err(|error| unreadable(&error))?;
        if text.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&text)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}:{number}: {error}", path.display())))?;
        if line.left_ms.is_some_and(|left| left < line.joined_ms) {
            let text = format!("{}:{number}: left_ms is before joined_ms", path.display());
            return Err(Failure::new(Exit::Failed, text).into());
        }
        lines.push(line);
    }
    Ok(lines)
}

/// One for each organisation: each spends its own calls.
fn scenes(config: &Config, lines: &[Line], warmup: Duration) -> anyhow::Result<Vec<Scene>> {
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
                person: *person,
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
        scenes.push(Scene {
            settings,
            people,
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
        let text = "nobody in the trace is a [[user]] of the config: `user` must be the union_id";
        return Err(Failure::new(Exit::Nothing, text).into());
    }
    if !strangers.is_empty() {
        anstream::eprintln!(
            "{} people of the trace are not in the config; their visits are left out",
            strangers.len()
        );
    }
    Ok(scenes)
}

/// What `auto` does about sweeps, and why.
fn chosen(choice: Choice) -> String {
    match choice {
        Choice::Off => "sweeps: off; everybody is looked at alone".to_owned(),
        Choice::NotTrusted { missing } => format!(
            "sweeps: none; they would not be trusted after the warm-up\n\
             \x20 ({missing} more visits in own meetings needed)"
        ),
        Choice::Sweeps { unseen } => format!(
            "sweeps: chosen; {:.0} % of the visits are in meetings they do not show;\n\
             \x20 a look is made where it saves more than its call would in a sweep",
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

/// A bar of wrong time for each policy, and the figures below.
fn show(report: &Report) {
    let even = report.policies.first().map_or(0.0, |policy| policy.wrong_s);
    let most = report.policies.iter().map(|policy| policy.wrong_s).fold(0.0, f64::max);
    anstream::println!("wrong time: how long what was believed was not so");
    for policy in &report.policies {
        let bar = (0..BAR).filter(|column| {
            (f64::from(u8::try_from(*column).unwrap_or(0)) + 0.5) * most < 40.0 * policy.wrong_s
        });
        let bar: String = bar.map(|_| '█').collect();
        let ratio = if even > 0.0 { policy.wrong_s / even } else { 1.0 };
        anstream::println!("  {:<9} {bar:<BAR$} {:>9} {ratio:>5.2}", policy.name, hours(policy.wrong_s));
    }
    anstream::println!();
    anstream::println!(
        "  {:<9} {:>7} {:>14} {:>26} {:>26}",
        "",
        "calls",
        "missed",
        "join: mean median p95",
        "leave: mean median p95"
    );
    for policy in &report.policies {
        let missed = format!("{} of {}", policy.missed_visits, policy.visits);
        let (joins, leaves) = (delays(&policy.joins), delays(&policy.leaves));
        anstream::println!("  {:<9} {:>7} {missed:>14} {joins:>26} {leaves:>26}", policy.name, policy.calls);
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
