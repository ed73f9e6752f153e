//! Reloads the config of the running daemon: reads and checks it, resolves its secrets, builds everything, then activates
//! it in one step.
//!
//! Guards: a failure changes nothing and is reported to the caller, in the log and as an alert until a reload or a restart
//! succeeds; requests during a reload share the next one; a changed file is read once, valid or not; settings that need a
//! restart keep their value and are reported each time. Not here: the differences (`config::change`), applying them
//! (`tasks`).

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::build::{
    BuildError, ClientEntry, assignments, clients, confidential, http_grants, push_members, settings,
    subscriptions, targets, upstreams,
};
use super::maintenance;
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::confidential::SharedConfidential;
use crate::config::change::{self, Change};
use crate::config::file_set::{ConfigFileSet, FileWatcher};
use crate::config::problem::render_one;
use crate::config::reference::Effect;
use crate::config::{self, Config, Loaded, Titles};
use crate::control::{Advice, ReloadReport};
use crate::presence::system::AlertName;
use crate::store::Store;
use crate::tasks::alerts::{self, AlertState, SystemEvent};
use crate::tasks::push::Member;
use crate::tasks::{dispatcher, poller};
use crate::telemetry::health::Health;
use crate::telemetry::log::{self, LogHandle};
use crate::telemetry::settings::ActiveConfig;
use crate::web;
use crate::web::Grant;
use crate::webhook::routing::Subscription;

/// Interval of checking the files of the config. A change is loaded when two checks agree, so within twice this time.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Wait before the end of a reload is announced again to a service manager that did not take it,
const ANNOUNCE_AGAIN: Duration = Duration::from_millis(100);
/// and the maximum number of attempts.
const ANNOUNCEMENTS: u32 = 10;

/// Why the old config stays active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it means for the caller.
    pub advice: Advice,
    /// Every problem, as text.
    pub message: String,
}

/// The result of an attempt.
pub type Outcome = Result<ReloadReport, Refusal>;

/// Requests reloads.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<oneshot::Sender<Outcome>>);

impl ReloadHandle {
    /// Reloads the config and waits for the result.
    pub async fn reload(&self) -> Outcome {
        let stopping =
            |()| Refusal { advice: Advice::TryLater, message: "the daemon is stopping".to_owned() };
        let (reply, outcome) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| stopping(()))?;
        outcome.await.map_err(|_| stopping(()))?
    }
}

/// Announced to the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A reload begins.
    Begins,
    /// It has ended, with success or not.
    Over,
}

/// Where the config comes from, and how a reload is requested.
#[derive(Debug)]
pub struct Reloading {
    /// The file as it was named: a link may have a new target later.
    pub file: PathBuf,
    /// SIGHUP.
    pub hangups: Signal,
    /// Sets the log level; and how often `-v` was given.
    pub log: (LogHandle, i8),
    /// The files of the active config.
    pub files: ConfigFileSet,
    /// Announces a phase to the service manager. Returns whether it was taken.
    pub announce: fn(Phase) -> bool,
}

/// The parts of the running daemon that a reload changes.
#[derive(Debug)]
pub(super) struct ReloadDeps {
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) outbox_wake: Arc<Notify>,
    pub(super) health: Arc<Health>,
    pub(super) active_config: Arc<ActiveConfig>,
    pub(super) clients: Vec<ClientEntry>,
    pub(super) confidential: SharedConfidential,
    pub(super) push_members: watch::Sender<Arc<[Member]>>,
    pub(super) poller: poller::reload::ReloadHandle,
    pub(super) dispatcher: dispatcher::reload::ReloadHandle,
    pub(super) web: Option<web::State>,
    /// Subscriptions, for the tasks that emit alerts.
    pub(super) subscriptions: watch::Sender<Arc<[Subscription]>>,
}

/// Reloads the config on request.
#[derive(Debug)]
pub struct Reloader {
    config: watch::Sender<Arc<Config>>,
    reloading: Reloading,
    deps: ReloadDeps,
    requests: mpsc::Receiver<oneshot::Sender<Outcome>>,
    watcher: FileWatcher,
    /// Whether the alert `config` is firing.
    firing: bool,
}

/// A config that is ready to activate: only the database can still fail.
struct Ready {
    config: Config,
    changes: Vec<Change>,
    warnings: Vec<String>,
    clients: Vec<ClientEntry>,
    push_members: Arc<[Member]>,
    poller: poller::reload::Reload,
    dispatcher: dispatcher::reload::Reload,
    grants: Option<Arc<[Grant]>>,
}

