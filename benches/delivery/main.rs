//! What a delivery costs beside a bare loop that posts the same signed bodies: `cargo bench --bench delivery`.
//!
//! The same binary plays several parts as child processes, senders on one core and receivers on another: the real
//! store and dispatcher working off a backlog (`outbox`), the bare loop (`bare`), a cheap receiver (`server`, shared
//! with the other bench) and ten receivers of which two can be bad (`receivers`). Senders run in turn (A B A B) and
//! are looked at in the same way from outside: posts by the receiver's count, CPU by `/proc`. Ratios of neighbours are
//! printed, because the figures of a shared machine drift.
//!
//! `-- --quick` makes one short round; `-- --only throughput` or `-- --only isolation` one of the two tables (the second
//! takes less than a minute).
//!
//! Guards: nothing; it prints a table for `docs/benchmarks.md`. Deliberately not here: TLS, a network with latency.
#![expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its table")]
#![expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^52")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

mod backlog;
mod bare;
mod isolation;
#[path = "../end_to_end/machine.rs"]
mod machine;
mod measure;
mod outbox;
mod receivers;
#[path = "../end_to_end/server.rs"]
mod server;

use measure::{Figures, Sender, median};

/// Requests in flight, for bare loop and dispatcher alike.
const CONCURRENCY: usize = 32;

/// The goal for a backlog.
const MANY: u32 = 1_000_000;
const FEW: u32 = 1_000;

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    window: Duration,
    many: u32,
}

fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the part that the arguments name; without one, measures.
fn play() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let role: Option<Vec<&str>> = args
        .iter()
        .position(|arg| arg == "--role")
        .map(|at| args[at + 1..].iter().map(String::as_str).collect());
    match role.as_deref() {
        Some(["server"]) => server::serve(server::Answers::Inside),
        Some(["bare", url]) => bare::run(url),
        Some(["outbox", folder, url]) => outbox::work_off(Path::new(folder), url),
        Some(["refill", folder, url, seconds]) => {
            outbox::refill(Path::new(folder), url, Duration::from_secs(seconds.parse()?))
        }
        Some(["receivers", kind]) => receivers::serve(*kind == "disturbed"),
        Some(["events", addresses]) => isolation::run(addresses),
        Some(other) => bail!("there is no role {other:?}"),
        // `cargo test --benches` and `cargo bench -- --quick` want to see that it works, not figures.
        None => {
            let thorough =
                args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--quick");
            let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1));
            report(thorough, only.map_or("", String::as_str))
        }
    }
}

fn report(thorough: bool, only: &str) -> Result<()> {
    let began = Instant::now();
    let effort = |rounds, seconds, many| Effort { rounds, window: Duration::from_secs(seconds), many };
    let (pace, latency) = if thorough {
        (effort(5, 4, MANY), effort(4, 3, MANY))
    } else {
        (effort(1, 1, 50_000), effort(1, 1, 50_000))
    };
    println!("{}\n", machine::description());
    if "throughput".contains(only) {
        throughput(pace)?;
    }
    if "isolation".contains(only) {
        isolated(latency)?;
    }
    println!("\nmeasured in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// The whole path beside the bare loop, with a long and a short backlog.
fn throughput(effort: Effort) -> Result<()> {
    let (long, short) = (tempfile::tempdir()?, tempfile::tempdir()?);
    backlog::create(long.path(), effort.many)?;
    backlog::create(short.path(), FEW)?;
    let (mut bare, mut many, mut few) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        bare.push(measure::run(Sender::Bare, effort.window)?);
        many.push(measure::run(Sender::Outbox(long.path()), effort.window)?);
        few.push(measure::refill(short.path(), effort.window)?);
    }
    println!("| one core, {CONCURRENCY} in flight, synchronous=FULL | posts/s | CPU us each | RSS MB |");
    println!("|---|---|---|---|");
    let row = |what: &str, of: &[Figures]| {
        let column = |value: fn(&Figures) -> f64| median(of.iter().map(value));
        let rss = column(|f| f.rss_bytes) / 1e6;
        println!(
            "| {what} | {:.0} | {:.1} | {rss:.0} |",
            column(Figures::posts_per_second),
            column(Figures::cpu_us)
        );
    };
    row("bare loop: sign and POST", &bare);
    row(&format!("claim, sign, POST, finish; {} wait", effort.many), &many);
    row(&format!("the same; {FEW} wait, again and again"), &few);
    let ratio = |of: fn(&Figures) -> f64, a: &[Figures], b: &[Figures]| {
        median(a.iter().zip(b).map(|(a, b)| of(a) / of(b)))
    };
    println!("\nthroughput beside bare: {:.2}", ratio(Figures::posts_per_second, &many, &bare));
    println!("CPU beside bare: {:.2}", ratio(Figures::cpu_us, &many, &bare));
    println!("CPU with {} waiting beside {FEW}: {:.2}", effort.many, ratio(Figures::cpu_us, &many, &few));
    Ok(())
}

/// Eight good receivers with two good and with two bad neighbours.
fn isolated(effort: Effort) -> Result<()> {
    let (mut calm, mut disturbed) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        calm.push(isolation::measure(false, effort.window)?);
        disturbed.push(isolation::measure(true, effort.window)?);
    }
    let rounds = effort.rounds;
    println!(
        "\n| eight receivers, {} deliveries/s, {rounds} rounds | p50 ms | p99 ms |",
        isolation::PACE * 8
    );
    println!("|---|---|---|");
    for (what, of) in
        [("two more good ones beside them", &calm), ("one dead, one dripping beside them", &disturbed)]
    {
        let column = |value: fn(&isolation::Latency) -> f64| median(of.iter().map(value));
        println!("| {what} | {:.2} | {:.2} |", column(|l| l.p50_ms), column(|l| l.p99_ms));
    }
    let ratio = median(calm.iter().zip(&disturbed).map(|(calm, disturbed)| disturbed.p99_ms / calm.p99_ms));
    println!("\np99 beside the undisturbed one: {ratio:.2}");
    Ok(())
}
