//! Another config for the running daemon: read, checked, its secrets got, everything built; then put in force in one step.
//!
//! Guards: whatever fails, fails before anything has changed, and is said: to who asked, in the log, as an event, until
//! it is put right, also by a restart; who asks while one is under way shares the next; files that change by
//! themselves are read once for each change, good or bad; what counts only after a restart stays as it is and is
//! reported each time. Deliberately not here: what differs (`config::change`), taking over (`tasks`).

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::build::{self, BuildError, Held};
use super::upkeep;
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::change::{self, Change, Effect};
use crate::config::footprint::{Footprint, Lookout};
use crate::config::problem::render_one;
use crate::config::{self, Config, Loaded};
use crate::control::{Advice, ReloadReport};
use crate::presence::system::AlertName;
use crate::store::Store;
use crate::tasks::alerts::{self, Board, Notice};
use crate::tasks::{dispatcher, poller};
use crate::telemetry::health::Health;
use crate::telemetry::log::{self, LogHandle};
use crate::telemetry::settings::InForce;
use crate::web;
use crate::webhook::routing::Subscription;

/// Between two looks at the config's files. Two that agree make a change: it is in force within twice as long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Somebody who does not listen is told again after so long,
const ANNOUNCE_AGAIN: Duration = Duration::from_millis(100);
/// so many times.
const ANNOUNCEMENTS: u32 = 10;

/// Why the settings in force still are the old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it means for who asked.
    pub advice: Advice,
    /// Everything that is wrong, for a person.
    pub message: String,
}

/// What came of an attempt.
pub type Outcome = Result<ReloadReport, Refusal>;

/// The way to ask for a reload.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<oneshot::Sender<Outcome>>);

impl ReloadHandle {
    /// Reads the config again and waits for what comes of it.
    pub async fn reload(&self) -> Outcome {
        let stopping =
            |()| Refusal { advice: Advice::TryLater, message: "the daemon is stopping".to_owned() };
        let (reply, outcome) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| stopping(()))?;
        outcome.await.map_err(|_| stopping(()))?
    }
}

/// Told to the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A reload begins.
    Begins,
    /// It is over, well or not.
    Over,
}

/// Where another config comes from, and how one is asked for.
#[derive(Debug)]
pub struct Reloading {
    /// The file as it was named: a link may lead elsewhere by then.
    pub file: PathBuf,
    /// SIGHUP.
    pub hangups: Signal,
    /// The log's level, and how often `-v` was given.
    pub log: (LogHandle, i8),
    /// What the config in force was read from.
    pub footprint: Footprint,
    /// Who else is told. Gives whether they took it.
    pub announce: fn(Phase) -> bool,
}

/// What of the running daemon takes another config over.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) outbox_wake: Arc<Notify>,
    pub(super) health: Arc<Health>,
    pub(super) in_force: Arc<InForce>,
    pub(super) clients: Vec<Held>,
    pub(super) poller: poller::reload::ReloadHandle,
    pub(super) dispatcher: dispatcher::reload::ReloadHandle,
    pub(super) web: Option<web::State>,
    /// Who gets which events, for the tasks that tell of their own accord.
    pub(super) subscriptions: watch::Sender<Arc<[Subscription]>>,
}

/// Puts other configs in force.
#[derive(Debug)]
pub struct Reloader {
    config: watch::Sender<Arc<Config>>,
    reloading: Reloading,
    parts: Parts,
    requests: mpsc::Receiver<oneshot::Sender<Outcome>>,
    lookout: Lookout,
    /// The alert `config` was told and not yet resolved.
    fires: bool,
}

/// A config that can be put in force: nothing but the database can fail any more.
struct Ready {
    config: Config,
    changes: Vec<Change>,
    warnings: Vec<String>,
    clients: Vec<Held>,
    poller: poller::reload::Reload,
    dispatcher: dispatcher::reload::Reload,
    token: Option<crate::secret::Secret>,
}

impl Reloader {
    pub(super) fn new(
        config: watch::Sender<Arc<Config>>,
        reloading: Reloading,
        parts: Parts,
    ) -> (Self, ReloadHandle) {
        let (sender, requests) = mpsc::channel(16);
        let lookout = Lookout::over(reloading.footprint.clone());
        (Self { config, reloading, parts, requests, lookout, fires: false }, ReloadHandle(sender))
    }

