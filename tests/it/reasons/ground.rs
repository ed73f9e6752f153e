//! Reasons that are the machine's or the operator's own: no room, a locked database, a closed window.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use presenced::clock::{Clock as _, SystemClock};

use super::deliveries::inside_of;
use super::{House, QUICK, json, until};
use crate::harness::daemon::sqlite3;
use crate::harness::fake::inside;
use crate::history_disk::SmallDisk;

const HELD: &str = "database: another process holds the write lock";

#[test]
fn a_full_disk_is_named_everywhere_until_there_is_room() {
    let house = House::new(QUICK);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::mount(&folder.path().join("disk"));
    let database = disk.0.join("presence.db");
    house.site.edit("path = \"presence.db\"", &format!("path = \"{}\"", database.display()));
    let daemon = house.started();
    disk.fill();
    // Each answer is about another meeting, so that there is more and more to write.
    let meetings = AtomicU64::new(0);
    house.say(move |who| {
        let meeting = format!("conference{:014}", meetings.fetch_add(1, Ordering::Relaxed));
        Some(Some(json(200, &inside(who, &meeting, 3, 1_699_347_295_876, ""))))
    });
    until("status", || {
        let daemon = &house.status()["daemon"];
        let reason = daemon["degraded"][0]["reason"].as_str().unwrap_or_default();
        let reasons = daemon["reasons"].to_string();
        if reason.starts_with("disk full: ") && reasons.contains("database: disk full: ") {
            Ok(())
        } else {
            Err(reasons)
        }
    });
    house.until_screen("poll of default: disk full: ");
    let (ready, body) = house.readyz();
    assert!(
        !ready
            && body["degraded"][0]["reason"].as_str().is_some_and(|reason| reason.starts_with("disk full: ")),
        "{body}"
    );
    house.until_metric("presenced_polling_blocked{org=\"default\",reason=\"disk full\"} 1");
    let open = "SELECT coalesce(who, 'everybody'), why FROM v_gaps WHERE to_at IS NULL";
    until("v_gaps", || match sqlite3(&database, open) {
        found if found == "everybody|disk full" => Ok(()),
        found => Err(found),
    });
    disk.make_room();
    house.wait_polled();
    house.receiver.wait_alerts("database", &["firing", "resolved"]);
    house.until_screen("health good");
    house.until_metric("presenced_polling_blocked{org=\"default\",reason=\"disk full\"} 0");
    until("v_gaps", || match sqlite3(&database, open) {
        found if found.is_empty() => Ok(()),
        found => Err(found),
    });
    assert_eq!(sqlite3(&database, "SELECT count(*) > 0 FROM v_gaps WHERE why = 'disk full'"), "1");
    daemon.terminate();
}

/// While it lasts nothing can be written, so neither `v_gaps` nor an alert can tell.
#[test]
fn a_locked_database_is_named_until_the_lock_is_gone() {
    let house = House::new(QUICK);
    let daemon = house.started();
    let mut shell =
        Command::new("sqlite3").arg(house.site.database()).stdin(Stdio::piped()).spawn().expect("sqlite3");
    let mut say = shell.stdin.take().expect("it is piped");
    say.write_all(b".timeout 60000\nBEGIN IMMEDIATE;\n").expect("a pipe");
    until("status -o json", || {
        let reasons = &house.status()["daemon"]["reasons"];
        if reasons[0].as_str().is_some_and(|reason| reason.starts_with(HELD)) {
            Ok(())
        } else {
            Err(reasons.to_string())
        }
    });
    house.until_screen(HELD);
    let (ready, body) = house.readyz();
    assert!(!ready && body["reasons"][0].as_str().is_some_and(|reason| reason.starts_with(HELD)), "{body}");
    house.until_metric("presenced_check_ok{check=\"database\",org=\"\"} 0");
    // What is seen meanwhile is delivered afterwards.
    house.say(|who| (who == "li").then(|| Some(json(200, &inside_of(who)))));
    say.write_all(b"COMMIT;\n").expect("a pipe");
    drop(say);
    assert!(shell.wait().expect("sqlite3 ends with its input").success());
    house.receiver.wait_type("meeting.participant_joined");
    house.wait_polled();
    house.until_screen("health good");
    house.until_metric("presenced_check_ok{check=\"database\",org=\"\"} 1");
    daemon.terminate();
}

/// Not a fault: nobody is due.
#[test]
fn a_closed_window_is_named_and_is_no_fault() {
    let house = House::new(QUICK);
    let now = DateTime::<Utc>::from_timestamp_millis(SystemClock.now().as_ms()).expect("a date");
    let hour = |hours| (now + TimeDelta::hours(hours)).format("%H:%M").to_string();
    let window = format!("[[window]]\nfrom = \"{}\"\nto = \"{}\"\n", hour(6), hour(7));
    house.site.edit("[http]", &format!("{window}[http]"));
    let daemon = house.site.start();
    until("status -o json", || {
        let windows = &house.status()["windows"];
        if windows["open_for"] == 0 { Ok(()) } else { Err(windows.to_string()) }
    });
    house.until_screen("windows closed until");
    let (ready, body) = house.readyz();
    assert!(ready && body["checks"].to_string().contains("no user is to be polled now"), "{body}");
    house.until_metric("presenced_ready 1");
    house.until_sql("SELECT coalesce(who, 'everybody'), why FROM v_gaps", "everybody|window closed");
    house.site.edit(&window, "");
    house.done(&["reload"]);
    house.wait_polled();
    daemon.terminate();
}
