//! One measurement: a receiver, a sender, a warm-up, two looks at both.
//!
//! Guards: bare loop and dispatcher are measured by the same code. Deliberately not here: what is printed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::{self, Owned, Usage};

/// Posts before the first look: caches are warm, connections open.
const WARM_UP: u64 = 5_000;

/// Who is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender<'a> {
    /// reqwest and a signature in a loop.
    Bare,
    /// Store and dispatcher, with the backlog in this folder.
    Outbox(&'a Path),
}

/// What was seen between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    posts: f64,
    wall_seconds: f64,
    cpu_seconds: f64,
    pub(crate) rss_bytes: f64,
}

impl Figures {
    pub(crate) fn posts_per_second(&self) -> f64 {
        self.posts / self.wall_seconds
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        1e6 * self.cpu_seconds / self.posts
    }
}

/// Lets a sender work for `window`.
pub(crate) fn run(sender: Sender<'_>, window: Duration) -> Result<Figures> {
    machine::settle();
    let (_server, address) = start(machine::SERVER_CORE, &["server"])?;
    let url = format!("http://{address}/hook");
    let mut arguments = match sender {
        Sender::Bare => vec!["bare"],
        Sender::Outbox(folder) => vec!["outbox", folder.to_str().context("a folder's name is text")?],
    };
    arguments.push(&url);
    let sender = spawn(machine::CLIENT_CORE, &arguments, Stdio::inherit())?;
    let began = Instant::now();
    while posts(&address)? < WARM_UP {
        if began.elapsed() > Duration::from_mins(1) {
            bail!("no {WARM_UP} posts within a minute: {}", arguments[0]);
        }
        sleep(Duration::from_millis(20));
    }
    let pid = sender.0.id();
    let (before, began, from) = (posts(&address)?, Instant::now(), Usage::of(pid)?);
    sleep(window);
    let (after, wall, to) = (posts(&address)?, began.elapsed(), Usage::of(pid)?);
    Ok(Figures {
        posts: (after - before) as f64,
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: to.cpu_seconds_since(&from),
        rss_bytes: to.rss_bytes as f64,
    })
}

/// The short backlog, which measures itself: it stops after each thousand.
pub(crate) fn refill(folder: &Path, window: Duration) -> Result<Figures> {
    machine::settle();
    let (_server, address) = start(machine::SERVER_CORE, &["server"])?;
    let folder = folder.to_str().context("a folder's name is text")?;
    let (url, seconds) = (format!("http://{address}/hook"), window.as_secs().to_string());
    let (_sender, line) = start(machine::CLIENT_CORE, &["refill", folder, &url, &seconds])?;
    let figures: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [posts, wall_seconds, cpu_seconds, rss_bytes] = figures[..] else {
        bail!("not four figures: {line}")
    };
    Ok(Figures { posts, wall_seconds, cpu_seconds, rss_bytes })
}

/// Starts this binary in a role and waits for the line it prints.
pub(crate) fn start(core: &str, role: &[&str]) -> Result<(Owned, String)> {
    let mut child = spawn(core, role, Stdio::piped())?;
    let stdout = child.0.stdout.take().context("its output is piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.is_empty() {
        bail!("{role:?} said nothing; two cores are needed");
    }
    Ok((child, line.trim().to_owned()))
}

pub(crate) fn spawn(core: &str, role: &[&str], stdout: Stdio) -> Result<Owned> {
    let mut command = machine::pinned(core, &std::env::current_exe()?);
    let child = command.arg("--role").args(role).stdout(stdout).spawn();
    Ok(Owned(child.context("`taskset` (package util-linux) binds a process to a core")?))
}

fn posts(address: &str) -> Result<u64> {
    let text = ask(address, "/counts")?;
    let (_, posts) = text.split_once(' ').context("two counts")?;
    Ok(posts.parse()?)
}

/// What a receiver says about itself.
pub(crate) fn ask(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    Ok(body.trim().to_owned())
}

/// The middle one; of an even number the upper middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
