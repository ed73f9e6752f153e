//! What the daemon does about failures, from end to end: outages, refusals, bans, spent months, closed windows.
//!
//! Guards: the reaction is told as events, presence is never wrong because of one, and everything goes on afterwards.
//! Deliberately not here: the reaction to each single verdict (`policy::failure_policy`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::time::Duration;

use presenced::clock::{Clock as _, SystemClock};
use presenced::ids::OrgName;
use presenced::policy::circuit::Cause;
use presenced::simulator::scenario::Crowd;
use presenced::simulator::{Fault, FaultKind, Scenario, api};
use presenced::store::Usage;
use presenced::tasks::poller::report::{Found, NoPoll};
use serde_json::Value;

use crate::harness::daemon::sqlite3;
use crate::house::{House, Plan, at, of_type};
use crate::poller_harness::Office;

/// Ann is in a meeting from the first moment on, the others are in none.
const SCENE: &str = r#"
[people]
ann = { union_id = "u-ann" }
ben = { union_id = "u-ben" }
cleo = { union_id = "u-cleo" }
dan = { union_id = "u-dan" }
eve = { union_id = "u-eve" }
[meetings]
m = { id = "654058f2411fe90147e68780" }
[script]
steps = [{ at = "+0s", do = "join", who = ["ann"], meeting = "m" }]
"#;
const PEOPLE: [&str; 5] = ["u-ann", "u-ben", "u-cleo", "u-dan", "u-eve"];
/// Those that are over. What goes on is measured by the machine's clock, and by that one everybody here is long overdue.
const GAPS: &str = "SELECT coalesce(who, 'everybody'), why, substr(from_at, 12, 8), substr(to_at, 12, 8) FROM v_gaps \
    WHERE to_at IS NOT NULL ORDER BY who";
const ALL: &str = r#""meeting.*", "user.presence_changed", "watch.*", "system.*""#;

fn scene() -> Scenario {
    Scenario::parse(SCENE, "scene").unwrap()
}

fn users(ids: &[&str], more: &str) -> String {
    ids.iter().map(|id| format!("[[user]]\nunion_id = \"{id}\"\n{more}\n")).collect::<Vec<_>>().concat()
}

fn config(calls: u64, poll: &str, rest: &str) -> String {
    format!(
        "[dingtalk]\nHOSTSapp_key = \"key\"\napp_secret = \"made-up\"\ncalls_per_month = {calls}\n\
         [poll]\n{poll}\nbackoff = {{ initial = \"10s\", max = \"1m\" }}\n{rest}"
    )
}

/// For a poller alone.
fn polling(poll: &str) -> String {
    let people = users(&PEOPLE, "");
    format!("calls_per_month = 0\n[poll]\n{poll}\nbackoff = {{ initial = \"10s\", max = \"1m\" }}\n{people}")
}

fn sequence(event: &Value) -> &str {
    event["sequence"].as_str().unwrap()
}