    /// Reloads whenever it is asked to, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        self.recall().await;
        loop {
            let mut waiting = Vec::new();
            // Files live in the machine's time, whatever pace the daemon's own runs at.
            let next_look = SystemClock.now().plus(LOOK_EVERY);
            let looking = self.config.borrow().auto_reload;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(reply) = self.requests.recv() => waiting.push(reply),
                // However many came since the last one, they are one.
                Some(()) = self.reloading.hangups.recv() => {}
                () = SystemClock.sleep_until(next_look), if looking => {
                    let Some(path) = self.look().await else { continue };
                    tracing::info!(path = %path.display(), "the config has changed and is read again");
                }
            }
            while let Ok(reply) = self.requests.try_recv() {
                waiting.push(reply);
            }
            let announced = (self.reloading.announce)(Phase::Begins);
            let outcome = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                outcome = self.reload() => outcome,
            };
            if announced {
                self.announce_end().await;
            }
            for reply in waiting {
                // Nobody waiting any more means nobody to tell.
                let _ = reply.send(outcome.clone());
            }
        }
    }

    /// Who was told of the beginning waits for the end.
    async fn announce_end(&self) {
        for _ in 0..ANNOUNCEMENTS {
            if (self.reloading.announce)(Phase::Over) {
                return;
            }
            SystemClock.sleep_until(SystemClock.now().plus(ANNOUNCE_AGAIN)).await;
        }
    }

    /// A refusal that was told before a restart is over: what the daemon started with was not refused.
    async fn recall(&mut self) {
        match Board::load(&self.parts.store).await {
            Ok(board) => self.fires = board.fires(None, AlertName::Config),
            Err(error) => tracing::error!(%error, "which alerts fired before could not be read"),
        }
        if self.fires {
            self.alert(false, "the daemon was started with a config that is in order").await;
        }
    }

    /// Which of the config's files has changed, once they stand still. A file system that hangs keeps nobody else waiting.
    async fn look(&mut self) -> Option<PathBuf> {
        let footprint = self.lookout.footprint().clone();
        let now = tokio::task::spawn_blocking(move || footprint.again()).await.ok()?;
        self.lookout.see(now)
    }

    async fn reload(&mut self) -> Outcome {
        let outcome = match self.prepare().await {
            Ok(ready) => self.swap(ready).await,
            Err(refusal) => Err(refusal),
        };
        let now = self.parts.clock.now();
        match &outcome {
            Ok(report) => {
                let restart = report.restart_for.len();
                tracing::info!(changes = report.changes.len(), needing_restart = restart, "config reloaded");
                self.parts.in_force.succeeded(now, report.restart_for.clone());
                if self.fires {
                    self.alert(false, "the config is in force again").await;
                }
            }
            Err(refusal) => {
                let why = &*first_error(&refusal.message);
                tracing::error!(why, "the config was not reloaded; the old one stays in force");
                self.parts.in_force.refused(now, why);
                if !self.fires {
                    self.alert(true, why).await;
                }
            }
        }
        outcome
    }

    /// Everything that can fail, with nothing changed.
    async fn prepare(&mut self) -> Result<Ready, Refusal> {
        let file = self.reloading.file.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&file)).await;
        // A file that makes the reader panic must not end the daemon.
        let read = read.map_err(|error| failed(format!("reading the config broke off: {error}")))?;
        let sources = match &read {
            Ok(loaded) => &loaded.sources,
            Err(refused) => &refused.sources,
        };
        // Also of a bad one: it is tried again when it has changed again.
        self.lookout = Lookout::over(sources.footprint().clone());
        let Loaded { config, warnings, sources } =
            read.map_err(|refused| Refusal { advice: Advice::Misconfigured, message: refused.to_string() })?;
        let warnings =
            warnings.iter().map(|warning| render_one(warning, &sources, ("", "")).trim_end().to_owned());
        let warnings = warnings.collect();
        let old = Arc::clone(&self.config.borrow());
        let changes = change::between(&old, &config);
        let config = as_far_as_possible(config, &old);
        let (_, verbosity) = self.reloading.log;
        log::targets(&config.log.level, verbosity).map_err(misconfigured)?;
        let targets = build::targets(&config, &self.parts.clock).await.map_err(refused)?;
        let subscriptions = build::subscriptions(&config.webhooks).map_err(refused)?;
        let token = self.token(&config).await?;
        let (clients, renewed) =
            build::clients(&config, &self.parts.clients, &self.parts.clock).await.map_err(refused)?;
        let Parts { store, health, clock, .. } = &self.parts;
        let states = store.outbox().webhook_states().await.map_err(failed)?;
        let upstreams = build::upstreams(&config, &clients, store, health, clock).await.map_err(refused)?;
        let list = upkeep::without_forgotten(store, build::assignments(&config)).await.map_err(failed)?;
        let poller = poller::reload::Reload {
            settings: build::settings(&config),
            subscriptions,
            upstreams,
            renewed,
            list,
        };
        let differing = config.webhooks.iter().filter(|webhook| !old.webhooks.contains(webhook));
        let dispatcher = dispatcher::reload::Reload {
            targets,
            states,
            changed: differing.map(|webhook| webhook.name.clone()).collect(),
        };
        Ok(Ready { config, changes, warnings, clients, poller, dispatcher, token })
    }

    /// What guards the listener, where it is asked for at all.
    async fn token(&self, new: &Config) -> Result<Option<crate::secret::Secret>, Refusal> {
        if self.parts.web.is_none() {
            return Ok(None);
        }
        build::http_token(new).await.map(Some).map_err(refused)
    }

    async fn swap(&mut self, ready: Ready) -> Outcome {
        let Ready { config, changes, warnings, clients, poller, dispatcher, token } = ready;
        let stopping = || Refusal { advice: Advice::TryLater, message: "the daemon is stopping".to_owned() };
        let subscriptions = Arc::clone(&poller.subscriptions);
        // The one step that can still fail comes first: then nothing has changed.
        self.parts.poller.reload(poller).await.ok_or_else(stopping)?.map_err(failed)?;
        self.parts.clients = clients;
        self.parts.subscriptions.send_replace(subscriptions);
        if !self.parts.dispatcher.reload(dispatcher).await {
            return Err(stopping());
        }
        let (log, verbosity) = &self.reloading.log;
        if let Err(error) = log.set_level(&config.log.level, *verbosity) {
            // It parsed before; the logger is gone only when the process is.
            tracing::error!(%error, "the log's level could not be changed");
        }
        if let (Some(web), Some(token)) = (&self.parts.web, token) {
            web.set_token(token);
        }
        if let Some(web) = &self.parts.web {
            web.measure_people(config.http.metrics_per_user);
            web.set_hosts(&config.http.hosts);
            web.set_webhooks(config.webhooks.iter().map(|webhook| webhook.name.clone()));
        }
        let people = config.users.len();
        self.config.send_replace(Arc::new(config));
        let is_late = |change: &&Change| change.effect == Effect::Restart;
        Ok(ReloadReport {
            people,
            restart_for: changes.iter().filter(is_late).map(ToString::to_string).collect(),
            changes: changes.iter().map(ToString::to_string).collect(),
            warnings,
        })
    }

    /// An event about it. That it cannot be written is no reason to give up: the next attempt tells it.
    async fn alert(&mut self, firing: bool, summary: &str) {
        let notice = Notice::Alert {
            org: None,
            name: AlertName::Config,
            firing,
            summary: summary.to_owned(),
            at: self.parts.clock.now(),
        };
        let subscriptions = Arc::clone(&self.parts.subscriptions.borrow());
        match alerts::tell(&self.parts.store, &subscriptions, &notice).await {
            Ok(()) => {
                self.fires = firing;
                self.parts.outbox_wake.notify_one();
            }
            Err(error) => tracing::error!(%error, "the alert about the config could not be written"),
        }
    }
}

