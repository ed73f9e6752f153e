//! `plan --explain WHO`: why somebody's next look is when it is.
//!
//! Guards: the factors are those of the decision, not a retelling. Deliberately not here: the decision
//! (`policy::pace`).

use chrono_tz::Tz;
use serde::Serialize;

use super::scene::Plan;
use super::windows::local;
use crate::cli::{Exit, Failure};
use crate::config::{Cadence, Config};
use crate::policy::pace::pacer::Rule;
use crate::policy::pace::{Next, Why};
use crate::time::Timestamp;

#[derive(Serialize)]
struct Explained {
    who: String,
    org: String,
    rule: &'static str,
    look_at: Option<String>,
    asked_again_at: Option<String>,
    price_wrong_s: f64,
    wrong_now: f64,
    wrong_then: f64,
    expected_wrong_s: f64,
    peak_chance_a_minute: f64,
    weeks_before: Vec<u32>,
    other_days: u8,
    days_ahead_of_budget: f64,
    visits_learned: usize,
}

/// Runs it.
pub(super) fn run(
    config: &Config,
    mut plans: Vec<Plan<'_>>,
    who: &str,
    now: Timestamp,
    zone: Tz,
    json: bool,
) -> anyhow::Result<Exit> {
    let meant =
        |name: &str, id: &str| name == who || id == who || name.to_lowercase().contains(&who.to_lowercase());
    let mut found = Vec::new();
    for (plan_index, plan) in plans.iter().enumerate() {
        for (index, user) in (0_u32..).zip(&plan.users) {
            if meant(&user.name, user.identity.union_id.as_str()) {
                found.push((plan_index, index));
            }
        }
    }
    let [(plan_index, index)] = found[..] else {
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
    let plan = &mut plans[plan_index];
    let user = plan.users[index as usize];
    if user.cadence != Cadence::Auto {
        let text = format!(
            "{} has an interval or instants of their own; only `interval = \"auto\"` is paced",
            user.name
        );
        return Err(Failure::new(Exit::Nothing, text).into());
    }
    let next = plan.pacer.next_look(index, now, &plan.allowance);
    let (Next::Look(at, why) | Next::AskAgain(at, why)) = next;
    let is_look = matches!(next, Next::Look(..));
    let explained = Explained {
        who: user.name.clone(),
        org: user.identity.org.to_string(),
        rule: name(why.rule),
        look_at: is_look.then(|| at.rfc3339()),
        asked_again_at: (!is_look).then(|| at.rfc3339()),
        price_wrong_s: tenth(why.price * 60.0),
        wrong_now: why.wrong_now,
        wrong_then: why.wrong_then,
        expected_wrong_s: tenth(why.cost * 60.0),
        peak_chance_a_minute: why.peak,
        weeks_before: weeks(why.pattern),
        other_days: why.pattern >> 4,
        days_ahead_of_budget: why.lead,
        visits_learned: plan.learned,
    };
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&explained)?);
    } else {
        show(&explained, at, why, zone, config);
    }
    Ok(Exit::Done)
}

fn show(explained: &Explained, at: Timestamp, why: Why, zone: Tz, config: &Config) {
    let verb = if explained.look_at.is_some() { "next look" } else { "no look before" };
    anstream::println!("{} ({}): {verb} {}, {}", explained.who, explained.org, local(at, zone), at.rfc3339());
    anstream::println!("  {}", sentence(why.rule));
    if matches!(why.rule, Rule::Worth | Rule::NotWorth | Rule::Longest) {
        let state = if why.inside { "inside" } else { "outside" };
        anstream::println!(
            "  a call must save {:.0} s of wrong time ({:+.1} days of spending ahead)",
            explained.price_wrong_s,
            why.lead
        );
        anstream::println!(
            "  believed {state}; wrong with {:.1} % now, {:.1} % then",
            100.0 * why.wrong_now,
            100.0 * why.wrong_then
        );
        anstream::println!(
            "  until then {:.0} s of wrong time are expected; the likeliest minute before has {:.1} %",
            explained.expected_wrong_s,
            100.0 * why.peak
        );
        if why.pattern > 0 {
            let weeks: Vec<String> = explained.weeks_before.iter().map(ToString::to_string).collect();
            let weeks = if weeks.is_empty() { "none".to_owned() } else { weeks.join(", ") };
            anstream::println!(
                "  joined at this time of day: weeks ago {weeks}; other days lately {}",
                explained.other_days
            );
        }
    }
    anstream::println!(
        "  learned from {} visits; bounds {} to {}",
        explained.visits_learned,
        humantime::format_duration(config.poll.min_interval),
        humantime::format_duration(config.poll.max_interval)
    );
}

fn weeks(pattern: u8) -> Vec<u32> {
    (0..4).filter(|bit| pattern >> bit & 1 == 1).map(|bit| bit + 1).collect()
}

fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::Even => "even",
        Rule::Plenty => "plenty",
        Rule::Worth => "worth",
        Rule::NotWorth => "not_worth",
        Rule::Closed => "closed",
        Rule::Longest => "longest",
        Rule::Spent => "spent",
    }
}

fn sentence(rule: Rule) -> &'static str {
    match rule {
        Rule::Even => "too little is known yet: calls are spread evenly",
        Rule::Plenty => "there are calls enough to look at everybody all the time: they are spread evenly",
        Rule::Worth => "then a call saves more wrong time than it costs elsewhere",
        Rule::NotWorth => "no call before closing saves more wrong time than it costs elsewhere",
        Rule::Closed => "no window is open",
        Rule::Longest => "max_interval is over then",
        Rule::Spent => "today's share of the calls is spent",
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
