//! `presenced webhook` and `presenced events -f`, as a shell sees them, with the daemon up and down.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::daemon::{Site, ended};
use crate::harness::fake::{Fake, inside};
use crate::harness::receiver::Receiver;

const USER: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const MEETING: &str = "654058f2411fe90147e68780";
const QUICK: &str = "interval = \"50ms\"\nmin_interval = \"20ms\"";

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(site: &Site, arguments: &[&str]) -> Ended {
    let output = site.command(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[track_caller]
fn json(site: &Site, arguments: &[&str]) -> Value {
    let ended = run(site, &[arguments, &["-o", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    serde_json::from_str(&ended.out).expect("JSON")
}

fn left(joined: i64) -> String {
    inside(USER, MEETING, 6, joined, &format!(",\"leaveTime\":{}", joined + 500))
}

#[test]
fn the_operator_tests_pauses_resumes_replays_and_sends_snapshots() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let daemon = site.start();
    fake.wait_looks(USER, 2);
    let joined = 1_699_347_295_876;
    fake.say(USER, &inside(USER, MEETING, 3, joined, ""));
    let first = receiver.wait(1).remove(0);

    let test = run(&site, &["webhook", "test", "hook"]);
    assert_eq!(test.code, Some(0), "{}", test.err);
    for part in ["presenced-trigger: test", "\"synthetic\":true", "answered  204", "accepted", "one secret"] {
        assert!(test.out.contains(part), "{part}: {}", test.out);
    }
    assert!(!test.out.contains("/hook"), "a URL's path may be a secret: {}", test.out);
    let tested = receiver.wait(2).remove(1);
    assert_eq!((tested.event_type(), tested.verified), ("webhook.test", true));

    assert_eq!(run(&site, &["webhook", "pause", "hook"]).out, "hook: up -> paused\n");
    fake.say(USER, &left(joined));
    fake.wait_looks(USER, 3);
    let list = json(&site, &["webhook", "list"]);
    assert_eq!((&list[0]["state"], &list[0]["waiting"]), (&"paused".into(), &1.into()), "{list}");
    let waiting = json(&site, &["webhook", "deliveries", "--state", "pending"]);
    assert_eq!(waiting[0]["type"], "meeting.participant_left", "{waiting}");
    assert_eq!(receiver.all().len(), 2, "nothing went out meanwhile");
    assert_eq!(run(&site, &["webhook", "resume", "hook"]).out, "hook: paused -> up\n");
    assert_eq!(receiver.wait(3)[2].event_type(), "meeting.participant_left");

    let counted = json(&site, &["webhook", "replay", &first.id, "--dry-run"]);
    assert_eq!(counted, serde_json::json!([{"webhook": "hook", "again": 1, "waiting": 0}]));
    assert_eq!(json(&site, &["webhook", "replay", &first.id]), counted);
    let again = receiver.wait(4).remove(3);
    assert_eq!((&again.id, &again.body, again.verified), (&first.id, &first.body, true));
    assert_eq!(again.request.header("presenced-trigger"), Some("replay"));

    let snapshots = json(&site, &["webhook", "snapshot", "hook"]);
    assert_eq!(snapshots["people"], 1);
    let snapshot = receiver.wait(5).remove(4);
    assert_eq!(snapshot.event_type(), "user.presence_snapshot", "although no pattern names it");
    assert_eq!(snapshot.json["data"]["presence"]["in_meeting"], false);
    assert_eq!(snapshot.json["data"]["synthetic"], true);
    let enabled = json(&site, &["webhook", "enable", "hook"]);
    assert_eq!((&enabled["state"], &enabled["snapshots"]), (&"up".into(), &1.into()));
    assert_ne!(receiver.wait(6)[5].id, snapshot.id);
    daemon.terminate();

    let tried = json(&site, &["webhook", "deliveries", "--event", &tested.id]);
    assert_eq!((&tried[0]["trigger"], &tried[0]["state"]), (&"test".into(), &"delivered".into()));
}

#[test]
fn what_looks_needs_no_daemon_and_what_acts_says_that_there_is_none() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    for act in ["test", "pause", "resume", "enable", "snapshot"] {
        assert_eq!(run(&site, &["webhook", act, "hook"]).code, Some(69), "{act}");
        let unknown = run(&site, &["webhook", act, "hok"]);
        assert_eq!(unknown.code, Some(4), "{act}");
        assert!(unknown.err.contains("there is `hook`"), "{}", unknown.err);
    }
    assert_eq!(run(&site, &["webhook", "replay", "--dead"]).code, Some(69));
    assert_eq!(run(&site, &["webhook", "replay"]).code, Some(2), "what?");
    assert_eq!(run(&site, &["webhook", "replay", "evt_1", "--since", "1h"]).code, Some(2));
    let daemon = site.start();
    fake.wait_looks(USER, 1);
    assert_eq!(run(&site, &["webhook", "replay", "--dead"]).code, Some(4));
    daemon.terminate();
    let list = run(&site, &["webhook", "list"]);
    assert_eq!(list.code, Some(0), "{}", list.err);
    assert!(list.out.contains("hook") && list.out.contains("up"), "{}", list.out);
    assert_eq!(run(&site, &["webhook", "deliveries", "--dead"]).code, Some(4));
    assert_eq!(run(&site, &["webhook", "replay", "--dead", "--dry-run"]).code, Some(4));
}

#[test]
fn a_test_without_an_answer_fails_with_the_reason() {
    let fake = Fake::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}/hush", free.expect("a free port"));
    let site = Site::new(&fake.base(), &url, &[USER], QUICK, "");
    let daemon = site.start();
    let test = run(&site, &["webhook", "test", "hook"]);
    daemon.terminate();
    assert_eq!(test.code, Some(1));
    assert!(test.out.contains("answered  nothing") && test.out.contains("unavailable"), "{}", test.out);
    assert!(!test.out.contains("hush") && !test.err.contains("hush"), "{}", test.out);
}

#[test]
fn a_fresh_secret_stands_alone_on_the_standard_output() {
    let site = Site::with_config("");
    let ended = run(&site, &["webhook", "secret", "new"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.out.starts_with("whsec_") && ended.out.trim_end().len() == 50, "{}", ended.out);
    assert!(ended.err.contains("first"), "{}", ended.err);
    assert_eq!(run(&site, &["-q", "webhook", "secret", "new"]).err, "");
}

#[test]
fn at_the_start_each_user_is_sent_once_known() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say(USER, &inside(USER, MEETING, 3, 1_699_347_295_876, ""));
    let hook = "events = [\"user.presence_changed\"]\nsnapshot_on_start = true";
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, hook);
    for start in 1..=2 {
        let daemon = site.start();
        let expected = start + 1;
        let newest = receiver.wait(expected).remove(expected - 1);
        assert_eq!(newest.event_type(), "user.presence_snapshot");
        assert_eq!(newest.json["data"]["presence"]["in_meeting"], true, "not before the first look");
        fake.wait_looks(USER, 2);
        daemon.terminate();
    }
    let types: Vec<String> = receiver.all().iter().map(|got| got.event_type().to_owned()).collect();
    assert_eq!(types, ["user.presence_changed", "user.presence_snapshot", "user.presence_snapshot"]);
}

#[test]
fn followed_events_come_as_they_happen_and_ctrl_c_ends_it_well() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let daemon = site.start();
    fake.wait_looks(USER, 2);
    let mut following = Command::new(env!("CARGO_BIN_EXE_presenced"))
        .args(["events", "-f", "-o", "json", "--type", "meeting.*"])
        .env("PRESENCED_CONFIG", site.path("config.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(following.stdout.take().expect("a pipe")).lines();
    let joined = 1_699_347_295_876;
    fake.say(USER, &inside(USER, MEETING, 3, joined, ""));
    let mut next = || lines.next().expect("a line").expect("text");
    let first = next();
    assert_eq!(first.as_bytes(), receiver.wait(1)[0].body, "the very bytes");
    // Over a restart of the daemon, too.
    daemon.terminate();
    let daemon = site.start();
    fake.say(USER, &left(joined));
    assert_eq!(next().as_bytes(), receiver.wait(2)[1].body);
    let status = Command::new("kill").arg("-INT").arg(following.id().to_string()).status();
    assert!(status.expect("`kill` is there").success());
    assert_eq!(ended(&mut following), Some(0));
    daemon.terminate();
}
