//! The files around the database: what lies under its name, beside it, and under other names of it.
//!
//! Guards: a WAL of another file is not read into this one; files that are taken from under the daemon are noticed; one
//! daemon a file, whatever it is called; what another user planted is not followed; what a crash left is cleaned. Deliberately
//! not here: what is in the files (`store_damage`), restoring (`history_restore`).
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{Clock as _, SystemClock};
use presenced::store::{Store, StoreError, backup, check, restore};
use presenced::tasks::alerts_database::DatabaseAlert;
use presenced::tasks::database_monitor::DatabaseMonitor;
use presenced::telemetry::health::Health;

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::receiver::Receiver;
use crate::store_fixture::{Place, enroll_one, filled, joined, later};

fn beside(place: &Place, suffix: &str) -> PathBuf {
    place.folder.path().join(format!("presence.db{suffix}"))
}

/// What kill -9 leaves of a database that is open.
async fn killed() -> (Place, PathBuf) {
    let (place, store) = filled().await;
    let copy = place.folder.path().join("copy.db");
    backup::backup(&place.file(), &copy).await.unwrap();
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "after_the_copy")).await.unwrap();
    let left = Place::new();
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&place, suffix), beside(&left, suffix)).unwrap();
    }
    fs::copy(&copy, left.folder.path().join("copy.db")).unwrap();
    store.close().await.unwrap();
    let copy = left.folder.path().join("copy.db");
    (left, copy)
}

/// Once the WAL undid such a copy, and `db check` found nothing wrong.
#[tokio::test]
async fn a_copy_put_in_place_by_hand_beside_an_old_wal_is_not_undone_and_the_wal_is_named() {
    let (place, copy) = killed().await;
    // In place, as `cp` writes: the file keeps its number.
    fs::write(place.file(), fs::read(&copy).unwrap()).unwrap();
    let wal = fs::read(beside(&place, "-wal")).unwrap();
    let named = |said: &str| assert!(said.contains("presence.db-wal does not belong to"), "{said}");

    named(&place.try_open().await.unwrap_err().to_string());
    named(&Store::open_readonly(&place.file()).await.unwrap_err().to_string());
    named(&backup::backup(&place.file(), &place.folder.path().join("new.db")).await.unwrap_err().to_string());
    named(&check::examine(&place.file()).await.unwrap().concat());
    assert!(fs::read(place.file()).unwrap() == fs::read(&copy).unwrap(), "untouched");
    assert!(fs::read(beside(&place, "-wal")).unwrap() == wal, "untouched");

    let restored = restore::restore(&copy, &place.file(), later(5)).await.unwrap();
    assert_eq!(restored.rows["events"], 50);
    assert!(!beside(&place, "-wal").exists(), "it was set aside");
    place.open().await.close().await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM events").await, 50);
}

#[tokio::test]
async fn the_wal_that_a_crash_left_beside_its_own_file_is_read() {
    let (place, copy) = killed().await;
    assert!(check::examine(&place.file()).await.unwrap().is_empty());
    place.open().await.close().await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM events").await, 51);
    // Moved away as the message says.
    let (place, _) = (killed().await.0, copy);
    fs::copy(place.folder.path().join("copy.db"), place.file()).unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&place, suffix)).unwrap();
    }
    place.open().await.close().await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM events").await, 50);
}

#[tokio::test]
async fn a_wal_that_is_removed_or_replaced_while_the_database_is_open_is_noticed_and_nothing_is_lost() {
    for suffix in ["-wal", "-shm"] {
        let (place, store) = filled().await;
        let away = place.folder.path().join("away");
        fs::rename(beside(&place, suffix), &away).unwrap();
        let error = store.health().check_files().unwrap_err();
        assert!(
            error.to_string().contains(&format!("presence.db{suffix} was deleted or replaced")),
            "{error}"
        );
        fs::copy(&away, beside(&place, suffix)).unwrap();
        assert!(store.health().check_files().is_err(), "another file of the same bytes");
        fs::rename(&away, beside(&place, suffix)).unwrap();
        store.health().check_files().unwrap();
        fs::remove_file(beside(&place, suffix)).unwrap();
        store.close().await.unwrap();
        assert_eq!(place.count("SELECT count(*) FROM events").await, 50);
    }
}

