//! The HTTP listener: health, metrics, and events to pull.
//!
//! Guards: reads only (`GET` and `HEAD`); data about users needs the token; a page of another origin cannot read it through
//! a browser, because `Host` is checked; connections, time and rows are limited. Not here: what is read (`store::history`),
//! what makes the daemon ready (`telemetry::health`).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::server::{self, Limits, Socket};

mod access;
mod api;
mod metrics;
mod probe;
mod response;
mod state;
pub mod token;

use response::problem;
pub use state::{Measured, State};

/// An idle connection costs little, and health checks need room beside many slow ones; the usual limit of open files is
/// 1,024. No request has a body.
const LIMITS: Limits = Limits { connections: 640, request_bytes: 32 * 1024, drain: Duration::from_secs(3) };
/// Maximum number of concurrent requests that read the database.
const MAX_READS: usize = 64;

/// Answers until `stop`, then finishes answers in progress within 3 s.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) -> std::io::Result<()> {
    serve_at_most(LIMITS.connections, listener, state, stop).await
}

/// Same as [`serve`] with another maximum number of connections.
pub async fn serve_at_most(
    connections: usize,
    listener: TcpListener,
    state: State,
    stop: CancellationToken,
) -> std::io::Result<()> {
    server::serve(Socket::Tcp(listener), router(state), Limits { connections, ..LIMITS }, stop).await
}

fn router(state: State) -> Router {
    let people = Router::new()
        .route("/api/v1/events", get(api::events))
        .route_layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(MAX_READS)), limit_reads))
        .route_layer(middleware::from_fn_with_state(state.clone(), access::needs_token));
    Router::new()
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(people)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "not found") })
        .layer(middleware::from_fn_with_state(state.clone(), access::known_host))
        .layer(middleware::map_response(harden))
        .with_state(state)
}

/// Limits the concurrent requests that read the database.
async fn limit_reads(Shared(places): Shared<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    // The semaphore is never closed.
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
