//! Asking the meeting about who vanished, from end to end: how they left, refusals, late answers, what it costs.
//!
//! Guards: what is told about a vanished entry is what really happened, to the millisecond. Deliberately not here: each
//! rule of the conclusion (`presence::confirm`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::path::Path;
use std::time::Duration;

use presenced::ids::OrgName;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::{EndedMembers, Leavers};
use presenced::simulator::{AnswerOptions, Fault, FaultKind, Scenario, api};
use presenced::store::Usage;
use serde_json::Value;

use crate::harness::daemon::sqlite3;
use crate::house::{House, Plan, of_type};

/// Whoever leaves has no entry any more. Ann and Ben are inside from the start; `STEP` happens to Ann after 5 minutes.
const SCENE: &str = r#"
[knobs]
leavers = "dropped"
[people]
ann = { union_id = "u-ann" }
ben = { union_id = "u-ben" }
[meetings]
m = { id = "654058f2411fe90147e68780" }
[script]
steps = [
  { at = "+0s", do = "join", who = ["ben", "ann"], meeting = "m" },
  STEP,
  MORE
]
"#;
/// What two looks a minute at two people need, and more.
const CALLS: u64 = 200_000;
const LEAVE: &str = r#"{ at = "+5m", do = "leave", who = ["ann"], meeting = "m" }"#;
const KICK: &str = r#"{ at = "+5m", do = "kick", who = ["ann"], meeting = "m" }"#;
const END: &str = r#"{ at = "+5m", do = "end", meeting = "m" }"#;
const BEN_LEAVES: &str = r#"{ at = "+10m", do = "leave", who = ["ben"], meeting = "m" }"#;
const LEFT: &str = "meeting.participant_left";
const CORRECTED: &str = "meeting.participant_corrected";

fn scene(step: &str, more: &str) -> Scenario {
    Scenario::parse(&SCENE.replace("STEP", step).replace("MORE", more), "scene").unwrap()
}

fn config(calls: u64, confirm: bool, people: &str) -> String {
    format!(
        "[dingtalk]\nHOSTSapp_key = \"key\"\napp_secret = \"made-up\"\ncalls_per_month = {calls}\n\
         [poll]\ninterval = \"30s\"\nmin_interval = \"10s\"\nconfirm_calls = {confirm}\n{people}"
    )
}

const TWO: &str = "[[user]]\nunion_id = \"u-ann\"\n[[user]]\nunion_id = \"u-ben\"\n";

async fn open(scenario: Scenario, config: &str) -> House {
    open_with(scenario, config, 0).await
}

/// The same with so many calls of the month used already.
async fn open_with(scenario: Scenario, config: &str, used: u64) -> House {
    let events = r#""meeting.*", "user.presence_changed", "system.*""#;
    let plan = Plan { from: "2026-11-23T06:00:00Z", speed: 60.0, scenario, config, events };
    House::open(plan, async |store| {
        let (org, usage) = (OrgName::default_name(), Usage { used, throttled: 0 });
        store.call_usage().set(org, "2026-11".into(), usage, Some(CALLS), None).await.unwrap();
    })
    .await
}

fn of_person<'a>(events: &'a [Value], event_type: &str, who: &str) -> Vec<&'a Value> {
    let subject = format!("default/{who}");
    of_type(events, event_type).into_iter().filter(|event| event["subject"] == subject.as_str()).collect()
}

async fn first(house: &House, event_type: &str, who: &str) -> Value {
    let what = format!("{event_type} of {who}");
    house.until(&what, |events| of_person(events, event_type, who).first().map(|&event| event.clone())).await
}

/// When somebody really went.
fn truth(house: &House, who: &str) -> String {
    let world = house.dingtalk.world();
    let changes = world.changes(world.origin(), house.clock.now());
    changes.iter().rfind(|change| change.union_id == who).unwrap().at.rfc3339()
}

