//! Builds the daemon from a config: secrets, database, clients, webhooks, listeners.
//!
//! Guards: everything that can fail fails here, before READY, and the error says what to do; no poll and no delivery starts
//! before everything is built. Not here: checking the config (`config`), running (`app::daemon`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::confidential::SharedConfidential;
use crate::config::{Config, Titles};
use crate::control::{self, Endpoint};
use crate::store::{CheckedDatabase, Store, StoreError};
use crate::tasks::alerts_webhook::WebhookAlerts;
use crate::tasks::dispatcher::{Dispatcher, Target};
use crate::tasks::operator::Operator;
use crate::tasks::poller::report::PollerHandle;
use crate::tasks::poller::{Poller, Tools};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::settings::ActiveConfig;
use crate::web;
use crate::web::Measured;

use super::daemon::Daemon;
use super::maintenance;

mod error;
mod organisations;
mod poller;
mod push;
mod resolve;
mod webhooks;

pub use error::BuildError;
pub(super) use organisations::{ClientEntry, clients, confidential, upstreams};
pub(super) use poller::{assignments, settings};
pub use push::push_app;
pub(super) use push::push_members;
pub(super) use resolve::http_grants;
pub(super) use webhooks::{subscriptions, targets};

/// After this time without a poll, nothing expires for one hour, because the clock may be ahead.
const LONG_IDLE: Duration = Duration::from_hours(24);

/// Builds everything; with `with_control` also the control socket, which the demo does not have. `stop` cancels the build
/// as long as nothing was written.
pub async fn daemon(
    config: Config,
    clock: SharedClock,
    with_control: bool,
    stop: &CancellationToken,
) -> Result<Daemon, BuildError> {
    let subscriptions = subscriptions(&config.webhooks)?;
    let confidential = SharedConfidential::default();
    let prerequisites = stop.run_until_cancelled(Prerequisites::check(&config, &clock, &confidential)).await;
    let prerequisites = prerequisites.ok_or(BuildError::Stopped)?;
    let Prerequisites { targets, clients, listener, sound } = prerequisites?;
    confidential.replace(organisations::confidential(&config, &clients));
    // Cancelling is safe, as a kill is: a migration is one transaction.
    let opening = sound.open(config.time_zone, Arc::clone(&clock), config.history.before_migration);
    let store = stop.run_until_cancelled(opening).await.ok_or(BuildError::Stopped)??;
    compare_clock(&config, &store, &clock).await?;
    store.recorder().put_titles_in_events(config.titles == Titles::Events);
    let health = Health::new();
    let outbox_wake = Arc::new(Notify::new());
    let upstreams = upstreams(&config, &clients, &store, &health, &clock).await?;
    let metrics = Metrics::new();
    let dispatcher = Dispatcher::new(store.clone(), targets, Arc::clone(&clock), Arc::clone(&outbox_wake))
        .measured_by(Arc::clone(&metrics));
    let (poller_handle, requests) = PollerHandle::pair();
    let (subscribing, subscribed) = watch::channel(Arc::clone(&subscriptions));
    let alerts = WebhookAlerts {
        store: store.clone(),
        clock: Arc::clone(&clock),
        states_wake: dispatcher.states_wake(),
        outbox_wake: Arc::clone(&outbox_wake),
        subscriptions: subscribed,
    };
    let operator = Operator::new(
        store.clone(),
        Arc::clone(&clock),
        dispatcher.handle(),
        poller_handle.clone(),
        Arc::clone(&outbox_wake),
    );
    let tools = Tools {
        store: store.clone(),
        clock: Arc::clone(&clock),
        outbox_wake: Arc::clone(&outbox_wake),
        subscriptions,
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
    };
    let list = maintenance::without_erased(&store, assignments(&config)).await?;
    let poller = Poller::start(tools, settings(&config), upstreams, list, requests).await?;
    ask_for_snapshots(&config, &poller_handle);
    let push_members = push_members(&config, &clients)?;
    let active_config = ActiveConfig::since(clock.now());
    let web = match listener {
        None => None,
        Some(listener) => {
            let measured = measured(&config, &store, metrics, &active_config);
            Some(web_state(&config, listener, &store, &health, &clock, measured).await?)
        }
    };
    let control = if with_control { Some(control_endpoint(&config.file).await?) } else { None };
    Ok(Daemon {
        config,
        clock,
        outbox_wake,
        store,
        health,
        active_config,
        clients,
        confidential,
        push_members,
        poller,
        poller_handle,
        dispatcher,
        alerts,
        operator,
        subscribing,
        web,
        control,
        reloading: None,
        watchdog: None,
    })
}

