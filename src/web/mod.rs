//! The HTTP listener: the page, the API, health and metrics.
//!
//! Guards: data about users needs a token, and each route the scope that opens it; a page of another origin cannot read it
//! through a browser, because `Host` is checked; connections, time and rows are limited. Not here: what is read
//! (`store::history`), what makes the daemon ready (`telemetry::health`).

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
mod actions;
mod api;
mod feed;
mod gate;
mod metrics;
mod page;
mod people;
mod probe;
mod proxy;
mod response;
mod rights;
mod session;
mod state;
mod stream;
pub mod token;
mod visitor;

pub use actions::{Action, ActionHandler, NextPoll};
use response::{not_found, problem};
pub use rights::Grant;
pub use state::{Measured, State};

use crate::config::Scope;

/// An idle connection costs little, and health checks need room beside many slow ones; the usual limit of open files is
/// 1,024. The only bodies are those of small forms.
const LIMITS: Limits = Limits { connections: 640, request_bytes: 32 * 1024, drain: Duration::from_secs(3) };
/// Maximum number of concurrent requests that read the database.
const MAX_READS: usize = 64;
/// What a browser may do with an answer that is no page: nothing.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// What a page may load: the files of this listener, nothing inline.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

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
    let feeding = state.clone();
    let limits = Limits { connections, ..LIMITS };
    let serving = server::serve(Socket::Tcp(listener), router(state), limits, stop.clone());
    // Streams end first, because they would hold the listener up.
    let feed = async {
        tokio::select! {
            () = feeding.0.feed.run(&feeding.0.history) => {}
            () = stop.cancelled() => feeding.0.feed.stop.cancel(),
        }
        std::future::pending().await
    };
    tokio::select! {
        served = serving => served,
        never = feed => never,
    }
}

fn router(state: State) -> Router {
    let reads = Arc::new(Semaphore::new(MAX_READS));
    let needs = |scope: Scope, router: Router<State>| {
        router.route_layer(middleware::from_fn_with_state((state.clone(), scope), gate::needs))
    };
    let mut inner = Router::new()
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(page::open_routes())
        .merge(needs(Scope::Board, Router::new().route("/api/v1/stream", get(stream::stream))))
        .merge(needs(Scope::Board, Router::new().route("/api/v1/openapi.json", get(api::openapi::openapi))));
    for scope in [Scope::Board, Scope::Viewer, Scope::Operator] {
        let routes = api::routes(scope).merge(page::routes(scope));
        let limited = middleware::from_fn_with_state(Arc::clone(&reads), limit_reads);
        inner = inner.merge(needs(scope, routes.route_layer(limited)));
    }
    let inner = inner
        .fallback(|| async { not_found("not found") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this is only read: send GET")
        })
        .layer(middleware::from_fn_with_state(state.clone(), access::known_host))
        .layer(middleware::map_response(harden))
        .with_state(state.clone());
    // Outside of the routes, because it may change the path.
    Router::new().fallback_service(inner).layer(middleware::from_fn_with_state(state, proxy::note_client))
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
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let is_page =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = HeaderValue::from_static(if is_page { PAGE_POLICY } else { POLICY });
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
