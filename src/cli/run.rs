//! `presenced run`: runs the daemon in the foreground.
//!
//! Guards: an invalid config ends with 78 before anything starts; the service manager gets READY, STOPPING, and a status
//! while a start takes long; a signal ends the process with 0, also during the start. Not here: the daemon (`app`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::open_readonly::block_on;
use super::output::counted;
use super::{Exit, Failure, Globals, load_checked, log_level};
use crate::app::build::{self, BuildError};
use crate::app::daemon::{Daemon, Watchdog};
use crate::app::reload::{Phase, Reloading};
use crate::app::signals;
use crate::clock::steady::{ClockJump, SteadyClock};
use crate::clock::{Clock, SystemClock};
use crate::config::file_set::ConfigFileSet;
use crate::config::{Config, Loaded, locate};
use crate::telemetry::log::{self, LogHandle};

mod narrate;
mod notify;

/// Interval of status messages during a long start. Service managers wait a minute and a half by default.
const STILL_STARTING: Duration = Duration::from_secs(5);
/// Interval of comparing the wall clock with the time since boot.
const CHECK_CLOCK: Duration = Duration::from_millis(500);
/// Each status message during a start asks for this much more time.
const MORE_TIME_USEC: u32 = 60_000_000;

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(globals: &Globals, _args: Args) -> anyhow::Result<Exit> {
    let Loaded { config, warnings, sources } = load_checked(globals)?;
    let log = log::init(&config.log.level, config.log.format, log_level(globals), config.time_zone)?;
    let log = (log, log_level(globals));
    for warning in &warnings {
        let place = warning.place.as_ref().and_then(|place| sources.position(place));
        let place = place.map(|position| format!("{}:{}", position.file, position.line));
        tracing::warn!(at = place, "config: {}", warning.message);
    }
    let files = sources.file_set().clone();
    // The text of the files is as long as the list of users, so it is freed.
    drop((warnings, sources));
    let file = locate(globals.config.as_deref())?;
    block_on(serve(config, file, files, log))?
}

async fn serve(
    config: Config,
    file: PathBuf,
    files: ConfigFileSet,
    log: (LogHandle, i8),
) -> anyhow::Result<Exit> {
    let (people, webhooks, database) =
        (config.users.len(), config.webhooks.len(), config.history.path.clone());
    let stop = CancellationToken::new();
    // First of all, so that an early SIGHUP waits instead of ending the process.
    let mut hangups = signals::hangups()?;
    let signals = watch(stop.clone());
    tokio::pin!(signals);
    let clock = Arc::new(SteadyClock::start());
    let (narrated, style) = (narrate::is_wanted(config.log.format), config.style());
    let mut config = config;
    loop {
        let introduction = narrated.then(|| config.clone());
        let turn = stop.child_token();
        let daemon = tokio::select! {
            built = report_progress(build::daemon(config, Arc::<SteadyClock>::clone(&clock), true, &stop)) => match built {
                Err(error @ BuildError::Stopped) => {
                    tracing::info!("{error}");
                    return Ok(Exit::Done);
                }
                built => built.map_err(|error| failed(&error))?,
            },
            broken = &mut signals => return Err(broken.into()),
        };
        let parts =
            Reloading { file: file.clone(), hangups, log: log.clone(), files: files.clone(), announce };
        let daemon = watched(daemon.reloading(parts));
        let narrator = narrated.then(|| daemon.store().clone());
        let ready = || {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), people, webhooks, database = %database.display(), "ready");
            notify_manager(&[
                NotifyState::Ready,
                NotifyState::Status(&format!("watching {}", counted(people, "person", "people"))),
            ]);
            if let Some(introduction) = &introduction {
                narrate::introduce(introduction);
            }
        };
        let running = async {
            let narrate = async {
                if let Some(store) = narrator {
                    narrate::follow(store, style, turn.clone()).await;
                }
            };
            let run = daemon.run(turn.clone(), ready);
            let (ended, (), ()) = tokio::join!(run, jumps(&clock, &turn), narrate);
            ended
        };
        let ended = tokio::select! {
            ended = running => ended,
            // Ends only if signals are not available, in which case the daemon could not be stopped cleanly.
            broken = &mut signals => return Err(broken.into()),
        };
        config = Arc::unwrap_or_clone(ended?);
        if stop.is_cancelled() {
            tracing::info!("stopped");
            return Ok(Exit::Done);
        }
        // The clock jumped: every task that held a time in memory has ended, and starts again from the database.
        clock.accept();
        hangups = signals::hangups()?;
    }
}

