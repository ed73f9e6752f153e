//! A year of history: 500 people, two visits each on every working day, looked at every minute, under the default
//! retention: `cargo bench --bench history`.
//!
//! The answers are made up, everything after them is real: each is compared by `presence::diff`, written by the store
//! in groups, folded while it repeats, and pruned every night as the janitor does. Time is virtual and ends at the real
//! present, so that the stored questions, which ask about the last days, have something to find.
//!
//! Guards: nothing; it prints sizes and times for `docs/benchmarks.md`. With `-- --days N` the year is shorter.
//! Deliberately not here: the network, the pace of polling (`end_to_end`).
#![expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time, and asks in SQL")]
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use presenced::clock::{Clock, ManualClock, SystemClock};
use presenced::store::retention::Limits;
use presenced::store::{CheckedDatabase, Store};
use sqlx::ConnectOptions;

mod fixture;

use fixture::Company;

const PEOPLE: usize = 500;
const DAY: Duration = Duration::from_hours(24);
/// As in `config.example.toml`.
const LIMITS: Limits = Limits { snapshots: Some(days(90)), visits: Some(days(365)), events: Some(days(30)) };
const ROUNDS: usize = 5;

const fn days(count: u64) -> Duration {
    Duration::from_hours(24 * count)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let given = arguments.iter().position(|word| word == "--days").and_then(|at| arguments.get(at + 1));
    let days: u64 = given.map_or(Ok(365), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(days))
}

async fn run(days: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("presence.db");
    fill(&path, days).await?;
    sizes(&path).await?;
    times(&path).await?;
    opening(&path).await
}

async fn fill(path: &Path, days: u64) -> Result<()> {
    let began = Instant::now();
    let now = SystemClock.now();
    let first = now.minus(DAY * u32::try_from(days)?);
    let clock = ManualClock::at(first);
    let store = Store::open(path, chrono_tz::Asia::Shanghai, Arc::new(clock.clone())).await?;
    let mut company = Company::enroll(&store, PEOPLE).await?;
    let (mut sweeping, mut calm) = (Vec::new(), Vec::new());
    for day in 0..days {
        let morning = first.plus(DAY * u32::try_from(day)?);
        if day % 7 < 5 {
            company.work(&store, &clock, morning).await?;
        }
        clock.set(morning.plus(Duration::from_hours(23)));
        deliver(path, clock.now().as_ms()).await?;
        let pruning = store.clone();
        let at = clock.now();
        // What a poll would wait for while the janitor is at work.
        let busy = tokio::spawn(async move { pruning.maintenance().prune(LIMITS, at).await });
        let before = sweeping.len();
        while !busy.is_finished() {
            let asked = Instant::now();
            company.look_once(&store).await?;
            sweeping.push(asked.elapsed());
        }
        busy.await??;
        // As many without it: what the disk and the rest of the machine do by themselves.
        for _ in before..sweeping.len() {
            let asked = Instant::now();
            company.look_once(&store).await?;
            calm.push(asked.elapsed());
        }
    }
    store.close().await?;
    println!(
        "{days} days of {PEOPLE} people, {} polls, filled in {:.0} s",
        company.polls(),
        began.elapsed().as_secs_f64()
    );
    waits("while retention ran", sweeping);
    waits("without it", calm);
    let (unchanged, changed) = company.bytes_a_thousand_polls().await?;
    println!("bytes a 1,000 polls: {unchanged:.0} unchanged, {changed:.0} changed");
    Ok(())
}

/// How long polls waited to be written. The longest of many is as often the machine's doing as ours, so the same number
/// without retention stands beside it.
fn waits(when: &str, mut waited: Vec<Duration>) {
    waited.sort_unstable();
    let at = |share: f64| {
        // A share of the length is below it.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a list")]
        let nth = (waited.len() as f64 * share) as usize;
        waited.get(nth.min(waited.len().saturating_sub(1))).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
    };
    let over = waited.iter().filter(|wait| **wait > Duration::from_millis(50)).count();
    println!(
        "a poll waited to be written {when}: half of them {:.1} ms, 99.9 of 100 {:.1} ms, longest {:.0} ms; {over} of {} over 50 ms",
        at(0.5),
        at(0.999),
        at(1.0),
        waited.len()
    );
}

/// As the dispatcher would leave it: everything arrived.
async fn deliver(path: &Path, at_ms: i64) -> Result<()> {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await?;
    let arrived = "UPDATE deliveries SET state = 'delivered', attempts = 1, last_status = 204, finished_ms = ?1 \
        WHERE state = 'pending'";
    sqlx::query(arrived).bind(at_ms).execute(&mut connection).await?;
    sqlx::query("DELETE FROM lanes").execute(&mut connection).await?;
    Ok(sqlx::Connection::close(connection).await?)
}

async fn sizes(path: &Path) -> Result<()> {
    println!("\nfile: {:.1} MB", path.metadata()?.len() as f64 / 1e6);
    let store = Store::open_readonly(path).await?;
    let facts = store.history().database_info().await?;
    for (table, rows) in facts.rows {
        println!("  {table}: {rows} rows");
    }
    println!("  free in it: {:.1} MB", facts.free_bytes as f64 / 1e6);
    store.close().await;
    Ok(())
}

/// The best of some rounds on a warm file, and how many rows came.
async fn times(path: &Path) -> Result<()> {
    let store = Store::open_readonly(path).await?;
    let history = store.history();
    println!("\nquestion: best of {ROUNDS}");
    for example in history.examples().await? {
        let (mut best, mut rows) = (Duration::MAX, 0);
        for _ in 0..ROUNDS {
            let asked = Instant::now();
            rows = history.sql(&example.sql).await?.rows.len();
            best = best.min(asked.elapsed());
        }
        println!("  @{}: {:.1} ms, {rows} rows", example.name, best.as_secs_f64() * 1000.0);
    }
    store.close().await;
    Ok(())
}

/// What a start waits for before anything is written: the whole look at a file that the system has in memory.
async fn opening(path: &Path) -> Result<()> {
    let mebibytes = path.metadata()?.len() as f64 / f64::from(1 << 20);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        drop(CheckedDatabase::check(path).await?);
        best = best.min(asked.elapsed().as_secs_f64());
    }
    println!(
        "\nlooked through before the start in {best:.2} s, best of {ROUNDS}: {:.2} s for 500 MiB",
        best * 500.0 / mebibytes
    );
    let asked = Instant::now();
    let store = Store::open(path, chrono_tz::Asia::Shanghai, Arc::new(SystemClock)).await?;
    println!("looked through and opened in {:.2} s", asked.elapsed().as_secs_f64());
    Ok(store.close().await?)
}
