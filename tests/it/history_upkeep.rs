//! Backups, restoring, retention, damage, a full disk: what keeps a history from being lost or from growing for ever.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

use std::fs;
use std::future::Future as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use presenced::store::gaps::Why;
use presenced::store::retention::Limits;
use presenced::store::{StoreError, backup, check, restore};

use crate::store_fixture::{Place, START, ended, enroll_one, filled, joined, later, org, snapshot, visit};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_backup_is_whole_private_and_made_while_the_daemon_writes() {
    let (place, store) = filled().await;
    let to = place.folder.path().join("copy.db");
    let person = enroll_one(&store).await.person_id;
    let database = place.file();
    fs::write(place.folder.path().join("copy.db.partial"), "of a copy that was broken off").unwrap();
    let (copied, ()) = tokio::join!(backup::backup(&database, &to), async {
        for n in 0..50 {
            store.recorder().record(joined(person, "li", &format!("m{n}"))).await.unwrap();
        }
    });
    let copied = copied.unwrap();
    assert!((50..=100).contains(&copied.rows["events"]), "{copied:?}");
    assert_eq!(copied.bytes, fs::metadata(&to).unwrap().len());
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(check::examine(&to).await.unwrap().is_empty());
    let again = backup::backup(&place.file(), &to).await.unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
    let names: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("partial")), "{names:?}");
    store.close().await.unwrap();
}

/// Once a copy made by the daemon took the daemon's own lock off its file: the next shell that closed the file found itself
/// alone with it, and removed the WAL that the daemon was writing to.
#[tokio::test]
async fn a_shell_that_comes_and_goes_after_a_backup_takes_nothing_away() {
    let (place, store) = filled().await;
    let person = enroll_one(&store).await.person_id;
    store.maintenance().backup(&place.folder.path().join("copy.db")).await.unwrap();
    let shell =
        Command::new("sqlite3").arg(place.file()).arg("SELECT count(*) FROM events").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stdout), "50\n");
    assert!(place.folder.path().join("presence.db-wal").exists(), "the daemon is writing to it");
    store.recorder().record(joined(person, "li", "after")).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM events").await, 51);
}

