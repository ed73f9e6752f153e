//! The state that requests are answered from.
//!
//! Guards: a reload replaces the token, the hosts and the webhooks without a restart of the listener. Not here: answering
//! (`api`, `probe`, `metrics`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use chrono_tz::Tz;

use super::actions::ActionHandler;
use super::feed::Feed;
use super::rights::Grant;
use super::session::Codes;
use crate::clock::{Clock as _, SharedClock, SystemClock};
use crate::config::{Config, IpRange};
use crate::ids::WebhookName;
use crate::policy::window::OpenTime;
use crate::store::StoreError;
use crate::store::history::History;
use crate::store::outbox::OutboxReader;
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
    pub(super) outbox: OutboxReader,
    pub(super) health: Arc<Health>,
    /// The operator's token first, then those of `[[http.access]]`.
    grants: RwLock<Arc<[Grant]>>,
    settings: RwLock<Arc<Settings>>,
    pub(super) codes: Codes,
    pub(super) feed: Feed,
    pub(super) actions: OnceLock<ActionHandler>,
    pub(super) clock: SharedClock,
    pub(super) listen: SocketAddr,
    pub(super) measured: OnceLock<Measured>,
    /// `[http] hosts`, in lower case.
    pub(super) hosts: RwLock<Vec<String>>,
    /// The webhooks of the active config.
    pub(super) webhooks: RwLock<Arc<[WebhookName]>>,
}

/// What the page and the API take from the active config.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) public_url: Option<String>,
    pub(super) trusted_proxies: Vec<IpRange>,
    /// Of printed local times.
    pub(super) time_zone: Tz,
    /// The watched users by organisation and unionId.
    pub(super) members: HashMap<(String, String), Member>,
}

/// A watched user, as far as the config knows more than the database.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) groups: Vec<String>,
    /// When the user is polled.
    pub(super) open: OpenTime,
}

impl Settings {
    /// The groups of a user; none once the user is not watched.
    pub(super) fn groups(&self, org: &str, union_id: &str) -> &[String] {
        self.member(org, union_id).map_or(&[], |member| &member.groups)
    }

    /// A watched user.
    pub(super) fn member(&self, org: &str, union_id: &str) -> Option<&Member> {
        self.members.get(&(org.to_owned(), union_id.to_owned()))
    }
}

impl State {
    /// `grants`: the tokens that open anything, the operator's first; `listen` is the bound address with its real port.
    pub fn new(
        history: History,
        health: Arc<Health>,
        grants: Arc<[Grant]>,
        clock: SharedClock,
        listen: SocketAddr,
    ) -> Self {
        Self(Arc::new(Inner {
            outbox: history.outbox(),
            history,
            health,
            grants: RwLock::new(grants),
            settings: RwLock::default(),
            codes: Codes::default(),
            feed: Feed::default(),
            actions: OnceLock::new(),
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

    /// Replaces all tokens: the operator's first.
    pub fn set_grants(&self, grants: Arc<[Grant]>) {
        *self.0.grants.write().unwrap_or_else(PoisonError::into_inner) = grants;
    }

    /// Takes over everything but the tokens.
    pub fn configure(&self, config: &Config) {
        self.set_per_user(config.http.metrics_per_user);
        self.set_hosts(&config.http.hosts);
        self.set_webhooks(config.webhooks.iter().map(|webhook| webhook.name.clone()));
        let member = |user: &crate::config::User| {
            let key = (user.identity.org.to_string(), user.identity.union_id.to_string());
            (key, Member { groups: user.groups.clone(), open: config.open_time(user) })
        };
        let settings = Settings {
            public_url: config.http.public_url.clone(),
            trusted_proxies: config.http.trusted_proxies.clone(),
            time_zone: config.time_zone,
            members: config.users.iter().map(member).collect(),
        };
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Enables the actions of the page.
    pub fn set_actions(&self, actions: ActionHandler) {
        // Set once, because there is one daemon.
        let _ = self.0.actions.set(actions);
    }

    /// A link that signs a browser in as operator, once, within a minute.
    pub fn page_link(&self) -> std::io::Result<String> {
        // Browsers keep the time of the machine, whatever the clock of a demo says.
        let code = self.0.codes.create(SystemClock.now())?;
        let base = self.settings().public_url.clone().unwrap_or_else(|| {
            let mut address = self.0.listen;
            if address.ip().is_unspecified() {
                address.set_ip(if address.is_ipv4() {
                    [127, 0, 0, 1].into()
                } else {
                    [0u16, 0, 0, 0, 0, 0, 0, 1].into()
                });
            }
            format!("http://{address}")
        });
        Ok(format!("{base}/login?code={code}"))
    }

    /// What the page and the API take from the active config.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.0.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All tokens and what they open.
    pub(super) fn grants(&self) -> Arc<[Grant]> {
        Arc::clone(&self.0.grants.read().unwrap_or_else(PoisonError::into_inner))
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
        let public_url = self.settings().public_url.clone();
        let public = public_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
        if public.and_then(|rest| rest.split('/').next()).is_some_and(|host| name_of(host) == name) {
            return true;
        }
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
}

/// The name in `Host`, without a port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}
