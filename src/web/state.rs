//! The state that requests are answered from.
//!
//! Guards: a reload replaces the token, the hosts and the webhooks without a restart of the listener. Not here: answering
//! (`api`, `probe`, `metrics`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::clock::SharedClock;
use crate::ids::WebhookName;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::history::History;
use crate::store::stats::BlockedWebhook;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::settings::ActiveConfig;

/// What `/metrics` shows in addition to the health.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The active config.
    pub active_config: Arc<ActiveConfig>,
    /// The database, whose size is shown.
    pub database: PathBuf,
    /// `metrics_per_user`.
    pub per_user: Arc<AtomicBool>,
}

/// The state of the listener. Clones share it.
#[derive(Clone, Debug)]
pub struct State(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) history: History,
    pub(super) health: Arc<Health>,
    pub(super) token: RwLock<Secret>,
    pub(super) clock: SharedClock,
    pub(super) listen: SocketAddr,
    pub(super) measured: OnceLock<Measured>,
    /// `[http] hosts`, in lower case.
    pub(super) hosts: RwLock<Vec<String>>,
    /// The webhooks of the active config.
    pub(super) webhooks: RwLock<Arc<[WebhookName]>>,
}

impl State {
    /// `token` protects data about users; `listen` is the bound address with its real port.
    pub fn new(
        history: History,
        health: Arc<Health>,
        token: Secret,
        clock: SharedClock,
        listen: SocketAddr,
    ) -> Self {
        Self(Arc::new(Inner {
            history,
            health,
            token: RwLock::new(token),
            clock,
            listen,
            measured: OnceLock::new(),
            hosts: RwLock::default(),
            webhooks: RwLock::new(Arc::from([])),
        }))
    }

    /// Enables `/metrics`.
    pub fn measure(&self, measured: Measured) {
        // Set once, because there is one set of counters.
        let _ = self.0.measured.set(measured);
    }

    /// Sets whether `/metrics` has a label for each user.
    pub fn set_per_user(&self, per_user: bool) {
        if let Some(measured) = self.0.measured.get() {
            measured.per_user.store(per_user, Ordering::Relaxed);
        }
    }

    /// Replaces the token.
    pub fn set_token(&self, token: Secret) {
        *self.0.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Replaces the accepted host names, which are valid in addition to the address and `localhost`.
    pub fn set_hosts(&self, hosts: &[String]) {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        *self.0.hosts.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Replaces the webhooks.
    pub fn set_webhooks(&self, webhooks: impl Iterator<Item = WebhookName>) {
        *self.0.webhooks.write().unwrap_or_else(PoisonError::into_inner) = webhooks.collect();
    }

    /// The webhooks of the active config.
    pub(super) fn webhooks(&self) -> Arc<[WebhookName]> {
        Arc::clone(&self.0.webhooks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The webhooks with deliveries that are not being sent.
    pub(super) async fn blocked_webhooks(&self) -> Result<Vec<BlockedWebhook>, StoreError> {
        self.0.history.webhooks().blocked(&self.webhooks(), self.0.clock.now()).await
    }

    /// Whether this is an accepted host name, with any port, because a proxy may have another one.
    pub(super) fn has_host(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        self.0.hosts.read().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    /// Whether a path has no data about users, so that `Host` is not checked.
    pub(super) fn is_open(&self, path: &str) -> bool {
        let names_people = || {
            let measured = self.0.measured.get();
            measured.is_some_and(|measured| measured.per_user.load(Ordering::Relaxed))
        };
        matches!(path, "/healthz" | "/readyz") || (path == "/metrics" && !names_people())
    }

    /// The token.
    pub(super) fn token(&self) -> Secret {
        self.0.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The name in `Host`, without a port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}
