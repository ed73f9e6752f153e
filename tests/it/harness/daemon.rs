//! The binary, run as its user runs it: a config file, READY over the notify socket, signals.
//!
//! Guards: no test process is left behind. Deliberately not here: anything in-process.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, UNIX_EPOCH};

use presenced::clock::{Clock, SystemClock};

use super::receiver::SECRET;
use super::{LAST, LIMIT, Patience, loopback, said};

/// A folder with a config, and the commands run on it.
#[derive(Debug)]
pub(crate) struct Site {
    dir: tempfile::TempDir,
    /// What commands printed.
    printed: Mutex<String>,
    /// Every config there was.
    configs: Mutex<String>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.remember_config();
        let text = |of: &Mutex<String>| of.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let log = std::fs::read(self.path("log")).unwrap_or_default();
        said::keep(&String::from_utf8_lossy(&log), &text(&self.printed), &text(&self.configs));
    }
}

impl Site {
    /// With everything pointed at loopback: `base` is DingTalk, `hook` the receiver.
    pub(crate) fn new(base: &str, hook: &str, users: &[&str], poll: &str, webhook: &str) -> Self {
        let person = |id: &&str| format!("[[user]]\nunion_id = \"{id}\"\nname = \"{id}\"\n");
        let people = users.iter().map(person).collect::<Vec<_>>().concat();
        let hosts = loopback::hosts(base);
        Self::with_config(&format!(
            r#"
time_zone = "UTC"
[dingtalk]
{hosts}app_key = "key"
app_secret = "secret-of-the-app"
calls_per_month = 0
rate = 10000
concurrency = 8
timeout = "2s"
[poll]
{poll}
[[webhook]]
name = "hook"
url = "{hook}"
secret = "{SECRET}"
{webhook}
rate = 10000
[history]
path = "presence.db"
[http]
listen = ""
{people}
"#
        ))
    }