#[tokio::test]
async fn a_hard_link_to_the_database_is_the_same_lock() {
    let (place, store) = filled().await;
    let link = place.folder.path().join("other.db");
    fs::hard_link(place.file(), &link).unwrap();
    let open = async || Store::open(&link, chrono_tz::UTC, Arc::new(place.clock.clone())).await;
    let error = open().await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let copy = place.folder.path().join("copy.db");
    store.maintenance().backup(&copy).await.unwrap();
    let error = restore::restore(&copy, &link, later(5)).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    store.close().await.unwrap();
    open().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_planted_link_is_not_followed_whatever_file_it_stands_for() {
    let (place, store) = filled().await;
    let copy = place.folder.path().join("copy.db");
    store.maintenance().backup(&copy).await.unwrap();
    store.close().await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("of-root");
    let planted = [".lock", ".ballast", ".replaced", ".restoring", "-wal", "-shm", "-journal"];
    for suffix in planted {
        fs::write(&target, "of root").unwrap();
        let link = beside(&place, suffix);
        let _ = fs::remove_file(&link);
        symlink(&target, &link).unwrap();
        // Refused or not: what the link leads to stays as it is.
        if let Ok(store) = place.try_open().await {
            store.health().leave_notice();
            store.close().await.unwrap();
        }
        let _ = restore::restore(&copy, &place.file(), later(5)).await;
        assert_eq!(fs::read_to_string(&target).unwrap(), "of root", "{suffix}");
        let _ = fs::remove_file(&link);
    }
    place.open().await.close().await.unwrap();
    let error = {
        symlink(&target, beside(&place, ".partial")).unwrap();
        let planted = place.folder.path().join("copy-2.db");
        symlink(&target, &planted).unwrap();
        backup::backup(&place.file(), &planted).await.unwrap_err()
    };
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "of root");
}

#[tokio::test]
async fn what_an_interrupted_command_left_is_cleaned_at_the_next_start() {
    let (place, store) = filled().await;
    store.close().await.unwrap();
    let left = [
        ".restoring",
        ".restoring-journal",
        ".before-migration-8.partial",
        ".before-migration-8.partial-journal",
    ];
    for suffix in left {
        fs::write(beside(&place, suffix), "half").unwrap();
    }
    // A restore that was killed before its rename: another name of the database.
    fs::hard_link(place.file(), beside(&place, ".before-restore-17")).unwrap();
    let kept = beside(&place, ".before-restore-16");
    fs::copy(place.file(), &kept).unwrap();
    fs::write(beside(&place, ".restoring-notes"), "of the operator").unwrap();
    place.open().await.close().await.unwrap();
    assert_eq!(
        names(place.folder.path()),
        ["presence.db", "presence.db.before-restore-16", "presence.db.lock", "presence.db.restoring-notes"]
    );
}

/// How many events are in the file alone, which Datasette reads with `-i`.
fn seen_alone(place: &Place) -> String {
    let uri = format!("file:{}?immutable=1", place.file().display());
    sqlite3(Path::new(&uri), "SELECT count(*) FROM events")
}

#[tokio::test]
async fn who_reads_the_file_alone_sees_the_tables_at_once_and_what_is_written_within_a_minute() {
    let place = Place::new();
    let store = place.open().await;
    assert_eq!(seen_alone(&place), "0", "the tables are in the file");
    let clock = Arc::new(place.clock.clone());
    let mut monitor = DatabaseMonitor::new(store.clone(), clock.clone(), clock, Health::new());
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    monitor.step().await.unwrap();
    assert_eq!(seen_alone(&place), "0");
    place.clock.advance(Duration::from_mins(1));
    monitor.step().await.unwrap();
    assert_eq!(seen_alone(&place), "1");
    store.close().await.unwrap();
}

/// A shell that reads an old state, until it is killed.
struct Shell(Child);

