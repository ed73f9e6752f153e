//! From a config to a daemon that is ready: secrets, database, clients, webhooks, listeners.
//!
//! Guards: whatever can fail fails here, before READY, and says what to do; nothing polls or sends before everything is
//! there. Deliberately not here: checking the config (`config`), running (`app::daemon`).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::config::secrets::{self, SecretError, SecretSource};
use crate::config::{Cadence, Config, Text, User};
use crate::control::{self, Endpoint};
use crate::net::ClientError;
use crate::presence::diff::DiffRules;
use crate::presence::event::UserInfo;
use crate::secret::Secret;
use crate::store::{CheckedDatabase, Store, StoreError};
use crate::tasks::alerts_webhook::WebhookAlerts;
use crate::tasks::dispatcher::{Dispatcher, Target};
use crate::tasks::operator::Operator;
use crate::tasks::poller::report::PollerHandle;
use crate::tasks::poller::roster::Rhythm;
use crate::tasks::poller::start::Assignment;
use crate::tasks::poller::{Poller, PollerError, Settings, Tools};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::settings::InForce;
use crate::web;
use crate::web::metrics::Measured;

use super::daemon::Daemon;
use super::upkeep;

mod organisations;
mod webhooks;

pub(super) use organisations::{Held, clients, upstreams};
pub(super) use webhooks::{subscriptions, targets};

/// After so long without a poll, nothing is given up for its age for an hour.
const LONG_IDLE: Duration = Duration::from_hours(24);

