//! Each filter of a webhook, from the config file to what is stored and what arrives.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::loopback;
use crate::harness::receiver::{Receiver, SECRET};

/// Name, filter, and what it lets through: `joined`, `left` or `presence` and whom it is about.
const HOOKS: &[(&str, &str, &[&str])] = &[
    ("plain", "", &["joined ann", "joined bob", "joined cid", "left ann", "left bob", "left cid"]),
    ("users", r#"users = ["Ann"]"#, &["joined ann", "left ann"]),
    ("groups", r#"groups = ["ops"]"#, &["joined ann", "joined cid", "left ann", "left cid"]),
    ("orgs", r#"orgs = ["beta"]"#, &["joined cid", "left cid"]),
    ("hosts", "only_hosts = true", &["joined ann", "left ann"]),
    ("timely", "skip_late = true", &["joined ann", "joined bob", "left ann", "left bob", "left cid"]),
    ("exact", r#"events = ["meeting.participant_left"]"#, &["left ann", "left bob", "left cid"]),
    (
        "family",
        r#"events = ["user.*"]"#,
        &["presence ann", "presence bob", "presence cid", "presence ann", "presence bob", "presence cid"],
    ),
    (
        "both",
        r#"groups = ["ops"]
orgs = ["acme"]
events = ["meeting.*"]"#,
        &["joined ann", "left ann"],
    ),
];

fn site(fake: &Fake, receiver: &Receiver) -> Site {
    let hook = |(name, filter, _): &(&str, &str, &[&str])| {
        let url = receiver.url();
        format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{filter}\n")
    };
    let hooks = HOOKS.iter().map(hook).collect::<Vec<_>>().concat();
    let user = |id: &str, name: &str, org: &str, group: &str| {
        format!("[[user]]\nunion_id = \"{id}\"\nname = \"{name}\"\norg = \"{org}\"\ngroups = [\"{group}\"]\n")
    };
    let people = [
        user("ann", "Ann", "acme", "ops"),
        user("bob", "Bob", "acme", "sales"),
        user("cid", "Cid", "beta", "ops"),
    ]
    .concat();
    Site::with_config(&format!(
        r#"
time_zone = "UTC"
[dingtalk]
{}app_key = "key"
app_secret = "secret-of-the-app"
calls_per_month = 0
rate = 10000
[[org]]
name = "acme"
[[org]]
name = "beta"
[[group]]
name = "ops"
[[group]]
name = "sales"
[poll]
interval = "50ms"
min_interval = "20ms"
[history]
path = "presence.db"
[http]
listen = ""
{people}
{hooks}
"#,
        loopback::hosts(&fake.base())
    ))
}

fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292278994")
}

#[test]
fn each_filter_lets_through_what_it_says_and_nothing_else() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = site(&fake, &receiver);
    let joined = now_ms();
    // Inside before anybody looked: noticed late.
    fake.say("cid", &inside("cid", "m1", 3, joined - 60_000, ""));
    let daemon = site.start();
    for who in ["ann", "bob", "cid"] {
        fake.wait_looks(who, 2);
    }
    let host = |status, fields: &str| {
        inside("ann", "m1", status, joined, fields).replace("\"host\":false", "\"host\":true")
    };
    fake.say("ann", &host(3, ""));
    fake.say("bob", &inside("bob", "m1", 3, joined, ""));
    for who in ["ann", "bob"] {
        fake.wait_looks(who, 2);
    }
    let left = format!(",\"leaveTime\":{}", now_ms());
    fake.say("ann", &host(6, &left));
    fake.say("bob", &inside("bob", "m1", 6, joined, &left));
    fake.say("cid", &inside("cid", "m1", 6, joined - 60_000, &left));
    let expected: usize = HOOKS.iter().map(|(.., expected)| expected.len()).sum();
    receiver.wait(expected);
    for who in ["ann", "bob", "cid"] {
        fake.wait_looks(who, 2);
    }
    daemon.terminate();

    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for delivery in receiver.all() {
        assert!(delivery.verified);
        let hook = delivery.request.header("presenced-webhook").expect("it names its webhook").to_owned();
        let kind = match delivery.event_type() {
            "meeting.participant_joined" => "joined",
            "meeting.participant_left" => "left",
            "user.presence_changed" => "presence",
            other => panic!("{hook} got {other}"),
        };
        let who = delivery.json["data"]["user"]["union_id"].as_str().expect("it is about somebody");
        arrived.entry(hook).or_default().push(format!("{kind} {who}"));
    }
    for (hook, _, expected) in HOOKS {
        let mut got = arrived.remove(*hook).unwrap_or_default();
        got.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(got, expected, "{hook}");
    }
    assert_eq!(arrived, BTreeMap::new());
    let stored = sqlite3(&site.database(), "SELECT count(*) FROM v_deliveries");
    assert_eq!(stored, expected.to_string(), "what is filtered away is not even stored");
}

#[test]
fn route_says_beforehand_what_each_filter_does() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = site(&fake, &receiver);
    let gets = |arguments: &[&str]| -> BTreeSet<String> {
        let all = [&["webhook", "route", "-o", "json"], arguments].concat();
        let output = site.command(&all);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = rows.as_array().expect("rows").clone();
        assert!(rows.iter().all(|row| row["gets_it"].as_bool() == Some(row["why_not"].is_null())));
        let getting = rows.iter().filter(|row| row["gets_it"] == true);
        getting.map(|row| row["webhook"].as_str().expect("a name").to_owned()).collect()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        gets(&["meeting.participant_joined", "Ann", "--host"]),
        names(&["plain", "users", "groups", "hosts", "timely", "both"])
    );
    assert_eq!(gets(&["meeting.participant_joined", "cid", "--late"]), names(&["plain", "groups", "orgs"]));
    assert_eq!(gets(&["meeting.participant_left", "bob"]), names(&["plain", "timely", "exact"]));
    assert_eq!(gets(&["user.presence_changed", "bob"]), names(&["family"]));
    let exit = |arguments: &[&str]| site.command(&[&["webhook", "route"], arguments].concat()).status.code();
    assert_eq!(exit(&["system.alert"]), Some(4), "nobody gets it");
    assert_eq!(exit(&["meeting.participant_left", "nobody"]), Some(4));
    assert_eq!(exit(&["meeting.participant_left"]), Some(2), "it is about somebody");
    assert_eq!(exit(&["meeting.gone", "ann"]), Some(2));
}
