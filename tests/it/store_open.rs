//! Opening, refusing, closing.
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use presenced::store::{SCHEMA_VERSION, Store, StoreError};

use crate::store_fixture::{Place, enroll_one, joined};

#[tokio::test]
async fn a_new_database_is_stamped_and_keeps_its_source() {
    let place = Place::new();
    let store = place.open().await;
    let source = store.source().to_owned();
    let random = source.strip_prefix("urn:presenced:").unwrap();
    assert_eq!(random.len(), 8);
    assert!(random.chars().all(|c| c.is_ascii_hexdigit()));
    assert_eq!(place.count("PRAGMA user_version").await, SCHEMA_VERSION);
    assert_eq!(place.count("PRAGMA application_id").await, presenced::store::APPLICATION_ID);
    assert_eq!(place.count("SELECT max(version) FROM _sqlx_migrations").await, SCHEMA_VERSION);
    store.close().await.unwrap();
    let again = place.open().await;
    assert_eq!(again.source(), source);
    let other = Place::new();
    assert_ne!(other.open().await.source(), source);
}

#[tokio::test]
async fn every_table_is_strict() {
    let place = Place::new();
    let _store = place.open().await;
    let loose = "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND NOT strict AND schema = 'main' \
                 AND name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations'";
    assert_eq!(place.count(loose).await, 0);
}

#[tokio::test]
async fn the_file_is_readable_by_its_group_and_writable_by_its_owner_only() {
    let place = Place::new();
    let store = place.open().await;
    enroll_one(&store).await;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let path = place.folder.path().join(format!("presence.db{suffix}"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640, "{}", path.display());
    }
}

#[tokio::test]
async fn a_second_daemon_is_refused_until_the_first_closes() {
    let place = Place::new();
    let first = place.open().await;
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("presence.db") && said.contains("presence.db.lock"), "{said}");
    first.close().await.unwrap();
    place.open().await;
}

#[tokio::test]
async fn another_name_of_the_same_file_is_the_same_lock() {
    let place = Place::new();
    let _first = place.open().await;
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(place.file(), &link).unwrap();
    let error =
        Store::open(&link, chrono_tz::UTC, std::sync::Arc::new(place.clock.clone())).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let place = Place::new();
    let path = place.folder.path().join("nowhere").join("presence.db");
    let error =
        Store::open(&path, chrono_tz::UTC, std::sync::Arc::new(place.clock.clone())).await.unwrap_err();
    assert!(matches!(&error, StoreError::NoFolder { folder } if folder.ends_with("nowhere")), "{error}");
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_named() {
    let place = Place::new();
    let in_the_way = place.folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let path = in_the_way.join("presence.db");
    let error =
        Store::open(&path, chrono_tz::UTC, std::sync::Arc::new(place.clock.clone())).await.unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    for newer in ["PRAGMA user_version = 99", "UPDATE _sqlx_migrations SET version = 99 WHERE version = 3"] {
        let place = Place::new();
        place.open().await.close().await.unwrap();
        sqlx::query(newer).execute(&mut place.meddle().await).await.unwrap();
        let before = fs::read(place.file()).unwrap();
        let error = place.try_open().await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        let error = Store::open_readonly(&place.file()).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        assert_eq!(fs::read(place.file()).unwrap(), before);
    }
}

#[tokio::test]
async fn a_foreign_file_is_refused_untouched() {
    let place = Place::new();
    fs::write(place.file(), "name,meeting\n".repeat(100)).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_to_string(place.file()).unwrap(), "name,meeting\n".repeat(100));

    let place = Place::new();
    let mut other = sqlx::sqlite::SqliteConnectOptions::new().filename(place.file()).create_if_missing(true);
    other = other.pragma("application_id", "7");
    let mut other = sqlx::ConnectOptions::connect(&other).await.unwrap();
    sqlx::query("CREATE TABLE recipes (name TEXT)").execute(&mut other).await.unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let before = fs::read(place.file()).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(place.file()).unwrap(), before);
}

