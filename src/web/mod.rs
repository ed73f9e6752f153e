//! The listener: whether the daemon is well, and its events for who catches up.
//!
//! Guards: reads only (`GET` and `HEAD`); whatever is about people needs the token; a page of another origin cannot
//! read it through the reader's browser (`Host` is checked); a limit on connections, time, and rows. Deliberately not
//! here: what is read (`store::history`), what is well (`telemetry::health`).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, SystemClock};
use crate::ids::WebhookName;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::history::History;
use crate::store::stats::BlockedWebhook;
use crate::telemetry::health::Health;

mod api;
mod gate;
mod listener;
pub mod metrics;
mod probe;
pub mod token;

pub use listener::Peer;
use metrics::Measured;

/// Connections at once. One that waits for its request costs little, and health must find room beside many slow ones; the
/// usual limit of open files is 1,024.
const MAX_CONNECTIONS: usize = 640;
/// Requests answered at once that read the database: dashboards and receivers that catch up, on one machine.
const MAX_READS: usize = 64;
/// For answers under way when the daemon stops.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// What the listener answers from. Cloning shares it.
#[derive(Clone, Debug)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    history: History,
    health: Arc<Health>,
    token: RwLock<Secret>,
    clock: SharedClock,
    listen: SocketAddr,
    measured: OnceLock<Measured>,
    /// `[http] hosts`, in lower case.
    hosts: RwLock<Vec<String>>,
    /// The webhooks of the config in force.
    webhooks: RwLock<Arc<[WebhookName]>>,
}

impl State {
    /// `token` guards what is about people; `listen` is the address the listener is bound to, with its real port.
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

    /// Also answers `/metrics`, from now on with this.
    pub fn measure(&self, measured: Measured) {
        // Once: there is one set of counters.
        let _ = self.0.measured.set(measured);
    }

    /// Whether `/metrics` names people.
    pub fn measure_people(&self, really: bool) {
        if let Some(measured) = self.0.measured.get() {
            measured.per_user.store(really, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Another token from now on.
    pub fn set_token(&self, token: Secret) {
        *self.0.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// The names that requests may ask by, from now on, beside its address and `localhost`.
    pub fn set_hosts(&self, hosts: &[String]) {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        *self.0.hosts.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// The webhooks that are sent to, from now on.
    pub fn set_webhooks(&self, webhooks: impl Iterator<Item = WebhookName>) {
        *self.0.webhooks.write().unwrap_or_else(PoisonError::into_inner) = webhooks.collect();
    }

    /// The webhooks that are sent to.
    fn webhooks(&self) -> Arc<[WebhookName]> {
        Arc::clone(&self.0.webhooks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The webhooks of which something is not sent at this moment.
    async fn blocked_webhooks(&self) -> Result<Vec<BlockedWebhook>, StoreError> {
        self.0.history.webhooks().blocked(&self.webhooks(), self.0.clock.now()).await
    }

    /// Whether this is one of them, with whatever port a proxy or a published port has.
    fn has_host(&self, host: &str) -> bool {
        let name = gate::name_of(host).to_ascii_lowercase();
        self.0.hosts.read().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    /// Whether a path says nothing about people: it answers whatever name it is asked by.
    fn is_open(&self, path: &str) -> bool {
        let names_people = || {
            let measured = self.0.measured.get();
            measured.is_some_and(|measured| measured.per_user.load(std::sync::atomic::Ordering::Relaxed))
        };
        matches!(path, "/healthz" | "/readyz") || (path == "/metrics" && !names_people())
    }

    /// The token in force.
    fn token(&self) -> Secret {
        self.0.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers until `stop`; then lets answers under way be finished, within 3 s.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) -> std::io::Result<()> {
    serve_at_most(MAX_CONNECTIONS, listener, state, stop).await
}

/// The same with another number of connections at once.
pub async fn serve_at_most(
    connections: usize,
    listener: TcpListener,
    state: State,
    stop: CancellationToken,
) -> std::io::Result<()> {
    // The network has no other time than the machine's, whatever the daemon's own clock shows.
    let listener = listener::Bounded::new(listener, connections, Arc::new(SystemClock));
    let service = router(state).into_make_service_with_connect_info::<Peer>();
    let stopping = stop.clone();
    let serving = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .into_future();
    let drained = async {
        stop.cancelled().await;
        // A client that reads slowly does not keep the daemon alive.
        timeout(DRAIN_TIME, std::future::pending::<()>()).await
    };
    tokio::select! {
        served = serving => served,
        _ = drained => Ok(()),
    }
}

fn router(state: State) -> Router {
    let people = Router::new()
        .route("/api/v1/events", get(api::events))
        .route_layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(MAX_READS)), one_of_few))
        .route_layer(middleware::from_fn_with_state(state.clone(), gate::needs_token));
    Router::new()
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(people)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(middleware::from_fn_with_state(state.clone(), gate::known_host))
        .layer(middleware::map_response(harden))
        .with_state(state)
}

/// Waits for a place among the requests that read the database.
async fn one_of_few(Shared(places): Shared<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    // Never closed; without a place nothing would be answered.
    let _place = places.acquire().await;
    next.run(request).await
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// `{"error":"..."}`
fn problem(status: StatusCode, message: &str) -> Response {
    json(status, serde_json::json!({ "error": message }).to_string())
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