/// What counts only after a restart stays as it is, so that the next reload reports it again.
fn as_far_as_possible(new: Config, old: &Config) -> Config {
    let mut config = new;
    config.file.clone_from(&old.file);
    config.time_zone = old.time_zone;
    config.history.path.clone_from(&old.history.path);
    config.http.listen = old.http.listen;
    config.log.format = old.log.format;
    config
}

/// The first error on one line, with its place where it has one.
fn first_error(message: &str) -> String {
    // Warnings may stand before it.
    let mut lines = message.lines().skip_while(|line| !line.starts_with("error: "));
    let Some(error) = lines.next().and_then(|line| line.strip_prefix("error: ")) else {
        return message.lines().next().unwrap_or_default().to_owned();
    };
    let place = lines.next().and_then(|line| line.trim_start().strip_prefix("--> "));
    place.map_or_else(|| error.to_owned(), |place| format!("{error} ({place})"))
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn failed(error: impl ToString) -> Refusal {
    Refusal { advice: Advice::Failed, message: error.to_string() }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn misconfigured(error: impl ToString) -> Refusal {
    Refusal { advice: Advice::Misconfigured, message: error.to_string() }
}

fn refused(error: BuildError) -> Refusal {
    if error.is_config() { misconfigured(error) } else { failed(error) }
}
