//! `presenced run`: the daemon, in the foreground.
//!
//! Guards: a bad config ends with 78 before anything starts; READY and STOPPING are told to the service manager, and that
//! it is still on its way while a start takes long; a signal ends it with 0, also then. Deliberately not here: the daemon
//! (`app`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::reading::block_on;
use super::{Exit, Failure, Globals, load_checked, log_level};
use crate::app::build::{self, BuildError};
use crate::app::daemon::{Daemon, Watchdog};
use crate::app::reload::{Phase, Reloading};
use crate::app::signals;
use crate::clock::steady::{ClockJump, SteadyClock};
use crate::clock::{Clock, SystemClock};
use crate::config::footprint::Footprint;
use crate::config::{Config, Loaded, locate};
use crate::telemetry::log::{self, LogHandle};

mod notify;

/// A start that takes longer says so as often. A service manager's patience is a minute and a half by default.
const STILL_STARTING: Duration = Duration::from_secs(5);
/// How often the wall clock is compared with the time since boot.
const CHECK_CLOCK: Duration = Duration::from_millis(500);
/// And asks for as much again.
const PATIENCE_USEC: u32 = 60_000_000;

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(globals: &Globals, _args: Args) -> anyhow::Result<Exit> {
    let Loaded { config, warnings, sources } = load_checked(globals)?;
    let log = log::init(&config.log.level, config.log.format, log_level(globals))?;
    let log = (log, log_level(globals));
    for warning in &warnings {
        let place = warning.place.as_ref().and_then(|place| sources.position(place));
        let place = place.map(|position| format!("{}:{}", position.file, position.line));
        tracing::warn!(at = place, "config: {}", warning.message);
    }
    let footprint = sources.footprint().clone();
    // The text of the files is as long as the list of people.
    drop((warnings, sources));
    let file = locate(globals.config.as_deref())?;
    block_on(serve(config, file, footprint, log))?
}

async fn serve(
    config: Config,
    file: PathBuf,
    footprint: Footprint,
    log: (LogHandle, i8),
) -> anyhow::Result<Exit> {
    let (people, webhooks, database) =
        (config.users.len(), config.webhooks.len(), config.history.path.clone());
    let stop = CancellationToken::new();
    // Before anything else: a reload that comes early waits instead of ending the process.
    let mut hangups = signals::hangups()?;
    let signals = watch(stop.clone());
    tokio::pin!(signals);
    let clock = Arc::new(SteadyClock::start());
    let mut config = config;
    loop {
        let turn = stop.child_token();
        let daemon = tokio::select! {
            built = patiently(build::daemon(config, Arc::<SteadyClock>::clone(&clock), true, &stop)) => match built {
                Err(error @ BuildError::Stopped) => {
                    tracing::info!("{error}");
                    return Ok(Exit::Done);
                }
                built => built.map_err(|error| failed(&error))?,
            },
            broken = &mut signals => return Err(broken.into()),
        };
        let parts = Reloading {
            file: file.clone(),
            hangups,
            log: log.clone(),
            footprint: footprint.clone(),
            announce,
        };
        let daemon = watched(daemon.reloading(parts));
        let ready = || {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), people, webhooks, database = %database.display(), "ready");
            tell(&[NotifyState::Ready, NotifyState::Status(&format!("watching {people} people"))]);
        };
        let running = async {
            let (ended, ()) = tokio::join!(daemon.run(turn.clone(), ready), jumps(&clock, &turn));
            ended
        };
        let ended = tokio::select! {
            ended = running => ended,
            // Ends only when signals cannot be had; then nothing could ever stop it in order.
            broken = &mut signals => return Err(broken.into()),
        };
        config = Arc::unwrap_or_clone(ended?);
        if stop.is_cancelled() {
            tracing::info!("stopped");
            return Ok(Exit::Done);
        }
        // The clock jumped: everything that kept an instant in memory has ended and is made again from the database.
        clock.accept();
        hangups = signals::hangups()?;
    }
}

/// With the service manager's watchdog, if it has one.
fn watched(daemon: Daemon) -> Daemon {
    let Some(patience) = sd_notify::watchdog_enabled() else { return daemon };
    let alive = |line: &str| {
        notify::tell(&[NotifyState::Watchdog, NotifyState::Status(line)]);
    };
    daemon.watched(Watchdog { patience, tell: Box::new(alive) })
}

/// Watches for jumps of the wall clock; ends with the daemon, which it stops when a jump has lasted.
async fn jumps(clock: &SteadyClock, turn: &CancellationToken) {
    let seconds = |ms: i64| ms / 1000;
    let mut reported = 0;
    loop {
        let next = clock.now().plus(CHECK_CLOCK);
        if turn.run_until_cancelled(clock.sleep_until(next)).await.is_none() {
            return;
        }
        let dropped = log::dropped_lines();
        if dropped > reported {
            let lines = dropped - std::mem::replace(&mut reported, dropped);
            tracing::warn!(lines, "log lines were dropped: the standard error was not read");
        }
        match clock.check() {
            Some(ClockJump::Jumped(by)) => {
                tracing::warn!(
                    seconds = seconds(by),
                    "the wall clock jumped; polling and delivering go on by the time before the jump unless it lasts"
                );
            }
            Some(ClockJump::TakenBack) => tracing::info!("the wall clock is back; the jump had no effect"),
            Some(ClockJump::Confirmed(by)) => {
                tracing::warn!(
                    seconds = seconds(by),
                    "the jump of the wall clock has lasted; starting again by the new time"
                );
                return turn.cancel();
            }
            None => {}
        }
    }
}

/// Waits for a start; tells the service manager, and once the log, when it takes long. All of it but the look through the
/// database has a limit of its own.
async fn patiently<T>(start: impl Future<Output = T>) -> T {
    let mut told = false;
    tokio::pin!(start);
    loop {
        tokio::select! {
            biased;
            ended = &mut start => return ended,
            () = SystemClock.sleep_until(SystemClock.now().plus(STILL_STARTING)) => {}
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!("still starting: a large database takes a while to look through");
        }
        let status = NotifyState::Status("starting: a large database takes a while to look through");
        notify::tell(&[NotifyState::ExtendTimeoutUsec(PATIENCE_USEC), NotifyState::Watchdog, status]);
    }
}

/// Signals, and the service manager's word that stopping is under way. Never ends without an error.
async fn watch(stop: CancellationToken) -> std::io::Error {
    let told = stop.clone();
    tokio::select! {
        ended = signals::watch(stop) => match ended {
            Ok(()) => std::io::Error::other("signals ended"),
            Err(error) => error,
        },
        () = async {
            told.cancelled().await;
            tell(&[NotifyState::Stopping]);
            std::future::pending::<()>().await;
        } => std::io::Error::other("unreachable"),
    }
}

/// `systemctl reload` of a unit of `Type=notify-reload` waits for both; any other shows that a reload is under way.
fn announce(phase: Phase) -> bool {
    match (phase, NotifyState::monotonic_usec_now()) {
        (Phase::Over, _) => notify::tell(&[NotifyState::Ready]),
        (Phase::Begins, Ok(since)) => notify::tell(&[NotifyState::Reloading, since]),
        // Without the time it would not be believed.
        (Phase::Begins, Err(error)) => {
            tracing::warn!(%error, "there is no monotonic clock");
            false
        }
    }
}

/// Without a service manager there is nobody to tell.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// What is wrong with the config's surroundings ends with the config's code, so that nobody restarts it in vain.
fn failed(error: &BuildError) -> Failure {
    let exit = if error.is_config() { Exit::Config } else { Exit::Failed };
    Failure::new(exit, error.to_string())
}
