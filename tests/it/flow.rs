//! The main job from the outside: a DingTalk that is not ours, the binary, a receiver, `sqlite3`.
//!
//! Guards: joins, leaves, rejoins, vanishings and role changes arrive once each, signed, in order; hostile answers invent
//! nothing. Deliberately not here: crashes (`crash`), the simulator.

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::receiver::{Delivery, Receiver};

const USER: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const MEETING: &str = "654058f2411fe90147e68780";
const QUICK: &str =
    "interval = \"50ms\"\nmin_interval = \"20ms\"\nbackoff = { initial = \"20ms\", max = \"50ms\" }";
const EVERYTHING_OF_MEETINGS: &str = "events = [\"meeting.*\"]";

fn empty() -> &'static str {
    r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#
}

fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292278994")
}

fn types(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(Delivery::event_type).collect()
}

#[test]
fn a_whole_visit_arrives_signed_in_order_once_each() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, EVERYTHING_OF_MEETINGS);
    let daemon = site.start();
    fake.wait_looks(USER, 2);
    let joined = now_ms();

    fake.say(USER, &inside(USER, MEETING, 3, joined, ""));
    receiver.wait(1);
    fake.say(USER, &inside(USER, MEETING, 3, joined, "").replace("\"host\":false", "\"host\":true"));
    receiver.wait(2);
    fake.say(USER, &inside(USER, MEETING, 6, joined, &format!(",\"leaveTime\":{}", now_ms())));
    receiver.wait(3);
    fake.say(USER, &inside(USER, MEETING, 3, now_ms(), ""));
    receiver.wait(4);
    fake.say(USER, empty());
    let seen = receiver.wait(5);
    fake.wait_looks(USER, 3);
    daemon.terminate();

    let all = receiver.all();
    assert_eq!(all.len(), seen.len(), "nothing more came");
    assert_eq!(
        types(&all),
        [
            "meeting.participant_joined",
            "meeting.participant_role_changed",
            "meeting.participant_left",
            "meeting.participant_joined",
            "meeting.participant_left",
        ]
    );
    assert!(all.iter().all(|d| d.verified), "every signature verifies");
    let mut sequences: Vec<&str> = all.iter().filter_map(|d| d.json["sequence"].as_str()).collect();
    assert_eq!(sequences.len(), 5);
    assert!(sequences.is_sorted());
    sequences.dedup();
    assert_eq!(sequences.len(), 5);
    assert_eq!(all[1].json["data"]["changes"]["role"], serde_json::json!({"from": "attendee", "to": "host"}));
    assert_eq!(all[2].json["data"]["visit"]["left_reason"], "left");
    assert_eq!(all[3].json["data"]["visit"]["ordinal"], 2);
    assert_eq!(all[3].json["data"]["visit"]["rejoin"], true);
    assert_eq!(all[4].json["data"]["visit"]["left_reason"], "vanished");
    assert_eq!(all[4].json["data"]["timing"]["basis"], "inferred");
}

#[test]
fn the_envelope_and_its_headers_are_as_published() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let daemon = site.start();
    fake.wait_looks(USER, 2);
    let joined = now_ms();
    fake.say(USER, &inside(USER, MEETING, 3, joined, ""));
    let delivery = receiver.wait(1).remove(0);
    daemon.terminate();

    let request = &delivery.request;
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("presenced-event"), Some("meeting.participant_joined"));
    assert_eq!(request.header("presenced-webhook"), Some("hook"));
    assert_eq!(request.header("presenced-attempt"), Some("1"));
    assert_eq!(request.header("presenced-trigger"), Some("event"));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("presenced/")));
    assert_eq!(delivery.json["id"].as_str(), Some(delivery.id.as_str()));
    assert!(delivery.id.starts_with("evt_") && !delivery.id.contains('.'));

    let event = &delivery.json;
    assert_eq!(event["specversion"], "1.0");
    assert!(event["source"].as_str().is_some_and(|source| source.starts_with("urn:presenced:")));
    assert_eq!(event["subject"], format!("default/{USER}"));
    assert_eq!(event["partitionkey"], event["subject"]);
    assert_eq!(event["time"], event["timestamp"]);
    assert_eq!(event["sequence"].as_str().map(str::len), Some(20));
    assert_eq!(event["data"]["v"], 1);
    assert_eq!(event["data"]["org"], "default");
    assert_eq!(event["data"]["user"]["nick"], "Nick");
    assert_eq!(event["data"]["meeting"]["conference_id"], MEETING);
    assert_eq!(event["data"]["member"]["device"], "Mac");
    assert_eq!(event["data"]["status"], serde_json::json!({"code": 3, "name": "active", "previous": null}));
    assert_eq!(event["data"]["presence"], serde_json::json!({"in_meeting": true, "meetings": [MEETING]}));
    assert_eq!(event["data"]["timing"]["basis"], "reported");
    assert_eq!(event["data"]["timing"]["late"], false);
}

