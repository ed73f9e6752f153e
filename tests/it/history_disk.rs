//! The ground goes from under a running daemon: the disk fills up, the file disappears.
//!
//! Guards: a full disk pauses the looking, is said, and ends by itself; a database that is not there any more ends the
//! daemon. Needs root, to mount a small file system of its own. Deliberately not here: the ballast itself (`store`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::loopback;
use crate::harness::receiver::{Receiver, SECRET};

/// A small disk of its own, let go at the end.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    #[track_caller]
    pub(crate) fn mount(at: &Path) -> Self {
        fs::create_dir(at).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(at).output();
        let mounted = mounted.expect("`mount` is part of every Debian");
        assert!(
            mounted.status.success(),
            "this test mounts a small disk, and only root may: run it with sudo ({})",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self(at.to_owned())
    }

    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).expect("a file");
        // Until there is no room, which is an error.
        let _ = std::io::copy(&mut std::io::repeat(7), &mut file);
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("the filler is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because somebody may still have a file of it open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// In and out with every second look, each stay a meeting of its own.
fn restless(union_id: &str, call: u64) -> String {
    if call % 4 < 2 {
        return r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#.to_owned();
    }
    let join_ms = 1_699_347_295_876 + i64::try_from(call / 4).unwrap_or(0) * 1000;
    inside(union_id, &format!("conference{:014}", call / 4), 3, join_ms, "")
}

#[test]
fn a_full_disk_pauses_polling_says_so_and_ends_by_itself() {
    let fake = Fake::scripted(|who, call| Some(response(200, "application/json", &restless(who, call))));
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::mount(&folder.path().join("disk"));
    let database = disk.0.join("presence.db");
    let (hosts, hook) = (loopback::hosts(&fake.base()), receiver.url());
    let site = Site::with_config(&format!(
        "time_zone = \"UTC\"\n[dingtalk]\n{hosts}app_key = \"key\"\napp_secret = \"s\"\n\
         calls_per_month = 0\nrate = 10000\n[poll]\ninterval = \"20ms\"\nmin_interval = \"10ms\"\n\
         leave_after_misses = 1\n[poll.backoff]\ninitial = \"20ms\"\nmax = \"50ms\"\n\
         [[webhook]]\nname = \"hook\"\nurl = \"{hook}\"\nsecret = \"{SECRET}\"\nrate = 10000\n\
         events = [\"meeting.*\", \"system.alert\"]\n\
         [history]\npath = \"{}\"\n[http]\nlisten = \"\"\n[[user]]\nunion_id = \"li\"\n",
        database.display()
    ));
    let daemon = site.start();
    receiver.wait(4);
    // Something waits for the receiver when the disk becomes full.
    let told = |arguments: &[&str]| {
        let output = site.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    told(&["webhook", "pause", "hook"]);
    fake.wait_looks("li", 40);
    disk.fill();
    site.wait_for_log("the disk is full: polling pauses");
    assert!(!disk.0.join("presence.db.ballast").exists());
    let (looks, before) = (fake.looks("li"), receiver.all().len());
    told(&["webhook", "resume", "hook"]);
    // Of one person only one is ever under way: the fourth is sent when the outcome of three is written down. One more may
    // be the alert.
    receiver.wait(before + 5);
    assert!(fake.looks("li") <= looks + 1, "polling is paused");
    assert!(disk.0.join("filler").exists() && !disk.0.join("presence.db.ballast").exists());
    disk.make_room();
    site.wait_for_log("the disk has free space again");
    let before = receiver.wait(0).len();
    receiver.wait(before + 4);
    receiver.wait_alerts("database", &["firing", "resolved"]);
    daemon.terminate();
    assert_eq!(sqlite3(&database, "PRAGMA integrity_check"), "ok");
    assert_eq!(sqlite3(&database, "SELECT count(*) > 0 FROM v_gaps WHERE why = 'disk full'"), "1");
    let twice = "SELECT count(*) FROM (SELECT conference_id, type FROM events WHERE conference_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1)";
    assert_eq!(sqlite3(&database, twice), "0", "nothing was told twice");
}

#[test]
fn a_database_that_is_deleted_or_replaced_ends_the_daemon() {
    for replaced in [false, true] {
        let (fake, receiver) = (Fake::start(), Receiver::start());
        let told = "events = [\"system.alert\"]";
        let site = Site::new(&fake.base(), &receiver.url(), &["li"], "interval = \"1s\"", told);
        let daemon = site.start();
        let aside = site.path("aside.db");
        fs::rename(site.database(), &aside).expect("a file to rename");
        if replaced {
            fs::copy(&aside, site.database()).expect("a copy");
        }
        let (code, log) = daemon.ended();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("was deleted or replaced"), "{log}");
        // The next one knows: what the first one held since is not in its history.
        let daemon = site.start();
        receiver.wait_alerts("database", &["firing"]);
        daemon.terminate();
    }
}

#[test]
fn a_shell_that_holds_the_write_lock_for_half_a_minute_delays_and_breaks_nothing() {
    let fake = Fake::scripted(|who, call| Some(response(200, "application/json", &restless(who, call))));
    let receiver = Receiver::start();
    let poll = "interval = \"100ms\"\nmin_interval = \"100ms\"\nleave_after_misses = 1";
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], poll, "");
    // As the unit has it: whoever is silent for longer is ended by the service manager.
    let daemon = site.start_with(&[("WATCHDOG_USEC", "30000000")]);
    receiver.wait(2);
    // The shell waits for the lock as well: the daemon holds it now and then.
    let script = ".timeout 60000\nBEGIN IMMEDIATE;\n.shell sleep 31\nCOMMIT;\n";
    let mut shell = Command::new("sqlite3")
        .arg(site.database())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("sqlite3");
    std::io::Write::write_all(&mut shell.stdin.take().expect("it is piped"), script.as_bytes())
        .expect("a pipe");
    assert!(shell.wait().expect("sqlite3 ends with its input").success());
    let before = receiver.all().len();
    receiver.wait(before + 4);
    let log = daemon.log();
    assert!(log.contains("waiting for it"), "{log}");
    assert!(!log.contains("hanging"), "the service manager would have ended it:\n{log}");
    daemon.terminate();
    let twice = "SELECT count(*) FROM (SELECT conference_id, type FROM events WHERE conference_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1)";
    assert_eq!(sqlite3(&site.database(), twice), "0", "nothing was told twice");
    assert_eq!(sqlite3(&site.database(), "PRAGMA integrity_check"), "ok");
}

