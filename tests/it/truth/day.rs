//! Generated days: faults of DingTalk and of the receiver, jumps of the clock, reloads, restarts and crashes, drawn from a
//! seed, in virtual time. After each episode everything is healthy, and what follows is judged.
//!
//! Guards: every user is polled within an interval or a minute, whichever is longer, or the documented wait of a ban, a
//! spent month, a `Retry-After` or a refusal; nobody is left unpolled without a named reason; everything pending is
//! delivered; what was told is what was. Deliberately not here: the same on the real binary (`generated_run`).
//!
//! The long run judges a hundred days. `PRESENCED_TEST_DAY` repeats the day of one seed.

use std::fmt::Write as _;

use presenced::simulator::Scenario;

use self::plan::{Act, Episode, Mood, Plan, Trouble, USERS, Variation, Wait};
use self::scene::{DELIVERY_WAIT, Scene};
use self::verdict::Truth;
use super::life::{Dice, Life};
use crate::house::at;

mod hook;
mod plan;
mod scene;
mod verdict;
mod wall;

const FROM: &str = "2026-11-10T01:00:00Z";
const SEEDS: u64 = 3;
const LONG_SEEDS: u64 = 100;
const MEETINGS: usize = 12;
/// Meetings lie between these; afterwards everything is healthy until all is told.
const QUIET_S: u64 = 600;
const DAY_S: u64 = 36_000;
const AFTER_S: u64 = 3_600;
/// Virtual time passes in steps of so many seconds; while users are polled again one after the other, in shorter ones: in
/// each only a few calls begin, as in an instant of real time.
const STEP_S: u64 = 30;
const SHORT_STEP_S: u64 = 5;
const SHORTLY_S: u64 = 180;
/// Beyond a documented wait: a step, and the calls of all users at a request rate that was halved.
const SLACK_S: u64 = STEP_S + 10;
const MINUTE_S: u64 = 60;
const BAN_S: u64 = 5 * MINUTE_S;
const MONTH_PROBE_S: u64 = 6 * 3_600;
const LONGEST_RETRY_AFTER_S: u64 = 3_600;
const LONG_RETRY_AFTER: Mood = Mood::Answers(429, "retry-after: 86400\r\n");

/// How long one recovery took and how long it may take, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Recovery {
    took_s: u64,
    allowed_s: u64,
}