/// The documentation's example: a literal map key `key`, no `attendStatus`, a `leaveTime` in an ongoing meeting.
#[test]
fn the_documented_example_answer_is_understood() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say(
        USER,
        r#"{"onGoingConfIdList":["654058f2411fe90147e68780"],"memberModelMap":{"key":{"unionId":"2iPOLbpUNMLzB5LuwggiiqiPwiEiE","conferenceId":"654058f2411fe90147e68780","userNick":"Test Name","joinTime":1699347295876,"leaveTime":1699347395876,"duration":100000,"host":false,"coHost":false,"outerOrgMember":false,"pstnJoin":false,"deviceType":"Win"}}}"#,
    );
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "events = [\"*\"]");
    let daemon = site.start();
    fake.wait_looks(USER, 3);
    daemon.terminate();
    // Somebody who had left before anybody looked: stored, silent.
    assert_eq!(types(&receiver.all()), [] as [&str; 0]);
    let stored = sqlite3(&site.database(), "SELECT who, meetings FROM v_snapshots");
    assert_eq!(stored, format!("{USER}|1"));
    assert_eq!(sqlite3(&site.database(), "SELECT last_error IS NULL FROM v_health"), "1");
}

/// With `leave_after_misses = 1`, the strictest setting: whatever is not a fully understood answer changes nothing.
#[test]
fn hostile_answers_invent_no_leave_and_polling_goes_on() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let poll = format!("{QUICK}\nleave_after_misses = 1");
    let site = Site::new(&fake.base(), &receiver.url(), &[USER, "bystander"], &poll, EVERYTHING_OF_MEETINGS);
    let daemon = site.start();
    let joined = now_ms();
    let good = inside(USER, MEETING, 3, joined, "");
    fake.say(USER, &good);
    receiver.wait(1);
    let mut kinds = 0;
    for hostile in hostile_answers(&good) {
        fake.say_bytes(USER, hostile);
        fake.wait_looks(USER, 2);
        fake.wait_looks("bystander", 1);
        fake.say(USER, &good);
        fake.wait_looks(USER, 2);
        kinds += 1;
    }
    assert!(kinds >= 16, "{kinds} kinds");
    fake.say(USER, empty());
    let seen = receiver.wait(2);
    daemon.terminate();
    assert_eq!(types(&seen), ["meeting.participant_joined", "meeting.participant_left"]);
    assert_eq!(receiver.all().len(), 2);
}

