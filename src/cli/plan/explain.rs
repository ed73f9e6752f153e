//! `plan --explain WHO`: explains the time of the next poll of one user.
//!
//! Guards: while the daemon runs it is the decision of the daemon, else the decision of a daemon that starts now; the
//! factors are those of the decision. Not here: the decision (`policy::pace`).

use chrono_tz::Tz;
use serde::Serialize;

use super::input::{self, PlanInput};
use super::windows::local;
use crate::cli::daemon::{ask_daemon, unexpected};
use crate::cli::open_readonly::block_on;
use crate::cli::output::harmless;
use crate::cli::{Exit, Failure};
use crate::config::{Cadence, Config, User};
use crate::control::explain::{ExplainReport, Factors};
use crate::control::{Request, Response};
use crate::policy::pace::PollDecision;
use crate::time::Timestamp;

/// The report as JSON.
#[derive(Serialize)]
struct Explained {
    who: String,
    org: String,
    #[serde(rename = "look_at")]
    poll_at: Option<String>,
    #[serde(rename = "asked_again_at")]
    replan_at: Option<String>,
    decided_at: String,
    by_the_daemon: bool,
    instead: Option<String>,
    #[serde(flatten)]
    factors: Factors,
}

/// Runs the command.
pub(super) fn run(config: &Config, who: &str, now: Timestamp, zone: Tz, json: bool) -> anyhow::Result<Exit> {
    let user = find(config, who)?;
    if user.cadence != Cadence::Auto {
        let text = format!(
            "{} has a fixed `interval` or `cron`; only users with `interval = \"auto\"` are paced",
            user.name
        );
        return Err(Failure::new(Exit::Nothing, text).into());
    }
    let request =
        Request::Explain { org: user.identity.org.clone(), union_id: user.identity.union_id.clone() };
    let (report, by_the_daemon) = match block_on(ask_daemon(&config.file, &request))?? {
        Some(Response::Explained(report)) => (*report, true),
        Some(_) => return Err(unexpected().into()),
        None => (from_here(config, user, now)?, false),
    };
    let ExplainReport { who, org, due, is_poll, instead, decided, factors } = report;
    let explained = Explained {
        who,
        org,
        poll_at: is_poll.then(|| due.rfc3339()),
        replan_at: (!is_poll).then(|| due.rfc3339()),
        decided_at: decided.rfc3339(),
        by_the_daemon,
        instead,
        factors,
    };
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&explained)?);
    } else {
        show(&explained, due, decided, zone, config);
    }
    Ok(Exit::Done)
}

fn find<'a>(config: &'a Config, who: &str) -> anyhow::Result<&'a User> {
    let meant =
        |name: &str, id: &str| name == who || id == who || name.to_lowercase().contains(&who.to_lowercase());
    let found: Vec<&User> =
        config.users.iter().filter(|user| meant(&user.name, user.identity.union_id.as_str())).collect();
    let [user] = found[..] else {
        let (exit, text) = if found.is_empty() {
            (Exit::Nothing, format!("no watched user matches `{who}`"))
        } else {
            (
                Exit::Usage,
                format!("`{who}` matches {} users: write more of the name, or the unionId", found.len()),
            )
        };
        return Err(Failure::new(exit, text).into());
    };
    Ok(user)
}

/// The decision of a daemon that starts now.
fn from_here(config: &Config, user: &User, now: Timestamp) -> anyhow::Result<ExplainReport> {
    let mut plans = input::plans(config, now)?;
    let mine = |plan: &mut PlanInput<'_>| {
        let number = plan.users.iter().find(|(one, _)| one.identity == user.identity)?.1?;
        Some(plan.next(number, now))
    };
    let next = plans.iter_mut().find_map(mine);
    let next = next.ok_or_else(|| Failure::new(Exit::Failed, "this user is not paced"))?;
    let (PollDecision::Poll(due, why) | PollDecision::Replan(due, why)) = next;
    Ok(ExplainReport {
        who: user.name.clone(),
        org: user.identity.org.to_string(),
        due,
        is_poll: matches!(next, PollDecision::Poll(..)),
        instead: None,
        decided: now,
        factors: why.into(),
    })
}

fn show(explained: &Explained, due: Timestamp, decided: Timestamp, zone: Tz, config: &Config) {
    let verb = if explained.poll_at.is_some() { "next poll" } else { "no poll before" };
    let (who, org) = (harmless(&explained.who), &explained.org);
    anstream::println!("{who} ({org}): {verb} {}, {}", local(due, zone), due.rfc3339());
    if let Some(instead) = &explained.instead {
        anstream::println!("  {instead}; below is what the rule would decide now");
    }
    let factors = &explained.factors;
    anstream::println!("  {}", sentence(&factors.rule));
    if matches!(factors.rule.as_str(), "worth" | "not_worth" | "longest") {
        let state = if factors.inside { "inside" } else { "outside" };
        anstream::println!(
            "  a call must save {:.0} s of staleness (spending is {:+.1} days ahead)",
            factors.price_wrong_s,
            factors.days_ahead_of_budget
        );
        anstream::println!(
            "  recorded as {state}; chance that this is out of date: {:.1} % now, {:.1} % then",
            100.0 * factors.wrong_now,
            100.0 * factors.wrong_then
        );
        anstream::println!(
            "  {:.0} s of staleness expected until then; highest chance of a change in one minute before: {:.1} %",
            factors.expected_wrong_s,
            100.0 * factors.peak_chance_a_minute
        );
        if !factors.weeks_before.is_empty() || factors.other_days > 0 {
            let weeks: Vec<String> = factors.weeks_before.iter().map(ToString::to_string).collect();
            let weeks = if weeks.is_empty() { "none".to_owned() } else { weeks.join(", ") };
            anstream::println!(
                "  joined at this time of day: same weekday, weeks ago: {weeks}; other recent days: {}",
                factors.other_days
            );
        }
    }
    let by =
        if explained.by_the_daemon { "by the daemon" } else { "by this command, because no daemon runs" };
    anstream::println!(
        "  decided {by}, {}; bounds {} to {}",
        local(decided, zone),
        humantime::format_duration(config.poll.min_interval),
        humantime::format_duration(config.poll.max_interval)
    );
}

fn sentence(rule: &str) -> &'static str {
    match rule {
        "even" => "too little history yet: calls are spread evenly",
        "plenty" => "the budget allows polling at the shortest interval: calls are spread evenly",
        "worth" => "a call at that time saves more staleness than it would for other users",
        "not_worth" => "no call before the window closes saves more staleness than it would for other users",
        "closed" => "no window is open",
        "longest" => "`max_interval` ends then",
        "spent" => "the calls of today are used up",
        "in_turn" => "sweeps cover this user; polls confirm them from time to time",
        _ => "a rule unknown to this version",
    }
}