#[tokio::test]
async fn a_backup_that_is_aborted_leaves_nothing_and_delays_nothing() {
    let (place, store) = filled().await;
    let to = place.folder.path().join("copy.db");
    let database = place.file();
    for polls in [1, 3, 10, 30, 100] {
        let mut copying = std::pin::pin!(backup::backup(&database, &to));
        for _ in 0..polls {
            let looked = |context: &mut Context<'_>| Poll::Ready(copying.as_mut().poll(context).is_ready());
            if std::future::poll_fn(looked).await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    store.close().await.unwrap();
    // Byte 19 of the header: 1 is a rollback journal; a reader that went on would have kept it at 2.
    assert_eq!(fs::read(place.file()).unwrap()[19], 1);
    // SQLite's thread may have made its file after nobody wanted it any more.
    let copies = place.folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    for day in ["2026-11-21", "2026-11-22"] {
        fs::write(backup::managed_name(&copies, day), "whole").unwrap();
    }
    fs::write(copies.join("presenced-2026-11-20.db.partial"), "half").unwrap();
    fs::write(copies.join("somebody's.partial"), "not ours").unwrap();
    assert_eq!(backup::thin_out(&copies, 1).unwrap(), [backup::managed_name(&copies, "2026-11-21")]);
    let mut names: Vec<_> = fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["presenced-2026-11-22.db", "somebody's.partial"]);
}

#[tokio::test]
async fn restoring_needs_the_daemon_down_a_sound_copy_and_gives_a_new_source() {
    let (place, store) = filled().await;
    let copy = place.folder.path().join("copy.db");
    backup::backup(&place.file(), &copy).await.unwrap();
    let running = restore::restore(&copy, &place.file(), START).await.unwrap_err();
    assert!(matches!(running, StoreError::Locked { .. }), "{running}");
    let source = store.source().to_owned();
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "later")).await.unwrap();
    store.close().await.unwrap();

    let bad = place.folder.path().join("bad.db");
    let mut bytes = fs::read(&copy).unwrap();
    bytes[4096..8192].fill(0x5a);
    fs::write(&bad, bytes).unwrap();
    let before = fs::read(place.file()).unwrap();
    let damaged = restore::restore(&bad, &place.file(), START).await.unwrap_err();
    assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged}");
    assert_eq!(fs::read(place.file()).unwrap(), before, "nothing was touched");

    let restored = restore::restore(&copy, &place.file(), START).await.unwrap();
    assert_ne!(restored.source, source);
    assert_eq!(restored.rows["events"], 50);
    assert_eq!(fs::read(restored.kept.unwrap()).unwrap(), before);
    let store = place.open().await;
    assert_eq!(store.source(), restored.source);
    assert_eq!(place.count("SELECT count(*) FROM visits").await, 50);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_a_crashed_database_has_what_its_wal_has() {
    let (place, store) = filled().await;
    let crashed = Place::new();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("presence.db{suffix}");
        fs::copy(place.folder.path().join(&name), crashed.folder.path().join(&name)).unwrap();
    }
    let copied = backup::backup(&crashed.file(), &crashed.folder.path().join("copy.db")).await.unwrap();
    assert_eq!(copied.rows["events"], 50);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_too_old_goes_and_what_is_needed_stays() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    // More than one batch of it, delivered nowhere.
    for n in 0..1200 {
        let mut old = joined(person, "li", &format!("old{n}"));
        old.visits = vec![ended(visit(&format!("vis_old{n}")), later(5))];
        old.events[0].webhooks = [].into();
        store.recorder().record(old).await.unwrap();
    }
    // On its way to a receiver, a stay that goes on, and the newest answer.
    store.recorder().record(joined(person, "li", "open")).await.unwrap();
    store.gaps().note(org(), None, START, later(9), Why::Restart).await.unwrap();
    place.clock.advance(DAY * 40);
    let mut young = joined(person, "li", "young");
    young.snapshot = Some(snapshot(START.plus(DAY * 40), 7));
    young.events[0].webhooks = [].into();
    young.visits = vec![ended(visit("vis_young"), START.plus(DAY * 40))];
    young.visits[0].joined = START.plus(DAY * 40);
    store.recorder().record(young).await.unwrap();
    let limits = Limits { snapshots: Some(DAY * 30), visits: Some(DAY * 30), events: None };
    let pruned = store.maintenance().prune(limits, START.plus(DAY * 41)).await.unwrap();
    assert_eq!((pruned.visits, pruned.snapshots, pruned.events, pruned.gaps), (1200, 1201, 0, 1));
    assert!(pruned.pages > 0, "{pruned:?}");
    let all = Limits { events: Some(DAY * 30), ..limits };
    let pruned = store.maintenance().prune(all, START.plus(DAY * 41)).await.unwrap();
    assert_eq!(pruned.events, 1200);
    let left = "SELECT group_concat(visit_id, ' ') = 'vis_open vis_young' FROM (SELECT visit_id FROM visits ORDER BY 1)";
    assert_eq!(place.count(left).await, 1);
    assert_eq!(place.count("SELECT count(*) FROM snapshots").await, 1);
    assert_eq!(
        place.count("SELECT count(*) FROM events").await,
        2,
        "one waits for its receiver, one is young"
    );
    let far = START.plus(DAY * 400);
    assert_eq!(store.maintenance().prune(all, far).await.unwrap().snapshots, 0, "the newest answer stays");
    store.close().await.unwrap();
    assert!(check::examine(&place.file()).await.unwrap().is_empty());
}

/// Somebody at a shell who takes a lock, does something else for longer than a statement waits (5 s), and lets go.
fn hold(place: &Place, lock: &str) -> std::process::Child {
    let script = format!(".timeout 60000\n{lock};\n.shell echo held; sleep 7\nCOMMIT;\n");
    let mut shell = Command::new("sqlite3");
    shell.arg(place.file()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().expect("sqlite3");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "held\n");
    child
}

#[tokio::test]
async fn a_lock_that_a_shell_holds_delays_and_breaks_nothing() {
    let (place, store) = filled().await;
    let person = enroll_one(&store).await.person_id;
    let mut hand = hold(&place, "BEGIN IMMEDIATE");
    store.recorder().record(joined(person, "li", "patient")).await.unwrap();
    assert!(hand.wait().unwrap().success());
    store.close().await.unwrap();
    let mut hand = hold(&place, "BEGIN EXCLUSIVE");
    let store = place.open().await;
    assert!(hand.wait().unwrap().success());
    assert_eq!(place.count("SELECT count(*) FROM events").await, 51);
    store.close().await.unwrap();
}