/// Without the ban, which rightly silences everything for five minutes, and without 401 kinds, which have a test of their own.
fn hostile_answers(good: &str) -> Vec<Option<Vec<u8>>> {
    const JSON: &str = "application/json;charset=utf-8";
    let json = |status, body: &str| Some(response(status, JSON, body));
    let cut = |bytes: Vec<u8>, at: usize| Some(bytes[..at].to_vec());
    let whole = response(200, JSON, good);
    vec![
        json(200, r#"{"errcode":404,"errmsg":"no such uri"}"#),
        json(200, r#"{"code":"system.error","message":"busy"}"#),
        json(200, r#"{"success":true,"result":[]}"#),
        json(200, "[]"),
        json(200, "null"),
        json(200, "\"no meetings\""),
        json(200, ""),
        json(200, &good[..good.len() / 2]),
        json(200, r#"{"onGoingConfIdList":"none","memberModelMap":7}"#),
        json(200, &inside("somebody-else", MEETING, 6, 1, "")),
        Some(response(200, "text/html", "<html><body>Powered by DingTalk</body></html>")),
        json(500, r#"{"code":"system.error","message":"system.error","requestid":"X"}"#),
        json(503, r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#),
        Some(response(502, "text/html", "<html>Bad Gateway</html>")),
        Some(b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Some(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
        cut(whole.clone(), whole.len() - 5),
        cut(whole, 20),
        None,
    ]
}

#[test]
fn the_history_reads_well_by_hand() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let daemon = site.start();
    let joined = now_ms();
    fake.say(USER, &inside(USER, MEETING, 3, joined, ""));
    receiver.wait(1);
    let database = site.database();
    assert_eq!(
        sqlite3(&database, "SELECT who, org, meeting, role, device FROM v_now"),
        format!("{USER}|default|{MEETING}|attendee|Mac")
    );
    fake.say(USER, empty());
    receiver.wait(2);
    daemon.terminate();
    for (view, columns) in COLUMNS {
        sqlite3(&database, &format!("SELECT {columns} FROM {view}"));
    }
    assert_eq!(
        sqlite3(&database, "SELECT state, attempts, last_status FROM v_deliveries"),
        "delivered|1|204\ndelivered|1|204"
    );
    assert_eq!(sqlite3(&database, "SELECT left_reason, ongoing FROM v_visits"), "vanished|0");
}

/// What the views promise.
const COLUMNS: &[(&str, &str)] = &[
    ("v_now", "who, org, meeting, joined_at, joined_local, minutes, role, device, checked_s_ago"),
    (
        "v_visits",
        "id, who, org, union_id, meeting, joined_at, left_at, joined_local, left_local, day_local, minutes, ongoing, left_reason, basis, leave_error_s, role, external, by_phone, device",
    ),
    ("v_events", "sequence, id, type, who, org, meeting, time, recorded_at, noticed_after_s"),
    ("v_meetings", "meeting, first_join_at, last_leave_at, watched_people, span_minutes, still_in"),
    ("v_snapshots", "who, org, first_at, last_at, polls, meetings, body"),
    ("v_gaps", "who, org, from_at, to_at, minutes, why"),
    (
        "v_deliveries",
        "id, webhook, state, attempts, last_status, last_error, type, who, org, next_at, delivered_after_s",
    ),
    ("v_budget", "org, month, used, call_limit, projected, throttled"),
    ("v_health", "who, org, watched, last_poll_at, last_ok_at, errors_24h, last_error"),
];

#[test]
fn a_restart_takes_up_where_it_ended() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, EVERYTHING_OF_MEETINGS);
    let daemon = site.start();
    let joined = now_ms();
    fake.say(USER, &inside(USER, MEETING, 3, joined, ""));
    receiver.wait(1);
    daemon.terminate();
    let daemon = site.start();
    fake.wait_looks(USER, 2);
    assert_eq!(
        types(&receiver.all()),
        ["meeting.participant_joined"],
        "who was inside before is no new join"
    );
    fake.say(USER, &inside(USER, MEETING, 6, joined, &format!(",\"leaveTime\":{}", now_ms())));
    let seen = receiver.wait(2);
    daemon.terminate();
    assert_eq!(types(&seen), ["meeting.participant_joined", "meeting.participant_left"]);
    assert_eq!(seen[0].json["data"]["visit"]["id"], seen[1].json["data"]["visit"]["id"]);
    assert_eq!(seen[0].json["source"], seen[1].json["source"]);
}

#[test]
fn a_second_daemon_on_the_same_database_is_refused() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let daemon = site.start();
    let second = site.command(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("presence.db") && said.contains("another"), "{said}");
    fake.wait_looks(USER, 1);
    daemon.terminate();
}

#[test]
fn one_token_serves_all_looks() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER, "another"], QUICK, "");
    let daemon = site.start();
    fake.wait_looks(USER, 3);
    fake.wait_looks("another", 3);
    daemon.terminate();
    assert_eq!(fake.token_calls(), 1);
}

/// A look that the operator asks for is a look like any other; a dry one leaves no trace.
#[test]
fn a_look_by_hand_is_compared_and_recorded_unless_dry() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], "interval = \"1h\"", "");
    let daemon = site.start();
    fake.wait_looked(USER, 1);
    fake.say(USER, &inside(USER, MEETING, 3, now_ms(), ""));
    let dry = site.command(&["poll", USER, "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", String::from_utf8_lossy(&dry.stderr));
    let said = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(said.contains("joined"), "{said}");
    let wet = site.command(&["poll", USER]);
    assert_eq!(wet.status.code(), Some(0), "{}", String::from_utf8_lossy(&wet.stderr));
    let said = String::from_utf8_lossy(&wet.stdout).into_owned();
    assert!(said.contains("joined"), "{said}");
    let joined = receiver.wait(1).remove(0);
    assert_eq!(joined.event_type(), "meeting.participant_joined");
    assert_eq!(site.command(&["poll", "nobody-of-that-name"]).status.code(), Some(4));
    daemon.terminate();
    assert_eq!(receiver.all().len(), 1);
}

