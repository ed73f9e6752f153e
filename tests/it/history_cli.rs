//! `presenced db` and `presenced report`, as a shell sees them.

use std::process::{Command, Output};

use crate::harness::daemon::{Daemon, Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::receiver::Receiver;

const ID: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const ROOM: &str = "654058f2411fe90147e68780";

/// A daemon that has seen one person join and one stay away.
fn running() -> (Fake, Site, Daemon) {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say(ID, &inside(ID, ROOM, 3, 1_699_347_295_876, ""));
    let poll = "interval = \"50ms\"\nmin_interval = \"50ms\"";
    let site = Site::new(&fake.base(), &receiver.url(), &[ID, "other"], poll, "");
    let daemon = site.start();
    receiver.wait(1);
    (fake, site, daemon)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn ok(site: &Site, arguments: &[&str]) -> String {
    let output = site.command(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn ends_with(site: &Site, code: i32, arguments: &[&str]) -> Output {
    let output = site.command(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    output
}

#[test]
fn what_looks_works_with_the_daemon_up_and_down() {
    let (_fake, site, daemon) = running();
    let look = |up: bool| {
        assert_eq!(
            ok(&site, &["db", "sql", "SELECT 1.25 AS real, 'a,b' AS text, NULL AS empty", "-o", "jsonl"]),
            "{\"real\":1.25,\"text\":\"a,b\",\"empty\":null}\n"
        );
        assert_eq!(ok(&site, &["db", "sql", "SELECT who FROM v_now", "-o", "csv"]), format!("who\n{ID}\n"));
        assert!(ok(&site, &["db", "sql", "@now", "-o", "csv"]).contains(ROOM));
        assert_eq!(ok(&site, &["db", "sql", "SELECT 1 AS n WHERE 0", "-o", "csv"]), "n\n");
        assert!(ok(&site, &["db", "sql"]).contains("@together"));
        let info = ok(&site, &["db", "info"]);
        assert!(
            info.contains("rows in visits") && info.contains(if up { "wal" } else { "delete" }),
            "{info}"
        );
        assert!(ok(&site, &["db", "check"]).contains("is intact"));
        let trace = ok(&site, &["db", "export-trace"]);
        let expected = format!(
            "{{\"user\":\"{ID}\",\"conference\":\"{ROOM}\",\"joined_ms\":1699347295876,\"left_ms\":null}}\n"
        );
        assert_eq!(trace, expected);
        let report = ok(&site, &["report", "-o", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
        assert_eq!(rows.len(), 8, "seven days of one, one of the other, who was not known before: {report}");
        let copy = site.path(if up { "up.db" } else { "down.db" });
        ok(&site, &["db", "backup", copy.to_str().unwrap()]);
        assert_eq!(sqlite3(&copy, "SELECT count(*) FROM v_visits"), "1");
    };
    look(true);
    daemon.terminate();
    look(false);
}

#[test]
fn a_damaged_event_hides_no_other_one() {
    let (_fake, site, daemon) = running();
    daemon.terminate();
    let all = ok(&site, &["events", "-o", "jsonl"]).lines().count();
    assert!(all >= 2, "one joined, and a snapshot or more was recorded");
    let damage = "UPDATE events SET body = CAST(x'7bff7d' AS TEXT) WHERE sequence = 1";
    let mut shell = Command::new("sqlite3");
    assert!(shell.arg(site.database()).arg(damage).status().expect("sqlite3").success());
    for format in ["table", "json", "jsonl", "csv"] {
        let ended = ends_with(&site, 1, &["events", "-o", format]);
        let said = text(&ended.stderr);
        assert!(said.contains("damaged events are left out (sequence 1)"), "{said}");
        let rest = text(&ended.stdout);
        assert!(!rest.is_empty() && !rest.contains('\u{fffd}'), "{format}: {rest}");
        assert!(format != "jsonl" || rest.lines().count() == all - 1, "{rest}");
    }
    let found = text(&ends_with(&site, 1, &["db", "check"]).stdout);
    assert!(found.contains("events, row 1") && found.contains("not UTF-8"), "{found}");
}

#[test]
fn a_wrong_question_ends_with_the_code_for_it() {
    let (_fake, site, daemon) = running();
    for bad in [
        "DELETE FROM visits",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "SELECT nothing FROM nowhere",
        "VACUUM INTO 'x'",
    ] {
        ends_with(&site, 2, &["db", "sql", bad]);
    }
    for shape in ["table", "json", "csv"] {
        let refused = text(&ends_with(&site, 2, &["db", "export-trace", "-o", shape]).stderr);
        // What it says to do instead works.
        let query = refused.split('"').nth(1).unwrap_or_else(|| panic!("{refused}"));
        assert!(ok(&site, &["db", "sql", query, "-o", shape]).contains(ROOM));
    }
    assert_eq!(ok(&site, &["db", "export-trace", "-o", "jsonl"]), ok(&site, &["db", "export-trace"]));
    let unknown = ends_with(&site, 4, &["db", "sql", "@nobody"]);
    assert!(text(&unknown.stderr).contains("@together"));
    ends_with(&site, 4, &["db", "forget", "nobody-of-this-name"]);
    // What shows somebody's history does not erase it.
    ok(&site, &["history", &ID[..9]]);
    let part = text(&ends_with(&site, 2, &["db", "forget", &ID[..9]]).stderr);
    assert!(part.contains("is only a part of") && part.contains(ID), "{part}");
    ends_with(&site, 1, &["db", "backup", site.database().to_str().unwrap()]);
    let restore = ends_with(&site, 1, &["db", "restore", site.database().to_str().unwrap()]);
    assert!(text(&restore.stderr).contains("in use by another presenced"));
    daemon.terminate();
}

#[test]
fn forgetting_and_pruning_go_through_the_daemon_while_it_runs() {
    let (fake, site, daemon) = running();
    let pruned = ok(&site, &["db", "prune", "-o", "csv"]);
    assert!(pruned.contains("visits,0"), "{pruned}");
    let gone = ok(&site, &["db", "forget", ID, "--yes", "-o", "csv"]);
    assert!(gone.contains("people,1") && gone.contains("visits,1"), "{gone}");
    let bytes = |name: &str| std::fs::read(site.path(name)).unwrap_or_default();
    for name in ["presence.db", "presence.db-wal"] {
        assert!(!bytes(name).windows(ID.len()).any(|window| window == ID.as_bytes()), "{name}");
    }
    fake.wait_looks("other", 5);
    let looks = fake.looks(ID);
    fake.wait_looks("other", 20);
    assert!(fake.looks(ID) <= looks + 1, "nobody asks about the forgotten");
    daemon.terminate();
    let daemon = site.start();
    fake.wait_looks("other", 5);
    assert_eq!(sqlite3(&site.database(), "SELECT group_concat(name) FROM people"), "other");
    assert!(daemon.log().contains("were erased"), "{}", daemon.log());
    daemon.terminate();
}

#[test]
fn forgetting_and_restoring_work_without_the_daemon() {
    let (_fake, site, daemon) = running();
    let copy = site.path("copy.db");
    let copy = copy.to_str().unwrap();
    ok(&site, &["db", "backup", copy]);
    daemon.terminate();
    ends_with(&site, 2, &["db", "forget", &ID[..9]]);
    let source = sqlite3(&site.database(), "SELECT source FROM installation");
    let asked = text(&ends_with(&site, 2, &["db", "forget", ID]).stderr);
    assert!(asked.contains("1 visit and") && asked.contains("add `--yes`"), "{asked}");
    assert_eq!(sqlite3(&site.database(), "SELECT count(*) FROM visits"), "1");
    ok(&site, &["db", "forget", ID, "--yes"]);
    assert_eq!(sqlite3(&site.database(), "SELECT count(*) FROM visits"), "0");
    let restored = site.command(&["db", "restore", copy]);
    assert!(text(&restored.stderr).contains("Removed 1 person erased since"), "{}", text(&restored.stderr));
    assert_eq!(sqlite3(&site.database(), "SELECT count(*) FROM visits"), "0");
    assert_ne!(sqlite3(&site.database(), "SELECT source FROM installation"), source);
    ok(&site, &["db", "check"]);
    ok(&site, &["db", "prune"]);
}