/// On a clock that waits for everybody: on one that runs, a busy machine's looks are late too, and that is told as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_reported_and_its_gap_precedes_later_events() {
    let config = polling("interval = \"30s\"\nstale_after = \"3m\"");
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &config).await;
    let polling = office.start().await;
    let step = Duration::from_secs(1);
    office.pass_until(&polling, at("2026-11-23T06:02:00Z"), step).await;
    assert_eq!(office.dingtalk.counts().answers.len(), 5, "everybody was looked at");
    office.dingtalk.add_fault(Fault::new(FaultKind::ServerError));
    office.pass_until(&polling, at("2026-11-23T06:12:00Z"), step).await;
    assert_eq!(office.told("watch.stale").await.len(), 5);
    office.dingtalk.clear_faults();
    office.pass_until(&polling, at("2026-11-23T06:20:00Z"), step).await;

    let alerts: Vec<Value> = office.told("system.alert").await;
    let states: Vec<&Value> = alerts.iter().map(|event| &event["data"]["alert"]["state"]).collect();
    assert_eq!(states, ["firing", "resolved"]);
    assert!(alerts.iter().all(|event| event["data"]["alert"]["name"] == "upstream"), "{alerts:?}");
    let gaps = office.told("system.gap").await;
    assert_eq!(gaps.len(), 1, "one outage, one gap");
    assert_eq!(gaps[0]["data"]["cause"], "upstream");
    let recovered = office.told("watch.recovered").await;
    assert_eq!(recovered.len(), 5);
    assert!(recovered.iter().all(|event| sequence(event) > sequence(&gaps[0])), "the gap comes first");
    assert!(office.told("meeting.participant_left").await.is_empty(), "a failure is not absence");
    let of_ann: Vec<Value> = office
        .told("user.presence_changed")
        .await
        .into_iter()
        .filter(|event| event["subject"] == "default/u-ann")
        .map(|event| event["data"]["presence"]["in_meeting"].clone())
        .collect();
    assert_eq!(of_ann, [Value::Bool(true), Value::Null, Value::Bool(true)]);
    polling.end().await;
    // From the last good look before it to the first one after it.
    assert_eq!(sqlite3(office.store.path(), GAPS), "everybody|upstream|06:02:00|06:12:34");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_slept_is_late_for_all_users_and_no_outage() {
    let config = polling("interval = \"30s\"\nstale_after = \"3m\"");
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &config).await;
    let polling = office.start().await;
    let step = Duration::from_secs(1);
    office.pass_until(&polling, at("2026-11-23T06:02:00Z"), step).await;
    office.clock.set(at("2026-11-23T06:12:00Z"));
    polling.settled().await;
    office.pass_until(&polling, at("2026-11-23T06:14:00Z"), step).await;
    polling.end().await;
    assert!(office.told("system.gap").await.is_empty() && office.told("system.alert").await.is_empty());
    assert!(office.told("meeting.participant_left").await.is_empty(), "sleep is not absence");
    let late = "u-ann|late|06:01:58|06:12:00\nu-ben|late|06:01:49|06:12:00\nu-cleo|late|06:02:00|06:12:00\n\
        u-dan|late|06:01:49|06:12:00\nu-eve|late|06:01:49|06:12:00";
    assert_eq!(sqlite3(office.store.path(), GAPS), late);
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_that_come_too_early_do_not_make_a_refused_user_wait_for_a_day() {
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &polling("interval = \"30s\"")).await;
    let polling = office.start().await;
    let (step, answers) = (Duration::from_secs(5), || office.dingtalk.counts().answers["u-ben"]);
    office.pass_until(&polling, at("2026-11-23T06:02:00Z"), step).await;
    let refusal = Fault { code: Some("param.error".to_owned()), ..Fault::new(FaultKind::ServerError) };
    office.dingtalk.add_fault(refusal.status(400).who("u-ben"));
    for minute in 3..9 {
        let then = format!("2026-11-23T06:{minute:02}:00Z");
        office.pass_until(&polling, at(&then), step).await;
        office.reload(&polling).await;
    }
    office.pass_until(&polling, at("2026-11-23T06:09:00Z"), step).await;
    office.dingtalk.clear_faults();
    let before = answers();
    office.pass_until(&polling, at("2026-11-23T06:19:00Z"), step).await;
    assert!(answers() > before, "polled again within ten minutes");
    polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_by_hand_do_not_lengthen_the_wait_of_a_refused_user() {
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &polling("interval = \"30s\"")).await;
    let polling = office.start().await;
    let (step, answers) = (Duration::from_secs(1), || office.dingtalk.counts().answers["u-ben"]);
    let pass = |to: &'static str| office.pass_until(&polling, at(to), step);
    pass("2026-11-23T06:02:00Z").await;
    let refusal = Fault { code: Some("param.error".to_owned()), ..Fault::new(FaultKind::ServerError) };
    office.dingtalk.add_fault(refusal.status(400).who("u-ben"));
    pass("2026-11-23T06:02:35Z").await;
    for _ in 0..5 {
        let result = polling.looks.poll("u-ben".to_owned(), false).await.unwrap();
        assert!(matches!(result.found, Found::Failure(_)));
        office.clock.advance(step * 2);
        polling.settled().await;
    }
    office.dingtalk.clear_faults();
    let before = answers();
    pass("2026-11-23T06:03:45Z").await;
    assert!(answers() > before, "polled a minute after the first refusal");
    // Nothing of it is shown a moment later.
    assert!(polling.health.unpolled().iter().all(|(_, users)| users.is_empty()));
    polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_user_who_is_answered_is_shown_as_refused_no_more() {
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &polling("interval = \"30s\"")).await;
    let polling = office.start().await;
    let refusal = Fault { code: Some("param.error".to_owned()), ..Fault::new(FaultKind::ServerError) };
    office.dingtalk.add_fault(refusal.status(400).who("u-ben"));
    let shown = || polling.health.unpolled().iter().any(|(_, users)| !users.is_empty());
    office.pass_until(&polling, at("2026-11-23T06:00:40Z"), Duration::from_secs(1)).await;
    assert!(shown());
    office.dingtalk.clear_faults();
    polling.looks.poll("u-ben".to_owned(), false).await.unwrap();
    office.clock.advance(Duration::from_secs(1));
    polling.settled().await;
    assert!(!shown());
    polling.end().await;
}