#[tokio::test]
async fn another_programs_unstamped_database_is_refused_too() {
    let place = Place::new();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.file()).create_if_missing(true);
    let mut other =
        sqlx::ConnectOptions::connect(&options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal))
            .await
            .unwrap();
    sqlx::query("CREATE TABLE _sqlx_migrations (version INTEGER)").execute(&mut other).await.unwrap();
    sqlx::query("CREATE TABLE recipes (name TEXT)").execute(&mut other).await.unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let names: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1, "only the file: {names:?}");
}

#[tokio::test]
async fn an_empty_file_is_as_good_as_none() {
    let place = Place::new();
    fs::write(place.file(), "").unwrap();
    place.open().await;
}

#[tokio::test]
async fn a_clean_stop_leaves_one_plain_file() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await;
    store.recorder().record(joined(person.person_id, "li", "a")).await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(
        store.recorder().record(joined(person.person_id, "li", "b")).await,
        Err(StoreError::Closed)
    ));
    let names: Vec<_> = fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "presence.db.lock")
        .collect();
    assert_eq!(names, ["presence.db"]);
    // Byte 19 of the header: 1 is a rollback journal, 2 would be WAL.
    assert_eq!(fs::read(place.file()).unwrap()[19], 1);
    assert_eq!(place.count("SELECT count(*) FROM events").await, 1);
}

#[tokio::test]
async fn what_was_committed_survives_a_store_that_is_only_dropped() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await;
    store.recorder().record(joined(person.person_id, "li", "a")).await.unwrap();
    // What a dead process leaves: the file and its WAL as they are at this instant.
    let crashed = Place::new();
    for suffix in ["", "-wal"] {
        let name = format!("presence.db{suffix}");
        fs::copy(place.folder.path().join(&name), crashed.folder.path().join(&name)).unwrap();
    }
    drop(store);
    for place in [place, crashed] {
        let again = place.open().await;
        let enrolled = enroll_one(&again).await;
        assert_eq!(enrolled.person_id, person.person_id);
        assert_eq!(enrolled.digest, Some(1));
        assert_eq!(place.count("SELECT count(*) FROM v_deliveries WHERE state = 'pending'").await, 1);
        again.close().await.unwrap();
    }
}

#[tokio::test]
async fn looking_works_while_the_daemon_runs_and_after_it_stopped() {
    let place = Place::new();
    let missing = Store::open_readonly(&place.file()).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    let store = place.open().await;
    Store::open_readonly(&place.file()).await.unwrap().close().await;
    store.close().await.unwrap();
    let before: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    Store::open_readonly(&place.file()).await.unwrap().close().await;
    let after: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn looking_at_a_resting_wal_database_creates_nothing() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let mut hand = place.meddle().await;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut hand).await.unwrap();
    sqlx::Connection::close(hand).await.unwrap();
    assert_eq!(fs::read(place.file()).unwrap()[19], 2);
    let before = fs::read_dir(place.folder.path()).unwrap().count();
    let store = Store::open_readonly(&place.file()).await.unwrap();
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), before);
    store.close().await;
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), before);
}

/// Once a file whose WAL had just been emptied passed for one that nobody writes to.
#[tokio::test]
async fn an_empty_wal_does_not_hide_the_daemon_from_who_looks() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    let mut hand = place.meddle().await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut hand).await.unwrap();
    assert_eq!(place.folder.path().join("presence.db-wal").metadata().unwrap().len(), 0);
    let looking = Store::open_readonly(&place.file()).await.unwrap();
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    assert!(looking.history().database_info().await.unwrap().rows.contains(&("events".to_owned(), 1)));
    looking.close().await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_older_schema_is_for_the_daemon_to_bring_up_to_date() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let mut hand = place.meddle().await;
    sqlx::query("PRAGMA user_version = 2").execute(&mut hand).await.unwrap();
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version >= 3").execute(&mut hand).await.unwrap();
    let error = Store::open_readonly(&place.file()).await.unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_reader_does_not_stop_the_daemon_from_stopping() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await;
    store.recorder().record(joined(person.person_id, "li", "a")).await.unwrap();
    let reader = Store::open_readonly(&place.file()).await.unwrap();
    store.close().await.unwrap();
    reader.close().await;
    place.open().await.close().await.unwrap();
    assert_eq!(fs::read(place.file()).unwrap()[19], 1);
}