/// Compares the clock with stored times. If the clock was set back, nothing waits for a time that it showed before. After a
/// long idle time nothing expires for a while, because a clock that is ahead looks the same.
async fn compare_clock(config: &Config, store: &Store, clock: &SharedClock) -> Result<(), StoreError> {
    let waits = config.webhooks.iter().map(|webhook| webhook.backoff.max);
    // A receiver may ask for up to an hour, and each wait varies by a fifth.
    let longest = waits.chain([Duration::from_hours(1)]).max().unwrap_or_default() * 2;
    let stored = store.maintenance().compare_clock(clock.now(), clock.jumped_ms(), longest).await?;
    if let Some(by) = stored.set_back {
        let seconds = by.as_secs();
        tracing::warn!(seconds, "the clock was set back; stored polls and deliveries are due now");
    }
    if stored.idle.is_some_and(|idle| idle > LONG_IDLE) {
        clock.doubt_ages();
    }
    Ok(())
}

/// Everything that can fail before anything is written.
struct Prerequisites {
    targets: Vec<Target>,
    clients: Vec<ClientEntry>,
    listener: Option<TcpListener>,
    sound: CheckedDatabase,
}

impl Prerequisites {
    async fn check(
        config: &Config,
        clock: &SharedClock,
        confidential: &SharedConfidential,
    ) -> Result<Self, BuildError> {
        let targets = targets(config, clock, confidential).await?;
        let (clients, _) = clients(config, &[], clock, confidential).await?;
        let listener = listener(config).await?;
        Ok(Self { targets, clients, listener, sound: CheckedDatabase::check(&config.history.path).await? })
    }
}

/// Requests snapshots for webhooks with `snapshot_on_start`.
fn ask_for_snapshots(config: &Config, poller_handle: &PollerHandle) {
    let at_start = config.webhooks.iter().filter(|webhook| webhook.snapshot_on_start);
    let names: Arc<[_]> = at_start.map(|webhook| webhook.name.clone()).collect();
    if !names.is_empty() {
        poller_handle.snapshot_at_start(names);
    }
}

async fn listener(config: &Config) -> Result<Option<TcpListener>, BuildError> {
    match config.http.listen {
        None => Ok(None),
        Some(address) => {
            TcpListener::bind(address).await.map(Some).map_err(|error| BuildError::Listen { address, error })
        }
    }
}

fn measured(
    config: &Config,
    store: &Store,
    metrics: Arc<Metrics>,
    active_config: &Arc<ActiveConfig>,
) -> Measured {
    Measured {
        metrics,
        active_config: Arc::clone(active_config),
        database: store.path().to_owned(),
        per_user: Arc::new(config.http.metrics_per_user.into()),
    }
}

async fn web_state(
    config: &Config,
    listener: TcpListener,
    store: &Store,
    health: &Arc<Health>,
    clock: &SharedClock,
    measured: Measured,
) -> Result<(TcpListener, web::State), BuildError> {
    let grants = http_grants(config).await?;
    let address = listener.local_addr().map_err(|error| BuildError::File { what: "the listener", error })?;
    let state = web::State::new(store.history(), Arc::clone(health), grants, Arc::clone(clock), address);
    state.measure(measured);
    state.configure(config);
    Ok((listener, state))
}

async fn control_endpoint(config_file: &Path) -> Result<Endpoint, BuildError> {
    let what = "the control socket";
    let place = control::serve_place(config_file).map_err(|error| BuildError::File { what, error })?;
    Endpoint::bind(&place).await.map_err(|error| BuildError::File { what, error })
}