/// What lies in the folder of the database and is its own.
fn beside(database: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = database.parent().expect("a folder");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("presence.db"))
        .map(|path| (path.clone(), fs::read(path).expect("a file")))
        .collect();
    files.sort();
    files
}

#[test]
fn a_database_whose_index_does_not_fit_is_refused_at_the_start_untouched() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say("li", &inside("li", "654058f2411fe90147e68780", 3, 1_699_347_295_876, ""));
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], "interval = \"1s\"", "");
    let daemon = site.start();
    receiver.wait(1);
    daemon.terminate();
    let unfit = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET \
        sql = 'CREATE INDEX visits_by_time ON visits (left_ms)' WHERE name = 'visits_by_time'";
    assert!(Command::new("sqlite3").arg(site.database()).arg(unfit).status().expect("sqlite3").success());
    // Whatever an earlier daemon left beside it; a refused start leaves nothing.
    let _ = fs::remove_file(site.path("presence.db.lock"));
    let before = beside(&site.database());
    for asked in [&["run"][..], &["db", "check"], &["db", "backup", "copy.db"]] {
        let refused = site.command(asked);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{asked:?}: {said}");
        assert!(said.contains("is damaged") && said.contains("presenced db restore"), "{asked:?}: {said}");
        assert!(asked != ["run"] || said.contains("it was not touched"), "{said}");
        assert!(beside(&site.database()) == before, "{asked:?} left everything as it was");
    }
}

#[test]
fn a_long_start_asks_for_more_time_and_ends_at_once_on_a_signal() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], "interval = \"1s\"", "");
    site.start().terminate();
    let (before, looks) = (beside(&site.database()), fake.looks("li"));
    // Nobody can so much as read the file until the shell's input ends.
    let mut shell = Command::new("sqlite3")
        .arg(site.database())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("sqlite3");
    let mut hand = shell.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut hand, b"BEGIN EXCLUSIVE;\nSELECT 'held';\n").expect("a pipe");
    let mut said = [0; 4];
    std::io::Read::read_exact(&mut shell.stdout.take().expect("it is piped"), &mut said).expect("a line");
    let daemon = site.begin();
    daemon.wait_told("EXTEND_TIMEOUT_USEC=");
    daemon.terminate();
    drop(hand);
    assert!(shell.wait().expect("sqlite3 ends with its input").success());
    assert!(beside(&site.database()) == before);
    assert_eq!(fake.looks("li"), looks, "nobody was looked at");
}