/// Why the daemon could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A secret is not where the config says.
    #[error("{what}: {error}")]
    Secret {
        /// Whose.
        what: String,
        /// Why.
        error: SecretError,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An HTTP client.
    #[error("organisation `{org}`: {error}")]
    Client {
        /// Which.
        org: String,
        /// Why.
        error: ClientError,
    },
    /// A webhook.
    #[error("webhook `{webhook}`: {reason}")]
    Webhook {
        /// Which.
        webhook: String,
        /// Why.
        reason: String,
    },
    /// The poller's start.
    #[error(transparent)]
    Poller(#[from] PollerError),
    /// The listener's address.
    #[error("cannot listen on {address}: {error} (is something else using it?)")]
    Listen {
        /// From the config.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The token file or the control socket.
    #[error("{what}: {error}")]
    File {
        /// Which.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// It was told to stop meanwhile.
    #[error("stopped before it was ready")]
    Stopped,
}

impl BuildError {
    /// The config, or what it names, is to be put right; trying again does not help.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Secret { .. } | Self::Webhook { .. } | Self::Client { .. } => true,
            Self::Store(_) | Self::Poller(_) | Self::Listen { .. } | Self::File { .. } | Self::Stopped => {
                false
            }
        }
    }
}

/// Builds everything. `with_control`: also a control socket (the demo has none). `stop` breaks it off as long as nothing
/// was written.
pub async fn daemon(
    config: Config,
    clock: SharedClock,
    with_control: bool,
    stop: &CancellationToken,
) -> Result<Daemon, BuildError> {
    let subscriptions = subscriptions(&config.webhooks)?;
    let ground = stop.run_until_cancelled(Ground::look(&config, &clock)).await.ok_or(BuildError::Stopped)?;
    let Ground { targets, clients, listener, sound } = ground?;
    // Broken off like by a kill: a migration is one transaction.
    let opening = sound.open(config.time_zone, Arc::clone(&clock), config.history.before_migration);
    let store = stop.run_until_cancelled(opening).await.ok_or(BuildError::Stopped)??;
    compare_clock(&config, &store, &clock).await?;
    let health = Health::new();
    let outbox_wake = Arc::new(Notify::new());
    let upstreams = upstreams(&config, &clients, &store, &health, &clock).await?;
    let metrics = Metrics::new();
    let dispatcher = Dispatcher::new(store.clone(), targets, Arc::clone(&clock), Arc::clone(&outbox_wake))
        .measured_by(Arc::clone(&metrics));
    let (looks, requests) = PollerHandle::pair();
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
        looks.clone(),
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
    let list = upkeep::without_forgotten(&store, assignments(&config)).await?;
    let poller = Poller::start(tools, settings(&config), upstreams, list, requests).await?;
    ask_for_snapshots(&config, &looks);
    let in_force = InForce::since(clock.now());
    let web = match listener {
        None => None,
        Some(listener) => {
            let measured = measured(&config, &store, metrics, &in_force);
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
        in_force,
        clients,
        poller,
        looks,
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

/// What stored times say about the clock: nothing waits for a time that it showed before, and after a long idle time ages
/// are doubted, because a clock that is ahead looks the same.
async fn compare_clock(config: &Config, store: &Store, clock: &SharedClock) -> Result<(), StoreError> {
    let waits = config.webhooks.iter().map(|webhook| webhook.backoff.max);
    // A receiver may ask for an hour, and each wait is spread by a fifth.
    let longest = waits.chain([Duration::from_hours(1)]).max().unwrap_or_default() * 2;
    let stored = store.maintenance().compare_clock(clock.now(), clock.jumped_ms(), longest).await?;
    if let Some(by) = stored.set_back {
        let seconds = by.as_secs();
        tracing::warn!(seconds, "the clock was set back; polls and deliveries stored for later are due now");
    }
    if stored.idle.is_some_and(|idle| idle > LONG_IDLE) {
        clock.doubt_ages();
    }
    Ok(())
}

/// What can be refused while nothing was written yet.
struct Ground {
    targets: Vec<Target>,
    clients: Vec<Held>,
    listener: Option<TcpListener>,
    sound: CheckedDatabase,
}

impl Ground {
    async fn look(config: &Config, clock: &SharedClock) -> Result<Self, BuildError> {
        let targets = targets(config, clock).await?;
        let (clients, _) = clients(config, &[], clock).await?;
        let listener = listener(config).await?;
        Ok(Self { targets, clients, listener, sound: CheckedDatabase::check(&config.history.path).await? })
    }
}

/// For those webhooks that want to begin with who is where.
fn ask_for_snapshots(config: &Config, looks: &PollerHandle) {
    let at_start = config.webhooks.iter().filter(|webhook| webhook.snapshot_on_start);
    let names: Arc<[_]> = at_start.map(|webhook| webhook.name.clone()).collect();
    if !names.is_empty() {
        looks.snapshot_at_start(names);
    }
}

async fn secret(what: impl Fn() -> String, source: &SecretSource) -> Result<Secret, BuildError> {
    secrets::resolve(source).await.map_err(|error| BuildError::Secret { what: what(), error })
}

pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        rules: DiffRules {
            leave_after_misses: config.poll.leave_after_misses,
            first_poll_silent: config.poll.first_poll_silent,
        },
        min_interval: config.poll.min_interval,
        max_interval: config.poll.max_interval,
        stale_after: config.poll.stale_after,
        backoff: config.poll.backoff,
        overtime: config.poll.overtime,
        time_zone: config.time_zone,
        confirm_calls: config.poll.confirm_calls,
        sweep: config.poll.sweeping(),
    }
}

pub(super) fn assignments(config: &Config) -> Vec<Assignment> {
    config
        .users
        .iter()
        .map(|user| Assignment {
            card: card(user, config.store_nick),
            rhythm: rhythm(user),
            open: config.open_time(user),
        })
        .collect()
}

fn card(user: &User, store_nick: bool) -> UserInfo {
    UserInfo {
        identity: user.identity.clone(),
        name: user.name.clone(),
        groups: user.groups.clone(),
        tags: user.tags.clone(),
        store_nick,
    }
}

fn rhythm(user: &User) -> Rhythm {
    match &user.cadence {
        Cadence::Auto => Rhythm::Auto,
        Cadence::Every(interval) => Rhythm::Every(*interval),
        Cadence::Cron(cron) => Rhythm::At(cron.clone()),
    }
}

async fn text(text: &Text, what: impl Fn() -> String) -> Result<Secret, BuildError> {
    match text {
        Text::Plain(plain) => Ok(Secret::new(plain)),
        Text::Secret(source) => secret(what, source).await,
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

/// What guards the listener: configured, or made beside the database.
pub(super) async fn http_token(config: &Config) -> Result<Secret, BuildError> {
    if let Some(source) = &config.http.token {
        return secret(|| "[http] token".to_owned(), source).await;
    }
    let folder = config.history.path.parent().unwrap_or(Path::new("."));
    let file = |error| BuildError::File { what: "the HTTP token's file", error };
    web::token::load_or_create(folder).map_err(file)
}

fn measured(config: &Config, store: &Store, metrics: Arc<Metrics>, in_force: &Arc<InForce>) -> Measured {
    Measured {
        metrics,
        in_force: Arc::clone(in_force),
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
    let token = http_token(config).await?;
    let address = listener.local_addr().map_err(|error| BuildError::File { what: "the listener", error })?;
    let state = web::State::new(store.history(), Arc::clone(health), token, Arc::clone(clock), address);
    state.measure(measured);
    state.set_hosts(&config.http.hosts);
    state.set_webhooks(config.webhooks.iter().map(|webhook| webhook.name.clone()));
    Ok((listener, state))
}

async fn control_endpoint(config_file: &Path) -> Result<Endpoint, BuildError> {
    let what = "the control socket";
    let place = control::serve_place(config_file).map_err(|error| BuildError::File { what, error })?;
    Endpoint::bind(&place).await.map_err(|error| BuildError::File { what, error })
}
