//! The daemon, built: its tasks side by side until it is told to stop, then its end in order.
//!
//! Guards: READY is said once everything runs; the poller and the dispatcher drain before the database closes; the
//! database is closed in any case. Deliberately not here: how it was built (`app::build`).

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::build::Held;
use super::condition::Condition;
use super::control::Answers;
use super::reload::{self, Reloader, Reloading};
use super::supervise::{Fault, Supervisor};
use super::upkeep;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::control::Endpoint;
use crate::store::{Store, StoreError};
use crate::tasks::alerts_database::DatabaseAlert;
use crate::tasks::alerts_webhook::WebhookAlerts;
use crate::tasks::dispatcher::Dispatcher;
use crate::tasks::operator::Operator;
use crate::tasks::poller::Poller;
use crate::tasks::poller::report::PollerHandle;
use crate::tasks::pulse::Pulse;
use crate::tasks::watchdog::Watched;
use crate::telemetry::health::Health;
use crate::telemetry::settings::InForce;
use crate::web;
use crate::webhook::routing::Subscription;

/// Everything, ready to run.
#[derive(Debug)]
pub struct Daemon {
    pub(super) config: Config,
    pub(super) clock: SharedClock,
    pub(super) outbox_wake: Arc<Notify>,
    pub(super) store: Store,
    pub(super) health: Arc<Health>,
    pub(super) in_force: Arc<InForce>,
    pub(super) clients: Vec<Held>,
    pub(super) poller: Poller,
    pub(super) looks: PollerHandle,
    pub(super) dispatcher: Dispatcher,
    pub(super) alerts: WebhookAlerts,
    pub(super) operator: Operator,
    pub(super) subscribing: watch::Sender<Arc<[Subscription]>>,
    pub(super) web: Option<(TcpListener, web::State)>,
    pub(super) control: Option<Endpoint>,
    pub(super) reloading: Option<Reloading>,
    pub(super) watchdog: Option<Watchdog>,
}

/// Who is told that the daemon is alive.
pub struct Watchdog {
    /// How long they wait before they end it.
    pub patience: Duration,
    /// Told, with a line for people.
    pub tell: Box<dyn Fn(&str) + Send>,
}

impl Watchdog {
    fn spawn(
        self,
        tasks: &mut Supervisor,
        loops: Vec<(&'static str, Pulse)>,
        store: &Store,
        stop: &CancellationToken,
    ) {
        let Self { patience, tell } = self;
        let (store, clock) = (store.clone(), Arc::new(SystemClock));
        let watched = Watched { loops, store, every: patience / 3, clock };
        tasks.spawn("the watchdog", watched.run(move |line: &str| tell(line), stop.clone()));
    }
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchdog").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Why a run ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A task.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database at the end.
    #[error("closing the database: {0}")]
    Close(StoreError),
}

impl Daemon {
    /// The database, for who wants to look at it afterwards.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Lets this daemon take over other configs while it runs.
    #[must_use]
    pub fn reloading(mut self, reloading: Reloading) -> Self {
        self.reloading = Some(reloading);
        self
    }

    /// Tells somebody, for as long as everything moves.
    #[must_use]
    pub fn watched(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// Runs until `stop` is cancelled or something fails. `ready` is called once all tasks run. Returns the config that was
    /// in force last.
    pub async fn run(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<Arc<Config>, RunError> {
        // Draining is measured on the machine's clock, whatever pace the daemon's own runs at.
        let mut tasks = Supervisor::new(Arc::new(SystemClock));
        let condition = Condition {
            health: Arc::clone(&self.health),
            in_force: Arc::clone(&self.in_force),
            clock: Arc::clone(&self.clock),
        };
        let (sender, config) = watch::channel(Arc::new(self.config));
        let last = config.clone();
        let (wake, subscriptions) = (Arc::clone(&self.outbox_wake), self.alerts.subscriptions.clone());
        let alert = DatabaseAlert::new(self.store.clone(), wake, subscriptions);
        upkeep::spawn(&mut tasks, config.clone(), (&self.store, alert, &self.health), &self.clock, &stop);
        let (store, token) = (self.store.clone(), stop.clone());
        tasks.spawn("the end of patience", async move {
            token.cancelled().await;
            store.health().limit_lock_wait();
            Ok::<(), Fault>(())
        });
        let reload = self.reloading.map(|reloading| {
            let parts = reload::Parts {
                store: self.store.clone(),
                clock: self.clock,
                outbox_wake: self.outbox_wake,
                health: self.health,
                in_force: self.in_force,
                clients: self.clients,
                poller: self.poller.reload_handle(),
                dispatcher: self.dispatcher.reload_handle(),
                web: self.web.as_ref().map(|(_, state)| state.clone()),
                subscriptions: self.subscribing,
            };
            let (reloader, handle) = Reloader::new(sender, reloading, parts);
            tasks.spawn("the reloader", reloader.run(stop.clone()));
            handle
        });
        if let Some(watchdog) = self.watchdog {
            let loops = vec![("poller", self.poller.pulse()), ("dispatcher", self.dispatcher.pulse())];
            watchdog.spawn(&mut tasks, loops, &self.store, &stop);
        }
        let (poller, dispatcher, token) = (self.poller, self.dispatcher, stop.clone());
        let polling = async move { poller.run(token).await.map(|_| ()) };
        tasks.spawn("the poller", unless_held_up(self.store.clone(), polling));
        tasks.spawn("the dispatcher", unless_held_up(self.store.clone(), dispatcher.run(stop.clone())));
        let (alerts, token) = (self.alerts, stop.clone());
        tasks.spawn("the alerts about webhooks", alerts.run(token));
        if let Some((listener, state)) = self.web {
            tasks.spawn("the listener", web::serve(listener, state, stop.clone()));
        }
        if let Some(endpoint) = self.control {
            let (store, looks) = (self.store.clone(), self.looks.clone());
            let answers = Answers { config, store, looks, operator: self.operator, reload, condition };
            listen(&mut tasks, endpoint, answers, &stop);
        }
        ready();
        let ended = tasks.run(stop).await;
        let closed = self.store.close().await.map_err(RunError::Close);
        ended?;
        closed?;
        Ok(Arc::clone(&last.borrow()))
    }
}

/// A stop while another program holds the database's write lock is a clean one: what was not written is said when the database
/// is closed, and is done again after the next start.
async fn unless_held_up<E>(store: Store, task: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    match task.await {
        Err(_) if store.health().gave_up_on_lock() => Ok(()),
        ended => ended,
    }
}

/// Acting commands are answered from here on.
fn listen(tasks: &mut Supervisor, endpoint: Endpoint, answers: Answers, stop: &CancellationToken) {
    let answers = Arc::new(answers);
    let handler = move |request| Arc::clone(&answers).answer(request);
    let token = stop.clone();
    tasks.spawn("the control socket", async move {
        endpoint.serve(handler, token).await;
        Ok::<(), Fault>(())
    });
}
