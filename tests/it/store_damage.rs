//! Files that are refused: damaged, newer, somebody else's.
//!
//! Guards: the look before the first write finds all that SQLite's own full check finds; what is refused stays as it is, byte
//! for byte, and nothing new lies beside it; what a crash left is no damage. Deliberately not here: what the operator is
//! told by the program (`history_disk`).
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "a hand that damages needs SQL")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use presenced::store::history::VisitQuery;
use presenced::store::{Store, StoreError, backup, check, restore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::store_fixture::{Place, START, filled};

/// After a clean stop, and without what an earlier daemon left beside it.
async fn at_rest() -> Place {
    let (place, store) = filled().await;
    store.close().await.unwrap();
    drop(store);
    fs::remove_file(place.folder.path().join("presence.db.lock")).unwrap();
    place
}

/// Every file of a folder and its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

async fn by_hand(place: &Place, statements: &[&'static str]) -> SqliteConnection {
    let mut hand = place.meddle().await;
    for statement in statements {
        sqlx::query(*statement).execute(&mut hand).await.unwrap();
    }
    hand
}

/// An index that does not fit its table: every page and every row of it is sound by itself.
const UNFIT: [&str; 3] = [
    "PRAGMA writable_schema = ON",
    "UPDATE sqlite_schema SET sql = 'CREATE INDEX visits_by_time ON visits (left_ms)' WHERE name = 'visits_by_time'",
    "PRAGMA writable_schema = RESET",
];

/// What lies on the disk at this instant, as after a power cut: the database and what belongs to it.
fn as_after_a_power_cut(place: &Place) -> Place {
    left_with(place, &["", "-wal", "-journal"])
}

/// The same as after a crash of the daemon alone: the index of its WAL is there, and nobody knows whether it fits.
fn as_after_a_crash(place: &Place) -> Place {
    left_with(place, &["", "-wal", "-shm"])
}

fn left_with(place: &Place, suffixes: &[&str]) -> Place {
    let left = Place::new();
    for suffix in suffixes {
        let name = format!("presence.db{suffix}");
        let file = place.folder.path().join(&name);
        if file.exists() {
            fs::copy(file, left.folder.path().join(&name)).unwrap();
        }
    }
    left
}

async fn refused_untouched(place: &Place) -> StoreError {
    let before = contents(place.folder.path());
    let refused = place.try_open().await.unwrap_err();
    assert!(refused.to_string().contains("not touched"), "{refused}");
    let after = contents(place.folder.path());
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "its bytes are the same");
    refused
}

#[tokio::test]
async fn an_index_that_does_not_fit_its_table_is_refused_untouched_after_a_clean_stop() {
    let place = at_rest().await;
    by_hand(&place, &UNFIT).await.close().await.unwrap();
    let refused = refused_untouched(&place).await.to_string();
    assert!(refused.contains("visits_by_time") && refused.contains("presenced db restore"), "{refused}");
    // A lock file that was there before stays as well.
    fs::write(place.folder.path().join("presence.db.lock"), "").unwrap();
    refused_untouched(&place).await;
}

#[tokio::test]
async fn a_damaged_file_that_a_crash_left_is_refused_with_its_wal_untouched() {
    let (place, hand) = with_a_wal(&UNFIT).await;
    let left = as_after_a_power_cut(&place);
    assert!(left.folder.path().join("presence.db-wal").metadata().unwrap().len() > 0);
    hand.close().await.unwrap();
    let refused = refused_untouched(&left).await;
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn a_flipped_bit_in_a_text_is_found_by_the_check_and_named_at_the_start() {
    for (statement, said) in [
        (
            "UPDATE people SET name = CAST(x'4c69ff' AS TEXT) WHERE person_id = 1",
            "people, row 1: `name` is not UTF-8 at byte 3: \"Li\u{fffd}\"",
        ),
        (
            "INSERT INTO webhooks (webhook) VALUES (CAST(x'63f2ed' AS TEXT))",
            "webhooks, a row: `webhook` is not UTF-8 at byte 2: \"c\u{fffd}\u{fffd}\"",
        ),
        (
            "INSERT INTO organisations (org) VALUES (CAST(x'e16c6d65' AS TEXT))",
            "organisations, a row: `org` is not UTF-8 at byte 1: \"\u{fffd}lme\"",
        ),
    ] {
        let place = at_rest().await;
        by_hand(&place, &[statement]).await.close().await.unwrap();
        assert_eq!(check::examine(&place.file()).await.unwrap(), [said]);
        let refused = refused_untouched(&place).await.to_string();
        assert!(refused.contains(said) && refused.contains("presenced db restore"), "{refused}");
    }
    // What a start does not read is found as well, and keeps nothing from starting.
    let place = at_rest().await;
    let damage = [
        "UPDATE visits SET conference_id = CAST(x'80' AS TEXT)",
        "UPDATE people SET last_error = CAST(x'80' AS TEXT)",
    ];
    by_hand(&place, &damage).await.close().await.unwrap();
    let found = check::examine(&place.file()).await.unwrap();
    assert!(found[0].starts_with("people, row 1: `last_error` is not UTF-8 at byte 1: "), "{found:?}");
    assert!(found[1].starts_with("visits, row 1: `conference_id` is not UTF-8 at byte 1: "), "{found:?}");
    let store = place.open().await;
    let unread = store
        .history()
        .visits(&VisitQuery { limit: 9, ..VisitQuery::default() })
        .await
        .unwrap_err()
        .to_string();
    assert!(unread.contains("`presenced db check` names the row"), "{unread}");
    store.close().await.unwrap();
}

/// A file with something in its WAL, and who has it open.
async fn with_a_wal(damage: &[&'static str]) -> (Place, SqliteConnection) {
    let place = at_rest().await;
    by_hand(&place, damage).await.close().await.unwrap();
    let hand = by_hand(
        &place,
        &[
            "PRAGMA journal_mode = WAL",
            "PRAGMA wal_autocheckpoint = 0",
            "UPDATE installation SET created_ms = created_ms + 1",
        ],
    )
    .await;
    (place, hand)
}

#[tokio::test]
async fn a_damaged_file_that_a_crash_left_is_refused_with_the_index_of_its_wal_untouched() {
    let (place, hand) = with_a_wal(&UNFIT).await;
    let left = as_after_a_crash(&place);
    hand.close().await.unwrap();
    let index = left.folder.path().join("presence.db-shm");
    assert!(index.metadata().unwrap().len() >= 32 * 1024);
    let refused = refused_untouched(&left).await;
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    // Nor is one that says something else, or nothing, believed or mended.
    for wrong in [vec![0xa5; 32 * 1024], vec![0; 32 * 1024], Vec::new()] {
        fs::write(&index, wrong).unwrap();
        let refused = refused_untouched(&left).await;
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    }
    // Nor where there is no WAL that it could be the index of.
    fs::remove_file(left.folder.path().join("presence.db-wal")).unwrap();
    refused_untouched(&left).await;
}

#[tokio::test]
async fn a_sound_file_that_a_crash_left_is_opened_with_all_that_was_in_its_wal() {
    let created = "SELECT created_ms FROM installation";
    let (place, hand) = with_a_wal(&[]).await;
    let left = as_after_a_crash(&place);
    let wrong = as_after_a_crash(&place);
    fs::write(wrong.folder.path().join("presence.db-shm"), vec![0xa5; 32 * 1024]).unwrap();
    let known = place.count(created).await;
    hand.close().await.unwrap();
    for left in [left, wrong] {
        left.open().await.close().await.unwrap();
        assert_eq!(left.count(created).await, known);
        assert!(check::examine(&left.file()).await.unwrap().is_empty());
    }
}

/// Somebody at a shell who has the file open, in the middle of a look, until told to go on.
fn at_a_shell(place: &Place, statements: &str) -> Child {
    let mut child = Command::new("sqlite3")
        .arg(place.file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3");
    let script = format!("{statements}\n.shell echo done\n");
    child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
    let said =
        BufReader::new(child.stdout.as_mut().unwrap()).lines().find(|line| line.as_ref().unwrap() == "done");
    assert!(said.is_some(), "the shell ended before it was done");
    child
}

#[tokio::test]
async fn a_shell_that_reads_after_a_crash_blocks_no_process_and_hides_no_damage() {
    for (damage, look) in [
        (&[][..], "BEGIN; SELECT count(*) FROM events;"),
        (&[], "UPDATE installation SET created_ms = created_ms + 1;"),
        (&UNFIT, "BEGIN; SELECT count(*) FROM visits;"),
    ] {
        let (place, hand) = with_a_wal(damage).await;
        let left = as_after_a_crash(&place);
        hand.close().await.unwrap();
        let mut shell = at_a_shell(&left, look);
        let opened = left.try_open().await;
        assert_eq!(opened.is_ok(), damage.is_empty(), "{look} {:?}", opened.as_ref().err());
        drop(shell.stdin.take());
        assert!(shell.wait().unwrap().success());
        match opened {
            Ok(store) => store.close().await.unwrap(),
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_damaged_file_in_wal_mode_and_at_rest_is_refused_untouched() {
    let place = at_rest().await;
    by_hand(&place, &UNFIT).await.close().await.unwrap();
    by_hand(&place, &["PRAGMA journal_mode = WAL"]).await.close().await.unwrap();
    let refused = refused_untouched(&place).await;
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn a_newer_file_and_a_foreign_one_are_refused_untouched() {
    let place = at_rest().await;
    by_hand(&place, &["PRAGMA user_version = 99"]).await.close().await.unwrap();
    let refused = refused_untouched(&place).await;
    assert!(matches!(refused, StoreError::Newer { .. }), "{refused}");
    let place = Place::new();
    fs::write(place.file(), "name,meeting\n".repeat(1000)).unwrap();
    let refused = refused_untouched(&place).await;
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
}

#[tokio::test]
async fn a_transaction_that_a_crash_broke_off_is_no_damage() {
    let place = at_rest().await;
    // With room for a page in memory the others are in the file before the transaction ends.
    let hand = by_hand(
        &place,
        &[
            "PRAGMA cache_size = 1",
            "BEGIN IMMEDIATE",
            "UPDATE events SET body = body || hex(randomblob(2000))",
        ],
    )
    .await;
    let left = as_after_a_power_cut(&place);
    hand.close().await.unwrap();
    assert!(left.folder.path().join("presence.db-journal").exists());
    let looked_at = Store::open_readonly(&left.file()).await.unwrap_err();
    let checked = check::examine(&left.file()).await.unwrap_err();
    for error in [looked_at, checked] {
        assert!(error.to_string().contains("start the daemon once"), "{error}");
    }
    left.open().await.close().await.unwrap();
    assert_eq!(left.count("SELECT count(*) FROM events WHERE length(body) > 2000").await, 0);
    assert_eq!(left.count("SELECT count(*) FROM events").await, 50);
}

#[tokio::test]
async fn a_copy_takes_the_place_of_a_damaged_file() {
    let (place, store) = filled().await;
    let copy = place.folder.path().join("copy.db");
    backup::backup(&place.file(), &copy).await.unwrap();
    store.close().await.unwrap();
    by_hand(&place, &UNFIT).await.close().await.unwrap();
    refused_untouched(&place).await;
    restore::restore(&copy, &place.file(), START).await.unwrap();
    place.open().await.close().await.unwrap();
    // One that is damaged itself is no copy.
    let mut hand = SqliteConnectOptions::new().filename(&copy).connect().await.unwrap();
    for statement in UNFIT {
        sqlx::query(statement).execute(&mut hand).await.unwrap();
    }
    hand.close().await.unwrap();
    let before = contents(place.folder.path());
    let refused = restore::restore(&copy, &place.file(), START).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(contents(place.folder.path()) == before);
}

#[tokio::test]
async fn who_has_the_file_is_said_before_anybody_looks_through_it() {
    let place = at_rest().await;
    by_hand(&place, &UNFIT).await.close().await.unwrap();
    let lock = fs::File::create(place.folder.path().join("presence.db.lock")).unwrap();
    lock.try_lock().unwrap();
    let refused = place.try_open().await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
}

#[tokio::test]
async fn a_check_that_is_given_up_leaves_nothing() {
    let place = at_rest().await;
    let before = contents(place.folder.path());
    for turns in 0..20 {
        let opening = place.try_open();
        let given_up = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            opened = opening => opened.unwrap().close().await.unwrap(),
            () = given_up => assert!(contents(place.folder.path()) == before, "after {turns} turns"),
        }
    }
    place.open().await.close().await.unwrap();
}

/// What SQLite itself finds in one go.
async fn sqlite_finds_it_sound(file: &Path) -> bool {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let Ok(mut connection) = options.connect().await else { return false };
    let said: Result<Vec<String>, _> =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await;
    connection.close().await.unwrap();
    said.is_ok_and(|said| said == ["ok"])
}

#[tokio::test]
async fn three_hundred_damaged_files_are_refused_untouched_or_sound_for_sqlite_too() {
    let place = at_rest().await;
    let sound = fs::read(place.file()).unwrap();
    let mut random = 7_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let mut refused = 0;
    for round in 0..300 {
        let mut bytes = sound.clone();
        match round % 5 {
            0 => bytes.truncate(4096 * (1 + next(sound.len() / 4096 - 1))),
            1 => {
                let page = 4096 * next(sound.len() / 4096);
                bytes[page..page + 4096].fill(0);
            }
            2 => (0..64).for_each(|_| bytes[next(sound.len())] ^= 0xff),
            3 => (0..3).for_each(|_| bytes[next(sound.len())] ^= 1),
            _ => {
                let (from, to) = (4096 * next(sound.len() / 4096), 4096 * next(sound.len() / 4096));
                bytes.copy_within(from..from + 4096, to);
            }
        }
        let copy = Place::new();
        fs::write(copy.file(), &bytes).unwrap();
        let is_sound = sqlite_finds_it_sound(&copy.file()).await;
        match copy.try_open().await {
            Ok(store) => {
                assert!(is_sound, "{round}: SQLite finds what the look did not");
                store.close().await.unwrap();
            }
            Err(error) => {
                refused += 1;
                let said = error.to_string();
                let known = matches!(
                    error,
                    StoreError::Damaged { .. } | StoreError::Foreign { .. } | StoreError::Newer { .. }
                );
                assert!(known && said.contains("not touched"), "{round}: {said}");
                let left = BTreeMap::from([("presence.db".to_owned(), bytes)]);
                assert!(contents(copy.folder.path()) == left, "{round}");
            }
        }
    }
    assert!(refused > 180, "only {refused} of 300 were noticed");
}

#[tokio::test]
async fn what_is_wrong_is_said_once_and_without_decoration() {
    let place = at_rest().await;
    assert_eq!(check::examine(&place.file()).await.unwrap(), Vec::<String>::new());
    by_hand(&place, &UNFIT).await.close().await.unwrap();
    let troubles = check::examine(&place.file()).await.unwrap();
    let mut once = troubles.clone();
    once.sort();
    once.dedup();
    assert_eq!((once.len(), troubles.len() <= 50), (troubles.len(), true), "{troubles:?}");
    assert!(troubles.iter().all(|line| line.contains("visits_by_time")), "{troubles:?}");
}
