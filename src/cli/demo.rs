//! `presenced demo`: runs the simulator, the daemon and a verifying receiver in one process on loopback, through a scripted
//! half hour of meetings.
//!
//! Guards: it is the real daemon with a real config file and database; it ends by itself, and fails if a signature did not
//! verify or no event arrived. Not here: the layout of a line (`reporter`), the script (`scenarios/demo.toml`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::arrivals::{Arrivals, Summary};
use super::{Exit, Failure, Globals, now, number};
use crate::app::build;
use crate::app::signals;
use crate::clock::{Clock, ScaledClock, SharedClock, SystemClock};

use crate::simulator::receiver::{DEMO_SECRET, Receiver};
use crate::simulator::{Running, Scenario, Simulator, api};
use crate::time::Timestamp;

mod config;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Play at N times real time
    #[arg(long, default_value_t = 60.0, default_value_if("page", "true", "10"), value_name = "N", value_parser = speed)]
    speed: f64,
    /// End after S real seconds
    #[arg(long, default_value_t = 30, default_value_if("page", "true", "180"), value_name = "S", allow_negative_numbers = true, value_parser = number::whole(1_u64, Some(86_400)))]
    seconds: u64,
    /// Keep the database
    #[arg(long)]
    keep: bool,
    /// Open the page, and print its link; slower and longer, so that there is something to see
    #[arg(long)]
    page: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "write a number from 0.1 to 600".to_owned())?;
    if (0.1..=600.0).contains(&speed) { Ok(speed) } else { Err("write a number from 0.1 to 600".to_owned()) }
}

/// Runs the command.
pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let folder = config::folder()?;
    let ended = show(globals, args, &folder);
    if ended.is_err() || !args.keep {
        // The folder is in the temporary directory, so it does no harm if it cannot be removed.
        let _ = std::fs::remove_dir_all(&folder);
    }
    ended
}

fn show(globals: &Globals, args: &Args, folder: &Path) -> anyhow::Result<Exit> {
    let zone = crate::config::local_time_zone().unwrap_or_default();
    crate::telemetry::log::init("warn", crate::config::LogFormat::Text, super::log_level(globals), zone)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let Played { file, summary, ended_at } = runtime.block_on(play(args, folder))?;
    let database = folder.join("presence.db");
    anstream::println!("\nthe output of `presenced now`:");
    // On the demo's own clock, which is behind the real one if the demo was interrupted.
    let globals = Globals { config: Some(file), quiet: true, now: Some(ended_at), ..globals.clone() };
    now::run(&globals, now::Args::default())?;
    anstream::println!("\n{}", query_hint(&database, args.keep));
    anstream::println!("\n{}", summary.line());
    if summary.is_good() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, "no delivery arrived, or one had an invalid signature").into())
}

/// What is left of a demo.
struct Played {
    /// The config.
    file: PathBuf,
    summary: Summary,
    /// Scripted time.
    ended_at: Timestamp,
}

/// Runs simulator, daemon and receiver concurrently.
async fn play(args: &Args, folder: &Path) -> anyhow::Result<Played> {
    // The scripted time ends now, so that the history is recent afterwards.
    let span = Duration::from_secs(args.seconds).mul_f64(args.speed);
    let from = SystemClock.now().minus(span);
    let clock: SharedClock = Arc::new(ScaledClock::starting(from, args.speed));
    let stop = CancellationToken::new();
    let scenario = Scenario::built_in("demo").context("the scenario of the demo is missing")??;
    let people = scenario.people().to_vec();
    let dingtalk = Simulator::start(any_port(), scenario, Arc::clone(&clock), stop.child_token()).await?;
    let receiver =
        Receiver::start(any_port(), &[DEMO_SECRET], Arc::clone(&clock), stop.child_token()).await?;
    let file = config::write(folder, dingtalk.base_url(), &receiver.url(), &people, args.page)?;
    let config = crate::config::load(&file)?.config;
    explain(args.speed, folder);
    let mut arrivals_printed = Arrivals::new(config.time_zone);
    let halt = CancellationToken::new();
    let daemon = build::daemon(config, Arc::clone(&clock), false, &halt).await?;
    if let Some(link) = daemon.page_link() {
        Arrivals::page(&link?);
    }
    let end = SystemClock.sleep_until(SystemClock.now().plus(Duration::from_secs(args.seconds)));
    let running = daemon.run(halt.clone(), || {});
    let interrupted = CancellationToken::new();
    let signals = signals::watch(interrupted.clone());
    tokio::pin!(end, running, signals);
    let mut arrivals = receiver.arrivals();
    let mut ended = None;
    while ended.is_none() {
        tokio::select! {
            result = &mut running => ended = Some(result),
            () = &mut end, if !halt.is_cancelled() => halt.cancel(),
            broken = &mut signals => broken?,
            () = interrupted.cancelled(), if !halt.is_cancelled() => halt.cancel(),
            Ok(()) = arrivals.changed() => arrivals_printed.print(&receiver.received()),
        }
    }
    if let Some(Err(error)) = ended {
        return Err(error.into());
    }
    arrivals_printed.print(&receiver.received());
    let (polls, ended_at) = (polls(&dingtalk), clock.now());
    stop.cancel();
    Ok(Played { file, summary: arrivals_printed.summary(polls), ended_at })
}

fn polls(dingtalk: &Running) -> u64 {
    dingtalk.counts().calls_to(api::LISTS)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// What the demo consists of, and the heading of its lines.
fn explain(speed: f64, folder: &Path) {
    anstream::println!("A scripted half hour of meetings at {speed} times real time, on this machine only:");
    anstream::println!(
        "a simulated DingTalk, the daemon that polls it, and a receiver that verifies signatures."
    );
    anstream::println!("database: {}\n", folder.join("presence.db").display());
    Arrivals::heading();
}

/// How to query the database of the demo.
fn query_hint(database: &Path, kept: bool) -> String {
    let query = "SELECT who, joined_local, left_local, minutes, left_reason FROM v_visits";
    let command = format!("sqlite3 -readonly -box {} \\\n  \"{query}\"", database.display());
    if kept {
        format!("query the database:\n  {command}")
    } else {
        format!(
            "query the database: run the demo again with --keep, then\n  {command}\n(with the path that it prints; this one is removed now)"
        )
    }
}