/// Polls by hand spend the last calls, while the next poll of the only user is far away.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_spent_are_named_with_the_refusal() {
    let spent = format!("calls_per_month = 4\n[poll]\nsweep = \"off\"\n{}", users(&PEOPLE[1..2], ""));
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &spent).await;
    let polling = office.start().await;
    office.pass_until(&polling, at("2026-11-23T06:31:00Z"), Duration::from_secs(30)).await;
    let poll = || polling.looks.poll("u-ben".to_owned(), false);
    let refused = loop {
        match poll().await {
            Ok(_) => office.clock.advance(Duration::from_secs(2)),
            Err(refused) => break refused,
        }
        polling.settled().await;
    };
    assert!(matches!(refused, NoPoll::Later(_)), "{refused:?}");
    let degraded = polling.health.readiness(office.clock.now()).degraded;
    assert!(degraded[0].reason.starts_with("budget: the month's calls are spent; "), "{degraded:?}");
    assert_eq!(polling.health.blocked()[0].1.as_ref().map(|blocked| blocked.cause), Some(Cause::MonthSpent));
    polling.settled().await;
    assert!(office.store.alerts().firing().await.unwrap().iter().any(|(_, name)| name == "budget"));
    let open = "SELECT coalesce(who, 'everybody'), why FROM v_gaps WHERE to_at IS NULL";
    assert_eq!(sqlite3(&office.config.history.path, open), "everybody|budget");
    polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_permission_and_address_fire_at_once_and_say_what_is_missing() {
    for (kind, word) in
        [(FaultKind::Permission, "VideoConference.Conference.Read"), (FaultKind::Address, "127.0.0.1")]
    {
        let config = config(0, "interval = \"30s\"", &users(&PEOPLE[..2], ""));
        let plan = Plan {
            from: "2026-11-23T06:00:00Z",
            speed: 100.0,
            scenario: scene(),
            config: &config,
            events: ALL,
        };
        let house = House::open(plan, async |_| {}).await;
        house.dingtalk.add_fault(Fault::new(kind));
        let summary = house.until_alert("auth", "firing").await;
        assert!(summary.contains(word), "{summary}");
        house.dingtalk.clear_faults();
        house.until_alert("auth", "resolved").await;
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_month_stops_polling_until_it_turns() {
    // Six hours before the month turns in Shanghai, two calls are left.
    let config = config(750, "interval = \"1h\"", &users(&PEOPLE[1..2], ""));
    let plan = Plan {
        from: "2026-11-30T10:00:00Z",
        speed: 3_000.0,
        scenario: scene(),
        config: &config,
        events: ALL,
    };
    let house = House::open(plan, async |store| {
        let usage = Usage { used: 748, throttled: 0 };
        store
            .call_usage()
            .set(OrgName::default_name(), "2026-11".into(), usage, Some(750), None)
            .await
            .unwrap();
    })
    .await;
    // The projection passes the limit at once: six looks would follow, two are left.
    let summary = house.until_alert("budget", "firing").await;
    assert!(summary.contains("750"), "{summary}");
    house.until_time(at("2026-11-30T14:30:00Z")).await;
    assert_eq!(house.looks(), 2, "what was left, and not one more");
    house.until_alert("budget", "resolved").await;
    let gap =
        house.until("the gap", |events| of_type(events, "system.gap").first().map(|&gap| gap.clone())).await;
    assert_eq!(gap["data"]["cause"], "throttled");
    house.until_looks(4).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_dingtalk_says_the_month_is_spent_there_is_one_probe_in_six_hours() {
    let config = config(0, "interval = \"1m\"", &users(&PEOPLE[1..2], ""));
    let plan = Plan {
        from: "2026-11-23T00:00:00Z",
        speed: 10_000.0,
        scenario: scene(),
        config: &config,
        events: ALL,
    };
    let house = House::open(plan, async |_| {}).await;
    house.dingtalk.add_fault(Fault::new(FaultKind::MonthSpent));
    house.until_alert("budget", "firing").await;
    let (refused, since) = (house.looks(), house.clock.now());
    house.until_time(since.plus(Duration::from_hours(13))).await;
    assert_eq!(house.looks() - refused, 2, "one probe in six hours");
    house.dingtalk.clear_faults();
    house.until_alert("budget", "resolved").await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_of_one_organisation_holds_up_all_of_them() {
    let orgs = "[[org]]\nname = \"acme\"\n[[org]]\nname = \"beta\"\n";
    let people = users(&["u-ann"], "org = \"acme\"") + &users(&["u-ann"], "org = \"beta\"");
    let config = config(0, "interval = \"10s\"", &(orgs.to_owned() + &people));
    let plan =
        Plan { from: "2026-11-23T06:00:00Z", speed: 100.0, scenario: scene(), config: &config, events: ALL };
    let house = House::open(plan, async |_| {}).await;
    let joined = house
        .until("both joins", |events| {
            let joined = of_type(events, "meeting.participant_joined");
            (joined.len() == 2).then(|| joined.into_iter().cloned().collect::<Vec<_>>())
        })
        .await;
    // The same unionId under two organisations is two people everywhere.
    let mut subjects: Vec<&str> = joined.iter().filter_map(|event| event["subject"].as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["acme/u-ann", "beta/u-ann"]);
    assert_ne!(joined[0]["id"], joined[1]["id"]);
    assert_ne!(joined[0]["data"]["visit"]["id"], joined[1]["data"]["visit"]["id"]);
    for (view, rows) in [("v_now", 2), ("v_visits", 2), ("v_health", 2)] {
        let query = format!("SELECT count(DISTINCT org) FROM {view} WHERE union_id = 'u-ann'");
        assert_eq!(sqlite3(&house.database(), &query), rows.to_string(), "{view}");
    }
    house.dingtalk.add_fault(Fault::new(FaultKind::Ban).times(1));
    let gaps = house
        .until("both gaps", |events| {
            let gaps = of_type(events, "system.gap");
            (gaps.len() == 2).then(|| gaps.into_iter().cloned().collect::<Vec<_>>())
        })
        .await;
    assert_ne!(gaps[0]["data"]["org"], gaps[1]["data"]["org"]);
    for gap in &gaps {
        let (from, to) =
            (gap["data"]["gap"]["from"].as_str().unwrap(), gap["data"]["gap"]["to"].as_str().unwrap());
        assert!(at(to).since(at(from)) >= Duration::from_mins(5), "{from} {to}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_inside_when_the_window_closes_is_followed_and_then_unknown() {
    let hours = "[[window]]\ndays = [\"mon-fri\"]\nfrom = \"09:00\"\nto = \"18:00\"\n";
    let poll = "interval = \"5m\"\novertime = \"1h\"";
    let config = config(0, poll, &(hours.to_owned() + &users(&PEOPLE[..2], "")));
    let plan = Plan {
        from: "2026-11-23T17:30:00Z",
        speed: 2_000.0,
        scenario: scene(),
        config: &config,
        events: ALL,
    };
    let house = House::open(plan, async |_| {}).await;
    let unknown = house
        .until("presence unknown", |events| {
            let changes = of_type(events, "user.presence_changed");
            let unknown = |event: &&&Value| event["data"]["presence"]["in_meeting"].is_null();
            changes.iter().find(unknown).map(|&event| event.clone())
        })
        .await;
    assert_eq!(unknown["subject"], "default/u-ann");
    let told = at(unknown["time"].as_str().unwrap());
    assert!(told >= at("2026-11-23T19:00:00Z"), "after the overtime: {told}");
    let answers = house.dingtalk.counts().answers;
    assert!(answers["u-ann"] > answers["u-ben"], "only who was inside is followed: {answers:?}");
    house.until_time(at("2026-11-24T06:00:00Z")).await;
    assert_eq!(house.dingtalk.counts().answers, answers, "nobody is looked at while the window is closed");
    house
        .until("Ann again", |events| {
            let changes = of_type(events, "user.presence_changed");
            (changes.len() >= 3 && changes[2]["data"]["presence"]["in_meeting"] == true).then_some(())
        })
        .await;
    let events = house.events();
    assert!(of_type(&events, "watch.stale").is_empty(), "closed time is no silence");
    assert!(of_type(&events, "meeting.participant_left").is_empty(), "the visit stayed open");
    let gaps =
        sqlite3(&house.database(), "SELECT substr(to_at, 1, 16), why FROM v_gaps ORDER BY to_at LIMIT 1");
    assert_eq!(gaps, "2026-11-24T09:00|window closed");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_are_kept_and_spread_a_little() {
    let config = config(0, "cron = \"*/10 * * * *\"", &users(&PEOPLE, ""));
    let plan =
        Plan { from: "2026-11-23T06:05:00Z", speed: 600.0, scenario: scene(), config: &config, events: ALL };
    let house = House::open(plan, async |_| {}).await;
    assert_eq!(house.looks(), 0, "not before the first instant");
    house
        .until_counts("three looks at each", |counts| {
            let answers = &counts.answers;
            answers.len() == 5 && answers.values().all(|looks| *looks >= 3)
        })
        .await;
    let folder = house.close().await;
    let late = "SELECT count(*), count(DISTINCT next_poll_ms), max(next_poll_ms % 600000) FROM people";
    let found = sqlite3(&folder.path().join("presence.db"), late);
    let found: Vec<i64> = found.split('|').map(|text| text.parse().unwrap()).collect();
    assert_eq!(found[0], 5);
    assert!(found[1] >= 4, "not all at once: {found:?}");
    assert!(found[2] <= 30_000, "within half a minute of the instant: {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dingtalk_never_sees_more_than_the_rate_in_any_second() {
    const RATE: u64 = 150;
    let people: Vec<String> = (0..1000).map(Scenario::crowd_member).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let config = config(0, "interval = \"1s\"", &users(&people, ""))
        .replace("calls_per_month = 0", &format!("calls_per_month = 0\nrate = {RATE}\nconcurrency = 20"));
    let now = SystemClock.now().to_string();
    let plan = Plan {
        from: &now,
        speed: 1.0,
        scenario: Scenario::crowd(1000, Crowd::Idle),
        config: &config,
        events: ALL,
    };
    let house = House::open(plan, async |_| {}).await;
    house.dingtalk.add_fault(Fault { every: 400, ..Fault::new(FaultKind::Qps) });
    house.until_looks(1501).await;
    let counts = house.dingtalk.counts();
    let busiest = counts.busiest_window[api::LISTS];
    assert!(busiest <= RATE, "{busiest} calls in one second");
    assert!(counts.refused("qps") >= 3, "throttling was mixed in");
    house.close().await;
}