/// The daemon with the watchdog of the service manager, if there is one.
fn watched(daemon: Daemon) -> Daemon {
    let Some(patience) = sd_notify::watchdog_enabled() else { return daemon };
    let alive = |line: &str| {
        notify::send(&[NotifyState::Watchdog, NotifyState::Status(line)]);
    };
    daemon.watched(Watchdog { patience, notify: Box::new(alive) })
}

/// Watches for jumps of the wall clock, and stops the daemon when a jump has lasted.
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
            tracing::warn!(lines, "log lines were dropped, because stderr is not read");
        }
        match clock.check() {
            Some(ClockJump::Jumped(by)) => {
                tracing::warn!(
                    seconds = seconds(by),
                    "the wall clock jumped; polling and deliveries continue with the old time until the jump has lasted"
                );
            }
            Some(ClockJump::TakenBack) => {
                tracing::info!("the wall clock is back to the old time; the jump had no effect");
            }
            Some(ClockJump::Confirmed(by)) => {
                tracing::warn!(
                    seconds = seconds(by),
                    "the jump of the wall clock has lasted; restarting tasks with the new time"
                );
                return turn.cancel();
            }
            None => {}
        }
    }
}

/// Waits for the start, and reports a long one to the service manager and once to the log. Everything in a start has its
/// own time limit, except the check of the database.
async fn report_progress<T>(start: impl Future<Output = T>) -> T {
    let mut logged = false;
    tokio::pin!(start);
    loop {
        tokio::select! {
            biased;
            ended = &mut start => return ended,
            () = SystemClock.sleep_until(SystemClock.now().plus(STILL_STARTING)) => {}
        }
        if !std::mem::replace(&mut logged, true) {
            tracing::info!("still starting: checking a large database takes a while");
        }
        let status = NotifyState::Status("starting: checking a large database takes a while");
        notify::send(&[NotifyState::ExtendTimeoutUsec(MORE_TIME_USEC), NotifyState::Watchdog, status]);
    }
}

/// Handles signals, and reports STOPPING to the service manager. Returns only with an error.
async fn watch(stop: CancellationToken) -> std::io::Error {
    let stopping = stop.clone();
    tokio::select! {
        ended = signals::watch(stop) => match ended {
            Ok(()) => std::io::Error::other("signals ended"),
            Err(error) => error,
        },
        () = async {
            stopping.cancelled().await;
            notify_manager(&[NotifyState::Stopping]);
            std::future::pending::<()>().await;
        } => std::io::Error::other("unreachable"),
    }
}

/// Reports a reload: `systemctl reload` of a unit with `Type=notify-reload` waits for both messages.
fn announce(phase: Phase) -> bool {
    match (phase, NotifyState::monotonic_usec_now()) {
        (Phase::Over, _) => notify::send(&[NotifyState::Ready]),
        (Phase::Begins, Ok(since)) => notify::send(&[NotifyState::Reloading, since]),
        // systemd ignores the message without a time.
        (Phase::Begins, Err(error)) => {
            tracing::warn!(%error, "cannot read the monotonic clock; systemd is not notified of the reload");
            false
        }
    }
}

/// Notifies the service manager, if there is one.
fn notify_manager(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}

/// An error of the environment that the config names ends with 78, so that a service manager does not restart in vain.
fn failed(error: &BuildError) -> Failure {
    let exit = if error.is_config() { Exit::Config } else { Exit::Failed };
    Failure::new(exit, error.to_string())
}