    /// With this config as it stands; like every config that is written here, it must not lead beyond this machine.
    #[track_caller]
    pub(crate) fn with_config(text: &str) -> Self {
        let text = loopback::at_home(text);
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("config.toml"), text).expect("a writable folder");
        Self { dir, printed: Mutex::default(), configs: Mutex::default() }
    }

    fn remember_config(&self) {
        let text = std::fs::read(self.path("config.toml")).unwrap_or_default();
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        configs.push_str(&String::from_utf8_lossy(&text));
    }

    /// Changes the config's text.
    #[track_caller]
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.path("config.toml");
        let text = std::fs::read_to_string(&file).expect("a config");
        assert!(text.contains(from), "nothing to change");
        self.remember_config();
        std::fs::write(&file, loopback::at_home(&text.replace(from, to))).expect("a writable folder");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("presence.db")
    }

    pub(crate) fn config(&self) -> String {
        std::fs::read_to_string(self.path("config.toml")).expect("a config")
    }

    /// Moved into place, as careful editors do.
    #[track_caller]
    pub(crate) fn rewrite(&self, text: impl AsRef<[u8]>) {
        // What is no text is no config either.
        let _ = std::str::from_utf8(text.as_ref()).map(loopback::at_home);
        self.remember_config();
        std::fs::write(self.path("config.new"), text).expect("a writable folder");
        // A date that `tests/dates` fakes is not the file system's.
        let file =
            std::fs::File::options().append(true).open(self.path("config.new")).expect("a file just written");
        let now = u64::try_from(SystemClock.now().as_ms()).expect("after 1970");
        file.set_modified(UNIX_EPOCH + Duration::from_millis(now)).expect("a writable file");
        std::fs::rename(self.path("config.new"), self.path("config.toml")).expect("a writable folder");
    }

    /// Runs a command to its end.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let output = output(self.prepared().args(arguments));
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in [&output.stdout, &output.stderr] {
            printed.push_str(&String::from_utf8_lossy(stream));
        }
        output
    }

    /// Starts the daemon, which logs all it can, and waits until it says READY.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)]) -> Daemon {
        self.launch(&["-vv"], variables)
    }

    /// The same as it is started by its unit: it logs what the config says.
    pub(crate) fn start_as_shipped(&self) -> Daemon {
        self.start_as_shipped_with(&[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_as_shipped_with(&self, variables: &[(&str, &str)]) -> Daemon {
        self.launch(&[], variables)
    }

    /// Starts it and does not wait.
    pub(crate) fn begin(&self) -> Daemon {
        self.spawn(&["-vv"], &[])
    }

    /// Starts it with a standard error that is never read; the other end must be kept.
    pub(crate) fn start_unread(&self) -> (Daemon, PipeReader) {
        let (unread, stderr) = std::io::pipe().expect("a pipe");
        let daemon = self.spawn_into(&["-vv"], &[], stderr.into());
        daemon.wait_told("READY=1");
        (daemon, unread)
    }

    fn launch(&self, options: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let daemon = self.spawn(options, variables);
        daemon.wait_told("READY=1");
        daemon
    }

    fn spawn(&self, options: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log file");
        self.spawn_into(options, variables, log.into())
    }

    fn spawn_into(&self, options: &[&str], variables: &[(&str, &str)], stderr: Stdio) -> Daemon {
        let socket_path = self.path("notify");
        // A socket file that a killed daemon's start left behind is in the way.
        let _ = std::fs::remove_file(&socket_path);
        let socket = UnixDatagram::bind(&socket_path).expect("a notify socket");
        // So often its reader looks whether anybody still wants to know.
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time limit");
        let mut command = self.prepared();
        if variables.iter().any(|(name, _)| name.starts_with("FAKETIME")) {
            // The date that `tests/dates` fakes for all tests would win.
            command.env_remove("FAKETIME");
        }
        let child = command
            .arg("run")
            .args(options)
            .env("NOTIFY_SOCKET", &socket_path)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        let wanted = Arc::new(());
        let told = listen(socket, Arc::downgrade(&wanted));
        Daemon { child, log: self.path("log"), told, _wanted: wanted }
    }

    /// Waits until the log has a line with this. It has no bell: `tail` follows it, with a limit.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, word: &str) {
        self.wait_for_log_lines(word, 1);
    }

    /// Waits until the log has so many lines with this.
    #[track_caller]
    pub(crate) fn wait_for_log_lines(&self, word: &str, lines: usize) {
        let mut tail = Command::new("timeout")
            .arg(LIMIT.as_secs().to_string())
            .args(["tail", "-n", "+1", "-F"])
            .arg(self.path("log"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`timeout` and `tail` are part of every Debian");
        let written = BufReader::new(tail.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let found = written.filter(|line| line.contains(word)).take(lines).count();
        // It may have ended by its own limit.
        let _ = tail.kill();
        let _ = tail.wait();
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(found == lines, "waited in vain for: {word}\n{log}");
    }

    #[track_caller]
    fn prepared(&self) -> Command {
        // Also what a test put there past `rewrite`.
        loopback::at_home(&std::fs::read_to_string(self.path("config.toml")).unwrap_or_default());
        let mut command = Command::new(env!("CARGO_BIN_EXE_presenced"));
        command
            .current_dir(self.dir.path())
            .env("PRESENCED_CONFIG", self.path("config.toml"))
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("NOTIFY_SOCKET")
            .env("NO_COLOR", "1");
        command
    }
}

/// Reads what the daemon says to its service manager, as one does: always.
fn listen(socket: UnixDatagram, wanted: Weak<()>) -> Receiver<String> {
    let (sender, told) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 4096];
        while wanted.strong_count() > 0 {
            // An error: nothing was said for a while.
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            // An error: the daemon has just been dropped.
            let _ = sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    told
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    told: Receiver<String>,
    _wanted: Arc<()>,
}

impl Daemon {
    /// SIGTERM; it must end with 0.
    #[track_caller]
    pub(crate) fn terminate(mut self) {
        signal(&self.child, "TERM");
        let code = self.code();
        assert_eq!(code, Some(0), "{}", self.log());
    }

    /// Any signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Its exit code, once it has ended.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.code()
    }

    fn code(&mut self) -> Option<i32> {
        ended(&mut self.child)
    }

    /// Waits until it tells the service manager that it is stopping.
    #[track_caller]
    pub(crate) fn wait_stopping(&self) {
        self.wait_told("STOPPING=1");
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child to kill");
        self.child.wait().expect("a child to wait for");
    }

    /// Waits until it ends by itself, and gives its code and what it said.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        (self.code(), self.log())
    }

    /// Waits until the service manager would have been told this.
    #[track_caller]
    pub(crate) fn wait_told(&self, word: &str) {
        let (patience, mut last) = (Patience::of(LAST), None);
        while let Some(left) = patience.left() {
            match self.told.recv_timeout(left) {
                Ok(said) if said.contains(word) => return,
                Ok(said) => last = Some(said),
                Err(error) => panic!("no {word} after {last:?}: {error}\n{}", self.log()),
            }
        }
        panic!("no {word}, and {last:?} in the end\n{}", self.log());
    }

    /// Memory that is really used, as Linux counts it.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// SIGHUP, so many times as fast as a shell can.
    #[track_caller]
    pub(crate) fn hang_up(&self, times: u32) {
        let script = "i=0; while [ $i -lt $2 ]; do kill -HUP $1 || exit 1; i=$((i + 1)); done";
        let (pid, times) = (self.child.id().to_string(), times.to_string());
        let sent = Command::new("sh").args(["-c", script, "sh", &pid, &times]).status();
        assert!(sent.expect("a shell is there").success(), "SIGHUP could not be sent\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let pid = child.id();
    let output = killed_after(LAST, pid, || child.wait_with_output()).expect("a child to wait for");
    let printed = || String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some(), "{command:?} did not end by itself\n{}", printed());
    output
}

/// The code a child ends with; `None` also where it does not end by itself.
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    killed_after(LAST, child.id(), || child.wait()).expect("a child to wait for").code()
}

/// Waits for a child, which is killed after this long.
fn killed_after<R>(limit: Duration, pid: u32, wait: impl FnOnce() -> R) -> R {
    let (pid, (ended, waiting)) = (pid.to_string(), channel::<()>());
    std::thread::spawn(move || {
        // Until the other end is dropped. Nobody else has the number before it was waited for.
        if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    });
    let waited = wait();
    drop(ended);
    waited
}

#[test]
fn a_child_that_does_not_end_is_not_waited_for_without_end() {
    let sleeping =
        || Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().expect("`sleep` is there");
    let (mut one, other, limit) = (sleeping(), sleeping(), Duration::from_millis(20));
    let (first, second) = (one.id(), other.id());
    assert_eq!(killed_after(limit, first, || one.wait()).expect("waited").code(), None);
    assert_eq!(killed_after(limit, second, || other.wait_with_output()).expect("waited").status.code(), None);
    let said =
        std::panic::catch_unwind(|| output(Command::new("sh").args(["-c", "echo why >&2; kill -KILL $$"])));
    let said = said.unwrap_err().downcast::<String>().expect("a panic with a message");
    assert!(said.contains("did not end by itself\nwhy"), "{said}");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.expect("`kill` is there").success(), "SIG{name} could not be sent");
}

/// Runs a read-only query with the system's own sqlite3.
#[track_caller]
pub(crate) fn sqlite3(database: &Path, query: &str) -> String {
    let output = output(Command::new("sqlite3").arg("-readonly").arg(database).arg(query));
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
