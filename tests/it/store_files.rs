//! The files around the database: what lies under its name, beside it, and under other names of it.
//!
//! Guards: a WAL of another file is not read into this one; files that are taken from under the daemon are noticed; one
//! daemon a file, whatever it is called; what another user planted is not followed; what a crash left is cleaned. Deliberately
//! not here: what is in the files (`store_damage`), restoring (`history_restore`).
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use presenced::store::{Store, StoreError, backup, check, restore};

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
    store.record(joined(person, "li", "after_the_copy")).await.unwrap();
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
        let error = store.still_there().unwrap_err();
        assert!(
            error.to_string().contains(&format!("presence.db{suffix} was deleted or replaced")),
            "{error}"
        );
        fs::copy(&away, beside(&place, suffix)).unwrap();
        assert!(store.still_there().is_err(), "another file of the same bytes");
        fs::rename(&away, beside(&place, suffix)).unwrap();
        store.still_there().unwrap();
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
    store.backup(&copy).await.unwrap();
    let error = restore::restore(&copy, &link, later(5)).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    store.close().await.unwrap();
    open().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_planted_link_is_not_followed_whatever_file_it_stands_for() {
    let (place, store) = filled().await;
    let copy = place.folder.path().join("copy.db");
    store.backup(&copy).await.unwrap();
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
            store.leave_word();
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
    fs::write(beside(&place, ".of-the-operator"), "stays").unwrap();
    place.open().await.close().await.unwrap();
    assert_eq!(
        names(place.folder.path()),
        ["presence.db", "presence.db.before-restore-16", "presence.db.lock", "presence.db.of-the-operator"]
    );
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