/// `interval = "auto"` stops when the month's calls are spent, and a restart does not forget it.
#[test]
fn the_months_calls_are_never_exceeded() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    // Without confirmations: such a look comes by itself, soon, and would race the last one by hand for the last call.
    let poll = "min_interval = \"20ms\"\nleave_after_misses = 1";
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], poll, "");
    site.edit("calls_per_month = 0", "calls_per_month = 4");
    let daemon = site.start();
    fake.wait_looked(USER, 1);
    for n in 1..=3 {
        fake.say(USER, &inside(USER, &format!("meeting{n}"), 3, now_ms(), ""));
        assert_eq!(site.command(&["poll", USER]).status.code(), Some(0), "look {n}");
    }
    let refused = site.command(&["poll", USER]);
    assert_eq!(refused.status.code(), Some(75), "try later");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("spent"));
    daemon.terminate();
    let daemon = site.start();
    assert_eq!(site.command(&["poll", USER]).status.code(), Some(75));
    assert_eq!(site.command(&["poll", "nobody"]).status.code(), Some(4), "nothing matches");
    daemon.terminate();
    assert_eq!(fake.looks(USER), 4);
    assert_eq!(sqlite3(&site.database(), "SELECT used, call_limit FROM v_budget"), "4|4");
}

/// `privacy.store_nick = false`: the nick is nowhere, not in the events, not in the file.
#[test]
fn a_nick_that_is_not_to_be_stored_is_nowhere() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "events = [\"*\"]");
    site.edit("[history]", "[privacy]\nstore_nick = false\n[history]");
    let daemon = site.start();
    let answer = inside(USER, MEETING, 3, now_ms(), "").replace("\"Nick\"", "\"Canary-Nick\"");
    fake.say(USER, &answer);
    let seen = receiver.wait(2);
    daemon.terminate();
    assert!(seen.iter().all(|d| !String::from_utf8_lossy(&d.body).contains("Canary")));
    let file = std::fs::read(site.database()).expect("a database");
    assert!(!file.windows(6).any(|bytes| bytes == b"Canary"), "the nick is in the file");
}

/// A first signal drains, a second one does not wait.
#[test]
fn a_second_signal_ends_at_once() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let daemon = site.start();
    fake.say(USER, &inside(USER, MEETING, 3, now_ms(), ""));
    receiver.stall();
    receiver.wait(1);
    daemon.signal("INT");
    daemon.wait_stopping();
    daemon.signal("INT");
    assert_eq!(daemon.wait(), Some(130));
}

/// With two places, somebody whose looks never get an answer holds one of them at most.
#[test]
fn a_receiver_that_never_answers_delays_no_other() {
    let fake = Fake::scripted(|union_id, _| {
        if union_id == "silent" {
            loop {
                std::thread::park();
            }
        }
        Some(response(200, "application/json", empty()))
    });
    let receiver = Receiver::start();
    let people = ["silent", "quick-1", "quick-2"];
    let site = Site::new(&fake.base(), &receiver.url(), &people, QUICK, "");
    site.edit("concurrency = 8", "concurrency = 2");
    let daemon = site.start();
    fake.wait_looked("silent", 1);
    fake.wait_looks("quick-1", 20);
    fake.wait_looks("quick-2", 20);
    daemon.kill();
    assert!(fake.looks("silent") < 20);
}
