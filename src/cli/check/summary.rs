//! The last lines of `check`: what is valid, how often users are polled, and the next command.
//!
//! Guards: the interval is that of a full month, so it is the same on every day. Not here: the plan in full (`plan`).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::setup;
use crate::cli::output::{counted, folded};
use crate::config::problem::{Problem, Severity};
use crate::config::{Cadence, Config, Org};
use crate::policy::civil;
use crate::time::Timestamp;

/// Width of the summary.
const WIDE: usize = 80;
/// Days of the month that is counted, as in the check of the plan.
const DAYS: u64 = 30;

/// Of a config that was read.
pub(super) fn state(path: &Path, config: &Config, problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = problems.len() - errors;
    let people = counted(config.users.len(), "person", "people");
    let webhooks = counted(config.webhooks.len(), "webhook", "webhooks");
    let state = match warnings {
        0 => "is fine".to_owned(),
        _ => format!("can be used, with {}", counted(warnings, "warning", "warnings")),
    };
    let mut text = format!("{} {state}: {people}, {webhooks}", path.display());
    let intervals: Vec<Duration> = config.orgs.iter().filter_map(|org| full_month(config, org)).collect();
    if let (Some(shortest), Some(longest)) = (intervals.iter().min(), intervals.iter().max()) {
        let each = if config.users.len() == 1 { "that person" } else { "each" };
        let every = match (length(*shortest), length(*longest)) {
            (one, other) if one == other => one,
            (one, other) => format!("{one} to {other}"),
        };
        // Writing to a `String` cannot fail.
        let _ = write!(text, "; in a full month {each} is polled every {every}");
    }
    folded(&text, WIDE).join("\n") + "\n"
}

/// The next command. `options`: what it needs to find this config, such as ` -c FILE`.
pub(super) fn next(config: &Config, options: &str) -> String {
    if config.orgs.iter().any(setup::is_local) {
        format!("next: presenced simulate\nand in a second terminal: presenced run{options}\n")
    } else {
        format!("next: presenced run{options}\n")
    }
}

/// Of a config with errors.
pub(super) fn refused(path: &Path, problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = match problems.len() - errors {
        0 => String::new(),
        count => format!(" and {}", counted(count, "warning", "warnings")),
    };
    format!("{} has {}{warnings}\n", path.display(), counted(errors, "error", "errors"))
}

/// The interval at which the calls of a month last for its paced users. `None`: no user is paced, or there is no limit.
fn full_month(config: &Config, org: &Org) -> Option<Duration> {
    let limit = org.calls_per_month?;
    let first = chrono::NaiveDate::from_ymd_opt(2026, 6, 1)?.and_hms_opt(0, 0, 0)?;
    let from = civil::first_instant(first, config.time_zone);
    let to = from.plus(Duration::from_hours(DAYS * 24));
    let mut open_of: Vec<(Vec<bool>, f64)> = Vec::new();
    let (mut fixed, mut paced) = (0.0, 0.0);
    for user in config.users.iter().filter(|user| user.identity.org == org.name) {
        let windows: Vec<bool> = config.windows.iter().map(|window| window.is_for(user)).collect();
        let known = open_of.iter().find(|(of, _)| *of == windows).map(|(_, open)| *open);
        let open = known.unwrap_or_else(|| {
            let open = config.open_time(user).without_blackouts().open_between(from, to).as_secs_f64();
            open_of.push((windows, open));
            open
        });
        match &user.cadence {
            Cadence::Auto => paced += open,
            Cadence::Every(interval) => fixed += open / interval.as_secs_f64().max(0.001),
            Cadence::Cron(cron) => fixed += instants(cron, config, (from, to)),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "calls of a month are far below 2^52")]
    let left = limit as f64 - fixed;
    if paced <= 0.0 || left < 1.0 {
        return None;
    }
    let even = Duration::try_from_secs_f64(paced / left).ok()?;
    Some(even.max(config.poll.min_interval))
}

/// How often an expression matches in the month; the windows leave out some of that.
fn instants(cron: &crate::policy::cadence::Cron, config: &Config, (from, to): (Timestamp, Timestamp)) -> f64 {
    let (mut at, mut count) = (from, 0_u32);
    while let Some(next) = cron.next_after(at, config.time_zone).filter(|next| *next < to && count < 20_000) {
        count += 1;
        at = next;
    }
    f64::from(count)
}

/// `45 s`, `29 min`, `3 h`.
fn length(interval: Duration) -> String {
    match interval.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h", (seconds + 1800) / 3600),
    }
}
