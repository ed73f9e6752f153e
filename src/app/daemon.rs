//! Runs the tasks of the daemon until it is stopped, then stops them in order.
//!
//! Guards: READY is sent when every task runs; the poller and the dispatcher drain before the database closes; the database
//! is closed in any case. Not here: building the daemon (`app::build`).

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::build::ClientEntry;
use super::control_handler::ControlHandler;
use super::maintenance;
use super::page_actions::page_actions;
use super::reload::{ReloadDeps, Reloader, Reloading};
use super::status::StatusSource;
use super::supervise::{Fault, Supervisor};
use crate::clock::{SharedClock, SystemClock};
use crate::confidential::SharedConfidential;
use crate::config::Config;
use crate::control::Endpoint;
use crate::store::{Store, StoreError};
use crate::tasks::alerts_database::DatabaseAlert;
use crate::tasks::alerts_webhook::WebhookAlerts;
use crate::tasks::dispatcher::Dispatcher;
use crate::tasks::heartbeat::Heartbeat;
use crate::tasks::operator::Operator;
use crate::tasks::poller::Poller;
use crate::tasks::poller::report::PollerHandle;
use crate::tasks::push;
use crate::tasks::watchdog::LoopMonitor;
use crate::telemetry::health::Health;
use crate::telemetry::settings::ActiveConfig;
use crate::web;
use crate::webhook::routing::Subscription;

/// All tasks and handles, ready to run.
#[derive(Debug)]
pub struct Daemon {
    pub(super) config: Config,
    pub(super) clock: SharedClock,
    pub(super) outbox_wake: Arc<Notify>,
    pub(super) store: Store,
    pub(super) health: Arc<Health>,
    pub(super) active_config: Arc<ActiveConfig>,
    pub(super) clients: Vec<ClientEntry>,
    pub(super) confidential: SharedConfidential,
    pub(super) push_members: Arc<[push::Member]>,
    pub(super) poller: Poller,
    pub(super) poller_handle: PollerHandle,
    pub(super) dispatcher: Dispatcher,
    pub(super) alerts: WebhookAlerts,
    pub(super) operator: Operator,
    pub(super) subscribing: watch::Sender<Arc<[Subscription]>>,
    pub(super) web: Option<(TcpListener, web::State)>,
    pub(super) control: Option<Endpoint>,
    pub(super) reloading: Option<Reloading>,
    pub(super) watchdog: Option<Watchdog>,
}

/// Reports to the service manager that the daemon is alive.
pub struct Watchdog {
    /// Time without a report after which the service manager kills the daemon.
    pub patience: Duration,
    /// Callback with a one-line status for systemd.
    pub notify: Box<dyn Fn(&str) + Send>,
}

impl Watchdog {
    fn spawn(
        self,
        tasks: &mut Supervisor,
        loops: Vec<(&'static str, Heartbeat)>,
        store: &Store,
        stop: &CancellationToken,
    ) {
        let Self { patience, notify } = self;
        let (store, clock) = (store.clone(), Arc::new(SystemClock));
        let watched = LoopMonitor { loops, store, every: patience / 3, clock };
        tasks.spawn("the watchdog", watched.run(move |line: &str| notify(line), stop.clone()));
    }
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchdog").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A task failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database could not be closed.
    #[error("cannot close the database: {0}")]
    Close(StoreError),
}

impl Daemon {
    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A link that signs a browser in once, within a minute of the daemon's clock; `None` without a listener.
    pub fn page_link(&self) -> Option<std::io::Result<String>> {
        self.web.as_ref().map(|(_, state)| state.page_link())
    }

    /// Enables reloads.
    #[must_use]
    pub fn reloading(mut self, reloading: Reloading) -> Self {
        self.reloading = Some(reloading);
        self
    }

