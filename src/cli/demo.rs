//! `presenced demo`: a built-in DingTalk, the daemon and a receiver that verifies, in one process on loopback, through a
//! scripted half hour of meetings.
//!
//! Guards: it is the real daemon with a real config file and a real database; it ends by itself, with a failure when a
//! signature did not verify or nothing arrived. Deliberately not here: how a line looks (`story`), the script
//! (`scenarios/demo.toml`).

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
use crate::config;
use crate::simulator::receiver::Receiver;
use crate::simulator::{Running, Scenario, Simulator, api};

mod setting;
mod story;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many times faster than life
    #[arg(long, default_value_t = 60.0, value_name = "N", value_parser = speed)]
    speed: f64,
    /// Real seconds after which it ends
    #[arg(long, default_value_t = 30, value_name = "S", allow_negative_numbers = true, value_parser = number::whole(1_u64, Some(86_400)))]
    seconds: u64,
    /// Keep the database afterwards
    #[arg(long)]
    keep: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=600.0).contains(&speed) { Ok(speed) } else { Err("between 0.1 and 600, please".to_owned()) }
}

/// Runs it.
pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let folder = setting::folder()?;
    let told = show(globals, args, &folder);
    if told.is_err() || !args.keep {
        // A folder that cannot be removed is in the temporary directory; it does no harm there.
        let _ = std::fs::remove_dir_all(&folder);
    }
    told
}

fn show(globals: &Globals, args: &Args, folder: &Path) -> anyhow::Result<Exit> {
    crate::telemetry::log::init("warn", config::LogFormat::Text, super::log_level(globals))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (file, summary) = runtime.block_on(play(args, folder))?;
    let database = folder.join("presence.db");
    anstream::println!("\nwho is in a meeting now, as `presenced now` says it:");
    now::run(&Globals { config: Some(file), quiet: true, ..globals.clone() }, now::Args::default())?;
    anstream::println!("\n{}", story::look_yourself(&database, args.keep));
    anstream::println!("\n{}", summary.line());
    if summary.is_good() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, "not every delivery arrived with a good signature").into())
}

/// Everything that runs side by side; gives the config's file and what happened.
async fn play(args: &Args, folder: &Path) -> anyhow::Result<(PathBuf, story::Summary)> {
    // The scripted time ends at the real present, so that the history looks recent afterwards.
    let span = Duration::from_secs(args.seconds).mul_f64(args.speed);
    let from = SystemClock.now().minus(span);
    let clock: SharedClock = Arc::new(ScaledClock::starting(from, args.speed));
    let stop = CancellationToken::new();
    let scenario = Scenario::built_in("demo").context("the demo's scenario is missing")??;
    let people = scenario.people().to_vec();
    let dingtalk = Simulator::start(any_port(), scenario, Arc::clone(&clock), stop.child_token()).await?;
    let receiver =
        Receiver::start(any_port(), &[setting::SECRET], Arc::clone(&clock), stop.child_token()).await?;
    let file = setting::write(folder, dingtalk.base_url(), &receiver.url(), &people)?;
    let config = config::load(&file)?.config;
    let mut story = story::Story::begin(args.speed, config.time_zone, folder);
    let halt = CancellationToken::new();
    let daemon = build::daemon(config, clock, false, &halt).await?;
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
            Ok(()) = arrivals.changed() => story.tell(&receiver.received()),
        }
    }
    if let Some(Err(error)) = ended {
        return Err(error.into());
    }
    story.tell(&receiver.received());
    let polls = looks(&dingtalk);
    stop.cancel();
    Ok((file, story.end(polls)))
}

fn looks(dingtalk: &Running) -> u64 {
    dingtalk.counts().calls_to(api::LISTS)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