/// A day and what came of it.
#[derive(Default)]
struct Day {
    /// Until every user was polled, where nothing but the interval is waited for.
    usual: Vec<Recovery>,
    /// The same after a ban, a spent month, a `Retry-After` or refusals of single users.
    named: Vec<Recovery>,
    deliveries: Vec<Recovery>,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_day_ends_well() {
    let only = std::env::var("PRESENCED_TEST_DAY").ok().map(|seed| seed.parse().expect("a number"));
    let last = if crate::testing::long() { LONG_SEEDS } else { SEEDS };
    let (mut failed, mut all) = (String::new(), Day::default());
    for seed in only.map_or(1..=last, |seed| seed..=seed) {
        let plan = Plan::new(&mut Dice::new(seed));
        let day = live(&plan, seed).await;
        println!("seed {seed}: {}", worst(&day));
        all.usual.extend(day.usual);
        all.named.extend(day.named);
        all.deliveries.extend(day.deliveries);
        if !day.wrong.is_empty() {
            let (wrong, acts) = (day.wrong.join("\n"), plan.list());
            writeln!(failed, "seed {seed} (repeat it with PRESENCED_TEST_DAY={seed}):\n{wrong}\n{acts}")
                .expect("a string takes all");
        }
    }
    println!("all: {}", worst(&all));
    assert!(failed.is_empty(), "{failed}");
}

fn worst(day: &Day) -> String {
    let one = |recoveries: &[Recovery]| {
        let longest = recoveries.iter().copied().max_by_key(|one| one.took_s).unwrap_or_default();
        format!("{} s of {} s", longest.took_s, longest.allowed_s)
    };
    let Day { usual, named, deliveries, .. } = day;
    format!(
        "users polled after {}, after a documented wait {}; everything delivered after {}",
        one(usual),
        one(named),
        one(deliveries)
    )
}

async fn live(plan: &Plan, seed: u64) -> Day {
    let life = Life::new(&mut Dice::new(seed + 1_000), USERS, MEETINGS, QUIET_S, DAY_S);
    let scenario = Scenario::parse(&life.scenario(), "a generated day").expect("a scenario");
    let mut scene = Scene::open(FROM, scenario, plan.first).await;
    let (mut day, mut in_force) = (Day::default(), plan.first);
    pass(&mut scene, QUIET_S).await;
    for (number, episode) in plan.episodes.iter().enumerate() {
        let began_s = scene.now_s();
        if let Some(note) = go_wrong(&mut scene, episode, in_force).await {
            day.wrong.push(format!("episode {number}: {note}"));
        }
        let allowed_s = allowed_s(episode, &mut in_force, scene.now_s() - began_s);
        recover(&mut scene, number, (allowed_s, episode), &mut day).await;
        pass(&mut scene, episode.calm_s).await;
    }
    let rest_s = (DAY_S + AFTER_S).saturating_sub(scene.now_s()).max(AFTER_S);
    pass(&mut scene, rest_s).await;
    let (polled, skews, lies) = (scene.polled.clone(), scene.skews.clone(), scene.lies.clone());
    let (events, arrivals) = scene.end().await;
    let truth = Truth { from: at(FROM), stays: &life.stays, polled: &polled, skews: &skews, lies: &lies };
    day.wrong.extend(truth.differences(&events));
    day.wrong.extend(verdict::undelivered(&events, &arrivals));
    day
}

async fn pass(scene: &mut Scene, seconds: u64) {
    for _ in 0..seconds.div_ceil(STEP_S) {
        scene.step(STEP_S).await;
    }
}

/// The acts of an episode; says when nobody was polled and no reason was told.
async fn go_wrong(scene: &mut Scene, episode: &Episode, before: Variation) -> Option<String> {
    let (began_s, mut acts) = (scene.now_s(), episode.acts.iter().peekable());
    let (mut interval_s, mut note) = (before.interval_s, None);
    while scene.now_s() - began_s < episode.length_s || acts.peek().is_some() {
        let passed_s = scene.now_s() - began_s;
        while let Some((_, act)) = acts.next_if(|(at_s, _)| *at_s <= passed_s) {
            if let Act::Reload(variation) = act {
                interval_s = interval_s.max(variation.interval_s);
            }
            scene.act(*act).await;
        }
        scene.step(STEP_S).await;
        let silent_s = scene.silent_s();
        if silent_s > interval_s.max(MINUTE_S) + SLACK_S {
            let at_s = scene.now_s() - began_s;
            note.get_or_insert(format!("+{at_s}s: nobody was polled for {silent_s} s and no reason is told"));
        }
    }
    note
}

/// The longest that a user may wait for a poll after this episode.
fn allowed_s(episode: &Episode, in_force: &mut Variation, lasted_s: u64) -> u64 {
    let acts = || episode.acts.iter().map(|(_, act)| *act);
    let (mut interval_s, mut backoff_s) = (in_force.interval_s, in_force.backoff_max_s);
    for act in acts() {
        if let Act::Reload(variation) = act {
            *in_force = variation;
            interval_s = interval_s.max(variation.interval_s);
            backoff_s = backoff_s.max(variation.backoff_max_s);
        }
    }
    // A reload polls refused users at once.
    let reloads = acts().filter(|act| matches!(act, Act::Reload(_) | Act::Receiver(Mood::WrongPort))).count();
    let refused_s = plan::refused_wait_s(if reloads > 0 { lasted_s + MINUTE_S } else { lasted_s });
    // After a reset of days nobody was answered lately; within an interval not everybody was polled.
    let alone =
        lasted_s < interval_s * 2 || acts().any(|act| matches!(act, Act::Reset(by_s) if by_s.abs() > 86_000));
    let usual_s = interval_s.max(MINUTE_S);
    let wait_s = |trouble: Trouble| match trouble.wait() {
        Wait::Ban => BAN_S,
        Wait::Month => MONTH_PROBE_S,
        Wait::RetryAfter => backoff_s.min(LONGEST_RETRY_AFTER_S),
        Wait::Refused => refused_s,
        Wait::Refusals if alone => refused_s,
        Wait::Refusals | Wait::Usual => usual_s,
    };
    let troubles = acts().filter_map(|act| match act {
        Act::Upstream(trouble) => Some(wait_s(trouble)),
        _ => None,
    });
    troubles.max().unwrap_or(0).max(usual_s)
}

/// Nothing is wrong any more: waits until every user was polled and everything is delivered.
async fn recover(scene: &mut Scene, number: usize, (allowed_s, episode): (u64, &Episode), day: &mut Day) {
    scene.heal().await;
    let since_s = scene.now_s();
    let asked = |act: &(u64, Act)| matches!(act.1, Act::Receiver(mood) if mood == LONG_RETRY_AFTER);
    let asked_s = if episode.acts.iter().any(asked) { LONGEST_RETRY_AFTER_S } else { 0 };
    let delivered_s = DELIVERY_WAIT.as_secs().max(asked_s);
    let (mut polled, mut delivered, mut resumed) = (None, None, None);
    loop {
        let (took_s, users) = (scene.now_s() - since_s, scene.not_polled_since(since_s));
        if users.is_empty() {
            polled.get_or_insert(took_s);
        }
        if users.len() < scene.users() {
            let resumed_s = *resumed.get_or_insert(took_s);
            if took_s > resumed_s + MINUTE_S && scene.some_are_late() {
                day.wrong.push(format!(
                    "episode {number}: users {users:?} are late a minute after others were polled"
                ));
                break;
            }
        }
        let (pending, dead) = scene.undelivered().await;
        if pending == 0 {
            delivered.get_or_insert(took_s);
        }
        if (polled.is_some() && pending == 0) || dead > 0 {
            break;
        }
        if took_s > allowed_s.max(delivered_s) + SLACK_S {
            let why = scene.complaints().await;
            day.wrong
                .push(format!("episode {number}: users {users:?}, {pending} deliveries still wait: {why}"));
            break;
        }
        let (shortly, goes_on) = (took_s < SHORTLY_S, resumed.is_some() && polled.is_none());
        scene.step(if shortly || goes_on { SHORT_STEP_S } else { STEP_S }).await;
    }
    let (pending, dead) = scene.undelivered().await;
    if dead > 0 {
        day.wrong.push(format!("episode {number}: {dead} deliveries were given up, {pending} wait"));
    }
    // What is wrong is looked at every five seconds.
    scene.step(2 * SHORT_STEP_S).await;
    let complaints = scene.complaints().await;
    if !complaints.is_empty() {
        day.wrong.push(format!("episode {number}: not well after it: {complaints}"));
    }
    for (what, took_s, allowed_s) in [("polled", polled, allowed_s), ("delivered", delivered, delivered_s)] {
        let recovery = Recovery { took_s: took_s.unwrap_or(u64::MAX), allowed_s };
        if recovery.took_s > allowed_s + SLACK_S {
            day.wrong.push(format!("episode {number}: {what} after {took_s:?} s, {allowed_s} s are allowed"));
        }
        match what {
            "delivered" => day.deliveries.push(recovery),
            _ if is_usual(episode) => day.usual.push(recovery),
            _ => day.named.push(recovery),
        }
    }
}

/// Whether nothing in an episode has a documented wait of its own.
fn is_usual(episode: &Episode) -> bool {
    let waits = |act: &(u64, Act)| matches!(act.1, Act::Upstream(trouble) if trouble.wait() != Wait::Usual);
    !episode.acts.iter().any(waits)
}