fn row(database: &Path, who: &str) -> String {
    let query = format!("SELECT left_reason, count(*) FROM v_visits WHERE union_id = '{who}' GROUP BY 1");
    sqlite3(database, &query)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_user_is_reported_as_left_removed_or_ended_at_the_true_time() {
    for (step, reason, refuse_members) in [
        (LEAVE, "left", false),
        (KICK, "removed", false),
        (END, "meeting_ended", false),
        (END, "meeting_ended", true),
    ] {
        let house = open(scene(step, ""), &config(CALLS, true, TWO)).await;
        if refuse_members {
            let ended_members = EndedMembers::Refused;
            let knobs =
                AnswerOptions { leavers: Leavers::Dropped, ended_members, ..AnswerOptions::default() };
            house.dingtalk.set_options(knobs);
        }
        let left = first(&house, LEFT, "u-ann").await;
        assert_eq!(left["data"]["visit"]["left_reason"], reason);
        assert_eq!(left["time"], truth(&house, "u-ann").as_str(), "{reason}");
        assert_eq!(left["data"]["timing"]["basis"], "reported");
        let gone = |events: &[Value]| {
            let changes = of_person(events, "user.presence_changed", "u-ann");
            changes.last().is_some_and(|event| event["data"]["presence"]["in_meeting"] == false).then_some(())
        };
        house.until("presence false", gone).await;
        let counts = house.dingtalk.counts();
        let both = if step == END { 1..=2 } else { 1..=1 };
        assert!(both.contains(&counts.calls_to(api::MEETING_INFO)), "asked once each: {counts:?}");
        let database = house.database();
        assert!(of_type(&house.events(), CORRECTED).is_empty());
        let folder = house.close().await;
        assert_eq!(row(&database, "u-ann"), format!("{reason}|1"));
        let charged = sqlite3(&database, "SELECT used FROM usage");
        drop(folder);
        assert!(charged.parse::<u64>().unwrap() >= counts.charged, "{charged} of {}", counts.charged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_charged_to_the_month() {
    let house = open(scene(LEAVE, ""), &config(CALLS, true, TWO)).await;
    first(&house, LEFT, "u-ann").await;
    let looks = house.looks();
    house.until_looks(looks + 2).await;
    let database = house.database();
    let simulator = house.dingtalk.counts();
    assert_eq!(simulator.calls_to(api::MEETING_INFO) + simulator.calls_to(api::MEETING_MEMBERS), 2);
    let charged = |house: &House| house.dingtalk.counts().charged;
    let before = charged(&house);
    let folder = house.close().await;
    let used: u64 = sqlite3(&database, "SELECT used FROM usage").parse().unwrap();
    drop(folder);
    // At a clean stop the exact number is written down; a look may have been under way when it was read here.
    assert!((before..=before + 2).contains(&used), "{used} of {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_corrects_the_left_and_mends_the_visit() {
    let house = open(scene(KICK, ""), &config(CALLS, true, TWO)).await;
    let late = Fault { pause: Some(Duration::from_mins(2)), ..Fault::new(FaultKind::Late) };
    house.dingtalk.add_fault(late.on(FaultTarget::MeetingInfo));
    let left = first(&house, LEFT, "u-ann").await;
    assert_eq!(left["data"]["visit"]["left_reason"], "vanished");
    let corrected = first(&house, CORRECTED, "u-ann").await;
    assert_eq!(corrected["data"]["supersedes"], left["id"]);
    let changes = &corrected["data"]["changes"];
    assert_eq!(changes["left_reason"], serde_json::json!({"from": "vanished", "to": "removed"}));
    assert_eq!(changes["left_at"]["from"], left["time"]);
    assert_eq!(changes["left_at"]["to"], truth(&house, "u-ann").as_str());
    assert_eq!(corrected["time"], truth(&house, "u-ann").as_str());
    let database = house.database();
    let folder = house.close().await;
    assert_eq!(row(&database, "u-ann"), "removed|1");
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_vanished_and_is_not_asked_for_again() {
    let house = open(scene(LEAVE, BEN_LEAVES), &config(CALLS, true, TWO)).await;
    house.dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Meetings));
    for who in ["u-ann", "u-ben"] {
        assert_eq!(first(&house, LEFT, who).await["data"]["visit"]["left_reason"], "vanished", "{who}");
    }
    let counts = house.dingtalk.counts();
    assert_eq!((counts.calls_to(api::MEETING_INFO), counts.calls_to(api::MEETING_MEMBERS)), (1, 0));
    let events = house.events();
    assert!(of_type(&events, "system.alert").is_empty(), "looks go on, nothing is down");
    assert!(of_type(&events, CORRECTED).is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_meeting_calls_leaves_vanished_and_the_next_absence_is_asked_about() {
    let house = open(scene(LEAVE, BEN_LEAVES), &config(CALLS, true, TWO)).await;
    house.dingtalk.add_fault(Fault::new(FaultKind::ServerError).on(FaultTarget::MeetingMembers).times(1));
    assert_eq!(first(&house, LEFT, "u-ann").await["data"]["visit"]["left_reason"], "vanished");
    assert_eq!(first(&house, LEFT, "u-ben").await["data"]["visit"]["left_reason"], "left");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_unless_the_config_wants_it_and_the_month_permits() {
    // Forty others are watched and hardly ever looked at: their looks come first.
    let other = |n: u32| format!("[[user]]\nunion_id = \"u-{n}\"\ncron = \"0 0 1 1 *\"\n");
    let others = (0..40).map(other).collect::<Vec<_>>().concat();
    let tight = config(CALLS, true, &format!("{TWO}{others}"));
    for (config, used) in [(config(CALLS, false, TWO), 0), (tight, CALLS - 43)] {
        let house = open_with(scene(LEAVE, ""), &config, used).await;
        assert_eq!(first(&house, LEFT, "u-ann").await["data"]["visit"]["left_reason"], "vanished");
        assert_eq!(house.dingtalk.counts().calls_to(api::MEETING_INFO), 0);
        house.close().await;
    }
}