impl Reloader {
    pub(super) fn new(
        config: watch::Sender<Arc<Config>>,
        reloading: Reloading,
        deps: ReloadDeps,
    ) -> (Self, ReloadHandle) {
        let (sender, requests) = mpsc::channel(16);
        let watcher = FileWatcher::over(reloading.files.clone());
        (Self { config, reloading, deps, requests, watcher, firing: false }, ReloadHandle(sender))
    }

    /// Reloads on every request until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        self.resolve_old_alert().await;
        loop {
            let mut waiting = Vec::new();
            // Files use the clock of the machine, because the clock of a demo runs faster.
            let next_check = SystemClock.now().plus(CHECK_EVERY);
            let is_watching = self.config.borrow().auto_reload;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(reply) = self.requests.recv() => waiting.push(reply),
                // Several signals since the last reload are one request.
                Some(()) = self.reloading.hangups.recv() => {}
                () = SystemClock.sleep_until(next_check), if is_watching => {
                    let Some(path) = self.changed_file().await else { continue };
                    tracing::info!(path = %path.display(), "a file of the config has changed; reloading");
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
                // A caller that no longer waits needs no answer.
                let _ = reply.send(outcome.clone());
            }
        }
    }

    /// Announces the end: a service manager that knows of the begin waits for it.
    async fn announce_end(&self) {
        for _ in 0..ANNOUNCEMENTS {
            if (self.reloading.announce)(Phase::Over) {
                return;
            }
            SystemClock.sleep_until(SystemClock.now().plus(ANNOUNCE_AGAIN)).await;
        }
    }

    /// Resolves an alert from before a restart: the daemon has started, so the config is valid.
    async fn resolve_old_alert(&mut self) {
        match AlertState::load(&self.deps.store).await {
            Ok(board) => self.firing = board.fires(None, AlertName::Config),
            Err(error) => tracing::error!(%error, "cannot read the alerts of the last run"),
        }
        if self.firing {
            self.alert(false, "the daemon was restarted with a valid config").await;
        }
    }

    /// The file of the config that has changed, once all files are stable. A file system that hangs blocks no other task.
    async fn changed_file(&mut self) -> Option<PathBuf> {
        let files = self.watcher.file_set().clone();
        let now = tokio::task::spawn_blocking(move || files.again()).await.ok()?;
        self.watcher.see(now)
    }

    async fn reload(&mut self) -> Outcome {
        let outcome = match self.prepare().await {
            Ok(ready) => self.swap(ready).await,
            Err(refusal) => Err(refusal),
        };
        let now = self.deps.clock.now();
        match &outcome {
            Ok(report) => {
                let restart = report.restart_for.len();
                tracing::info!(changes = report.changes.len(), needing_restart = restart, "config reloaded");
                self.deps.active_config.succeeded(now, report.restart_for.clone());
                if self.firing {
                    self.alert(false, "the config was reloaded").await;
                }
            }
            Err(refusal) => {
                let why = &*first_error(&refusal.message);
                tracing::error!(why, "config not reloaded; the old config stays active");
                self.deps.active_config.refused(now, why);
                if !self.firing {
                    self.alert(true, why).await;
                }
            }
        }
        outcome
    }

    /// Does everything that can fail, without changing anything.
    async fn prepare(&mut self) -> Result<Ready, Refusal> {
        let file = self.reloading.file.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&file)).await;
        // A file that makes the reader panic must not end the daemon.
        let read = read.map_err(|error| failed(format!("reading the config failed: {error}")))?;
        let sources = match &read {
            Ok(loaded) => &loaded.sources,
            Err(refused) => &refused.sources,
        };
        // Also after an invalid config: it is read again after the next change.
        self.watcher = FileWatcher::over(sources.file_set().clone());
        let Loaded { config, warnings, sources } =
            read.map_err(|refused| Refusal { advice: Advice::Misconfigured, message: refused.to_string() })?;
        let warnings =
            warnings.iter().map(|warning| render_one(warning, &sources, ("", "")).trim_end().to_owned());
        let warnings = warnings.collect();
        let old = Arc::clone(&self.config.borrow());
        let changes = change::between(&old, &config);
        let config = without_restart_settings(config, &old);
        let (_, verbosity) = self.reloading.log;
        log::targets(&config.log.level, verbosity).map_err(misconfigured)?;
        let webhook_targets =
            targets(&config, &self.deps.clock, &self.deps.confidential).await.map_err(refused)?;
        let subscriptions = subscriptions(&config.webhooks).map_err(refused)?;
        let grants = self.grants(&config).await?;
        let (clients, renewed) =
            clients(&config, &self.deps.clients, &self.deps.clock, &self.deps.confidential)
                .await
                .map_err(refused)?;
        let push_members = push_members(&config, &clients).map_err(refused)?;
        let ReloadDeps { store, health, clock, .. } = &self.deps;
        let states = store.outbox().webhook_states().await.map_err(failed)?;
        let upstreams = upstreams(&config, &clients, store, health, clock).await.map_err(refused)?;
        let list = maintenance::without_erased(store, assignments(&config)).await.map_err(failed)?;
        let poller =
            poller::reload::Reload { settings: settings(&config), subscriptions, upstreams, renewed, list };
        let differing = config.webhooks.iter().filter(|webhook| !old.webhooks.contains(webhook));
        let dispatcher = dispatcher::reload::Reload {
            targets: webhook_targets,
            states,
            changed: differing.map(|webhook| webhook.name.clone()).collect(),
        };
        Ok(Ready { config, changes, warnings, clients, push_members, poller, dispatcher, grants })
    }

    /// The tokens of the listener, if there is a listener.
    async fn grants(&self, new: &Config) -> Result<Option<Arc<[Grant]>>, Refusal> {
        if self.deps.web.is_none() {
            return Ok(None);
        }
        http_grants(new).await.map(Some).map_err(refused)
    }

    async fn swap(&mut self, ready: Ready) -> Outcome {
        let Ready { config, changes, warnings, clients, push_members, poller, dispatcher, grants } = ready;
        let stopping = || Refusal { advice: Advice::TryLater, message: "the daemon is stopping".to_owned() };
        let subscriptions = Arc::clone(&poller.subscriptions);
        // The only step that can still fail comes first, so that a failure changes nothing.
        self.deps.poller.reload(poller).await.ok_or_else(stopping)?.map_err(failed)?;
        self.deps.confidential.replace(confidential(&config, &clients));
        self.deps.clients = clients;
        self.deps.push_members.send_replace(push_members);
        self.deps.subscriptions.send_replace(subscriptions);
        if !self.deps.dispatcher.reload(dispatcher).await {
            return Err(stopping());
        }
        let (log, verbosity) = &self.reloading.log;
        if let Err(error) = log.set_level(&config.log.level, *verbosity) {
            // The level was parsed before, so this fails only while the process ends.
            tracing::error!(%error, "cannot change the log level");
        }
        if let (Some(web), Some(grants)) = (&self.deps.web, grants) {
            web.set_grants(grants);
            web.configure(&config);
        }
        self.deps.store.recorder().put_titles_in_events(config.titles == Titles::Events);
        let people = config.users.len();
        self.config.send_replace(Arc::new(config));
        let needs_restart = |change: &&Change| change.effect == Effect::Restart;
        Ok(ReloadReport {
            people,
            restart_for: changes.iter().filter(needs_restart).map(ToString::to_string).collect(),
            changes: changes.iter().map(ToString::to_string).collect(),
            warnings,
        })
    }

    /// Emits the alert. If it cannot be written, the next reload tries again.
    async fn alert(&mut self, firing: bool, summary: &str) {
        let notice = SystemEvent::Alert {
            org: None,
            name: AlertName::Config,
            firing,
            summary: summary.to_owned(),
            at: self.deps.clock.now(),
        };
        let subscriptions = Arc::clone(&self.deps.subscriptions.borrow());
        match alerts::emit(&self.deps.store, &subscriptions, &notice).await {
            Ok(()) => {
                self.firing = firing;
                self.deps.outbox_wake.notify_one();
            }
            Err(error) => tracing::error!(%error, "cannot write the alert about the config"),
        }
    }
}

/// The new config with the old values of settings that need a restart, so that the next reload reports them again.
fn without_restart_settings(new: Config, old: &Config) -> Config {
    let mut config = new;
    config.file.clone_from(&old.file);
    config.time_zone = old.time_zone;
    config.history.path.clone_from(&old.history.path);
    config.http.listen = old.http.listen;
    config.log.format = old.log.format;
    config
}

/// The first error on one line, with its place if it has one.
fn first_error(message: &str) -> String {
    // Warnings may come before it.
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
