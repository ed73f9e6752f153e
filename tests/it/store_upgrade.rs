//! A database of an earlier release under this one.
//!
//! Guards: it opens with its open visits and pending deliveries, no event is sent twice; before the schema changes there is
//! a verified copy, and the copy brings back what was. Deliberately not here: each migration's own work (`store::schema`).
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use presenced::store::{CheckedDatabase, SCHEMA_VERSION, Store, StoreError, restore};
use sha2::{Digest, Sha256};

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::receiver::{Delivery, Receiver};
use crate::store_fixture::{Place, START, identity};

/// What 0.1.0 left; its head says what is in it.
const OLD: &str = include_str!("fixtures/presence-0.1.0.sql");
const OLD_SCHEMA: i64 = 8;
const MEETING: &str = "654058f2411fe90147e68780";
const JOINED: i64 = 1_795_900_000_000;

fn lay_down(database: &Path) {
    let mut shell = Command::new("sqlite3").arg(database).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), OLD.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

fn copy_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!(".before-migration-{OLD_SCHEMA}"));
    name.into()
}

#[test]
fn an_open_visit_and_pending_deliveries_of_0_1_0_go_on_and_no_event_is_sent_twice() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say("li", &inside("li", MEETING, 3, JOINED, ""));
    let poll = "interval = \"50ms\"\nmin_interval = \"20ms\"";
    let webhook = "events = [\"*\"]\nmax_age = \"3650d\"";
    let site = Site::new(&fake.base(), &receiver.url(), &["li", "wang"], poll, webhook);
    lay_down(&site.database());
    let pending = "SELECT id FROM v_deliveries WHERE state = 'pending' ORDER BY sequence";
    let waiting = sqlite3(&site.database(), "SELECT id || ' ' || body FROM events ORDER BY sequence");
    assert_eq!(sqlite3(&site.database(), pending).lines().count(), 6);

    let daemon = site.start();
    for row in waiting.lines() {
        receiver.wait_for(row.split(' ').next().unwrap());
    }
    fake.wait_looks("li", 3);
    let left = JOINED + 3_600_000;
    fake.say("li", &inside("li", MEETING, 6, left - 3_600_000, &format!(",\"leaveTime\":{left}")));
    let open = "SELECT count(*) FROM v_visits WHERE left_ms IS NULL";
    fake.wait_looks("li", 3);
    daemon.terminate();

    assert_eq!(sqlite3(&site.database(), open), "0");
    assert_eq!(sqlite3(&site.database(), "PRAGMA user_version"), SCHEMA_VERSION.to_string());
    let all = receiver.all();
    for row in waiting.lines() {
        let (id, body) = row.split_once(' ').unwrap();
        let came: Vec<&Delivery> = all.iter().filter(|delivery| delivery.id == id).collect();
        assert_eq!(came.len(), 1, "{id}");
        assert_eq!(came[0].body, body.as_bytes(), "the bytes that were stored");
    }
    let about = |event_type: &str| {
        let of = |delivery: &&Delivery| {
            delivery.event_type() == event_type && delivery.json["subject"] == "default/li"
        };
        all.iter().filter(of).map(|delivery| delivery.json["data"]["visit"]["id"].clone()).collect::<Vec<_>>()
    };
    let joined = about("meeting.participant_joined");
    assert_eq!(joined.len(), 1, "{all:?}");
    assert_eq!(about("meeting.participant_left"), joined, "the visit that was open is the one that ended");

    let copy = copy_of(&site.database());
    assert_eq!(sqlite3(&copy, "PRAGMA user_version"), OLD_SCHEMA.to_string());
    assert_eq!(sqlite3(&copy, "PRAGMA integrity_check"), "ok");
    assert_eq!(sqlite3(&copy, pending).lines().count(), 6, "as it was");
}

#[tokio::test]
async fn the_copy_made_before_a_migration_brings_the_old_database_back() {
    let place = Place::new();
    lay_down(&place.file());
    place.open().await.close().await.unwrap();
    let copy = copy_of(&place.file());
    let before = fs::read(&copy).unwrap();
    place.open().await.close().await.unwrap();
    assert!(fs::read(&copy).unwrap() == before, "a start without a migration copies nothing");
    sqlx::query("DELETE FROM deliveries").execute(&mut place.meddle().await).await.unwrap();
    restore::restore(&copy, &place.file(), START).await.unwrap();
    place.open().await.close().await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM v_deliveries WHERE state = 'pending'").await, 6);
}

#[tokio::test]
async fn a_person_is_erased_from_the_copy_made_before_a_migration_too() {
    let place = Place::new();
    lay_down(&place.file());
    let store = place.open().await;
    let forgotten = store.erasures().forget(&identity("wang"), None, START).await.unwrap();
    assert_eq!(forgotten.backups, [copy_of(&place.file())]);
    store.close().await.unwrap();
    let restored = restore::restore(&copy_of(&place.file()), &place.file(), START).await.unwrap();
    assert_eq!((restored.rows["people"], restored.forgotten), (1, 0));
}

#[tokio::test]
async fn without_a_copy_there_is_no_migration_unless_the_config_wants_none() {
    let place = Place::new();
    lay_down(&place.file());
    let in_the_way = copy_of(&place.file());
    fs::create_dir_all(in_the_way.join("folder")).unwrap();
    let before = fs::read(place.file()).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::NoCopy { .. }), "{error}");
    assert!(fs::read(place.file()).unwrap() == before, "not migrated");
    let sound = CheckedDatabase::check(&place.file()).await.unwrap();
    let store: Store = sound.open(chrono_tz::UTC, Arc::new(place.clock.clone()), false).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(place.count("PRAGMA user_version").await, SCHEMA_VERSION);
}

/// Databases that ran them exist: a change to one is a new migration.
#[test]
fn the_migrations_of_0_1_0_are_byte_for_byte_as_they_were_released() {
    let released = [
        ("0001_presence.sql", "c276dd1c5ed8eacf890e9600ec287a22e631b39ef895b2e2fe4632464bb041fb"),
        ("0002_outbox.sql", "d3668033555855610e4653bbd90bd08e9d76f4f81cc539886f5c94185a184c93"),
        ("0003_views.sql", "eb9ecb2b781dbf5ce504cf386a9c88fde0e63788c8f5640526333374c207c107"),
        ("0004_webhook_alerts.sql", "709c832d97558c98e310188be76009d2fe3cebd9b327d7560a040e0f9844ebda"),
        ("0005_gap_words.sql", "6dd29f7a8e4a350a03a76b6bb7786df2852974ccb73775e97e754f01064d325b"),
        ("0006_now.sql", "69b37903d7ac35df0d21d6b0004db804c31279bd3afbbfc1a349da4afa913be0"),
        ("0007_sweeps.sql", "4936a191c6bbfd685c5453522aa109c8acd89ae9661aa8ccfff2cdec5f00b202"),
        ("0008_twins.sql", "6a98c1a90fe0b0fb55432ad737a2292452f9b88142a3cc5b638d2403c4e6a3c1"),
    ];
    for (name, hash) in released {
        let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(name)).unwrap();
        let found = Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        assert_eq!(found, hash, "{name}");
    }
}
