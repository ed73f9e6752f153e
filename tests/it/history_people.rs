//! Readable by hand, always: two real users, one who runs the daemon and one who only belongs to its group.
//!
//! Guards: the reader sees everything while the daemon runs, after kill -9 and after a clean stop, and nothing the reader
//! does keeps the daemon from starting, writing or stopping. Needs root, to be two other users. Deliberately not here:
//! what there is to read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::daemon::{Site, ended, output};
use crate::harness::fake::{Fake, inside};
use crate::harness::receiver::Receiver;

/// Numbers that need no account: files, processes and permissions know only numbers.
const DAEMON: u32 = 61_201;
const READER: u32 = 61_202;
const GROUP: u32 = 61_200;

/// Somebody else, with only the shared group.
fn as_user(user: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={GROUP}")).arg("--clear-groups").arg(program);
    command.current_dir("/");
    command
}

#[track_caller]
fn need_root() {
    let is_root = output(Command::new("id").arg("-u")).stdout == b"0\n";
    assert!(
        is_root,
        "this test runs as two other users, and only root can be somebody else: run it with sudo"
    );
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What the reader finds, by the shell of the system and by our own.
#[track_caller]
fn read_by_hand(database: &Path, config: &Path, binary: &Path) -> String {
    let before = names(database.parent().expect("a file is in a folder"));
    let query = "SELECT count(*) FROM v_visits";
    let found = ok(&output(as_user(READER, "sqlite3").arg("-readonly").arg(database).arg(query)));
    // Somebody who forgets `-readonly` cannot do any harm either.
    assert_eq!(ok(&output(as_user(READER, "sqlite3").arg(database).arg(query))), found);
    let refused = output(as_user(READER, "sqlite3").arg(database).arg("DELETE FROM visits"));
    assert!(!refused.status.success(), "a reader could write");
    // Whether this says something or fails does not matter; what it leaves does.
    let meddling = "PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE); SELECT 1";
    let _ = output(as_user(READER, "sqlite3").arg(database).arg(meddling));
    let sql = ["db", "sql", "SELECT count(*) AS n FROM v_visits", "-o", "csv", "-c"];
    let ours = output(as_user(READER, &binary.to_string_lossy()).args(sql).arg(config));
    assert_eq!(ok(&ours), format!("n\n{found}"));
    assert_eq!(names(database.parent().expect("a file is in a folder")), before, "the reader left something");
    found
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with("presence.db"));
    names.sort();
    names
}

/// A place both may enter, with a copy of the binary that both may run.
fn stage(site: &Site) -> (PathBuf, PathBuf) {
    let folder = site.database().parent().expect("a file is in a folder").to_owned();
    chown(&folder, Some(DAEMON), Some(GROUP)).expect("root may give away");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).expect("root may change modes");
    {
        let name = "config.toml";
        chown(folder.join(name), Some(DAEMON), Some(GROUP)).expect("root may give away");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o640))
            .expect("root may change modes");
    }
    let binary = folder.join("presenced");
    fs::copy(env!("CARGO_BIN_EXE_presenced"), &binary).expect("the binary can be copied");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("root may change modes");
    (folder, binary)
}

struct Run(std::process::Child);

impl Run {
    fn start(folder: &Path, binary: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log");
        let child = as_user(DAEMON, &binary.to_string_lossy())
            .arg("run")
            .env("PRESENCED_CONFIG", folder.join("config.toml"))
            .env("XDG_RUNTIME_DIR", folder)
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().expect("a child to kill");
        self.0.wait().expect("a child to wait for");
    }

    fn terminate(mut self, folder: &Path) {
        let sent = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        assert!(sent.expect("`kill` is there").success());
        let code = ended(&mut self.0);
        assert_eq!(code, Some(0), "{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_member_of_the_group_reads_while_it_runs_after_a_kill_and_after_a_stop() {
    need_root();
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say("li", &inside("li", "654058f2411fe90147e68780", 3, 1_699_347_295_876, ""));
    let poll = "interval = \"50ms\"\nmin_interval = \"50ms\"";
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], poll, "");
    let (folder, binary) = stage(&site);
    let (database, config) = (site.database(), folder.join("config.toml"));

    let run = Run::start(&folder, &binary);
    receiver.wait(1);
    assert_eq!(read_by_hand(&database, &config, &binary), "1");
    // A shell that stays open while the daemon goes through all that follows.
    let mut idle = as_user(READER, "sqlite3")
        .arg("-readonly")
        .arg(&database)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sqlite3");
    run.kill();
    assert_eq!(read_by_hand(&database, &config, &binary), "1", "after kill -9");

    let run = Run::start(&folder, &binary);
    fake.wait_looks("li", 2);
    assert_eq!(read_by_hand(&database, &config, &binary), "1", "after a restart");
    run.terminate(&folder);
    assert_eq!(read_by_hand(&database, &config, &binary), "1", "after a clean stop");
    drop(idle.stdin.take());
    assert_eq!(ended(&mut idle), Some(0), "sqlite3 ends with its input");

    let run = Run::start(&folder, &binary);
    fake.wait_looks("li", 2);
    run.terminate(&folder);
    assert_eq!(read_by_hand(&database, &config, &binary), "1", "after a stop that nobody disturbed");
    let mode =
        |name: &str| fs::metadata(folder.join(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode("presence.db"), 0o640);
    assert_eq!(names(&folder), ["presence.db", "presence.db.lock"]);
}
