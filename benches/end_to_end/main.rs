//! What the whole pipeline costs, beside a bare loop that makes the same calls: `cargo bench --bench end_to_end`.
//!
//! The same binary plays three parts as child processes: a mock DingTalk on one core (`server`), and on another the
//! bare loop (`bare`) or the store alone (`records`); the daemon is the real binary, started with a config. Bare and
//! daemon run in turn, and both are looked at in the same way from outside: calls by the server's count, CPU and
//! memory by `/proc`. Ratios of neighbours are printed, because the figures of a shared machine drift.
//!
//! Guards: nothing; it prints a table for `docs/benchmarks.md`. Deliberately not here: TLS, a real network.
#![expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its table")]
#![expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^52")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

mod bare;
mod daemon;
mod machine;
mod measure;
mod records;
mod server;

use measure::{Figures, Subject, median};

/// What is asked of whoever is measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// People in turn.
    pub(crate) users: usize,
    /// Calls in flight at most.
    pub(crate) concurrency: usize,
    /// Calls a second; `None`: as fast as answers come.
    pub(crate) rate: Option<u32>,
    /// Whether every answer differs from the last one of that person; each change is then posted, signed.
    pub(crate) changing: bool,
}

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    window: Duration,
}

fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Plays the part that the arguments name; without one, measures.
fn play() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().position(|arg| arg == "--role").map(|at| &args[at + 1..]) {
        Some([role, changing]) if role == "server" => server::serve(changing == "changing"),
        Some([role, url, load]) if role == "bare" => bare::run(url, &serde_json::from_str(load)?),
        Some([role, seconds]) if role == "records" => records::run(Duration::from_secs(seconds.parse()?)),
        Some(other) => bail!("no such role: {other:?}"),
        None => {
            let quick = args.iter().any(|arg| arg == "--quick");
            let (rounds, seconds) = if quick { (1, 2) } else { (5, 5) };
            table(Effort { rounds, window: Duration::from_secs(seconds) });
            Ok(())
        }
    }
}

/// Measures everything and prints the table, row by row as it comes.
fn table(effort: Effort) {
    let began = Instant::now();
    println!("{}\n", machine::description());
    println!("| what | bare | presenced | ratio |\n|---|---|---|---|");
    let saturated = Load { users: 10_000, concurrency: 32, rate: None, changing: false };
    pairs("unchanged polls, as fast as answers come", &saturated, effort);
    let paced = Load { users: 2_000, rate: Some(2_000), ..saturated };
    pairs("unchanged polls, 2,000 a second", &paced, effort);
    let changing = Load { users: 2_000, changing: true, ..saturated };
    pairs("changed polls, each posted (bare: without storing)", &changing, effort);
    print_row("recordings, group commit, 256 in flight", records::measure(effort.window));
    print_row("memory a person, at 100,000 people", bytes_per_user(effort));
    print_row("idle: 1,000 people, 20 calls a second", idle(effort));
    println!("\n{} rounds of {:?} each, {:.0?} in all", effort.rounds, effort.window, began.elapsed());
}

/// Bare and daemon in turn; a row for each quantity: medians, and the median of the paired ratios.
fn pairs(what: &str, load: &Load, effort: Effort) {
    let (mut bare, mut daemon) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let measured = measure::run(Subject::Bare, load, effort.window).and_then(|figures| {
            bare.push(figures);
            daemon.push(measure::run(Subject::Daemon, load, effort.window)?);
            Ok(())
        });
        if let Err(error) = measured {
            println!("| {what} | | not measured: {} | |", one_line(&error));
            break;
        }
    }
    let row = |unit: &str, decimals: usize, of: fn(&Figures) -> f64| {
        let ratio = median(bare.iter().zip(&daemon).map(|(bare, daemon)| of(daemon) / of(bare)));
        let (bare, daemon) = (median(bare.iter().map(of)), median(daemon.iter().map(of)));
        println!("| {what}: {unit} | {bare:.decimals$} | {daemon:.decimals$} | {ratio:.2} |");
    };
    row("polls/s", 0, Figures::polls_per_second);
    row("CPU us/poll", 1, Figures::cpu_us_per_poll);
    if load.changing {
        row("posts/s", 0, Figures::posts_per_second);
    }
    row("RSS MB", 1, |figures| figures.rss_bytes / 1e6);
}

/// Resident memory with many people less that with few, all of them polled once.
fn bytes_per_user(effort: Effort) -> Result<String> {
    let few = Load { users: 1_000, concurrency: 32, rate: Some(2_000), changing: false };
    let many = Load { users: 100_000, ..few };
    let base = measure::run(Subject::Daemon, &few, effort.window)?;
    let full = measure::run(Subject::Daemon, &many, effort.window)?;
    let each = (full.rss_bytes - base.rss_bytes) / (many.users - few.users) as f64;
    Ok(format!(
        "{each:.0} bytes (RSS {:.1} MB, with 1,000 people {:.1} MB)",
        full.rss_bytes / 1e6,
        base.rss_bytes / 1e6
    ))
}

/// CPU and memory of a daemon with little to do.
fn idle(effort: Effort) -> Result<String> {
    let load = Load { users: 1_000, concurrency: 4, rate: Some(20), changing: false };
    let figures = measure::run(Subject::Daemon, &load, effort.window * 6)?;
    let share = 100.0 * figures.cpu_seconds / figures.wall_seconds;
    Ok(format!(
        "{share:.2} % of a core, RSS {:.1} MB, {:.1} calls/s",
        figures.rss_bytes / 1e6,
        figures.polls_per_second()
    ))
}

/// A row of which the bare loop has no part.
fn print_row(what: &str, measured: Result<String>) {
    match measured {
        Ok(text) => println!("| {what} | | {text} | |"),
        Err(error) => println!("| {what} | | not measured: {} | |", one_line(&error)),
    }
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