impl Shell {
    fn hold(database: &Path, statement: &str) -> Self {
        let signal = database.with_extension("held");
        let script = format!(".timeout 60000\n{statement}\n.shell touch {}\n", signal.display());
        let mut command = Command::new("sqlite3");
        command.arg(database).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        while !signal.exists() {
            std::thread::yield_now();
        }
        fs::remove_file(signal).unwrap();
        Self(child)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_wal_that_a_reader_keeps_from_shrinking_is_an_alert_that_names_the_reader() {
    let (place, store) = filled().await;
    let shell = Shell::hold(&place.file(), "BEGIN; SELECT count(*) FROM events;");
    let wal = fs::OpenOptions::new().write(true).open(beside(&place, "-wal")).unwrap();
    let length = wal.metadata().unwrap().len();
    let (_, no_webhooks) = tokio::sync::watch::channel(Arc::from([]));
    let mut alert = DatabaseAlert::new(store.clone(), Arc::default(), no_webhooks);
    // Longer by a hole, which SQLite takes for no frame.
    wal.set_len((256 << 20) - 1).unwrap();
    alert.step(later(1)).await.unwrap();
    assert_eq!(store.alerts().firing().await.unwrap(), [], "not that long yet");
    wal.set_len(300 << 20).unwrap();
    alert.step(later(2)).await.unwrap();
    alert.step(later(7)).await.unwrap();
    assert_eq!(store.alerts().firing().await.unwrap(), [(None, "database".to_owned())]);
    let said = "SELECT body FROM v_events WHERE type = 'system.alert'";
    let text = sqlite3(&place.file(), said);
    let named = format!("sqlite3 (process {})", shell.0.id());
    assert!(text.lines().count() == 1 && text.contains("300 MiB") && text.contains(&named), "{text}");
    wal.set_len(length.max(200 << 20)).unwrap();
    alert.step(later(12)).await.unwrap();
    assert_eq!(store.alerts().firing().await.unwrap().len(), 1, "still long");
    drop(shell);
    wal.set_len(64 << 20).unwrap();
    alert.step(later(17)).await.unwrap();
    assert_eq!(store.alerts().firing().await.unwrap(), []);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_write_lock_that_another_program_holds_turns_readiness_until_it_is_let_go() {
    let (place, store) = filled().await;
    let health = Health::new();
    health.database(Ok(()));
    let clock = Arc::new(SystemClock);
    let mut monitor = DatabaseMonitor::new(store.clone(), clock.clone(), clock.clone(), Arc::clone(&health));
    let database = || health.readiness(clock.now()).checks.remove(0);
    monitor.step().await.unwrap();
    assert!(database().ok);
    let shell = Shell::hold(&place.file(), "BEGIN IMMEDIATE;");
    monitor.step().await.unwrap();
    let check = database();
    assert!(!check.ok && check.reason.contains("another process holds the write lock"), "{check:?}");
    drop(shell);
    // What waited is written before the next empty write.
    monitor.step().await.unwrap();
    assert!(database().ok);
    store.close().await.unwrap();
}

fn site(fake: &Fake, receiver: &Receiver) -> Site {
    let poll =
        "interval = \"50ms\"\nmin_interval = \"20ms\"\nbackoff = { initial = \"20ms\", max = \"50ms\" }";
    fake.say("li", &inside("li", "654058f2411fe90147e68780", 3, 1_795_900_000_000, ""));
    Site::new(&fake.base(), &receiver.url(), &["li"], poll, "events = [\"meeting.*\"]")
}

#[test]
fn a_stop_while_another_program_holds_the_write_lock_is_clean_and_says_what_was_not_written() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = site(&fake, &receiver);
    let daemon = site.start();
    receiver.wait(1);
    let shell = Shell::hold(&site.database(), "BEGIN IMMEDIATE;");
    fake.say("li", r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#);
    site.wait_for_log("another program holds the database's write lock; waiting for it");
    daemon.terminate();
    site.wait_for_log("these poll results and other writes were not written");
    drop(shell);
    let daemon = site.start();
    // The joined may come again: that it was delivered could not be written either.
    receiver.wait_type("meeting.participant_left");
    daemon.terminate();
}

#[test]
fn a_wal_that_is_removed_under_the_running_daemon_ends_it_with_all_that_was_delivered_in_the_database() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = site(&fake, &receiver);
    let daemon = site.start();
    receiver.wait(1);
    fs::remove_file(site.path("presence.db-wal")).unwrap();
    fake.say("li", r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#);
    receiver.wait(2);
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(1));
    assert!(log.contains("presence.db-wal was deleted or replaced"), "{log}");
    let delivered = "SELECT count(*) FROM v_deliveries WHERE state = 'delivered'";
    assert_eq!(sqlite3(&site.database(), delivered), "2");
    let daemon = site.start();
    fake.wait_looks("li", 3);
    daemon.terminate();
    assert_eq!(receiver.all().len(), 2, "nothing came again");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
