//! kill -9 at random moments under load, with a receiver that drops one connection in twenty.
//!
//! Guards: what was committed is delivered with one body for each id and in each person's order; nothing is sent that is
//! not in the history, nothing is given up; joins and lefts still alternate. Deliberately not here: power loss.
//!
//! The long run kills a thousand times; `PRESENCED_TEST_KILLS` sets another number, `PRESENCED_TEST_SEED` repeats a run.

use std::collections::{HashMap, HashSet};

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::receiver::{Drop, Receiver};

const PEOPLE: usize = 20;
const KILLS: u64 = 100;
const LONG_KILLS: u64 = 1_000;

#[test]
fn kills_lose_nothing_and_invent_nothing() {
    let kills = if crate::testing::long() { LONG_KILLS } else { KILLS };
    let (seed, kills) = (seed(), setting("PRESENCED_TEST_KILLS").unwrap_or(kills));
    let fake =
        Fake::scripted(|union_id, call| Some(response(200, "application/json", &script(union_id, call))));
    // Five in a hundred, half of them after having taken the request.
    let receiver = Receiver::dropping(|request| match request % 40 {
        17 => Some(Drop::Unread),
        31 => Some(Drop::Unanswered),
        _ => None,
    });
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("user{n:02}")).collect();
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    let poll =
        "interval = \"20ms\"\nmin_interval = \"10ms\"\nbackoff = { initial = \"10ms\", max = \"20ms\" }";
    let webhook = "events = [\"*\"]\nconcurrency = 4\nbackoff = { initial = \"10ms\", max = \"20ms\" }";
    let site = Site::new(&fake.base(), &receiver.url(), &names, poll, webhook);
    let mut random = seed;
    for _ in 0..kills {
        let daemon = site.start();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        fake.wait_any(1 + (random >> 33) % 200);
        daemon.kill();
    }
    let daemon = site.start();
    fake.wait_any(100);
    daemon.terminate();
    let daemon = site.start();
    // What was still waiting is sent by the last run, which records more meanwhile: that may wait for the next one.
    let recorded = events(&site);
    for id in recorded.keys() {
        receiver.wait_for(id);
    }
    daemon.terminate();
    assert!(recorded.len() > PEOPLE, "the load made events (seed {seed})");
    let again = verify(&receiver, &events(&site), seed);
    assert!(again > 0, "some came again, because their answer was dropped (seed {seed})");
    let delivered = "SELECT id FROM events JOIN deliveries USING (sequence) WHERE state = 'delivered'";
    let delivered = sqlite3(&site.database(), delivered);
    let came: HashSet<String> = receiver.all().into_iter().map(|delivery| delivery.id).collect();
    for id in delivered.lines() {
        assert!(came.contains(id), "noted as delivered but never sent: {id} (seed {seed})");
    }
    let given_up = sqlite3(
        &site.database(),
        "SELECT count(*) FROM deliveries WHERE state NOT IN ('pending', 'delivered')",
    );
    assert_eq!(given_up, "0", "nothing is given up (seed {seed})");
    let integrity = sqlite3(&site.database(), "PRAGMA integrity_check");
    assert_eq!(integrity, "ok");
}

/// Printed with every failure, and settable, so that a failure can be run again.
fn seed() -> u64 {
    setting("PRESENCED_TEST_SEED").unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        u64::try_from(since.as_micros() & u128::from(u64::MAX >> 1)).expect("63 bits")
    })
}

/// A number from the environment; one that does not parse is a mistake worth hearing of.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Everybody goes in and out all the time, each visit a meeting of its own.
pub(crate) fn script(union_id: &str, call: u64) -> String {
    let visit = call / 6;
    let joined = 1_700_000_000_000 + i64::try_from(visit).expect("few visits") * 60_000;
    let conference = format!("meeting{visit:06}");
    match call % 6 {
        0..=2 => inside(union_id, &conference, 3, joined, ""),
        3..=4 => inside(union_id, &conference, 6, joined, &format!(",\"leaveTime\":{}", joined + 30_000)),
        _ => r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#.to_owned(),
    }
}

/// Every event in the history: id -> (sequence, body).
pub(crate) fn events(site: &Site) -> HashMap<String, (i64, String)> {
    let rows = sqlite3(
        &site.database(),
        "SELECT id || ' ' || sequence || ' ' || body FROM events ORDER BY sequence",
    );
    rows.lines()
        .map(|row| {
            let mut words = row.splitn(3, ' ');
            let mut word = || words.next().expect("three columns").to_owned();
            let (id, sequence, body) = (word(), word(), word());
            (id, (sequence.parse().expect("a number"), body))
        })
        .collect()
}

/// Holds what came against the history; gives how many deliveries came again.
pub(crate) fn verify(receiver: &Receiver, events: &HashMap<String, (i64, String)>, seed: u64) -> usize {
    let deliveries = receiver.all();
    let mut newest: HashMap<String, i64> = HashMap::new();
    let mut inside: HashMap<String, bool> = HashMap::new();
    let mut first_seen: HashMap<String, Vec<u8>> = HashMap::new();
    for delivery in &deliveries {
        assert!(delivery.verified, "a signature that does not verify (seed {seed})");
        if let Some(body) = first_seen.get(&delivery.id) {
            assert_eq!(*body, delivery.body, "one id, two bodies: {} (seed {seed})", delivery.id);
            continue;
        }
        first_seen.insert(delivery.id.clone(), delivery.body.clone());
        let Some((sequence, body)) = events.get(&delivery.id) else {
            panic!("sent but not in the history: {} (seed {seed})", delivery.id)
        };
        assert_eq!(body.as_bytes(), delivery.body, "stored and sent bytes differ (seed {seed})");
        let subject = delivery.json["subject"].as_str().expect("a subject").to_owned();
        let before = newest.insert(subject.clone(), *sequence).unwrap_or(0);
        assert!(before < *sequence, "order of {subject} broken (seed {seed})");
        let joined = match delivery.event_type() {
            "meeting.participant_joined" => true,
            "meeting.participant_left" => false,
            _ => continue,
        };
        let visit = delivery.json["data"]["visit"]["id"].as_str().expect("a visit").to_owned();
        let was = inside.insert(visit.clone(), joined).unwrap_or(false);
        assert_ne!(was, joined, "joins and lefts of {visit} do not alternate (seed {seed})");
    }
    deliveries.len() - first_seen.len()
}
