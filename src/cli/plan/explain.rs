//! `plan --explain WHO`: why somebody's next look is when it is.
//!
//! Guards: with the daemon up it is the daemon's own decision; with the daemon down it is what one that starts now would
//! decide; the factors are those of the decision, not a retelling. Deliberately not here: the decision
//! (`policy::pace`).

use chrono_tz::Tz;
use serde::Serialize;

use super::scene::{self, Plan};
use super::windows::local;
use crate::cli::output::harmless;
use crate::cli::reading::block_on;
use crate::cli::{Exit, Failure};
use crate::config::{Cadence, Config, User};
use crate::control::explain::{ExplainReport, Factors};
use crate::control::{ControlError, Request, Response, ask, ask_places};
use crate::policy::pace::PollDecision;
use crate::time::Timestamp;

/// The report, and the same times as people and programs read them.
#[derive(Serialize)]
struct Explained {
    who: String,
    org: String,
    look_at: Option<String>,
    asked_again_at: Option<String>,
    decided_at: String,
    by_the_daemon: bool,
    instead: Option<String>,
    #[serde(flatten)]
    factors: Factors,
}

/// Runs it.
pub(super) fn run(config: &Config, who: &str, now: Timestamp, zone: Tz, json: bool) -> anyhow::Result<Exit> {
    let user = find(config, who)?;
    if user.cadence != Cadence::Auto {
        let text = format!(
            "{} has an interval or instants of their own; only `interval = \"auto\"` is paced",
            user.name
        );
        return Err(Failure::new(Exit::Nothing, text).into());
    }
    let request =
        Request::Explain { org: user.identity.org.clone(), union_id: user.identity.union_id.clone() };
    let (report, by_the_daemon) = match block_on(ask(&ask_places(&config.file), &request))? {
        Ok(Response::Explained(report)) => (*report, true),
        Ok(Response::Refused { message, .. }) => return Err(Failure::new(Exit::Nothing, message).into()),
        Ok(_) => return Err(Failure::new(Exit::Failed, "the daemon answered something else").into()),
        Err(ControlError::Unreachable { .. }) => (from_here(config, user, now)?, false),
        Err(error) => return Err(error.into()),
    };
    let ExplainReport { who, org, due, is_look, instead, decided, factors } = report;
    let explained = Explained {
        who,
        org,
        look_at: is_look.then(|| due.rfc3339()),
        asked_again_at: (!is_look).then(|| due.rfc3339()),
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
            (Exit::Nothing, format!("nobody on the watch list is called `{who}`"))
        } else {
            (
                Exit::Usage,
                format!(
                    "`{who}` could be any of {} people: write more of the name, or the unionId",
                    found.len()
                ),
            )
        };
        return Err(Failure::new(exit, text).into());
    };
    Ok(user)
}

/// What a daemon that starts now would decide.
fn from_here(config: &Config, user: &User, now: Timestamp) -> anyhow::Result<ExplainReport> {
    let mut plans = scene::plans(config, now)?;
    let mine = |plan: &mut Plan<'_>| {
        let number = plan.users.iter().find(|(one, _)| one.identity == user.identity)?.1?;
        Some(plan.next(number, now))
    };
    let next = plans.iter_mut().find_map(mine);
    let next = next.ok_or_else(|| Failure::new(Exit::Failed, "nothing paces this person"))?;
    let (PollDecision::Poll(due, why) | PollDecision::Replan(due, why)) = next;
    Ok(ExplainReport {
        who: user.name.clone(),
        org: user.identity.org.to_string(),
        due,
        is_look: matches!(next, PollDecision::Poll(..)),
        instead: None,
        decided: now,
        factors: why.into(),
    })
}

fn show(explained: &Explained, due: Timestamp, decided: Timestamp, zone: Tz, config: &Config) {
    let verb = if explained.look_at.is_some() { "next look" } else { "no look before" };
    let (who, org) = (harmless(&explained.who), &explained.org);
    anstream::println!("{who} ({org}): {verb} {}, {}", local(due, zone), due.rfc3339());
    if let Some(instead) = &explained.instead {
        anstream::println!("  {instead}; what follows is what the rule would say now");
    }
    let factors = &explained.factors;
    anstream::println!("  {}", sentence(&factors.rule));
    if matches!(factors.rule.as_str(), "worth" | "not_worth" | "longest") {
        let state = if factors.inside { "inside" } else { "outside" };
        anstream::println!(
            "  a call must save {:.0} s of wrong time ({:+.1} days of spending ahead)",
            factors.price_wrong_s,
            factors.days_ahead_of_budget
        );
        anstream::println!(
            "  believed {state}; wrong with {:.1} % now, {:.1} % then",
            100.0 * factors.wrong_now,
            100.0 * factors.wrong_then
        );
        anstream::println!(
            "  until then {:.0} s of wrong time are expected; the likeliest minute before has {:.1} %",
            factors.expected_wrong_s,
            100.0 * factors.peak_chance_a_minute
        );
        if !factors.weeks_before.is_empty() || factors.other_days > 0 {
            let weeks: Vec<String> = factors.weeks_before.iter().map(ToString::to_string).collect();
            let weeks = if weeks.is_empty() { "none".to_owned() } else { weeks.join(", ") };
            anstream::println!(
                "  joined at this time of day: weeks ago {weeks}; other days lately {}",
                factors.other_days
            );
        }
    }
    let by = if explained.by_the_daemon { "by the daemon" } else { "here: the daemon does not run" };
    anstream::println!(
        "  decided {by}, {}; bounds {} to {}",
        local(decided, zone),
        humantime::format_duration(config.poll.min_interval),
        humantime::format_duration(config.poll.max_interval)
    );
}

fn sentence(rule: &str) -> &'static str {
    match rule {
        "even" => "too little is known yet: calls are spread evenly",
        "plenty" => "there are calls enough to look at everybody all the time: they are spread evenly",
        "worth" => "then a call saves more wrong time than it costs elsewhere",
        "not_worth" => "no call before closing saves more wrong time than it costs elsewhere",
        "closed" => "no window is open",
        "longest" => "max_interval is over then",
        "spent" => "today's share of the calls is spent",
        "in_turn" => "sweeps show everybody; everybody is looked at now and then all the same",
        _ => "a rule that this version does not know",
    }
}
