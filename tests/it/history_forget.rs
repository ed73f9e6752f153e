//! Erasing a person: not one byte is left, and nobody comes back by accident.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

use std::fs;
use std::path::Path;

use presenced::policy::sweep::ids::IdKind;
use presenced::presence::event::EventType;
use presenced::store::gaps::Why;
use presenced::store::sweep_state::{SweepRow, SweptPerson};
use presenced::store::{PollFailure, Store, StoreError, backup, restore};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::store_fixture::{
    Place, START, enrolment, identity, joined, later, org, outgoing, snapshot, system,
};

/// Long enough not to stand anywhere by chance.
const ID: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE-to-be-forgotten";
const OTHER: &str = "somebody-else-who-stays";

/// How often the bytes of a text are in the files of a folder.
fn hits(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(hits(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn sweeps() -> SweepRow {
    SweepRow {
        org: org(),
        agreed: 3,
        needed: 20,
        compared: Some(START),
        ids: Some(IdKind::Userid),
        seen: 2.5,
        unseen: 0.25,
        cost: 3.0,
        swept: Some(later(60)),
        month: "2026-11".to_owned(),
        calls: 44,
    }
}

/// A history in which both have a part, large enough that pages were split, freed and used again.
async fn lived_in(store: &Store) -> i64 {
    let people = store.watch_list().enroll(vec![enrolment(ID), enrolment(OTHER)]).await.unwrap().0;
    let (person, other) = (people[0].person_id, people[1].person_id);
    for n in 0..120_u32 {
        for (person_id, union_id) in [(person, ID), (other, OTHER)] {
            let mut look = joined(person_id, union_id, &format!("{person_id}_{n}"));
            let body = format!("{{\"of\":\"{union_id}\",\"padding\":\"{}\"}}", "x".repeat(n as usize * 9));
            let mut snapshot = snapshot(later(u64::from(n)), i64::from(n));
            snapshot.body = body;
            look.snapshot = Some(snapshot);
            look.visits[0].nick = Some(format!("Nick of {union_id}"));
            store.recorder().record(look).await.unwrap();
        }
    }
    store.recorder().record_system(None, vec![system("evt_alert", &["crm"])]).await.unwrap();
    let swept = |person_id, union_id: &str| SweptPerson {
        person_id,
        userid: Some(format!("userid of {union_id}")),
        seen: 1.0,
        unseen: 0.5,
    };
    store.sweep_state().save(sweeps(), vec![swept(person, ID), swept(other, OTHER)]).await.unwrap();
    store.gaps().note(org(), Some(person), START, later(9), Why::Failed).await.unwrap();
    let text = format!("no such user {ID}");
    let (at, next_poll) = (START, later(60));
    let miss = PollFailure { person_id: person, org: org(), at, class: "rejected", text, next_poll };
    store.watch_list().flush(Vec::new(), vec![miss]).await.unwrap();
    person
}

#[tokio::test]
async fn not_one_byte_is_left_in_the_database_its_wal_or_the_backups() {
    let place = Place::new();
    let copies = place.folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let store = place.open().await;
    let person = lived_in(&store).await;
    for day in ["2026-11-22", "2026-11-23"] {
        backup::backup(&place.file(), &backup::managed_name(&copies, day)).await.unwrap();
    }
    fs::write(backup::managed_name(&copies, "2026-11-21"), format!("damaged, but {ID} can be read")).unwrap();
    let nick = format!("Nick of {ID}");
    assert!(hits(place.folder.path(), ID).len() >= 4 && hits(place.folder.path(), &nick).len() >= 3);
    let others = hits(&copies, OTHER).len();

    let forgotten = store.erasures().forget(&identity(ID), Some(&copies), START).await.unwrap();

    assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
    assert_eq!(hits(place.folder.path(), &nick), Vec::<String>::new());
    assert_eq!(hits(place.folder.path(), "to-be-forgotten"), Vec::<String>::new());
    assert_eq!((forgotten.backups.len(), forgotten.removed_backups.len()), (2, 1));
    assert_eq!(
        (forgotten.rows["snapshots"], forgotten.rows["events"], forgotten.rows["people"]),
        (120, 120, 1)
    );
    assert_eq!(forgotten.rows["swept_people"], 1);
    assert!(!forgotten.wal_in_use && store.erasures().is_erased(person));
    assert_eq!(hits(&copies, OTHER).len(), others, "the backups still hold everybody else");
    assert_eq!(place.count("SELECT count(*) FROM visits").await, 120);
    assert_eq!(place.count("SELECT count(*) FROM events WHERE person_id IS NULL").await, 1);
    store.close().await.unwrap();
    assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
    assert!(presenced::store::check::examine(&place.file()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_erased_user_is_not_watched_before_the_list_was_without_them() {
    let place = Place::new();
    let store = place.open().await;
    lived_in(&store).await;
    store.erasures().forget(&identity(ID), None, START).await.unwrap();
    let list = vec![identity(ID), identity(OTHER)];
    for _ in 0..2 {
        assert_eq!(store.erasures().erased_of(list.clone(), later(1)).await.unwrap(), [identity(ID)].into());
    }
    store.close().await.unwrap();
    let store = place.open().await;
    assert_eq!(store.erasures().erased_of(list.clone(), later(1)).await.unwrap(), [identity(ID)].into());
    assert!(store.erasures().erased_of(vec![identity(OTHER)], later(2)).await.unwrap().is_empty());
    assert!(
        store.erasures().erased_of(list, later(3)).await.unwrap().is_empty(),
        "put on the list on purpose"
    );
    assert_eq!(place.count("SELECT count(*) FROM forgotten WHERE lifted_at IS NOT NULL").await, 1);
}

#[tokio::test]
async fn what_a_poll_still_brings_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let person = lived_in(&store).await;
    store.erasures().forget(&identity(ID), None, START).await.unwrap();
    let late = store.recorder().record(joined(person, ID, "late")).await.unwrap_err();
    assert!(matches!(late, StoreError::NoPerson { .. }), "{late}");
    let again = store.watch_list().enroll(vec![enrolment(ID)]).await.unwrap().0.remove(0);
    assert_ne!(again.person_id, person, "a row is never given twice");
}

#[tokio::test]
async fn a_body_that_names_the_user_elsewhere_stops_the_whole_erasure() {
    let place = Place::new();
    let store = place.open().await;
    lived_in(&store).await;
    let mut odd = outgoing("evt_odd", OTHER, &[]);
    odd.draft.event_type = EventType::SystemAlert;
    odd.draft.identity = None;
    odd.draft.data.cause = Some(ID.to_owned());
    store.recorder().record_system(None, vec![odd]).await.unwrap();
    let error = store.erasures().forget(&identity(ID), None, START).await.unwrap_err();
    assert!(error.to_string().contains("nothing was erased"), "{error}");
    assert_eq!(place.count("SELECT count(*) FROM people").await, 2);
    assert_eq!(place.count("SELECT count(*) FROM visits").await, 240);
}

#[tokio::test]
async fn an_old_backup_does_not_bring_anybody_back() {
    let place = Place::new();
    let store = place.open().await;
    lived_in(&store).await;
    let abroad = tempfile::tempdir().unwrap();
    let elsewhere = abroad.path().join("elsewhere.db");
    backup::backup(&place.file(), &elsewhere).await.unwrap();
    store.erasures().forget(&identity(ID), None, START).await.unwrap();
    store.close().await.unwrap();
    let restored = restore::restore(&elsewhere, &place.file(), later(5)).await.unwrap();
    assert_eq!(restored.forgotten, 1);
    assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
    assert_eq!(place.count("SELECT count(*) FROM forgotten").await, 1);
}

/// Once the note of an erasure went with the person's line in the config, and any older copy brought the person back.
#[tokio::test]
async fn an_older_copy_brings_back_no_person_who_left_the_config_after_the_erasure() {
    let place = Place::new();
    let store = place.open().await;
    lived_in(&store).await;
    let abroad = tempfile::tempdir().unwrap();
    let older = abroad.path().join("older.db");
    backup::backup(&place.file(), &older).await.unwrap();
    store.erasures().forget(&identity(ID), None, START).await.unwrap();
    assert!(store.erasures().erased_of(vec![identity(OTHER)], later(1)).await.unwrap().is_empty());
    store.close().await.unwrap();
    for restored in 1..=2_u64 {
        let done = restore::restore(&older, &place.file(), later(4 + restored)).await.unwrap();
        assert_eq!(done.forgotten, 1, "restore {restored}");
        assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
    }
    // Still lifted: the operator may watch the person again, on purpose.
    let store = place.open().await;
    let both = vec![identity(ID), identity(OTHER)];
    assert!(store.erasures().erased_of(both, later(9)).await.unwrap().is_empty());
    lived_in(&store).await;
    let newer = abroad.path().join("newer.db");
    backup::backup(&place.file(), &newer).await.unwrap();
    store.close().await.unwrap();
    let done = restore::restore(&newer, &place.file(), later(10)).await.unwrap();
    assert_eq!(done.forgotten, 0, "what came after the erasure came on purpose");
    assert_eq!(place.count("SELECT count(*) FROM people").await, 2);
}

#[tokio::test]
async fn a_list_of_erasures_that_cannot_be_read_stops_the_restore() {
    let place = Place::new();
    let store = place.open().await;
    lived_in(&store).await;
    let copy = place.folder.path().join("copy.db");
    backup::backup(&place.file(), &copy).await.unwrap();
    store.erasures().forget(&identity(ID), None, START).await.unwrap();
    store.close().await.unwrap();
    let page = place.count("SELECT rootpage FROM sqlite_schema WHERE name = 'forgotten'").await;
    let mut bytes = fs::read(place.file()).unwrap();
    let from = (usize::try_from(page).unwrap() - 1) * 4096;
    bytes[from..from + 4096].fill(0x5a);
    fs::write(place.file(), &bytes).unwrap();
    let error = restore::restore(&copy, &place.file(), later(5)).await.unwrap_err();
    assert!(matches!(error, StoreError::Erasures { .. }), "{error}");
    assert!(fs::read(place.file()).unwrap() == bytes, "nothing was changed");
    assert!(!place.folder.path().join("presence.db.restoring").exists());
}

/// Once such a copy was removed, whole, and the command ended well.
#[tokio::test]
async fn a_copy_that_another_program_reads_is_named_and_nothing_is_erased_until_it_can_be_cleaned() {
    let place = Place::new();
    let copies = place.folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let store = place.open().await;
    lived_in(&store).await;
    let copy = backup::managed_name(&copies, "2026-11-22");
    backup::backup(&place.file(), &copy).await.unwrap();
    let mut reader = SqliteConnectOptions::new().filename(&copy).read_only(true).connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM visits").execute(&mut reader).await.unwrap();
    let error = store.erasures().forget(&identity(ID), Some(&copies), START).await.unwrap_err();
    assert!(matches!(error, StoreError::Copy { .. }), "{error}");
    assert!(error.to_string().contains("presenced-2026-11-22.db"), "{error}");
    assert!(copy.exists());
    assert_eq!(place.count("SELECT count(*) FROM people").await, 2, "the command can be repeated");
    reader.close().await.unwrap();
    let forgotten = store.erasures().forget(&identity(ID), Some(&copies), START).await.unwrap();
    assert_eq!(forgotten.backups, [copy]);
    assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_restore_set_aside_is_cleaned_as_well() {
    let place = Place::new();
    let store = place.open().await;
    lived_in(&store).await;
    let copy = place.folder.path().join("copy.db");
    backup::backup(&place.file(), &copy).await.unwrap();
    store.close().await.unwrap();
    let kept = restore::restore(&copy, &place.file(), later(5)).await.unwrap().kept.unwrap();
    fs::remove_file(&copy).unwrap();
    assert!(kept.exists());
    let store = place.open().await;
    let forgotten = store.erasures().forget(&identity(ID), None, START).await.unwrap();
    assert_eq!(forgotten.backups, std::slice::from_ref(&kept));
    assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
    assert!(kept.exists() && !hits(place.folder.path(), OTHER).is_empty());
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_sweeps_taught_is_kept_and_nothing_of_an_erased_user_comes_back() {
    let place = Place::new();
    let store = place.open().await;
    let person = lived_in(&store).await;
    let (rows, people) = store.sweep_state().load().await.unwrap();
    assert_eq!(rows, [sweeps()]);
    assert_eq!(people.len(), 2);
    store.erasures().forget(&identity(ID), None, START).await.unwrap();
    let late = people.into_iter().find(|swept| swept.person_id == person).unwrap();
    store.sweep_state().save(SweepRow { agreed: 4, ..sweeps() }, vec![late]).await.unwrap();
    let (rows, people) = store.sweep_state().load().await.unwrap();
    assert_eq!((rows[0].agreed, people.len()), (4, 1));
    store.close().await.unwrap();
    assert_eq!(hits(place.folder.path(), ID), Vec::<String>::new());
}