    /// Reports to the service manager as long as the event loops are responsive.
    #[must_use]
    pub fn watched(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// Runs until `stop` is cancelled or something fails. `ready` is called once all tasks run. Returns the
    /// last active config.
    pub async fn run(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<Arc<Config>, RunError> {
        // Draining uses the clock of the machine, because the clock of a demo runs faster.
        let mut tasks = Supervisor::new(Arc::new(SystemClock));
        let status = StatusSource {
            health: Arc::clone(&self.health),
            active_config: Arc::clone(&self.active_config),
            clock: Arc::clone(&self.clock),
        };
        let (sender, config) = watch::channel(Arc::new(self.config));
        let last = config.clone();
        let (wake, subscriptions) = (Arc::clone(&self.outbox_wake), self.alerts.subscriptions.clone());
        let alert = DatabaseAlert::new(self.store.clone(), wake, subscriptions);
        maintenance::spawn(
            &mut tasks,
            config.clone(),
            (&self.store, alert, &self.health),
            &self.clock,
            &stop,
        );
        let (store, token) = (self.store.clone(), stop.clone());
        tasks.spawn("the shutdown deadline", async move {
            token.cancelled().await;
            store.health().limit_lock_wait();
            Ok::<(), Fault>(())
        });
        let (push_members, members) = watch::channel(self.push_members);
        let tools = push::Tools {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            health: Arc::clone(&self.health),
            outbox_wake: Arc::clone(&self.outbox_wake),
            subscriptions: self.alerts.subscriptions.clone(),
        };
        tasks.spawn("the push connections", push::run(tools, members, stop.clone()));
        let reload = self.reloading.map(|reloading| {
            let deps = ReloadDeps {
                store: self.store.clone(),
                clock: self.clock,
                outbox_wake: self.outbox_wake,
                health: self.health,
                active_config: self.active_config,
                clients: self.clients,
                confidential: self.confidential,
                push_members,
                poller: self.poller.reload_handle(),
                dispatcher: self.dispatcher.reload_handle(),
                web: self.web.as_ref().map(|(_, state)| state.clone()),
                subscriptions: self.subscribing,
            };
            let (reloader, handle) = Reloader::new(sender, reloading, deps);
            tasks.spawn("the reloader", reloader.run(stop.clone()));
            handle
        });
        if let Some(watchdog) = self.watchdog {
            let loops =
                vec![("poller", self.poller.heartbeat()), ("dispatcher", self.dispatcher.heartbeat())];
            watchdog.spawn(&mut tasks, loops, &self.store, &stop);
        }
        let (poller, dispatcher, token) = (self.poller, self.dispatcher, stop.clone());
        let polling = async move { poller.run(token).await.map(|_| ()) };
        tasks.spawn("the poller", ignore_lock_contention(self.store.clone(), polling));
        tasks.spawn(
            "the dispatcher",
            ignore_lock_contention(self.store.clone(), dispatcher.run(stop.clone())),
        );
        let (alerts, token) = (self.alerts, stop.clone());
        tasks.spawn("the alerts about webhooks", alerts.run(token));
        let handler = Arc::new(ControlHandler {
            config,
            store: self.store.clone(),
            poller: self.poller_handle.clone(),
            operator: self.operator,
            reload,
            status,
            web: self.web.as_ref().map(|(_, state)| state.clone()),
        });
        if let Some((listener, state)) = self.web {
            state.set_actions(page_actions(&handler));
            tasks.spawn("the listener", web::serve(listener, state, stop.clone()));
        }
        if let Some(endpoint) = self.control {
            listen(&mut tasks, endpoint, Arc::clone(&handler), &stop);
        }
        ready();
        let ended = tasks.run(stop).await;
        let closed = self.store.close().await.map_err(RunError::Close);
        ended?;
        closed?;
        Ok(Arc::clone(&last.borrow()))
    }
}

/// A stop while another process holds the write lock is clean: closing the database reports what was not written, and the
/// next start does it again.
async fn ignore_lock_contention<E>(store: Store, task: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    match task.await {
        Err(_) if store.health().gave_up_on_lock() => Ok(()),
        ended => ended,
    }
}

/// Starts to answer commands on the control socket.
fn listen(tasks: &mut Supervisor, endpoint: Endpoint, state: Arc<ControlHandler>, stop: &CancellationToken) {
    let handler = move |request| Arc::clone(&state).answer(request);
    tasks.spawn("the control socket", endpoint.serve(handler, stop.clone()));
}
