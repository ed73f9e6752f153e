//! Several organisations in one daemon: apart in everything, and two hundred of them are normal.
//!
//! Guards: the same unionId under two organisations is two people in ids, lanes, views and over the API; a folder of
//! files with organisations is read, watched and polled. Deliberately not here: bans, which concern all (`verdicts`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::loopback;
use crate::harness::receiver::Receiver;

const MEETING: &str = "654058f2411fe90147e68780";

fn config(fake: &Fake, hook: &str, listen: &str, rest: &str) -> String {
    format!(
        "{rest}\n[dingtalk]\n{}app_key = \"key\"\napp_secret = \"made-up\"\n\
         calls_per_month = 0\nrate = 10000\n\
         [poll]\ninterval = \"50ms\"\nmin_interval = \"20ms\"\n\
         [[webhook]]\nname = \"hook\"\nurl = \"{hook}\"\nevents = [\"meeting.*\"]\n\
         [history]\npath = \"presence.db\"\n[http]\nlisten = \"{listen}\"\n",
        loopback::hosts(&fake.base())
    )
}

/// The `data` of the answer to `GET path`.
fn events(address: &str, token: &str, path: &str) -> Vec<serde_json::Value> {
    let mut stream = TcpStream::connect(address).expect("the listener is there");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the listener reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the listener answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    body["events"].as_array().expect("a list of events").clone()
}

#[test]
fn one_union_id_under_two_organisations_is_two_people() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let address = loopback::free_address();
    let people = "[[org]]\nname = \"acme\"\n[[org]]\nname = \"beta\"\n\
                  [[user]]\nunion_id = \"u1\"\norg = \"acme\"\n[[user]]\nunion_id = \"u1\"\norg = \"beta\"\n";
    let text = config(&fake, &receiver.url(), &address, "time_zone = \"UTC\"") + people;
    let site = Site::with_config(&text);
    // Whoever waits for an answer would hold up the lane; both come, so there are two.
    receiver.stall();
    let daemon = site.start();
    fake.say("u1", &inside("u1", MEETING, 3, 1_795_413_000_000, ""));
    let told = receiver.wait(2);
    let subjects: BTreeSet<&str> = told.iter().filter_map(|one| one.json["subject"].as_str()).collect();
    assert_eq!(subjects, BTreeSet::from(["acme/u1", "beta/u1"]));
    assert_ne!(told[0].id, told[1].id);
    let lanes = sqlite3(&site.database(), "SELECT count(*), count(DISTINCT person_id) FROM lanes");
    assert_eq!(lanes, "2|2");

    let token = std::fs::read_to_string(site.path("http-token")).expect("a token was made");
    let of = |query: &str| events(&address, token.trim(), &format!("/api/v1/events?after=0&{query}"));
    for org in ["acme", "beta"] {
        let found = of(&format!("org={org}&type=meeting.participant_joined"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["subject"], format!("{org}/u1"));
        let by_both = of(&format!("user={org}/u1&type=meeting.participant_joined"));
        assert_eq!(by_both, found, "the organisation and the unionId name one of them");
    }
    assert_eq!(of("user=u1&type=meeting.participant_joined").len(), 2, "the unionId alone is both");
    daemon.kill();
    for view in ["v_now", "v_visits", "v_health"] {
        let query = format!("SELECT group_concat(org) FROM (SELECT DISTINCT org FROM {view} ORDER BY org)");
        assert_eq!(sqlite3(&site.database(), &query), "acme,beta", "{view}");
    }
}

#[test]
fn two_hundred_organisations_from_a_folder_start_and_are_polled() {
    const ORGS: usize = 200;
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let text =
        config(&fake, &receiver.url(), "", "time_zone = \"UTC\"\n[watch]\ninclude = [\"watch.d/*.toml\"]");
    let site = Site::with_config(&text.replace("\"50ms\"", "\"1s\""));
    std::fs::create_dir(site.path("watch.d")).expect("a folder");
    for file in 0..20 {
        let mut some = String::new();
        for n in file * 10..file * 10 + 10 {
            // Everybody has the same unionId: only the organisation tells them apart.
            write!(
                some,
                "[[org]]\nname = \"org{n:03}\"\napp_key = \"key{n}\"\n\
                 [[user]]\nunion_id = \"same\"\norg = \"org{n:03}\"\n"
            )
            .expect("room");
        }
        std::fs::write(site.path(&format!("watch.d/{file:02}.toml")), some).expect("a writable folder");
    }
    let daemon = site.start();
    fake.say("same", &inside("same", MEETING, 3, 1_795_413_000_000, ""));
    let told = receiver.wait(ORGS);
    daemon.terminate();
    let subjects: BTreeSet<&str> = told.iter().filter_map(|one| one.json["subject"].as_str()).collect();
    assert_eq!(subjects.len(), ORGS, "each is told once, under its own name");
    assert_eq!(fake.token_calls(), u64::try_from(ORGS).expect("few"), "each has a token of its own");
    let health = "SELECT count(*), count(DISTINCT org) FROM v_health WHERE last_ok_at IS NOT NULL";
    assert_eq!(sqlite3(&site.database(), health), format!("{ORGS}|{ORGS}"));
}
