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

use super::{Exit, Failure, Globals, now, number};
use crate::app::build;
use crate::app::signals;
use crate::clock::{Clock, ScaledClock, SharedClock, SystemClock};

use crate::simulator::receiver::Receiver;
use crate::simulator::{Running, Scenario, Simulator, api};

mod config;
mod reporter;

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
    crate::telemetry::log::init("warn", crate::config::LogFormat::Text, super::log_level(globals))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (file, summary) = runtime.block_on(play(args, folder))?;
    let database = folder.join("presence.db");
    anstream::println!("\nthe output of `presenced now`:");
    now::run(&Globals { config: Some(file), quiet: true, ..globals.clone() }, now::Args::default())?;
    anstream::println!("\n{}", reporter::query_hint(&database, args.keep));
    anstream::println!("\n{}", summary.line());
    if summary.is_good() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, "no delivery arrived, or one had an invalid signature").into())
}

/// Runs simulator, daemon and receiver concurrently; returns the path of the config and the totals.
async fn play(args: &Args, folder: &Path) -> anyhow::Result<(PathBuf, reporter::Summary)> {
    // The scripted time ends now, so that the history is recent afterwards.
    let span = Duration::from_secs(args.seconds).mul_f64(args.speed);
    let from = SystemClock.now().minus(span);
    let clock: SharedClock = Arc::new(ScaledClock::starting(from, args.speed));
    let stop = CancellationToken::new();
    let scenario = Scenario::built_in("demo").context("the scenario of the demo is missing")??;
    let people = scenario.people().to_vec();
    let dingtalk = Simulator::start(any_port(), scenario, Arc::clone(&clock), stop.child_token()).await?;
    let receiver =
        Receiver::start(any_port(), &[config::SECRET], Arc::clone(&clock), stop.child_token()).await?;
    let file = config::write(folder, dingtalk.base_url(), &receiver.url(), &people, args.page)?;
    let config = crate::config::load(&file)?.config;
    let mut reporter = reporter::DemoReporter::start(args.speed, config.time_zone, folder);
    let halt = CancellationToken::new();
    let daemon = build::daemon(config, clock, false, &halt).await?;
    if let Some(link) = daemon.page_link() {
        reporter::DemoReporter::page(&link?);
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
            Ok(()) = arrivals.changed() => reporter.print(&receiver.received()),
        }
    }
    if let Some(Err(error)) = ended {
        return Err(error.into());
    }
    reporter.print(&receiver.received());
    let polls = polls(&dingtalk);
    stop.cancel();
    Ok((file, reporter.summary(polls)))
}

fn polls(dingtalk: &Running) -> u64 {
    dingtalk.counts().calls_to(api::LISTS)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
