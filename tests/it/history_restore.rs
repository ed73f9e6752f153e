//! Restoring, killed at each of its steps.
//!
//! Guards: whatever step it is killed at, one whole database is there, the old one with what its WAL held or the new one, and
//! the next restore or start goes well. Needs strace. Deliberately not here: what a restore checks and says
//! (`history_upkeep`).
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use presenced::store::{backup, check};

use crate::harness::daemon::{Site, output, sqlite3};
use crate::store_fixture::{Place, enroll_one, filled, joined};

/// The calls that change what lies under which name, what is in it, and what of it is on the disk.
const STEPS: [&str; 9] = [
    "pwrite64",
    "link,linkat",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fchmod",
    "fchown",
];
/// More than any of the others has.
const MOST: u32 = 200;

/// An old database of 51 events, one of them only in the WAL that a crash left, and a copy of 50.
async fn crashed() -> Place {
    let (place, store) = filled().await;
    backup::backup(&place.file(), &place.folder.path().join("copy.db")).await.unwrap();
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "in_the_wal")).await.unwrap();
    let crashed = Place::new();
    for name in ["presence.db", "presence.db-wal", "presence.db-shm", "copy.db"] {
        fs::copy(place.folder.path().join(name), crashed.folder.path().join(name)).unwrap();
    }
    store.close().await.unwrap();
    crashed
}

/// Runs `db restore`, killed before the `nth` of these calls: of the thread that puts things in place, or of the first thread
/// that comes so far (`follow`), which are those of SQLite. Gives whether it came to that.
fn killed(site: &Site, calls: &str, nth: u32, follow: bool) -> bool {
    let script = format!(
        "strace {} -qq -o /dev/null -e trace={calls} -e inject={calls}:signal=KILL:when={nth} \
         \"$0\" db restore copy.db -c config.toml; code=$?; [ $code -ge 128 ] && exit 99; exit $code",
        if follow { "-f" } else { "" }
    );
    let binary = env!("CARGO_BIN_EXE_presenced");
    let traced = output(Command::new("sh").args(["-c", &script, binary]).current_dir(site.path("")));
    match traced.status.code() {
        Some(99) => true,
        Some(0) => false,
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&traced.stderr)),
    }
}

fn events(database: &Path) -> String {
    sqlite3(database, "SELECT count(*) FROM events")
}

#[tokio::test]
async fn a_restore_that_is_killed_at_any_step_leaves_one_whole_database() {
    let start = crashed().await;
    let site = Site::new("http://127.0.0.1:9", "http://127.0.0.1:9/", &["li"], "", "");
    let mut kills = 0;
    let mut found = std::collections::BTreeSet::new();
    for (calls, follow) in STEPS.into_iter().flat_map(|calls| [(calls, false), (calls, true)]) {
        // What is written between the steps is the same again and again: not each of it.
        let next = |nth: &u32| Some(if calls == "pwrite64" { 2 * nth } else { nth + 1 });
        for nth in std::iter::successors(Some(1), next).take_while(|&nth| nth < MOST) {
            for entry in fs::read_dir(site.path("")).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap() != "config.toml" {
                    fs::remove_file(path).unwrap();
                }
            }
            for name in ["presence.db", "presence.db-wal", "presence.db-shm", "copy.db"] {
                fs::copy(start.folder.path().join(name), site.path(name)).unwrap();
            }
            if !killed(&site, calls, nth, follow) {
                break;
            }
            kills += 1;
            let at = format!("killed at {calls} {nth}");
            let troubles = check::examine(&site.database()).await.unwrap();
            assert!(troubles.is_empty(), "{at}: {troubles:?}");
            let events = events(&site.database());
            assert!(events == "51" || events == "50", "{at}: {events}");
            found.insert(events);
            let again = site.command(&["db", "restore", "copy.db"]);
            assert!(again.status.success(), "{at}: {}", String::from_utf8_lossy(&again.stderr));
            assert_eq!(self::events(&site.database()), "50", "{at}");
            assert!(!site.path("presence.db.restoring").exists(), "{at}");
        }
    }
    assert!(kills > 10, "{kills} kills");
    assert_eq!(found.len(), 2, "killed before and after the rename: {found:?}");
}
