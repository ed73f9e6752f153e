//! One measurement: a server, a subject, a warm-up, two looks at both.
//!
//! Guards: bare loop and daemon are measured by the same code. Deliberately not here: what is printed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::{self, Owned, Usage};
use crate::{Answers, Load, daemon};

/// Where a subject's complaints go: a file, because nobody empties a pipe while it is measured.
pub(crate) const STDERR: &str = "stderr";

/// Who is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// reqwest and serde in a loop, nothing else.
    Bare,
    /// A Python script with DingTalk's official SDK, as `tests/clients/run` installs it.
    Script,
    /// The real binary.
    Daemon,
}

/// What was seen between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    polls: f64,
    posts: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_bytes: f64,
    /// CPU seconds of all processes but the subject and the server.
    pub(crate) others_cpu_seconds: f64,
}

impl Figures {
    pub(crate) fn polls_per_second(&self) -> f64 {
        self.polls / self.wall_seconds
    }

    pub(crate) fn posts_per_second(&self) -> f64 {
        self.posts / self.wall_seconds
    }

    pub(crate) fn cpu_us_per_poll(&self) -> f64 {
        1e6 * self.cpu_seconds / self.polls
    }

    pub(crate) fn cpu_us_per_post(&self) -> f64 {
        1e6 * self.cpu_seconds / self.posts
    }

    /// How many cores other processes used meanwhile.
    pub(crate) fn others_cores(&self) -> f64 {
        self.others_cpu_seconds / self.wall_seconds
    }
}

/// Runs a subject under a load and looks at it for `window`, after everybody was polled once.
pub(crate) fn run(subject: Subject, load: &Load, window: Duration) -> Result<Figures> {
    machine::settle();
    let (server, address) = start_server(load.answers)?;
    let folder = tempfile::tempdir()?;
    let base_url = format!("http://{address}");
    let mut subject = Owned(match subject {
        Subject::Bare => start_bare(&base_url, load, folder.path())?,
        Subject::Script => start_script(&address, load, folder.path())?,
        Subject::Daemon => daemon::start(&base_url, load, folder.path())?,
    });
    warm_up(&mut subject.0, &address, load, folder.path())?;
    let pid = subject.0.id();
    let (busy, mock) = (machine::busy_ticks(), Usage::of(server.0.id())?);
    let (before, start, from) = (counts(&address)?, Instant::now(), Usage::of(pid)?);
    sleep(window);
    let (after, wall, to) = (counts(&address)?, start.elapsed(), Usage::of(pid)?);
    let busy_seconds = (machine::busy_ticks() - busy) as f64 / 100.0;
    let cpu_seconds = to.cpu_seconds_since(&from);
    let mock_seconds = Usage::of(server.0.id())?.cpu_seconds_since(&mock);
    Ok(Figures {
        polls: (after.0 - before.0) as f64,
        posts: (after.1 - before.1) as f64,
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds,
        rss_bytes: to.rss_bytes as f64,
        others_cpu_seconds: (busy_seconds - cpu_seconds - mock_seconds).max(0.0),
    })
}

/// Until as many polls as people were counted, and what the load waits for after them; gives up when nothing moves for
/// a minute.
fn warm_up(subject: &mut Child, address: &str, load: &Load, folder: &Path) -> Result<()> {
    let (mut most, mut moved) = (0, Instant::now());
    loop {
        let (polls, _) = counts(address)?;
        if polls >= load.users as u64 {
            sleep(load.settle);
            return Ok(());
        }
        if polls > most {
            (most, moved) = (polls, Instant::now());
        }
        if let Some(status) = subject.try_wait()? {
            let said = fs::read_to_string(folder.join(STDERR)).unwrap_or_default();
            bail!("it ended at once ({status}): {said}");
        }
        if moved.elapsed() > Duration::from_mins(1) {
            bail!("no poll for a minute, after {polls} of them");
        }
        sleep(Duration::from_millis(50));
    }
}

fn start_server(answers: Answers) -> Result<(Owned, String)> {
    let child = machine::pinned(machine::SERVER_CORE, &std::env::current_exe()?)
        .args(["--role", "server", &serde_json::to_string(&answers)?])
        .stdout(Stdio::piped())
        .spawn()
        .context("`taskset` (package util-linux) binds a process to a core")?;
    let mut child = Owned(child);
    let stdout = child.0.stdout.take().context("its output is piped")?;
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address)?;
    if address.is_empty() {
        bail!("the mock server did not start; two cores are needed");
    }
    Ok((child, address.trim().to_owned()))
}

fn start_bare(base_url: &str, load: &Load, folder: &Path) -> Result<Child> {
    Ok(machine::pinned(machine::CLIENT_CORE, &std::env::current_exe()?)
        .args(["--role", "bare", base_url, &serde_json::to_string(load)?])
        .stderr(File::create(folder.join(STDERR))?)
        .spawn()?)
}

fn start_script(address: &str, load: &Load, folder: &Path) -> Result<Child> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("clients/python/bin/python");
    if !python.exists() {
        bail!("the official SDK is not installed; run tests/clients/run once");
    }
    let rate = load.rate.context("a script is paced")?;
    Ok(machine::pinned(machine::CLIENT_CORE, &python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/end_to_end/sdk.py"))
        .args([address, &load.users.to_string(), &rate.to_string()])
        .stderr(File::create(folder.join(STDERR))?)
        .spawn()?)
}

/// Polls and posts the server has answered.
fn counts(address: &str) -> Result<(u64, u64)> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /counts HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let (polls, posts) = body.trim().split_once(' ').context("two counts")?;
    Ok((polls.parse()?, posts.parse()?))
}

/// The middle one; of an even number the upper middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
