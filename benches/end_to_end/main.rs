//! What the whole pipeline costs, beside a bare loop that makes the same calls: `cargo bench --bench end_to_end`.
//!
//! The same binary plays three parts as child processes: a mock DingTalk on one core (`server`), and on another the
//! bare loop (`bare`) or the store alone (`records`); the daemon is the real binary, started with a config. Bare and
//! daemon run in turn, and both are looked at in the same way from outside: calls by the server's count, CPU and
//! memory by `/proc`. Ratios of neighbours are printed, because the figures of a shared machine drift.
//!
//! Guards: nothing; it prints a table for `docs/benchmarks.md`. Deliberately not here: TLS, a real network.
#![expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time and writes bare SQL")]
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
mod table;

pub(crate) use server::Answers;

/// What is asked of whoever is measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// People in turn.
    pub(crate) users: usize,
    /// Calls in flight at most.
    pub(crate) concurrency: usize,
    /// Calls a second; `None`: as fast as answers come.
    pub(crate) rate: Option<u32>,
    /// What the mock DingTalk says.
    pub(crate) answers: Answers,
    /// After everybody was polled once, so long before the first look.
    pub(crate) settle: Duration,
}

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
}

fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", table::one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Plays the part that the arguments name; without one, measures.
fn play() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().position(|arg| arg == "--role").map(|at| &args[at + 1..]) {
        Some([role, answers]) if role == "server" => server::serve(serde_json::from_str(answers)?),
        Some([role, url, load]) if role == "bare" => bare::run(url, &serde_json::from_str(load)?),
        Some([role, job]) if role == "records" => records::run(serde_json::from_str(job)?),
        Some(other) => bail!("no such role: {other:?}"),
        None => {
            let quick = args.iter().any(|arg| arg == "--quick");
            let (rounds, seconds) = if quick { (1, 2) } else { (5, 4) };
            // `--only WORD`: the rows with that word.
            let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1));
            let began = Instant::now();
            table::print(
                Effort { rounds, window: Duration::from_secs(seconds) },
                only.map_or("", String::as_str),
            );
            println!("\n{rounds} rounds of {seconds} s each, {:.0?} in all", began.elapsed());
            Ok(())
        }
    }
}
